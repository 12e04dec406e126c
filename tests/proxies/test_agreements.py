"""Agreements of codes against a count one by one."""

import numpy as np
import pytest
import torch

from untrained.proxies.agreements import add_agreements, agreements_of


def slow(bits):
    return [[int(sum(a == b for a, b in zip(x, y, strict=True))) for y in bits] for x in bits]


@pytest.mark.parametrize("images", [1, 2, 3, 4, 5, 7, 8, 13])
@pytest.mark.parametrize("units", [8, 16, 24, 64, 72, 200])
def test_packed_and_unpacked_codes_agree_as_counted(images, units):
    bits = np.random.default_rng(images * units).integers(0, 2, (images, units)).astype(np.int8)
    packed = torch.from_numpy(np.packbits(bits.astype(np.uint8), axis=1))
    expected = slow(bits.tolist())
    assert agreements_of(torch.from_numpy(bits)).tolist() == expected
    assert agreements_of(packed).tolist() == expected


def test_agreements_are_added_as_often_as_the_codes_are_read():
    packed = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 16)).astype(np.uint8))
    total = torch.arange(36).reshape(6, 6)
    before = total.clone()
    add_agreements(packed, 3, total)
    assert torch.equal(total, before + 3 * agreements_of(packed))
    bits = torch.from_numpy(np.unpackbits(packed.numpy(), axis=1).astype(np.int8))
    add_agreements(bits, 3, total)
    assert torch.equal(total, before + 6 * agreements_of(packed))

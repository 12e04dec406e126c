"""Graphs of sums: memory that is read later is never overwritten."""

import numpy as np
import pytest
import torch
from tests.spaces.cell_rules import live_edges
from torch import nn

from untrained.networks.fused import has_loops
from untrained.networks.sums import Edge, Node, as_it_is, readings
from untrained.proxies.agreements import agreements_of, bits_of
from untrained.spaces.base import Skeleton


def test_a_normalised_copy_leaves_its_source_to_other_edges():
    x = torch.randn((4, 16, 8, 8), generator=torch.Generator().manual_seed(0)) + 1
    x = x.contiguous(memory_format=torch.channels_last)
    assert has_loops(x)
    images, middle, output = Node(), Node(rectifiers=1, modules=1), Node(rectifiers=1, modules=1)
    images.edges += [Edge(1, as_it_is, False, True), Edge(2, as_it_is)]
    middle.edges.append(Edge(2, as_it_is))
    _, last = readings([images, middle, output], x.clone())
    normalised = nn.BatchNorm2d(16, affine=False)(x)
    positive = (normalised + x > 0).permute(0, 2, 3, 1).flatten(1).to(torch.int8)
    assert torch.equal(agreements_of(last.codes), agreements_of(positive))


@pytest.mark.parametrize("dead_branches", [False, True])
def test_loops_read_what_double_precision_reads(space, all_operations, dead_branches):
    rng = np.random.default_rng(1)
    connected = [i for i, cell in enumerate(all_operations) if live_edges(cell)]
    images = torch.from_numpy(rng.standard_normal((4, 3, 16, 16), np.float32))
    images = images.contiguous(memory_format=torch.channels_last)
    for index in rng.choice(connected, 15, replace=False):
        torch.manual_seed(int(index))
        network = space.network(space[int(index)], 2, Skeleton(16, 1))
        with torch.no_grad():
            found = list(network.rectifier_inputs(images, dead_branches=dead_branches))
            exact = list(network.rectifier_inputs(images.double(), dead_branches=dead_branches))
        assert len(found) == len(exact), index
        for one, other in zip(found, exact, strict=True):
            assert (one.codes.dtype, other.codes.dtype) == (torch.uint8, torch.int8)
            apart = agreements_of(one.codes) - agreements_of(other.codes)
            assert int(apart.abs().max()) <= 0.005 * other.codes.shape[1], index


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_node_may_hold_its_terms_side_by_side(pieces, dtype):
    x = torch.randn((4, 16, 8, 8), generator=torch.Generator().manual_seed(0)).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    images, both = Node(), Node(rectifiers=1, modules=1, concatenated=True)
    images.edges = [Edge(1, as_it_is, rectified=True), Edge(1, lambda x: -x[:, :8])]
    (found,) = readings([images, both], x, pieces)
    expected = torch.cat([x.clamp(min=0), -x[:, :8]], 1) > 0
    assert torch.equal(agreements_of(found.codes), agreements_of(bits_of(expected.double())))
    assert int(agreements_of(found.codes)[0, 0]) == 24 * 64

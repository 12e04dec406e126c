"""Compiled loops and PyTorch's operations against batch normalisation written out."""

import numpy as np
import pytest
import torch

from untrained.compiled import LANES
from untrained.networks.fused import (
    Normalisation,
    Sum,
    average_pool,
    fits,
    halve,
    has_loops,
    lanes_of,
    max_pool,
)

TYPES = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def draw(shape, dtype=torch.float32, mean=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = mean + 2 * torch.randn(shape, generator=generator)
    return x.to(dtype).contiguous(memory_format=torch.channels_last)


def normalised(x, scale=None, shift=None):
    """Normalise in double precision, written out."""
    x = x.double()
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean((0, 2, 3), keepdim=True)
    y = (x - mean) / (variance + 1e-5).sqrt()
    if scale is not None:
        y = y * scale.double().view(1, -1, 1, 1)
    return y if shift is None else y + shift.double().view(1, -1, 1, 1)


def normalisation_of(x, scale=None, shift=None, pieces=1):
    made = Normalisation(scale, shift)
    for piece in x.chunk(pieces):
        made.add(piece)
    return made


def bits(codes, x):
    """Return codes as one bit per number; the order of the units is unspecified."""
    codes = codes.numpy()
    return np.unpackbits(codes, axis=1) if codes.dtype == np.uint8 else codes


def agreements(bit_rows):
    return (bit_rows[:, None, :] == bit_rows[None, :, :]).sum(-1)


SHAPES = [
    ((6, 16, 32, 32), True),
    ((6, 32, 16, 16), True),
    ((5, 64, 8, 8), True),
    ((4, 64, 4, 4), True),
    ((4, 1, 32, 32), True),
    ((4, 128, 4, 2), True),
    ((4, 3, 8, 8), True),
    ((4, 24, 8, 8), True),
    ((3, 40, 16, 16), True),
    ((3, 48, 4, 4), True),
    ((3, 56, 8, 8), True),
    ((2, 256, 4, 4), True),
    ((4, 16, 5, 5), False),
    ((4, 24, 6, 6), False),
]


@pytest.mark.parametrize(
    ("shape", "lanes"),
    [
        ((16, 32, 32), LANES),
        ((64, 4, 4), LANES),
        ((32, 4, 4), 64),  # an image has eight times as many numbers, no more
        ((8, 4, 4), 16),
        ((24, 32, 32), 192),
        ((40, 32, 32), 160),
        ((48, 32, 32), 192),
        ((56, 8, 8), 224),
        ((56, 4, 4), 112),
        ((5, 8, 8), 40),
        ((300, 8, 8), 300),
        ((16, 6, 6), 0),
        ((24, 2, 2), 0),
    ],
)
def test_lanes_are_whole_pixels_and_an_image_has_eight_rows_of_them_or_more(shape, lanes):
    assert lanes_of(shape) == lanes
    if lanes:
        assert lanes % shape[0] == 0
        assert np.prod(shape) % (8 * lanes) == 0
    assert fits(torch.bfloat16, shape) == (lanes == LANES)


@pytest.mark.parametrize(("shape", "loops"), SHAPES)
def test_which_shapes_have_loops(shape, loops):
    assert has_loops(draw(shape)) == loops
    assert not has_loops(draw(shape).double())
    if shape[1] > 1:
        assert not has_loops(draw(shape).contiguous(memory_format=torch.contiguous_format))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "loops"), SHAPES)
@pytest.mark.parametrize("terms", [1, 2, 3, 4])
def test_a_sum_of_normalised_terms(shape, loops, dtype, terms):
    del loops
    xs = [draw(shape, dtype, mean=3 * seed, seed=seed) for seed in range(terms)]
    scale, shift = torch.randn(2, shape[1], generator=torch.Generator().manual_seed(9))
    # the first term has scale and shift, the second is not normalised, the third has neither
    parts = [(scale, shift), None, (None, None), (scale, shift)][:terms]
    norms = [None if p is None else normalisation_of(x, *p) for x, p in zip(xs, parts, strict=True)]
    expected = sum(
        x.double() if p is None else normalised(x, *p) for x, p in zip(xs, parts, strict=True)
    )
    total = Sum(norms, xs[0])
    made = total.of(xs, value=True, rectified=True, codes=True)
    assert total.finite
    assert made.value.dtype == made.rectified.dtype == dtype
    size = expected.abs().max()
    assert (made.value.double() - expected).abs().max() < TYPES[dtype] * size
    assert (made.rectified.double() - expected.clamp_min(0)).abs().max() < TYPES[dtype] * size
    # near zero codes may differ by rounding, so they are compared with the expected ones elsewhere
    clear = (expected.abs() > TYPES[dtype] * size).permute(0, 2, 3, 1).flatten(1).numpy()
    positive = (expected > 0).permute(0, 2, 3, 1).flatten(1).numpy()
    found = agreements(bits(made.codes, xs[0]))
    for i in range(shape[0]):
        for j in range(shape[0]):
            sure = clear[i] & clear[j]
            same = int((positive[i] == positive[j])[sure].sum())
            assert same <= found[i, j] <= same + int((~sure).sum())


@pytest.mark.parametrize("wanted", ["value", "rectified", "codes"])
@pytest.mark.parametrize("shape", [(4, 16, 8, 8), (4, 3, 5, 5)])
def test_only_what_is_asked_for_is_made(shape, wanted):
    x = draw(shape)
    norm = normalisation_of(x)
    ask = dict.fromkeys(["value", "rectified", "codes"], False)
    one = Sum([norm], x).of([x], **{**ask, wanted: True})
    every = Sum([norm], x).of([x], **dict.fromkeys(ask, True))
    for name in ask:
        assert (getattr(one, name) is None) == (name != wanted)
    assert torch.equal(getattr(one, wanted), getattr(every, wanted))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("spare", [(0,), (1,), (0, 1)])
def test_spare_terms_are_written_over_and_others_are_left(dtype, spare):
    xs = [draw((4, 16, 8, 8), dtype, seed=seed) for seed in range(2)]
    before = [x.clone() for x in xs]
    total = Sum([normalisation_of(x) for x in xs], xs[0])
    expected = total.of(xs, True, True, True)
    made = total.of(xs, True, True, True, spare=[xs[position] for position in spare])
    assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))
    taken = {made.value.data_ptr(), made.rectified.data_ptr()}
    for position, (x, old) in enumerate(zip(xs, before, strict=True)):
        assert (x.data_ptr() in taken) == (position in spare)
        assert torch.equal(x, old) == (position not in spare)


def test_zero_is_not_positive():
    x = torch.zeros((2, 16, 8, 8)).contiguous(memory_format=torch.channels_last)
    x[1] = 1
    codes = Sum([None], x).of([x], value=False, rectified=False, codes=True).codes
    assert bits(codes, x).sum(axis=1).tolist() == [0, 16 * 8 * 8]


def test_one_term_as_it_is_is_not_copied():
    x = draw((2, 16, 8, 8))
    assert Sum([None], x).of([x], value=True, rectified=False, codes=False).value is x


@pytest.mark.parametrize("shape", [(7, 16, 8, 8), (7, 3, 5, 5)])
@pytest.mark.parametrize("dtype", [*TYPES])
def test_pieces_have_the_statistics_of_the_whole(shape, dtype):
    x = draw(shape, dtype)
    whole, cut = (
        Sum([normalisation_of(x, pieces=pieces)], x).of([x], True, True, True) for pieces in (1, 3)
    )
    torch.testing.assert_close(whole.value, cut.value)
    if shape[1] == 16:  # the loops add images one by one, so there is no rounding difference
        assert all(torch.equal(a, b) for a, b in zip(whole, cut, strict=True))


@pytest.mark.parametrize("shape", [(4, 16, 8, 8), (4, 3, 5, 5)])
def test_a_large_mean_does_not_drown_the_variance(shape):
    x = draw(shape, mean=0.0) * 1e-2 + 1000
    found = Sum([normalisation_of(x)], x).of([x], True, False, False).value
    assert (found.double() - normalised(x)).abs().max() < 0.02


@pytest.mark.parametrize("shape", [(4, 16, 8, 8), (4, 3, 5, 5)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", TYPES)
def test_what_is_not_finite_is_noticed(shape, value, dtype):
    x = draw(shape, dtype)
    x[1, 2, 3, 3] = value
    assert not Sum([normalisation_of(x)], x).finite
    # terms that are not normalised stay what they are
    y = draw(shape, dtype)
    total = Sum([None, None], x).of([x, y], True, False, False).value
    assert torch.equal(torch.isfinite(total), torch.isfinite(x))


def test_bfloat16_is_rounded_as_pytorch_rounds_it():
    x, y = draw((64, 16, 8, 8), torch.bfloat16), draw((64, 16, 8, 8), torch.bfloat16, seed=1)
    found = Sum([None, None], x).of([x, y], True, False, False).value
    assert torch.equal(found, (x.float() + y.float()).to(torch.bfloat16))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("shape", "loops"), [*SHAPES, ((2, 128, 8, 1), True), ((2, 64, 1, 16), True)]
)
def test_pooling_leaves_the_padding_out(shape, loops, dtype):
    x = draw(shape, dtype)
    assert has_loops(x) == loops
    expected = torch.zeros(shape, dtype=torch.float64)
    for row in range(shape[2]):
        for column in range(shape[3]):
            near = x[:, :, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].double()
            expected[:, :, row, column] = near.mean((2, 3))
    assert (average_pool(x).double() - expected).abs().max() < TYPES[dtype] * 10


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(4, 16, 32, 32), (3, 5, 8, 8), (2, 22, 8, 4), (4, 16, 5, 6)])
def test_maxima_are_those_of_the_neighbours_that_exist(shape, dtype):
    x = draw(shape, dtype, mean=-3.0)  # mostly negative, so that padding with zeros would show
    expected = torch.empty(shape, dtype=dtype)
    for row in range(shape[2]):
        for column in range(shape[3]):
            near = x[:, :, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            expected[:, :, row, column] = near.amax((2, 3))
    assert torch.equal(max_pool(x), expected)
    if shape[2] % 2 == 0:
        squares = [x[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)]
        assert torch.equal(halve(x), torch.stack(squares).amax(0))


def test_an_odd_side_is_halved_as_pytorch_does():
    x = draw((2, 16, 8, 5))
    assert has_loops(x)
    assert torch.equal(halve(x), torch.nn.functional.max_pool2d(x, 2, stride=2))

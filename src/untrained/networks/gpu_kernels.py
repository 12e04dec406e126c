"""Kernels in Triton for what `untrained.networks.batched` does most on a GPU.

Activations are (slots, N, H, W, C), contiguous. A sum of terms is one pass that normalises them and
writes value, rectified value and code. A dense convolution reads the slots where they are, and
gives moments of what it writes. PyTorch's own operations need many passes for the former, and reach
a tenth to a half of the memory bandwidth in the latter two where each network has kernels of its
own (`docs/performance.md`). Sums are of float32; what is stored is rounded to the type of images.
"""

import warnings
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from untrained.compiled import EPSILON
from untrained.errors import summary
from untrained.networks.graph import Convolution, Operation, Pooling

#: Numbers that a program of `_sum` and of `_pool` makes.
_NUMBERS = 2048
#: Pixels that a program of `_convolve` makes, and channels that it reads or makes at most.
_PIXELS, _CHANNELS = 128, 64
#: Pieces whose moments a program of `_normalise` joins at a time.
_PIECES = 64


class Moments(NamedTuple):
    """Mean and sum of squared deviations of pieces of a buffer.

    Attributes:
        pieces: (slots, pieces, 2, C) float32.
        each: pixels of each piece but the last one.
        pixels: pixels of a slot, those of all images.
    """

    pieces: Tensor
    each: int
    pixels: int


@cache
def can_be_used(device: torch.device) -> bool:
    """Return whether a kernel can be compiled and run; a warning says why not."""
    try:
        one = torch.ones(1, 1, 1, 1, 16, device=device)
        value, *_ = summed([[(one, None, 0), (one, None, 0)]], True, False, False)
        works = value is not None and bool((value == 2).all())
        reason = "" if works else "they compute something else"
    except Exception as error:  # noqa: BLE001 - whatever a compiler or a driver lacks
        works, reason = False, summary(error)
    if not works:
        warnings.warn(f"kernels of Triton are not used: {reason}", stacklevel=2)
    return works


def summed(
    terms: Sequence[Sequence[tuple[Tensor, Tensor | None, int]]],
    value: bool,
    rectified: bool,
    codes: bool,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Add the terms of each node, and return values, rectified values and codes.

    Args:
        terms: of each node its terms: a buffer (slots, N, H, W, C), its factors and summands
            (2, slots, C) if it has any, and the slot.
        value: whether sums are wanted.
        rectified: whether rectified sums are.
        codes: whether codes are: 1 where a sum is positive, else 0.

    Returns:
        (nodes, N, H, W, C) each, or None for what is not wanted.
    """
    example = terms[0][0][0]
    size, channels = example[0].numel(), example.shape[4]
    rows: list[int] = []
    starts = [0]
    for own in terms:
        for buffer, affine, slot in own:
            there = buffer.data_ptr() + slot * size * buffer.element_size()
            if affine is None:
                rows += there, 0, 0
            else:
                factors = affine.data_ptr() + 4 * slot * channels
                rows += there, factors, factors + affine.nbytes // 2
        starts.append(starts[-1] + len(own))
    table = torch.tensor(starts + rows, dtype=torch.int64)
    if example.is_cuda:
        table = table.pin_memory().to(example.device, non_blocking=True)
    shape = (len(terms), *example.shape[1:])
    made = [
        torch.empty(shape, dtype=example.dtype, device=example.device) if wanted else None
        for wanted in (value, rectified, codes)
    ]
    # where slots begin at whole words of a GPU, several numbers are read and written at a time
    grain = 8 if size % 8 == 0 else 1
    _sum[triton.cdiv(size, _NUMBERS), len(terms)](
        table, len(starts), *(table if one is None else one for one in made), size // grain,
        CHANNELS=channels, TYPE=_TYPES[example.dtype], VALUE=value, RECTIFIED=rectified,
        CODES=codes, GRAIN=grain, NUMBERS=_NUMBERS,
    )  # fmt: skip
    return made[0], made[1], made[2]


def applied(
    operation: Operation, x: Tensor, rows: Tensor | None, kernels: Sequence[Tensor]
) -> tuple[Tensor, Moments | None] | None:
    """Apply an operation to the slots `rows` of (slots, N, H, W, C), if there is a kernel for it.

    Args:
        operation: the operation.
        x: the source.
        rows: (made,) int64, the slots that are read; None for all of them in order.
        kernels: for a convolution (made, outputs, inputs, height, width).

    Returns:
        What is made, (made, N, H, W, C), and its moments if they are known; None without a kernel.
    """
    slots, images, height, width, channels = x.shape
    if rows is None:
        rows = torch.arange(slots, device=x.device)
    match operation:
        case Convolution(groups=1) if max(operation.kernel) <= 7:
            inputs, outputs = channels, operation.outputs
        case Pooling(size=3):
            inputs, outputs = channels, channels
        case _:
            return None
    _, high, wide = operation.shape((inputs, height, width))
    made = torch.empty(len(rows), images, high, wide, outputs, dtype=x.dtype, device=x.device)
    pixels = images * high * wide
    if isinstance(operation, Pooling):
        _pool[triton.cdiv(pixels * channels, _NUMBERS), len(rows)](
            x, rows, made, images, height, width, high, wide, operation.stride,
            operation.padding, CHANNELS=channels, LARGEST=operation.kind == "max", NUMBERS=_NUMBERS,
        )  # fmt: skip
        return made, None
    pieces = triton.cdiv(pixels, _PIXELS)
    moments = torch.empty(len(rows), pieces, 2, outputs, device=x.device)
    block = min(_CHANNELS, max(16, triton.next_power_of_2(outputs)))
    _convolve[pieces, len(rows), triton.cdiv(outputs, block)](
        x, rows, kernels[0].permute(0, 3, 4, 2, 1).contiguous(), made, moments, images, height,
        width, high, wide, *operation.stride, *operation.padding, operation.dilation, pieces,
        TALL=operation.kernel[0], BROAD=operation.kernel[1], INPUTS=inputs, OUTPUTS=outputs,
        READ=min(_CHANNELS, max(16, triton.next_power_of_2(inputs))), MADE=block, PIXELS=_PIXELS,
    )  # fmt: skip
    return made, Moments(moments, _PIXELS, pixels)


def affine(
    moments: Moments,
    scale: Tensor | None,
    shift: Tensor | None,
    owners: Tensor,
    infinite: Tensor,
) -> Tensor:
    """Return the factors and summands that normalise slots.

    Args:
        moments: what is known of the slots.
        scale: (slots, C), learned scales if there are any.
        shift: (slots, C), learned shifts if there are any.
        owners: (slots,) int64, the network of each.
        infinite: (networks,) int32; becomes 1 where a network has a slot that is not finite.

    Returns:
        (2, slots, C) float32.
    """
    slots, pieces, _, channels = moments.pieces.shape
    made = torch.empty(2, slots, channels, device=infinite.device)
    block = min(_CHANNELS, max(16, triton.next_power_of_2(channels)))
    _normalise[slots, triton.cdiv(channels, block)](
        moments.pieces, made if scale is None else scale, made if shift is None else shift,
        owners, infinite, made, pieces, moments.each, moments.pixels, EPSILON,
        CHANNELS=channels, SCALED=scale is not None, SHIFTED=shift is not None,
        PIECES=_PIECES, MADE=block,
    )  # fmt: skip
    return made


_TYPES = {torch.bfloat16: tl.bfloat16, torch.float32: tl.float32}


@triton.jit(do_not_specialize=["nodes", "grains"])
def _sum(
    table, nodes, value, rectified, codes, grains,
    CHANNELS: tl.constexpr, TYPE: tl.constexpr, VALUE: tl.constexpr, RECTIFIED: tl.constexpr,
    CODES: tl.constexpr, GRAIN: tl.constexpr, NUMBERS: tl.constexpr,
):  # fmt: skip
    """Add the terms of a node: `table` has where each node's terms begin, then three for each."""
    node = tl.program_id(1)
    size = grains * GRAIN
    at = tl.program_id(0) * NUMBERS + tl.arange(0, NUMBERS)
    inside = at < size
    channel = at % CHANNELS
    total = tl.zeros((NUMBERS,), tl.float32)
    last = tl.load(table + node + 1)
    for term in range(tl.load(table + node), last):
        row = table + nodes + 3 * term
        there = tl.load(row).to(tl.pointer_type(TYPE)) + at
        if GRAIN == 8:
            there = tl.multiple_of(there, 16)
        numbers = tl.load(there, mask=inside, other=0.0).to(tl.float32)
        factors = tl.load(row + 1)
        if factors != 0:
            factor = factors.to(tl.pointer_type(tl.float32)) + channel
            summand = tl.load(row + 2).to(tl.pointer_type(tl.float32)) + channel
            if CHANNELS % 8 == 0:
                factor, summand = tl.multiple_of(factor, 16), tl.multiple_of(summand, 16)
            numbers = numbers * tl.load(factor) + tl.load(summand)
        total += numbers
    here = node.to(tl.int64) * size + at
    if VALUE:
        tl.store(value + here, total.to(TYPE), mask=inside)
    if RECTIFIED:  # what is not a number stays so
        tl.store(rectified + here, tl.where(total <= 0, 0.0, total).to(TYPE), mask=inside)
    if CODES:
        tl.store(codes + here, tl.where(total > 0, 1.0, 0.0).to(TYPE), mask=inside)


@triton.jit(
    do_not_specialize_on_alignment=["rows"],
    do_not_specialize=["images", "height", "width", "high", "wide", "stride", "padding"],
)
def _pool(
    x, rows, made, images, height, width, high, wide, stride, padding,
    CHANNELS: tl.constexpr, LARGEST: tl.constexpr, NUMBERS: tl.constexpr,
):  # fmt: skip
    """Pool 3x3 pixels, of which those outside of the image do not count."""
    slot = tl.program_id(1)
    at = tl.program_id(0) * NUMBERS + tl.arange(0, NUMBERS)
    channel = at % CHANNELS
    pixel = at // CHANNELS
    column = pixel % wide
    row = pixel // wide % high
    image = pixel // wide // high
    inside = image < images
    source = x + tl.load(rows + slot) * images * height * width * CHANNELS
    found = tl.full((NUMBERS,), float("-inf") if LARGEST else 0.0, tl.float32)
    count = tl.zeros((NUMBERS,), tl.float32)
    for tap in tl.static_range(9):
        above = row * stride - padding + tap // 3
        left = column * stride - padding + tap % 3
        there = inside & (above >= 0) & (above < height) & (left >= 0) & (left < width)
        place = ((image * height + above) * width + left) * CHANNELS + channel
        if LARGEST:
            numbers = tl.load(source + place, mask=there, other=float("-inf")).to(tl.float32)
            found = tl.maximum(found, numbers, propagate_nan=tl.PropagateNan.ALL)
        else:
            found += tl.load(source + place, mask=there, other=0.0).to(tl.float32)
            count += there.to(tl.float32)
    if not LARGEST:
        found = found / tl.maximum(count, 1.0)
    here = slot.to(tl.int64) * images * high * wide * CHANNELS + at
    tl.store(made + here, found.to(made.dtype.element_ty), mask=inside)


@triton.jit(
    do_not_specialize_on_alignment=["rows"],
    do_not_specialize=[
        "images", "height", "width", "high", "wide", "down", "right", "above", "before",
        "dilation", "pieces",
    ]
)  # fmt: skip
def _convolve(
    x, rows, kernels, made, moments, images, height, width, high, wide, down, right, above, before,
    dilation, pieces,
    TALL: tl.constexpr, BROAD: tl.constexpr, INPUTS: tl.constexpr, OUTPUTS: tl.constexpr,
    READ: tl.constexpr, MADE: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Convolve with strides `down` and `right`, and padding `above` and `before`."""
    piece = tl.program_id(0)
    slot = tl.program_id(1).to(tl.int64)
    outputs = tl.program_id(2) * MADE + tl.arange(0, MADE)
    at = piece * PIXELS + tl.arange(0, PIXELS)
    column = at % wide
    row = at // wide % high
    image = at // wide // high
    inside = image < images
    source = x + tl.load(rows + slot) * images * height * width * INPUTS
    own = kernels + slot * TALL * BROAD * INPUTS * OUTPUTS
    total = tl.zeros((PIXELS, MADE), tl.float32)
    for tap in range(TALL * BROAD):
        line = row * down - above + tap // BROAD * dilation
        place = column * right - before + tap % BROAD * dilation
        there = inside & (line >= 0) & (line < height) & (place >= 0) & (place < width)
        pixel = ((image * height + line) * width + place) * INPUTS
        for first in tl.static_range(0, INPUTS, READ):
            inputs = first + tl.arange(0, READ)
            read = tl.load(
                source + pixel[:, None] + inputs[None, :],
                mask=there[:, None] & (inputs < INPUTS)[None, :],
                other=0.0,
            )
            kernel = tl.load(
                own + (tap * INPUTS + inputs[:, None]) * OUTPUTS + outputs[None, :],
                mask=(inputs < INPUTS)[:, None] & (outputs < OUTPUTS)[None, :],
                other=0.0,
            )
            total = tl.dot(read, kernel, total, input_precision="ieee")
    rounded = total.to(made.dtype.element_ty)
    pixels = images * high * wide
    here = (slot * pixels + at)[:, None] * OUTPUTS + outputs[None, :]
    kept = inside[:, None] & (outputs < OUTPUTS)[None, :]
    tl.store(made + here, rounded, mask=kept)
    # moments of what is stored, of this piece
    numbers = tl.where(kept, rounded.to(tl.float32), 0.0)
    count = tl.minimum(pixels - piece * PIXELS, PIXELS)
    mean = tl.sum(numbers, 0) / count
    apart = tl.where(kept, numbers - mean[None, :], 0.0)
    part = moments + (slot * pieces + piece) * 2 * OUTPUTS + outputs
    tl.store(part, mean, mask=outputs < OUTPUTS)
    tl.store(part + OUTPUTS, tl.sum(apart * apart, 0), mask=outputs < OUTPUTS)


@triton.jit(
    do_not_specialize_on_alignment=["scale", "shift", "owners", "infinite"],
    do_not_specialize=["pieces", "each", "pixels"],
)
def _normalise(
    moments, scale, shift, owners, infinite, made, pieces, each, pixels, epsilon,
    CHANNELS: tl.constexpr, SCALED: tl.constexpr, SHIFTED: tl.constexpr, PIECES: tl.constexpr,
    MADE: tl.constexpr,
):  # fmt: skip
    """Join the moments of the pieces of a slot (Chan et al. 1979)."""
    slot = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * MADE + tl.arange(0, MADE)
    known = channel < CHANNELS
    own = moments + slot * pieces * 2 * CHANNELS
    total = tl.zeros((MADE,), tl.float32)
    for first in range(0, pieces, PIECES):
        piece = first + tl.arange(0, PIECES)
        count = tl.minimum(pixels - piece * each, each)
        read = (piece < pieces)[:, None] & known[None, :]
        means = tl.load(own + piece[:, None] * 2 * CHANNELS + channel, mask=read, other=0.0)
        total += tl.sum(means * count[:, None], 0)
    mean = total / pixels
    squares = tl.zeros((MADE,), tl.float32)
    for first in range(0, pieces, PIECES):
        piece = first + tl.arange(0, PIECES)
        count = tl.minimum(pixels - piece * each, each)
        read = (piece < pieces)[:, None] & known[None, :]
        part = own + piece[:, None] * 2 * CHANNELS + channel
        apart = tl.load(part, mask=read, other=0.0) - mean[None, :]
        within = tl.load(part + CHANNELS, mask=read, other=0.0)
        squares += tl.sum(tl.where(read, within + apart * apart * count[:, None], 0.0), 0)
    factor = 1.0 / tl.sqrt(squares / pixels + epsilon)
    if SCALED:
        factor = factor * tl.load(scale + slot * CHANNELS + channel, mask=known, other=0.0)
    summand = -mean * factor
    if SHIFTED:
        summand += tl.load(shift + slot * CHANNELS + channel, mask=known, other=0.0)
    here = made + slot * CHANNELS + channel
    tl.store(here, factor, mask=known)
    tl.store(here + tl.num_programs(0) * CHANNELS, summand, mask=known)
    finite = tl.where(known, tl.abs(summand), 0.0) < float("inf")
    if tl.min(finite.to(tl.int32), 0) == 0:
        tl.store(infinite + tl.load(owners + slot), 1)

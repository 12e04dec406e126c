"""Loops of backward passes that take sixteen output gradients at once, compiled by Numba.

The sixteen numbers in which the passes differ are adjacent in memory, one vector instruction wide;
what depends on activations alone (inputs, rectifiers, normalisations) is read once for all sixteen,
as a scalar. So no channel and no pixel of a thin or a small layer is padded to a block. Gradients
are (n, H, W, C, 16), activations (n, C, H, W), all float32, flat and in row order; n counts images.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

from untrained.compiled import jit

#: Number of backward passes that run together.
LANES = 16
#: Largest side of a tile of sums, which fits the registers with its factors; a tile of twice this
#: width has one line less.
TILE = 4
#: Bytes of a gradient's lines that are processed together; they stay in the first-level cache.
_LINES = 24 * 2**10
#: With fewer pixels, loading and storing a tile of sums costs more than it saves.
_PIXELS = 64

Array = NDArray[Any]

_intrinsic: Callable[..., Any] = intrinsic


class _LanesType(types.Type):
    """Sixteen numbers in a register; the compiler would check loops over an array for overlaps."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


_LANES_TYPE = _LanesType()
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_ZERO = ir.Constant(_VECTOR, [0.0] * LANES)


@register_model(_LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


def _spread(builder: Any, scalar: Any) -> Any:
    """Return a vector of sixteen equal numbers."""
    first = builder.insert_element(_ZERO, scalar, ir.IntType(32)(0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, _ZERO, everywhere)


def _address(builder: Any, array: Any, place: Any) -> Any:
    """Return the address of the vector that begins at a position of an array."""
    return builder.bitcast(builder.gep(array.data, [place]), _VECTOR.as_pointer())


@_intrinsic
def _at(_context: Any, array: Any, place: Any) -> Any:
    """Read the sixteen numbers that begin at a position of a flat array."""

    def load(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.load(_address(builder, source, arguments[1]), align=4)

    return _LANES_TYPE(array, place), load


@_intrinsic
def _put(_context: Any, array: Any, place: Any, lanes: Any) -> Any:
    """Write sixteen numbers at a position of a flat array."""

    def store(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = context.make_array(signature.args[0])(context, builder, arguments[0])
        builder.store(arguments[2], _address(builder, target, arguments[1]), align=4)
        return context.get_dummy_value()

    return types.void(array, place, lanes), store


@_intrinsic
def _multiply_add(_context: Any, lanes: Any, scalar: Any, summand: Any) -> Any:
    """Return lanes times a float32 plus lanes."""

    def compute(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        product = builder.fmul(arguments[0], _spread(builder, arguments[1]), flags=("contract",))
        return builder.fadd(product, arguments[2], flags=("contract",))

    return _LANES_TYPE(lanes, types.float32, summand), compute


@_intrinsic
def _zero(_context: Any) -> Any:
    """Return sixteen zeros."""
    return _LANES_TYPE(), lambda _context, _builder, _signature, _arguments: _ZERO


class _Tile:
    """Emits the instructions for one tile of sums; see `_products`."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.builder, self.arguments = builder, arguments
        self.arrays = {
            place: context.make_array(signature.args[place])(context, builder, arguments[place])
            for place in (3, 6, 9, 13)
        }
        self.word = ir.IntType(64)

    def parts(self, place: int, count: int) -> list[Any]:
        """Return the numbers of a tuple."""
        return [self.builder.extract_value(self.arguments[place], i) for i in range(count)]

    def at(self, begin: Any, *terms: tuple[Any, Any]) -> Any:
        """Return a position: `begin` plus the sum of the products of `terms`."""
        for count, step in terms:
            factor = self.word(count) if isinstance(count, int) else count
            begin = self.builder.add(begin, self.builder.mul(factor, step))
        return begin

    def address(self, array: int, place: Any) -> Any:
        """Return the address of a vector at a position of an array."""
        return _address(self.builder, self.arrays[array], place)

    def number(self, array: int, place: Any) -> Any:
        """Read the scalar at a position of an array."""
        return self.builder.load(self.builder.gep(self.arrays[array].data, [place]))

    def write(self, across: int, down: int) -> None:
        """Emit them."""
        builder, arguments = self.builder, self.arguments
        tile = [(i, j) for i in range(across) for j in range(down)]
        totals = {
            one: cgutils.alloca_once(builder, _VECTOR)  # type: ignore[no-untyped-call]
            for one in tile
        }
        for one in tile:
            builder.store(_ZERO, totals[one])
        counts, scalar_steps, vector_steps = self.parts(2, 3), self.parts(8, 4), self.parts(5, 4)
        vector_here, scalar_here = arguments[4], arguments[7]
        with ExitStack() as loops:
            for count, of_vectors, of_scalars in zip(
                counts, vector_steps[1:], scalar_steps[1:], strict=True
            ):
                loop = loops.enter_context(cgutils.for_range(builder, count))
                vector_here = self.at(vector_here, (loop.index, of_vectors))
                scalar_here = self.at(scalar_here, (loop.index, of_scalars))
            vectors = [
                builder.load(self.address(3, self.at(vector_here, (i, vector_steps[0]))), align=4)
                for i in range(across)
            ]
            for j in range(down):
                place = self.at(scalar_here, (j, scalar_steps[0]))
                scalar = _spread(builder, self.number(6, place))
                for i in range(across):
                    product = builder.fmul(vectors[i], scalar, flags=("contract",))
                    total = builder.load(totals[i, j])
                    total = builder.fadd(total, product, flags=("contract",))
                    builder.store(total, totals[i, j])
        gate_steps, target_steps = self.parts(15, 2), self.parts(11, 2)
        gated = builder.icmp_signed(">", self.arrays[13].nitems, self.word(0))
        with builder.if_then(gated):
            for i, j in tile:
                place = self.at(arguments[14], (i, gate_steps[0]), (j, gate_steps[1]))
                # true for NaN too, as in PyTorch
                lives = builder.fcmp_unordered(">", self.number(13, place), ir.FloatType()(0.0))
                total = builder.load(totals[i, j])
                builder.store(builder.select(lives, total, _ZERO), totals[i, j])
        places = {
            (i, j): self.address(
                9, self.at(arguments[10], (i, target_steps[0]), (j, target_steps[1]))
            )
            for i, j in tile
        }
        with builder.if_then(arguments[12]):
            for one in tile:
                old = builder.load(places[one], align=4)
                builder.store(builder.fadd(builder.load(totals[one]), old), totals[one])
        for one in tile:
            builder.store(builder.load(totals[one]), places[one], align=4)


@_intrinsic
def _tile(
    _context: Any,
    across: Any,
    down: Any,
    counts: Any,
    vectors: Any,
    vector_at: Any,
    vector_steps: Any,
    scalars: Any,
    scalar_at: Any,
    scalar_steps: Any,
    target: Any,
    target_at: Any,
    target_steps: Any,
    adds: Any,
    gate: Any,
    gate_at: Any,
    gate_steps: Any,
) -> Any:
    """Do what `_products` does, with instructions for every size of a tile."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        tile = _Tile(context, builder, signature, arguments)
        for across in (*range(1, TILE + 1), 2 * TILE):
            wide = builder.icmp_signed("==", arguments[0], tile.word(across))
            with builder.if_then(wide):
                for down in range(1, TILE + (across <= TILE)):
                    high = builder.icmp_signed("==", arguments[1], tile.word(down))
                    with builder.if_then(high):
                        tile.write(across, down)
        return context.get_dummy_value()

    kinds = (
        across, down, counts, vectors, vector_at, vector_steps, scalars, scalar_at, scalar_steps,
        target, target_at, target_steps, adds, gate, gate_at, gate_steps,
    )  # fmt: skip
    return types.void(*kinds), generate


@jit
def _products(
    across: int,
    down: int,
    counts: Any,
    vectors: Array,
    vector_at: int,
    vector_steps: Any,
    scalars: Array,
    scalar_at: int,
    scalar_steps: Any,
    target: Array,
    target_at: int,
    target_steps: Any,
    adds: bool,
    gate: Array,
    gate_at: int,
    gate_steps: Any,
) -> None:
    """Compute sums of products of vectors and scalars, `across` times `down` of them in registers.

    total[i, j] is the sum over all (b, r, t) < `counts` of the vector at `vector_at` +
    (i, b, r, t) . `vector_steps` times the scalar at `scalar_at` + (j, b, r, t) . `scalar_steps`.
    A tile has up to 4 x 4 or 8 x 3 sums. It is written at `target_at` + (i, j) . `target_steps`,
    or added there if `adds`. Where `gate` is not empty, sums whose number at `gate_at` +
    (i, j) . `gate_steps` is not positive are set to zero.
    """
    _tile(
        across, down, counts, vectors, vector_at, vector_steps, scalars, scalar_at, scalar_steps,
        target, target_at, target_steps, adds, gate, gate_at, gate_steps,
    )  # fmt: skip


@jit
def convolution(
    gradient: Array,
    shape: Any,
    factor: Array,
    offset: Array,
    slope: Array,
    normalised: Array,
    x: Array,
    x_shape: Any,
    kernel: Any,
    by_weight: Array,
    phases: Array,
    packed: Array,
    blocks: Any,
    margin: Any,
    around: Array,
    by_input: Array,
    input_shape: Any,
    adds: bool,
    gated: bool,
) -> None:
    """Fill in gradients of a convolution that may be followed by a batch normalisation.

    Args:
        gradient: gradient of the output, after the normalisation if there is one.
        shape: (n, H', W', D) of `gradient`.
        factor: (D,), multiplies the gradient first.
        offset: (D 16,), is added next; empty without a normalisation.
        slope: (D 16,), times `normalised`, is added last.
        normalised: (n, D, H', W'), the output of the convolution.
        x: (n, C, Y, X), the input surrounded by zeros.
        x_shape: (C, Y, X).
        kernel: (size, stride, dilation, groups), the same for lines and columns. Dilated groups
            have one output channel each.
        by_weight: (D, size, size, C / groups, 16), added to; empty where it is not requested.
        phases: phases as `packed_weight` returns them.
        packed: weight as `packed_weight` returns it.
        blocks: number of input and of output channels of a group that are processed together.
        margin: zeros before and after the gradient in `around`.
        around: scratch memory for one or more images, (D / block, ..., ..., block, 16); its border
            of zeros stays zero.
        by_input: gradient of the input, filled in; empty where it is not requested.
        input_shape: (C, H, W) of the input.
        adds: whether to add to `by_input` instead of overwriting it.
        gated: whether the gradient of the input is zero where x is not positive.
    """
    gate = x if gated else x[:0]
    images, high, wide, outputs = shape
    filters = outputs // kernel[3]
    line = (wide + margin[0] + margin[1]) * blocks[1] * LANES
    plane = (high + margin[0] + margin[1]) * line
    image_size = kernel[3] * -(-filters // blocks[1]) * plane
    inside = margin[0] * (line + blocks[1] * LANES)
    together = max(1, min(images, around.size // image_size))
    places = np.empty(outputs, np.int64)  # of the channels in a block; divisions are slow
    for d in range(outputs):
        group, own = divmod(d, filters)
        block = group * -(-filters // blocks[1]) + own // blocks[1]
        places[d] = block * plane + own % blocks[1] * LANES
    for first in range(0, images, together):
        count = min(together, images - first)
        for image in range(count):
            for h in range(high):
                given = gradient[((first + image) * high + h) * wide * outputs * LANES :]
                seen = normalised[(first + image) * outputs * high * wide + h * wide :]
                made = around[image * image_size + inside + h * line :]
                steps = (blocks[1] * LANES, high * wide)
                _copy_line(given, wide, factor, offset, slope, seen, made, places, steps)
        if by_weight.size:
            for image in range(count):
                _add_by_weight(
                    around[image * image_size + inside :],
                    (high, wide, outputs),
                    (blocks[1], plane, line),
                    x[(first + image) * x_shape[0] * x_shape[1] * x_shape[2] :],
                    x_shape,
                    kernel,
                    by_weight,
                    blocks[0],
                )
        if by_input.size:
            for image in range(count):
                _by_input(
                    around[image * image_size :],
                    (blocks[1], plane, line),
                    outputs,
                    kernel,
                    phases,
                    packed,
                    blocks[0],
                    margin[0],
                    by_input,
                    first + image,
                    input_shape,
                    adds,
                    gate,
                    x_shape,
                )


@jit
def _copy_line(
    given: Array,
    wide: int,
    factor: Array,
    offset: Array,
    slope: Array,
    seen: Array,
    made: Array,
    places: Array,
    steps: Any,
) -> None:
    """Write one line of the gradient of a convolution's output, in blocks of channels."""
    outputs = len(factor)
    pixel, channel = steps
    for w in range(wide):
        for d in range(outputs):
            place = (w * outputs + d) * LANES
            target = places[d] + w * pixel
            rest = _zero()
            if offset.size:
                own = d * LANES
                rest = _multiply_add(_at(slope, own), seen[d * channel + w], _at(offset, own))
            _put(made, target, _multiply_add(_at(given, place), factor[d], rest))


@jit
def _add_by_weight(
    around: Array,
    shape: Any,
    steps: Any,
    x: Array,
    x_shape: Any,
    kernel: Any,
    by_weight: Array,
    block: int,
) -> None:
    """Add one image's part of the weight's gradient; `steps` are the strides of `around`."""
    high, wide, outputs = shape
    own, plane, line = steps
    size, stride, dilation, groups = kernel
    area, x_wide = x_shape[1] * x_shape[2], x_shape[2]
    inputs, filters = x_shape[0] // groups, outputs // groups
    count = -(-filters // own)
    lines = max(1, _LINES // (wide * own * LANES * 4), _PIXELS // wide)
    empty = np.empty(0, np.float32)
    # the scalars of a tile are channels, or taps of the only channel
    taps, step = (1, area) if inputs > 1 else (TILE, dilation)
    for h in range(0, high, lines):
        counts = (1, min(lines, high - h), wide)
        for group in range(groups):
            for d in range(0, filters, own):
                for r in range(size):
                    for s in range(0, size, taps):
                        seen = (stride * h + r * dilation) * x_wide + s * dilation
                        for c in range(0, inputs, block):
                            _products(
                                min(own, filters - d),
                                min(block, inputs - c) if inputs > 1 else min(taps, size - s),
                                counts,
                                around,
                                (group * count + d // own) * plane + h * line,
                                (LANES, 0, line, own * LANES),
                                x,
                                seen + (group * inputs + c) * area,
                                (step, 0, stride * x_wide, stride),
                                by_weight,
                                ((((group * filters + d) * size + r) * size + s) * inputs + c)
                                * LANES,
                                (size * size * inputs * LANES, LANES),
                                True,
                                empty,
                                0,
                                (0, 0),
                            )


@jit
def _by_input(
    around: Array,
    steps: Any,
    outputs: int,
    kernel: Any,
    phases: Array,
    packed: Array,
    block: int,
    before: int,
    by_input: Array,
    image: int,
    shape: Any,
    adds: bool,
    gate: Array,
    gate_shape: Any,
) -> None:
    """Write or add one image's gradient of the input; `steps` are the strides of `around`."""
    channels, height, width = shape
    own, plane, line = steps
    size, stride, dilation, groups = kernel
    inputs = channels // groups
    # pixels of the output between two taps that read the same phase
    gap = dilation if dilation % stride else dilation // stride
    pixel = channels * LANES
    _, gate_high, gate_wide = gate_shape
    zeros = (gate_wide - width) // 2
    across = 2 * TILE if block < TILE else TILE
    count, weight_size = -(-(outputs // groups) // own), len(packed) // groups
    # blocks of the output of which a few pixels fit the first-level cache
    chunk = max(1, _LINES // (size * (across + size - 1) * own * LANES * 4))
    for row in range(stride):
        for column in range(stride):
            up, taps_high = phases[row, 0], phases[row, 1]
            left, taps_wide = phases[column, 0], phases[column, 1]
            taps = taps_high * taps_wide * own
            columns = (width - column + stride - 1) // stride
            for u in range((height - row + stride - 1) // stride):
                h = u * stride + row
                begin = (u + up + before) * line
                v = 0
                while v < columns:
                    pixels = across if columns - v >= across else min(TILE, columns - v)
                    w = v * stride + column
                    for group in range(groups):
                        weights = group * weight_size + phases[row, 2 + column]
                        for first in range(0, count, chunk):
                            for c in range(0, inputs, block):
                                down = min(block, inputs - c)
                                own_c = group * inputs + c
                                _products(
                                    pixels,
                                    down,
                                    (min(chunk, count - first), taps_high, taps_wide * own),
                                    around,
                                    (group * count + first) * plane
                                    + begin
                                    + (v + left + before) * own * LANES,
                                    (own * LANES, plane, gap * line, gap * LANES),
                                    packed,
                                    weights + (c * count + first * down) * taps,
                                    (1, taps * down, taps_wide * own * down, down),
                                    by_input,
                                    ((image * height + h) * width + w) * pixel + own_c * LANES,
                                    (stride * pixel, LANES),
                                    adds or first > 0,
                                    gate,
                                    ((image * channels + own_c) * gate_high + h + zeros) * gate_wide
                                    + (w + zeros),
                                    (stride, gate_high * gate_wide),
                                )
                    v += pixels


@jit
def block_of(channels: int) -> int:
    """Return how many channels to process together, so that the last block is nearly full."""
    if channels < TILE:
        return channels
    return 3 if channels % 3 == 0 and channels % 4 else 4


@jit
def moments(
    gradient: Array,
    x: Array,
    shape: Any,
    mean: Array,
    deviation: Array,
    first: Array,
    second: Array,
) -> None:
    """Fill in sums over images and pixels of a gradient, and of it times the normalised x.

    Args:
        gradient: gradient of the normalisation's output.
        x: (n, C, H, W), input of the normalisation.
        shape: (n, H W, C).
        mean: (C,), mean of the batch.
        deviation: (C,), one over the standard deviation.
        first: (C, 16) float64, filled in.
        second: (C, 16) float64, filled in.
    """
    images, pixels, channels = shape
    one, two = np.empty((2, channels * LANES), np.float32)
    first[:] = 0
    second[:] = 0
    for image in range(images):
        one[:] = 0
        two[:] = 0
        for pixel in range(pixels):
            at = (image * pixels + pixel) * channels * LANES
            seen = image * channels * pixels + pixel
            for c in range(channels):
                value = (x[seen + c * pixels] - mean[c]) * deviation[c]
                given, own = _at(gradient, at + c * LANES), c * LANES
                _put(one, own, _multiply_add(given, np.float32(1), _at(one, own)))
                _put(two, own, _multiply_add(given, value, _at(two, own)))
        for c in range(channels):  # sums of one image are float32, those of the batch float64
            for t in range(LANES):
                first[c, t] += one[c * LANES + t]
                second[c, t] += two[c * LANES + t]


@jit
def normalisation(
    gradient: Array,
    shape: Any,
    factor: Array,
    offset: Array,
    slope: Array,
    x: Array,
    by_input: Array,
    adds: bool,
) -> None:
    """Write or add factor * gradient + offset + slope * x; see `convolution`.

    `shape` is (n, H W, C).
    """
    images, pixels, channels = shape
    for image in range(images):
        for pixel in range(pixels):
            at = (image * pixels + pixel) * channels * LANES
            seen = image * channels * pixels + pixel
            for c in range(channels):
                place, own = at + c * LANES, c * LANES
                made = _multiply_add(_at(slope, own), x[seen + c * pixels], _at(offset, own))
                if adds:
                    made = _multiply_add(_at(by_input, place), np.float32(1), made)
                _put(by_input, place, _multiply_add(_at(gradient, place), factor[c], made))


@jit
def scaled(gradient: Array, factor: float, by_input: Array, adds: bool) -> None:
    """Write or add factor * gradient."""
    times = np.float32(factor)
    for place in range(0, len(gradient), LANES):
        old = _at(by_input, place) if adds else _zero()
        _put(by_input, place, _multiply_add(_at(gradient, place), times, old))


@jit
def rectified(
    gradient: Array, shape: Any, factor: float, gate: Array, by_input: Array, adds: bool
) -> None:
    """Write or add factor * gradient where `gate` (n, C, H, W) is positive; shape (n, H W, C)."""
    images, pixels, channels = shape
    for image in range(images):
        for pixel in range(pixels):
            at = (image * pixels + pixel) * channels * LANES
            seen = image * channels * pixels + pixel
            for c in range(channels):
                value = gate[seen + c * pixels]
                times = np.float32(0) if value <= 0 else np.float32(factor)
                place = at + c * LANES
                old = _at(by_input, place) if adds else _zero()
                _put(by_input, place, _multiply_add(_at(gradient, place), times, old))


@jit
def pooling(
    gradient: Array,
    shape: Any,
    shares: Array,
    window: Any,
    by_input: Array,
    input_shape: Any,
    adds: bool,
) -> None:
    """Write or add the gradient of an average pooling.

    Args:
        gradient: gradient of the output.
        shape: (n, H', W', C).
        shares: (H', W'), factors that multiply the gradient first.
        window: (size, stride, padding), the same for lines and columns.
        by_input: gradient of the input, filled in.
        input_shape: (H, W) of the input.
        adds: whether to add to `by_input` instead of overwriting it.
    """
    images, high, wide, channels = shape
    size, stride, padding = window
    height, width = input_shape
    run = channels * LANES
    for image in range(images):
        for h in range(height):
            # the windows that include this line, and below this pixel
            top = max(0, -((size - 1 - padding - h) // stride))
            bottom = min(high, (h + padding) // stride + 1)
            for w in range(width):
                left = max(0, -((size - 1 - padding - w) // stride))
                right = min(wide, (w + padding) // stride + 1)
                for lanes in range(0, run, LANES):
                    place = ((image * height + h) * width + w) * run + lanes
                    total = _at(by_input, place) if adds else _zero()
                    for line in range(top, bottom):
                        for column in range(left, right):
                            source = ((image * high + line) * wide + column) * run + lanes
                            share = shares[line, column]
                            total = _multiply_add(_at(gradient, source), share, total)
                    _put(by_input, place, total)


@jit
def selected(
    gradient: Array, shape: Any, factor: float, chosen: Array, area: int, by_input: Array
) -> None:
    """Add factor * gradient at the pixels that a maximum pooling chose.

    Args:
        gradient: gradient of the output.
        shape: (n, H' W', C).
        factor: multiplies the gradient first.
        chosen: (n, C, H', W'), pixel of the input that each pixel of the output equals.
        area: H W of the input.
        by_input: gradient of the input, added to.
    """
    images, pixels, channels = shape
    times = np.float32(factor)
    for image in range(images):
        for pixel in range(pixels):
            for c in range(channels):
                source = ((image * pixels + pixel) * channels + c) * LANES
                seen = chosen[(image * channels + c) * pixels + pixel]
                place = ((image * area + seen) * channels + c) * LANES
                _put(
                    by_input,
                    place,
                    _multiply_add(_at(gradient, source), times, _at(by_input, place)),
                )


@jit
def copied(
    source: Array,
    source_shape: Any,
    source_part: Any,
    factor: float,
    target: Array,
    target_shape: Any,
    target_part: Any,
    counts: Any,
    adds: bool,
) -> None:
    """Write or add factor times a part of one gradient to a part of another.

    Args:
        source: gradient.
        source_shape: (n, H, W, C) of it.
        source_part: first line, column and channel of the part, and step of lines and of columns.
        factor: multiplies the part.
        target: gradient.
        target_shape: (n, H, W, C) of it.
        target_part: as `source_part`.
        counts: lines, columns and channels of the part.
        adds: whether to add instead of overwriting.
    """
    images, height, width, channels = target_shape
    times = np.float32(factor)
    for image in range(images):
        for line in range(counts[0]):
            from_line = image * source_shape[1] + source_part[0] + line * source_part[3]
            to_line = image * height + target_part[0] + line * target_part[3]
            for column in range(counts[1]):
                read = from_line * source_shape[2] + source_part[1] + column * source_part[4]
                read = (read * source_shape[3] + source_part[2]) * LANES
                write = to_line * width + target_part[1] + column * target_part[4]
                write = (write * channels + target_part[2]) * LANES
                for lanes in range(0, counts[2] * LANES, LANES):
                    old = _at(target, write + lanes) if adds else _zero()
                    _put(
                        target, write + lanes, _multiply_add(_at(source, read + lanes), times, old)
                    )

"""Loops over arrays that Numba compiles for the processor that they run on.

Each is compiled on its first call and cached on disk. NumPy has no bfloat16, so such numbers are
passed as their bits in int16. Arithmetic is in float32; sums over a batch are in float64.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

#: PyTorch's default epsilon of batch normalisation.
EPSILON = 1e-5
#: The number of elements that the loops process together; as a constant it lets the compiler unroll
#: them. Loops for scores also take other numbers, for channels that do not divide it.
LANES = 128
#: The number of rows to prefetch ahead, further than the processor does by itself.
AHEAD = 8

Array = NDArray[Any]

_intrinsic: Callable[..., Any] = intrinsic
#: Compiles a loop. The compiler may reorder sums for vector instructions; NaN and infinity keep
#: their meaning.
jit: Callable[..., Any] = numba.njit(
    nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"}
)


@_intrinsic
def _widened(_context: Any, number: Any) -> Any:
    """Return the float32 value of a float32, or of a bfloat16 given by its bits (int16)."""
    if number == types.int16:

        def from_bits(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            wide = builder.shl(builder.zext(arguments[0], ir.IntType(32)), ir.IntType(32)(16))
            return builder.bitcast(wide, ir.FloatType())

        return types.float32(types.int16), from_bits
    return types.float32(types.float32), lambda _c, _b, _s, arguments: arguments[0]


@_intrinsic
def _narrowed(_context: Any, _number: Any, like: Any) -> Any:
    """Return a float32 in the type of `like`: itself, or the bits of the nearest bfloat16."""
    if like == types.float32:
        return types.float32(types.float32, like), lambda _c, _b, _s, arguments: arguments[0]

    def to_bits(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        word = ir.IntType(32)
        bits = builder.bitcast(arguments[0], word)
        odd = builder.and_(builder.lshr(bits, word(16)), word(1))  # ties round to even
        rounded = builder.lshr(builder.add(bits, builder.add(odd, word(0x7FFF))), word(16))
        is_nan = builder.fcmp_unordered("uno", arguments[0], arguments[0])
        return builder.trunc(builder.select(is_nan, word(0x7FC0), rounded), ir.IntType(16))

    return types.int16(types.float32, like), to_bits


@_intrinsic
def _soon(_context: Any, array: Any, _image: Any, _row: Any, _lane: Any) -> Any:
    """Prefetch the cache line of one number; a position past the end does no harm."""

    def prefetch(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        struct = context.make_array(kind)(context, builder, arguments[0])
        where = cgutils.get_item_pointer(  # type: ignore[no-untyped-call]
            context, builder, kind, struct, arguments[1:], wraparound=False
        )
        word, address = ir.IntType(32), builder.bitcast(where, ir.IntType(8).as_pointer())
        call = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [address.type],
            ir.FunctionType(ir.VoidType(), [address.type, word, word, word]),
        )
        builder.call(call, [address, word(0), word(3), word(1)])  # read, into all caches, data
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, types.intp), prefetch


@jit
def start(rows: Array, channels: int, state: Array) -> None:
    """Set the origin, row 2 of `state` (3, lanes), to the first pixel."""
    for lane in range(state.shape[1]):
        state[2, lane] = _widened(rows[0, 0, lane % channels])


@jit
def add_moments(rows: Array, state: Array) -> None:
    """Add differences from row 2 of `state` to its row 0, and their squares to its row 1."""
    images, count, lanes = rows.shape
    first = np.empty(lanes, np.float32)
    second = np.empty(lanes, np.float32)
    origin = state[2].astype(np.float32)
    for image in range(images):
        first[:] = np.float32(0)
        second[:] = np.float32(0)
        for row in range(0, count, 4):
            for lane in range(0, 4 * lanes, 16):
                _soon(rows, image, row + AHEAD, lane)
            for lane in range(lanes):
                one = _widened(rows[image, row, lane]) - origin[lane]
                two = _widened(rows[image, row + 1, lane]) - origin[lane]
                three = _widened(rows[image, row + 2, lane]) - origin[lane]
                four = _widened(rows[image, row + 3, lane]) - origin[lane]
                first[lane] += (one + two) + (three + four)
                second[lane] += (one * one + two * two) + (three * three + four * four)
        for lane in range(lanes):  # float32 suffices for the sums of one image, not of all
            state[0, lane] += first[lane]
            state[1, lane] += second[lane]


@jit
def write_affine(
    state: Array,
    count: int,
    channels: int,
    scale: Array,
    shift: Array,
    factor: Array,
    summand: Array,
) -> None:
    """Set `factor`, and add to `summand`, so that they normalise by the moments of `count` pixels.

    `scale` and `shift` (channels,) are applied after that; empty ones stand for 1 and 0.
    """
    for channel in range(channels):
        first, second = 0.0, 0.0
        for lane in range(channel, factor.size, channels):
            first += state[0, lane] / count
            second += state[1, lane] / count
        times = 1 / np.sqrt(max(second - first * first, 0.0) + EPSILON)
        if scale.size:
            times *= scale[channel]
        plus = -(first + state[2, channel]) * times
        if shift.size:
            plus += shift[channel]
        for lane in range(channel, factor.size, channels):
            factor[lane] = times
            summand[lane] += plus


@jit
def average(source: Array, channels: int, target: Array) -> None:
    """Average over the 3x3 neighbours that exist, in (images, height, width * channels)."""
    images, height, width = source.shape
    padded = np.zeros(width + 2 * channels, np.float32)
    left, middle, right = padded[:width], padded[channels:-channels], padded[2 * channels :]
    for image in range(images):
        for row in range(height):
            above = source[image, max(row - 1, 0)]
            here = source[image, row]
            below = source[image, min(row + 1, height - 1)]
            rows = 3 - (row == 0) - (row == height - 1)
            share = np.float32(1 / (3 * rows))
            for lane in range(0, width, 16):
                _soon(source, image, row + 3, lane)
            if rows == 3:
                for lane in range(width):
                    middle[lane] = (
                        _widened(above[lane]) + _widened(here[lane]) + _widened(below[lane])
                    ) * share
            else:
                for lane in range(width):
                    middle[lane] = _widened(here[lane]) * share
                if row > 0:
                    for lane in range(width):
                        middle[lane] += _widened(above[lane]) * share
                if row < height - 1:
                    for lane in range(width):
                        middle[lane] += _widened(below[lane]) * share
            out = target[image, row]
            for lane in range(width):
                out[lane] = _narrowed(left[lane] + middle[lane] + right[lane], out[lane])
            for lane in range(channels):  # at the sides, two columns instead of three
                mean = (middle[lane] + right[lane]) * np.float32(1.5)
                out[lane] = _narrowed(mean, out[lane])
            for lane in range(width - channels, width):
                mean = (left[lane] + middle[lane]) * np.float32(1.5)
                out[lane] = _narrowed(mean, out[lane])


@jit
def largest(source: Array, channels: int, target: Array) -> None:
    """Take the largest of the 3x3 neighbours that exist, in (images, height, width * channels)."""
    images, height, width = source.shape
    padded = np.full(width + 2 * channels, -np.float32(np.inf))
    left, middle, right = padded[:width], padded[channels:-channels], padded[2 * channels :]
    for image in range(images):
        for row in range(height):
            above = source[image, max(row - 1, 0)]  # a repeated row changes no maximum
            here = source[image, row]
            below = source[image, min(row + 1, height - 1)]
            for lane in range(0, width, 16):
                _soon(source, image, row + 3, lane)
            for lane in range(width):
                middle[lane] = max(
                    max(_widened(above[lane]), _widened(here[lane])), _widened(below[lane])
                )
            out = target[image, row]
            for lane in range(width):
                found = max(max(left[lane], middle[lane]), right[lane])
                out[lane] = _narrowed(found, out[lane])


@jit
def halve(source: Array, channels: int, target: Array) -> None:
    """Take the maximum over 2x2 squares of (images, height, width * channels), with even sides."""
    images, height, _ = target.shape
    for image in range(images):
        for row in range(height):
            upper, lower = source[image, 2 * row], source[image, 2 * row + 1]
            out = target[image, row]
            for start in range(0, out.size, channels):
                one, two = upper[2 * start :], lower[2 * start :]
                for lane in range(channels):
                    first = max(_widened(one[lane]), _widened(one[lane + channels]))
                    second = max(_widened(two[lane]), _widened(two[lane + channels]))
                    out[start + lane] = _narrowed(max(first, second), out[start + lane])


@jit
def combine(
    first: Array,
    second: Array,
    third: Array,
    terms: int,
    scales: Array,
    shift: Array,
    value: Array,
    rectified: Array,
    packed: Array,
    write_value: bool,
    write_rectified: bool,
    write_codes: bool,
    lanes: int = LANES,
) -> None:
    """Write shift + the sum of scales[i] * term i, rectified and coded, of (images, rows, lanes).

    Bit b of the codes of eight rows belongs to row b. Loops over one row stay in the first-level
    cache. Where `lanes` is omitted, the compiler knows it as a constant, which saves up to 7 %.
    """
    images, count, _ = first.shape
    total = np.empty(lanes, np.float32)
    bits = np.empty(lanes, np.int32)
    for image in range(images):
        for eight in range(count // 8):
            bits[:] = 0
            for position in range(8):
                row = 8 * eight + position
                bit = np.int32(1 << position)
                for lane in range(0, lanes, 16):
                    _soon(first, image, row + AHEAD, lane)
                for lane in range(lanes):
                    total[lane] = shift[lane] + scales[0, lane] * _widened(first[image, row, lane])
                if terms > 1:
                    for lane in range(0, lanes, 16):
                        _soon(second, image, row + AHEAD, lane)
                    for lane in range(lanes):
                        total[lane] += scales[1, lane] * _widened(second[image, row, lane])
                if terms > 2:
                    for lane in range(0, lanes, 16):
                        _soon(third, image, row + AHEAD, lane)
                    for lane in range(lanes):
                        total[lane] += scales[2, lane] * _widened(third[image, row, lane])
                if write_value:
                    for lane in range(lanes):
                        value[image, row, lane] = _narrowed(total[lane], value[image, row, lane])
                if write_rectified:
                    for lane in range(lanes):
                        rectified[image, row, lane] = _narrowed(
                            max(total[lane], np.float32(0)), rectified[image, row, lane]
                        )
                if write_codes:
                    for lane in range(lanes):
                        bits[lane] |= bit if total[lane] > np.float32(0) else np.int32(0)
            if write_codes:
                for lane in range(lanes):
                    packed[image, eight * lanes + lane] = bits[lane]


@_intrinsic
def _ones(_context: Any, _number: Any) -> Any:
    """Return how many bits of a uint64 are set."""

    def count(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), count


@jit
def add_agreements(words: Array, units: int, times: int, total: Array) -> None:
    """Add to (N, N), `times` times, on how many of `units` bits each two rows of `words` agree.

    Four rows are processed at a time, so that a word is read once for four of them.
    """
    width = words.shape[1]
    images = len(total)
    differ = np.zeros(4, np.int64)
    for start in range(0, images, 4):
        one, two, three, four = words[start], words[start + 1], words[start + 2], words[start + 3]
        for other in range(min(start + 4, images)):
            first, second, third, fourth = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
            row = words[other]
            for place in range(width):
                word = row[place]
                first += _ones(one[place] ^ word)
                second += _ones(two[place] ^ word)
                third += _ones(three[place] ^ word)
                fourth += _ones(four[place] ^ word)
            differ[0], differ[1], differ[2], differ[3] = first, second, third, fourth
            for offset in range(min(4, images - start)):
                mine = start + offset
                if other <= mine:
                    same = times * (units - differ[offset])
                    total[mine, other] += same
                    if other < mine:
                        total[other, mine] += same


# inlined into its caller, since a function call costs a tenth more time in bfloat16
@numba.njit(inline="always")
def _add_products(
    term: Array, image: int, row: int, mean: Array, gradient: Array, products: Array
) -> None:
    """Add to `products` (LANES,) the products of `gradient` and a row less `mean`."""
    for lane in range(0, LANES, 16):
        _soon(term, image, row + AHEAD, lane)
    for lane in range(LANES):
        products[lane] += gradient[lane] * (_widened(term[image, row, lane]) - mean[lane])


@jit
def gradient_moments(
    direct: Array,
    rectified_gradient: Array,
    rectified: Array,
    has_direct: bool,
    has_rectified: bool,
    first: Array,
    second: Array,
    third: Array,
    terms: int,
    means: Array,
    total: Array,
    sums: Array,
) -> None:
    """Compute the gradient of a sum of terms, and the sums that its normalised terms need.

    Sets `total` to `direct`, plus `rectified_gradient` where `rectified` is positive; all are
    (images, rows, LANES). Adds to `sums` (1 + terms, LANES) float64 that gradient, and its products
    with the differences of each of `terms` from its row of `means`.
    """
    images, count, _ = total.shape
    gradient = np.empty(LANES, np.float32)
    plain = np.empty(LANES, np.float32)
    products = np.empty((3, LANES), np.float32)
    for image in range(images):
        plain[:] = np.float32(0)
        products[:] = np.float32(0)
        for row in range(count):
            if has_direct:
                for lane in range(0, LANES, 16):
                    _soon(direct, image, row + AHEAD, lane)
                for lane in range(LANES):
                    gradient[lane] = _widened(direct[image, row, lane])
            else:
                gradient[:] = np.float32(0)
            if has_rectified:
                for lane in range(0, LANES, 16):
                    _soon(rectified_gradient, image, row + AHEAD, lane)
                    _soon(rectified, image, row + AHEAD, lane)
                for lane in range(LANES):
                    passed = _widened(rectified_gradient[image, row, lane])
                    is_on = _widened(rectified[image, row, lane]) > np.float32(0)
                    gradient[lane] += passed if is_on else np.float32(0)
                for lane in range(LANES):
                    total[image, row, lane] = _narrowed(gradient[lane], total[image, row, lane])
            for lane in range(LANES):
                plain[lane] += gradient[lane]
            if terms > 0:
                _add_products(first, image, row, means[0], gradient, products[0])
            if terms > 1:
                _add_products(second, image, row, means[1], gradient, products[1])
            if terms > 2:
                _add_products(third, image, row, means[2], gradient, products[2])
        for lane in range(LANES):  # float32 suffices for the sums of one image, not of all
            sums[0, lane] += plain[lane]
            for term in range(terms):
                sums[1 + term, lane] += products[term, lane]


@jit
def normalisation_gradient(total: Array, term: Array, parts: Array, target: Array) -> None:
    """Set `target` to parts[0] * total + parts[1] * term + parts[2], of (images, rows, LANES)."""
    images, count, _ = total.shape
    one, two, three = parts[0], parts[1], parts[2]
    made = np.empty(LANES, np.float32)  # rules out overlaps with what is read
    for image in range(images):
        for row in range(count):
            for lane in range(0, LANES, 16):
                _soon(total, image, row + AHEAD, lane)
                _soon(term, image, row + AHEAD, lane)
            for lane in range(LANES):
                made[lane] = one[lane] * _widened(total[image, row, lane]) + (
                    two[lane] * _widened(term[image, row, lane]) + three[lane]
                )
            for lane in range(LANES):
                target[image, row, lane] = _narrowed(made[lane], target[image, row, lane])


@jit
def spread(source: Array, channels: int, target: Array) -> None:
    """Apply the transpose of `average`: from the gradient of the means to that of the source."""
    images, height, width = source.shape
    padded = np.zeros(width + 2 * channels, np.float32)
    left, middle, right = padded[:width], padded[channels:-channels], padded[2 * channels :]
    inner, outer = np.float32(1 / 9), np.float32(1 / 6)
    for image in range(images):
        for row in range(height):
            above = source[image, max(row - 1, 0)]
            here = source[image, row]
            below = source[image, min(row + 1, height - 1)]
            for lane in range(0, width, 16):
                _soon(source, image, row + 3, lane)
            upper = (outer if row == 1 else inner) if row > 0 else np.float32(0)
            own = outer if row == 0 or row == height - 1 else inner
            lower = (outer if row == height - 2 else inner) if row < height - 1 else np.float32(0)
            for lane in range(width):
                middle[lane] = (
                    upper * _widened(above[lane])
                    + own * _widened(here[lane])
                    + lower * _widened(below[lane])
                )
            for lane in range(channels):  # a mean at the side is over two columns
                middle[lane] *= np.float32(1.5)
            for lane in range(width - channels, width):
                middle[lane] *= np.float32(1.5)
            out = target[image, row]
            for lane in range(width):
                out[lane] = _narrowed(left[lane] + middle[lane] + right[lane], out[lane])

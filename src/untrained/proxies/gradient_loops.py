"""Loops over numbers for backward passes, compiled by Numba for the processor that they run on.

PyTorch's convolutions take blocks of 16 channels; with the three channels of a thin network most of
a block is empty, so these loops are several times as fast there. All arrays are float32 and in row
order; sums over a batch are in float64. `k` counts backward passes, `n` images.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Sums may be reordered for vector instructions; NaN and infinity keep their meaning.
_jit: Callable[..., Any] = numba.njit(
    nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz"}
)


@_jit
def convolution_3x3(
    gradient: Array, x: Array, weight: Array, by_input: Array, by_weight: Array
) -> None:
    """Fill the gradients of a 3x3 convolution at padding 1, of the stride that the shapes say.

    Args:
        gradient: (k, n, D, H', W') of the output.
        x: (n, C, H, W), the input.
        weight: (D, C, 3, 3).
        by_input: (k, n, C, H, W); empty where it is not wanted.
        by_weight: (k, D, C, 3, 3); empty where it is not wanted.
    """
    rows, images, outputs, high, wide = gradient.shape
    inputs, height, width = x.shape[1:]
    stride = -(-height // high)
    # An image amid zeros, its lines one after the other: shifting it by (r, s) is an offset then.
    line = width + 2
    length = height * line - 2
    around = np.zeros((outputs, (height + 2) * line), np.float32)
    seen = np.zeros((inputs, (height + 2) * line), np.float32)
    flat = np.empty(height * line, np.float32)
    totals = np.zeros((rows, outputs, inputs, 9), np.float64)
    for image in range(images):
        if by_weight.size:
            for c in range(inputs):
                for h in range(height):
                    for w in range(width):
                        seen[c, (h + 1) * line + 1 + w] = x[image, c, h, w]
        for row in range(rows):
            for d in range(outputs):
                # with zeros between the numbers a stride is none
                for h in range(high):
                    for w in range(wide):
                        place = (stride * h + 1) * line + 1 + stride * w
                        around[d, place] = gradient[row, image, d, h, w]
            if by_input.size:
                for c in range(inputs):
                    flat[:] = np.float32(0)
                    for d in range(outputs):
                        _add_correlation(around[d], weight[d, c], line, length, flat)
                    for h in range(height):
                        for w in range(width):
                            by_input[row, image, c, h, w] = flat[h * line + w]
            if by_weight.size:
                for d in range(outputs):
                    middle = around[d, line + 1 : line + 1 + length]
                    for c in range(inputs):
                        _add_products(middle, seen[c], line, length, totals[row, d, c])
    if by_weight.size:
        for row in range(rows):
            for d in range(outputs):
                for c in range(inputs):
                    for tap in range(9):
                        by_weight[row, d, c, tap // 3, tap % 3] = totals[row, d, c, tap]


@_jit
def _add_correlation(source: Array, weight: Array, line: int, length: int, target: Array) -> None:
    """Add to target the turned 3x3 weight applied to a source with lines of `line` numbers."""
    a, b, c = weight[2, 2], weight[2, 1], weight[2, 0]
    d, e, f = weight[1, 2], weight[1, 1], weight[1, 0]
    g, h, i = weight[0, 2], weight[0, 1], weight[0, 0]
    upper, middle, lower = source, source[line:], source[2 * line :]
    for t in range(length):
        target[t] += (
            (a * upper[t] + b * upper[t + 1] + c * upper[t + 2])
            + (d * middle[t] + e * middle[t + 1] + f * middle[t + 2])
            + (g * lower[t] + h * lower[t + 1] + i * lower[t + 2])
        )


@_jit
def _add_products(gradient: Array, source: Array, line: int, length: int, totals: Array) -> None:
    """Add to totals (9,) the inner products of gradient with the nine shifts of source."""
    upper, middle, lower = source, source[line:], source[2 * line :]
    a = b = c = d = e = f = g = h = i = np.float32(0)
    for t in range(length):
        one = gradient[t]
        a += one * upper[t]
        b += one * upper[t + 1]
        c += one * upper[t + 2]
        d += one * middle[t]
        e += one * middle[t + 1]
        f += one * middle[t + 2]
        g += one * lower[t]
        h += one * lower[t + 1]
        i += one * lower[t + 2]
    # one image in float32, the batch in float64
    for tap, total in enumerate((a, b, c, d, e, f, g, h, i)):
        totals[tap] += total


@_jit
def batch_norm(
    gradient: Array,
    x: Array,
    weight: Array,
    mean: Array,
    deviation: Array,
    by_input: Array,
    by_weight: Array,
    by_bias: Array,
) -> None:
    """Fill the gradients of a batch normalisation in training mode.

    Args:
        gradient: (k, n, C, HW) of the output.
        x: (n, C, HW), the input.
        weight: (C,).
        mean: (C,) of the batch.
        deviation: (C,), one over the standard deviation of the batch.
        by_input: (k, n, C, HW).
        by_weight: (k, C).
        by_bias: (k, C).
    """
    rows, images, channels, size = gradient.shape
    count = images * size
    for row in range(rows):
        for c in range(channels):
            first, second = 0.0, 0.0
            for image in range(images):
                one, two = _sums(gradient[row, image, c], x[image, c], mean[c])
                first += one
                second += two
            by_bias[row, c] = first
            by_weight[row, c] = second * deviation[c]
            scale = weight[c] * deviation[c]
            slope = np.float32(second * deviation[c] * deviation[c] / count)
            offset = np.float32(first / count)
            for image in range(images):
                given, seen = gradient[row, image, c], x[image, c]
                made, origin = by_input[row, image, c], mean[c]
                for t in range(size):
                    made[t] = scale * (given[t] - offset - (seen[t] - origin) * slope)


@_jit
def _sums(gradient: Array, x: Array, mean: float) -> Any:
    """Sums of the gradient, and of the gradient times x - mean."""
    first = second = np.float32(0)
    for t in range(len(gradient)):
        first += gradient[t]
        second += gradient[t] * (x[t] - mean)
    return first, second


@_jit
def window_sums(source: Array, height: int, width: int, target: Array) -> None:
    """Sums over windows of odd `height` and `width` around each pixel, zeros around the image.

    Args:
        source: (m, H, W).
        height: of a window.
        width: of a window.
        target: (m, H, W).
    """
    images, lines, length = source.shape
    up, left = height // 2, width // 2
    around = np.zeros(length + width - 1, np.float32)
    inside = around[left : left + length]
    for image in range(images):
        for line in range(lines):
            inside[:] = source[image, line]
            for other in range(max(line - up, 0), min(line + up + 1, lines)):
                if other != line:
                    summand = source[image, other]
                    for t in range(length):
                        inside[t] += summand[t]
            made = target[image, line]
            made[:] = around[:length]
            for shift in range(1, width):
                moved = around[shift:]
                for t in range(length):
                    made[t] += moved[t]

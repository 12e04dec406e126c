"""Loops of backward passes, compiled by Numba for the processor that they run on.

PyTorch's convolutions take blocks of 16 channels. With the three channels of a thin network most of
a block is empty, and with one filter per channel, as in the separable and dilated convolutions of
DARTS, nearly all of it; there these loops are several times as fast. All arrays are float32 and
in row order; sums over a batch are in float64. `k` counts backward passes, `n` images.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from untrained.compiled import jit

Array = NDArray[Any]


@jit
def convolution(
    gradient: Array,
    x: Array,
    weight: Array,
    stride: int,
    dilation: int,
    by_input: Array,
    by_weight: Array,
) -> None:
    """Fill in the gradients of a convolution whose padding keeps the size at stride 1.

    The input is split into stride x stride images of the output's size, called phases: at each
    tap, line h of the output meets line h + u of a phase. Images are surrounded by zeros and
    their lines stored one after the other, so a shift by (u, v) is an offset.

    Args:
        gradient: (k, n, D, H', W'), gradient of the output, with H' = H / stride rounded up.
        x: (n, C, H, W), input.
        weight: (D, C / groups, S, S), S odd.
        stride: stride of lines and columns.
        dilation: dilation of lines and columns.
        by_input: (k, n, C, H, W), filled in; empty where it is not requested.
        by_weight: (k, D, C / groups, S, S), filled in; empty where it is not requested.
    """
    rows, images, outputs, high, wide = gradient.shape
    inputs, height, width = x.shape[1:]
    own, size = weight.shape[1:3]
    groups = inputs // own
    filters = outputs // groups
    padding = dilation * (size // 2)
    margin = -(-padding // stride)
    line = wide + margin
    length = (high - 1) * line + wide
    first = margin * line + margin
    around = np.zeros((outputs, (high + 2 * margin) * line + margin), np.float32)
    seen = np.zeros((inputs, stride * stride, around.shape[1]), np.float32)
    flat = np.empty((stride * stride, length), np.float32)
    totals = np.zeros((rows, outputs, own, size, size), np.float64)
    # for each tap: its phase of lines or columns, and the shift
    shifts = np.empty((size, 2), np.int64)
    for tap in range(size):
        shifts[tap, 1] = (tap * dilation - padding) // stride
        shifts[tap, 0] = tap * dilation - padding - stride * shifts[tap, 1]
    for image in range(images):
        if by_weight.size:
            for c in range(inputs):
                for h in range(height):
                    start = first + (h // stride) * line
                    for phase in range(stride):
                        target = seen[c, (h % stride) * stride + phase, start:]
                        source = x[image, c, h, phase:]
                        for t in range((width - phase + stride - 1) // stride):
                            target[t] = source[t * stride]
        for row in range(rows):
            for d in range(outputs):
                for h in range(high):
                    start = first + h * line
                    around[d, start : start + wide] = gradient[row, image, d, h]
            if by_input.size:
                for c in range(inputs):
                    group = c // own
                    flat[:] = np.float32(0)
                    for d in range(group * filters, (group + 1) * filters):
                        for r in range(size):
                            for s in range(size):
                                phase = shifts[r, 0] * stride + shifts[s, 0]
                                start = first - shifts[r, 1] * line - shifts[s, 1]
                                _add_scaled(
                                    around[d, start : start + length],
                                    weight[d, c - group * own, r, s],
                                    flat[phase],
                                )
                    for h in range(height):
                        start = (h // stride) * line
                        for phase in range(stride):
                            source = flat[(h % stride) * stride + phase, start:]
                            target = by_input[row, image, c, h, phase:]
                            for t in range((width - phase + stride - 1) // stride):
                                target[t * stride] = source[t]
            if by_weight.size:
                for d in range(outputs):
                    middle = around[d, first : first + length]
                    group = d // filters
                    for c in range(own):
                        for r in range(size):
                            for s in range(size):
                                phase = shifts[r, 0] * stride + shifts[s, 0]
                                start = first + shifts[r, 1] * line + shifts[s, 1]
                                totals[row, d, c, r, s] += _product(
                                    middle, seen[group * own + c, phase, start : start + length]
                                )
    if by_weight.size:
        by_weight[:] = totals


@jit
def _add_scaled(source: Array, factor: float, target: Array) -> None:
    for t in range(len(target)):
        target[t] += factor * source[t]


@jit
def _product(one: Array, other: Array) -> np.floating[Any]:
    """Return the inner product of one image, in float32."""
    total = np.float32(0)
    for t in range(len(one)):
        total += one[t] * other[t]
    return total


@jit
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
    """Fill in the gradients of a batch normalisation in training mode.

    Args:
        gradient: (k, n, C, HW), gradient of the output.
        x: (n, C, HW), input.
        weight: (C,), scale.
        mean: (C,), mean of the batch.
        deviation: (C,), one over the standard deviation of the batch.
        by_input: (k, n, C, HW), filled in.
        by_weight: (k, C), filled in.
        by_bias: (k, C), filled in.
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


@jit
def _sums(gradient: Array, x: Array, mean: float) -> Any:
    """Return the sums of the gradient, and of the gradient times x - mean."""
    first = second = np.float32(0)
    for t in range(len(gradient)):
        first += gradient[t]
        second += gradient[t] * (x[t] - mean)
    return first, second


@jit
def window_sums(source: Array, height: int, width: int, target: Array) -> None:
    """Fill in sums over windows of odd sides around each pixel, with zeros around the image.

    Args:
        source: (m, H, W).
        height: height of a window.
        width: width of a window.
        target: (m, H, W), filled in.
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

"""Batch statistics, sums, rectifiers and their codes in as few passes over memory as possible.

On a CPU these steps cost more than the convolutions between them, and each of PyTorch's own
operations reads and writes every activation once more. Here one pass takes the statistics of a
term, and one pass makes everything that is read of a sum, by the loops of `untrained.compiled`.
GPUs, and types and shapes without such loops, use PyTorch's operations.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from untrained import compiled
from untrained.compiled import EPSILON, LANES, Array

_NONE = np.empty(0, np.float32)
#: Largest number of terms that `compiled.combine` adds.
TERMS = 3
#: Largest number of lanes: one row of several terms then stays in the first-level cache.
_WIDEST = 256


class Normalisation:
    """Batch normalisation of a term that comes in pieces (n, C, H, W), with scale and shift (C,).

    Sums are of differences from the first pixel, so that a large mean does not drown the variance.
    """

    def __init__(self, scale: Tensor | None, shift: Tensor | None) -> None:
        """Set scale and shift; None stands for ones and zeros."""
        self._count = 0
        self._scale, self._shift = scale, shift

    def add(self, piece: Tensor) -> None:
        """Add a piece to the statistics."""
        if not self._count:
            self._start(piece)
        self._count += piece.numel() // self._channels
        if self._fused:
            compiled.add_moments(rows_of(piece), self._state)
            return
        differences = _wide(piece) - self._origin.view(1, -1, 1, 1)
        self._sums[0] += differences.sum((0, 2, 3), dtype=torch.float64)
        self._sums[1] += differences.square_().sum((0, 2, 3), dtype=torch.float64)

    def _start(self, first: Tensor) -> None:
        self._fused = has_loops(first)
        self._channels = first.shape[1]
        if self._fused:
            self._state = np.zeros((3, lanes_of(tuple(first.shape[1:]))))
            compiled.start(rows_of(first[:1]), self._channels, self._state)
        else:
            self._origin = _wide(first[0, :, 0, 0])
            self._sums = torch.zeros_like(self._origin, dtype=torch.float64).repeat(2, 1)

    def moments(self) -> tuple[Array, Array]:
        """Return mean and variance (C,) of the pieces added so far, float64."""
        sums = self._state.reshape(3, -1, self._channels)
        first, second = sums[:2].sum(1) / self._count
        with np.errstate(invalid="ignore"):  # the variance of values that are not finite
            return first + sums[2, 0], np.maximum(second - first**2, 0)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return factor and summand (C,) that normalise, scale and shift the pieces so far."""
        if self._fused:
            lanes = np.zeros((2, self._state.shape[1]), np.float32)
            self.write_affine(lanes[0], lanes[1])
            factor, summand = torch.from_numpy(lanes[:, : self._channels])
            return factor, summand
        first, second = self._sums / self._count
        factor = ((second - first**2).clamp_min(0) + EPSILON).rsqrt()
        if self._scale is not None:
            factor = factor * self._scale
        summand = -(first + self._origin) * factor
        return factor, summand if self._shift is None else summand + self._shift

    def write_affine(self, factor: Array, summand: Array) -> None:
        """Set `factor` and add to `summand` as `affine` does; both are (lanes,) float32."""
        compiled.write_affine(
            *(self._state, self._count, self._channels),
            *(_floats(part) for part in (self._scale, self._shift)),
            *(factor, summand),
        )


class Activation(NamedTuple):
    """A piece of a sum of terms in the forms that its readers need; the others are None.

    Attributes:
        value: (n, C, H, W).
        rectified: the value with negative numbers replaced by 0.
        codes: one bit per unit, 1 iff it is positive: (n, C * H * W) int8 with a bit in each, or
            (n, C * H * W / 8) uint8 with eight. Units are in the same order for all images.
    """

    value: Tensor | None
    rectified: Tensor | None
    codes: Tensor | None


class Sum:
    """Sums terms and makes what is read of the sum; compiled loops take up to three terms.

    Args:
        normalisations: one for each term; None for a term that is not normalised.
        example: a piece of a term, for shape and type.
    """

    def __init__(self, normalisations: Sequence[Normalisation | None], example: Tensor) -> None:
        self._as_it_is = list(normalisations) == [None]
        self._fused = len(normalisations) <= TERMS and has_loops(example)
        if not self._fused:
            self._affines = [None if one is None else one.affine() for one in normalisations]
            return
        lanes = lanes_of(tuple(example.shape[1:]))
        self._scales = np.ones((TERMS, lanes), np.float32)
        self._shift = np.zeros(lanes, np.float32)
        for position, normalisation in enumerate(normalisations):
            if normalisation is not None:
                normalisation.write_affine(self._scales[position], self._shift)

    @property
    def finite(self) -> bool:
        """Whether the statistics of the normalised terms are finite."""
        if self._fused:
            return math.isfinite(self._shift.sum())
        summands = [affine[1] for affine in self._affines if affine is not None]
        return all(bool(torch.isfinite(summand).all()) for summand in summands)

    def of(
        self,
        terms: Sequence[Tensor],
        value: bool,
        rectified: bool,
        codes: bool,
        spare: Sequence[Tensor] = (),
    ) -> Activation:
        """Return the requested forms of the sum of pieces (n, C, H, W).

        Args:
            terms: one piece of each term.
            value: whether the sum is requested.
            rectified: whether the rectified sum is requested.
            codes: whether the codes are requested.
            spare: terms that are not read afterwards; the loops overwrite them, since writing to
                new tensors is slower.
        """
        if self._as_it_is and not (rectified or codes):
            return Activation(terms[0], None, None)
        if not self._fused:
            return self._of_operations(terms, value, rectified, codes)
        first, places = terms[0], list(spare)
        made = [
            (places.pop() if places else torch.empty_like(first)) if wanted else None
            for wanted in (value, rectified)
        ]
        units = first[0].numel() if codes else 0
        packed = torch.empty((first.shape[0], units // 8), dtype=torch.uint8)
        rows = [rows_of(term) for term in terms]
        compiled.combine(
            rows[0], rows[min(1, len(rows) - 1)], rows[-1], len(rows), self._scales, self._shift,
            *(rows[0] if output is None else rows_of(output) for output in made), packed.numpy(),
            value, rectified, codes, *(() if self._shift.size == LANES else (self._shift.size,)),
        )  # fmt: skip
        return Activation(made[0], made[1], packed if codes else None)

    def _of_operations(
        self, terms: Sequence[Tensor], value: bool, rectified: bool, codes: bool
    ) -> Activation:
        total = _as_added(terms[0], self._affines[0])
        for term, affine in zip(terms[1:], self._affines[1:], strict=True):
            total = total + _as_added(term, affine)
        kept = total.to(terms[0].dtype)
        return Activation(
            kept if value else None,
            torch.relu(kept) if rectified else None,
            (total > 0).permute(0, 2, 3, 1).flatten(1).to(torch.int8) if codes else None,
        )


def _as_added(term: Tensor, affine: tuple[Tensor, Tensor] | None) -> Tensor:
    wide = _wide(term)
    if affine is None:
        return wide
    factor, summand = (part.to(wide.dtype).view(1, -1, 1, 1) for part in affine)
    return torch.addcmul(summand, wide, factor)


def average_pool(x: Tensor) -> Tensor:
    """Apply 3x3 average pooling at stride 1 to (n, C, H, W), leaving padding out of the mean."""
    if not has_loops(x) or x.shape[3] == 1:
        return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    pooled = torch.empty_like(x)
    images, channels, height, _ = x.shape
    source, target = (rows_of(one).reshape(images, height, -1) for one in (x, pooled))
    compiled.average(source, channels, target)
    return pooled


def max_pool(x: Tensor) -> Tensor:
    """Apply 3x3 max-pooling at stride 1 to (n, C, H, W), leaving padding out."""
    if not has_loops(x):
        return functional.max_pool2d(x, 3, stride=1, padding=1)
    pooled = torch.empty_like(x)
    compiled.largest(_lines_of(x), x.shape[1], _lines_of(pooled))
    return pooled


def halve(x: Tensor) -> Tensor:
    """Apply 2x2 max-pooling at stride 2: (n, C, H, W) to (n, C, H / 2, W / 2)."""
    images, channels, height, width = x.shape
    if not has_loops(x) or height % 2 or width % 2:
        return functional.max_pool2d(x, 2, stride=2)
    shape = (images, channels, height // 2, width // 2)
    pooled = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
    compiled.halve(_lines_of(x), channels, _lines_of(pooled))
    return pooled


def has_loops(x: Tensor) -> bool:
    """Whether there are compiled loops for (n, C, H, W) of this type, shape and memory layout."""
    return (
        x.is_cpu
        and x.dtype in (torch.float32, torch.bfloat16)
        and lanes_of(tuple(x.shape[1:])) > 0
        and x.is_contiguous(memory_format=torch.channels_last)
    )


@cache
def lanes_of(shape: tuple[int, ...]) -> int:
    """Return how many numbers of an image (C, H, W) the loops process together; 0 without loops.

    They are one or more whole pixels, so that a lane has one channel, and the size of an image is a
    multiple of eight times their number. `LANES` is preferred, since it is constant in the loops.
    """
    channels, height, width = shape
    if LANES % channels == 0 and channels * height * width % (8 * LANES) == 0:
        return LANES
    pixels = 1
    if height * width % 8:
        return 0
    while 2 * pixels * channels <= _WIDEST and height * width % (16 * pixels) == 0:
        pixels *= 2
    return pixels * channels


@cache
def fits(dtype: torch.dtype, shape: tuple[int, ...]) -> bool:
    """Whether the compiled loops that train fit images (C, H, W) of this type and shape.

    These loops process `LANES` numbers together, no other number.
    """
    return lanes_of(shape) == LANES and dtype in (torch.float32, torch.bfloat16)


def _wide(x: Tensor) -> Tensor:
    """Convert to the type of statistics and sums, at least float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _floats(x: Tensor | None) -> Array:
    return _NONE if x is None else x.detach().float().numpy()


def rows_of(x: Tensor) -> Array:
    """Return the memory of (n, C, H, W), channels last, as (n, -1, lanes); bfloat16 as its bits."""
    flat = x.permute(0, 2, 3, 1).view(x.shape[0], -1, lanes_of(tuple(x.shape[1:])))
    found: Array = (flat.view(torch.int16) if x.dtype == torch.bfloat16 else flat).numpy()
    return found


def _lines_of(x: Tensor) -> Array:
    """Return the memory of (n, C, H, W), channels last, as (n, H, W * C); bfloat16 as its bits."""
    flat = x.permute(0, 2, 3, 1).flatten(2)
    found: Array = (flat.view(torch.int16) if x.dtype == torch.bfloat16 else flat).numpy()
    return found

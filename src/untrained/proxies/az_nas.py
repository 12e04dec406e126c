"""Three of the four proxies of AZ-NAS; the fourth is the number of operations, `flops`.

Lee, Ham: AZ-NAS: Assembling Zero-Cost Proxies for Network Architecture Search, CVPR 2024
(arXiv 2403.19232). The published score is log(az_expressivity, az_progressivity, az_trainability,
flops) over a pool.

All three take a copy of the network with weights drawn from N(0, 2 / fan-in), biases of 0, scales
of 1 and shifts of 0, in the network's mode, and N(0, 1) images of the shape and number of the
minibatch. Maps are the output of the stem and of each cell, reductions included; for networks of
one's own see `maps_between_blocks`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from untrained.proxies.base import BaseProxy, Cost, Direction, Need, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from untrained.images.minibatches import Minibatch

#: Is added to singular values, as in the released code.
_OFFSET = 1e-6


@dataclass(frozen=True)
class Blocks:
    """What the three proxies read.

    Attributes:
        entropies: E_l in nats of the maps in order; NaN for a constant map.
        singular_values: s of each block between two maps; 0 where the second does not depend on the
            first.
        identities: places of blocks that return their input unchanged.
    """

    entropies: Sequence[float]
    singular_values: Sequence[float]
    identities: Sequence[int]


@dataclass(frozen=True)
class OfBlocks(BaseProxy):
    """What the three proxies share: one forward pass, and a backward pass through each block."""

    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients"})
    source: ClassVar[str] = "Lee and Ham, CVPR 2024 (arXiv 2403.19232)"
    cost: ClassVar[Cost] = "backward"
    applies_to: ClassVar[str] = "networks of at least two blocks with convolutions"

    @property
    def measurement(self) -> str:
        """A key: the three proxies are read off one forward pass."""
        return "blocks of AZ-NAS"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score a redrawn copy; weights, images and gradients come from the generator.

        Raises:
            UndefinedScore: see `measure` and `read`.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> Blocks:
        """Return entropies and singular values.

        Raises:
            UndefinedScore: `not_applicable`: the network has fewer than two maps; `non_finite`: one
                of them, or a gradient, is not finite.
        """
        from untrained.proxies.gradients import differentiable
        from untrained.proxies.maps import maps_between_blocks
        from untrained.proxies.redraws import copy_to_redraw, noise_like, redraw

        made = copy_to_redraw(network)
        with differentiable(made, minibatch) as images:
            redraw(made, generator, fan_in=True)
            shown = noise_like(images, generator).requires_grad_() * 1
            with maps_between_blocks(made, len(images)) as maps:
                made(shown)
            if len(maps) < 2:
                raise UndefinedScore(
                    "not_applicable",
                    f"{type(network).__name__} has fewer than two blocks that return maps (N, C, "
                    "H, W)",
                )
            if bad := [place for place, one in enumerate(maps) if not bool(one.isfinite().all())]:
                raise UndefinedScore("non_finite", f"map {bad[0]} is not finite")
            blocks = [largest_singular_value(*pair, generator) for pair in pairwise(maps)]
        values = [0.0 if one is None else one for one in blocks]
        same = [place for place, one in enumerate(blocks, 1) if one is None]
        return Blocks([entropy_of(one.detach()) for one in maps], values, same)

    @abstractmethod
    def read(self, measured: Blocks) -> float:
        """Return the score; raise `UndefinedScore` where there is none."""


@dataclass(frozen=True)
class AzExpressivity(OfBlocks):
    """sum_l E_l, with E_l the entropy of the spectrum of the channels of map l.

    The spectrum are the eigenvalues of the covariance matrix of the channels over all positions of
    all images, divided by their sum.
    """

    name: ClassVar[str] = "az_expressivity"
    variants: ClassVar[tuple[str, ...]] = ("default",)
    summary: ClassVar[str] = "entropy of the channels of each block (AZ-NAS)"
    unit: ClassVar[str] = "nats"

    def read(self, measured: Blocks) -> float:
        """Return the sum of the entropies.

        Raises:
            UndefinedScore: `disconnected`: a map is constant.
        """
        return sum(_defined(measured))


@dataclass(frozen=True)
class AzProgressivity(OfBlocks):
    """min_l E_l - E_(l - 1), the least gain of entropy from map to map; see `AzExpressivity`."""

    name: ClassVar[str] = "az_progressivity"
    variants: ClassVar[tuple[str, ...]] = ("default",)
    summary: ClassVar[str] = "least gain of entropy from block to block (AZ-NAS)"
    unit: ClassVar[str] = "nats"

    def read(self, measured: Blocks) -> float:
        """Return the least gain.

        Raises:
            UndefinedScore: `disconnected`: a map is constant.
        """
        return float(np.diff(_defined(measured)).min())


@dataclass(frozen=True)
class AzTrainability(OfBlocks):
    """mean_l 2 - s_l - 1 / (s_l + 1e-6), which is largest where s_l is 1.

    s_l is the largest singular value of the mean of g_in' g_out over all positions of all images:
    g_out, the gradient at map l, is 1 or -1 at random, and g_in is what block l makes of it at map
    l - 1. Where block l has a stride, the pixels of g_in that belong to a pixel of g_out stand side
    by side as channels.

    A block that returns its input unchanged has s = 1 and so the best score, although it computes
    nothing. The released code scores it -inf; here a network with such a block has no score, and
    ranks below all that have one.
    """

    name: ClassVar[str] = "az_trainability"
    variants: ClassVar[tuple[str, ...]] = ("default",)
    summary: ClassVar[str] = "how well each block keeps the size of gradients (AZ-NAS)"

    def read(self, measured: Blocks) -> float:
        """Return the mean over blocks.

        Raises:
            UndefinedScore: `disconnected`: a map does not depend on the one before;
                `not_applicable`: a block is the identity.
        """
        if measured.identities:
            raise UndefinedScore(
                "not_applicable",
                f"block {measured.identities[0]} returns its input, which would score best",
            )
        values = np.array(measured.singular_values)
        if not values.all():
            place = int(np.argmin(values)) + 1
            raise UndefinedScore("disconnected", f"no gradient passes block {place}")
        return float((2 - values - 1 / (values + _OFFSET)).mean())


def _defined(measured: Blocks) -> list[float]:
    """Return the entropies.

    Raises:
        UndefinedScore: `disconnected`: a map is constant.
    """
    constant = np.flatnonzero(np.isnan(measured.entropies))
    if len(constant):
        raise UndefinedScore("disconnected", f"map {constant[0]} is constant")
    return list(measured.entropies)


def entropy_of(features: Tensor) -> float:
    """Return the entropy of the spectrum of the channels of a map (N, C, H, W), or NaN.

    It is NaN where the map is constant.
    """
    import torch

    channels = features.shape[1]
    rows = features.movedim(1, -1).reshape(-1, channels)
    # the sums of so many products are not numbers of half precision
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    # of a constant map less its mean; a map whose deviations are no larger is constant, too
    error = 32 * torch.finfo(rows.dtype).eps * float(rows.abs().max())
    rows = rows - rows.mean(0)
    # few numbers, whose small eigenvalues float32 would lose
    values = np.linalg.eigvalsh((rows.T @ rows).double().cpu().numpy()).clip(0)
    total = values.sum()
    if total <= rows.numel() * error**2:
        return float("nan")
    shares = values[values > 0] / total
    return float(-(shares * np.log(shares)).sum())


def largest_singular_value(
    before: Tensor, after: Tensor, generator: torch.Generator
) -> float | None:
    """Return s of the block between two maps, or None if it is the identity.

    Borders of the larger map that belong to no pixel of the smaller one are left out.

    Args:
        before: map (N, C, H, W) in autograd's graph of the other.
        after: map (N, C', H', W').
        generator: source of the signs.
    """
    import torch

    signs = torch.randint(
        0, 2, after.shape, generator=generator, dtype=after.dtype, device=after.device
    )
    given = (2 * signs - 1).to(memory_format=torch.channels_last)
    if not after.requires_grad:
        return 0.0
    (made,) = torch.autograd.grad(
        after, before, given, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    # the maps of a network of several types may have two of them; half precision lacks large sums
    wide = torch.promote_types(torch.promote_types(made.dtype, given.dtype), torch.float32)
    made, given = made.to(wide), given.to(wide)
    if made.shape == given.shape and torch.equal(made, given):
        return None
    if not bool(made.isfinite().all()):
        raise UndefinedScore("non_finite", "the gradient of a block is not finite")
    # an odd side has half a pixel more than twice as many: 7 becomes 4 by a stride of 2
    strides = [max(1, round(made.shape[axis] / given.shape[axis])) for axis in (2, 3)]
    sides = [
        min(made.shape[axis] // by, given.shape[axis])
        for axis, by in zip((2, 3), strides, strict=True)
    ]
    made = _unshuffled(made, sides, strides)
    given = given[..., : sides[0], : sides[1]]
    rows = [one.movedim(1, -1).reshape(-1, one.shape[1]) for one in (made, given)]
    product = (rows[0].T @ rows[1]).double().cpu().numpy() / len(rows[0])
    return float(np.linalg.norm(product, 2))


def _unshuffled(made: Tensor, sides: Sequence[int], strides: Sequence[int]) -> Tensor:
    """Return a map (N, C s t, H, W) of one (N, C, H s, W t): pixels side by side as channels."""
    (height, width), (down, across) = sides, strides
    made = made[..., : height * down, : width * across]
    split = made.reshape(*made.shape[:2], height, down, width, across)
    return split.permute(0, 1, 3, 5, 2, 4).reshape(len(made), -1, height, width)

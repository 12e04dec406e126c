"""SWAP: how many sets of images the units of a network tell apart.

Peng, Song, Fayek, Ciesielski, Chang: SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS,
ICLR 2024 (arXiv 2403.04161).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import BaseProxy, Direction, Setting, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from untrained.images.minibatches import Minibatch

#: Number of draws of the weights.
_DRAWS = 32
#: The largest number of images, since all patterns have a place in a table.
_LARGEST = 24
#: Number of parameters that the regularised form prefers, in millions, and the width of its bell in
#: squared millions: about the size of the largest network of NAS-Bench-201 (1.53 million). They
#: were set by that size, before any accuracy was read, and are not from a publication.
MU, SIGMA = 1.5, 1.5


@dataclass(frozen=True)
class Swap(BaseProxy):
    """The number of distinct patterns of the units of all rectifiers over 16 images.

    The pattern of a unit has one bit for each image: 1 iff its pre-activation is positive. The
    score is the mean over 32 copies of the network with weights from N(0, 1), biases of 0, scales
    of 1 and shifts of 0. The images are the first 16 of the minibatch, or fewer if `swap:8` says
    so; up to 2^16 patterns can be told apart by 16 images. All rectifiers that are executed count,
    functions too, whatever the shape of their input; the released code sees modules of type ReLU
    with maps only.

    Attributes:
        variant: `counted` is this number. `regularised` is the logarithm of this number times
            exp(-(P - mu)^2 / sigma), with P the number of trainable parameters in millions, mu 1.5
            and sigma 1.5: the logarithm, since the factor of a large network is below what
            a float holds. The publication leaves mu and sigma to the user; these are about the
            largest size of NAS-Bench-201, chosen without accuracies.
    """

    name: ClassVar[str] = "swap"
    variants: ClassVar[tuple[str, ...]] = ("counted", "regularised")
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "number of distinct patterns of units over 16 images (SWAP)"
    source: ClassVar[str] = "Peng et al., ICLR 2024 (arXiv 2403.04161)"
    applies_to: ClassVar[str] = "networks with rectifiers (ReLU and its relatives)"

    @property
    def setting(self) -> Setting:
        """The benchmark's network, and 16 images."""
        return Setting(images=16)

    @property
    def measurement(self) -> str:
        """A key: both variants count the same patterns."""
        return "sample-wise patterns"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by 32 forward passes of redrawn copies in the network's mode.

        Raises:
            UndefinedScore: `no_rectifiers` or `non_finite`.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> tuple[float, int]:
        """Return the mean number of patterns, and the number of trainable parameters."""
        from untrained.networks.costs import count_parameters
        from untrained.proxies.redraws import copy_to_redraw, forward_only, redraw

        made, total = copy_to_redraw(network), 0
        with forward_only(minibatch):
            images = minibatch.images.clone()
            for _ in range(_DRAWS):
                redraw(made, generator)
                total += count_patterns(made, images)
        return total / _DRAWS, count_parameters(network)

    def read(self, measured: tuple[float, int]) -> float:
        """Return the score of a measurement."""
        patterns, parameters = measured
        if self.variant == "counted":
            return patterns
        return math.log(patterns) - (parameters / 1e6 - MU) ** 2 / SIGMA


def count_patterns(network: nn.Module, images: Tensor) -> int:
    """Return the number of distinct patterns of units over images (N, C, H, W).

    Raises:
        UndefinedScore: `no_rectifiers`, `non_finite`, or `not_applicable` where no rectifier has a
            row for each image or there are more than 24 images.
    """
    import torch
    from torch.utils._pytree import tree_leaves

    from untrained.proxies.agreements import bits_of
    from untrained.proxies.rectifiers import RectifierMode

    count = len(images)
    if count > _LARGEST:
        raise UndefinedScore(
            "not_applicable",
            f"patterns over {count} images can't be counted: take up to {_LARGEST}",
        )
    seen = torch.zeros(2**count, dtype=torch.bool, device=images.device)
    places = 2.0 ** torch.arange(count, device=images.device)
    calls = []

    def note(given: Tensor) -> None:
        # without numbers in the device meta
        fits = given.ndim > 1 and len(given) == count and not given.is_meta
        calls.append(fits)
        if fits:
            # numbers below 2^24, which float32 holds exactly
            seen[(places @ bits_of(given).float()).long()] = True

    with RectifierMode(note):
        outputs = network(images.clone())
    if not calls:
        raise UndefinedScore("no_rectifiers", f"{type(network).__name__} applies no rectifier")
    if not any(calls):
        raise UndefinedScore("not_applicable", "no rectifier's input has a row for each image")
    tensors = (leaf for leaf in tree_leaves(outputs) if isinstance(leaf, torch.Tensor))
    if not all(torch.isfinite(leaf).all() for leaf in tensors):
        raise UndefinedScore("non_finite", "the network's output is not finite")
    return int(seen.sum())

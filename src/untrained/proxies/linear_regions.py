"""The number of linear regions into which a network's rectifiers cut its inputs.

Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours (TE-NAS), ICLR 2021
(arXiv 2102.11535), section 3.1.2, after Xiong et al., ICML 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from untrained.proxies.base import VARYING, BaseProxy, Direction, Setting, UndefinedScore
from untrained.spaces.base import Skeleton

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from untrained.images.minibatches import Minibatch
    from untrained.networks.batched import Batch

#: A single cell of one channel between a crop of 3x3 pixels and the head.
THIN_SKELETON = Skeleton(channels=1, cells=1, stages=1, stem=False)
#: Number of inputs that share batch statistics, as in the released code.
PASS = 1000


@dataclass(frozen=True)
class LinearRegions(BaseProxy):
    """The number of distinct activation patterns over random inputs of few dimensions.

    A pattern has one bit per rectified unit: 1 iff its pre-activation is positive. There are at
    most as many patterns as inputs.

    Attributes:
        variant: `tenas` takes the 3,000 crops of the released code, `paper` the 5,000 of the
            paper. Both count every rectifier that is executed.
    """

    name: ClassVar[str] = "linear_regions"
    variants: ClassVar[tuple[str, ...]] = ("tenas", "paper")
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "number of distinct activation patterns of small crops (TE-NAS)"
    source: ClassVar[str] = "Chen et al. (TE-NAS), ICLR 2021 (arXiv 2102.11535)"
    applies_to: ClassVar[str] = "networks with rectifiers (ReLU and its relatives)"

    @property
    def dead_branches(self) -> bool:
        """Every rectifier that is executed counts."""
        return True

    @property
    def setting(self) -> Setting:
        """See `Setting`."""
        samples = {"tenas": 3000, "paper": 5000}[self.variant]
        return Setting(THIN_SKELETON, images=samples, crop=(1, 3, 3))

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Count the patterns of the minibatch's images; nothing is drawn.

        Raises:
            UndefinedScore: `no_rectifiers`, `non_finite`, or `not_applicable` where the network
                applies other rectifiers each time it is run.
        """
        del generator
        return float(count_distinct(activation_patterns(network, minibatch.images)))

    def score_codes(self, batch: Batch, images: Tensor) -> list[float | UndefinedScore]:
        """Return the scores of many networks, or why there are none."""
        return [
            one if isinstance(one, UndefinedScore) else float(count_distinct(one))
            for one in patterns_of_many(batch, images)
        ]


def activation_patterns(network: nn.Module, images: Tensor) -> NDArray[np.uint8]:
    """Return the patterns of images (n, C, H, W) as (n, bytes), eight units to a byte.

    Batch statistics are those of `PASS` images at a time.

    Raises:
        UndefinedScore: `no_rectifiers`, `non_finite`, or `not_applicable` where the network
            applies other rectifiers each time it is run, or none with a row for each image.
    """
    import torch
    from torch.utils._pytree import tree_leaves

    from untrained.networks.modes import buffers_restored
    from untrained.proxies.rectifiers import RectifierMode

    packed: list[NDArray[np.uint8]] = []
    with torch.no_grad(), buffers_restored(network):
        for piece in _pieces(images):
            bits: list[Tensor] = []
            calls: list[bool] = []
            with RectifierMode(partial(_note, bits, calls, len(piece))):
                outputs = network(piece.clone())  # which it may overwrite
            if not calls:
                raise _one_region(type(network).__name__)
            if not bits:
                raise UndefinedScore(
                    "not_applicable", "no rectifier's input has a row for each image"
                )
            tensors = (leaf for leaf in tree_leaves(outputs) if isinstance(leaf, torch.Tensor))
            if not all(torch.isfinite(leaf).all() for leaf in tensors):
                raise _not_finite()
            packed.append(np.packbits(torch.cat(bits, 1).cpu().numpy(), axis=1))
    if len({one.shape[1] for one in packed}) > 1:
        raise UndefinedScore("not_applicable", VARYING)
    return np.concatenate(packed)


def patterns_of_many(batch: Batch, images: Tensor) -> list[NDArray[np.uint8] | UndefinedScore]:
    """Return what `activation_patterns` returns of many networks, with bits in another order.

    There is the outcome in the place of what it raises.

    Args:
        batch: the networks, prepared with dead branches.
        images: (n, C, H, W), on the device to run on.
    """
    from untrained.networks.batched import codes_of

    pieces, finite = zip(*(codes_of(batch, piece) for piece in _pieces(images)), strict=True)
    sound = [all(same) for same in zip(*(one.tolist() for one in finite), strict=True)]
    found: list[NDArray[np.uint8] | UndefinedScore] = []
    for whole, same in zip(sound, zip(*pieces, strict=True), strict=True):
        if not same[0].shape[1]:
            found.append(_one_region("GraphNetwork"))
        elif not whole:
            found.append(_not_finite())
        else:
            found.append(np.concatenate([np.packbits(one.cpu().numpy(), axis=1) for one in same]))
    return found


def _one_region(name: str) -> UndefinedScore:
    return UndefinedScore("no_rectifiers", f"{name} applies no rectifier: it is one linear region")


def _not_finite() -> UndefinedScore:
    return UndefinedScore("non_finite", "the network's output is not finite")


def count_distinct(patterns: NDArray[np.uint8]) -> int:
    """Return the number of distinct rows of (n, bytes), exactly and in time linear in n."""
    # rows are hashed and equal hashes compared, so nothing is sorted or rounded
    width = patterns.shape[1]
    data = np.ascontiguousarray(patterns).tobytes()
    return len({data[start : start + width] for start in range(0, len(data), width)})


def _pieces(images: Tensor) -> tuple[Tensor, ...]:
    """Cut images into pieces of nearly equal size, of at most `PASS` and never of one image."""
    return images.tensor_split(-(-len(images) // PASS))


def _note(bits: list[Tensor], calls: list[bool], images: int, pre_activation: Tensor) -> None:
    """Append which units are positive; skip tensors without one row per image, such as weights."""
    calls.append(
        pre_activation.ndim > 1 and len(pre_activation) == images and pre_activation.numel() > 0
    )
    if calls[-1]:
        # compared before the rectifier runs, which may overwrite its input
        bits.append((pre_activation > 0).flatten(1))

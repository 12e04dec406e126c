"""SNIP: how much of the loss hangs on each weight.

Lee, Ajanthan, Torr: SNIP: Single-shot network pruning based on connection sensitivity, ICLR 2019
(arXiv 1810.02340), summed over a network by Abdelfattah et al., ICLR 2021 (arXiv 2101.08134).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import Direction
from untrained.proxies.of_loss import OfLossGradients

if TYPE_CHECKING:
    from untrained.proxies.loss_gradients import LossGradients


@dataclass(frozen=True)
class Snip(OfLossGradients):
    """The sum of |W dL/dW| over the weights W of convolutions and linear layers.

    L is the mean cross-entropy of the minibatch, or its own loss. Frozen weights add nothing, and a
    weight that several layers share counts once.
    """

    name: ClassVar[str] = "snip"
    variants: ClassVar[tuple[str, ...]] = ("zero_cost",)
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "sensitivity of the loss to each weight (Lee et al.)"
    source: ClassVar[str] = "Lee et al., ICLR 2019 (arXiv 1810.02340)"

    def read(self, measured: LossGradients) -> float:
        """Return the score of a pass.

        Raises:
            UndefinedScore: `no_parameters`, `disconnected` or `non_finite`.
        """
        return self.total(measured, [one.saliency for one in self.connected_layers(measured)])

"""The sum of weights times their gradients, as Abdelfattah et al. call `plain` pruning.

Abdelfattah, Mehrotra, Dudziak, Lane: Zero-Cost Proxies for Lightweight NAS, ICLR 2021
(arXiv 2101.08134), section 3.3, after Mozer and Smolensky, NeurIPS 1988.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import Direction
from untrained.proxies.of_loss import OfLossGradients

if TYPE_CHECKING:
    from untrained.proxies.loss_gradients import LossGradients


@dataclass(frozen=True)
class Plain(OfLossGradients):
    """The sum of W dL/dW, with its sign, over the weights W of convolutions and linear layers.

    L is the mean cross-entropy of the minibatch, or its own loss. A layer that a normalisation over
    the batch follows adds 0 up to rounding, since its scale does not move the loss: of such a
    network only the other layers count, such as the classifier.
    """

    name: ClassVar[str] = "plain"
    variants: ClassVar[tuple[str, ...]] = ("zero_cost",)
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "sum of weights times gradients, signed (Abdelfattah et al.)"
    source: ClassVar[str] = "Abdelfattah et al., ICLR 2021 (arXiv 2101.08134)"

    def read(self, measured: LossGradients) -> float:
        """Return the score of a pass.

        Raises:
            UndefinedScore: `no_parameters`, `disconnected` or `non_finite`.
        """
        return self.total(measured, [one.product for one in self.connected_layers(measured)])

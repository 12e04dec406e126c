"""Fisher pruning of channels, summed over a network.

Theis, Korshunova, Tejani, Huszár: Faster gaze prediction with dense networks and Fisher pruning,
2018 (arXiv 1801.05787); Turner et al.: BlockSwap, ICLR 2020 (arXiv 1906.04113); summed by
Abdelfattah et al., ICLR 2021 (arXiv 2101.08134).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import Direction, UndefinedScore
from untrained.proxies.of_loss import OfLossGradients

if TYPE_CHECKING:
    from untrained.proxies.loss_gradients import LossGradients


@dataclass(frozen=True)
class Fisher(OfLossGradients):
    """The sum of D_c = mean_n (sum_ij a dL/da)^2 / 2 over the channels c of layers' outputs a.

    L is the mean cross-entropy of the minibatch, or its own loss. The outputs are those of each
    call of a convolution or linear layer whose weight is trainable, before any normalisation; n
    goes over their first dimension, and i and j over all that is neither n nor the channel.

    Attributes:
        variant: `corrected` is this sum. `released` multiplies each D_c by the number of weights of
            the channel, as the released code does, which spreads D_c to all of them and adds up.
    """

    name: ClassVar[str] = "fisher"
    variants: ClassVar[tuple[str, ...]] = ("corrected", "released")
    direction: ClassVar[Direction] = "higher"
    applies_to: ClassVar[str] = "networks that call a trainable convolution or linear layer"
    summary: ClassVar[str] = "squared effect of each channel on the loss (Theis et al.)"
    source: ClassVar[str] = "Turner et al., ICLR 2020 (arXiv 1906.04113)"

    def read(self, measured: LossGradients) -> float:
        """Return the score of a pass.

        Raises:
            UndefinedScore: `no_parameters`, `disconnected` (also where no layer is a module that
                is called) or `non_finite`.
        """
        self.connected_layers(measured)
        if measured.layers and not measured.outputs:
            raise UndefinedScore("disconnected", "the loss depends on no layer's output")
        return self.total(
            measured,
            [
                one.fisher * (one.fan_in if self.variant == "released" else 1)
                for one in measured.outputs
            ],
        )

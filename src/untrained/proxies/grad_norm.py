"""The norm of the gradient of the loss.

Abdelfattah, Mehrotra, Dudziak, Lane: Zero-Cost Proxies for Lightweight NAS, ICLR 2021
(arXiv 2101.08134), section 3.2; Mellor et al., ICML 2021 (arXiv 2006.04647), figure 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import Direction
from untrained.proxies.of_loss import OfLossGradients

if TYPE_CHECKING:
    from untrained.proxies.loss_gradients import LossGradients


@dataclass(frozen=True)
class GradNorm(OfLossGradients):
    """The sum over weights of the Euclidean norm of the gradient of the mean cross-entropy.

    Where the minibatch has a loss of its own, that is taken in the place of the cross-entropy.

    A weight is one tensor. It adds 0 where the logits do not depend on it, as in a cell that is
    cut off from its input, or where it is frozen. The papers use 64 and 128 images; here the
    number is that of the run's minibatch, and `grad_norm:64` sets another.

    Attributes:
        variant: `zero_cost` sums over the weights of convolutions and linear layers. `naswot` sums
            over every parameter, "for every weight" in the words of Mellor et al.: scales and
            shifts of normalisations and biases too.
    """

    name: ClassVar[str] = "grad_norm"
    variants: ClassVar[tuple[str, ...]] = ("zero_cost", "naswot")
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "norm of the gradient of the loss (Abdelfattah et al.)"
    applies_to: ClassVar[str] = (
        "networks with a trainable convolution or linear layer; naswot: a trainable parameter"
    )
    source: ClassVar[str] = "Abdelfattah et al., ICLR 2021 (arXiv 2101.08134)"

    @property
    def details(self) -> str:
        """The weights that the sum is over, in words."""
        layers = "convolutions and linear layers"
        return {"zero_cost": f"weights of {layers}", "naswot": "all parameters"}[self.variant]

    def read(self, measured: LossGradients) -> float:
        """Return the sum of the norms of the variant's weights.

        Raises:
            UndefinedScore: `no_parameters`: no convolution or linear layer is trainable;
                `non_finite`: the loss or a norm is not finite.
        """
        names = measured.layers if self.variant == "zero_cost" else tuple(measured.weights)
        return self.total(measured, [measured.weights[name].norm for name in names])

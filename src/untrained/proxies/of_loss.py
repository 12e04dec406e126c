"""What proxies share that read one backward pass of the loss."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import BaseProxy, Cost, Need, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch
    from untrained.networks.batched_gradients import Networks
    from untrained.proxies.loss_gradients import LossGradients, OfWeight


@dataclass(frozen=True)
class OfLossGradients(BaseProxy):
    """A proxy that is read off the gradients of the mean loss of a minibatch.

    The loss is the cross-entropy, or that of the minibatch if it has one of its own. All such
    proxies of a network share one forward and one backward pass.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "labels", "loss"})
    cost: ClassVar[Cost] = "backward"
    applies_to: ClassVar[str] = "networks with a trainable convolution or linear layer"

    @property
    def measurement(self) -> str:
        """A key: these proxies are computed from the same backward pass."""
        return "gradients of the loss"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by one backward pass in the network's current mode; nothing is drawn.

        Raises:
            UndefinedScore: see `loss_gradients` and `read`.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> LossGradients:
        """Return what the pass shows; see `loss_gradients`."""
        from untrained.proxies.loss_gradients import loss_gradients

        del generator
        return loss_gradients(network, minibatch)

    def measure_many(self, networks: Networks, minibatch: Minibatch) -> list[LossGradients]:
        """Return what one pass of many networks shows; see `loss_gradients_of_many`."""
        from untrained.proxies.loss_gradients import loss_gradients_of_many

        return loss_gradients_of_many(networks, minibatch)

    @abstractmethod
    def read(self, measured: LossGradients) -> float:
        """Return the score of a pass; raise `UndefinedScore` where there is none."""

    def connected_layers(self, measured: LossGradients) -> list[OfWeight]:
        """Return the numbers of the weights of convolutions and linear layers.

        Raises:
            UndefinedScore: `disconnected`: the loss depends on none of them.
        """
        weights = [measured.weights[name] for name in measured.layers]
        if weights and not any(one.norm for one in weights):  # NaN is true
            raise UndefinedScore("disconnected", "no weight moves the loss")
        return weights

    def total(self, measured: LossGradients, numbers: Iterable[float]) -> float:
        """Return the sum of numbers of weights.

        Raises:
            UndefinedScore: `no_parameters`: there are no numbers; `non_finite`: the loss or the sum
                is not finite.
        """
        numbers = list(numbers)
        if not numbers:
            raise UndefinedScore("no_parameters", "no convolution or linear layer is trainable")
        total = sum(numbers)
        if not (math.isfinite(measured.loss) and math.isfinite(total)):
            raise UndefinedScore(
                "non_finite", f"loss {measured.loss:g} with a sum over gradients of {total:g}"
            )
        return total

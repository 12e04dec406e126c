"""SynFlow: how much of a signal the weights carry from the input to the output.

Tanaka, Kunin, Yamins, Ganguli: Pruning neural networks without any data by iteratively conserving
synaptic flow, NeurIPS 2020 (arXiv 2006.05467). Abdelfattah et al., ICLR 2021 (arXiv 2101.08134),
section 3.3, score architectures by it. The variant `logsynflow` is that of Cavagnero, Robbiano,
Caputo, Averta: FreeREA, WACV 2023 (arXiv 2207.05135).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import BaseProxy, Cost, Direction, Need, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from untrained.images.minibatches import Minibatch
    from untrained.networks.batched_gradients import Networks


@dataclass(frozen=True)
class Synflow(BaseProxy):
    """The sum of |W dR/dW| over the weights W of convolutions and linear layers.

    R is the sum of the logits for one image of ones, in float64, with every parameter replaced by
    its absolute value and without batch normalisations. Other modules are in evaluation mode, so
    dropout does nothing. Only the shape of the minibatch's images is used. Biases take part in
    R, but they and frozen weights add nothing to the sum.

    Attributes:
        variant: `synflow` gives the natural logarithm of the sum, which ranks networks as the sum
            does and does not overflow in deep networks. `logsynflow` gives another sum, that of
            |W log(1 + dR/dW)|, without a logarithm.
    """

    name: ClassVar[str] = "synflow"
    variants: ClassVar[tuple[str, ...]] = ("synflow", "logsynflow")
    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients"})
    summary: ClassVar[str] = "synaptic flow through the network of absolute weights (Tanaka et al.)"
    source: ClassVar[str] = "Tanaka et al., NeurIPS 2020 (arXiv 2006.05467)"
    cost: ClassVar[Cost] = "backward"
    applies_to: ClassVar[str] = "networks with a trainable convolution or linear layer"

    @property
    def details(self) -> str:
        """The terms of the sum and the input, in words."""
        summed = {"synflow": "log of |W dR/dW|", "logsynflow": "|W log(1 + dR/dW)|"}
        return f"{summed[self.variant]}, an image of ones whatever the minibatch"

    @property
    def measurement(self) -> str:
        """A key: both variants are computed from the same backward pass."""
        return "synaptic flows"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by one backward pass with one image; nothing is drawn.

        Raises:
            UndefinedScore: `non_finite` where a gradient overflows float64, or is below -1 in
                `logsynflow`; otherwise see `synaptic_flows`.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> list[tuple[Tensor, Tensor]]:
        """Return weights and flows; see `synaptic_flows`."""
        from untrained.proxies.synaptic_flows import synaptic_flows

        del generator
        return synaptic_flows(network, minibatch)

    def measure_many(
        self, networks: Networks, minibatch: Minibatch
    ) -> list[list[tuple[Tensor, Tensor]] | UndefinedScore]:
        """Return weights and flows of many networks; see `synaptic_flows_of_many`."""
        from untrained.proxies.synaptic_flows import synaptic_flows_of_many

        return synaptic_flows_of_many(networks, minibatch)

    def read(self, measured: list[tuple[Tensor, Tensor]]) -> float:
        """Return the score of pairs of weights and flows; it raises what `__call__` raises."""
        if self.variant == "synflow":
            import torch

            # a product may overflow where neither of its factors does
            logs = [(weight.log() + flow.abs().log()).flatten() for weight, flow in measured]
            found = float(torch.cat(logs).logsumexp(0))
        else:
            below = sum(int((flow <= -1).sum()) for _, flow in measured)
            if below:
                raise UndefinedScore(
                    "non_finite",
                    f"{below} gradients are -1 or below, where log(1 + gradient) does not exist: "
                    "take synflow",
                )
            found = float(sum((weight * flow.log1p()).abs().sum() for weight, flow in measured))
        if not math.isfinite(found):
            bad = sum(int((~flow.isfinite()).sum()) for _, flow in measured)
            count = sum(flow.numel() for _, flow in measured)
            raise UndefinedScore(
                "non_finite",
                f"{bad} of {count} gradients are infinite or not a number in float64"
                if bad
                else f"the sum is {found} in float64",
            )
        return found

"""ZiCo: how steady the gradient of each weight is from minibatch to minibatch.

Li, Yang, Bhardwaj, Marculescu: ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on
Gradients, ICLR 2023 (arXiv 2301.11300).
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


@dataclass(frozen=True)
class Zico(BaseProxy):
    """The sum over layers of log sum_w mean_b |g_bw| / std_b(g_bw).

    g_bw is the gradient of the mean cross-entropy of minibatch b, or of its own loss, by weight w.
    The B = 2 minibatches are the halves of the run's minibatch, so that the score reads as many
    images as other proxies do; the standard deviation is that of a population. Weights with a
    deviation of 0 are left out, and so are layers that have no others, which the released code
    stops at. Layers are convolutions and linear layers with trainable weights.
    """

    name: ClassVar[str] = "zico"
    variants: ClassVar[tuple[str, ...]] = ("halves",)
    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "labels", "loss"})
    summary: ClassVar[str] = "inverse coefficient of variation of gradients (Li et al.)"
    source: ClassVar[str] = "Li et al., ICLR 2023 (arXiv 2301.11300)"
    unit: ClassVar[str] = "nats"
    cost: ClassVar[Cost] = "backward"
    applies_to: ClassVar[str] = "networks with a trainable convolution or linear layer"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by a backward pass of each half, in the network's current mode; nothing is drawn.

        Raises:
            UndefinedScore: `no_parameters`; `disconnected` where no gradient differs between the
                halves; `non_finite`; `not_applicable` where there is a single image, the output is
                no tensor of logits or it has too few classes.
        """
        del generator
        ratios = [
            _summed_ratios(*pair) for pair in zip(*_of_halves(network, minibatch), strict=True)
        ]
        if not all(map(math.isfinite, ratios)):
            raise UndefinedScore("non_finite", "some gradients are not finite")
        logs = [math.log(one) for one in ratios if one]
        if not logs:
            raise UndefinedScore("disconnected", "no weight moves the loss of the two halves apart")
        return math.fsum(logs)


def _of_halves(network: nn.Module, minibatch: Minibatch) -> list[list[Tensor]]:
    """Return the gradients of each half by the weights of layers, in one order."""
    from dataclasses import replace

    import torch

    from untrained.proxies.gradients import differentiable, layer_weights
    from untrained.proxies.loss_gradients import mean_loss

    weights = list(layer_weights(network).values())
    if not weights:
        raise UndefinedScore("no_parameters", "no convolution or linear layer is trainable")
    if len(minibatch.images) < 2:
        raise UndefinedScore("not_applicable", "one image has no two halves: take more images")
    found = []
    halves = zip(minibatch.images.tensor_split(2), minibatch.labels.tensor_split(2), strict=True)
    with differentiable(network, minibatch):
        for images, labels in halves:
            loss = mean_loss(network, replace(minibatch, images=images, labels=labels))
            gradients = [torch.zeros_like(one) for one in weights]
            if loss.requires_grad:
                gradients = list(
                    torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
                )
            found.append(gradients)
    return found


def _summed_ratios(first: Tensor, second: Tensor) -> float:
    """Return the sum of means of |g| over deviations of two gradients, where they differ."""
    # of two numbers: (|a| + |b|) / 2 over |a - b| / 2
    a, b = first.double(), second.double()
    ratios = (a.abs() + b.abs()) / (a - b).abs()
    return float(ratios[a != b].sum())

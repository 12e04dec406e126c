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
    from untrained.networks.batched_gradients import Networks


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

    @property
    def measurement(self) -> str:
        """A key: see `measure`."""
        return "ratios of gradients of halves"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by a backward pass of each half, in the network's current mode; nothing is drawn.

        Raises:
            UndefinedScore: `no_parameters`; `disconnected` where no gradient differs between the
                halves; `non_finite`; `not_applicable` where there is a single image, the output is
                no tensor of logits or it has too few classes.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> list[float]:
        """Return the sum of mean over deviation of each layer, 0 where none deviates."""
        del generator
        pairs = zip(*_of_halves(network, minibatch), strict=True)
        return [float(_summed_ratios(one, other, first=0)) for one, other in pairs]

    def measure_many(self, networks: Networks, minibatch: Minibatch) -> list[list[float]]:
        """Return the same of many networks, by a backward pass of each half."""
        import torch

        from untrained.networks.batched_gradients import gradients_of
        from untrained.proxies.loss_gradients import mean_losses

        with torch.inference_mode(mode=False), torch.enable_grad():
            parameters = networks.parameters(minibatch.images.dtype)
            weights = [one for one in parameters if one.layer]
            found = [
                gradients_of(
                    mean_losses(networks, parameters, half).sum(), [one.values for one in weights]
                )
                for half in _halves(minibatch)
            ]
        pairs = zip(*found, strict=True)
        ratios = [_summed_ratios(one, other, first=1) for one, other in pairs]
        left, rows = (
            iter(torch.cat(ratios).cpu().tolist()),
            [list[float]() for _ in range(networks.count)],
        )
        for one in weights:
            for owner in networks.listed(one.owners):
                rows[owner].append(next(left))
        return rows

    def read(self, measured: list[float]) -> float:
        """Return the score of the sums of all layers; it raises what `__call__` raises."""
        if not all(map(math.isfinite, measured)):
            raise UndefinedScore("non_finite", "some gradients are not finite")
        logs = [math.log(one) for one in measured if one]
        if not logs:
            raise UndefinedScore("disconnected", "no weight moves the loss of the two halves apart")
        return math.fsum(logs)


def _of_halves(network: nn.Module, minibatch: Minibatch) -> list[list[Tensor]]:
    """Return the gradients of each half by the weights of layers, in one order."""
    import torch

    from untrained.proxies.gradients import differentiable, layer_weights
    from untrained.proxies.loss_gradients import mean_loss

    weights = list(layer_weights(network).values())
    if not weights:
        raise UndefinedScore("no_parameters", "no convolution or linear layer is trainable")
    found = []
    with differentiable(network, minibatch):
        for half in _halves(minibatch):
            loss = mean_loss(network, half)
            gradients = [torch.zeros_like(one) for one in weights]
            if loss.requires_grad:
                gradients = list(
                    torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
                )
            found.append(gradients)
    return found


def _halves(minibatch: Minibatch) -> list[Minibatch]:
    """Cut a minibatch in two.

    Raises:
        UndefinedScore: `not_applicable`: it has one image.
    """
    from dataclasses import replace

    if len(minibatch.images) < 2:
        raise UndefinedScore("not_applicable", "one image has no two halves: take more images")
    halves = zip(minibatch.images.tensor_split(2), minibatch.labels.tensor_split(2), strict=True)
    return [replace(minibatch, images=images, labels=labels) for images, labels in halves]


def _summed_ratios(one: Tensor, other: Tensor, first: int) -> Tensor:
    """Return the sums of means of |g| over deviations of two gradients, where they differ.

    The sums are over the dimensions from `first` on.
    """
    # of two numbers: (|a| + |b|) / 2 over |a - b| / 2
    a, b = one.double(), other.double()
    ratios = (a.abs() + b.abs()) / (a - b).abs()
    # infinite ones stay, so that the score is not finite
    return ratios.where((a != b) | ~a.isfinite(), 0).sum(tuple(range(first, a.ndim)))

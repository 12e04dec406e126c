"""GraSP: how much the weights keep of the flow of gradients.

Wang, Zhang, Grosse: Picking winning tickets before training by preserving gradient flow, ICLR 2020
(arXiv 2002.07376), summed over a network by Abdelfattah et al., ICLR 2021 (arXiv 2101.08134).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.errors import text_of
from untrained.proxies.base import BaseProxy, Cost, Direction, Need, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch
    from untrained.networks.batched_gradients import Networks


@dataclass(frozen=True)
class Grasp(BaseProxy):
    """The sum of -W (Hg) over the weights W of convolutions and linear layers.

    g is the gradient of the mean cross-entropy of the minibatch, or of its own loss, by these
    weights, and H the Hessian, so Hg is the gradient of g' dL/dW with g held constant. The sign is
    that of the released code, where removing weights of low scores was to raise the flow; that it
    ranks architectures in this direction is an observation, not a derivation.
    """

    name: ClassVar[str] = "grasp"
    variants: ClassVar[tuple[str, ...]] = ("zero_cost",)
    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "labels", "loss"})
    summary: ClassVar[str] = "change of the gradient's norm by each weight (Wang et al.)"
    source: ClassVar[str] = "Wang et al., ICLR 2020 (arXiv 2002.07376)"
    cost: ClassVar[Cost] = "backward"
    applies_to: ClassVar[str] = (
        "networks with a convolution or linear layer and activations that can be differentiated "
        "twice: no Hardsigmoid"
    )

    @property
    def measurement(self) -> str:
        """A key."""
        return "change of the gradient"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by differentiating a backward pass in the network's current mode; nothing is drawn.

        Raises:
            UndefinedScore: `no_parameters`; `disconnected` where no weight moves the loss;
                `non_finite`; `not_applicable` where the output is no tensor of logits or has too
                few classes, or a function can be differentiated once only.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Return the sum; it raises what `__call__` raises but `non_finite`."""
        import torch

        from untrained.proxies.autograd import nodes_behind
        from untrained.proxies.gradients import differentiable, layer_weights
        from untrained.proxies.loss_gradients import mean_loss

        del generator
        weights = list(layer_weights(network).values())
        if not weights:
            raise UndefinedScore("no_parameters", "no convolution or linear layer is trainable")
        second = [torch.zeros_like(one) for one in weights]
        with differentiable(network, minibatch):
            loss = mean_loss(network, minibatch)
            first = second
            if loss.requires_grad:
                first = list(
                    torch.autograd.grad(
                        loss, weights, create_graph=True, allow_unused=True, materialize_grads=True
                    )
                )
            held = [one.detach() for one in first]
            if not any(bool(one.any()) for one in held):  # NaN is true
                raise _unmoved()
            flow = sum((one * fixed).sum() for one, fixed in zip(first, held, strict=True))
            if isinstance(flow, torch.Tensor) and flow.requires_grad:
                if any(node.name() == "torch::autograd::Error" for node in nodes_behind(flow)):
                    # its part of the second derivative would be left out without a word
                    raise UndefinedScore("not_applicable", "a function is once_differentiable")
                with _twice():
                    second = list(
                        torch.autograd.grad(
                            flow, weights, allow_unused=True, materialize_grads=True
                        )
                    )
        pairs = zip(weights, second, strict=True)
        return -sum(float((one.detach().double() * by.double()).sum()) for one, by in pairs)

    def measure_many(
        self, networks: Networks, minibatch: Minibatch
    ) -> list[float | UndefinedScore]:
        """Return what `measure` returns of many networks, or why there is nothing."""
        import torch

        from untrained.networks.batched_gradients import gradients_of
        from untrained.proxies.loss_gradients import mean_losses

        with torch.inference_mode(mode=False), torch.enable_grad():
            parameters = networks.parameters(minibatch.images.dtype)
            loss = mean_losses(networks, parameters, minibatch).sum()
            layers = [one for one in parameters if one.layer]
            weights = [one.values for one in layers]
            first = gradients_of(loss, weights, twice=True)
            held = [one.detach() for one in first]
            # each product is of one network, so one more pass gives the second gradients of all
            flow = torch.stack(
                [(one * fixed).sum() for one, fixed in zip(first, held, strict=True)]
            ).sum()
            second = gradients_of(flow, weights)
        # of each network the sum, and how many numbers of its gradient are not zero
        found = torch.zeros(2, networks.count, dtype=torch.float64, device=loss.device)
        for one, by, fixed in zip(layers, second, held, strict=True):
            product = (one.values.detach().double() * by.double()).flatten(1).sum(1)
            moved = (fixed != 0).flatten(1).sum(1).double()
            found.index_add_(1, networks.at(one.owners), torch.stack([-product, moved]))
        return [total if moved else _unmoved() for total, moved in found.T.tolist()]

    def read(self, measured: float) -> float:
        """Return the sum, or raise `UndefinedScore` where it is not finite."""
        if not math.isfinite(measured):
            raise UndefinedScore("non_finite", f"the sum over Hessian products is {measured}")
        return measured


def _unmoved() -> UndefinedScore:
    return UndefinedScore("disconnected", "no weight moves the loss")


@contextmanager
def _twice() -> Iterator[None]:
    """Turn PyTorch's error for a function that has no second derivative into an outcome.

    Raises:
        UndefinedScore: `not_applicable`.
    """
    try:
        yield
    except RuntimeError as error:
        known = re.search(r"derivative for (?:aten::)?(\w+) is not implemented", text_of(error))
        if known is None:
            raise
        name = known[1].removesuffix("_backward")
        raise UndefinedScore(
            "not_applicable", f"PyTorch can't differentiate {name} twice"
        ) from error

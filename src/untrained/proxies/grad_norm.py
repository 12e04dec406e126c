"""The norm of the gradient of the loss.

Abdelfattah, Mehrotra, Dudziak, Lane: Zero-Cost Proxies for Lightweight NAS, ICLR 2021
(arXiv 2101.08134), section 3.2; Mellor et al., ICML 2021 (arXiv 2006.04647), figure 4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import BaseProxy, Cost, Direction, Need, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from untrained.images.minibatches import Minibatch


@dataclass(frozen=True)
class GradNorm(BaseProxy):
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
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "labels", "loss"})
    summary: ClassVar[str] = "norm of the gradient of the loss (Abdelfattah et al.)"
    source: ClassVar[str] = "Abdelfattah et al., ICLR 2021 (arXiv 2101.08134)"
    cost: ClassVar[Cost] = "backward"

    @property
    def details(self) -> str:
        """The weights that the sum is over, in words."""
        layers = "convolutions and linear layers"
        return {"zero_cost": f"weights of {layers}", "naswot": "all parameters"}[self.variant]

    @property
    def measurement(self) -> str:
        """A key: both variants add up norms of the same backward pass."""
        return "norms of the gradient of the loss"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by one backward pass in the network's current mode; nothing is drawn.

        Raises:
            UndefinedScore: see `measure` and `read`.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> GradientNorms:
        """Return the norms of one backward pass; arguments as in `Proxy.__call__`.

        Raises:
            UndefinedScore: `no_parameters`, or `not_applicable` where the output is no tensor of
                logits or has too few classes.
        """
        import torch
        from torch.nn import functional

        from untrained.proxies.gradients import differentiable, layer_weights, logits_of

        del generator
        chosen = {name: p for name, p in network.named_parameters() if p.requires_grad}
        if not chosen:
            raise UndefinedScore("no_parameters", f"{type(network).__name__} has nothing to train")
        with differentiable(network, minibatch) as images:
            labels = minibatch.labels.clone()  # autograd can't save labels of inference mode
            shown = images.requires_grad_() * 1  # so that all that is run has a place in the graph
            outputs = network(shown)
            if minibatch.loss is not None:
                loss = _checked_loss(minibatch.loss(outputs, labels))
            else:
                logits = logits_of(network, outputs, len(images))
                if labels.max() >= logits.shape[1]:
                    raise UndefinedScore(
                        "not_applicable",
                        f"{type(network).__name__} has {logits.shape[1]} classes and the minibatch "
                        f"label {int(labels.max())}: give the network {minibatch.num_classes}",
                    )
                loss = functional.cross_entropy(logits.double(), labels)
            found: tuple[Tensor | None, ...] = (None,) * len(chosen)
            if loss.requires_grad:  # otherwise the loss depends on no parameter
                found = torch.autograd.grad(loss, list(chosen.values()), allow_unused=True)
        # float64, in which the squares of a large or a tiny gradient don't overflow or vanish
        norms = [0.0 if gradient is None else float(gradient.double().norm()) for gradient in found]
        own = tuple(layer_weights(network))
        return GradientNorms(float(loss.detach()), dict(zip(chosen, norms, strict=True)), own)

    def read(self, measured: GradientNorms) -> float:
        """Return the sum of the norms of the variant's weights.

        Raises:
            UndefinedScore: `no_parameters`: no convolution or linear layer is trainable;
                `non_finite`: the loss or a norm is not finite.
        """
        norms = measured.norms
        if self.variant == "zero_cost":
            norms = {name: norms[name] for name in measured.layers}
        if not norms:
            raise UndefinedScore("no_parameters", "no convolution or linear layer is trainable")
        total = sum(norms.values())
        if not (math.isfinite(measured.loss) and math.isfinite(total)):
            raise UndefinedScore(
                "non_finite", f"loss {measured.loss:g} with gradients of norm {total:g}"
            )
        return total


@dataclass(frozen=True)
class GradientNorms:
    """The result of a backward pass.

    Attributes:
        loss: the mean cross-entropy in nats, or the value of the minibatch's loss.
        norms: norm of the gradient by each trainable parameter, by the parameter's name.
        layers: names of the weights of convolutions and linear layers.
    """

    loss: float
    norms: Mapping[str, float]
    layers: Sequence[str]


def _checked_loss(loss: object) -> Tensor:
    """Return what a loss of one's own returned if it is one number, in float64.

    Raises:
        UndefinedScore: `not_applicable`: it is something else, or its gradients can't be taken.
    """
    from torch import Tensor

    from untrained.proxies.autograd import refuse_reentrant

    if not isinstance(loss, Tensor) or loss.numel() != 1:
        found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise UndefinedScore(
            "not_applicable", f"the loss returned {found}: return a tensor of one number"
        )
    refuse_reentrant(loss)
    return loss.double().squeeze()

"""One backward pass of the loss, which several proxies read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.errors import theirs
from untrained.images.minibatches import Minibatch
from untrained.networks.batched_gradients import Networks, Parameters, Watch, gradients_of
from untrained.proxies.autograd import UNSEEN, refuse_reentrant, unseen
from untrained.proxies.base import UndefinedScore
from untrained.proxies.gradients import (
    LAYERS,
    differentiable,
    disconnected,
    layer_weights,
    logits_of,
)


@dataclass(frozen=True)
class OfWeight:
    """Numbers of a weight tensor W and the gradient g of the loss by it, all of them sums.

    Attributes:
        norm: the Euclidean norm of g.
        saliency: |W g|.
        product: W g.
    """

    norm: float = 0.0
    saliency: float = 0.0
    product: float = 0.0


@dataclass(frozen=True)
class OfOutput:
    """Numbers of one call of a layer, and the gradient of the loss by its output.

    Attributes:
        fisher: the sum over channels c of D_c = mean_n (sum a dL/da)^2 / 2 over the output a.
        fan_in: weights of a channel.
    """

    fisher: float
    fan_in: int


@dataclass(frozen=True)
class LossGradients:
    """The result of a backward pass.

    Attributes:
        loss: the mean cross-entropy in nats, or the value of the minibatch's loss.
        weights: numbers of each trainable parameter, by its name.
        outputs: numbers of each call of a convolution or linear layer whose weight is trainable.
        layers: names of the weights of convolutions and linear layers.
    """

    loss: float
    weights: dict[str, OfWeight]
    outputs: Sequence[OfOutput]
    layers: tuple[str, ...]


def loss_gradients(network: nn.Module, minibatch: Minibatch) -> LossGradients:
    """Take the gradient of the mean loss of a minibatch in the network's current mode.

    Raises:
        UndefinedScore: `no_parameters`, `disconnected` where the loss depends on no parameter, or
            `not_applicable` where the output is no tensor of logits, has too few classes, or
            autograd does not see what it depends on.
    """
    chosen = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not chosen:
        raise UndefinedScore("no_parameters", f"{type(network).__name__} has nothing to train")
    layers = tuple(layer_weights(network))
    with differentiable(network, minibatch):
        loss, found, outputs = _backward(network, minibatch, chosen, copies=False)
        if outputs is None:
            # what is rectified in place is lost by the time that its gradient is known
            loss, found, outputs = _backward(network, minibatch, chosen, copies=True)
    weights = {
        name: OfWeight() if gradient is None else _of_weight(chosen[name].detach(), gradient)
        for name, gradient in zip(chosen, found, strict=True)
    }
    return LossGradients(float(loss.detach()), weights, outputs or (), layers)


def loss_gradients_of_many(networks: Networks, minibatch: Minibatch) -> list[LossGradients]:
    """Take the gradients of `loss_gradients` of many networks by one backward pass.

    The loss is the cross-entropy. A weight is numbered, not named, and those that no path leads to
    the logits from are left out: their numbers are 0.
    """
    effects: list[tuple[Parameters, Tensor]] = []

    def watch(output: Tensor, weight: Parameters) -> None:
        kept = output.detach()
        rest = tuple(range(3, output.ndim))

        def note(gradient: Tensor) -> None:
            products = kept * gradient
            effects.append((weight, _fisher(products.sum(rest) if rest else products)))

        output.register_hook(note)  # type: ignore[no-untyped-call]

    with torch.inference_mode(mode=False), torch.enable_grad():
        parameters = networks.parameters(minibatch.images.dtype)
        losses = mean_losses(networks, parameters, minibatch, watch)
        gradients = gradients_of(losses.sum(), [one.values for one in parameters])
    numbers = [
        _numbers(one.values.detach(), gradient, first=1)
        for one, gradient in zip(parameters, gradients, strict=True)
    ]
    # all are read back at once
    single = [losses.detach(), *(fisher for _, fisher in effects)]
    columns = torch.cat([*(one.expand(3, -1) for one in single), *numbers], 1)
    left = iter(columns.T.cpu().tolist())
    whole = [next(left)[0] for _ in range(networks.count)]
    weights: list[dict[str, OfWeight]] = [{} for _ in whole]
    layers: list[list[str]] = [[] for _ in whole]
    outputs: list[list[OfOutput]] = [[] for _ in whole]
    for one, _ in effects:
        for owner in networks.listed(one.owners):
            outputs[owner].append(OfOutput(next(left)[0], one.values[0, 0].numel()))
    for number, one in enumerate(parameters):
        for owner in networks.listed(one.owners):
            name = f"{number}.{len(weights[owner])}"
            weights[owner][name] = OfWeight(*next(left))
            layers[owner] += [name] * one.layer
    made = zip(whole, weights, outputs, layers, strict=True)
    return [LossGradients(loss, own, shown, tuple(names)) for loss, own, shown, names in made]


def mean_losses(
    networks: Networks,
    parameters: list[Parameters],
    minibatch: Minibatch,
    watch: Watch | None = None,
) -> Tensor:
    """Return the mean cross-entropy (networks,) of each of many networks, in float64."""
    logits = networks.logits(parameters, minibatch.images, watch=watch).double()
    labels = minibatch.labels.clone().repeat(networks.count)
    each = functional.cross_entropy(logits.flatten(0, 1), labels, reduction="none")
    return each.view(networks.count, -1).mean(1)


def _of_weight(weight: Tensor, gradient: Tensor) -> OfWeight:
    return OfWeight(*_numbers(weight, gradient, first=0).cpu().tolist())


def _numbers(weight: Tensor, gradient: Tensor, first: int) -> Tensor:
    """Return the numbers (3, ...) of `OfWeight`, over the dimensions from `first` on."""
    rest = tuple(range(first, weight.ndim))
    # float64, in which the squares of a large or a tiny gradient don't overflow or vanish
    gradient = gradient.double()
    product = weight.double() * gradient
    norm = torch.linalg.vector_norm(gradient, dim=rest)
    return torch.stack([norm, product.abs().sum(rest), product.sum(rest)])


def _fisher(by_channel: Tensor) -> Tensor:
    """Return the number of `OfOutput` (...) of sums (N, ..., C) over the units of a channel."""
    return by_channel.double().square().mean(0).sum(-1) / 2


def _backward(
    network: nn.Module, minibatch: Minibatch, chosen: dict[str, nn.Parameter], *, copies: bool
) -> tuple[Tensor, Sequence[Tensor | None], list[OfOutput] | None]:
    """Return the loss, its gradients, and numbers of outputs unless one was overwritten.

    Args:
        network: the network.
        minibatch: images and labels.
        chosen: the parameters to take gradients by.
        copies: whether outputs are copied, in case that they are overwritten.
    """
    with _outputs_watched(network, copies=copies) as outputs:
        loss = mean_loss(network, minibatch)
        found: Sequence[Tensor | None] = [None] * len(chosen)
        if loss.requires_grad:
            found = torch.autograd.grad(loss, list(chosen.values()), allow_unused=True)
        if all(one is None for one in found):
            raise disconnected(network, "no weight moves the loss", minibatch.images)
    made = [one for one in outputs if one is not None]
    return loss, found, made if len(made) == len(outputs) else None


@contextmanager
def _outputs_watched(network: nn.Module, *, copies: bool) -> Iterator[list[OfOutput | None]]:
    """Yield a list that a backward pass fills; None stands for an output that was overwritten."""
    made: list[OfOutput | None] = []

    def see(layer: nn.Module, _inputs: object, output: object) -> None:
        weight = layer.weight
        if not isinstance(weight, Tensor) or not isinstance(output, Tensor):
            return  # a layer that is derived from PyTorch's
        if weight.requires_grad and output.requires_grad:
            kept = output.detach().clone() if copies else output.detach()
            of_layer = partial(note, kept, kept._version, _channel_axis(layer, output), weight)
            output.register_hook(of_layer)  # type: ignore[no-untyped-call]

    def note(output: Tensor, version: int, axis: int, weight: Tensor, gradient: Tensor) -> None:
        if output._version != version:
            made.append(None)
            return
        rest = [one for one in range(1, output.ndim) if one != axis]
        products = output * gradient
        fisher = float(_fisher(products.sum(rest) if rest else products))
        made.append(OfOutput(fisher, weight.numel() // output.shape[axis]))

    handles = [
        layer.register_forward_hook(see) for layer in network.modules() if isinstance(layer, LAYERS)
    ]
    try:
        yield made
    finally:
        for handle in handles:
            handle.remove()


def _channel_axis(layer: nn.Module, output: Tensor) -> int:
    return output.ndim - 1 if isinstance(layer, nn.Linear) else 1


def mean_loss(network: nn.Module, minibatch: Minibatch) -> Tensor:
    """Run the network and return the mean cross-entropy, or the minibatch's loss, in float64.

    To be called where buffers and random state are restored; see `differentiable`.

    Raises:
        UndefinedScore: `not_applicable`: the output is no tensor of logits or has too few classes,
            the minibatch's loss returns something else than one number, or autograd can't see what
            the output depends on.
    """
    labels = minibatch.labels.clone()  # autograd can't save labels of inference mode
    # a copy, since a network may rectify its input in place, and a product, so that all that is run
    # has a place in the graph
    outputs = network(minibatch.images.detach().clone().requires_grad_() * 1)
    if minibatch.loss is None:
        loss = _cross_entropy(network, outputs, labels, minibatch.num_classes)
    else:
        loss = _checked_loss(theirs(minibatch.loss, outputs, labels))
    if not loss.requires_grad and unseen(network, minibatch.images):
        raise UndefinedScore("not_applicable", UNSEEN)
    return loss


def _cross_entropy(network: nn.Module, outputs: object, labels: Tensor, num_classes: int) -> Tensor:
    """Return the mean cross-entropy of the logits among outputs, in float64.

    Raises:
        UndefinedScore: `not_applicable`: there are no logits, or too few classes.
    """
    logits = logits_of(network, outputs, len(labels))
    if labels.max() >= (count := logits.shape[1]):
        raise UndefinedScore(
            "not_applicable",
            f"{type(network).__name__} has {count} {'class' if count == 1 else 'classes'} and the "
            f"minibatch label {int(labels.max())}: give the network {num_classes}",
        )
    return functional.cross_entropy(logits.double(), labels)


def _checked_loss(loss: object) -> Tensor:
    """Return what a loss of one's own returned if it is one number, in float64.

    Raises:
        UndefinedScore: `not_applicable`: it is something else, or its gradients can't be taken.
    """
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        found = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise UndefinedScore(
            "not_applicable", f"the loss returned {found}: return a tensor of one number"
        )
    refuse_reentrant(loss)
    return loss.double().squeeze()

"""Helpers of the proxies that take gradients of a whole minibatch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from untrained.images.minibatches import Minibatch
from untrained.networks.modes import buffers_restored
from untrained.proxies.autograd import UNSEEN, refuse_reentrant, unseen
from untrained.proxies.base import UndefinedScore
from untrained.seeds import generators_restored
from untrained.training.logits import logits_among

LAYERS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


@contextmanager
def differentiable(network: nn.Module, minibatch: Minibatch) -> Iterator[Tensor]:
    """Yield a copy of the images (N, C, H, W) to run the network on under autograd.

    When the block ends, buffers and random state are what they were before.
    """
    images = minibatch.images
    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        generators_restored(images.device),
        buffers_restored(network),
    ):
        yield images.detach().clone()  # a network may rectify its input in place


def logits_of(network: nn.Module, outputs: object, images: int) -> Tensor:
    """Return the logits (N, classes) among a network's outputs for N images.

    See `logits_among`.

    Raises:
        UndefinedScore: `not_applicable`: the outputs are something else, or their gradients can't
            be taken.
    """
    logits = logits_among(outputs)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != images:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise UndefinedScore(
            "not_applicable",
            f"{type(network).__name__} returned {found}: one tensor of logits is needed, "
            f"({images}, classes)",
        )
    refuse_reentrant(logits)
    return logits


def layer_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable weights of convolutions and linear layers, by name.

    A weight that several layers share is returned once.
    """
    own = {id(layer.weight) for layer in network.modules() if isinstance(layer, LAYERS)}
    return {name: p for name, p in network.named_parameters() if p.requires_grad and id(p) in own}


def disconnected(network: nn.Module, reason: str, images: Tensor) -> UndefinedScore:
    """Return, not raise, the outcome of a network whose gradients are all zero.

    It is `not_applicable` where autograd can't see what the output depends on.

    Args:
        network: the network.
        reason: why it has no score, if autograd sees all.
        images: some images (n, C, H, W).
    """
    zero = zero_layers(network)
    if not zero and unseen(network, images):
        return UndefinedScore("not_applicable", UNSEEN)
    return UndefinedScore("disconnected", f"{reason}: {zero}" if zero else reason)


def zero_layers(network: nn.Module) -> str:
    """Name in words the layers whose weights are all zero, as some heads are initialised."""
    zero = [
        name.rpartition(".")[0] or name
        for name, parameter in network.named_parameters()
        if parameter.ndim > 1 and not parameter.any()
    ]
    return f"all weights of {' and '.join(zero)} are 0" if zero else ""

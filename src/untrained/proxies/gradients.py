"""Helpers of the proxies that take gradients of a whole minibatch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from untrained.errors import ParameterError
from untrained.images.minibatches import Minibatch
from untrained.networks.modes import buffers_restored


@contextmanager
def differentiable(network: nn.Module, minibatch: Minibatch) -> Iterator[Tensor]:
    """Yield a copy of the images (N, C, H, W) to run the network on under autograd.

    When the block ends, buffers and random state are what they were before.
    """
    images = minibatch.images
    devices = [images.device] if images.is_cuda else []
    with (
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        torch.random.fork_rng(devices=devices),
        buffers_restored(network),
    ):
        yield images.detach().clone()  # a network may rectify its input in place


def checked_logits(network: nn.Module, logits: object, images: int) -> Tensor:
    """Return a network's output for `images` images if it is one tensor of logits (N, classes).

    Raises:
        ParameterError: the output is something else.
    """
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != images:
        found = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ParameterError(
            f"{type(network).__name__} returned {found}: one tensor of logits is needed, "
            f"({images}, classes)"
        )
    return logits


def layer_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the trainable weights of two-dimensional convolutions and linear layers, by name.

    A weight that several layers share is returned once.
    """
    layers = [one for one in network.modules() if isinstance(one, (nn.Conv2d, nn.Linear))]
    own = {id(layer.weight) for layer in layers}
    return {name: p for name, p in network.named_parameters() if p.requires_grad and id(p) in own}

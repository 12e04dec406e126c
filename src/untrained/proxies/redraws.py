"""Copies of a network with weights and images from normal distributions."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from untrained.images.minibatches import Minibatch
from untrained.networks.graph import Graph
from untrained.networks.prepared import copied, with_effective_weights
from untrained.proxies.gradients import LAYERS
from untrained.seeds import generators_restored


def copy_to_redraw(network: nn.Module) -> nn.Module:
    """Return a copy whose weights are plain parameters, without gradients."""
    effective = with_effective_weights(network)
    made = copied(effective) if effective is network else effective
    return made.requires_grad_(False)


def redraw(network: nn.Module, generator: torch.Generator, *, fan_in: bool = False) -> None:
    """Draw the weights of convolutions and linear layers in place.

    The numbers do not depend on how the weights lie in memory, and an empty weight draws none.
    Biases are set to 0, scales of normalisations to 1 and their shifts to 0. All else, such as the
    slope of a rectifier, stays as it is.

    Args:
        network: a copy.
        generator: source of the weights.
        fan_in: whether the variance is 2 / (inputs of an output), as Kaiming He et al. draw, and
            not 1.
    """
    # networks of graphs are scored with channels last, others as they come
    of_graph = isinstance(getattr(network, "graph", None), Graph)
    layout = torch.channels_last if of_graph else torch.contiguous_format
    for module in network.modules():
        weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
        if isinstance(module, LAYERS) and isinstance(weight, Tensor):
            if weight.numel():
                inputs = weight[0].numel() if fan_in else 2
                _draw(weight, math.sqrt(2 / inputs), generator, layout)
        elif isinstance(module, _NORMALISATIONS) and isinstance(weight, Tensor):
            weight.fill_(1)
        else:
            continue
        if isinstance(bias, Tensor):
            bias.zero_()


def _draw(
    weight: Tensor, deviation: float, generator: torch.Generator, layout: torch.memory_format
) -> None:
    """Draw a weight in the order of a layout, whatever its own is."""
    layout = layout if weight.ndim == 4 else torch.contiguous_format
    drawn = torch.empty_like(weight, memory_format=layout)
    weight.copy_(drawn.normal_(0, deviation, generator=generator))


_NORMALISATIONS = (
    *(nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm),
    *(nn.GroupNorm, nn.LayerNorm, nn.RMSNorm),
)


def noise_like(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return N(0, 1) numbers of the shape and type of images."""
    return torch.randn(
        images.shape, generator=generator, dtype=images.dtype, device=images.device
    ).to(memory_format=torch.channels_last)


@contextmanager
def forward_only(minibatch: Minibatch) -> Iterator[None]:
    """Run copies without gradients; random state is afterwards what it was before."""
    with (
        torch.inference_mode(mode=False),
        torch.no_grad(),
        generators_restored(minibatch.images.device),
    ):
        yield

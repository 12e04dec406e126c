"""Runs a network of stages of blocks only as far as its rectifiers need, as a graph of sums.

Every rectifier is on the path from the images to the logits. What it reads is a node of the graph:
the output of a convolution, or the sum of a branch and its shortcut. Later nodes read it rectified,
except the blocks behind the pooling of a stem, which read the pooled tensor.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from untrained.networks.graphs import Edge, Node, as_it_is, readings
from untrained.networks.layers import Layer, Read, applied, convolved, layer_of
from untrained.networks.plans import Reading

if TYPE_CHECKING:
    from untrained.networks.anynet import AnyNet, ResidualBlock


def rectifier_inputs(network: "AnyNet", images: Tensor, *, pieces: int) -> Iterator[Reading]:
    """Yield what the rectifiers of a forward pass in training mode read; see `Planned`.

    Args:
        network: network to run; its weights follow the device and type of the images.
        images: (N, 3, H, W), channels last for speed.
        pieces: see `graphs.readings`.
    """
    return readings(graph(network, images.device, images.dtype), images, pieces)


def graph(network: "AnyNet", device: torch.device, dtype: torch.dtype) -> list[Node]:
    """Return the network as a graph of sums."""
    nodes = [Node()]
    last = Read(0, rectified=False, channels=3)
    for layer in _layers(network.stem, device, dtype):
        last = convolved(nodes, last, layer)
    if isinstance(pool := network.stem[-1], nn.MaxPool2d):
        last = applied(nodes, last, pool)
    for block in network.blocks:
        last = _block(nodes, last, block, device, dtype)
    return nodes


def _block(
    nodes: list[Node], source: Read, block: nn.Module, device: torch.device, dtype: torch.dtype
) -> Read:
    """Append a block that reads `source`; return what reads its output."""
    from untrained.networks.anynet import PlainBlock

    if isinstance(block, PlainBlock):
        for layer in _layers(block, device, dtype):
            source = convolved(nodes, source, layer)
        return source
    residual = cast("ResidualBlock", block)
    *before, last = _layers(residual.branch, device, dtype)
    made = source
    for layer in before:
        made = convolved(nodes, made, layer)
    output = convolved(nodes, made, last)
    shortcut = _layers(residual.shortcut, device, dtype)
    nodes[source.node].edges += [
        layer.edge(output.node, rectified=source.rectified) for layer in shortcut
    ] or [Edge(output.node, as_it_is, source.rectified)]
    return output


def _layers(modules: nn.Module, device: torch.device, dtype: torch.dtype) -> list[Layer]:
    """Return the convolutions of a sequence, each with the normalisation that follows it."""
    return [
        layer_of(one, other).to(device, dtype)
        for one, other in pairwise(cast("Iterable[nn.Module]", modules))
        if isinstance(one, nn.Conv2d)
    ]

"""Convolutions with their normalisations, and the nodes that they make in graphs of sums."""

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.networks.graphs import Edge, Node, appended


class Layer(NamedTuple):
    """A convolution without bias, padded by half its kernel, and the normalisation after it.

    Attributes:
        weight: (outputs, inputs / groups, k, k).
        stride: stride of the convolution.
        scale: (outputs,), scale of the normalisation; None for ones.
        shift: (outputs,), shift of the normalisation; None for zeros.
        groups: groups of the convolution.
    """

    weight: Tensor
    stride: int = 1
    scale: Tensor | None = None
    shift: Tensor | None = None
    groups: int = 1

    def to(self, device: torch.device, dtype: torch.dtype) -> "Layer":
        """Return a copy whose weight has another device and type, channels last."""
        weight = self.weight.to(device, dtype, memory_format=torch.channels_last)
        scale, shift = (
            None if value is None else value.to(device) for value in (self.scale, self.shift)
        )
        return self._replace(weight=weight, scale=scale, shift=shift)

    def edge(self, target: int, *, rectified: bool = True) -> Edge:
        """Return an edge that adds the normalised output to a node."""
        weight, stride, groups = self.weight, self.stride, self.groups
        padding = weight.shape[-1] // 2

        def apply(x: Tensor) -> Tensor:
            return functional.conv2d(x, weight, None, stride, padding, 1, groups)

        return Edge(target, apply, rectified, True, self.scale, self.shift)


def layer_of(convolution: nn.Module, norm: nn.Module | None = None) -> Layer:
    """Return the layer of two modules, with their own weights."""
    known = cast("nn.Conv2d", convolution)
    made = Layer(known.weight, known.stride[0], groups=known.groups)
    if norm is None:
        return made
    return made._replace(scale=cast("Tensor", norm.weight), shift=cast("Tensor", norm.bias))


class Read(NamedTuple):
    """What an edge reads: a node's sum, rectified or not, with its number of channels."""

    node: int
    rectified: bool
    channels: int


def convolved(nodes: list[Node], source: Read, layer: Layer) -> Read:
    """Append a node for the output of a convolution, which a rectifier on the path reads."""
    target = appended(nodes, Node(rectifiers=1, modules=1))
    nodes[source.node].edges.append(layer.edge(target, rectified=source.rectified))
    return Read(target, True, len(layer.weight))


def applied(nodes: list[Node], source: Read, apply: Callable[[Tensor], Tensor]) -> Read:
    """Append a node for the result of a function that has no weights and keeps the channels."""
    target = appended(nodes)
    nodes[source.node].edges.append(Edge(target, apply, source.rectified))
    return Read(target, False, source.channels)

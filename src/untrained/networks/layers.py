"""Convolutions with their normalisations, as edges of graphs of sums."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.networks.graphs import Edge


class Layer(NamedTuple):
    """A convolution without bias, padded by half its kernel, and the normalisation after it.

    Attributes:
        weight: (outputs, inputs / groups, k, k).
        stride: of the convolution.
        scale: (outputs,) of the normalisation; None for ones.
        shift: likewise; None for zeros.
        groups: of the convolution.
    """

    weight: Tensor
    stride: int = 1
    scale: Tensor | None = None
    shift: Tensor | None = None
    groups: int = 1

    def to(self, device: torch.device, dtype: torch.dtype) -> "Layer":
        """A copy elsewhere: weights of another type, channels last; the normalisation as it is."""
        weight = self.weight.to(device, dtype, memory_format=torch.channels_last)
        scale, shift = (
            None if value is None else value.to(device) for value in (self.scale, self.shift)
        )
        return self._replace(weight=weight, scale=scale, shift=shift)

    def edge(self, target: int, *, rectified: bool = True) -> Edge:
        """What adds its normalised output to a node."""
        weight, stride, groups = self.weight, self.stride, self.groups
        padding = weight.shape[-1] // 2

        def apply(x: Tensor) -> Tensor:
            return functional.conv2d(x, weight, None, stride, padding, 1, groups)

        return Edge(target, apply, rectified, True, self.scale, self.shift)


def layer_of(convolution: nn.Module, norm: nn.Module | None = None) -> Layer:
    """The layer of two modules, on their own weights."""
    weight = cast("Tensor", convolution.weight)
    made = Layer(weight, cast("nn.Conv2d", convolution).stride[0])
    made = made._replace(groups=cast("nn.Conv2d", convolution).groups)
    if norm is None:
        return made
    return made._replace(scale=cast("Tensor", norm.weight), shift=cast("Tensor", norm.bias))

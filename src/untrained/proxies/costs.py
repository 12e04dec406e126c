"""Size as a score, the baseline that every other score has to beat.

Both numbers are of the network that is scored, with as many classes as the data set has. They need
no weights, so the seed changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import BaseProxy, Cost, Direction

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch


@dataclass(frozen=True)
class Parameters(BaseProxy):
    """The number of trainable parameters; a network without any scores 0."""

    name: ClassVar[str] = "parameters"
    variants: ClassVar[tuple[str, ...]] = ("trainable",)
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "number of trainable parameters"
    cost: ClassVar[Cost] = "arithmetic"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Count without running the network; arguments as in `Proxy.__call__`."""
        from untrained.networks.costs import count_parameters

        del minibatch, generator
        return float(count_parameters(network))


@dataclass(frozen=True)
class Flops(BaseProxy):
    """Multiply-accumulate operations for one image of the minibatch's shape.

    Those of convolutions, linear layers and other products of matrices count, also on branches
    that don't reach the output; see `count_flops`. Networks of spaces that have graphs are counted
    as in their benchmarks' tables, where a linear layer's bias counts too; see `Graph.flops`.
    """

    name: ClassVar[str] = "flops"
    variants: ClassVar[tuple[str, ...]] = ("multiply_accumulate",)
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "multiply-accumulate operations of one image"
    cost: ClassVar[Cost] = "arithmetic"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Run one forward pass with one image; arguments as in `Proxy.__call__`."""
        import torch

        from untrained.networks.costs import count_flops
        from untrained.networks.graph import Graph

        del generator
        channels, height, width = minibatch.images.shape[1:]
        if isinstance(graph := getattr(network, "graph", None), Graph):
            return float(graph.flops((channels, height, width)))
        devices = [minibatch.images.device] if minibatch.images.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            return float(count_flops(network, (channels, height, width)))

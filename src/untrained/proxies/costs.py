"""Size as a score, the baseline that every other score has to beat.

All numbers are of the network that is scored, with as many classes as the data set has. They need
no weights, so the seed changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import BaseProxy, Cost, Direction, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch
    from untrained.networks.graph import Graph


@dataclass(frozen=True)
class Parameters(BaseProxy):
    """The number of trainable parameters; a network without any scores 0.

    Attributes:
        variant: `trainable` counts all, as benchmarks' tables do. `live` counts those that can
            matter: in the network of a graph, those on a path from the images to the logits, so
            that a network that is cut in two scores 0; in any other network, those that the output
            depends on, as the graph of autograd of one forward pass shows.
    """

    name: ClassVar[str] = "parameters"
    aliases: ClassVar[tuple[str, ...]] = ("params",)
    variants: ClassVar[tuple[str, ...]] = ("trainable", "live")
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "number of trainable parameters"
    cost: ClassVar[Cost] = "arithmetic"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Count, for `live` of a network without a graph by one forward pass with two images.

        Raises:
            UndefinedScore: `not_applicable`: for `live`, checkpoints hide what they run.
        """
        from untrained.networks.costs import count_parameters

        del generator
        if self.variant == "trainable":
            return float(count_parameters(network))
        if graph := _graph_of(network):
            return self.of_graph(graph, minibatch.images.shape[1:])
        return float(_reached(network, minibatch))

    def of_graph(self, graph: Graph, shape: tuple[int, ...]) -> float:
        """Count in a graph; see `untrained.proxies.base.CountsGraph`."""
        del shape
        return float(graph.parameters if self.variant == "trainable" else graph.live_parameters)


@dataclass(frozen=True)
class Flops(BaseProxy):
    """Multiply-accumulate operations for one image of the minibatch's shape.

    Those of convolutions, linear layers and other products of matrices and vectors count; see
    `count_flops`. What can't be counted is `not_applicable`.
    Networks of spaces that have graphs are counted as in their benchmarks' tables, where a linear
    layer's bias counts too; see `Graph.flops`.

    Attributes:
        variant: `multiply_accumulate` counts all that are executed. `live` counts those on a path
            from the images to the logits; only the network of a graph has such a count.
    """

    name: ClassVar[str] = "flops"
    variants: ClassVar[tuple[str, ...]] = ("multiply_accumulate", "live")
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "multiply-accumulate operations of one image"
    cost: ClassVar[Cost] = "arithmetic"
    applies_to: ClassVar[str] = "any network; live: networks of a space's graph"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Count, in a network without a graph by one forward pass with one image.

        Raises:
            UndefinedScore: `not_applicable`: `live` of a network without a graph.
            NotApplicable: see `count_flops`.
        """
        from untrained.networks.costs import count_flops
        from untrained.seeds import generators_restored

        del generator
        channels, height, width = minibatch.images.shape[1:]
        if graph := _graph_of(network):
            return self.of_graph(graph, (channels, height, width))
        if self.variant == "live":
            raise UndefinedScore(
                "not_applicable",
                f"{type(network).__name__} has no graph that shows which operations reach the "
                "output: take flops",
            )
        with generators_restored(minibatch.images.device):
            return float(count_flops(network, (channels, height, width)))

    def of_graph(self, graph: Graph, shape: tuple[int, ...]) -> float:
        """Count in a graph; see `untrained.proxies.base.CountsGraph`."""
        return float(graph.flops(shape, dead_branches=self.variant != "live"))


@dataclass(frozen=True)
class Memory(BaseProxy):
    """The bytes that the activations of one image need at once in a forward pass.

    It is the peak at inference, in evaluation mode without gradients, with 4 bytes a number;
    weights do not count. In the network of a graph it follows from the order of the graph's edges,
    with tensors freed when they were last read and rectifiers, normalisations and sums done in
    place; see `Graph.memory`. Of any other network it is what PyTorch allocates, operation by
    operation; see `peak_memory`. So compare networks of one kind.
    """

    name: ClassVar[str] = "memory"
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "peak of the memory of activations at inference, for one image"
    unit: ClassVar[str] = "bytes"
    shared: ClassVar[bool] = False
    cost: ClassVar[Cost] = "arithmetic"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Follow the graph, or else one forward pass with one image."""
        from untrained.networks.costs import peak_memory
        from untrained.seeds import generators_restored

        del generator
        channels, height, width = minibatch.images.shape[1:]
        if graph := _graph_of(network):
            return self.of_graph(graph, (channels, height, width))
        with generators_restored(minibatch.images.device):
            return float(peak_memory(network, (channels, height, width)))

    def of_graph(self, graph: Graph, shape: tuple[int, ...]) -> float:
        """Follow a graph; see `untrained.proxies.base.CountsGraph`."""
        return float(_BYTES * graph.memory(shape))


#: Bytes of a number in single precision.
_BYTES = 4


def _graph_of(network: nn.Module) -> Graph | None:
    """Return the graph that a network was made from, unless it was changed since."""
    from untrained.networks.graph import Graph

    graph = getattr(network, "graph", None)
    if not isinstance(graph, Graph):
        return None
    own = sum(one.numel() for one in network.parameters())
    return graph if own == graph.parameters else None


def _reached(network: nn.Module, minibatch: Minibatch) -> int:
    """Return the number of trainable parameters that the output depends on.

    Raises:
        UndefinedScore: `not_applicable`: checkpoints hide what they run, or autograd can't see what
            the output depends on.
    """
    from dataclasses import replace

    from untrained.proxies.autograd import UNSEEN, nodes_behind, refuse_reentrant, unseen
    from untrained.proxies.gradients import differentiable

    two = replace(minibatch, images=minibatch.images[:2])
    with differentiable(network, two) as images:
        outputs = network(images.requires_grad_() * 1)
    refuse_reentrant(outputs)
    leaves = {id(getattr(node, "variable", None)) for node in nodes_behind(outputs)}
    found = sum(p.numel() for p in network.parameters() if p.requires_grad and id(p) in leaves)
    if not found and unseen(network, two.images):
        raise UndefinedScore("not_applicable", UNSEEN)
    return found

"""Runs a network of DARTS or of a cell space of NDS only as far as its rectifiers need.

The network is a graph of sums. Where several edges of the module rectify the same tensor, the graph
rectifies and codes it once; a rectifier that reads concatenated nodes reads what the rectifiers of
single nodes read. So the output of a cell is never made, only its rectified nodes, concatenated for
the convolutions that read them. What leads to no rectifier that counts is not executed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.networks.fused import average_pool, max_pool
from untrained.networks.graphs import Edge, Node, as_it_is, readings
from untrained.networks.plans import Reading

if TYPE_CHECKING:
    from untrained.networks.darts import Cell, DartsNetwork, FactorisedReduction

Apply = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Step:
    """An edge of the graph, before it is known which edges are executed.

    Attributes:
        source: index of the node that the edge reads.
        edge: the edge from that node.
        constant: whether the edge's result depends on the shape of the source alone.
        reads: nodes that its rectifier reads: the source, or the nodes that the source
            concatenates; empty where it has no rectifier.
        modules: number of modules named after ReLU that read them.
    """

    source: int
    edge: Edge
    constant: bool = False
    reads: tuple[int, ...] = ()
    modules: int = 0


@dataclass
class _Graph:
    """Nodes in topological order, the images first, and the steps between them.

    Attributes:
        dtype: type of the convolutions' weights and of the images.
        device: device of both.
    """

    dtype: torch.dtype
    device: torch.device
    steps: list[_Step] = field(default_factory=list)
    wide: set[int] = field(default_factory=set)
    count: int = 1

    def grown(self) -> int:
        """Return the index of a new node."""
        self.count += 1
        return self.count - 1

    def add(self, source: int, target: int, apply: Apply, *, constant: bool = False) -> None:
        """Add an edge whose result is not normalised."""
        self.steps.append(_Step(source, Edge(target, apply), constant))

    def convolved(
        self,
        source: int,
        target: int,
        apply: Apply,
        norm: nn.BatchNorm2d,
        reads: Iterable[int] = (),
        modules: int = 0,
    ) -> None:
        """Add an edge whose result is normalised; without `reads` its source is not rectified.

        The terms of a node that concatenates are rectified already.
        """
        rectified = bool(reads) and source not in self.wide
        edge = Edge(target, apply, rectified, True, norm.weight, norm.bias)
        self.steps.append(_Step(source, edge, False, tuple(reads), modules))

    def weights(self, layers: Iterable[nn.Module]) -> Apply:
        """Return a function that applies the convolutions among some layers in order."""
        convolutions = [
            (
                one.weight.to(self.device, self.dtype, memory_format=torch.channels_last),
                *(one.stride, one.padding, one.dilation, one.groups),
            )
            for one in layers
            if isinstance(one, nn.Conv2d)
        ]

        def apply(x: Tensor) -> Tensor:
            for weight, stride, padding, dilation, groups in convolutions:
                x = functional.conv2d(x, weight, None, stride, padding, dilation, groups)
            return x

        return apply

    def nodes(self, output: int, *, dead_branches: bool) -> list[Node]:
        """Return the graph to execute; it is empty where no rectifier counts.

        Args:
            output: the node that the classifier reads.
            dead_branches: whether rectifiers count that are on no path from the images to `output`.
        """
        depends = {0}  # nodes that depend on the images
        for step in self.steps:  # a step comes after those that make its source
            if step.source in depends and not step.constant:
                depends.add(step.edge.target)
        leads = {output}
        for step in reversed(self.steps):
            if step.edge.target in leads and not step.constant:
                leads.add(step.source)
        nodes = [Node(concatenated=index in self.wide) for index in range(self.count)]
        for step in self.steps:
            on_path = step.edge.target in leads and not depends.isdisjoint(step.reads)
            for index in step.reads:
                nodes[index].rectifiers += on_path
                nodes[index].modules += step.modules
        wanted = {
            index
            for index, node in enumerate(nodes)
            if (node.modules if dead_branches else node.rectifiers)
        }
        for step in reversed(self.steps):
            if step.edge.target in wanted:
                wanted.add(step.source)
                nodes[step.source].edges.append(step.edge)
        return _renumbered(nodes, wanted)


def _renumbered(nodes: list[Node], wanted: set[int]) -> list[Node]:
    """Return the wanted nodes, whose edges were added from the last to the first."""
    places = {index: place for place, index in enumerate(sorted(wanted))}
    for index in places:
        nodes[index].edges = [
            edge._replace(target=places[edge.target]) for edge in reversed(nodes[index].edges)
        ]
    return [nodes[index] for index in places]


@dataclass(frozen=True)
class _Output:
    """The output of a cell or of the stem.

    Attributes:
        node: node that convolutions read.
        reads: nodes that the rectifiers before those convolutions read.
    """

    node: int
    reads: tuple[int, ...]


def rectifier_inputs(
    network: "DartsNetwork", images: Tensor, *, dead_branches: bool, pieces: int
) -> Iterator[Reading]:
    """Yield what the rectifiers of a forward pass in training mode read; see `Planned`.

    No edge is dropped, and the auxiliary head is not executed.
    """
    graph = _Graph(images.dtype, images.device)
    earlier, last = _stem(graph, network)
    for cell in network.cells:
        earlier, last = last, _cell(graph, cast("Cell", cell), earlier, last)
    nodes = graph.nodes(last.node, dead_branches=dead_branches)
    finite = True
    for reading in readings(nodes, images, pieces):
        # sums that normalise nothing pass on values that are not finite
        finite = finite and reading.finite
        yield reading._replace(finite=finite)


def _stem(graph: _Graph, network: "DartsNetwork") -> tuple[_Output, _Output]:
    """Add the stem: convolutions with normalisations, rectified in between."""
    outputs: list[_Output] = []
    node, reads = 0, tuple[int, ...]()
    for part in cast("Iterable[nn.Sequential]", network.stem):
        for layer in part:
            match layer:
                case nn.ReLU():
                    reads = (node,)
                case nn.Conv2d():
                    apply = graph.weights([layer])
                case nn.BatchNorm2d():
                    target = graph.grown()
                    graph.convolved(node, target, apply, layer, reads, len(reads))
                    node, reads = target, ()
        outputs.append(_Output(node, (node,)))
    return outputs[0], outputs[-1]


def _cell(graph: _Graph, cell: "Cell", earlier: _Output, last: _Output) -> _Output:
    nodes = []
    for read, preprocess in zip((earlier, last), cell.preprocess, strict=True):
        nodes.append(graph.grown())
        if isinstance(preprocess, nn.Sequential):
            norm = cast("nn.BatchNorm2d", preprocess[-1])
            # the wrapper is named after ReLU too
            apply = graph.weights(preprocess)
            graph.convolved(read.node, nodes[-1], apply, norm, read.reads, 2)
        else:
            _reduce(graph, cast("FactorisedReduction", preprocess), read, nodes[-1])
    for position in range(0, len(cell.edges), 2):
        pair = list(zip(cell.edges, cell.operations, strict=True))[position : position + 2]
        # zeros are left out unless they are the only term
        there = [one for one in pair if one[0][0] != "none"] or pair[:1]
        ends = []
        for (_, source), operation in there:
            ends.append(_operation(graph, operation, nodes[source]))
        nodes.append(graph.grown())
        for end in ends:
            end(nodes[-1])
    parts = tuple(nodes[node] for node in cell.concat)
    if len(parts) == 1:
        return _Output(parts[0], parts)
    whole = graph.grown()
    graph.wide.add(whole)
    for part in parts:
        graph.steps.append(_Step(part, Edge(whole, as_it_is, rectified=True)))
    return _Output(whole, parts)


def _operation(graph: _Graph, operation: nn.Module, source: int) -> Callable[[int], None]:
    """Add an operation except its last step; return a function that adds that step to a target.

    So intermediate nodes come before the target, and steps after those that make their source.
    """
    from untrained.networks.darts import FactorisedReduction, Zero

    match operation:
        case nn.Identity():
            return lambda target: graph.add(source, target, as_it_is)
        case Zero():
            return lambda target: graph.add(source, target, operation, constant=True)
        case FactorisedReduction():
            halved = _Output(source, (source,))
            return lambda target: _reduce(graph, operation, halved, target)
        case nn.Sequential():
            layers = list(operation)
            norms = [n for n, one in enumerate(layers) if isinstance(one, nn.BatchNorm2d)]
            start = 0
            for end in norms[:-1]:
                middle = graph.grown()
                _convolve(graph, layers[start : end + 1], source, middle)
                source, start = middle, end + 1
            return lambda target: _convolve(graph, layers[start:], source, target)
        case _:
            return lambda target: graph.add(source, target, _pool(operation))


def _convolve(graph: _Graph, layers: list[nn.Module], source: int, target: int) -> None:
    """Add a rectifier, convolutions and their normalisation."""
    norm = cast("nn.BatchNorm2d", layers[-1])
    graph.convolved(source, target, graph.weights(layers), norm, (source,), 1)


def _reduce(graph: _Graph, module: "FactorisedReduction", source: _Output, target: int) -> None:
    even, odd = graph.weights([module.even]), graph.weights([module.odd])

    def apply(x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        filled = x
        if height % 2 or width % 2:
            filled = functional.pad(x, (0, width % 2, 0, height % 2))
        return torch.cat((even(x), odd(filled[:, :, 1:, 1:])), dim=1)

    graph.convolved(source.node, target, apply, module.norm, source.reads, 1)


def _pool(operation: nn.Module) -> Apply:
    """Return the pooling as a function, by compiled loops for 3x3 pooling at stride 1."""
    match operation:
        case nn.AvgPool2d(kernel_size=3, stride=1):
            return average_pool
        case nn.MaxPool2d(kernel_size=3, stride=1):
            return max_pool
    return cast("Apply", operation)

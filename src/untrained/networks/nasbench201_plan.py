"""Runs a network of NAS-Bench-201 cells for its rectifiers, in as few memory passes as possible.

The cell is compiled once to a plan: edges that lead nowhere are dropped; a node that only copies
another is replaced by that one; a node is rectified, coded and pooled once however many edges read
it; and only what is read is made. Batch statistics are not averaged over time. With the same
weights the values are those of the module, up to rounding; tests compare the two. One condition:
edges that read only zeros count as dead, so normalisations must not have learned a bias.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.networks.fused import average_pool
from untrained.networks.graphs import Edge, Node, appended, as_it_is, readings
from untrained.networks.layers import Layer, layer_of
from untrained.networks.plans import Reading
from untrained.spaces.cell_classes import EDGES, live_edges

if TYPE_CHECKING:
    from untrained.networks.nasbench201 import NasBench201Network
    from untrained.networks.natsbench_size import NatsBenchSizeNetwork


_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


@dataclass(frozen=True)
class PlannedEdge:
    """An edge of a cell that is executed.

    Attributes:
        source: node that the edge reads, after copies are replaced.
        operation: name of its operation.
        position: position of its module in the cell.
    """

    source: int
    operation: str
    position: int


@dataclass(frozen=True)
class CellPlan:
    """The nodes and edges of a cell that are executed.

    Attributes:
        nodes: (node, its incoming edges) in order of execution, without copies.
        output: node that the cell returns; None where nothing reaches the output.
        readers: number of convolutions that read each node.
        live_readers: number of those on paths from the input to the output.
    """

    nodes: tuple[tuple[int, tuple[PlannedEdge, ...]], ...]
    output: int | None
    readers: dict[int, int]
    live_readers: dict[int, int]


def compile_cell(operations: tuple[str, ...], *, dead_branches: bool = False) -> CellPlan:
    """Compile the six operations of a cell to a plan.

    Args:
        operations: operations in the order of the spelling.
        dead_branches: whether to execute also what leads nowhere or reads only zeros, as the
            module does.
    """
    live = live_edges(operations)
    edges = [
        (source, target, operation)
        for (source, target), operation in zip(EDGES, operations, strict=True)
        if operation != "none"
    ]
    same = {0: 0}
    nodes = []
    readers: Counter[int] = Counter()
    live_readers: Counter[int] = Counter()
    for node in (1, 2, 3):
        incoming = [
            (PlannedEdge(same[source], operation, position), (source, target) in live)
            for position, (source, target, operation) in enumerate(edges)
            if target == node and (dead_branches or (source, target) in live)
        ]
        # where the width changes, a skip is no copy; the only cell that changes it has no such node
        if len(incoming) == 1 and incoming[0][0].operation == "skip_connect":
            same[node] = incoming[0][0].source
            continue
        same[node] = node
        if incoming or dead_branches:
            nodes.append((node, tuple(edge for edge, _ in incoming)))
        for edge, on_path in incoming:
            if edge.operation in _KERNELS:
                readers[edge.source] += 1
                live_readers[edge.source] += on_path
    output = same[3] if live or dead_branches else None
    return CellPlan(tuple(nodes), output, readers, live_readers)


class ReductionLayers(NamedTuple):
    """The convolutions of a residual block between two stages."""

    first: Layer
    second: Layer
    projection: Layer


#: The layers of a cell's operations in order, None where an operation has none.
CellLayers = list[Layer | None]


@dataclass(frozen=True)
class PlannedNetwork:
    """The operations and the weights of a network of NAS-Bench-201 cells.

    Attributes:
        operations: operations of the cell, in the order of the spelling.
        stem: first layer.
        blocks: layers of all stages, in order.
        head: normalisation before the last rectifier (its weight is not used).
    """

    operations: tuple[str, ...]
    stem: Layer
    blocks: list[CellLayers | ReductionLayers]
    head: Layer

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass in training mode read, in order.

        Args:
            images: (N, 3, H, W), channels last for speed; the weights follow their device and
                type.
            dead_branches: see `compile_cell`. Otherwise nothing is yielded for a cell that doesn't
                connect its input to its output.
            pieces: see `graphs.readings`.
        """
        network = self.to(images.device, images.dtype)
        yield from readings(network.graph(dead_branches=dead_branches), images, pieces)

    def graph(self, *, dead_branches: bool) -> list[Node]:
        """Return the network as a graph of sums; it is empty where nothing reaches the output."""
        plan = compile_cell(self.operations, dead_branches=dead_branches)
        if plan.output is None:
            return []
        live = int(bool(live_edges(self.operations)))
        nodes = [Node()]
        last = appended(nodes)
        nodes[0].edges.append(self.stem.edge(last, rectified=False))
        for block in self.blocks:
            if isinstance(block, ReductionLayers):
                last = _reduction(nodes, last, block, live)
            else:
                last = _cell(nodes, last, block, plan, plan.output)
        head = appended(nodes)
        scale, shift = self.head.scale, self.head.shift
        nodes[last].edges.append(Edge(head, as_it_is, False, True, scale, shift))
        _read(nodes[head], live, 1)
        return nodes

    def to(self, device: torch.device, dtype: torch.dtype) -> "PlannedNetwork":
        """Return a copy with another device and type; see `Layer.to`."""

        def moved(block: CellLayers | ReductionLayers) -> CellLayers | ReductionLayers:
            if isinstance(block, ReductionLayers):
                return ReductionLayers(*(layer.to(device, dtype) for layer in block))
            return [None if layer is None else layer.to(device, dtype) for layer in block]

        stem, head = (layer.to(device, dtype) for layer in (self.stem, self.head))
        return replace(self, stem=stem, blocks=list(map(moved, self.blocks)), head=head)


def draw_network(operations: tuple[str, ...], channels: int = 16, cells: int = 5) -> PlannedNetwork:
    """Draw the same weights from the generator as PyTorch's constructors, without a module.

    Building the module takes a fifth of the time of a score, and the plan needs only its weights.

    Args:
        operations: operations of the cell, in the order of the spelling.
        channels: channels of the first stage.
        cells: cells per stage.
    """
    stem = drawn_layer(3, channels, 3)
    blocks: list[CellLayers | ReductionLayers] = []
    for stage in range(3):
        if stage:
            blocks.append(drawn_reduction(channels, 2 * channels))
            channels *= 2
        blocks += [drawn_cell(operations, channels, channels) for _ in range(cells)]
    return PlannedNetwork(operations, stem, blocks, Layer(torch.empty(0, 0, 0, 0)))


def drawn_cell(operations: tuple[str, ...], inputs: int, outputs: int) -> CellLayers:
    """Draw the layers of a `Cell`, in the order in which its constructor draws them."""
    layers: CellLayers = []
    for (source, _), name in zip(EDGES, operations, strict=True):
        width = outputs if source else inputs
        if name in _KERNELS:
            layers.append(drawn_layer(width, outputs, _KERNELS[name]))
        elif name == "skip_connect" and width != outputs:
            layers.append(drawn_layer(width, outputs, 1))
        elif name != "none":
            layers.append(None)
    return layers


def drawn_reduction(inputs: int, outputs: int) -> ReductionLayers:
    """Draw the layers of a `Reduction`, in the order in which its constructor draws them."""
    first = drawn_layer(inputs, outputs, 3, stride=2)
    second = drawn_layer(outputs, outputs, 3)
    return ReductionLayers(first, second, drawn_layer(inputs, outputs, 1))


def drawn_layer(inputs: int, outputs: int, kernel: int, stride: int = 1) -> Layer:
    """Draw the weights of a convolution as PyTorch's constructor does."""
    # the distribution is U(-b, b) with b = 1 / sqrt(fan in)
    bound = (inputs * kernel * kernel) ** -0.5
    weight = torch.empty(outputs, inputs, kernel, kernel).uniform_(-bound, bound)
    return Layer(weight, stride)


def planned(network: "NasBench201Network | NatsBenchSizeNetwork") -> PlannedNetwork:
    """Return the plan of a module, with the module's own weights."""
    from untrained.networks.nasbench201 import Cell, Projection, Reduction, ReLUConvBN

    def own(module: nn.Module) -> Layer | None:
        if isinstance(module, ReLUConvBN):
            return layer_of(module[1], module[2])
        return layer_of(module[0], module[1]) if isinstance(module, Projection) else None

    blocks: list[CellLayers | ReductionLayers] = []
    for block in network.blocks:
        if isinstance(block, Cell):
            blocks.append([own(module) for module in block.operations])
        elif isinstance(block, Reduction):
            first, second = (layer_of(part[1], part[2]) for part in (block.first, block.second))
            blocks.append(ReductionLayers(first, second, layer_of(block.shortcut[1])))
    norm = cast("nn.BatchNorm2d", network.head[0])
    learned = [module.bias for module in network.blocks.modules() if isinstance(module, type(norm))]
    if any(bool((shift != 0).any()) for shift in learned):
        # with a shift, edges that read only zeros have other results than zero
        raise ParameterError(
            "normalisations have learned a shift: the fast engine is for fresh weights, take "
            "--engine plain"
        )
    head = Layer(torch.empty(0, 0, 0, 0), 1, norm.weight, norm.bias)
    if not len(network.stem):
        raise ParameterError("a network without a stem has no plan: take --engine plain")
    stem = layer_of(network.stem[0], network.stem[1])
    return PlannedNetwork(network.operations, stem, blocks, head)


def _read(node: Node, rectifiers: int, modules: int) -> None:
    node.rectifiers += rectifiers
    node.modules += modules


def _cell(nodes: list[Node], source: int, layers: CellLayers, plan: CellPlan, output: int) -> int:
    """Append a cell that reads node `source`; return the node of its output."""
    places = {0: source}
    for node, incoming in plan.nodes:
        places[node] = place = appended(nodes)
        for edge in incoming:
            nodes[places[edge.source]].edges.append(_edge(edge, layers[edge.position], place))
        if not incoming:
            nodes[source].edges.append(Edge(place, torch.zeros_like))
    for node, count in plan.readers.items():
        _read(nodes[places[node]], plan.live_readers[node], 2 * count)
    return places[output]


def _edge(edge: PlannedEdge, layer: Layer | None, target: int) -> Edge:
    if layer is not None:  # a skip connection that changes the width has a layer
        return layer.edge(target, rectified=edge.operation != "skip_connect")
    return Edge(target, as_it_is if edge.operation == "skip_connect" else average_pool)


def _reduction(nodes: list[Node], source: int, layers: ReductionLayers, live: int) -> int:
    inner, output = appended(nodes), appended(nodes)
    weight = layers.projection.weight
    nodes[source].edges += [
        layers.first.edge(inner),
        Edge(output, lambda x: functional.conv2d(functional.avg_pool2d(x, 2, stride=2), weight)),
    ]
    nodes[inner].edges.append(layers.second.edge(output))
    _read(nodes[source], live, 2)
    _read(nodes[inner], live, 2)
    return output

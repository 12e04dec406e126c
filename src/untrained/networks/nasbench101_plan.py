"""Runs a NAS-Bench-101 network only as far as its rectifiers need, as a graph of sums.

The output of a convolution is a node of one normalised term, which is read rectified. What a vertex
reads is a sum of such nodes where it reads several; the output of a cell is a node that
concatenates its terms. Cells are pruned, so every rectifier is on a path from input to output.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn

from untrained.networks.fused import TERMS, halve, max_pool
from untrained.networks.graphs import Edge, Node, appended, as_it_is, readings
from untrained.networks.layers import Layer, Read, applied, convolved, layer_of
from untrained.networks.nasbench101_channels import KERNELS, SCORED, vertex_channels, widths
from untrained.networks.plans import Reading
from untrained.spaces.base import Skeleton
from untrained.spaces.nasbench101_cells import Cell

if TYPE_CHECKING:
    from untrained.networks.nasbench101 import ConvBnRelu, NasBench101Network


class CellLayers(NamedTuple):
    """The convolutions of a cell, by vertex.

    Attributes:
        channels: channels of each vertex.
        projections: projections of the cell's input, for the vertices that read it.
        operations: convolutions of the inner vertices that have one.
    """

    channels: tuple[int, ...]
    projections: Mapping[int, Layer]
    operations: Mapping[int, Layer]


@dataclass(frozen=True)
class PlannedNetwork:
    """The graph and the weights of a NAS-Bench-101 network.

    Attributes:
        cell: pruned cell.
        stem: first layer; None where the first cell reads the images.
        blocks: convolutions of the cells of all stacks, in order.
        per_stack: number of cells in a stack.
    """

    cell: Cell
    stem: Layer | None
    blocks: list[CellLayers]
    per_stack: int

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass in training mode read.

        Args:
            images: (N, 3, H, W), channels last for speed; the weights follow their device and
                type.
            dead_branches: has no effect, since there are no dead branches.
            pieces: see `graphs.readings`.
        """
        del dead_branches
        finite = True
        for reading in readings(self.to(images.device, images.dtype).graph(), images, pieces):
            finite &= reading.finite  # not every rectifier leads to the last one
            yield reading._replace(finite=finite)

    def graph(self) -> list[Node]:
        """Return the network as a graph of sums."""
        nodes = [Node()]
        last = Read(0, rectified=False, channels=self.blocks[0].channels[0])
        if self.stem is not None:
            last = convolved(nodes, last, self.stem)
        for number, layers in enumerate(self.blocks):
            if number and number % self.per_stack == 0:
                last = applied(nodes, last, halve)
            last = _cell(nodes, last, self.cell, layers)
        return _read_by_rectifiers(nodes)

    def to(self, device: torch.device, dtype: torch.dtype) -> "PlannedNetwork":
        """Return a copy with another device and type; see `Layer.to`."""

        def moved(layers: Mapping[int, Layer]) -> Mapping[int, Layer]:
            return {vertex: layer.to(device, dtype) for vertex, layer in layers.items()}

        blocks = [
            CellLayers(block.channels, moved(block.projections), moved(block.operations))
            for block in self.blocks
        ]
        stem = None if self.stem is None else self.stem.to(device, dtype)
        return replace(self, stem=stem, blocks=blocks)


def deviation(outputs: int, kernel: int) -> float:
    """Return the standard deviation of a new convolution's weights (He et al., 2015, fan out)."""
    return float((2 / (kernel * kernel * outputs)) ** 0.5)


def draw_network(cell: Cell, skeleton: Skeleton = SCORED) -> PlannedNetwork:
    """Draw the same weights from the generator as the module's constructor, without the module."""
    stem = _drawn(3, skeleton.channels, 3) if skeleton.stem else None
    blocks = []
    for inputs, outputs in widths(skeleton):
        channels = vertex_channels(cell.matrix, inputs, outputs)
        projections, operations = {}, {}
        for vertex, width in enumerate(channels[1:], start=1):
            if cell.matrix[0][vertex]:
                projections[vertex] = _drawn(inputs, width, 1)
            if vertex <= len(cell.operations) and cell.operations[vertex - 1] in KERNELS:
                operations[vertex] = _drawn(width, width, KERNELS[cell.operations[vertex - 1]])
        blocks.append(CellLayers(channels, projections, operations))
    return PlannedNetwork(cell, stem, blocks, skeleton.cells)


def _drawn(inputs: int, outputs: int, kernel: int) -> Layer:
    weight = torch.empty(outputs, inputs, kernel, kernel)
    return Layer(weight.normal_(0, deviation(outputs, kernel)))


def planned(network: "NasBench101Network") -> PlannedNetwork:
    """Return the plan of a module, with the module's own weights."""
    from untrained.networks.nasbench101 import CellModule

    def layer(module: nn.Module) -> Layer:
        convolution, norm, _ = cast("ConvBnRelu", module)
        return layer_of(convolution, norm)

    cells = [block for block in network.blocks if isinstance(block, CellModule)]
    blocks = [
        CellLayers(
            cell.channels,
            {int(vertex): layer(module) for vertex, module in cell.projections.items()},
            {
                int(vertex): layer(module)
                for vertex, module in cell.operations.items()
                if not isinstance(module, nn.MaxPool2d)
            },
        )
        for cell in cells
    ]
    stem = layer(network.stem[0]) if len(network.stem) else None
    return PlannedNetwork(network.cell, stem, blocks, network.skeleton.cells)


def _cell(nodes: list[Node], source: Read, cell: Cell, layers: CellLayers) -> Read:
    """Append a cell that reads `source`; return what reads its output."""
    matrix, last = cell.matrix, len(cell.matrix) - 1
    made = {0: source}
    for vertex in range(1, last):
        read = [made[other] for other in range(1, vertex) if matrix[other][vertex]]
        if matrix[0][vertex]:
            read.append(convolved(nodes, source, layers.projections[vertex]))
        total = _added(nodes, read, layers.channels[vertex])
        made[vertex] = (
            convolved(nodes, total, layers.operations[vertex])
            if vertex in layers.operations
            else applied(nodes, total, max_pool)
        )
    outputs = [made[vertex] for vertex in range(1, last) if matrix[vertex][last]]
    whole = [_side_by_side(nodes, outputs)] if outputs else []
    if matrix[0][last]:
        whole.append(convolved(nodes, source, layers.projections[last]))
    return _added(nodes, whole, layers.channels[last])


def _added(nodes: list[Node], read: list[Read], channels: int) -> Read:
    """Return the sum of the first `channels` channels of each; a single one needs no new node."""
    if len(read) == 1 and read[0].channels == channels:
        return read[0]
    if len(read) > TERMS:  # in parts, since the compiled loops add this many at once
        read = [_added(nodes, read[:TERMS], channels), *read[TERMS:]]
        return _added(nodes, read, channels)
    target = appended(nodes)
    for one in read:
        cut = as_it_is if one.channels == channels else _first(channels)
        nodes[one.node].edges.append(Edge(target, cut, one.rectified))
    return Read(target, False, channels)


def _side_by_side(nodes: list[Node], read: list[Read]) -> Read:
    if len(read) == 1:
        return read[0]
    target = appended(nodes, Node(concatenated=True))
    for one in read:
        nodes[one.node].edges.append(Edge(target, as_it_is, one.rectified))
    return Read(target, False, sum(one.channels for one in read))


def _read_by_rectifiers(nodes: list[Node]) -> list[Node]:
    """Remove nodes that no rectifier depends on, here the last cell's output, from a graph."""
    kept: dict[int, Node] = {}
    for number in reversed(range(len(nodes))):  # edges go to later nodes
        node = nodes[number]
        node.edges = [edge for edge in node.edges if edge.target in kept]
        if node.edges or node.rectifiers:
            kept[number] = node
    places = {number: place for place, number in enumerate(sorted(kept))}
    for node in kept.values():
        node.edges = [edge._replace(target=places[edge.target]) for edge in node.edges]
    return [kept[number] for number in sorted(kept)]


@cache
def _first(channels: int) -> Callable[[Tensor], Tensor]:
    """Return a function that cuts (n, C, H, W) to its first channels; one for each number."""

    def cut(x: Tensor) -> Tensor:
        return x[:, :channels].contiguous(memory_format=torch.channels_last)

    return cut

"""The graphs of NAS-Bench-201's topology and size spaces (Dong and Yang, ICLR 2020, figure 1).

A network has a stem, stages of cells with residual reductions in between, and a head. In the size
space of NATS-Bench (Dong et al., TPAMI 2021, section 3.2) cells and reductions take turns, and each
has its own width.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

from untrained.networks.graph import Builder, Convolution, Graph, Pooling, Zero
from untrained.spaces.base import Skeleton
from untrained.spaces.nasbench201 import EDGES

#: The skeleton that the benchmark trains.
BENCHMARK = Skeleton(channels=16, cells=5)
#: The operations of a cell of the size space, in the order of `EDGES`: a skip connection
#: leads from the input to the output, all other edges are convolutions.
SIZE_OPERATIONS = (
    *("nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3"),
    *("skip_connect", "nor_conv_3x3", "nor_conv_3x3"),
)

#: Adds a cell to a graph: takes builder, node of the input, input channels and output channels, and
#: returns the node of the output.
AddCell = Callable[[Builder, int, int, int], int]


def convolved(
    builder: Builder, source: int, target: int | None, inputs: int, outputs: int, kernel: int,
    stride: int = 1, choice: tuple[int, int] | None = None,
) -> int:  # fmt: skip
    """Add rectifier, convolution and normalisation; return the target node, by default a new one.

    The authors' module of these three is named after ReLU.
    """
    convolution = Convolution(inputs, outputs, (kernel, kernel), (stride, stride))
    return builder.unit(source, target, convolution, wrapped=True, choice=choice)


def add_operation(
    builder: Builder, operation: str, source: int, target: int, inputs: int, outputs: int,
    choice: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    """Add an edge of a cell other than `none`.

    A skip connection that changes the number of channels is a 1x1 convolution with normalisation
    and without rectifier. (The authors' code has none either; parameter counts could not tell.)
    """
    match operation:
        case "skip_connect" if inputs != outputs:
            projection = Convolution(inputs, outputs, (1, 1))
            builder.edge(source, target, projection, normalised=True)
        case "skip_connect":
            builder.edge(source, target, choice=choice)
        case "nor_conv_1x1":
            convolved(builder, source, target, inputs, outputs, 1, choice=choice)
        case "nor_conv_3x3":
            convolved(builder, source, target, inputs, outputs, 3, choice=choice)
        case "avg_pool_3x3" if inputs == outputs:
            builder.edge(source, target, Pooling("avg", 3), choice=choice)
        case _:
            raise ValueError(operation)


def cell_of(operations: Sequence[str]) -> AddCell:
    """Return what adds a cell of four nodes; a node without incoming edges is zero.

    Args:
        operations: the operations of the six edges in the order of `EDGES`.
    """

    def add(builder: Builder, source: int, inputs: int, outputs: int) -> int:
        nodes = [source, builder.node(), builder.node(), builder.node()]
        for target in (1, 2, 3):
            count = len(builder.edges)
            for (start, end), operation in zip(EDGES, operations, strict=True):
                if end == target and operation != "none":
                    width = outputs if start else inputs
                    add_operation(builder, operation, nodes[start], nodes[end], width, outputs)
            if len(builder.edges) == count:
                builder.edge(source, nodes[target], Zero(channels=outputs))
        return nodes[3]

    return add


def cell_graph(operations: Sequence[str]) -> Graph:
    """Return the graph of a cell of one channel alone; operations as in `cell_of`."""
    builder = Builder(1)
    return builder.graph(cell_of(operations)(builder, 0, 1, 1))


def add_reduction(builder: Builder, source: int, inputs: int, outputs: int) -> int:
    """Add a residual block that halves the resolution; return the node of its output."""
    inner = convolved(builder, source, None, inputs, outputs, 3, stride=2)
    output = convolved(builder, inner, None, outputs, outputs, 3)
    halved = Pooling("avg", 2, 2, padded=False)
    return builder.edge(source, output, halved, Convolution(inputs, outputs, (1, 1)))


def add_stem(builder: Builder, skeleton: Skeleton) -> int:
    """Add the stem, if the skeleton has one; return the node that the first cell reads."""
    if not skeleton.stem:
        return 0
    return builder.edge(0, None, Convolution(3, skeleton.channels, (3, 3)), normalised=True)


def add_head(builder: Builder, source: int, channels: int, num_classes: int) -> int:
    """Add normalisation, rectifier, global mean and classifier; return the node of the logits."""
    head = builder.edge(source, None, normalised=True)
    return builder.classified(head, channels, num_classes, rectified=True)


def around_cells(skeleton: Skeleton, num_classes: int, add_cell: AddCell) -> Graph:
    """Return the graph of stages of cells with reductions in between.

    Args:
        skeleton: the numbers of channels, cells and stages.
        num_classes: the number of classes.
        add_cell: adds a cell.
    """
    widths = [skeleton.channels << stage for stage in range(skeleton.stages)]
    layers = [(width, width, False) for width in widths for _ in range(skeleton.cells)]
    for stage in reversed(range(1, skeleton.stages)):
        layers.insert(stage * skeleton.cells, (widths[stage - 1], widths[stage], True))
    return _of_layers(layers, skeleton, num_classes, add_cell)


def size_network(widths: Sequence[int], num_classes: int) -> Graph:
    """Return the graph of stem, cell, reduction, cell, reduction, cell.

    Args:
        widths: channels of the five layers; another number works too, every second is a reduction.
        num_classes: the number of classes.
    """
    layers = [
        (inputs, outputs, position % 2 == 1)
        for position, (inputs, outputs) in enumerate(pairwise([widths[0], *widths]))
    ]
    return _of_layers(layers, Skeleton(widths[0], 1), num_classes, cell_of(SIZE_OPERATIONS))


def _of_layers(
    layers: Sequence[tuple[int, int, bool]], skeleton: Skeleton, num_classes: int, add_cell: AddCell
) -> Graph:
    """Return the graph of layers (input channels, output channels, whether it is a reduction)."""
    builder = Builder(3 if skeleton.stem else skeleton.channels)
    last = add_stem(builder, skeleton)
    builder.cells.append(last)
    for inputs, outputs, reduces in layers:
        last = (add_reduction if reduces else add_cell)(builder, last, inputs, outputs)
        builder.cells.append(last)
    return builder.graph(add_head(builder, last, layers[-1][1], num_classes))

"""The graph of a NAS-Bench-101 network (Ying et al., ICML 2019, section 2 and S1).

Weights are drawn as the NASWOT authors do: convolutions from N(0, 2 / (k * k * outputs)), the
classifier, without bias, from N(0, 0.01 * 0.01); normalisations have scales 1 and shifts 0.
"""

from untrained.networks.graph import Builder, Convolution, Graph, Pooling, Slice
from untrained.networks.nasbench101_channels import KERNELS, SCORED, vertex_channels, widths
from untrained.spaces.base import Skeleton
from untrained.spaces.nasbench101_cells import Cell

#: The benchmark averages running statistics with a decay of 0.997.
MOMENTUM = 1 - 0.997


def network_graph(cell: Cell, num_classes: int, skeleton: Skeleton = SCORED) -> Graph:
    """Return the graph of stem, stacks of cells with max-pooling in between, and classifier.

    Args:
        cell: pruned cell.
        num_classes: outputs of the classifier.
        skeleton: what surrounds the cells.

    Raises:
        NotApplicable: a cell's output has fewer channels than vertices that share them.
    """
    builder = Builder(3 if skeleton.stem else skeleton.channels)
    last = _convolved(builder, 0, 3, skeleton.channels, 3) if skeleton.stem else 0
    builder.cells.append(last)
    for number, (inputs, outputs) in enumerate(widths(skeleton)):
        if number and number % skeleton.cells == 0:
            last = builder.edge(last, None, Pooling("max", 2, 2, padded=False))
        last = _cell(builder, last, cell, inputs, outputs)
        builder.cells.append(last)
    logits = builder.classified(last, outputs, num_classes, rectified=False)
    return builder.graph(logits, "normal", MOMENTUM)


def _cell(builder: Builder, source: int, cell: Cell, inputs: int, outputs: int) -> int:
    """Add a cell; return the node of its output.

    An inner vertex applies its operation to the sum of its inputs: the first channels of other
    vertices, and a projection of the cell's input to its own channels. The output concatenates the
    vertices that it reads, and adds a projection of the cell's input if it reads that.
    """
    matrix, last = cell.matrix, len(cell.matrix) - 1
    channels = vertex_channels(matrix, inputs, outputs)
    made = {0: source}
    for vertex in range(1, last):
        width = channels[vertex]
        read = [(made[one], channels[one]) for one in range(1, vertex) if matrix[one][vertex]]
        if matrix[0][vertex]:
            read.append((_convolved(builder, source, inputs, width, 1), width))
        total = _added(builder, read, width)
        operation = cell.operations[vertex - 1]
        made[vertex] = (
            _convolved(builder, total, width, width, KERNELS[operation])
            if operation in KERNELS
            else builder.edge(total, None, Pooling("max", 3))
        )
    read = [(made[one], channels[one]) for one in range(1, last) if matrix[one][last]]
    if len(read) > 1:
        whole = builder.node(concatenated=True)
        for node, _ in read:
            builder.edge(node, whole)
        read = [(whole, outputs)]
    if matrix[0][last]:
        read.append((_convolved(builder, source, inputs, outputs, 1), outputs))
    return _added(builder, read, outputs)


def _convolved(builder: Builder, source: int, inputs: int, outputs: int, kernel: int) -> int:
    """Add convolution, normalisation and rectifier; return the node.

    In the authors' code the module of these three is not named after ReLU, which the released
    score of NASWOT depends on.
    """
    target = builder.node(rectified=True)
    convolution = Convolution(inputs, outputs, (kernel, kernel))
    return builder.edge(source, target, convolution, normalised=True)


def _added(builder: Builder, read: list[tuple[int, int]], channels: int) -> int:
    """Return the sum of the first `channels` channels of (node, channels)."""
    if read[1:] == [] and read[0][1] == channels:
        return read[0][0]
    target = builder.node()
    for node, width in read:
        builder.edge(node, target, *(() if width == channels else (Slice(channels),)))
    return target

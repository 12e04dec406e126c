"""How many channels the vertices of a NAS-Bench-101 cell have (Ying et al., ICML 2019, S1)."""

from functools import lru_cache
from itertools import pairwise

from untrained.spaces.base import NotApplicable, Skeleton
from untrained.spaces.nasbench101 import Cell, Matrix

#: What the benchmark trained, and what the NASWOT authors score.
BENCHMARK = Skeleton(channels=128, cells=3)
SCORED = Skeleton(channels=16, cells=3)

#: Side of the convolution of an operation; pooling has none.
KERNELS = {"conv3x3-bn-relu": 3, "conv1x1-bn-relu": 1}


@lru_cache(maxsize=1 << 16)
def vertex_channels(matrix: Matrix, inputs: int, outputs: int) -> tuple[int, ...]:
    """Channels of each vertex of a cell that maps `inputs` to `outputs` channels.

    Vertices that the output reads share its channels evenly; where that leaves a rest, the first
    ones have one more. Any other inner vertex has the most that a vertex which reads it has, and is
    truncated for those that have fewer.

    Raises:
        NotApplicable: the output has fewer channels than vertices that share them.
    """
    last = len(matrix) - 1
    readers = [vertex for vertex in range(1, last) if matrix[vertex][last]]
    channels = [inputs] + [0] * (last - 1) + [outputs]
    if len(readers) > outputs:
        raise NotApplicable(f"{len(readers)} vertices of the cell can't share {outputs} channels")
    if readers:
        share, rest = divmod(outputs, len(readers))
        for place, vertex in enumerate(readers):
            channels[vertex] = share + (place < rest)
    for vertex in range(last - 1, 0, -1):
        if not matrix[vertex][last]:
            channels[vertex] = max(
                channels[target] for target in range(vertex + 1, last) if matrix[vertex][target]
            )
    return tuple(channels)


def widths(skeleton: Skeleton) -> list[tuple[int, int]]:
    """Input and output channels of each cell: the first of a stack doubles what it reads.

    The first stack's does not: it reads what the stem has made.
    """
    stacks = [skeleton.channels << stack for stack in range(skeleton.stages)]
    made = [skeleton.channels, *(width for width in stacks for _ in range(skeleton.cells))]
    return list(pairwise(made))


def count_parameters(cell: Cell, num_classes: int = 10, skeleton: Skeleton = BENCHMARK) -> int:
    """Trainable scalars of the network around a cell, without building it.

    A convolution has no bias, its normalisation two scalars a channel; the classifier has a bias.
    """
    every = widths(skeleton)
    convolutions = sum(every.count(pair) * _in_cell(cell, *pair) for pair in dict.fromkeys(every))
    stem = 3 * 9 * skeleton.channels + 2 * skeleton.channels if skeleton.stem else 0
    return stem + convolutions + (every[-1][1] + 1) * num_classes


def _in_cell(cell: Cell, inputs: int, outputs: int) -> int:
    channels = vertex_channels(cell.matrix, inputs, outputs)
    total = sum(
        (inputs + 2) * width
        for width, read in zip(channels, cell.matrix[0], strict=True)
        if read  # projected to the vertex's width
    )
    for width, operation in zip(channels[1:-1], cell.operations, strict=True):
        if operation in KERNELS:
            total += (KERNELS[operation] ** 2 * width + 2) * width
    return total

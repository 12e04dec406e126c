"""How many channels the vertices of a NAS-Bench-101 cell have (Ying et al., ICML 2019, S1)."""

from functools import lru_cache
from itertools import pairwise

from untrained.spaces.base import NotApplicable, Skeleton
from untrained.spaces.nasbench101_cells import Matrix

#: The network that the benchmark trained, and the network that the NASWOT authors score.
BENCHMARK = Skeleton(channels=128, cells=3)
SCORED = Skeleton(channels=16, cells=3)

#: Kernel size of an operation's convolution; pooling has none.
KERNELS = {"conv3x3-bn-relu": 3, "conv1x1-bn-relu": 1}


@lru_cache(maxsize=1 << 16)
def vertex_channels(matrix: Matrix, inputs: int, outputs: int) -> tuple[int, ...]:
    """Return the channels of each vertex of a cell that maps `inputs` to `outputs` channels.

    The vertices that the output reads share its channels evenly; the first ones have one more
    where there is a remainder. Any other inner vertex has as many channels as the widest vertex
    that reads it, and is truncated for narrower ones.

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
    """Return input and output channels of each cell.

    The first cell of each stack except the first doubles the channels.
    """
    stacks = [skeleton.channels << stack for stack in range(skeleton.stages)]
    made = [skeleton.channels, *(width for width in stacks for _ in range(skeleton.cells))]
    return list(pairwise(made))

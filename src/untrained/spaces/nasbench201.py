"""The search space of NAS-Bench-201 (Dong and Yang, ICLR 2020; the topology space of NATS-Bench).

A cell has four nodes; each of its six edges carries one of five operations, which makes 5^6 =
15,625 cells. Node 0 is the input, node 3 the output, and a node is the sum of its incoming edges.
"""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ArchitectureError
from untrained.files import BUNDLED
from untrained.spaces.base import Architecture, Skeleton, index_of
from untrained.spaces.cell_classes import EDGES as EDGES
from untrained.spaces.cell_classes import computed_function, executed_function

if TYPE_CHECKING:
    from torch import nn

    from untrained.networks.nasbench201_plan import PlannedNetwork

#: In the order in which the benchmark's authors list them, and their searches number them.
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def operations_of(spelling: str) -> tuple[str, ...]:
    """The operations of the six edges, in the order of `EDGES`.

    Raises:
        ArchitectureError: not a spelling of this space; the message names the wrong edge.
    """
    nodes = spelling.split("+")
    if len(nodes) != 3:
        raise ArchitectureError(
            f"{spelling!r} has {len(nodes)} nodes: a cell spells 3, joined by '+', as in "
            "'|op~0|+|op~0|op~1|+|op~0|op~1|op~2|'"
        )
    operations = []
    for target, node in enumerate(nodes, start=1):
        entries = node.split("|")
        if len(entries) != target + 2 or entries[0] or entries[-1]:
            raise ArchitectureError(
                f"node {target} is spelled {node!r}: it has {target} incoming edge(s), each "
                f"between bars, as in '{'|op~{}' * target}|'".format(*range(target))
            )
        for source, entry in enumerate(entries[1:-1]):
            operation, tilde, number = entry.partition("~")
            if not tilde or number != str(source):
                raise ArchitectureError(
                    f"edge {source}->{target} is spelled {entry!r}: it must end in '~{source}'"
                )
            if operation not in OPERATIONS:
                raise ArchitectureError(
                    f"edge {source}->{target} has the unknown operation {operation!r}: "
                    f"known: {', '.join(OPERATIONS)}"
                )
            operations.append(operation)
    return tuple(operations)


def spelling_of(operations: tuple[str, ...]) -> str:
    """The benchmark's notation of six operations in the order of `EDGES`."""
    entries: dict[int, list[str]] = {1: [], 2: [], 3: []}
    for (source, target), operation in zip(EDGES, operations, strict=True):
        entries[target].append(f"{operation}~{source}")
    return "+".join(f"|{'|'.join(entries[target])}|" for target in (1, 2, 3))


def _code(operations: tuple[str, ...]) -> int:
    """The six operations as a number to base 5, first edge most significant."""
    code = 0
    for operation in operations:
        code = code * 5 + OPERATIONS.index(operation)
    return code


class NasBench201:
    """All 15,625 cells in the benchmark's own order, and their networks."""

    name = "nasbench201"
    datasets = ("cifar10", "cifar100", "ImageNet16-120")
    #: See `untrained.search.choices.Ordered`.
    option_order = OPERATIONS

    @cached_property
    def _codes(self) -> NDArray[np.uint16]:
        """(15625,) uint16: `_code` of the cell at each index."""
        codes: NDArray[np.uint16] = np.load(BUNDLED / "nasbench201_order.npy", allow_pickle=False)
        return codes

    @cached_property
    def _indices(self) -> NDArray[np.int64]:
        """(15625,): index of the cell with each code."""
        return np.argsort(self._codes)

    def __len__(self) -> int:
        return int(len(OPERATIONS) ** len(EDGES))

    def __getitem__(self, index: int) -> Architecture:
        if not 0 <= index < len(self):
            raise ArchitectureError(
                f"index {index} is not in {self.name}: it has 0 to {len(self) - 1}"
            )
        code = int(self._codes[index])
        digits = np.base_repr(code, base=5).zfill(len(EDGES))
        spelling = spelling_of(tuple(OPERATIONS[int(digit)] for digit in digits))
        return Architecture(self.name, index, spelling)

    def parse(self, text: str | int) -> Architecture:
        """See `SearchSpace.parse`."""
        stripped = str(text).strip()
        if stripped.removeprefix("-").isdecimal():
            return self[index_of(stripped)]
        return self._with(operations_of(stripped))

    def sample(self, rng: np.random.Generator) -> Architecture:
        """See `SearchSpace.sample`."""
        return self[int(rng.integers(len(self)))]

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Change the operation of one edge (the mutation of the benchmark's own evolution)."""
        operations = list(operations_of(architecture.spelling))
        edge = int(rng.integers(len(EDGES)))
        others = [operation for operation in OPERATIONS if operation != operations[edge]]
        operations[edge] = others[int(rng.integers(len(others)))]
        return self._with(tuple(operations))

    def canonical(self, architecture: Architecture) -> Architecture:
        """See `SearchSpace.canonical`; the rule is `cell_classes.computed_function`."""
        return self[int(self.representatives[architecture.index])]

    @cached_property
    def representatives(self) -> NDArray[np.int64]:
        """(15625,): lowest index of a cell that computes the same function as the cell."""
        return self._first_with_equal(computed_function)

    @cached_property
    def executed_representatives(self) -> NDArray[np.int64]:
        """See `SearchSpace.executed_representatives`; 7,189 classes."""
        return self._first_with_equal(executed_function)

    def _first_with_equal(self, rule: Callable[[tuple[str, ...]], str]) -> NDArray[np.int64]:
        first: dict[str, int] = {}
        return np.array(
            [
                first.setdefault(rule(operations_of(self[index].spelling)), index)
                for index in range(len(self))
            ]
        )

    def network(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "nn.Module":
        """The benchmark's skeleton around the cell: stem, 3 stages of 5 cells, 16/32/64 channels.

        See `SearchSpace.network` and `untrained.networks.nasbench201`.
        """
        from untrained.networks.nasbench201 import NasBench201Network

        operations = operations_of(architecture.spelling)
        if skeleton is None:
            return NasBench201Network(operations, num_classes)
        return NasBench201Network(
            operations,
            num_classes,
            skeleton.channels,
            skeleton.cells,
            stages=skeleton.stages,
            stem=skeleton.stem,
        )

    @staticmethod
    def planned(architecture: Architecture) -> "PlannedNetwork":
        """See `SearchSpace.planned` and `untrained.networks.nasbench201_plan`."""
        from untrained.networks.nasbench201_plan import draw_network

        return draw_network(operations_of(architecture.spelling))

    def _with(self, operations: tuple[str, ...]) -> Architecture:
        return self[int(self._indices[_code(operations)])]

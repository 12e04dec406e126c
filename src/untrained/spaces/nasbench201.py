"""The search space of NAS-Bench-201 (Dong and Yang, ICLR 2020; the topology space of NATS-Bench).

A cell has four nodes; each of its six edges carries one of five operations, which makes 5^6 =
15,625 cells. Node 0 is the input, node 3 the output, and a node is the sum of its incoming edges.
"""

import re
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ArchitectureError, quoted, short
from untrained.files import BUNDLED
from untrained.spaces import literals
from untrained.spaces.base import Architecture, BenchmarkFacts, Drawing, GraphSpace, Skeleton, Words

if TYPE_CHECKING:
    from untrained.networks.graph import Graph

#: (source, target) of each edge, in the order of the spelling.
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
#: The operations of an edge, in the order of the benchmark's authors.
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def operations_of(spelling: str) -> tuple[str, ...]:
    """Return the operations of the six edges, in the order of `EDGES`.

    Raises:
        ArchitectureError: no cell is spelled so; the message names the wrong edge.
    """
    nodes = spelling.split("+")
    if len(nodes) != 3:
        raise ArchitectureError(
            f"{quoted(spelling)} has {len(nodes)} nodes: a cell spells 3, joined by '+', as in "
            "'|op~0|+|op~0|op~1|+|op~0|op~1|op~2|'"
        )
    operations = []
    for target, node in enumerate(nodes, start=1):
        entries = node.split("|")
        if len(entries) != target + 2 or entries[0] or entries[-1]:
            pattern = "".join(f"|op~{source}" for source in range(target))
            raise ArchitectureError(
                f"node {target} is spelled {quoted(node)}: it has {target} incoming edge(s), each "
                f"between bars, as in '{pattern}|'"
            )
        for source, entry in enumerate(entries[1:-1]):
            operation, tilde, number = entry.partition("~")
            if not tilde or number != str(source):
                raise ArchitectureError(
                    f"edge {source}->{target} is spelled {quoted(entry)}: it must end in "
                    f"'~{source}'"
                )
            if operation not in OPERATIONS:
                raise ArchitectureError(
                    f"edge {source}->{target} has the unknown operation {quoted(operation)}: "
                    f"known: {', '.join(OPERATIONS)}"
                )
            operations.append(operation)
    return tuple(operations)


#: Names of operations that other tools write.
_NAMES = {name: name for name in OPERATIONS} | {
    "skip": "skip_connect",
    "conv_1x1": "nor_conv_1x1",
    "conv_3x3": "nor_conv_3x3",
}
#: NASLib's numbers of the operations, and the order in which it lists the edges.
_NASLIB_OPERATIONS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
_NASLIB_EDGES = tuple(sorted(EDGES))
_STRUCTURE = re.compile(r"\w*Structure\(\d+ nodes with (.*)\)", re.DOTALL)
_EDGE_KEY = re.compile(r"([0-3])_([0-3])|([0-3])<-([0-3])")
_EXAMPLE = (
    "'|skip_connect~0|+|none~0|nor_conv_3x3~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|', as the six "
    "numbers of NASLib, (4, 0, 3, 1, 4, 3), or give an index from 0 to 15624"
)


def parse_operations(text: str) -> tuple[str, ...]:
    """Return the operations of the six edges, in the order of `EDGES`, from any known notation.

    Besides the benchmark's, in which blanks do not matter: `Structure(4 nodes with ...)` and nested
    (operation, node) pairs of the benchmark's own code, six numbers of NASLib, and dictionaries of
    edges, `{'0_1': 'conv_3x3', ...}` of nni or `{'1<-0': 'nor_conv_3x3', ...}` of AutoDL.

    Raises:
        ArchitectureError: the text spells no cell; the message names what is wrong.
    """
    if found := _STRUCTURE.search(text):
        text = found[1]
    if "|" in text:
        return operations_of(literals.close(text, "|+~"))
    try:
        value = literals.read(text)
    except ValueError as error:
        raise ArchitectureError(f"{quoted(text)} is no cell: spell it as {_EXAMPLE}") from error
    if isinstance(value, dict):
        return _operations_by_edge(value)
    items = literals.listed(value) or []
    if items and all(map(literals.is_whole, items)):
        return _operations_by_number(items)
    nodes = [literals.listed(node) or [] for node in items]
    pairs = [literals.listed(pair) or [] for node in nodes for pair in node]
    if pairs and all([*map(type, pair)] == [str, int] for pair in pairs):
        entries = ["".join(f"{name}~{source}|" for name, source in node) for node in nodes]
        return operations_of("+".join(f"|{entry}" for entry in entries))
    raise ArchitectureError(f"{quoted(text)} is no cell: spell it as {_EXAMPLE}")


def _operations_by_number(numbers: list[int]) -> tuple[str, ...]:
    """Return the operations that NASLib's numbers name."""
    if len(numbers) != len(EDGES):
        edges = ", ".join(f"{source}->{target}" for source, target in _NASLIB_EDGES)
        raise ArchitectureError(
            f"{short(str(tuple(numbers)))} has {len(numbers)} numbers: a cell takes one for each "
            f"of the edges {edges}, as in (4, 0, 3, 1, 4, 3)"
        )
    named = {}
    for (source, target), number in zip(_NASLIB_EDGES, numbers, strict=True):
        if not 0 <= number < len(_NASLIB_OPERATIONS):
            known = ", ".join(f"{place} {name}" for place, name in enumerate(_NASLIB_OPERATIONS))
            raise ArchitectureError(
                f"edge {source}->{target} has the unknown operation {number}: known: {known}"
            )
        named[source, target] = _NASLIB_OPERATIONS[number]
    return tuple(named[edge] for edge in EDGES)


def _operations_by_edge(values: dict[object, object]) -> tuple[str, ...]:
    """Return the operations of a dictionary of edges."""
    named = {}
    for key, name in values.items():
        found = _EDGE_KEY.fullmatch(str(key))
        ends = tuple(int(node) for node in found.groups() if node) if found else ()
        edge = ends if found and found[1] else ends[::-1]
        if edge not in EDGES or edge in named:
            raise ArchitectureError(
                f"{quoted(str(key))} is no edge or comes twice: the six edges are "
                f"{', '.join(f'{source}_{target}' for source, target in EDGES)}"
            )
        if not isinstance(name, str) or name not in _NAMES:
            raise ArchitectureError(
                f"edge {edge[0]}->{edge[1]} has the unknown operation {quoted(str(name))}: "
                f"known: {', '.join(_NAMES)}"
            )
        named[edge] = _NAMES[name]
    for source, target in EDGES:
        if (source, target) not in named:
            raise ArchitectureError(
                f"the edge {source}->{target} is missing: add '{source}_{target}' with one of "
                f"{', '.join(OPERATIONS)}"
            )
    return tuple(named[edge] for edge in EDGES)


def spelling_of(operations: tuple[str, ...]) -> str:
    """Return the benchmark's notation of six operations in the order of `EDGES`."""
    entries: dict[int, list[str]] = {1: [], 2: [], 3: []}
    for (source, target), operation in zip(EDGES, operations, strict=True):
        entries[target].append(f"{operation}~{source}")
    return "+".join(f"|{'|'.join(entries[target])}|" for target in (1, 2, 3))


#: All paths from the input to the output, as edges.
_PATHS = (((0, 3),), ((0, 1), (1, 3)), ((0, 2), (2, 3)), ((0, 1), (1, 2), (2, 3)))


class NasBench201(GraphSpace):
    """All 15,625 cells in the benchmark's own order, and their networks."""

    name = "nasbench201"
    summary = "cells of six edges with one of five operations (NAS-Bench-201; 15,625 cells)"
    datasets = ("cifar10", "cifar100", "ImageNet16-120")
    words = Words("cells", "operations", "edges")
    benchmark = BenchmarkFacts(
        full_epochs=200,
        short_epochs=12,
        has_times=True,
        bundled=BUNDLED / "nasbench201.parquet",
        converter="untrained.benchmarks.nasbench201:convert_nasbench201",
        ablated_by=("cifar100", "x-test"),
    )
    supernet = "untrained.search.supernets:nasbench201"
    ablations = ("minibatch", "noise", "initialisation", "batch-size", "variance")
    ordered = True
    option_order = OPERATIONS
    scores = BUNDLED / "nasbench201_scores.parquet"
    devices = BUNDLED / "nasbench201_devices.parquet"

    @cached_property
    def _codes(self) -> NDArray[np.uint16]:
        """The operations of the cell at each index as a number to base 5, (15625,) uint16."""
        codes: NDArray[np.uint16] = np.load(BUNDLED / "nasbench201_order.npy", allow_pickle=False)
        return codes

    @cached_property
    def _by_code(self) -> list[tuple[str, ...]]:
        """The operations of the cell of each of these numbers."""
        return list(product(OPERATIONS, repeat=len(EDGES)))

    @cached_property
    def _positions(self) -> NDArray[np.int64]:
        """The index of the cell with each of these numbers, (15625,)."""
        return np.argsort(self._codes)

    def __len__(self) -> int:
        return int(len(OPERATIONS) ** len(EDGES))

    def spelling(self, index: int) -> str:
        """See `SearchSpace.spelling`."""
        return spelling_of(self._operations(index))

    def _operations(self, index: int) -> tuple[str, ...]:
        return self._by_code[int(self._codes[index])]

    def index_at(self, spelling: str) -> int:
        """See `SearchSpace.index_at`."""
        return self._index(parse_operations(spelling))

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Change the operation of one edge (the mutation of the benchmark's own evolution)."""
        code, edge = int(self._codes[architecture.index]), int(rng.integers(len(EDGES)))
        place = len(OPERATIONS) ** (len(EDGES) - 1 - edge)
        before, after = code // place % len(OPERATIONS), int(rng.integers(len(OPERATIONS) - 1))
        after += after >= before  # the number among the others
        return self[int(self._positions[code + (after - before) * place])]

    def drawings(self, architecture: Architecture) -> tuple[Drawing, ...]:
        """Draw the cell; edges of the operation `none` are left out."""
        labelled = zip(EDGES, operations_of(architecture.spelling), strict=True)
        edges = tuple((*edge, name) for edge, name in labelled if name != "none")
        return (Drawing(("input", "1", "2", "output"), edges),)

    @cached_property
    def representatives(self) -> NDArray[np.int64]:
        """The lowest index of a cell that computes the same function as each cell, (15625,).

        The classes, 5,260 of them, are those of `canonical_form`.
        """
        return self._first_with_equal_form(dead_branches=False)

    @cached_property
    def executed_representatives(self) -> NDArray[np.int64]:
        """See `SearchSpace.executed_representatives`; 7,189 classes."""
        return self._first_with_equal_form(dead_branches=True)

    @cached_property
    def live_representatives(self) -> NDArray[np.int64]:
        """The lowest index of a cell with the same operations on all live edges, (15625,).

        Those that lie on a path from the input to the output are live. The classes, 9,445 of them,
        are those on which published scores are compared, and finer than `representatives`.
        """
        first: dict[frozenset[tuple[tuple[int, int], str]], int] = {}
        found = []
        for index in range(len(self)):
            given = dict(zip(EDGES, self._operations(index), strict=True))
            live = [path for path in _PATHS if all(given[edge] != "none" for edge in path)]
            key = frozenset((edge, given[edge]) for path in live for edge in path)
            found.append(first.setdefault(key, index))
        return np.array(found)

    def _first_with_equal_form(self, *, dead_branches: bool) -> NDArray[np.int64]:
        from untrained.networks.graph_forms import canonical_form
        from untrained.networks.nasbench201 import cell_graph

        first: dict[str, int] = {}
        cells = (cell_graph(self._operations(index)) for index in range(len(self)))
        forms = (canonical_form(cell, dead_branches=dead_branches) for cell in cells)
        return np.array([first.setdefault(form, index) for index, form in enumerate(forms)])

    def graph(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "Graph":
        """Return the cell in the benchmark's skeleton: 3 stages of 5 cells, 16/32/64 channels.

        See `GraphSpace.graph` and `untrained.networks.nasbench201`.
        """
        from untrained.networks.nasbench201 import BENCHMARK, around_cells, cell_of

        cell = cell_of(operations_of(architecture.spelling))
        return around_cells(skeleton or BENCHMARK, num_classes, cell)

    def _index(self, operations: tuple[str, ...]) -> int:
        code = 0
        for operation in operations:
            code = code * len(OPERATIONS) + OPERATIONS.index(operation)
        return int(self._positions[code])

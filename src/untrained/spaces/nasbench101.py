"""The search space of NAS-Bench-101 (Ying et al., ICML 2019).

A cell is a directed acyclic graph of 2 to 7 vertices and at most 9 edges: an input, inner vertices
that carry one of three operations each, and an output. Vertices that are on no path from input to
output are pruned. Cells are one if their module hashes are: that makes 423,624 of them, numbered
here in the order of their hashes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from hashlib import md5
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ArchitectureError, ParameterError, unknown_name
from untrained.files import BUNDLED
from untrained.spaces.base import (
    Architecture,
    BenchmarkFacts,
    SearchSpace,
    Skeleton,
    Words,
)

if TYPE_CHECKING:
    from torch import nn

    from untrained.networks.nasbench101_plan import PlannedNetwork

#: In the order of their labels in the benchmark's hashes.
OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
INPUT, OUTPUT = "input", "output"
#: That a cell has at most, input and output included.
VERTICES = 7
#: Likewise.
EDGES = 9

#: Rows of an upper triangular matrix: entry [i][j] is 1 where vertex j reads vertex i.
Matrix = tuple[tuple[int, ...], ...]

#: Pairs of vertices in the order of their bits, those of the first n vertices first.
PAIRS = tuple((source, target) for target in range(VERTICES) for source in range(target))
_MASK = (1 << len(PAIRS)) - 1
_EXAMPLE = "'011|001|000:input,conv3x3-bn-relu,output'"
_HASH_DIGITS = 32


@dataclass(frozen=True)
class Cell:
    """A graph with an operation in each inner vertex; vertex 0 is the input, the last the output.

    Attributes:
        matrix: (n, n), upper triangular.
        operations: of the n - 2 inner vertices.
    """

    matrix: Matrix
    operations: tuple[str, ...]

    def __str__(self) -> str:
        rows = "|".join("".join(map(str, row)) for row in self.matrix)
        return f"{rows}:{','.join((INPUT, *self.operations, OUTPUT))}"

    @property
    def edges(self) -> int:
        """How many there are."""
        return sum(map(sum, self.matrix))

    @cached_property
    def code(self) -> int:
        """The cell as a number: a bit for each of `PAIRS`, above them the operations to base 3."""
        operations = 0
        for operation in self.operations:
            operations = 3 * operations + OPERATIONS.index(operation)
        last = len(self.matrix)
        bits = sum(
            1 << place
            for place, (source, target) in enumerate(PAIRS)
            if target < last and self.matrix[source][target]
        )
        return operations << len(PAIRS) | bits

    @cached_property
    def module_hash(self) -> str:
        """What the benchmark knows the cell by: equal for all numberings of its inner vertices.

        Each vertex starts from the MD5 of its degrees and label, and takes n times the MD5 of the
        sorted hashes of the vertices that it reads, of those that read it, and its own; the hash
        of the cell is the MD5 of the sorted list (Ying et al., section 2.3 and its code).
        """
        labels = (-1, *(OPERATIONS.index(operation) for operation in self.operations), -2)
        return hash_of(_neighbours(self.code & _MASK), labels)

    def pruned(self) -> "Cell":
        """The cell without vertices that are on no path from the input to the output.

        Raises:
            ArchitectureError: there is no such path.
        """
        last = len(self.matrix) - 1
        forward = _reached(0, lambda one, other: self.matrix[one][other], last)
        backward = _reached(last, lambda one, other: self.matrix[other][one], last)
        kept = sorted(forward & backward)
        if last not in kept:
            raise ArchitectureError(
                f"{self} has no path from the input to the output: edges lead from vertex 0 to "
                f"vertex {last}, over others or at once, as in {_EXAMPLE}"
            )
        return Cell(
            tuple(tuple(self.matrix[source][target] for target in kept) for source in kept),
            tuple(self.operations[vertex - 1] for vertex in kept[1:-1]),
        )


def cell_of(code: int) -> Cell:
    """The cell with a number; the inverse of `Cell.code`."""
    operations, bits = divmod(code, _MASK + 1)
    count = PAIRS[bits.bit_length() - 1][1] + 1  # the output has an edge
    digits = [operations // 3**place % 3 for place in reversed(range(count - 2))]
    return Cell(_matrix(bits, count), tuple(OPERATIONS[digit] for digit in digits))


def parse_cell(spelling: str) -> Cell:
    """The cell that `spelling` writes, as it is written: neither pruned nor renumbered.

    Raises:
        ArchitectureError: it writes none; the message names what is wrong.
    """
    left, colon, right = spelling.strip().partition(":")
    if not colon:
        raise ArchitectureError(
            f"{_short(spelling)!r} is no cell: it takes the rows of an adjacency matrix, a colon "
            f"and the operations, as in {_EXAMPLE}; or an index, or a module hash"
        )
    rows, names = left.split("|"), right.split(",")
    count = len(rows)
    if not 2 <= count <= VERTICES:
        raise ArchitectureError(
            f"{_short(left)!r} has {count} rows: a cell has 2 to {VERTICES} vertices, as in "
            f"{_EXAMPLE}"
        )
    for number, row in enumerate(rows):
        if len(row) != count or set(row) - set("01"):
            raise ArchitectureError(
                f"row {number} is {_short(row)!r}: it takes {count} digits 0 or 1, as in {_EXAMPLE}"
            )
        for target in range(number + 1):
            if row[target] == "1":
                kind = "a cycle" if target == number else "against the order of the vertices"
                raise ArchitectureError(
                    f"row {number} has the edge {number}->{target}, {kind}: edges go from lower to "
                    "higher vertices, the matrix is upper triangular"
                )
    if len(names) != count or names[0] != INPUT or names[-1] != OUTPUT:
        raise ArchitectureError(
            f"the operations are {_short(right)!r}: {count} vertices take {INPUT!r}, {count - 2} "
            f"operation(s) and {OUTPUT!r}"
        )
    for vertex, name in enumerate(names[1:-1], start=1):
        if name not in OPERATIONS:
            raise ArchitectureError(
                f"vertex {vertex}: {unknown_name('operation', _short(name), OPERATIONS)}"
            )
    return Cell(tuple(tuple(map(int, row)) for row in rows), tuple(names[1:-1]))


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def hash_of(
    neighbours: Sequence[tuple[Sequence[int], Sequence[int]]], labels: Sequence[int]
) -> str:
    """The module hash of a labelled graph; see `Cell.module_hash`.

    Args:
        neighbours: of each vertex: those that it reads, those that read it.
        labels: of each vertex: the operation's number, -1 for the input, -2 for the output.
    """
    hashes = [
        _digest(f"({len(after)}, {len(before)}, {label})")
        for (before, after), label in zip(neighbours, labels, strict=True)
    ]
    for _ in neighbours:
        hashes = [
            _digest(
                "".join(sorted([hashes[vertex] for vertex in before]))
                + "|"
                + "".join(sorted([hashes[vertex] for vertex in after]))
                + "|"
                + own
            )
            for (before, after), own in zip(neighbours, hashes, strict=True)
        ]
    return _digest(str(sorted(hashes)))


def _digest(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


@cache
def _neighbours(bits: int) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Of each vertex of a matrix: those that it reads, those that read it."""
    count = PAIRS[bits.bit_length() - 1][1] + 1
    edges = [pair for place, pair in enumerate(PAIRS) if bits >> place & 1]
    return tuple(
        (
            tuple(source for source, target in edges if target == vertex),
            tuple(target for source, target in edges if source == vertex),
        )
        for vertex in range(count)
    )


def _matrix(bits: int, count: int) -> Matrix:
    rows = [[0] * count for _ in range(count)]
    for place, (source, target) in enumerate(PAIRS):
        if bits >> place & 1:
            rows[source][target] = 1
    return tuple(map(tuple, rows))


def _reached(start: int, leads: Callable[[int, int], int], last: int) -> set[int]:
    found, frontier = {start}, [start]
    while frontier:
        one = frontier.pop()
        new = [other for other in range(last + 1) if leads(one, other) and other not in found]
        found.update(new)
        frontier += new
    return found


class NasBench101(SearchSpace):
    """All 423,624 cells in the order of their module hashes, and their networks.

    A cell is spelled as its adjacency matrix and its operations, `011|001|000:input,maxpool3x3,
    output`, with its inner vertices numbered as in the benchmark. Cells are pruned, and there
    is one for each module hash, so that all are distinct.
    """

    name = "nasbench101"
    summary = "cells of up to seven vertices and nine edges (NAS-Bench-101; 423,624 cells)"
    words = Words(members="cells")
    benchmark = BenchmarkFacts(
        full_epochs=108,
        short_epochs=12,
        has_times=True,
        partial=True,
        bundled=BUNDLED / "nasbench101.parquet",
        bundled_sample=True,
        converter="untrained.benchmarks.nasbench101:convert_nasbench101",
    )

    def __init__(self) -> None:
        # a hash takes a tenth of a millisecond, and searches come back to the same cells
        remember = lru_cache(maxsize=1 << 16)
        self._index_of: Callable[[Cell], int] = remember(self._search)
        self._hash_at: Callable[[int], str] = remember(lambda index: self.cell(index).module_hash)

    @cached_property
    def _codes(self) -> NDArray[np.uint32]:
        """(423624,) uint32: `Cell.code` of the cell at each index."""
        codes: NDArray[np.uint32] = np.load(BUNDLED / "nasbench101_order.npy", allow_pickle=False)
        return codes

    def __len__(self) -> int:
        return 423_624

    def spelling(self, index: int) -> str:
        """See `SearchSpace.spelling`."""
        return str(self.cell(index))

    def cell(self, index: int) -> Cell:
        """The cell at an index.

        Raises:
            ArchitectureError: there is none.
        """
        if not 0 <= index < len(self):
            raise ArchitectureError(
                f"index {index} is not in {self.name}: it has 0 to {len(self) - 1}"
            )
        return cell_of(int(self._codes[index]))

    def parse(self, text: str | int) -> Architecture:
        """See `SearchSpace.parse`; a module hash will do too.

        A spelled cell is pruned, and its inner vertices may have any order.
        """
        stripped = str(text).strip()
        if len(stripped) == _HASH_DIGITS and not set(stripped.lower()) - set("0123456789abcdef"):
            return self[self._position(stripped.lower())]
        return super().parse(stripped)

    def index_at(self, spelling: str) -> int:
        """See `SearchSpace.index_at`."""
        return self.index_of(parse_cell(spelling))

    def index_of(self, cell: Cell) -> int:
        """The index of a cell, pruned or not, in any numbering of its inner vertices.

        Raises:
            ArchitectureError: it has no path from the input to the output, or too many edges.
        """
        pruned = cell.pruned()
        if pruned.edges > EDGES:
            raise ArchitectureError(
                f"{cell} has {pruned.edges} edges on paths from the input to the output: a cell "
                f"has at most {EDGES}"
            )
        return self._index_of(pruned)

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """The mutation of the benchmark's own evolution (Ying et al., appendix S3).

        Every pair of 7 vertices is connected or disconnected with probability 1/7, every operation
        changed to another with probability 1/5, again and again until that gives a cell of the
        space that is another one. A cell of fewer vertices is filled up with unconnected ones, at
        random places and with random operations, so that it can grow.
        """
        cell = self.cell(architecture.index)
        while True:
            matrix, operations = _filled_up(cell, rng)
            for source, target in PAIRS:
                if rng.random() < 1 / VERTICES:
                    matrix[source][target] ^= 1
            for place, operation in enumerate(operations):
                if rng.random() < 1 / len(operations):
                    others = [other for other in OPERATIONS if other != operation]
                    operations[place] = others[int(rng.integers(len(others)))]
            mutant = self._valid(Cell(tuple(map(tuple, matrix)), tuple(operations)))
            if mutant is not None and mutant != architecture.index:
                return self[mutant]

    def flip(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """The mutation of the NASWOT authors' code: connect or disconnect one pair of vertices.

        It draws uniformly from the pairs whose change gives another cell of the space. It changes
        no operation and adds no vertex.

        Raises:
            ParameterError: no pair does.
        """
        cell = self.cell(architecture.index)
        count = len(cell.matrix)
        found = []
        for source, target in PAIRS:
            if target < count:
                rows = [list(row) for row in cell.matrix]
                rows[source][target] ^= 1
                mutant = self._valid(Cell(tuple(map(tuple, rows)), cell.operations))
                if mutant is not None and mutant != architecture.index:
                    found.append(mutant)
        if not found:
            raise ParameterError(
                f"{architecture} has no neighbour by one edge: take the other mutation"
            )
        return self[found[int(rng.integers(len(found)))]]

    def network(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "nn.Module":
        """The network that NASWOT scores: a stem of 16 channels, 3 stacks of 3 cells.

        The benchmark trained the skeleton `nasbench101_channels.BENCHMARK`, with a stem of 128. See
        `SearchSpace.network` and `untrained.networks.nasbench101`.
        """
        from untrained.networks.nasbench101 import NasBench101Network
        from untrained.networks.nasbench101_channels import SCORED

        cell = self.cell(architecture.index)
        return NasBench101Network(cell, num_classes, skeleton or SCORED)

    def planned(self, architecture: Architecture) -> "PlannedNetwork":
        """See `SearchSpace.planned` and `untrained.networks.nasbench101_plan`."""
        from untrained.networks.nasbench101_plan import draw_network

        return draw_network(self.cell(architecture.index))

    def _valid(self, cell: Cell) -> int | None:
        """The index of a cell, None where it is none of the space."""
        try:
            return self.index_of(cell)
        except ArchitectureError:
            return None

    def _search(self, pruned: Cell) -> int:
        return self._position(pruned.module_hash)

    def _position(self, module_hash: str) -> int:
        """The index of a hash: hashes are sorted and evenly spread, so it is guessed by proportion.

        Raises:
            ArchitectureError: no cell has it.
        """
        wanted = int(module_hash, 16)
        low, high = 0, len(self) - 1
        bottom, top = 0, 1 << 4 * _HASH_DIGITS
        while low <= high and bottom <= wanted <= top:
            guess = low + (high - low) * (wanted - bottom) // max(top - bottom, 1)
            found = int(self._hash_at(guess), 16)
            if found == wanted:
                return guess
            if found < wanted:
                low, bottom = guess + 1, found
            else:
                high, top = guess - 1, found
        raise ArchitectureError(
            f"no cell of {self.name} has the module hash {module_hash}: give an index from 0 to "
            f"{len(self) - 1}, or spell the cell, as in {_EXAMPLE}"
        )


def _filled_up(cell: Cell, rng: np.random.Generator) -> tuple[list[list[int]], list[str]]:
    """The matrix and the operations of a cell with as many unconnected vertices as it can take."""
    count = len(cell.matrix)
    inner = np.sort(rng.choice(np.arange(1, VERTICES - 1), count - 2, replace=False))
    places = [0, *(int(place) for place in inner), VERTICES - 1]
    matrix = [[0] * VERTICES for _ in range(VERTICES)]
    operations = [OPERATIONS[int(number)] for number in rng.integers(3, size=VERTICES - 2)]
    for source, row in zip(places, cell.matrix, strict=True):
        for target, entry in zip(places, row, strict=True):
            matrix[source][target] = entry
    for place, operation in zip(places[1:-1], cell.operations, strict=True):
        operations[place - 1] = operation
    return matrix, operations

"""The search space of NAS-Bench-101 (Ying et al., ICML 2019).

A cell is a directed acyclic graph of 2 to 7 vertices and at most 9 edges: an input, inner vertices
that carry one of three operations each, and an output. Vertices that are on no path from input to
output are pruned. Cells are one if their module hashes are: that makes 423,624 of them, numbered
here in the order of their hashes.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ArchitectureError
from untrained.files import BUNDLED
from untrained.spaces.base import (
    Architecture,
    BenchmarkFacts,
    Drawing,
    GraphSpace,
    Skeleton,
    Words,
    text_of,
)
from untrained.spaces.nasbench101_cells import (
    EDGES,
    EXAMPLE,
    HASH_DIGITS,
    OPERATIONS,
    PAIRS,
    VERTICES,
    Cell,
    cell_of,
    parse_cell,
)

if TYPE_CHECKING:
    from untrained.networks.graph import Graph


class NasBench101(GraphSpace):
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
        # computing a hash takes 0.1 ms, and searches return to the same cells
        cached = lru_cache(maxsize=1 << 16)
        self._index_of: Callable[[Cell], int] = cached(self._search)
        self._hash_at: Callable[[int], str] = cached(lambda index: self.cell(index).module_hash)

    @cached_property
    def _codes(self) -> NDArray[np.uint32]:
        """The `Cell.code` of the cell at each index, (423624,) uint32."""
        codes: NDArray[np.uint32] = np.load(BUNDLED / "nasbench101_order.npy", allow_pickle=False)
        return codes

    def __len__(self) -> int:
        return 423_624

    def spelling(self, index: int) -> str:
        """See `SearchSpace.spelling`."""
        return str(self.cell(index))

    def cell(self, index: int) -> Cell:
        """Return the cell at an index.

        Raises:
            ArchitectureError: there is none.
        """
        if not 0 <= index < len(self):
            raise ArchitectureError(
                f"index {index} is not in {self.name}: it has 0 to {len(self) - 1}"
            )
        return cell_of(int(self._codes[index]))

    def parse(self, architecture: object) -> Architecture:
        """Return the architecture with a module hash, or see `SearchSpace.parse`.

        A spelled cell is pruned, and its inner vertices may have any order.
        """
        text = text_of(architecture).lower()
        if len(text) == HASH_DIGITS and not set(text) - set("0123456789abcdef"):
            return self[self._position(text)]
        return super().parse(architecture)

    def index_at(self, spelling: str) -> int:
        """See `SearchSpace.index_at`."""
        return self.index_of(parse_cell(spelling))

    def index_of(self, cell: Cell) -> int:
        """Return the index of a cell, pruned or not, in any numbering of its inner vertices.

        Raises:
            ArchitectureError: the cell has no path from the input to the output, or too many edges.
        """
        pruned = cell.pruned()
        if pruned.edges > EDGES:
            raise ArchitectureError(
                f"{cell} has {pruned.edges} edges on paths from the input to the output: a cell "
                f"has at most {EDGES}"
            )
        return self._index_of(pruned)

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Mutate as the benchmark's own evolution does (Ying et al., appendix S3).

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

    def drawings(self, architecture: Architecture) -> tuple[Drawing, ...]:
        """Draw the cell, whose vertices have the operations."""
        cell = self.cell(architecture.index)
        edges = tuple(
            (source, target, "")
            for source, row in enumerate(cell.matrix)
            for target, connected in enumerate(row)
            if connected
        )
        return (Drawing(("input", *cell.operations, "output"), edges),)

    def graph(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "Graph":
        """Return the network that NASWOT scores: a stem of 16 channels, 3 stacks of 3 cells.

        The benchmark trained the skeleton `nasbench101_channels.BENCHMARK`, with a stem of 128. See
        `GraphSpace.graph` and `untrained.networks.nasbench101`.
        """
        from untrained.networks.nasbench101 import network_graph
        from untrained.networks.nasbench101_channels import SCORED

        return network_graph(self.cell(architecture.index), num_classes, skeleton or SCORED)

    def _valid(self, cell: Cell) -> int | None:
        """Return the index of a cell, or None if the space does not have it."""
        try:
            return self.index_of(cell)
        except ArchitectureError:
            return None

    def _search(self, pruned: Cell) -> int:
        return self._position(pruned.module_hash)

    def _position(self, module_hash: str) -> int:
        """Find the index of a hash by interpolation: hashes are sorted and evenly spread.

        Raises:
            ArchitectureError: no cell has it.
        """
        wanted = int(module_hash, 16)
        low, high = 0, len(self) - 1
        bottom, top = 0, 1 << 4 * HASH_DIGITS
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
            f"{len(self) - 1}, or spell the cell, as in {EXAMPLE}"
        )


def _filled_up(cell: Cell, rng: np.random.Generator) -> tuple[list[list[int]], list[str]]:
    """Return matrix and operations of a cell that is filled up with unconnected vertices."""
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

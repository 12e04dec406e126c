"""Represent cells of NAS-Bench-101 (Ying et al., ICML 2019) as values, text, numbers and hashes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import md5
from typing import Any

from untrained.errors import ArchitectureError, quoted, short, unknown_name
from untrained.spaces import literals

#: The operations, in the order of their labels in the benchmark's hashes.
OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
INPUT, OUTPUT = "input", "output"
#: The most vertices of a cell, input and output included, and the most edges.
VERTICES = 7
EDGES = 9

#: Rows of an upper triangular matrix: entry [i][j] is 1 where vertex j reads vertex i.
Matrix = tuple[tuple[int, ...], ...]

#: Pairs of vertices in the order of their bits, those of the first n vertices first.
PAIRS = tuple((source, target) for target in range(VERTICES) for source in range(target))
_MASK = (1 << len(PAIRS)) - 1
EXAMPLE = "'011|001|000:input,conv3x3-bn-relu,output'"
HASH_DIGITS = 32


@dataclass(frozen=True)
class Cell:
    """A graph with an operation at each inner vertex; vertex 0 is the input, the last the output.

    Attributes:
        matrix: (n, n), upper triangular.
        operations: the operations of the n - 2 inner vertices.
    """

    matrix: Matrix
    operations: tuple[str, ...]

    def __str__(self) -> str:
        rows = "|".join("".join(map(str, row)) for row in self.matrix)
        return f"{rows}:{','.join((INPUT, *self.operations, OUTPUT))}"

    @property
    def edges(self) -> int:
        """The number of edges."""
        return sum(map(sum, self.matrix))

    @cached_property
    def code(self) -> int:
        """The cell as a number: a bit per pair of `PAIRS`, then the operations to base 3."""
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
        """The benchmark's key of the cell, equal for all numberings of its inner vertices.

        Each vertex starts from the MD5 of its degrees and label, and takes n times the MD5 of the
        sorted hashes of the vertices that it reads, of those that read it, and its own; the hash
        of the cell is the MD5 of the sorted list (Ying et al., section 2.3 and its code).
        """
        labels = (-1, *(OPERATIONS.index(operation) for operation in self.operations), -2)
        return hash_of(_neighbours(self.code & _MASK), labels)

    def pruned(self) -> "Cell":
        """Return the cell without vertices that are on no path from the input to the output.

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
                f"vertex {last}, over others or at once, as in {EXAMPLE}"
            )
        return Cell(
            tuple(tuple(self.matrix[source][target] for target in kept) for source in kept),
            tuple(self.operations[vertex - 1] for vertex in kept[1:-1]),
        )


def cell_of(code: int) -> Cell:
    """Return the cell with a given `Cell.code`."""
    operations, bits = divmod(code, _MASK + 1)
    count = PAIRS[bits.bit_length() - 1][1] + 1  # the output has an edge
    digits = [operations // 3**place % 3 for place in reversed(range(count - 2))]
    return Cell(_matrix(bits, count), tuple(OPERATIONS[digit] for digit in digits))


def parse_cell(text: str) -> Cell:
    """Return the cell that a text spells, neither pruned nor renumbered.

    Besides the spelling of the space, in which blanks do not matter: a pair of matrix and
    operations, `ModelSpec(matrix=..., ops=...)`, a dictionary of the two (under the names of the
    benchmark's own code, or `matrix` and `ops`), and dictionaries of nni, `{'op1': ..., 'input1':
    [0], ...}`. Matrices may be lists or arrays as NumPy prints them.

    Raises:
        ArchitectureError: no cell is spelled so; the message names what is wrong.
    """
    if not set(text) & set("([{"):
        return _parse_spelling(literals.close(text, "|:,"))
    try:
        node = literals.expression(text)
        named = literals.arguments_of(node, "ModelSpec", ("matrix", "ops"))
        value = (
            literals.value_of(node)
            if named is None
            else [literals.value_of(one) for one in named.values()]
        )
    except ValueError as error:
        raise ArchitectureError(
            f"{quoted(text)} is no cell ({error}): spell it as in {EXAMPLE}"
        ) from error
    pair = _pair_of(value) if isinstance(value, dict) else literals.listed(value) or []
    rows, names = [literals.listed(one) or [] for one in pair] if len(pair) == 2 else ([], [])
    if not rows or not all(isinstance(name, str) for name in names):
        raise ArchitectureError(
            f"{quoted(text)} is no cell: it takes a matrix and its operations, as in "
            f"([[0, 1, 1], [0, 0, 1], [0, 0, 0]], ['input', 'conv3x3-bn-relu', 'output']), or "
            f"{EXAMPLE}"
        )
    digits = ("".join(map(_digit, literals.listed(row) or [row])) for row in rows)
    return _parse_spelling(f"{'|'.join(digits)}:{','.join(names)}")


def _digit(entry: object) -> str:
    """Return an entry of a matrix, which may also be a truth value or 1.0, as it is spelled."""
    return str(int(entry)) if entry in (0, 1) else f"({entry})"


#: Names of the matrix and of the operations in dictionaries.
_PAIRS_OF_NAMES = (("matrix", "ops"), ("module_adjacency", "module_operations"))


def _pair_of(values: dict[object, Any]) -> list[Any]:
    """Return matrix and operations out of a dictionary; nothing if it has none.

    nni lists the operation of each inner vertex and the vertices that each vertex reads. This was
    written from its documentation, without access to its code.
    """
    for names in _PAIRS_OF_NAMES:
        if set(names) <= set(values):
            return [values[name] for name in names]
    inner = sum(str(key).startswith("op") for key in values)
    known = {f"op{vertex}" for vertex in range(1, inner + 1)}
    known |= {f"input{vertex}" for vertex in range(1, inner + 2)}
    if set(values) != known:
        return []
    matrix = [[0] * (inner + 2) for _ in range(inner + 2)]
    for vertex in range(1, inner + 2):
        for source in literals.listed(values[f"input{vertex}"]) or [values[f"input{vertex}"]]:
            if not literals.is_whole(source) or not 0 <= source < vertex:
                raise ArchitectureError(
                    f"input{vertex} has {quoted(source)}: vertex {vertex} reads some of the "
                    f"vertices 0 to {vertex - 1}"
                )
            matrix[source][vertex] = 1
    inside = [values[f"op{vertex}"] for vertex in range(1, inner + 1)]
    return [matrix, [INPUT, *inside, OUTPUT]]


def _parse_spelling(spelling: str) -> Cell:
    """Return the cell that the space spells so, see `parse_cell`."""
    left, colon, right = spelling.partition(":")
    if not colon:
        raise ArchitectureError(
            f"{quoted(spelling)} is no cell: it takes the rows of an adjacency matrix, a colon "
            f"and the operations, as in {EXAMPLE}; or an index, or a module hash"
        )
    rows, names = left.split("|"), right.split(",")
    count = len(rows)
    if not 2 <= count <= VERTICES:
        raise ArchitectureError(
            f"{quoted(left)} has {count} rows: a cell has 2 to {VERTICES} vertices, as in {EXAMPLE}"
        )
    for number, row in enumerate(rows):
        if len(row) != count or set(row) - set("01"):
            raise ArchitectureError(
                f"row {number} is {quoted(row)}: it takes {count} digits 0 or 1, as in {EXAMPLE}"
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
            f"the operations are {quoted(right)}: {count} vertices take {INPUT!r}, {count - 2} "
            f"operation(s) and {OUTPUT!r}"
        )
    for vertex, name in enumerate(names[1:-1], start=1):
        if name not in OPERATIONS:
            raise ArchitectureError(
                f"vertex {vertex}: {unknown_name('operation', short(name), OPERATIONS)}"
            )
    return Cell(tuple(tuple(map(int, row)) for row in rows), tuple(names[1:-1]))


def hash_of(
    neighbours: Sequence[tuple[Sequence[int], Sequence[int]]], labels: Sequence[int]
) -> str:
    """Return the module hash of a labelled graph; see `Cell.module_hash`.

    Args:
        neighbours: the vertices that each vertex reads, and those that read it.
        labels: the number of each vertex's operation, -1 for the input, -2 for the output.
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
    """Return the vertices that each vertex of a matrix reads, and those that read it."""
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

"""Represent, parse and print genotypes of DARTS (Liu, Simonyan and Yang, ICLR 2019)."""

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, TypeVar

from untrained.errors import ArchitectureError, quoted, short, unknown_name
from untrained.spaces import literals

#: The operations of an edge, in the order in which architectures are numbered. Supernets also have
#: `none`, which the papers leave out when they read a genotype off one.
OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
#: The inner nodes of a cell, which follow its two inputs.
NODES = (2, 3, 4, 5)
#: The operations of an edge of a supernet, in the order of the code of TE-NAS, which breaks ties.
SUPERNET_OPERATIONS = (
    "none",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "avg_pool_3x3",
    "max_pool_3x3",
)
#: (source, target) of each edge of a cell of a supernet, ordered by target.
SUPERNET_EDGES = tuple((source, node) for node in NODES for source in range(node))

#: Genotypes that papers printed, in their notation: DARTS of first and second order (Liu et al.,
#: ICLR 2019) and PC-DARTS on CIFAR-10 (Xu et al., ICLR 2020).
PUBLISHED = {
    "DARTS_V1": (
        "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "
        "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
        "('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
        "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
        "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], "
        "reduce_concat=[2, 3, 4, 5])"
    ),
    "DARTS_V2": (
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
        "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
        "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
        "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
        "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
        "reduce_concat=[2, 3, 4, 5])"
    ),
    "PC_DARTS_cifar": (
        "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), "
        "('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), "
        "('dil_conv_3x3', 1)], normal_concat=range(2, 6), reduce=[('sep_conv_5x5', 1), "
        "('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), "
        "('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], "
        "reduce_concat=range(2, 6))"
    ),
}

#: (operation, source) of each edge, two for each inner node in turn.
Edges = tuple[tuple[str, int], ...]

_EXAMPLE = (
    "Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...], "
    "reduce_concat=range(2, 6)), or name one, such as DARTS_V2"
)


@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell; `str` gives the notation that public training code reads.

    Attributes:
        normal: eight edges, two for each of the nodes 2, 3, 4 and 5.
        reduce: eight edges; those from nodes 0 and 1 halve the resolution.
        operations: the operations that an edge may have.
        repeats: whether both edges of a node may come from one input.

    Raises:
        ArchitectureError: a cell is not one of the space; the message names the cell and the edge.
    """

    normal: Edges
    reduce: Edges
    operations: ClassVar[tuple[str, ...]] = OPERATIONS
    repeats: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name, cell in (("normal", self.normal), ("reduce", self.reduce)):
            _check_cell(name, cell, self.operations, repeats=self.repeats)

    @property
    def normal_concat(self) -> tuple[int, ...]:
        """The nodes whose concatenation is the output of the normal cell: all inner ones."""
        return NODES

    @property
    def reduce_concat(self) -> tuple[int, ...]:
        """The nodes whose concatenation is the output of the reduction cell: all inner ones."""
        return NODES

    def __str__(self) -> str:
        concat = f"range({NODES[0]}, {NODES[-1] + 1})"
        return (
            f"Genotype(normal={list(self.normal)}, normal_concat={concat}, "
            f"reduce={list(self.reduce)}, reduce_concat={concat})"
        )


@dataclass(frozen=True)
class LenientGenotype(Genotype):
    """A genotype whose edges may also carry `none`, and both come from one input of a node."""

    operations: ClassVar[tuple[str, ...]] = ("none", *OPERATIONS)
    repeats: ClassVar[bool] = True


AnyGenotype = TypeVar("AnyGenotype", bound=Genotype)
_LENIENT = "the space darts_lenient has it"


def _check_cell(name: str, cell: Edges, operations: Collection[str], *, repeats: bool) -> None:
    if len(cell) != 2 * len(NODES):
        raise ArchitectureError(
            f"{name} has {len(cell)} pairs of operation and input: it takes {2 * len(NODES)}, two "
            f"for each of the nodes {', '.join(map(str, NODES))}"
        )
    for node, pair in zip(NODES, by_node(cell), strict=True):
        if "none" not in operations and "none" in dict(pair):
            raise ArchitectureError(
                f"{name}, node {node} has the operation 'none', which is for supernets: {_LENIENT}"
            )
    check_edges(name, cell, operations)
    for node, (first, second) in zip(NODES, by_node(cell), strict=True):
        if first[1] == second[1] and not repeats:
            raise ArchitectureError(
                f"{name}, node {node} takes input {first[1]} twice: its two inputs must differ, or "
                f"{_LENIENT}"
            )


def check_edges(name: str, edges: Edges, operations: Collection[str]) -> None:
    """Check the edges of a cell, two for each inner node.

    Raises:
        ArchitectureError: an operation is unknown, or an input does not come before the node.
    """
    for position, (operation, source) in enumerate(edges):
        node = 2 + position // 2
        edge = f"{name}, node {node}: ({quoted(operation)}, {source!r})"
        if operation not in operations:
            unknown = unknown_name("operation", short(operation), operations)
            raise ArchitectureError(f"{edge}: {unknown}")
        if not 0 <= source < node:
            raise ArchitectureError(
                f"{edge}: there is no node {source} yet, inputs are 0 to {node - 1}"
            )


def by_node(cell: Edges) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    """Yield the two edges of each inner node."""
    return zip(cell[::2], cell[1::2], strict=True)


def parse_genotype(text: str) -> Genotype:
    """Return the genotype of the space `darts` that `text` spells; see `parse_as`."""
    return parse_as(Genotype, text)


def parse_as(kind: type[AnyGenotype], text: str) -> AnyGenotype:
    """Return the genotype that `text` spells, or the published one that it names.

    Besides `Genotype(...)`, which may follow anything else on a line of a log: dictionaries with
    its four keys, ConfigSpace dictionaries of NAS-Bench-301, pairs of cells of (input, number of
    the operation) as BANANAS writes them, and dictionaries of nni. Nothing is executed. Lists and
    tuples are alike, numbers may be NumPy's, edges may be nested by node, and the nodes of a
    concatenation are a list, a tuple or a `range`.

    Raises:
        ArchitectureError: the text spells none; the message names what is wrong.
    """
    stripped = text.strip()
    if stripped in PUBLISHED:
        return parse_as(kind, PUBLISHED[stripped])
    if stripped.isidentifier():
        raise ArchitectureError(
            f"{unknown_name('genotype', short(stripped), PUBLISHED)}; or spell one: {_EXAMPLE}"
        )
    if found := re.search(r"\bGenotype\s*\(", stripped):
        stripped = stripped[found.start() :]
    try:
        if lines := _CONFIGURATION_LINE.findall(stripped):
            values = {name: literals.read(value) for name, value in lines}
            return kind(*_cells_of_config(values))
        node = literals.expression(stripped)
        fields = literals.arguments_of(node, "Genotype", _FIELDS, _UNUSED_FIELDS)
        if fields is None and isinstance(node, ast.Dict):
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            if set(_FIELDS) <= set(keys):
                fields = dict(zip(map(str, keys), node.values, strict=True))
        if fields is not None:
            for name in ("normal_concat", "reduce_concat"):
                _check_concat(name, fields[name])
            return kind(_cell("normal", fields["normal"]), _cell("reduce", fields["reduce"]))
    except ValueError as error:
        raise ArchitectureError(
            f"{quoted(text)} is no genotype ({error}): spell it as {_EXAMPLE}"
        ) from error
    value = _value(node)
    if isinstance(value, dict):
        nni = any(str(key).startswith("normal/") for key in value)
        return kind(*(_cells_of_nni(value) if nni else _cells_of_config(value)))
    cells = [literals.listed(cell) or [] for cell in literals.listed(value) or []]
    if len(cells) == 2 and all(cells):
        return kind(_numbered("normal", cells[0]), _numbered("reduce", cells[1]))
    raise ArchitectureError(
        f"{quoted(text)} is no genotype (no call of Genotype): spell it as {_EXAMPLE}"
    )


#: The arguments in the notation of public training code, and two of GDAS that are always None.
_FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
_UNUSED_FIELDS = ("connectN", "connects")
#: A line that ConfigSpace prints of a configuration before its version 0.6.
_CONFIGURATION_LINE = re.compile(r"^\s*(\S+), (?:Value|Constant): (.*)$", re.MULTILINE)


def _cell(name: str, node: ast.expr) -> Edges:
    """Return the pairs of operation and input of a cell, which may be nested by node."""
    pairs = literals.listed(_value(node))
    if pairs is None:
        raise ArchitectureError(
            f"{name} is {short(ast.unparse(node))}: it must be a list of pairs, as in "
            "[('sep_conv_3x3', 0), ...]"
        )
    nodes = [literals.listed(one) or [] for one in pairs]
    if nodes and all(node and all(map(literals.listed, node)) for node in nodes):
        pairs = [pair for node in nodes for pair in node]
    for number, pair in enumerate(pairs, start=1):
        if [*map(type, literals.listed(pair) or [])] != [str, int]:
            raise ArchitectureError(
                f"{name}, pair {number} is {quoted(pair)}: an operation and the number of its "
                "input, as in ('sep_conv_3x3', 0)"
            )
    return tuple((operation, source) for operation, source in pairs)


def _check_concat(name: str, node: ast.expr) -> None:
    """Check that a cell concatenates all inner nodes, in any order."""
    nodes = literals.listed(_value(node)) or []
    if not all(map(literals.is_whole, nodes)) or sorted(nodes) != list(NODES):
        raise ArchitectureError(
            f"{name} is {short(ast.unparse(node))}: the space concatenates all inner nodes, "
            "range(2, 6)"
        )


def _value(node: ast.expr) -> Any:  # noqa: ANN401 - whatever the text spells
    try:
        return literals.value_of(node)
    except (ValueError, TypeError, RecursionError):
        return None


def _numbered(name: str, pairs: Sequence[Any]) -> Edges:
    """Return a cell of (input, number of the operation in `OPERATIONS`), as in BANANAS."""
    for number, pair in enumerate(pairs, start=1):
        items = literals.listed(pair) or []
        whole = len(items) == 2 and all(map(literals.is_whole, items))
        if not whole or not 0 <= items[1] < len(OPERATIONS):
            known = ", ".join(f"{place} {one}" for place, one in enumerate(OPERATIONS))
            raise ArchitectureError(
                f"{name}, pair {number} is {quoted(pair)}: an input and the number of an "
                f"operation, as in (0, 3), out of {known}; or spell the genotype as {_EXAMPLE}"
            )
    return tuple((OPERATIONS[operation], source) for source, operation in pairs)


def _cells_of_config(values: Mapping[Any, Any]) -> list[Edges]:
    """Return the two cells of a ConfigSpace dictionary of NAS-Bench-301 (Zela et al., ICLR 2022).

    `edge_normal_N` has the operation of the edge N, where the edges into node 2 come first, each
    node's by their inputs; `inputs_node_normal_M` names the two inputs of node M as in `0_2`. A
    prefix that ends in a colon and other settings, as of the training, are passed over.
    """
    own = {str(key).rpartition(":")[2]: value for key, value in values.items()}
    cells: list[Edges] = []
    for cell in ("normal", "reduce"):
        edges: list[tuple[str, int]] = []
        read = set()
        before = 0
        for node in NODES:
            name = f"inputs_node_{cell}_{node}"
            inputs = "0_1" if node == NODES[0] else own.get(name)
            if not re.fullmatch(r"([0-9])_(?!\1)[0-9]", str(inputs)):
                raise ArchitectureError(
                    f"{name} is {quoted(inputs)}: two different inputs, as in '0_1'; a "
                    f"dictionary of NAS-Bench-301 has it, or spell the genotype as {_EXAMPLE}"
                )
            for source in map(int, str(inputs).split("_")):
                edge = f"edge_{cell}_{before + source}"
                if edge not in own and source < node:
                    raise ArchitectureError(
                        f"{edge} is missing: node {node} of the cell {cell} reads node {source}"
                    )
                edges.append((str(own.get(edge)), source))
                read.add(edge)
            before += node
        unread = [key for key in own if key.startswith(f"edge_{cell}_") and key not in read]
        if unread:
            raise ArchitectureError(
                f"{unread[0]} is an edge that no node reads: leave it out, or name its input in "
                f"inputs_node_{cell}_3, _4 or _5"
            )
        cells.append(tuple(edges))
    return cells


def _cells_of_nni(values: Mapping[Any, Any]) -> list[Edges]:
    """Return the two cells of nni's names, such as `normal/op_2_0` and `normal/input_2_0`.

    Written from nni's documentation, without access to its code.
    """
    cells: list[Edges] = []
    for cell in ("normal", "reduce"):
        edges: list[tuple[str, int]] = []
        for node, place in product(NODES, range(2)):
            operation = values.get(f"{cell}/op_{node}_{place}")
            source = values.get(name := f"{cell}/input_{node}_{place}")
            inputs = literals.listed(source) or [source]
            if not isinstance(operation, str) or [*map(type, inputs)] != [int]:
                raise ArchitectureError(
                    f"{name} and {cell}/op_{node}_{place} are {quoted((source, operation))}: "
                    "an input and an operation, as in 0 and 'sep_conv_3x3'"
                )
            edges.append((operation, inputs[0]))
        cells.append(tuple(edges))
    return cells

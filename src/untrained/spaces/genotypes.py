"""Represent, parse and print genotypes of DARTS (Liu, Simonyan and Yang, ICLR 2019)."""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from inspect import Parameter, Signature
from typing import Any

from untrained.errors import ArchitectureError, short, unknown_name

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
    "reduce_concat=range(2, 6))"
)
_LONGEST_TEXT = 4000


@dataclass(frozen=True)
class Genotype:
    """A normal and a reduction cell; `str` gives the notation that public training code reads.

    Attributes:
        normal: eight edges, two for each of the nodes 2, 3, 4 and 5.
        reduce: eight edges; those from nodes 0 and 1 halve the resolution.

    Raises:
        ArchitectureError: a cell is not one of the space; the message names the cell and the edge.
    """

    normal: Edges
    reduce: Edges

    def __post_init__(self) -> None:
        _check_cell("normal", self.normal)
        _check_cell("reduce", self.reduce)

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


def _check_cell(name: str, cell: Edges) -> None:
    if len(cell) != 2 * len(NODES):
        raise ArchitectureError(
            f"{name} has {len(cell)} pairs of operation and input: it takes {2 * len(NODES)}, two "
            f"for each of the nodes {', '.join(map(str, NODES))}"
        )
    check_edges(name, cell, OPERATIONS)
    for node, (first, second) in zip(NODES, by_node(cell), strict=True):
        if first[1] == second[1]:
            raise ArchitectureError(
                f"{name}, node {node} takes input {first[1]} twice: its two inputs must differ"
            )


def check_edges(name: str, edges: Edges, operations: Collection[str]) -> None:
    """Check the edges of a cell, two for each inner node.

    Raises:
        ArchitectureError: an operation is unknown, or an input does not come before the node.
    """
    for position, (operation, source) in enumerate(edges):
        node = 2 + position // 2
        edge = f"{name}, node {node}: ({operation!r}, {source!r})"
        if operation not in operations:
            raise ArchitectureError(f"{edge}: {unknown_name('operation', operation, operations)}")
        if not 0 <= source < node:
            raise ArchitectureError(
                f"{edge}: there is no node {source} yet, inputs are 0 to {node - 1}"
            )


def by_node(cell: Edges) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    """Yield the two edges of each inner node."""
    return zip(cell[::2], cell[1::2], strict=True)


def parse_genotype(text: str) -> Genotype:
    """Return the genotype that `text` spells, or the published one that it names.

    The text is read as a Python literal and nothing in it is executed. Lists and tuples are
    alike, and the nodes of a concatenation are a list, a tuple or a `range`.

    Raises:
        ArchitectureError: the text spells none; the message names what is wrong.
    """
    stripped = text.strip()
    if stripped in PUBLISHED:
        return parse_genotype(PUBLISHED[stripped])
    if stripped.isidentifier():
        raise ArchitectureError(
            f"{unknown_name('genotype', stripped, PUBLISHED)}; or spell one: {_EXAMPLE}"
        )
    fields = _fields(stripped)
    for name in ("normal_concat", "reduce_concat"):
        _check_concat(name, fields[name])
    return Genotype(_cell("normal", fields["normal"]), _cell("reduce", fields["reduce"]))


#: The arguments in the notation of public training code.
_SIGNATURE = Signature(
    [
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD)
        for name in ("normal", "normal_concat", "reduce", "reduce_concat")
    ]
)


def _fields(text: str) -> dict[str, ast.expr]:
    """Return the four arguments of `Genotype(...)` by name."""
    if len(text) > _LONGEST_TEXT:
        raise ArchitectureError(
            f"{len(text)} characters are no genotype: at most {_LONGEST_TEXT}, as in {_EXAMPLE}"
        )
    reason: object = "no call of Genotype"
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "Genotype":
            named = {keyword.arg or "**": keyword.value for keyword in call.keywords}
            return _SIGNATURE.bind(*call.args, **named).arguments
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
        # Python raises the last two for very deep nesting
        reason = error.msg if isinstance(error, SyntaxError) else error
    raise ArchitectureError(f"{short(text)!r} is no genotype ({reason}): spell it as {_EXAMPLE}")


def _cell(name: str, node: ast.expr) -> Edges:
    """Return the pairs of operation and input of a cell."""
    pairs = _literal(node)
    if not isinstance(pairs, list | tuple):
        raise ArchitectureError(
            f"{name} is {short(ast.unparse(node))}: it must be a list of pairs, as in "
            "[('sep_conv_3x3', 0), ...]"
        )
    for number, pair in enumerate(pairs, start=1):
        if not isinstance(pair, list | tuple) or [*map(type, pair)] != [str, int]:
            raise ArchitectureError(
                f"{name}, pair {number} is {short(repr(pair))}: an operation and the number of its "
                "input, as in ('sep_conv_3x3', 0)"
            )
    return tuple((operation, source) for operation, source in pairs)


def _check_concat(name: str, node: ast.expr) -> None:
    """Check that a cell concatenates all inner nodes, in any order."""
    text = ast.unparse(node)
    nodes = _literal(node)
    listed = isinstance(nodes, list | tuple) and all(type(one) is int for one in nodes)
    if text != "range(2, 6)" and not (listed and sorted(nodes) == list(NODES)):
        raise ArchitectureError(
            f"{name} is {short(text)}: the space concatenates all inner nodes, range(2, 6)"
        )


def _literal(node: ast.expr) -> Any:  # noqa: ANN401 - whatever the text spells
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return None

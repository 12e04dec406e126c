"""The search space of DARTS (Liu, Simonyan and Yang, ICLR 2019, section 2.1 and appendix A).

An architecture is two cells, a normal one and a reduction cell. Each has two inputs (nodes 0 and 1:
the outputs of the two cells before it), four inner nodes (2 to 5) and an output, the concatenation
of the inner nodes. An inner node is the sum of two edges from different earlier nodes, each with
one of seven operations. That makes (1 * 3 * 6 * 10 * 7^8)^2 = 1.08e18 architectures: they are
numbered, and too many to be listed.
"""

import ast
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ArchitectureError, ParameterError, unknown_name
from untrained.spaces.base import Architecture, SearchSpace, Skeleton

if TYPE_CHECKING:
    from torch import nn

    from untrained.networks.plans import Planned

#: What an edge of a genotype carries, in the order of the number of an architecture. Supernets have
#: `none` besides: the papers leave it out when they read a genotype off one.
OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
#: Inner nodes of a cell; they follow its two inputs.
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
        reduce: likewise. Edges from nodes 0 and 1 halve the resolution.

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
        """The output has all inner nodes side by side."""
        return NODES

    @property
    def reduce_concat(self) -> tuple[int, ...]:
        """Likewise."""
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
    for node, (first, second) in zip(NODES, _by_node(cell), strict=True):
        for operation, source in (first, second):
            edge = f"{name}, node {node}: ({operation!r}, {source!r})"
            if operation == "none":
                raise ArchitectureError(
                    f"{edge}: 'none' is for supernets, a genotype takes {', '.join(OPERATIONS)}"
                )
            if operation not in OPERATIONS:
                raise ArchitectureError(
                    f"{edge}: {unknown_name('operation', operation, OPERATIONS)}"
                )
            if not 0 <= source < node:
                raise ArchitectureError(
                    f"{edge}: there is no node {source} yet, inputs are 0 to {node - 1}"
                )
        if first[1] == second[1]:
            raise ArchitectureError(
                f"{name}, node {node} takes input {first[1]} twice: its two inputs must differ"
            )


def _by_node(cell: Edges) -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    """The two edges of each inner node."""
    return zip(cell[::2], cell[1::2], strict=True)


def parse_genotype(text: str) -> Genotype:
    """The genotype that `text` spells, or the published one that it names.

    The text is read as a Python literal and nothing in it is executed. Lists and tuples are
    alike, and the nodes of a concatenation are a list, a tuple or a `range`.

    Raises:
        ArchitectureError: it spells none; the message names what is wrong.
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
        if (nodes := _concat(name, fields[name])) != NODES:
            raise ArchitectureError(
                f"{name} is {list(nodes)}: the space concatenates all inner nodes, range(2, 6)"
            )
    return Genotype(_cell("normal", fields["normal"]), _cell("reduce", fields["reduce"]))


def _fields(text: str) -> dict[str, ast.expr]:
    """The four arguments of `Genotype(...)`, by name."""
    if len(text) > _LONGEST_TEXT:
        raise ArchitectureError(
            f"{len(text)} characters are no genotype: at most {_LONGEST_TEXT}, as in {_EXAMPLE}"
        )
    try:
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        # the last two are what Python makes of very deep nesting
        reason = error.msg if isinstance(error, SyntaxError) else "unreadable"
        raise ArchitectureError(
            f"{_short(text)!r} is no genotype ({reason}): spell it as {_EXAMPLE}"
        ) from error
    if not (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "Genotype"
    ):
        raise ArchitectureError(f"{_short(text)!r} is no genotype: spell it as {_EXAMPLE}")
    names = ("normal", "normal_concat", "reduce", "reduce_concat")
    if len(call.args) > len(names):
        raise ArchitectureError(
            f"a genotype has {len(call.args)} arguments: it takes {', '.join(names)}"
        )
    given = list(zip(names, call.args, strict=False))
    given += [(keyword.arg or "**", keyword.value) for keyword in call.keywords]
    fields: dict[str, ast.expr] = {}
    for name, value in given:
        if name not in names or name in fields:
            wrong = "comes twice" if name in fields else "is unknown"
            raise ArchitectureError(
                f"argument {name!r} of a genotype {wrong}: it takes {', '.join(names)}"
            )
        fields[name] = value
    if missing := [name for name in names if name not in fields]:
        raise ArchitectureError(f"a genotype lacks {', '.join(missing)}: spell it as {_EXAMPLE}")
    return fields


def _cell(name: str, node: ast.expr) -> Edges:
    """The pairs of operation and input."""
    pairs = _literal(node)
    if not isinstance(pairs, list | tuple):
        _refuse(name, node, "a list of pairs, as in [('sep_conv_3x3', 0), ...]")
    for number, pair in enumerate(pairs):
        if not (
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and isinstance(pair[0], str)
            and type(pair[1]) is int  # True is an int too
        ):
            raise ArchitectureError(
                f"{name}, pair {number + 1} is {_short(repr(pair))}: an operation and the number "
                "of its input, as in ('sep_conv_3x3', 0)"
            )
    return tuple((operation, source) for operation, source in pairs)


def _concat(name: str, node: ast.expr) -> tuple[int, ...]:
    """The nodes of a concatenation, sorted; the order is a matter of naming channels."""
    found: object
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "range"
        and not node.keywords
        and len(node.args) == 2
    ):
        first, end = (_literal(argument) for argument in node.args)
        if type(first) is not int or type(end) is not int or not 0 <= end - first <= 100:
            _refuse(name, node, "range(2, 6)")
        found = list(range(first, end))
    else:
        found = _literal(node)
    if not isinstance(found, list | tuple) or not all(type(one) is int for one in found):
        _refuse(name, node, "range(2, 6)")
    return tuple(sorted(found))


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return None  # whoever asked refuses what is neither a list nor a number, with its text


def _refuse(name: str, node: ast.expr, right: str) -> NoReturn:
    raise ArchitectureError(f"{name} is {_short(ast.unparse(node))}: it must be {right}")


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 60 else flat[:57] + "..."


#: Pairs of inputs that each node can take.
_INPUTS = {node: tuple(combinations(range(node), 2)) for node in NODES}
_PER_EDGE = len(OPERATIONS)
_PER_NODE = {node: len(inputs) * _PER_EDGE**2 for node, inputs in _INPUTS.items()}
_PER_CELL = math.prod(_PER_NODE.values())


def _cell_at(code: int) -> Edges:
    """The cell with a number below `_PER_CELL`: digits of nodes 2 to 5, the last one fastest."""
    edges: list[tuple[str, int]] = []
    for node in reversed(NODES):
        code, digit = divmod(code, _PER_NODE[node])
        inputs, operations = divmod(digit, _PER_EDGE**2)
        first, second = _INPUTS[node][inputs]
        edges = [
            (OPERATIONS[operations // _PER_EDGE], first),
            (OPERATIONS[operations % _PER_EDGE], second),
            *edges,
        ]
    return tuple(edges)


def _code(cell: Edges) -> int:
    """The inverse of `_cell_at`; the two edges of a node may come in either order."""
    code = 0
    for node, pair in zip(NODES, _by_node(cell), strict=True):
        (first, source), (second, other) = sorted(pair, key=lambda edge: edge[1])
        digit = _INPUTS[node].index((source, other)) * _PER_EDGE**2
        digit += OPERATIONS.index(first) * _PER_EDGE + OPERATIONS.index(second)
        code = code * _PER_NODE[node] + digit
    return code


def _relabelled(cell: Edges) -> Iterator[Edges]:
    """The cell with its inner nodes in each order that keeps inputs before what reads them."""
    nodes = list(_by_node(cell))
    for order in permutations(NODES):
        name = {0: 0, 1: 1} | {old: new for new, old in zip(NODES, order, strict=True)}
        edges = [
            (operation, name[source])
            for old in order
            for operation, source in nodes[old - NODES[0]]
        ]
        if all(source < node for node, (_, source) in zip(_targets(), edges, strict=True)):
            yield tuple(edges)


def _targets() -> list[int]:
    return [node for node in NODES for _ in range(2)]


class Darts(SearchSpace):
    """All pairs of a normal and a reduction cell, and the networks that the papers train.

    An architecture is spelled as its genotype, the edges of a node in the order of their inputs.
    Index = number of the normal cell * 1,037,664,180 + number of the reduction cell.
    """

    name = "darts"
    summary = "a normal and a reduction cell (DARTS; 1.08e18 pairs)"
    datasets = ("cifar10", "ImageNet")
    supernet = "untrained.search.supernets:darts"

    def __len__(self) -> int:
        return _PER_CELL**2

    def spelling(self, index: int) -> str:
        """See `SearchSpace.spelling`."""
        normal, reduce = divmod(index, _PER_CELL)
        return str(Genotype(_cell_at(normal), _cell_at(reduce)))

    def index_at(self, spelling: str) -> int:
        """See `SearchSpace.index_at`; the name of a published genotype will do too."""
        return self._index(parse_genotype(spelling))

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Change the operation or the input of one edge, each of the 120 neighbours alike.

        96 of them change one of 16 operations to one of 6 others; 24 an input to a node that is
        earlier and not the other input (0, 2, 4 and 6 in the nodes 2 to 5 of each cell).
        """
        genotype = parse_genotype(architecture.spelling)
        neighbours = [
            *((mutant, genotype.reduce) for mutant in _mutants(genotype.normal)),
            *((genotype.normal, mutant) for mutant in _mutants(genotype.reduce)),
        ]
        return self[self._index(Genotype(*neighbours[int(rng.integers(len(neighbours)))]))]

    def canonical(self, architecture: Architecture) -> Architecture:
        """The lowest index among the orders of the inner nodes of both cells.

        Another order permutes the channels of a concatenation, which fresh weights cannot tell
        apart. Other reasons for two architectures to compute the same function are not looked for.
        """
        genotype = parse_genotype(architecture.spelling)
        normal, reduce = (
            min(_code(order) for order in _relabelled(cell))
            for cell in (genotype.normal, genotype.reduce)
        )
        return self[normal * _PER_CELL + reduce]

    @property
    def representatives(self) -> NDArray[np.int64]:
        """Too many to be listed.

        Raises:
            ParameterError: always.
        """
        raise ParameterError(
            f"{self.name} has {len(self):.2e} architectures, too many to list their classes: "
            "don't share scores"
        )

    def network(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "nn.Module":
        """The network that the papers train on CIFAR-10: 20 cells, 36 channels, no auxiliary head.

        See `SearchSpace.network` and `untrained.networks.darts`.

        Raises:
            ParameterError: a skeleton is asked for, which is made for a single kind of cell.
        """
        self.refuse_skeleton(skeleton)
        from untrained.networks.darts import CIFAR10, DartsNetwork

        return DartsNetwork(parse_genotype(architecture.spelling), num_classes, CIFAR10)

    def planned(self, architecture: Architecture) -> "Planned":
        """See `SearchSpace.planned` and `untrained.networks.darts_plan`.

        It is the module itself: its weights are what takes the time of making it.
        """
        from untrained.networks.darts import CIFAR10, DartsNetwork

        return DartsNetwork(parse_genotype(architecture.spelling), 1, CIFAR10)

    @staticmethod
    def _index(genotype: Genotype) -> int:
        return _code(genotype.normal) * _PER_CELL + _code(genotype.reduce)


def _mutants(cell: Edges) -> Iterator[Edges]:
    """Each cell that differs in the operation or the input of one edge."""
    for position, ((operation, source), node) in enumerate(zip(cell, _targets(), strict=True)):
        taken = {source, cell[position ^ 1][1]}  # the other edge of the node lies beside it
        others: Sequence[tuple[str, int]] = [
            *((other, source) for other in OPERATIONS if other != operation),
            *((operation, other) for other in range(node) if other not in taken),
        ]
        for edge in others:
            yield (*cell[:position], edge, *cell[position + 1 :])

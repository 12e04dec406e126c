"""The search space of DARTS (Liu, Simonyan and Yang, ICLR 2019, section 2.1 and appendix A).

An architecture is two cells, a normal one and a reduction cell. Each has two inputs (nodes 0 and 1:
the outputs of the two cells before it), four inner nodes (2 to 5) and an output, the concatenation
of the inner nodes. An inner node is the sum of two edges from different earlier nodes, each with
one of seven operations. That makes (1 * 3 * 6 * 10 * 7^8)^2 = 1.08e18 architectures: they are
numbered, and too many to be listed.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, combinations_with_replacement, permutations, product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError
from untrained.spaces.base import Architecture, Drawing, GraphSpace, Skeleton
from untrained.spaces.genotypes import (
    NODES,
    OPERATIONS,
    Edges,
    Genotype,
    LenientGenotype,
    by_node,
    parse_as,
)

if TYPE_CHECKING:
    from untrained.networks.graph import Graph

Pair = tuple[tuple[str, int], tuple[str, int]]


class Cells:
    """The numbers of all cells whose nodes have two edges each out of some pairs.

    Args:
        pairs: the pairs of edges that each of the nodes 2 to 5 can have, each pair in one order.
    """

    def __init__(self, pairs: Iterable[Iterable[Pair]]) -> None:
        self._pairs = [tuple(own) for own in pairs]
        self._digits = [
            {either: digit for digit, pair in enumerate(own) for either in (pair, pair[::-1])}
            for own in self._pairs
        ]
        self.count = math.prod(map(len, self._pairs))

    def at(self, code: int) -> Edges:
        """Return the cell with a number below `count`: a digit for each of the nodes 2 to 5."""
        chosen: list[Pair] = []
        for own in reversed(self._pairs):
            code, digit = divmod(code, len(own))
            chosen.append(own[digit])
        return tuple(edge for pair in reversed(chosen) for edge in pair)

    def code(self, cell: Edges) -> int:
        """Return the number of a cell; the two edges of a node may be in either order."""
        code = 0
        for own, digits, pair in zip(self._pairs, self._digits, by_node(cell), strict=True):
            code = code * len(own) + digits[pair]
        return code

    def mutants(self, cell: Edges, operations: Sequence[str]) -> Iterator[Edges]:
        """Yield each cell that differs in the operation or the input of one edge."""
        for position, ((operation, source), node) in enumerate(zip(cell, _targets(), strict=True)):
            beside = cell[position ^ 1]  # the other edge of the node
            others = [
                *((other, source) for other in operations if other != operation),
                *((operation, other) for other in range(node) if other != source),
            ]
            for edge in others:
                if (edge, beside) in self._digits[node - NODES[0]]:
                    yield (*cell[:position], edge, *cell[position + 1 :])


def _pairs_from_two_inputs(node: int) -> Iterator[Pair]:
    for first, second in combinations(range(node), 2):
        for one, other in product(OPERATIONS, repeat=2):
            yield (one, first), (other, second)


def _any_pairs(node: int) -> Iterator[Pair]:
    edges = [(one, source) for source in range(node) for one in LenientGenotype.operations]
    return combinations_with_replacement(edges, 2)


CELLS = Cells(map(_pairs_from_two_inputs, NODES))
LENIENT_CELLS = Cells(map(_any_pairs, NODES))


def _relabelled(cell: Edges) -> Iterator[Edges]:
    """Yield the cell with its inner nodes in each order in which edges lead forward."""
    nodes = list(by_node(cell))
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


class Darts(GraphSpace):
    """All pairs of a normal and a reduction cell, and the networks that the papers train.

    An architecture is spelled as its genotype, the edges of a node in the order of their inputs.
    Index = number of the normal cell * number of cells (1,037,664,180) + number of the reduction
    cell.
    """

    name = "darts"
    summary = "a normal and a reduction cell (DARTS; 1.08e18 pairs)"
    datasets = ("cifar10", "ImageNet")
    supernet: str | None = "untrained.search.supernets:darts"
    _kind: type[Genotype] = Genotype
    _cells = CELLS

    def __len__(self) -> int:
        return self.size

    @property
    def size(self) -> int:
        """See `SearchSpace.size`."""
        return self._cells.count**2

    def spelling(self, index: int) -> str:
        """See `SearchSpace.spelling`."""
        normal, reduce = divmod(index, self._cells.count)
        return str(self._kind(self._cells.at(normal), self._cells.at(reduce)))

    def index_at(self, spelling: str) -> int:
        """See `SearchSpace.index_at`; the name of a published genotype will do too."""
        return self._index(parse_as(self._kind, spelling))

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Change the operation or the input of one edge, each of the 120 neighbours alike.

        96 of them change one of 16 operations to one of 6 others; 24 an input to a node that is
        earlier and not the other input (0, 2, 4 and 6 in the nodes 2 to 5 of each cell).
        """
        genotype = parse_as(self._kind, architecture.spelling)
        operations = self._kind.operations
        neighbours = [
            *((one, genotype.reduce) for one in self._cells.mutants(genotype.normal, operations)),
            *((genotype.normal, one) for one in self._cells.mutants(genotype.reduce, operations)),
        ]
        return self[self._index(self._kind(*neighbours[int(rng.integers(len(neighbours)))]))]

    def drawings(self, architecture: Architecture) -> tuple[Drawing, ...]:
        """Draw both cells; their outputs concatenate the inner nodes."""
        genotype = parse_as(self._kind, architecture.spelling)
        nodes = ("input 0", "input 1", *map(str, NODES), "output")
        outputs = tuple((node, len(nodes) - 1, "") for node in NODES)
        return tuple(
            Drawing(
                nodes,
                tuple(
                    (source, target, operation)
                    for target, (operation, source) in zip(_targets(), cell, strict=True)
                    if operation != "none"
                )
                + outputs,
                title,
            )
            for title, cell in (
                ("normal cell", genotype.normal),
                ("reduction cell", genotype.reduce),
            )
        )

    def canonical(self, architecture: Architecture) -> Architecture:
        """The lowest index among the orders of the inner nodes of both cells.

        Another order permutes the channels of a concatenation, which makes no difference to fresh
        weights. The input of an edge with `none` makes none either. Two architectures may compute
        the same function for other reasons.
        """
        genotype = parse_as(self._kind, architecture.spelling)
        normal, reduce = (
            min(self._cells.code(order) for order in _relabelled(_without_unread(cell)))
            for cell in (genotype.normal, genotype.reduce)
        )
        return self[normal * self._cells.count + reduce]

    @property
    def representatives(self) -> NDArray[np.int64]:
        """Raise `ParameterError`, since there are too many architectures to list."""
        raise ParameterError(
            f"{self.name} has {self.size:.2e} architectures, too many to list their classes: "
            "don't share scores"
        )

    def graph(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "Graph":
        """Return the network that the papers train on CIFAR-10: 20 cells, 36 channels.

        See `GraphSpace.graph` and `untrained.networks.darts`. There is no auxiliary head.

        Raises:
            ParameterError: a skeleton is given, which has a single kind of cell.
        """
        self.refuse_skeleton(skeleton)
        from untrained.networks.darts import network_graph

        return network_graph(parse_as(self._kind, architecture.spelling), num_classes)

    def _index(self, genotype: Genotype) -> int:
        normal, reduce = (self._cells.code(cell) for cell in (genotype.normal, genotype.reduce))
        return normal * self._cells.count + reduce


class DartsLenient(Darts):
    """The cells of `Darts`, and those with `none` or with an input that a node reads twice.

    Some published genotypes are of this kind. Indices count the multisets of two of the edges into
    each node (16 to 40: an input and one of eight operations, `none` first), so that the index of
    an architecture of `Darts` is another one here. A mutation makes one of 152 changes, all alike;
    that of the input of an edge with `none` changes nothing that is computed.
    """

    name = "darts_lenient"
    summary = "cells of DARTS that may have `none` and repeated inputs (3.12e20 pairs)"
    supernet = None
    _kind = LenientGenotype
    _cells = LENIENT_CELLS

    def __len__(self) -> int:
        """Raise `ParameterError`, since Python counts no further than 2^63 - 1; see `size`."""
        self.check_numbered()
        return self.size

    def __bool__(self) -> bool:
        return True

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw an architecture uniformly: the two cells, one after the other."""
        normal, reduce = rng.integers(self._cells.count, size=2).tolist()
        return self[normal * self._cells.count + reduce]


def _without_unread(cell: Edges) -> Edges:
    """Return a cell whose edges with `none`, which pass nothing on, come from node 0."""
    return tuple((operation, 0 if operation == "none" else source) for operation, source in cell)

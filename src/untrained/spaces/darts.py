"""The search space of DARTS (Liu, Simonyan and Yang, ICLR 2019, section 2.1 and appendix A).

An architecture is two cells, a normal one and a reduction cell. Each has two inputs (nodes 0 and 1:
the outputs of the two cells before it), four inner nodes (2 to 5) and an output, the concatenation
of the inner nodes. An inner node is the sum of two edges from different earlier nodes, each with
one of seven operations. That makes (1 * 3 * 6 * 10 * 7^8)^2 = 1.08e18 architectures: they are
numbered, and too many to be listed.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError
from untrained.spaces.base import Architecture, GraphSpace, Skeleton
from untrained.spaces.genotypes import NODES, OPERATIONS, Edges, Genotype, by_node, parse_genotype

if TYPE_CHECKING:
    from untrained.networks.graph import Graph

#: Pairs of inputs that each node can take.
_INPUTS = {node: tuple(combinations(range(node), 2)) for node in NODES}
_PER_EDGE = len(OPERATIONS)
_PER_NODE = {node: len(inputs) * _PER_EDGE**2 for node, inputs in _INPUTS.items()}
_PER_CELL = math.prod(_PER_NODE.values())


def _cell_at(code: int) -> Edges:
    """Return the cell with a number below `_PER_CELL`: a digit for each of the nodes 2 to 5."""
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
    """Return the number of a cell; the two edges of a node may be in either order."""
    code = 0
    for node, pair in zip(NODES, by_node(cell), strict=True):
        (first, source), (second, other) = sorted(pair, key=lambda edge: edge[1])
        digit = _INPUTS[node].index((source, other)) * _PER_EDGE**2
        digit += OPERATIONS.index(first) * _PER_EDGE + OPERATIONS.index(second)
        code = code * _PER_NODE[node] + digit
    return code


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

        Another order permutes the channels of a concatenation, which makes no difference to fresh
        weights. Two architectures may compute the same function for other reasons.
        """
        genotype = parse_genotype(architecture.spelling)
        normal, reduce = (
            min(_code(order) for order in _relabelled(cell))
            for cell in (genotype.normal, genotype.reduce)
        )
        return self[normal * _PER_CELL + reduce]

    @property
    def representatives(self) -> NDArray[np.int64]:
        """Raise `ParameterError`, since there are too many architectures to list."""
        raise ParameterError(
            f"{self.name} has {len(self):.2e} architectures, too many to list their classes: "
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

        return network_graph(parse_genotype(architecture.spelling), num_classes)

    @staticmethod
    def _index(genotype: Genotype) -> int:
        return _code(genotype.normal) * _PER_CELL + _code(genotype.reduce)


def _mutants(cell: Edges) -> Iterator[Edges]:
    """Yield each cell that differs in the operation or the input of one edge."""
    for position, ((operation, source), node) in enumerate(zip(cell, _targets(), strict=True)):
        taken = {source, cell[position ^ 1][1]}  # the other edge of the node lies beside it
        others: Sequence[tuple[str, int]] = [
            *((other, source) for other in OPERATIONS if other != operation),
            *((operation, other) for other in range(node) if other not in taken),
        ]
        for edge in others:
            yield (*cell[:position], edge, *cell[position + 1 :])

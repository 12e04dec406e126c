"""Runs a network as a graph of sums, to get what its rectifiers read.

A node is a sum of terms. Once all its terms are there, edges read it and make terms of later nodes.
An edge that normalises needs the statistics of the whole batch, so a node waits for the terms of
all images; between nodes a batch may be processed in pieces, which saves memory and changes no
statistics.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from torch import Tensor

from untrained.networks.fused import Normalisation, Sum


class Reading(NamedTuple):
    """A tensor that rectifiers read, as codes.

    Attributes:
        codes: one bit per unit and image, 1 iff the unit is positive: (N, f) int8 with a bit in
            each number, or (N, f / 8) uint8 with eight. Units are in the same order for all images.
        rectifiers: number of rectifiers on a path from input to output that read it.
        modules: number of modules named after ReLU that read it, wrappers of rectifiers included.
        finite: whether the units are finite, as far as the plan knows.
    """

    codes: Tensor
    rectifiers: int
    modules: int
    finite: bool = True


class Edge(NamedTuple):
    """An edge from one node to a later one; it makes a term of the later node.

    Attributes:
        target: index of the later node.
        apply: maps (n, C, H, W) to a term, each image by itself.
        rectified: whether the edge reads its source rectified.
        normalised: whether the term is normalised over the batch.
        scale: (C,), scale of the normalisation; None for ones.
        shift: (C,), shift of the normalisation; None for zeros.
        position: position of the term among those of a node that concatenates.
    """

    target: int
    apply: Callable[[Tensor], Tensor]
    rectified: bool = False
    normalised: bool = False
    scale: Tensor | None = None
    shift: Tensor | None = None
    position: int = 0


@dataclass
class Node:
    """A sum of terms that edges read.

    Attributes:
        edges: edges that read the node.
        rectifiers: number of rectifiers on a path from input to output that read the node.
        modules: number of modules named after ReLU that read it.
        concatenated: whether the node concatenates its terms as channels instead, in the order of
            the edges' positions; such terms are not normalised.
    """

    edges: list[Edge] = field(default_factory=list)
    rectifiers: int = 0
    modules: int = 0
    concatenated: bool = False


def appended(nodes: list[Node], node: Node | None = None) -> int:
    """Append a node, by default a new one, and return its index."""
    nodes.append(Node() if node is None else node)
    return len(nodes) - 1


def as_it_is(x: Tensor) -> Tensor:
    """Return x: the function of edges that add their source unchanged."""
    return x


class _Term:
    """The results of an edge for all images, piece by piece.

    Attributes:
        pieces: pieces (n, C, H, W).
        normalisation: normalisation of the pieces; None for an edge without one.
        own: whether no other term and no node uses the pieces' memory.
        position: see `Edge`.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.pieces: list[Tensor] = []
        self.normalisation: Normalisation | None = None
        self.own = False

    def add(self, source: Tensor, edge: Edge, shared: dict[object, Tensor]) -> None:
        """Add a piece; edges without normalisation share the result of the same function."""
        if not edge.normalised:
            how = (edge.apply, edge.rectified)
            if how not in shared:
                shared[how] = edge.apply(source)
            self.pieces.append(shared[how])
            return
        made = edge.apply(source)
        self.own = made is not source
        if self.normalisation is None:
            self.normalisation = Normalisation(edge.scale, edge.shift)
        self.normalisation.add(made)
        self.pieces.append(made)


def readings(nodes: Sequence[Node], images: Tensor, pieces: int = 1) -> Iterator[Reading]:
    """Run a graph and yield what the rectifiers of each node read.

    Args:
        nodes: nodes in topological order, the images first.
        images: (N, C, H, W).
        pieces: number of pieces that the batch is cut into where that changes no result.
    """
    if not nodes:
        return
    terms: list[list[_Term]] = [[] for _ in nodes]
    terms[0].append(_Term())
    terms[0][0].pieces = list(images.chunk(pieces))
    for position, node in enumerate(nodes):
        codes, finite = _run(node, terms[position], terms)
        if codes:
            yield Reading(
                codes[0] if pieces == 1 else torch.cat(codes), node.rectifiers, node.modules, finite
            )


def _run(node: Node, incoming: list[_Term], terms: list[list[_Term]]) -> tuple[list[Tensor], bool]:
    """Make the terms of a node's edges; return the pieces of its codes and whether it is finite."""
    if node.concatenated:
        incoming = [_side_by_side(sorted(incoming, key=lambda term: term.position))]
    first = incoming[0].pieces
    total = Sum([term.normalisation for term in incoming], first[0])
    outgoing = [_Term(edge.position) for edge in node.edges]
    value = any(not edge.rectified for edge in node.edges)
    rectified = any(edge.rectified for edge in node.edges)
    codes = []
    for piece in range(len(first)):
        read = total.of(
            [term.pieces[piece] for term in incoming],
            value,
            rectified,
            node.modules > 0,
            spare=[term.pieces[piece] for term in incoming if term.own],
        )
        for term in incoming:
            term.pieces[piece] = _TAKEN
        shared: dict[object, Tensor] = {}
        for edge, term in zip(node.edges, outgoing, strict=True):
            source = read.rectified if edge.rectified else read.value
            term.add(cast("Tensor", source), edge, shared)
        if read.codes is not None:
            codes.append(read.codes)
    for edge, term in zip(node.edges, outgoing, strict=True):
        terms[edge.target].append(term)
    return codes, total.finite


def _side_by_side(incoming: list[_Term]) -> _Term:
    whole = _Term()
    for piece in range(len(incoming[0].pieces)):
        whole.pieces.append(torch.cat([term.pieces[piece] for term in incoming], 1))
        for term in incoming:
            term.pieces[piece] = _TAKEN
    return whole


#: Replaces a piece whose memory is reused.
_TAKEN = torch.empty(0)

"""Executes a network as a graph of sums, for what its rectifiers read.

A node is a sum of terms. Once they are there, edges read it and make terms of later nodes. Edges
that normalise take the statistics of the whole batch, so a node waits for all images of its terms;
in between a batch may go through in pieces, which takes less memory and changes no statistics.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import torch
from torch import Tensor

from untrained.networks.fused import Normalisation, Sum
from untrained.networks.plans import Reading


class Edge(NamedTuple):
    """Makes a term of a later node.

    Attributes:
        target: index of that node.
        apply: maps (n, C, H, W) to a term; images are treated one by one.
        rectified: whether it reads its source rectified.
        normalised: whether its term is normalised over the batch.
        scale: (C,) of that normalisation; None for ones.
        shift: likewise; None for zeros.
    """

    target: int
    apply: Callable[[Tensor], Tensor]
    rectified: bool = False
    normalised: bool = False
    scale: Tensor | None = None
    shift: Tensor | None = None


@dataclass
class Node:
    """A sum that edges read.

    Attributes:
        edges: that read it.
        rectifiers: how many rectifiers on a path from the input to the output read it.
        modules: how many modules named after ReLU do.
        concatenated: whether it is no sum: its terms, none of them normalised, stand side by side
            as channels, in the order of the nodes that they come from.
    """

    edges: list[Edge] = field(default_factory=list)
    rectifiers: int = 0
    modules: int = 0
    concatenated: bool = False


def appended(nodes: list[Node], node: Node | None = None) -> int:
    """Append a node, a new one by default; returns its index."""
    nodes.append(Node() if node is None else node)
    return len(nodes) - 1


def as_it_is(x: Tensor) -> Tensor:
    """What an edge applies that adds its source."""
    return x


class _Term:
    """What an edge made of all images, piece by piece.

    Attributes:
        pieces: (n, C, H, W) each.
        normalisation: of them; None where they are added as they are.
        own: whether no other term and no node has their memory.
    """

    def __init__(self) -> None:
        self.pieces: list[Tensor] = []
        self.normalisation: Normalisation | None = None
        self.own = False

    def add(self, source: Tensor, edge: Edge, shared: dict[object, Tensor]) -> None:
        """Make a piece; what isn't normalised is the same for all edges that apply the same."""
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
        nodes: in topological order, the images first.
        images: (N, C, H, W).
        pieces: into how many the batch is cut wherever that changes nothing.
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
    """Make the terms of a node's edges; returns its codes piece by piece, and if it is finite."""
    if node.concatenated:
        incoming = [_side_by_side(incoming)]
    first = incoming[0].pieces
    total = Sum([term.normalisation for term in incoming], first[0])
    outgoing = [_Term() for _ in node.edges]
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


#: Stands for a piece whose memory is wanted for what comes next.
_TAKEN = torch.empty(0)

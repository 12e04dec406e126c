"""Supernets: networks whose edges have several operations, which a pruning search removes.

An edge is the mean of its live operations: a softmax over equal weights, as in TE-NAS (Chen, Gong
and Wang, ICLR 2021, section 3.2). A mask says which operations are live; with one live operation
per edge a supernet computes what the single network with the same weights computes.

Operations that read the same node share its rectified or pooled tensor, which is made once.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.networks import darts, nasbench201
from untrained.networks.graph import Builder, Divided, Edge, Graph, Node
from untrained.networks.network import GraphModule
from untrained.networks.plans import PlannedNetwork, Weights
from untrained.spaces.base import Skeleton
from untrained.spaces.genotypes import NODES, SUPERNET_EDGES, SUPERNET_OPERATIONS
from untrained.spaces.nasbench201 import EDGES, OPERATIONS

Mask = NDArray[np.bool_]


class Supernet(GraphModule):
    """A network under a mask; the candidates of a search differ in their masks alone.

    Attributes:
        operations: (edges, operations), True where the graph has an operation.

    Args:
        graph: a graph, whose edges have their place in the mask as `choice`.
    """

    rectifies = False  # what edges share is rectified once

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        places = np.array([edge.choice for edge in graph.edges if edge.choice is not None])
        self.operations = np.zeros(1 + places.max(axis=0), bool)
        self.operations[tuple(places.T)] = True
        self._mask = self.operations

    @property
    def mask(self) -> Mask:
        """(edges, operations), True where an operation is live; initially wherever there is one."""
        return self._mask

    @mask.setter
    def mask(self, mask: Mask) -> None:
        """Set a copy of a mask.

        Raises:
            ParameterError: another shape or type, an operation alive that the graph does not have,
                as `none`, or a node that is read and has no input.
        """
        shape = self.operations.shape
        if mask.shape != shape or mask.dtype != np.bool_:
            raise ParameterError(
                f"a mask of {mask.dtype} {mask.shape}: the supernet takes bool {shape}"
            )
        for row, column in np.argwhere(mask & ~self.operations):
            raise ParameterError(
                f"edge {row} of a mask has operation {column} alive, which the supernet lacks"
            )
        live = [e for e in self.graph.executed if e.choice is None or mask[e.choice]]
        made = {0, *(edge.target for edge in live)}
        for node in (edge.source for edge in live if edge.source not in made):
            edges = {e.choice[0] for e in self.graph.edges if e.target == node and e.choice}
            raise ParameterError(
                f"edges {', '.join(map(str, sorted(edges)))} of a mask, all inputs of one node, "
                "have no live operation: it takes 1 or more"
            )
        self._mask = mask.copy()

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""
        mask, graph = self.mask, self.graph
        live = [
            (edge, connection)
            for edge, connection in zip(graph.executed, self.connections, strict=True)
            if edge.choice is None or mask[edge.choice]
        ]
        last_read = {edge.source: place for place, (edge, _) in enumerate(live)}
        # the terms of each node, by the row of the mask whose mean they belong to
        terms: dict[int, dict[int, list[Tensor]]] = {}
        sources = {0: _Source(x)}
        for place, (edge, connection) in enumerate(live):
            if edge.source not in sources:
                sources[edge.source] = _Source(self._value(edge.source, terms.pop(edge.source)))
            term = sources[edge.source].read(edge, connection)
            if last_read[edge.source] == place:
                del sources[edge.source]
            row = -1 - place if edge.choice is None else edge.choice[0]
            terms.setdefault(edge.target, {}).setdefault(row, []).append(term)
        logits: Tensor = self.classifier(self._value(graph.output, terms.pop(graph.output)))
        return logits

    def _value(self, node: int, rows: dict[int, list[Tensor]]) -> Tensor:
        means = [_mean(terms) for terms in rows.values()]
        return torch.cat(means, dim=1) if self.graph.nodes[node].concatenated else _sum(means)


def masked(supernet: Supernet, weights: Sequence[Weights], mask: Mask) -> PlannedNetwork:
    """Return a supernet under a mask as a network of its live operations alone.

    The mean of several operations of an edge is a node of its own.

    Args:
        supernet: the supernet.
        weights: those of each of its edges.
        mask: as `Supernet.mask`.
    """
    graph = supernet.graph
    nodes, edges, own = list(graph.nodes), list[Edge](), list[Weights]()
    live = [
        (edge, of_edge)
        for edge, of_edge in zip(graph.executed, weights, strict=False)
        if edge.choice is None or mask[edge.choice]
    ]
    # the terms that are left of each mean, by the row of the mask and the target
    left = Counter((edge.choice[0], edge.target) for edge, _ in live if edge.choice)
    means: dict[tuple[int, int], tuple[int, int]] = {}  # their nodes and numbers of terms
    for edge, of_edge in live:
        own.append(of_edge)
        mean = (edge.choice[0], edge.target) if edge.choice else (0, -1)
        if left[mean] > 1 and mean not in means:
            means[mean] = len(nodes), left[mean]
            nodes.append(Node())
        if mean not in means:
            edges.append(edge)
            continue
        node, count = means[mean]
        edges.append(replace(edge, target=node))
        left[mean] -= 1
        if not left[mean]:
            edges.append(Edge(node, edge.target, (Divided(count),)))
            own.append(Weights())
    flags = graph.initialisation, graph.momentum, graph.inputs
    return PlannedNetwork(Graph(tuple(nodes), tuple(edges), graph.output, *flags), own)


class _Source:
    """A node with what edges share: rectified once, and pooled once by equal operations."""

    def __init__(self, x: Tensor) -> None:
        self._x = x
        self._made: dict[object, Tensor] = {}

    def read(self, edge: Edge, connection: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the term of an edge, whose module does not rectify."""
        x = self._once("rectified", functional.relu) if edge.rectified else self._x
        if edge.weighted or edge.normalised or edge.rectified:
            return connection(x)
        return self._once(edge.operations, connection)

    def _once(self, key: object, make: Callable[[Tensor], Tensor]) -> Tensor:
        if key not in self._made:
            self._made[key] = make(self._x)
        return self._made[key]


def _mean(terms: Sequence[Tensor]) -> Tensor:
    return _sum(terms) / len(terms) if len(terms) > 1 else terms[0]


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return sum(terms[1:], start=terms[0])


def nasbench201_graph(num_classes: int, skeleton: Skeleton) -> Graph:
    """Return NAS-Bench-201's network with all operations on every edge of its cells."""

    def add_cell(builder: Builder, source: int, inputs: int, outputs: int) -> int:
        nodes = [source, builder.node(), builder.node(), builder.node()]
        for row, (start, end) in enumerate(EDGES):
            for column, operation in enumerate(OPERATIONS[1:], start=1):
                ends = nodes[start], nodes[end], inputs, outputs
                nasbench201.add_operation(builder, operation, *ends, choice=(row, column))
        return nodes[3]

    return nasbench201.around_cells(skeleton, num_classes, add_cell)


def darts_graph(num_classes: int, skeleton: Skeleton) -> Graph:
    """Return the graph of stem, normal cell, reduction cell and NAS-Bench-201's head.

    The four inner nodes of a cell read all nodes before them.

    Args:
        num_classes: outputs of the classifier.
        skeleton: one cell in each of two stages; its channels are those of a node of the normal
            cell, and the reduction cell has twice as many. Without a stem the normal cell reads
            images with that number of channels.

    Raises:
        ParameterError: another number of cells or stages.
    """
    if (skeleton.cells, skeleton.stages) != (1, 2):
        raise ParameterError(f"{skeleton}: a DARTS supernet has 1 cell in each of 2 stages")
    channels = skeleton.channels
    builder = Builder(3 if skeleton.stem else channels)
    stem = last = darts.Output(nasbench201.add_stem(builder, skeleton), channels)
    for cell, reduces in enumerate((False, True)):
        channels = skeleton.channels << cell
        nodes = darts.preprocessed(builder, stem, last, channels)
        for row, (start, end) in enumerate(SUPERNET_EDGES, start=cell * len(SUPERNET_EDGES)):
            if end == len(nodes):
                nodes.append(builder.node())
            stride = 2 if reduces and start < NODES[0] else 1
            for column, operation in enumerate(SUPERNET_OPERATIONS[1:], start=1):
                ends = nodes[start], nodes[end], channels, stride
                darts.add_operation(builder, operation, *ends, choice=(row, column))
        last = darts.side_by_side(builder, nodes[NODES[0] :], channels)
    return builder.graph(nasbench201.add_head(builder, last.node, last.channels, num_classes))

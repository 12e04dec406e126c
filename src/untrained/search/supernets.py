"""The supernets of spaces for the pruning search, and masks over their operations.

A mask (edges, operations) is True for a live operation. The attribute `supernet` of a space is the
address of a function that describes its supernet; the functions of this package are here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from untrained.errors import ParameterError
from untrained.images.sets import image_set
from untrained.plugins import imported
from untrained.spaces import SPACES, get_space
from untrained.spaces import nasbench201 as cells
from untrained.spaces.base import Architecture, Skeleton

if TYPE_CHECKING:
    from untrained.networks.supernets import Mask, Supernet


@dataclass(frozen=True)
class PrunedSpace:
    """The supernet of a space, and how the search prunes it.

    Attributes:
        name: name of the space.
        operations: operations of an edge, `none` first.
        cells: name of the cell of each edge of a mask.
        edges: (source, target) of each edge of a mask.
        pruned_per_round: number of operations that an edge loses in a round; it keeps one.
        skeletons: the skeletons of the networks for the kernel and for the linear regions.
        supernet: makes the supernet from a number of classes and a skeleton.
        architecture: maps a mask with one operation per edge to its architecture.
        released_batch: images per kernel in the released code.
        kept_inputs: number of edges into a node that a last round leaves; None for all.
        networks: maps an architecture to the sizes, by name, of the networks that papers train.
        training: maps an architecture and the data set of the search to the command that trains it.
    """

    name: str
    operations: tuple[str, ...]
    cells: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    pruned_per_round: int
    skeletons: tuple[Skeleton, Skeleton]
    supernet: Callable[[int, Skeleton], "Supernet"]
    architecture: Callable[["Mask"], Architecture]
    released_batch: int
    kept_inputs: int | None = None
    networks: Callable[[Architecture], dict[str, dict[str, int]]] | None = None
    training: Callable[[Architecture, str], str] | None = None

    def full_mask(self) -> "Mask":
        """Return the mask in which all operations except `none` are live."""
        mask = np.ones((len(self.edges), len(self.operations)), bool)
        mask[:, 0] = False
        return mask


@lru_cache
def pruned_space(name: str) -> PrunedSpace:
    """Return the supernet of the space of this name.

    Raises:
        UnknownNameError: there is no such space.
        ParameterError: it has no supernet.
    """
    address = get_space(name).supernet
    if address is None:
        known = ", ".join(one for one in SPACES.names() if get_space(one).supernet)
        raise ParameterError(f"{name} has no supernet to prune: known: {known}")
    made: PrunedSpace = imported("supernet", address)()
    return made


def nasbench201() -> PrunedSpace:
    """Describe the supernet of NAS-Bench-201: six edges, each losing an operation per round."""
    from untrained.proxies.linear_regions import THIN_SKELETON
    from untrained.proxies.ntk import TENAS_SKELETON
    from untrained.spaces import get_space

    space = get_space("nasbench201")

    def architecture(mask: "Mask") -> Architecture:
        operations = tuple(cells.OPERATIONS[number] for number in mask.argmax(axis=1))
        return space.parse(cells.spelling_of(operations))

    def supernet(classes: int, skeleton: Skeleton) -> "Supernet":
        # here, since who reads a trace needs no networks
        from untrained.networks.supernets import Supernet, nasbench201_graph

        return Supernet(nasbench201_graph(classes, skeleton))

    return PrunedSpace(
        name="nasbench201",
        operations=cells.OPERATIONS,
        cells=("cell",) * len(cells.EDGES),
        edges=cells.EDGES,
        pruned_per_round=1,
        skeletons=(TENAS_SKELETON, THIN_SKELETON),
        supernet=supernet,
        architecture=architecture,
        released_batch=72,
    )


def darts() -> PrunedSpace:
    """Describe the supernet of DARTS: two cells, whose nodes keep two inputs in a last round."""
    from untrained.spaces import get_space
    from untrained.spaces.genotypes import SUPERNET_EDGES, SUPERNET_OPERATIONS, Genotype

    space = get_space("darts")

    def cell(mask: "Mask") -> tuple[tuple[str, int], ...]:
        return tuple((SUPERNET_OPERATIONS[o], SUPERNET_EDGES[e][0]) for e, o in np.argwhere(mask))

    def architecture(mask: "Mask") -> Architecture:
        return space.parse(str(Genotype(*(cell(half) for half in np.split(mask, 2)))))

    def supernet(classes: int, skeleton: Skeleton) -> "Supernet":
        # here, since who reads a trace needs no networks
        from untrained.networks.supernets import Supernet, darts_graph

        return Supernet(darts_graph(classes, skeleton))

    return PrunedSpace(
        name="darts",
        operations=SUPERNET_OPERATIONS,
        cells=("normal",) * len(SUPERNET_EDGES) + ("reduce",) * len(SUPERNET_EDGES),
        edges=2 * SUPERNET_EDGES,
        pruned_per_round=3,
        skeletons=(
            Skeleton(channels=1, cells=1, stages=2),
            Skeleton(channels=1, cells=1, stages=2, stem=False),
        ),
        supernet=supernet,
        architecture=architecture,
        released_batch=14,
        kept_inputs=2,
        networks=_darts_networks,
        training=_darts_training,
    )


def _darts_networks(architecture: Architecture) -> dict[str, dict[str, int]]:
    """Return the sizes of a genotype's networks in the papers, without auxiliary head."""
    from untrained.networks.darts import CIFAR10, IMAGENET, network_graph
    from untrained.spaces.genotypes import parse_genotype

    genotype = parse_genotype(architecture.spelling)
    sizes: dict[str, dict[str, int]] = {}
    for name, skeleton, classes, side in (
        ("CIFAR-10", CIFAR10, 10, 32),
        ("ImageNet", IMAGENET, 1000, 224),
    ):
        graph = network_graph(genotype, classes, skeleton)
        sizes[name] = {
            "cells": skeleton.cells,
            "channels": skeleton.channels,
            "parameters": graph.parameters,
            "flops": graph.flops((3, side, side)),
        }
    return sizes


def _darts_training(architecture: Architecture, dataset: str) -> str:
    """Return the command that trains a genotype as in TE-NAS, on the images of its search."""
    known = image_set(dataset)
    options = f" --dataset {dataset}" if known.stored else ""
    if known.shape[1] < 32:
        options += " --auxiliary-weight 0"  # the images are too small for that head
    return f'untrained train "{architecture.spelling}"{options} --drop-path 0.3'


@dataclass(frozen=True)
class Candidate:
    """An operation that may be pruned.

    Attributes:
        edge: row of the operation in the mask.
        operation: column of the operation in the mask.
    """

    edge: int
    operation: int

    def without(self, mask: "Mask") -> "Mask":
        """Return the mask without the operation."""
        pruned = mask.copy()
        pruned[self.edge, self.operation] = False
        return pruned


def candidates_of(mask: "Mask") -> list[Candidate]:
    """Return the live operations of edges with more than one, by edge and operation."""
    crowded = mask.sum(axis=1) > 1
    return [Candidate(int(e), int(o)) for e, o in np.argwhere(mask & crowded[:, None])]


def crowded_nodes(space: PrunedSpace, mask: "Mask") -> list[list[Candidate]]:
    """Return the live operations into each node with more inputs than the space keeps."""
    if space.kept_inputs is None:
        return []
    nodes: dict[tuple[str, int], list[Candidate]] = {}
    for edge, operation in np.argwhere(mask):
        node = space.cells[edge], space.edges[edge][1]
        nodes.setdefault(node, []).append(Candidate(int(edge), int(operation)))
    return [inputs for inputs in nodes.values() if len(inputs) > space.kept_inputs]

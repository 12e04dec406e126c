"""Supernets: networks whose edges have several operations, which a pruning search removes.

An edge is the mean of its live operations: a softmax over equal weights, as in TE-NAS (Chen, Gong
and Wang, ICLR 2021, section 3.2). A mask says which operations are live; with one live operation
per edge a supernet computes what the single network with the same weights computes.

Operations that read the same node share its rectified or pooled tensor, which is made once.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.networks import darts
from untrained.networks.nasbench201 import around_cells, head_of, operation_module, stem_of
from untrained.spaces.base import Skeleton
from untrained.spaces.genotypes import NODES
from untrained.spaces.nasbench201 import EDGES, OPERATIONS

Mask = NDArray[np.bool_]

#: Operations of an edge of a DARTS supernet, in the order of the released code, which breaks ties.
DARTS_OPERATIONS = (
    "none",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "avg_pool_3x3",
    "max_pool_3x3",
)
#: (source, target) of each edge of a cell of a DARTS supernet, ordered by target.
DARTS_EDGES = tuple((source, node) for node in NODES for source in range(node))


class Supernet(nn.Module):
    """A network under a mask; the candidates of a search differ in their masks alone.

    Attributes:
        edges: number of edges in the mask; those of the second cell follow those of the first.
        operations: operations of an edge, `none` first, which is dead in every mask.

    Args:
        num_classes: outputs of the classifier.
        skeleton: what surrounds the cells.
    """

    edges: int
    operations: int

    @abstractmethod
    def __init__(self, num_classes: int, skeleton: Skeleton) -> None:
        del num_classes, skeleton  # every supernet has its own use for them
        super().__init__()
        self._mask: Mask | None = None

    @property
    def mask(self) -> Mask:
        """(edges, operations), True where an operation is live; initially all except `none`."""
        return self.full_mask() if self._mask is None else self._mask

    @mask.setter
    def mask(self, mask: Mask) -> None:
        self.check(mask)
        self._mask = mask.copy()

    def check(self, mask: Mask) -> None:
        """Refuse a mask that does not fit this supernet.

        Raises:
            ParameterError: another shape or type, `none` alive, or a node without an input.
        """
        shape = (self.edges, self.operations)
        if mask.shape != shape or mask.dtype != np.bool_:
            raise ParameterError(
                f"a mask of {mask.dtype} {mask.shape}: {type(self).__name__} takes bool {shape}"
            )
        if mask[:, 0].any():
            raise ParameterError(
                f"edge {int(mask[:, 0].argmax())} has 'none' alive: it is dead in every mask"
            )

    @classmethod
    def full_mask(cls) -> Mask:
        """Return the mask in which all operations except `none` are live."""
        mask = np.ones((cls.edges, cls.operations), bool)
        mask[:, 0] = False
        return mask

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""


def convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Return a convolution without bias and its normalisation, for input that is rectified."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class SharedSource:
    """A node with the tensors that operations on its edges share, each made on first use."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self._made: dict[object, Tensor] = {}

    def made(self, key: object, make: Callable[[Tensor], Tensor]) -> Tensor:
        """Return `make(x)`, computed once for each key."""
        if key not in self._made:
            self._made[key] = make(self.x)
        return self._made[key]

    @property
    def rectified(self) -> Tensor:
        """max(x, 0)."""
        return self.made("rectified", functional.relu)


def sum_of(terms: Sequence[Tensor]) -> Tensor:
    """Return the sum of tensors of one shape."""
    return sum(terms[1:], start=terms[0])


def mean_of(terms: Sequence[Tensor]) -> Tensor:
    """Return the mean of tensors of one shape."""
    return terms[0] if len(terms) == 1 else sum_of(terms) / len(terms)


class NasBench201SuperCell(nn.Module):
    """A cell of four nodes with all five operations on every edge; see `nasbench201.Cell`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.ModuleDict(
                {
                    "nor_conv_1x1": convolution(channels, channels, 1),
                    "nor_conv_3x3": convolution(channels, channels, 3),
                }
            )
            for _ in EDGES
        )
        self.pool = operation_module("avg_pool_3x3", channels)

    def forward(self, x: Tensor, mask: Mask) -> Tensor:
        """Map (N, channels, H, W) to the same shape; every edge must have a live operation."""
        nodes = [SharedSource(x)]
        terms: list[list[Tensor]] = [[], [], []]
        # ordered by source, so that a node is complete before edges read it
        for source in range(3):
            for edge, (start, target) in enumerate(EDGES):
                if start == source:
                    terms[target - 1].append(self._edge(edge, nodes[source], mask[edge]))
            nodes.append(SharedSource(sum_of(terms[source])))
        return nodes[3].x

    def _edge(self, edge: int, source: SharedSource, live: NDArray[np.bool_]) -> Tensor:
        outputs: list[Tensor] = []
        for name in (OPERATIONS[number] for number in np.flatnonzero(live)):
            match name:
                case "skip_connect":
                    outputs.append(source.x)
                case "avg_pool_3x3":
                    outputs.append(source.made(name, self.pool))
                case _:
                    outputs.append(self.convolutions[edge][name](source.rectified))  # type: ignore[index]
        return mean_of(outputs)


class NasBench201Supernet(Supernet):
    """NAS-Bench-201's network with all operations on every edge of its cells.

    Args:
        num_classes: outputs of the classifier.
        skeleton: what surrounds the cells; see `nasbench201.NasBench201Network`.
    """

    edges = len(EDGES)
    operations = len(OPERATIONS)

    def __init__(self, num_classes: int, skeleton: Skeleton) -> None:
        super().__init__(num_classes, skeleton)
        self.stem, blocks, self.head, self.classifier = around_cells(
            skeleton, num_classes, NasBench201SuperCell
        )
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes)."""
        mask = self.mask
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, mask) if isinstance(block, NasBench201SuperCell) else block(x)
        logits: Tensor = self.classifier(self.head(x))
        return logits


class DartsSuperCell(nn.Module):
    """A cell of two inputs and four inner nodes that read all nodes before them; see `darts.Cell`.

    An edge without a live operation is left out.

    Args:
        inputs: channels of the outputs of the last cell but one and of the last cell.
        channels: channels of each node.
        reduces: whether edges from the inputs halve the resolution.
    """

    def __init__(self, inputs: tuple[int, int], channels: int, *, reduces: bool) -> None:
        super().__init__()
        self.preprocess = nn.ModuleList(darts.ReLUConvBN(width, channels) for width in inputs)
        self.operations = nn.ModuleList(
            nn.ModuleDict(
                {
                    name: _after_rectifier(name, channels, 2 if reduces and source < 2 else 1)
                    for name in DARTS_OPERATIONS[1:]
                }
            )
            for source, _ in DARTS_EDGES
        )
        self.outputs = len(NODES) * channels

    def forward(self, earlier: Tensor, last: Tensor, mask: Mask) -> Tensor:
        """Map the outputs of the two preceding cells to (N, outputs, H, W).

        Args:
            earlier: output of the last cell but one.
            last: output of the last cell, of the same height and width.
            mask: (14, 8); every node must have a live operation.
        """
        nodes = [
            SharedSource(preprocess(x))
            for preprocess, x in zip(self.preprocess, (earlier, last), strict=True)
        ]
        for node in NODES:
            terms = [
                self._edge(edge, nodes[source], mask[edge])
                for edge, (source, target) in enumerate(DARTS_EDGES)
                if target == node and mask[edge].any()
            ]
            nodes.append(SharedSource(sum_of(terms)))
        return torch.cat([node.x for node in nodes[NODES[0] :]], dim=1)

    def _edge(self, edge: int, source: SharedSource, live: NDArray[np.bool_]) -> Tensor:
        outputs: list[Tensor] = []
        for name in (DARTS_OPERATIONS[number] for number in np.flatnonzero(live)):
            operation: nn.Module = self.operations[edge][name]  # type: ignore[index]
            if "pool" in name:  # all edges that leave a node have the same stride
                outputs.append(source.made(name, operation))
            elif isinstance(operation, nn.Identity):
                outputs.append(source.x)
            elif isinstance(operation, darts.FactorisedReduction):
                outputs.append(operation.of_rectified(source.rectified))
            else:
                outputs.append(operation(source.rectified))
        return mean_of(outputs)


def _after_rectifier(operation: str, channels: int, stride: int) -> nn.Module:
    """Build the module of an operation; convolutions lack their first rectifier."""
    module = darts.operation_module(operation, channels, stride)
    return nn.Sequential(*list(module.children())[1:]) if "conv" in operation else module


class DartsSupernet(Supernet):
    """A network of stem, normal cell, reduction cell and NAS-Bench-201's head.

    Args:
        num_classes: outputs of the classifier.
        skeleton: one cell in each of two stages; its channels are those of a node of the normal
            cell, and the reduction cell has twice as many. Without a stem the normal cell reads
            images with that number of channels.

    Raises:
        ParameterError: another number of cells or stages.
    """

    edges = 2 * len(DARTS_EDGES)
    operations = len(DARTS_OPERATIONS)

    def __init__(self, num_classes: int, skeleton: Skeleton) -> None:
        super().__init__(num_classes, skeleton)
        if (skeleton.cells, skeleton.stages) != (1, 2):
            raise ParameterError(f"{skeleton}: a DARTS supernet has 1 cell in each of 2 stages")
        channels = skeleton.channels
        self.stem = stem_of(skeleton)
        self.normal = DartsSuperCell((channels, channels), channels, reduces=False)
        inputs = (channels, self.normal.outputs)
        self.reduce = DartsSuperCell(inputs, 2 * channels, reduces=True)
        self.head = head_of(self.reduce.outputs)
        self.classifier = nn.Linear(self.reduce.outputs, num_classes)

    def check(self, mask: Mask) -> None:
        """Refuse a mask as `Supernet.check` does, or one with a node that has no live operation."""
        super().check(mask)
        live = mask.any(axis=1).reshape(2, len(DARTS_EDGES))
        for name, edges in zip(("normal", "reduction"), live, strict=True):
            reached = {
                target for (_, target), alive in zip(DARTS_EDGES, edges, strict=True) if alive
            }
            if lonely := [node for node in NODES if node not in reached]:
                raise ParameterError(
                    f"node {lonely[0]} of the {name} cell has no live operation: it takes 1 or more"
                )

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes)."""
        normal, reduce = np.split(self.mask, 2)
        stem = self.stem(x)
        last = self.normal(stem, stem, normal)
        logits: Tensor = self.classifier(self.head(self.reduce(stem, last, reduce)))
        return logits

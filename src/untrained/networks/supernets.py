"""Networks whose edges carry several operations at once: what a pruning search cuts down.

An edge is the mean of its live operations: a softmax over equal weights, as in TE-NAS (Chen, Gong
and Wang, ICLR 2021, section 3.2). Which of them live is a mask; with one live operation per edge a
supernet is the single network with the same weights.

Operations that leave the same node read the same rectified or pooled tensor, which is made once.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.networks.nasbench201 import around_cells, operation_module
from untrained.spaces.base import Skeleton
from untrained.spaces.nasbench201 import EDGES, OPERATIONS

Mask = NDArray[np.bool_]


class Supernet(nn.Module):
    """A network under a mask, which is all that tells two candidates of a search apart.

    Attributes:
        edges: how many the mask has; those of the second cell follow those of the first.
        operations: how many an edge has, `none` first, which is dead in every mask.

    Args:
        num_classes: outputs of the classifier.
        skeleton: around the cells.
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
        """(edges, operations), True where an operation lives; at first all but `none`."""
        return self.full_mask() if self._mask is None else self._mask

    @mask.setter
    def mask(self, mask: Mask) -> None:
        shape = (self.edges, self.operations)
        if mask.shape != shape or mask.dtype != np.bool_:
            raise ParameterError(
                f"a mask of {mask.dtype} {mask.shape}: {type(self).__name__} takes bool {shape}"
            )
        if mask[:, 0].any():
            raise ParameterError(
                f"edge {int(mask[:, 0].argmax())} has 'none' alive: it is dead in every mask"
            )
        self._mask = mask.copy()

    @classmethod
    def full_mask(cls) -> Mask:
        """Everything lives but `none`."""
        mask = np.ones((cls.edges, cls.operations), bool)
        mask[:, 0] = False
        return mask

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, num_classes)."""


def convolution(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Convolution without bias and batch normalisation, of something that is rectified already."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    )


class SharedSource:
    """A node, and what the operations on its edges read of it, each made when first asked for."""

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self._made: dict[object, Tensor] = {}

    def made(self, key: object, make: Callable[[Tensor], Tensor]) -> Tensor:
        """`make(x)`, once for each key."""
        if key not in self._made:
            self._made[key] = make(self.x)
        return self._made[key]

    @property
    def rectified(self) -> Tensor:
        """max(x, 0)."""
        return self.made("rectified", functional.relu)


def sum_of(terms: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape."""
    return sum(terms[1:], start=terms[0])


def mean_of(terms: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of one shape."""
    return terms[0] if len(terms) == 1 else sum_of(terms) / len(terms)


class NasBench201SuperCell(nn.Module):
    """Four nodes and all five operations on each of the six edges; see `nasbench201.Cell`."""

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
        """Map (N, channels, H, W) to the same shape; every edge has a live operation."""
        nodes = [SharedSource(x)]
        terms: list[list[Tensor]] = [[], [], []]
        # by source, so that whatever leaves a node is made when the node is complete
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
    """The skeleton of NAS-Bench-201 around cells with all operations.

    Args:
        num_classes: outputs of the classifier.
        skeleton: around the cells; see `nasbench201.NasBench201Network`.
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

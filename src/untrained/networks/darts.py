"""The networks that DARTS trains around a genotype (Liu, Simonyan and Yang, ICLR 2019, appendix A).

The first and the second third of the cells each end with a reduction cell, which doubles the
channels. Separable convolutions are applied twice (as in NASNet, Zoph et al., CVPR 2018). Skip
connections and preprocessing that halve the resolution are factorised reductions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.networks import darts_plan
from untrained.networks.plans import Reading
from untrained.networks.pointwise import StridedPointwise
from untrained.spaces.genotypes import NODES, Edges


class TwoCells(Protocol):
    """A genotype of any number of inner nodes: one of DARTS, or an entry of NDS."""

    @property
    def normal(self) -> Edges:
        """Two edges of the normal cell for each inner node."""
        ...

    @property
    def normal_concat(self) -> tuple[int, ...]:
        """The nodes of the normal cell that are concatenated to its output."""
        ...

    @property
    def reduce(self) -> Edges:
        """Two edges of the reduction cell for each inner node; those from 0 and 1 have stride 2."""
        ...

    @property
    def reduce_concat(self) -> tuple[int, ...]:
        """Likewise."""
        ...


@dataclass(frozen=True)
class Skeleton:
    """The parts of a network other than its cells.

    Attributes:
        cells: number of cells of both kinds, 3 or more.
        channels: channels of each edge of the first cell, even; in DARTS its output has four
            times as many.
        stem: `cifar` keeps the resolution, `imagenet` divides it by eight.
    """

    cells: int
    channels: int
    stem: Literal["cifar", "imagenet"] = "cifar"

    def __post_init__(self) -> None:
        if self.cells < 3:
            raise ParameterError(f"{self.cells} cells: 3 or more, two of them reduce")
        if self.channels < 2 or self.channels % 2:
            raise ParameterError(f"{self.channels} channels: an even number, 2 or more")

    @property
    def reductions(self) -> tuple[int, int]:
        """Positions of the reduction cells, counted from 0."""
        return self.cells // 3, 2 * self.cells // 3


#: The networks in which the papers evaluate their genotypes.
CIFAR10 = Skeleton(20, 36, "cifar")
IMAGENET = Skeleton(14, 48, "imagenet")


class ReLUConvBN(nn.Sequential):
    """A rectifier, a 1x1 convolution without bias and a batch normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        )


def depthwise(channels: int, kernel: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    """Return rectifier, convolution of one filter per channel, 1x1 convolution, normalisation."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(
            channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False
        ),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    ]


class FactorisedReduction(nn.Module):
    """A halving of the resolution that reads half of the pixels instead of a quarter.

    Half of the outputs read the pixels in even rows and columns, the other half those in odd ones.
    An odd height or width has one odd row or column less: zeros are read there.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even = StridedPointwise(inputs, outputs // 2, stride=2)
        self.odd = StridedPointwise(inputs, outputs // 2, stride=2)
        self.norm = nn.BatchNorm2d(outputs)
        self.rectifier = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H/2, W/2), rounded up."""
        return self.of_rectified(self.rectifier(x))

    def of_rectified(self, x: Tensor) -> Tensor:
        """Do what `forward` does with an input that is rectified already."""
        height, width = x.shape[-2:]
        filled = x
        if height % 2 or width % 2:
            filled = functional.pad(x, (0, width % 2, 0, height % 2))
        halves = self.even(x), self.odd(filled[:, :, 1:, 1:])
        normalised: Tensor = self.norm(torch.cat(halves, dim=1))
        return normalised


class Zero(nn.Module):
    """An operation that returns zeros, as if the edge were absent."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H/stride, W/stride)."""
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class EvenPool(nn.Module):
    """Pooling over 2x2 positions that keeps the resolution at stride 1.

    A window consists of a position and its neighbours below and to the right, as far as they exist.
    """

    def __init__(self, kind: str, stride: int) -> None:
        super().__init__()
        self.kind, self.stride = kind, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H/stride, W/stride), rounded up."""
        if self.kind == "max":
            lowest = functional.pad(x, (0, 1, 0, 1), value=-torch.inf)
            return functional.max_pool2d(lowest, 2, self.stride)
        total = functional.avg_pool2d(functional.pad(x, (0, 1, 0, 1)), 2, self.stride)
        there = functional.pad(torch.ones_like(x[:1, :1]), (0, 1, 0, 1))
        return total / functional.avg_pool2d(there, 2, self.stride)


def separable_pair(channels: int, size: int, stride: int) -> nn.Sequential:
    """Return rectifier, row of `size` weights, column of as many, batch normalisation."""
    reach = size // 2
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, size), (1, stride), (0, reach), bias=False),
        nn.Conv2d(channels, channels, (size, 1), (stride, 1), (reach, 0), bias=False),
        nn.BatchNorm2d(channels),
    )


def operation_module(operation: str, channels: int, stride: int) -> nn.Module:
    """Build the module of an operation of DARTS or of another space of NDS, `none` included.

    `dil_sep_conv_3x3` is a separable convolution whose two halves are dilated. A pair such as
    `conv_3x1_1x3` has no rectifier in between; this was written without access to the released
    code.

    Args:
        operation: its name in a genotype, or `none`.
        channels: input and output channels.
        stride: 2 for edges from the inputs of a reduction cell, else 1.
    """
    size = int(operation[-1]) if operation[-1].isdecimal() else 0
    match operation:
        case "none":
            return Zero(stride)
        case "max_pool_2x2" | "avg_pool_2x2":
            return EvenPool(operation[:3], stride)
        case "max_pool_3x3" | "max_pool_5x5" | "max_pool_7x7":
            return nn.MaxPool2d(size, stride, padding=size // 2)
        case "avg_pool_3x3" | "avg_pool_5x5":
            return nn.AvgPool2d(size, stride, padding=size // 2, count_include_pad=False)
        case "skip_connect":
            return nn.Identity() if stride == 1 else FactorisedReduction(channels, channels)
        case "sep_conv_3x3" | "sep_conv_5x5" | "sep_conv_7x7":
            return nn.Sequential(*depthwise(channels, size, stride), *depthwise(channels, size, 1))
        case "dil_conv_3x3" | "dil_conv_5x5":
            return nn.Sequential(*depthwise(channels, size, stride, dilation=2))
        case "dil_sep_conv_3x3":
            return nn.Sequential(
                *depthwise(channels, size, stride, dilation=2),
                *depthwise(channels, size, 1, dilation=2),
            )
        case "conv_1x1" if stride > 1:
            return nn.Sequential(
                nn.ReLU(), StridedPointwise(channels, channels, stride), nn.BatchNorm2d(channels)
            )
        case "conv_1x1" | "conv_3x3":
            return nn.Sequential(
                nn.ReLU(),
                nn.Conv2d(channels, channels, size, stride, size // 2, bias=False),
                nn.BatchNorm2d(channels),
            )
        case "conv_3x1_1x3" | "conv_7x1_1x7":
            return separable_pair(channels, size, stride)
    raise ValueError(operation)


class Cell(nn.Module):
    """A cell whose inner nodes each sum two edges; it concatenates some or all of them.

    Args:
        genotype: genotype whose normal or reduction cell is built.
        inputs: channels of the outputs of the last cell but one and of the last cell.
        channels: channels of each node.
        reduces: whether to build the reduction cell.
        after_reduction: whether the last cell was one, so that the two inputs differ in resolution.
    """

    def __init__(
        self,
        genotype: TwoCells,
        inputs: tuple[int, int],
        channels: int,
        *,
        reduces: bool,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        earlier, last = inputs
        first = FactorisedReduction if after_reduction else ReLUConvBN
        self.preprocess = nn.ModuleList([first(earlier, channels), ReLUConvBN(last, channels)])
        self.edges = genotype.reduce if reduces else genotype.normal
        self.concat = genotype.reduce_concat if reduces else genotype.normal_concat
        self.operations = nn.ModuleList(
            operation_module(operation, channels, 2 if reduces and source < NODES[0] else 1)
            for operation, source in self.edges
        )
        self.outputs = len(self.concat) * channels

    def forward(self, earlier: Tensor, last: Tensor, kept: Tensor | None = None) -> Tensor:
        """Map the outputs of the two preceding cells to (N, outputs, H, W).

        Args:
            earlier: output of the last cell but one.
            last: output of the last cell.
            kept: (edges, N, 1, 1, 1), factors for each edge and image; identities are never
                dropped. None drops nothing.
        """
        nodes = [
            preprocess(x) for preprocess, x in zip(self.preprocess, (earlier, last), strict=True)
        ]
        terms: list[Tensor] = []
        for position, ((_, source), operation) in enumerate(
            zip(self.edges, self.operations, strict=True)
        ):
            term = operation(nodes[source])
            if kept is not None and not isinstance(operation, nn.Identity):
                term = term * kept[position]
            terms.append(term)
            if position % 2:  # both edges of a node are computed
                nodes.append(terms[-2] + terms[-1])
        return torch.cat([nodes[node] for node in self.concat], dim=1)


def auxiliary_head(channels: int, num_classes: int, skeleton: Skeleton) -> nn.Sequential:
    """Build a classifier for the output of the second reduction cell, (N, channels, H, W).

    It reads 8x8 positions on CIFAR-10 and 7x7 on ImageNet, which are pooled to 2x2. The papers'
    head for ImageNet has no normalisation after its last convolution.
    """
    stride = 3 if skeleton.stem == "cifar" else 2
    last = [nn.BatchNorm2d(768)] if skeleton.stem == "cifar" else []
    return nn.Sequential(
        nn.ReLU(),
        nn.AvgPool2d(5, stride, count_include_pad=False),
        nn.Conv2d(channels, 128, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.Conv2d(128, 768, 2, bias=False),
        *last,
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(768, num_classes),
    )


class DartsNetwork(nn.Module):
    """A network of stem, cells, global average and classifier.

    Attributes:
        drop_path: probability of dropping an edge for an image during training (Larsson et al.,
            ICLR 2017); edges that are kept are divided by the probability of keeping them.

    Args:
        genotype: genotype of the cells.
        num_classes: outputs of the classifier.
        skeleton: the other parts of the network.
        auxiliary: whether there is an auxiliary head. Only `logits_of_both` runs it.
    """

    def __init__(
        self,
        genotype: TwoCells,
        num_classes: int,
        skeleton: Skeleton = CIFAR10,
        *,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        self.drop_path = 0.0
        channels = skeleton.channels
        self.stem = nn.ModuleList(_stem(skeleton))
        small = skeleton.stem == "cifar"
        inputs = (3 * channels, 3 * channels) if small else (channels, channels)
        after_reduction = not small  # the second half of that stem halves the resolution
        cells: list[Cell] = []
        for position in range(skeleton.cells):
            reduces = position in skeleton.reductions
            channels *= 2 if reduces else 1
            cell = Cell(
                genotype, inputs, channels, reduces=reduces, after_reduction=after_reduction
            )
            cells.append(cell)
            inputs, after_reduction = (inputs[1], cell.outputs), reduces
        self.cells = nn.ModuleList(cells)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(inputs[1], num_classes)
        self.auxiliary_after = skeleton.reductions[1]
        self.auxiliary_sides = range(8, 11) if small else range(7, 9)  # pooled to 2x2
        self.auxiliary = (
            auxiliary_head(cells[self.auxiliary_after].outputs, num_classes, skeleton)
            if auxiliary
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes)."""
        last, _ = self._run(x)
        logits: Tensor = self.classifier(self.pool(last))
        return logits

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass read; see `darts_plan`."""
        return darts_plan.rectifier_inputs(self, images, dead_branches=dead_branches, pieces=pieces)

    def logits_of_both(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits (N, num_classes) of the classifier and of the auxiliary head, if any.

        Raises:
            ParameterError: the auxiliary head does not take images of this size.
        """
        last, middle = self._run(x)
        logits: Tensor = self.classifier(self.pool(last))
        if self.auxiliary is None:
            return logits, None
        height, width = middle.shape[-2:]
        sides = self.auxiliary_sides
        if height not in sides or width not in sides:
            raise ParameterError(
                f"the auxiliary head reads {sides.start} to {sides.stop - 1} positions a side, and "
                f"images of {x.shape[-2]}x{x.shape[-1]} leave {height}x{width}: train without it"
            )
        return logits, self.auxiliary(middle)

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the last cell and of the cell that the auxiliary head reads."""
        earlier = self.stem[0](x)
        last = earlier if len(self.stem) == 1 else self.stem[1](earlier)
        middle = last
        kept = self._kept(x)
        for position, cell in enumerate(self.cells):
            masks = None if kept is None else kept[position]
            earlier, last = last, cell(earlier, last, masks)
            if position == self.auxiliary_after:
                middle = last
        return last, middle

    def _kept(self, x: Tensor) -> Tensor | None:
        """Draw (cells, edges, N, 1, 1, 1): 0 for a dropped edge, else 1 / probability of keeping.

        The numbers are drawn on the CPU, so that every device drops the same edges.
        """
        if not self.training or self.drop_path == 0:
            return None
        keeping = 1 - self.drop_path
        edges = max(len(cell.edges) for cell in self.cells)  # type: ignore[arg-type]
        drawn = torch.rand(len(self.cells), edges, len(x), 1, 1, 1) < keeping
        return drawn.to(x.device, x.dtype) / keeping


def _stem(skeleton: Skeleton) -> list[nn.Module]:
    """Build what the first two cells read: one module for both, or a chain of two."""
    channels = skeleton.channels
    if skeleton.stem == "cifar":
        wide = 3 * channels
        return [nn.Sequential(nn.Conv2d(3, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide))]
    return [
        nn.Sequential(
            nn.Conv2d(3, channels // 2, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels // 2),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        ),
        nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        ),
    ]

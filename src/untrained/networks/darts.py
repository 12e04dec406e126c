"""The graphs of DARTS and of the cell spaces of NDS (Liu, Simonyan and Yang, ICLR 2019, A).

The first and the second third of the cells each end with a reduction cell, which doubles the
channels. Separable convolutions are applied twice (as in NASNet, Zoph et al., CVPR 2018). Skip
connections and preprocessing that halve the resolution are factorised reductions.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from untrained.errors import ParameterError
from untrained.limits import COUNT, at_most
from untrained.networks.graph import (
    Builder,
    Convolution,
    EvenPooling,
    FactorisedReduction,
    Flatten,
    Graph,
    Linear,
    Operation,
    Pair,
    Pooling,
    Zero,
)
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
        at_most(COUNT, cells=self.cells, channels=self.channels)

    @property
    def reductions(self) -> tuple[int, int]:
        """Positions of the reduction cells, counted from 0."""
        return self.cells // 3, 2 * self.cells // 3


#: The networks in which the papers evaluate their genotypes.
CIFAR10 = Skeleton(20, 36, "cifar")
IMAGENET = Skeleton(14, 48, "imagenet")


class Output(NamedTuple):
    """The output of a stem or of a cell."""

    node: int
    channels: int


def network_graph(
    genotype: TwoCells, num_classes: int, skeleton: Skeleton = CIFAR10, *, auxiliary: bool = False
) -> Graph:
    """Return the graph of stem, cells, global mean and classifier.

    Args:
        genotype: genotype of the cells.
        num_classes: outputs of the classifier.
        skeleton: the other parts of the network.
        auxiliary: whether an auxiliary head reads the second reduction cell.
    """
    builder, channels = Builder(), skeleton.channels
    earlier, last = _stem(builder, skeleton)
    halved = skeleton.stem == "imagenet"  # the second half of that stem halves the resolution
    middle = last
    builder.cells.append(last.node)
    for position in range(skeleton.cells):
        reduces = position in skeleton.reductions
        channels *= 2 if reduces else 1
        inputs = preprocessed(builder, earlier, last, channels, halved=halved)
        cell = _cell(builder, genotype, inputs, channels, position, reduces=reduces)
        earlier, last, halved = last, cell, reduces
        builder.cells.append(last.node)
        if position == skeleton.reductions[1]:
            middle = last
    logits = builder.classified(last.node, last.channels, num_classes, rectified=False)
    if auxiliary:
        _auxiliary_head(builder, middle, num_classes, skeleton)
    longest = max(len(genotype.normal), len(genotype.reduce))
    return builder.graph(logits, paths=(skeleton.cells, longest))


def _stem(builder: Builder, skeleton: Skeleton) -> tuple[Output, Output]:
    """Add the stem; return what the first cell reads."""

    def added(source: int, inputs: int, outputs: int, stride: int, *, rectified: bool) -> Output:
        convolution = Convolution(inputs, outputs, (3, 3), (stride, stride))
        node = builder.edge(source, None, convolution, rectified=rectified, normalised=True)
        return Output(node, outputs)

    channels = skeleton.channels
    if skeleton.stem == "cifar":
        both = added(0, 3, 3 * channels, 1, rectified=False)
        return both, both
    half = added(0, 3, channels // 2, 2, rectified=False)
    earlier = added(half.node, channels // 2, channels, 2, rectified=True)
    return earlier, added(earlier.node, channels, channels, 2, rectified=True)


def preprocessed(
    builder: Builder, earlier: Output, last: Output, channels: int, *, halved: bool = False
) -> list[int]:
    """Add what brings the two inputs of a cell to its channels and to one resolution.

    Args:
        builder: graph to extend.
        earlier: output of the last cell but one.
        last: output of the last cell.
        channels: channels of the cell.
        halved: whether the last cell halved the resolution.
    """
    first: FactorisedReduction | Convolution
    first = FactorisedReduction(earlier.channels, channels)
    if not halved:
        first = Convolution(earlier.channels, channels, (1, 1))
    second = Convolution(last.channels, channels, (1, 1))
    # the authors' module around a 1x1 convolution is named after ReLU
    return [
        builder.unit(earlier.node, None, first, wrapped=not halved),
        builder.unit(last.node, None, second, wrapped=True),
    ]


def _cell(
    builder: Builder, genotype: TwoCells, nodes: list[int], channels: int, position: int, *,
    reduces: bool,
) -> Output:  # fmt: skip
    """Add a cell, whose inner nodes each sum two edges."""
    edges = genotype.reduce if reduces else genotype.normal
    concatenated = genotype.reduce_concat if reduces else genotype.normal_concat
    for number, (operation, source) in enumerate(edges):
        if number % 2 == 0:
            nodes.append(builder.node())
        stride = 2 if reduces and source < NODES[0] else 1
        add_operation(
            builder, operation, nodes[source], nodes[-1], channels, stride, path=(position, number)
        )
    return side_by_side(builder, [nodes[node] for node in concatenated], channels)


def side_by_side(builder: Builder, nodes: list[int], channels: int) -> Output:
    """Concatenate nodes of some channels each."""
    if len(nodes) == 1:
        return Output(nodes[0], channels)
    whole = builder.node(concatenated=True)
    for node in nodes:
        builder.edge(node, whole)
    return Output(whole, len(nodes) * channels)


def add_operation(
    builder: Builder, operation: str, source: int, target: int, channels: int, stride: int,
    path: Pair | None = None, choice: Pair | None = None,
) -> None:  # fmt: skip
    """Add an operation of DARTS or of another space of NDS, `none` included.

    `dil_sep_conv_3x3` is a separable convolution whose two halves are dilated. A pair such as
    `conv_3x1_1x3` has no rectifier in between.

    Args:
        builder: graph to extend.
        operation: name of the operation in a genotype, or `none`.
        source: node that the operation reads.
        target: node that it adds a term to.
        channels: input and output channels.
        stride: 2 for edges from the inputs of a reduction cell, else 1.
        path: see `graph.Edge`; identities are never dropped.
        choice: see `graph.Edge`.
    """
    if operation == "skip_connect" and stride == 1:
        builder.edge(source, target, choice=choice)
    elif operation == "none" or "pool" in operation:
        builder.edge(source, target, _unweighted(operation, stride), path=path, choice=choice)
    else:
        *before, last = _units(operation, channels, stride)
        for unit in before:
            source = builder.unit(source, None, *unit, choice=choice)
        builder.unit(source, target, *last, path=path, choice=choice)


def _unweighted(operation: str, stride: int) -> Operation:
    if operation == "none":
        return Zero(stride)
    kind: Literal["max", "avg"] = "max" if operation.startswith("max") else "avg"
    size = int(operation[-1])
    return EvenPooling(kind, stride) if size % 2 == 0 else Pooling(kind, size, stride)


def _units(operation: str, channels: int, stride: int) -> list[list[Operation]]:
    """Return what stands between the rectifiers and the normalisations of an operation."""
    size = int(operation[-1]) if operation[-1].isdecimal() else 0
    match operation:
        case "skip_connect":
            return [[FactorisedReduction(channels, channels)]]
        case "sep_conv_3x3" | "sep_conv_5x5" | "sep_conv_7x7":
            return [_depthwise(channels, size, stride), _depthwise(channels, size, 1)]
        case "dil_conv_3x3" | "dil_conv_5x5":
            return [_depthwise(channels, size, stride, 2)]
        case "dil_sep_conv_3x3":
            return [_depthwise(channels, size, stride, 2), _depthwise(channels, size, 1, 2)]
        case "conv_1x1" | "conv_3x3":
            return [[Convolution(channels, channels, (size, size), (stride, stride))]]
        case "conv_3x1_1x3" | "conv_7x1_1x7":
            row = Convolution(channels, channels, (1, size), (1, stride))
            return [[row, Convolution(channels, channels, (size, 1), (stride, 1))]]
    raise ValueError(operation)


def _depthwise(channels: int, size: int, stride: int, dilation: int = 1) -> list[Operation]:
    """Return a convolution of one filter per channel, and a 1x1 convolution."""
    kernel, strides = (size, size), (stride, stride)
    return [
        Convolution(channels, channels, kernel, strides, channels, dilation),
        Convolution(channels, channels, (1, 1)),
    ]


def _auxiliary_head(builder: Builder, source: Output, num_classes: int, skeleton: Skeleton) -> None:
    """Add a classifier for the output of the second reduction cell.

    It reads 8x8 positions on CIFAR-10 and 7x7 on ImageNet, which are pooled to 2x2. The papers'
    head for ImageNet has no normalisation after its last convolution.
    """
    small = skeleton.stem == "cifar"
    pool = Pooling("avg", 5, 3 if small else 2, padded=False)
    narrow = Convolution(source.channels, 128, (1, 1))
    wide = Convolution(128, 768, (2, 2), padded=False)
    made = builder.edge(source.node, None, pool, narrow, rectified=True, normalised=True)
    made = builder.edge(made, None, wide, rectified=True, normalised=small)
    builder.edge(made, None, Flatten(), Linear(768, num_classes), rectified=True)

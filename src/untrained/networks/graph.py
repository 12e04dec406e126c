"""A network as a frozen value, from which modules, plans, costs and weights follow.

Nodes are tensors, and edges turn one node into a term of another. A node is the sum of its terms or
concatenates them as channels. The value needs no PyTorch, can be hashed, and says nothing about how
a network is executed.

Edges are listed in the order in which weights are drawn. Each stands after all edges into its
source, so the list can also be executed from the first edge to the last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Literal

from untrained.errors import ParameterError

#: Channels, height and width; height and width are missing after a global mean.
Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Convolution:
    """A convolution without bias.

    Attributes:
        inputs: input channels.
        outputs: output channels.
        kernel: height and width of the kernel.
        stride: vertical and horizontal stride.
        groups: number of groups of channels.
        dilation: distance between the pixels that a kernel reads.
        padded: whether half a kernel of zeros surrounds the image, so that stride 1 keeps its size.
    """

    inputs: int
    outputs: int
    kernel: Pair
    stride: Pair = (1, 1)
    groups: int = 1
    dilation: int = 1
    padded: bool = True

    @property
    def padding(self) -> Pair:
        """Zeros above and below, and left and right of the image."""
        down, across = (self.dilation * (size // 2) if self.padded else 0 for size in self.kernel)
        return down, across

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return self.outputs * (self.inputs // self.groups) * prod(self.kernel)

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input (inputs, H, W)."""
        _, *sides = shape
        return self.outputs, *_reached(sides, self.kernel, self.stride, self.padding, self.dilation)

    def multiplications(self, shape: Shape) -> int:
        """Return the multiply-accumulate operations for one image (inputs, H, W)."""
        return self.parameters * prod(self.shape(shape)[1:])


@dataclass(frozen=True)
class Pooling:
    """The largest or the average pixel of a window; padding counts in neither.

    Attributes:
        kind: which of the two.
        size: height and width of the window.
        stride: stride in both directions.
        padded: whether half a window surrounds the image.
    """

    kind: Literal["max", "avg"]
    size: int
    stride: int = 1
    padded: bool = True

    @property
    def padding(self) -> int:
        """Pixels around the image."""
        return self.size // 2 if self.padded else 0

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input (C, H, W)."""
        channels, *sides = shape
        size, stride, padding = ((one, one) for one in (self.size, self.stride, self.padding))
        return channels, *_reached(sides, size, stride, padding)


@dataclass(frozen=True)
class EvenPooling:
    """Pooling over 2x2 pixels that keeps the size at stride 1.

    A window consists of a pixel and its neighbours below and to the right, as far as they exist.

    Attributes:
        kind: the largest or the average.
        stride: stride in both directions.
    """

    kind: Literal["max", "avg"]
    stride: int = 1

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input (C, H, W)."""
        return _strided(shape, self.stride)


@dataclass(frozen=True)
class Zero:
    """Zeros of the shape of every `stride`-th pixel, with another number of channels if given."""

    stride: int = 1
    channels: int | None = None

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input (C, H, W)."""
        channels, *sides = _strided(shape, self.stride)
        return self.channels or channels, *sides


@dataclass(frozen=True)
class FactorisedReduction:
    """A halving of the size that reads half of the pixels instead of a quarter, without bias.

    Half of the outputs read the pixels in even rows and columns, the other half those in odd ones.
    An odd height or width has one odd row or column less: zeros are read there.
    """

    inputs: int
    outputs: int

    @property
    def half(self) -> Convolution:
        """The convolution of the even pixels; that of the odd ones has the same form."""
        return Convolution(self.inputs, self.outputs // 2, (1, 1), (2, 2))

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return 2 * self.half.parameters

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input (inputs, H, W)."""
        return self.outputs, *_strided(shape, 2)[1:]

    def multiplications(self, shape: Shape) -> int:
        """Return the multiply-accumulate operations for one image (inputs, H, W)."""
        return 2 * self.half.multiplications(shape)


@dataclass(frozen=True)
class Slice:
    """The first channels."""

    channels: int

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input (C, H, W)."""
        return self.channels, *shape[1:]


@dataclass(frozen=True)
class Divided:
    """The numbers divided by another one."""

    by: int

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of the output."""
        return shape


@dataclass(frozen=True)
class GlobalMean:
    """The mean over all pixels of each channel."""

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input (C, H, W)."""
        return shape[:1]


@dataclass(frozen=True)
class Flatten:
    """All numbers of an image in a row."""

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of the output."""
        return (prod(shape),)


@dataclass(frozen=True)
class Linear:
    """A linear layer with bias."""

    inputs: int
    outputs: int

    @property
    def parameters(self) -> int:
        """The number of weights and biases."""
        return self.inputs * self.outputs + self.outputs

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input (inputs,)."""
        del shape
        return (self.outputs,)

    def multiplications(self, shape: Shape) -> int:
        """Return the multiply-accumulate operations for one image, the bias included."""
        del shape
        return self.parameters


Operation = (
    Convolution
    | Pooling
    | EvenPooling
    | Zero
    | FactorisedReduction
    | Slice
    | Divided
    | GlobalMean
    | Flatten
    | Linear
)
#: Operations with weights.
Weighted = Convolution | FactorisedReduction | Linear


@dataclass(frozen=True)
class Edge:
    """An edge, which makes a term of one node from another node.

    Attributes:
        source: the node that is read.
        target: the node that the term belongs to.
        operations: operations on the source in order; none for its value itself.
        rectified: whether the edge rectifies the source first.
        normalised: whether the result is normalised over the batch.
        wrapped: whether the authors' code has a module named after ReLU around the whole edge,
            which the released score of NASWOT counts too.
        path: position (cell, edge) among the edges that drop-path may drop; None for the others.
        choice: row and column in the mask of a supernet; None for edges that are always live.
    """

    source: int
    target: int
    operations: tuple[Operation, ...] = ()
    rectified: bool = False
    normalised: bool = False
    wrapped: bool = False
    path: Pair | None = None
    choice: Pair | None = None

    @property
    def constant(self) -> bool:
        """Whether the result depends only on the shape of the source."""
        return Zero in map(type, self.operations)

    @property
    def identity(self) -> bool:
        """Whether the term is the source itself."""
        return not (self.operations or self.rectified or self.normalised)

    @property
    def weighted(self) -> list[Weighted]:
        """The operations with weights, in order."""
        return [one for one in self.operations if isinstance(one, Weighted)]


@dataclass(frozen=True)
class Node:
    """A node.

    Attributes:
        concatenated: whether its terms, nodes as they are, are concatenated as channels instead of
            added.
        rectified: whether its value is rectified, once for all edges that read it.
    """

    concatenated: bool = False
    rectified: bool = False


@dataclass(frozen=True)
class Graph:
    """A network that maps images to logits; node 0 is the images.

    Attributes:
        nodes: the nodes.
        edges: the edges in the order in which their weights are drawn.
        output: node of the logits. Edges after the last one into it belong to a second output,
            which an ordinary forward pass leaves out.
        initialisation: `uniform` as PyTorch draws by default, or `normal`: convolutions from
            N(0, 2 / (kernel area * outputs)), linear layers from N(0, 0.01^2) without bias.
        momentum: weight of a batch in the running statistics of normalisations.
        inputs: channels of the images.
        paths: number of cells, and of edges of a cell, that drop-path draws numbers for.
        cells: the nodes between the cells, in order: the output of the stem and of each cell.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    output: int
    initialisation: Literal["uniform", "normal"] = "uniform"
    momentum: float = 0.1
    inputs: int = 3
    paths: Pair = (0, 0)
    cells: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        read, made = set(), {0}
        for edge in self.edges:
            read.add(edge.source)
            if edge.target in read:
                raise ParameterError(f"node {edge.target} is read before its edges: reorder them")
            if edge.source not in made:
                raise ParameterError(f"node {edge.source} is read without edges: add `Zero`")
            if self.nodes[edge.target].concatenated and not edge.identity:
                raise ParameterError(
                    f"node {edge.target} concatenates changed nodes: change them in nodes between"
                )
            made.add(edge.target)

    @cached_property
    def executed(self) -> tuple[Edge, ...]:
        """The edges of a forward pass to the logits."""
        last = max(place for place, edge in enumerate(self.edges) if edge.target == self.output)
        return self.edges[: last + 1]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The nodes in the order in which a forward pass completes them, the images first."""
        completed = {edge.target: place for place, edge in enumerate(self.executed)}
        return 0, *sorted(completed, key=completed.__getitem__)

    @cached_property
    def fed(self) -> frozenset[int]:
        """The nodes that depend on the images, as far as the edges show."""
        found = {0}
        for edge in self.executed:
            if edge.source in found and not edge.constant:
                found.add(edge.target)
        return frozenset(found)

    @cached_property
    def leading(self) -> frozenset[int]:
        """The nodes that the logits depend on."""
        found = {self.output}
        for edge in reversed(self.executed):
            if edge.target in found and not edge.constant:
                found.add(edge.source)
        return frozenset(found)

    def live(self, edge: Edge) -> bool:
        """Return whether an edge is on a path from the images to the logits."""
        return edge.source in self.fed and edge.target in self.leading and not edge.constant

    def shapes(self, images: Shape) -> dict[int, Shape]:
        """Return the shape of each node that is executed for images (C, H, W)."""
        return shapes_of(self.nodes, self.executed, images)

    def takes(self, images: Shape) -> bool:
        """Return whether all linear layers, also those of a second output, fit images (C, H, W)."""
        shapes = shapes_of(self.nodes, self.edges, images)
        for edge in self.edges:
            shape = shapes[edge.source]
            for operation in edge.operations:
                if min(shape) < 1 or (
                    isinstance(operation, Linear) and shape != (operation.inputs,)
                ):
                    return False
                shape = operation.shape(shape)
        return True

    @cached_property
    def bottlenecks(self) -> tuple[int, ...]:
        """The nodes that every path from the images to the logits passes, without both ends."""
        places = {node: place for place, node in enumerate(self.order)}
        spans = [(places[e.source], places[e.target]) for e in self.executed if self.live(e)]
        reached = 0
        found = []
        for place, node in enumerate(self.order):
            if place == reached and node in self.leading:
                found.append(node)
            reached = max([reached, *(end for start, end in spans if start == place)])
        return tuple(one for one in found if one not in (0, self.output))

    def flops(self, images: Shape, *, dead_branches: bool = True) -> int:
        """Return the multiply-accumulate operations of a forward pass for one image (C, H, W).

        They are counted as in the NAS-Bench-201 tables: convolutions, and linear layers with their
        bias.

        Args:
            images: shape of an image.
            dead_branches: whether edges count that are on no path from the images to the logits.
        """
        shapes, total = self.shapes(images), 0
        for edge in self.executed:
            if not (dead_branches or self.live(edge)):
                continue
            shape = shapes[edge.source]
            for operation in edge.operations:
                if isinstance(operation, Weighted):
                    total += operation.multiplications(shape)
                shape = operation.shape(shape)
        return total

    def memory(self, images: Shape) -> int:
        """Return how many numbers tensors hold at most at once in a forward pass of one image.

        The edges run in their order. A node has a tensor of its own, which is there from the first
        edge into the node until the last edge from or to it is done, and the images are there all
        the time. The operations of an edge each read a tensor and make another, and what they read
        is freed then; what the last one makes is the tensor of the node, if it is the first of its
        terms, or else is added to it and freed. Rectifiers, normalisations, sums and terms of zeros
        take no tensor, nor do weights count.

        Args:
            images: shape (C, H, W) of an image.
        """
        shapes, last = self.shapes(images), dict[int, int]()
        for place, edge in enumerate(self.executed):
            last |= {edge.source: place, edge.target: place}
        sizes = {node: prod(shape) for node, shape in shapes.items()}
        held, peak = {0}, 0
        for place, edge in enumerate(self.executed):
            before = sum(sizes[node] for node in held)
            shape, made = shapes[edge.source], [0]
            for operation in () if edge.constant else edge.operations:
                shape = operation.shape(shape)
                made.append(prod(shape))
            if edge.target not in held and len(made) == 1:
                made.append(sizes[edge.target])
            peak = max(peak, before + max(map(sum, pairwise([*made, 0]))))
            held = {node for node in held | {edge.target} if node == 0 or last[node] > place}
        return peak

    @cached_property
    def normalised_channels(self) -> tuple[int, ...]:
        """The channels of each edge's normalisation, 0 for an edge without one."""
        shapes = shapes_of(self.nodes, self.edges, (self.inputs, 0, 0))
        return tuple(_made(edge, shapes)[0] if edge.normalised else 0 for edge in self.edges)

    @cached_property
    def parameters(self) -> int:
        """The number of parameters, with those of a second output."""
        weights = sum(one.parameters for edge in self.edges for one in edge.weighted)
        return weights + 2 * sum(self.normalised_channels)

    @cached_property
    def live_parameters(self) -> int:
        """The number of parameters on paths from the images to the logits."""
        return sum(
            sum(one.parameters for one in edge.weighted) + 2 * channels
            for edge, channels in zip(self.executed, self.normalised_channels, strict=False)
            if self.live(edge)
        )


class Builder:
    """Collects the nodes and edges of a graph.

    Attributes:
        nodes: the nodes so far.
        edges: the edges so far.
        cells: see `Graph`; whoever adds a stem or a cell appends the node of its output.

    Args:
        inputs: channels of the images.
    """

    def __init__(self, inputs: int = 3) -> None:
        self.inputs = inputs
        self.nodes = [Node()]
        self.edges: list[Edge] = []
        self.cells: list[int] = []

    def node(self, *, concatenated: bool = False, rectified: bool = False) -> int:
        """Add a node and return its number."""
        self.nodes.append(Node(concatenated, rectified))
        return len(self.nodes) - 1

    def edge(
        self,
        source: int,
        target: int | None,
        *operations: Operation,
        rectified: bool = False,
        normalised: bool = False,
        wrapped: bool = False,
        path: Pair | None = None,
        choice: Pair | None = None,
    ) -> int:
        """Add an edge to a node, by default to a new one, and return the node; see `Edge`."""
        target = self.node() if target is None else target
        flags = rectified, normalised, wrapped, path, choice
        self.edges.append(Edge(source, target, operations, *flags))
        return target

    def unit(
        self,
        source: int,
        target: int | None,
        *operations: Operation,
        wrapped: bool = False,
        path: Pair | None = None,
        choice: Pair | None = None,
    ) -> int:
        """Add rectifier, operations and normalisation; return the node as `edge` does."""
        target = self.node() if target is None else target
        self.edges.append(Edge(source, target, operations, True, True, wrapped, path, choice))
        return target

    def classified(self, source: int, channels: int, classes: int, *, rectified: bool) -> int:
        """Add global mean and classifier, and return the node of the logits."""
        return self.edge(source, None, GlobalMean(), Linear(channels, classes), rectified=rectified)

    def graph(
        self,
        output: int,
        initialisation: Literal["uniform", "normal"] = "uniform",
        momentum: float = 0.1,
        paths: Pair = (0, 0),
    ) -> Graph:
        """Return the graph; see `Graph`."""
        nodes, edges = tuple(self.nodes), tuple(self.edges)
        flags = initialisation, momentum, self.inputs, paths, tuple(self.cells)
        return Graph(nodes, edges, output, *flags)


def shapes_of(nodes: Sequence[Node], edges: Sequence[Edge], images: Shape) -> dict[int, Shape]:
    """Return the shape of each node that some edges reach, for images (C, H, W)."""
    shapes = {0: images}
    for edge in edges:
        made = _made(edge, shapes)
        if nodes[edge.target].concatenated and edge.target in shapes:
            channels, *sides = shapes[edge.target]
            made = (channels + made[0], *sides)
        shapes[edge.target] = made
    return shapes


def _made(edge: Edge, shapes: dict[int, Shape]) -> Shape:
    shape = shapes[edge.source]
    for operation in edge.operations:
        shape = operation.shape(shape)
    return shape


def _reached(
    sides: Sequence[int], kernel: Pair, stride: Pair, padding: Pair, dilation: int = 1
) -> list[int]:
    return [
        (side + 2 * around - dilation * (size - 1) - 1) // step + 1
        for side, size, step, around in zip(sides, kernel, stride, padding, strict=True)
    ]


def _strided(shape: Shape, stride: int) -> Shape:
    channels, *sides = shape
    return channels, *(-(-side // stride) for side in sides)

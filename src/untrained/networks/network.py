"""The PyTorch module of a graph, for gradients and for training."""

from collections.abc import Callable, Iterator
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from untrained.errors import ParameterError
from untrained.networks import fused_training, plans
from untrained.networks.graph import (
    Convolution,
    Divided,
    Edge,
    EvenPooling,
    FactorisedReduction,
    Flatten,
    GlobalMean,
    Graph,
    Linear,
    Operation,
    Pooling,
    Slice,
    Zero,
)
from untrained.networks.plans import Reading, deviation
from untrained.networks.pointwise import StridedPointwise


class NormalConvolution(nn.Conv2d):
    """A convolution that draws its weights from N(0, 2 / (kernel area * outputs))."""

    def reset_parameters(self) -> None:
        """Draw the weights; PyTorch's constructor calls it."""
        nn.init.normal_(self.weight, 0, deviation(self.out_channels, self.kernel_size))


class NormalPointwise(NormalConvolution, StridedPointwise):
    """A strided 1x1 convolution that draws its weights likewise."""


class Halving(nn.Module):
    """The module of `graph.FactorisedReduction`."""

    def __init__(self, operation: FactorisedReduction, kind: type[StridedPointwise]) -> None:
        super().__init__()
        inputs, outputs = operation.inputs, operation.outputs // 2
        self.even = kind(inputs, outputs, stride=2)
        self.odd = kind(inputs, outputs, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H/2, W/2), rounded up."""
        return torch.cat((self.even(x), self.odd(plans.without_first_pixels(x))), dim=1)


class Function(nn.Module):
    """An operation without weights."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Apply the operation."""
        return self.function(x)


def module_of(operation: Operation, initialisation: str = "uniform") -> nn.Module:
    """Build the module of an operation, which draws its weights from PyTorch's generator."""
    normal = initialisation == "normal"
    pointwise = NormalPointwise if normal else StridedPointwise
    match operation:
        case Convolution(inputs, outputs, (1, 1), (stride, across), 1) if stride == across > 1:
            return pointwise(inputs, outputs, stride)
        case Convolution():
            kind = NormalConvolution if normal else nn.Conv2d
            return kind(
                *(operation.inputs, operation.outputs, operation.kernel, operation.stride),
                *(operation.padding, operation.dilation, operation.groups),
                bias=False,
            )
        case Linear():
            return plans.new_linear(operation, initialisation)
        case FactorisedReduction():
            return Halving(operation, pointwise)
        case Pooling("max", size, stride):
            return nn.MaxPool2d(size, stride, operation.padding)
        case Pooling("avg", size, stride):
            return nn.AvgPool2d(size, stride, operation.padding, count_include_pad=False)
        case GlobalMean():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case Flatten():
            return nn.Flatten()
        case EvenPooling() | Zero() | Slice() | Divided():
            return Function(plans.function_of(operation))
    raise ValueError(operation)


class Connection(nn.Sequential):
    """The module of an edge: a rectifier, operations and a normalisation, as far as it has them."""


class ConnectionReLU(Connection):
    """The module of an edge that the authors' code puts into a module named after ReLU."""


class GraphModule(nn.Module):
    """The modules of a graph's edges, without an order of execution.

    Attributes:
        graph: the graph.
        connections: the module of each edge.
        classifier: the last operation before the logits, a linear layer.

    Args:
        graph: the graph.
    """

    #: Whether the modules of edges rectify, rather than whatever calls them.
    rectifies: ClassVar[bool] = True

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.connections = nn.ModuleList(
            self._connection(edge, channels)
            for edge, channels in zip(graph.edges, graph.normalised_channels, strict=True)
        )
        # registered last, under the name by which selections of parameters leave it out
        last = cast("nn.Sequential", self.connections[len(graph.executed) - 1])
        self.classifier = last.pop(len(last) - 1)

    def _connection(self, edge: Edge, channels: int) -> nn.Module:
        layers: list[nn.Module] = [nn.ReLU()] if edge.rectified and self.rectifies else []
        layers += [module_of(one, self.graph.initialisation) for one in edge.operations]
        if edge.normalised:
            layers.append(nn.BatchNorm2d(channels, momentum=self.graph.momentum))
        return (ConnectionReLU if edge.wrapped else Connection)(*layers)


class GraphNetwork(GraphModule):
    """A network as its graph says.

    All edges up to the logits are executed, also those that lead nowhere.

    Attributes:
        drop_path: probability of dropping an edge for an image during training (Larsson et al.,
            ICLR 2017); edges that are kept are divided by the probability of keeping them.

    Args:
        graph: the graph.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__(graph)
        self.drop_path = 0.0
        self.rectifiers = nn.ModuleDict(
            {str(number): nn.ReLU() for number, node in enumerate(graph.nodes) if node.rectified}
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, classes)."""
        return self._run(x, len(self.graph.executed))[0]

    def logits_of_both(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the logits (N, classes), and those of the second output if there is one.

        Raises:
            ParameterError: the second output does not take images of this size.
        """
        edges = self.graph.edges
        if len(edges) == len(self.graph.executed):
            return self(x), None
        if not self.graph.takes(tuple(x.shape[1:])):
            size = "x".join(map(str, x.shape[-2:]))
            raise ParameterError(
                f"the auxiliary head does not take images of {size}: train without it"
            )
        logits, extra = self._run(x, len(edges))
        return logits, extra

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass read; see `plans.Planned`."""
        return plans.PlannedNetwork(self.graph, plans.weights_of(self)).rectifier_inputs(
            images, dead_branches=dead_branches, pieces=pieces
        )

    def fused_logits(self, images: Tensor) -> Tensor | None:
        """Return what `forward` returns, up to rounding, or None; see `TrainsFused`."""
        return fused_training.logits_of(self, images)

    def _run(self, x: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Execute the first `count` edges; return the logits and the result of the last edge."""
        edges = self.graph.edges[:count]
        last_read = {edge.source: place for place, edge in enumerate(edges)}
        values = {0: x}
        terms: dict[int, list[Tensor]] = {}
        kept, output = self._kept(x), x
        for place, edge in enumerate(edges):
            if edge.source not in values:
                values[edge.source] = self._value(edge.source, terms.pop(edge.source))
            term = self.connections[place](values[edge.source])
            if last_read[edge.source] == place:
                del values[edge.source]
            if edge.target == self.graph.output:
                output = term = self.classifier(term)
            if kept is not None and edge.path is not None:
                term = term * kept[edge.path]
            if edge.target in terms and not self.graph.nodes[edge.target].concatenated:
                term = terms.pop(edge.target)[0] + term
            terms.setdefault(edge.target, []).append(term)
        return output, term

    def _value(self, node: int, terms: list[Tensor]) -> Tensor:
        """Return a node's value, given its sum or the parts to concatenate."""
        kind = self.graph.nodes[node]
        value = torch.cat(terms, dim=1) if kind.concatenated else terms[0]
        return self.rectifiers[str(node)](value) if kind.rectified else value

    def _kept(self, x: Tensor) -> Tensor | None:
        """Draw (cells, edges, N, 1, 1, 1): 0 for a dropped edge, else 1 / probability of keeping.

        The numbers are drawn on the CPU, so that every device drops the same edges.
        """
        if not self.training or self.drop_path == 0:
            return None
        keeping = 1 - self.drop_path
        drawn = torch.rand(*self.graph.paths, len(x), 1, 1, 1) < keeping
        return drawn.to(x.device, x.dtype) / keeping

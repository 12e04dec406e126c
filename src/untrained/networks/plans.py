"""Runs the graph of a network only as far as its rectifiers need, on compiled loops.

The graph becomes nodes of `untrained.networks.sums`. A node that only copies another one is that
one. Where several edges rectify the same node, it is rectified and coded once. A rectifier of
concatenated nodes reads what rectifiers of the single nodes would read, so it moves in front of the
concatenation. What no rectifier that counts depends on is not executed. Values are those of the
module in training mode with the same weights, up to rounding; running statistics don't change.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.networks import sums
from untrained.networks.fused import TERMS, average_pool, halve, max_pool
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
from untrained.networks.sums import Reading as Reading

if TYPE_CHECKING:
    from untrained.networks.network import GraphModule


@runtime_checkable
class Planned(Protocol):
    """A network that can run only as far as its rectifiers need, faster than as a module."""

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass in training mode read.

        Args:
            images: (N, C, H, W), channels last for speed.
            dead_branches: whether rectifiers count that are on no path from the images to the
                logits.
            pieces: number of pieces that the batch is cut into to save memory; no value changes.
        """
        ...


class Weights(NamedTuple):
    """The weights of an edge.

    Attributes:
        kernels: (outputs, inputs / groups, height, width) of the convolutions in order, and
            (outputs, inputs) and (outputs,) of a linear layer.
        scale: (outputs,), scale of the normalisation; None for ones.
        shift: (outputs,), shift of the normalisation; None for zeros.
    """

    kernels: tuple[Tensor, ...] = ()
    scale: Tensor | None = None
    shift: Tensor | None = None

    def to(self, device: torch.device, dtype: torch.dtype) -> "Weights":
        """Return a copy on another device; kernels get another type and stand channels last."""
        last = torch.channels_last
        kernels = tuple(
            one.to(device, dtype, memory_format=last if one.ndim == 4 else torch.preserve_format)
            for one in self.kernels
        )
        learned = (None if one is None else one.to(device) for one in (self.scale, self.shift))
        return Weights(kernels, *learned)


@dataclass(frozen=True)
class PlannedNetwork:
    """The graph and the weights of a network; see `Planned`.

    Attributes:
        graph: the graph.
        weights: the weights of each edge.
    """

    graph: Graph
    weights: Sequence[Weights]

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass in training mode read; see `Planned`."""
        weights = [one.to(images.device, images.dtype) for one in self.weights]
        nodes = _Plan(self.graph, weights, applied).nodes(dead_branches=dead_branches)
        finite = True
        for reading in sums.readings(nodes, images, pieces):
            finite = finite and reading.finite  # not every rectifier leads to a later one
            yield reading._replace(finite=finite)


class _Plan:
    """What is executed of a graph, and what its rectifiers read.

    Args:
        graph: the graph.
        weights: the weights of each edge, of the type and on the device of the images.
        applied: makes the function of an edge from the edge and its kernels.
        logits: whether the logits are wanted instead, with all that has a part in their gradients:
            the terms that are zero have normalisations, whose shifts move the logits.
    """

    def __init__(
        self,
        graph: Graph,
        weights: Sequence[Weights],
        applied: Callable[[Edge, Sequence[Tensor]], Callable[[Tensor], Tensor]],
        *,
        logits: bool = False,
    ) -> None:
        self.graph = graph
        self.applied = applied
        self.incoming: dict[int, list[tuple[Edge, Weights]]] = defaultdict(list)
        for edge, own in zip(graph.executed, weights, strict=False):
            self.incoming[edge.target].append((edge, own))
        # what is made of zeros is zero, unless a linear layer has a bias or a shift was learned
        shifts = [own.shift for own in weights if own.shift is not None]
        shifts += [one for own in weights for one in own.kernels if one.ndim == 1]
        fresh = not logits and not any(bool((shift != 0).any()) for shift in shifts)
        for node, terms in self.incoming.items():
            if graph.nodes[node].concatenated or node not in graph.fed:
                continue
            self.incoming[node] = [
                (edge, own)
                for edge, own in terms
                if (edge.source in graph.fed and not edge.constant)
                or not (fresh or (edge.constant and not (edge.normalised or edge.weighted)))
            ]
        self.same = {node: node for node in graph.order}
        for node in graph.order[1:]:
            (edge, _), *others = self.incoming[node]
            if edge.identity and not (others or graph.nodes[node].rectified):
                self.same[node] = self.same[edge.source]
        self.rectifiers: dict[int, int] = defaultdict(int)
        self.modules: dict[int, int] = defaultdict(int)
        if logits:
            self.rectifiers[graph.output] = 1  # it counts as what is read
            return
        for edge in graph.executed:
            if edge.rectified:
                leads = edge.target in graph.leading and not edge.constant
                self._count(self._parts(edge.source), 1 + edge.wrapped, leads=leads)
        read = {edge.source for edge in graph.executed}
        for node in graph.order:
            if graph.nodes[node].rectified and node in read:
                self._count([node], 1, leads=node in graph.leading)

    def _parts(self, node: int) -> list[int]:
        """Return the nodes whose rectifiers read what a rectifier of this node reads."""
        node = self.same[node]
        kind = self.graph.nodes[node]
        if kind.rectified or not kind.concatenated:
            return [node]
        return [part for edge, _ in self.incoming[node] for part in self._parts(edge.source)]

    def _count(self, reads: list[int], modules: int, *, leads: bool) -> None:
        on_path = leads and not self.graph.fed.isdisjoint(reads)
        for node in reads:
            self.rectifiers[node] += on_path
            self.modules[node] += modules

    def nodes(self, *, dead_branches: bool) -> list[sums.Node]:
        """Return the nodes to execute; there are none where no rectifier counts."""
        counts = self.modules if dead_branches else self.rectifiers
        wanted = {node for node, count in counts.items() if count}
        read: dict[int, list[Edge]] = defaultdict(list)
        for node in reversed(self.graph.order[1:]):
            if node in wanted and self.same[node] == node:
                for edge, _ in self.incoming[node]:
                    source = self.same[edge.source]
                    wanted.add(source)
                    read[source].append(edge)
        made: list[sums.Node] = []
        places: dict[int, int] = {}
        # concatenations that are rectified before instead of after
        rectified = {
            node
            for node, edges in read.items()
            if self.graph.nodes[node].concatenated and all(edge.rectified for edge in edges)
        }
        edges: list[tuple[int, int, sums.Edge]] = []
        for node in self.graph.order:
            if node not in wanted or self.same[node] != node:
                continue
            terms = []
            for edge, own in self.incoming[node]:
                source = self.same[edge.source]
                before = edge.rectified or self.graph.nodes[source].rectified or node in rectified
                apply = self.applied(edge, own.kernels)
                after = sums.Edge(
                    0, apply, before and source not in rectified, edge.normalised, *own[1:]
                )
                terms.append((places[source], after))
            concatenated = self.graph.nodes[node].concatenated
            while len(terms) > TERMS and not concatenated:  # as many as the loops add at once
                part = sums.appended(made)
                edges += [(source, part, term) for source, term in terms[:TERMS]]
                terms = [(part, sums.Edge(0, sums.as_it_is)), *terms[TERMS:]]
            kind = sums.Node([], self.rectifiers[node], self.modules[node], concatenated)
            places[node] = sums.appended(made, kind)
            edges += [(source, places[node], term) for source, term in terms]
        for position, (source, target, term) in enumerate(edges):
            made[source].edges.append(term._replace(target=target, position=position))
        return made


def applied(edge: Edge, kernels: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the operations of an edge as one function; equal ones without weights are the same."""
    left = iter(kernels)
    functions: list[Callable[[Tensor], Tensor]] = []
    for operation in edge.operations:
        if isinstance(operation, Linear):
            functions.append(partial(_linear, weight=next(left), bias=next(left)))
        elif convolutions := convolutions_of(operation):
            functions.append(_convolved(operation, [next(left) for _ in convolutions]))
        else:
            copies = isinstance(operation, Slice | Zero)
            functions.append(_copied(operation) if copies else function_of(operation))
    if len(functions) < 2:
        return functions[0] if functions else sums.as_it_is

    def apply(x: Tensor) -> Tensor:
        for function in functions:
            x = function(x)
        return x

    return apply


def _convolved(operation: Operation, kernels: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    def one(x: Tensor, kernel: Tensor) -> Tensor:
        how = form.stride, form.padding, form.dilation, form.groups
        return functional.conv2d(x, kernel, None, *how)

    form = convolutions_of(operation)[0]
    if len(kernels) == 1:
        return lambda x: one(x, kernels[0])
    return lambda x: torch.cat((one(x, kernels[0]), one(without_first_pixels(x), kernels[1])), 1)


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.linear(x.flatten(1), weight, bias)[:, :, None, None]


@cache
def function_of(operation: Operation) -> Callable[[Tensor], Tensor]:
    """Return an operation without weights as a function, the same one for equal operations.

    It maps images to images; what has no height and width has a height and a width of 1.

    Raises:
        ValueError: the operation has weights.
    """
    match operation:
        case Pooling("avg", 3, 1, True):
            return average_pool
        case Pooling("max", 3, 1, True):
            return max_pool
        case Pooling("max", 2, 2, False):
            return halve
        case Pooling("max", size, stride):
            return lambda x: functional.max_pool2d(x, size, stride, operation.padding)
        case Pooling("avg", size, stride):
            how = (operation.padding, False, False)
            return lambda x: functional.avg_pool2d(x, size, stride, *how)
        case EvenPooling(kind, stride):
            return lambda x: _evenly_pooled(x, kind, stride)
        case GlobalMean():
            return lambda x: x.mean((2, 3), keepdim=True)
        case Flatten():
            return lambda x: x.flatten(1)[:, :, None, None]
        case Divided(number):
            return lambda x: x / number
        case Slice(channels):
            return lambda x: x[:, :channels]
        case Zero(stride, None):
            return lambda x: torch.zeros_like(x[:, :, ::stride, ::stride])
        case Zero(stride, int(channels)):
            return lambda x: torch.zeros_like(
                x[:, :1, ::stride, ::stride].expand(-1, channels, -1, -1)
            )
    raise ValueError(operation)


@cache
def _copied(operation: Operation) -> Callable[[Tensor], Tensor]:
    """Return an operation that shares memory with its source as one that does not."""
    function = function_of(operation)
    return lambda x: function(x).contiguous(memory_format=torch.channels_last)


def _evenly_pooled(x: Tensor, kind: str, stride: int) -> Tensor:
    if kind == "max":
        lowest = functional.pad(x, (0, 1, 0, 1), value=-torch.inf)
        return functional.max_pool2d(lowest, 2, stride)
    total = functional.avg_pool2d(functional.pad(x, (0, 1, 0, 1)), 2, stride)
    there = functional.pad(torch.ones_like(x[:1, :1]), (0, 1, 0, 1))
    return total / functional.avg_pool2d(there, 2, stride)


def without_first_pixels(x: Tensor) -> Tensor:
    """Return (N, C, H, W) without its first row and column, with zeros beyond odd sides."""
    height, width = x.shape[-2:]
    filled = functional.pad(x, (0, width % 2, 0, height % 2)) if height % 2 or width % 2 else x
    return filled[:, :, 1:, 1:]


def draw(graph: Graph, *, whole: bool = False) -> PlannedNetwork:
    """Draw the weights that the module's constructor draws from PyTorch's generator.

    Nothing else is made of the module.

    Args:
        graph: the graph.
        whole: whether there are all parameters that move the logits: normalisations have scales of
            ones and shifts of zeros, and the classifier, which is drawn last, its weights.
    """
    weights = []
    executed = graph.executed if whole else graph.executed[:-1]
    for edge, channels in zip(executed, graph.normalised_channels, strict=False):
        drawn = (_drawn(one, graph.initialisation) for one in edge.weighted)
        learned = (torch.ones(channels), torch.zeros(channels)) if whole and channels else ()
        weights.append(Weights(tuple(kernel for own in drawn for kernel in own), *learned))
    return PlannedNetwork(graph, weights if whole else [*weights, Weights()])


def nodes_of(
    network: PlannedNetwork,
    *,
    dead_branches: bool,
    applied: Callable[[Edge, Sequence[Tensor]], Callable[[Tensor], Tensor]],
    logits: bool = False,
) -> list[sums.Node]:
    """Return the nodes that a network's rectifiers need; there are none where no rectifier counts.

    Args:
        network: the network.
        dead_branches: see `Planned`.
        applied: makes the function of an edge from the edge and its kernels.
        logits: whether to return those that the logits and their gradients need instead; the node
            of the logits counts as rectified then, and no other one.
    """
    plan = _Plan(network.graph, network.weights, applied, logits=logits)
    return plan.nodes(dead_branches=dead_branches)


def weights_of(network: "GraphModule", *, whole: bool = False) -> list[Weights]:
    """Return the module's own weights of each edge, with the classifier's if `whole`."""
    weights = []
    for connection in network.connections:
        norms = [one for one in connection.modules() if isinstance(one, nn.BatchNorm2d)]
        layers = (one for one in connection.modules() if isinstance(one, nn.Conv2d | nn.Linear))
        kernels = tuple(kernel for one in layers for kernel in one.parameters())
        learned = (norms[0].weight, norms[0].bias) if norms else (None, None)
        weights.append(Weights(kernels, *learned))
    if whole:
        last = len(network.graph.executed) - 1
        classifier: tuple[Tensor, ...] = tuple(network.classifier.parameters())
        weights[last] = weights[last]._replace(kernels=weights[last].kernels + classifier)
    return weights


def deviation(outputs: int, kernel: Sequence[int]) -> float:
    """Return the standard deviation of a new convolution's weights (He et al., 2015, fan out)."""
    return float((2 / (math.prod(kernel) * outputs)) ** 0.5)


def new_linear(operation: Linear, initialisation: str) -> nn.Linear:
    """Build a linear layer, which draws its weights from PyTorch's generator."""
    linear = nn.Linear(operation.inputs, operation.outputs)
    if initialisation == "normal":
        nn.init.normal_(linear.weight, 0, 0.01)
        nn.init.zeros_(linear.bias)
    return linear


def convolutions_of(operation: Operation) -> tuple[Convolution, ...]:
    """Return the convolutions that an operation consists of; none where it is of another kind."""
    match operation:
        case Convolution():
            return (operation,)
        case FactorisedReduction():
            return operation.half, operation.half
    return ()


def _drawn(operation: Operation, initialisation: str) -> tuple[Tensor, ...]:
    if isinstance(operation, Linear):
        return tuple(new_linear(operation, initialisation).parameters())
    return tuple(_drawn_kernel(one, initialisation) for one in convolutions_of(operation))


def _drawn_kernel(one: Convolution, initialisation: str) -> Tensor:
    weight = torch.empty(one.outputs, one.inputs // one.groups, *one.kernel)
    if initialisation == "normal":
        return weight.normal_(0, deviation(one.outputs, one.kernel))
    # U(-b, b) with b = 1 / sqrt(fan in), computed as `nn.init.kaiming_uniform_` does
    bound = math.sqrt(3.0) * (math.sqrt(2.0 / 6.0) / math.sqrt(weight[0].numel()))
    return weight.uniform_(-bound, bound)

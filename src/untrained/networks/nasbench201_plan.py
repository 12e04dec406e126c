"""Runs a NAS-Bench-201 network for its rectifiers alone, in as few memory passes as it takes.

The cell is compiled once to a plan: edges that lead nowhere are dropped, a node that only copies
another is that other, and a node is rectified and pooled once however many edges read it. Batch
statistics are used without being averaged over time. Same weights, same values as the module, up
to rounding; tests hold the two equal. With one condition: edges that read only zeros count as dead,
so normalisations must not have learned a bias.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from untrained.spaces.cell_classes import live_edges

if TYPE_CHECKING:
    from untrained.networks.nasbench201 import Cell, NasBench201Network, Reduction, ReLUConvBN


_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
_CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")


class Reading(NamedTuple):
    """One tensor that rectifiers read.

    Attributes:
        pre_activation: (N, C, H, W).
        rectifiers: how many read it.
        modules: how many modules named after ReLU read it: a rectifier's wrapper is one more.
    """

    pre_activation: Tensor
    rectifiers: int
    modules: int


#: Yields readings and returns the value of a block.
Steps = Generator[Reading, None, Tensor]


@dataclass(frozen=True)
class PlannedEdge:
    """One edge of a cell to execute.

    Attributes:
        source: the node that is read, after copies are resolved.
        operation: its name.
        position: of its module in the cell.
    """

    source: int
    operation: str
    position: int


@dataclass(frozen=True)
class CellPlan:
    """What one cell computes.

    Attributes:
        nodes: (node, its incoming edges) in order of execution; copies are left out.
        output: the node that the cell returns; None where nothing reaches the output.
        readers: node to the number of convolutions that read it.
    """

    nodes: tuple[tuple[int, tuple[PlannedEdge, ...]], ...]
    output: int | None
    readers: dict[int, int]


def compile_cell(operations: tuple[str, ...], *, dead_branches: bool = False) -> CellPlan:
    """Compile the six operations of a cell.

    Args:
        operations: in the order of the spelling.
        dead_branches: also execute what leads nowhere or reads only zeros, as the module does.
    """
    live = live_edges(operations)
    edges = [
        (source, target, operation)
        for (source, target), operation in zip(_EDGES, operations, strict=True)
        if operation != "none"
    ]
    same = {0: 0}
    nodes = []
    readers: dict[int, int] = {}
    for node in (1, 2, 3):
        incoming = tuple(
            PlannedEdge(same[source], operation, position)
            for position, (source, target, operation) in enumerate(edges)
            if target == node and (dead_branches or (source, target) in live)
        )
        if len(incoming) == 1 and incoming[0].operation == "skip_connect":
            same[node] = incoming[0].source
            continue
        same[node] = node
        if incoming or dead_branches:
            nodes.append((node, incoming))
        for edge in incoming:
            if edge.operation in _CONVOLUTIONS:
                readers[edge.source] = readers.get(edge.source, 0) + 1
    return CellPlan(tuple(nodes), same[3] if live or dead_branches else None, readers)


def rectifier_inputs(
    network: "NasBench201Network", images: Tensor, *, dead_branches: bool = False
) -> Iterator[Reading]:
    """Yield what the rectifiers of a forward pass in training mode read, in order.

    A tensor is whole when it is yielded and stays as it is until the next one is asked for.

    Args:
        network: only its weights are read.
        images: (N, 3, H, W), channels last for speed.
        dead_branches: see `compile_cell`. Otherwise nothing is yielded for a cell that doesn't
            connect its input to its output.
    """
    from untrained.networks.nasbench201 import Cell

    plan = compile_cell(network.operations, dead_branches=dead_branches)
    if plan.output is None:
        return
    x = _normalised(network.stem[1], _convolution(network.stem[0], images))
    for block in network.blocks:
        if isinstance(block, Cell):
            x = yield from _cell(plan, plan.output, block, x)
        else:
            x = yield from _reduction(cast("Reduction", block), x)
    yield Reading(_normalised(network.head[0], x), 1, 1)


def _cell(plan: CellPlan, output: int, cell: "Cell", x: Tensor) -> Steps:
    values: dict[int, Tensor] = {0: x}
    rectified: dict[int, Tensor] = {}
    pooled: dict[int, Tensor] = {}
    if plan.readers.get(0):
        yield Reading(x, plan.readers[0], 2 * plan.readers[0])
    for node, incoming in plan.nodes:
        total: Tensor | None = None
        own = False  # a sum of ours may be added to in place
        for edge in incoming:
            source = values[edge.source]
            if edge.operation == "skip_connect":
                term, fresh = source, False
            elif edge.operation == "avg_pool_3x3":
                if edge.source not in pooled:
                    pooled[edge.source] = average_pool(source)
                term, fresh = pooled[edge.source], False
            else:
                if edge.source not in rectified:
                    rectified[edge.source] = torch.relu(source)
                module = cast("ReLUConvBN", cell.operations[edge.position])
                term, fresh = _convolved(module, rectified[edge.source]), True
            if total is None:
                total, own = term, fresh
            elif own:
                total.add_(term)
            else:
                total, own = (term.add_(total) if fresh else total + term), True
        values[node] = torch.zeros_like(x) if total is None else total
        if plan.readers.get(node):
            yield Reading(values[node], plan.readers[node], 2 * plan.readers[node])
    return values[output]


def _reduction(block: "Reduction", x: Tensor) -> Steps:
    yield Reading(x, 1, 2)
    inner = _convolved(block.first, torch.relu(x))
    yield Reading(inner, 1, 2)
    pool, convolution = block.shortcut
    output = _convolved(block.second, torch.relu(inner))
    return output.add_(_convolution(convolution, pool(x)))


def _convolved(module: "ReLUConvBN", rectified: Tensor) -> Tensor:
    _, convolution, norm = module
    return _normalised(norm, _convolution(convolution, rectified))


def _convolution(module: nn.Module, x: Tensor) -> Tensor:
    convolution = cast("nn.Conv2d", module)
    return functional.conv2d(
        x,
        convolution.weight,
        stride=convolution.stride[0],
        padding=convolution.kernel_size[0] // 2,
    )


def _normalised(module: nn.Module, x: Tensor) -> Tensor:
    norm = cast("nn.BatchNorm2d", module)
    return functional.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)


def average_pool(x: Tensor) -> Tensor:
    """3x3 average pooling at stride 1 that leaves padding out of the mean, (N, C, H, W).

    A depthwise convolution, six times as fast as PyTorch's pooling on channels-last tensors of the
    CPU, divides by 9 everywhere; the border is scaled to the number of pixels that it has.
    """
    channels = x.shape[1]
    weight = torch.full((channels, 1, 3, 3), 1 / 9, dtype=x.dtype, device=x.device)
    pooled = functional.conv2d(x, weight, padding=1, groups=channels)
    for border in (pooled[..., 0, :], pooled[..., -1, :], pooled[..., 0], pooled[..., -1]):
        border.mul_(1.5)
    return pooled

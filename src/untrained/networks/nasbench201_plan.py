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

from untrained.networks.plans import Reading
from untrained.spaces.cell_classes import live_edges

if TYPE_CHECKING:
    from untrained.networks.nasbench201 import NasBench201Network


_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}


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
            if edge.operation in _KERNELS:
                readers[edge.source] = readers.get(edge.source, 0) + 1
    return CellPlan(tuple(nodes), same[3] if live or dead_branches else None, readers)


class Layer(NamedTuple):
    """A convolution without bias and the normalisation after it.

    Attributes:
        weight: (outputs, inputs, k, k).
        stride: of the convolution.
        scale: (outputs,) of the normalisation; None for ones.
        shift: likewise; None for zeros.
    """

    weight: Tensor
    stride: int = 1
    scale: Tensor | None = None
    shift: Tensor | None = None


class ReductionLayers(NamedTuple):
    """The convolutions of a residual block between two stages."""

    first: Layer
    second: Layer
    projection: Layer


#: The layers of a cell's operations in order, None where an operation has none.
CellLayers = list[Layer | None]


@dataclass(frozen=True)
class PlannedNetwork:
    """A NAS-Bench-201 network as its plan needs it: operations and weights.

    Attributes:
        operations: of the cell, in the order of the spelling.
        stem: the first layer.
        blocks: of all stages, in order.
        head: the normalisation before the last rectifier (its weight is not used).
    """

    operations: tuple[str, ...]
    stem: Layer
    blocks: list[CellLayers | ReductionLayers]
    head: Layer

    def rectifier_inputs(self, images: Tensor, *, dead_branches: bool) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass in training mode read, in order.

        A tensor is whole when it is yielded and stays as it is until the next one is asked for.

        Args:
            images: (N, 3, H, W), channels last for speed; the weights follow their device and
                type.
            dead_branches: see `compile_cell`. Otherwise nothing is yielded for a cell that doesn't
                connect its input to its output.
        """
        plan = compile_cell(self.operations, dead_branches=dead_branches)
        if plan.output is None:
            return
        network = self.to(images.device, images.dtype)
        x = _convolved(network.stem, images)
        for block in network.blocks:
            if isinstance(block, ReductionLayers):
                x = yield from _reduction(block, x)
            else:
                x = yield from _cell(plan, plan.output, block, x)
        yield Reading(_normalised(network.head, x), 1, 1)

    def to(self, device: torch.device, dtype: torch.dtype) -> "PlannedNetwork":
        """A copy of the weights elsewhere, of another type, channels last."""

        def moved(layer: Layer) -> Layer:
            weight = layer.weight.to(device, dtype, memory_format=torch.channels_last)
            scale, shift = (
                None if value is None else value.to(device, dtype)
                for value in (layer.scale, layer.shift)
            )
            return Layer(weight, layer.stride, scale, shift)

        blocks: list[CellLayers | ReductionLayers] = [
            ReductionLayers(*map(moved, block))
            if isinstance(block, ReductionLayers)
            else [None if layer is None else moved(layer) for layer in block]
            for block in self.blocks
        ]
        return PlannedNetwork(self.operations, moved(self.stem), blocks, moved(self.head))


def draw_network(operations: tuple[str, ...], channels: int = 16, cells: int = 5) -> PlannedNetwork:
    """Draw weights as PyTorch's constructors would: the same numbers from the same generator.

    Building the module takes a fifth of the time of a score, and the plan needs only its weights.

    Args:
        operations: of the cell, in the order of the spelling.
        channels: of the first stage.
        cells: per stage.
    """
    executed = [operation for operation in operations if operation != "none"]
    stem = _drawn(3, channels, 3)
    blocks: list[CellLayers | ReductionLayers] = []
    for stage in range(3):
        if stage:
            first = _drawn(channels, 2 * channels, 3, stride=2)
            channels *= 2
            second = _drawn(channels, channels, 3)
            blocks.append(ReductionLayers(first, second, _drawn(channels // 2, channels, 1)))
        blocks += [
            [
                _drawn(channels, channels, _KERNELS[name]) if name in _KERNELS else None
                for name in executed
            ]
            for _ in range(cells)
        ]
    return PlannedNetwork(operations, stem, blocks, Layer(torch.empty(0, 0, 0, 0)))


def _drawn(inputs: int, outputs: int, kernel: int, stride: int = 1) -> Layer:
    # PyTorch draws convolutions from U(-b, b) with b = 1 / sqrt(fan in)
    bound = (inputs * kernel * kernel) ** -0.5
    weight = torch.empty(outputs, inputs, kernel, kernel).uniform_(-bound, bound)
    return Layer(weight, stride)


def planned(network: "NasBench201Network") -> PlannedNetwork:
    """The plan of a module, on its own weights."""
    from untrained.networks.nasbench201 import Cell, Reduction, ReLUConvBN

    def layer(convolution: nn.Module, norm: nn.Module | None) -> Layer:
        weight, stride = cast("Tensor", convolution.weight), cast("nn.Conv2d", convolution).stride
        if norm is None:
            return Layer(weight, stride[0])
        return Layer(weight, stride[0], cast("Tensor", norm.weight), cast("Tensor", norm.bias))

    blocks: list[CellLayers | ReductionLayers] = []
    for block in network.blocks:
        if isinstance(block, Cell):
            blocks.append(
                [
                    layer(module[1], module[2]) if isinstance(module, ReLUConvBN) else None
                    for module in block.operations
                ]
            )
        elif isinstance(block, Reduction):
            first, second = (layer(part[1], part[2]) for part in (block.first, block.second))
            blocks.append(ReductionLayers(first, second, layer(block.shortcut[1], None)))
    norm = cast("nn.BatchNorm2d", network.head[0])
    head = Layer(torch.empty(0, 0, 0, 0), 1, norm.weight, norm.bias)
    return PlannedNetwork(network.operations, layer(network.stem[0], network.stem[1]), blocks, head)


def _cell(plan: CellPlan, output: int, layers: CellLayers, x: Tensor) -> Steps:
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
            layer = layers[edge.position]
            if layer is not None:
                if edge.source not in rectified:
                    rectified[edge.source] = torch.relu(source)
                term, fresh = _convolved(layer, rectified[edge.source]), True
            elif edge.operation == "skip_connect":
                term, fresh = source, False
            else:
                if edge.source not in pooled:
                    pooled[edge.source] = average_pool(source)
                term, fresh = pooled[edge.source], False
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


def _reduction(layers: ReductionLayers, x: Tensor) -> Steps:
    yield Reading(x, 1, 2)
    inner = _convolved(layers.first, torch.relu(x))
    yield Reading(inner, 1, 2)
    output = _convolved(layers.second, torch.relu(inner))
    pooled = functional.avg_pool2d(x, 2, stride=2)
    return output.add_(functional.conv2d(pooled, layers.projection.weight))


def _convolved(layer: Layer, rectified: Tensor) -> Tensor:
    padding = layer.weight.shape[-1] // 2
    return _normalised(
        layer, functional.conv2d(rectified, layer.weight, stride=layer.stride, padding=padding)
    )


def _normalised(layer: Layer, x: Tensor) -> Tensor:
    """Batch normalisation with the statistics of the batch; (N, C, H, W)."""
    return normalise(x, layer.scale, layer.shift)


def normalise(x: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """Normalise (N, C, H, W) over N, H and W, then scale and shift; PyTorch's epsilon.

    On the CPU neighbouring pixels are taken together as channels of their own, so that vector
    instructions have more than C numbers in a row; their statistics are merged. That takes two
    thirds of the time of `functional.batch_norm`.
    """
    images, channels, height, width = x.shape
    together = 8
    if x.device.type != "cpu" or (height * width) % together or not _is_channels_last(x):
        return functional.batch_norm(x, None, None, scale, shift, training=True)
    pixels = height * width // together
    wide = x.permute(0, 2, 3, 1).reshape(images, pixels, 1, together * channels)
    wide = wide.permute(0, 3, 1, 2)
    means, variances = torch.batch_norm_update_stats(wide, None, None, 0.0)
    means = means.view(together, channels)
    mean = means.mean(0)
    variance = variances.view(together, channels).mean(0) + (means - mean).square_().mean(0)

    def repeated(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.repeat(together)

    output = functional.batch_norm(
        wide, repeated(mean), repeated(variance), repeated(scale), repeated(shift), training=False
    )
    return output.permute(0, 2, 3, 1).reshape(images, height, width, channels).permute(0, 3, 1, 2)


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and x.shape[1] > 1


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

"""The network that NAS-Bench-201 trains around a cell (Dong and Yang, ICLR 2020, figure 1)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from untrained.networks import nasbench201_training
from untrained.networks.nasbench201_plan import planned
from untrained.networks.plans import Reading
from untrained.spaces.base import Skeleton
from untrained.spaces.cell_classes import EDGES


class ReLUConvBN(nn.Sequential):
    """Rectifier, convolution without bias, batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )


class Projection(nn.Sequential):
    """A 1x1 convolution without bias and its batch normalisation, without a rectifier."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))


def operation_module(operation: str, inputs: int, outputs: int | None = None) -> nn.Module:
    """Build the module of an operation other than `none`, at stride 1.

    Args:
        operation: its name.
        inputs: input channels.
        outputs: output channels, by default as many; pooling can't change their number.
    """
    outputs = inputs if outputs is None else outputs
    match operation:
        case "skip_connect":
            return nn.Identity() if inputs == outputs else Projection(inputs, outputs)
        case "nor_conv_1x1":
            return ReLUConvBN(inputs, outputs, 1)
        case "nor_conv_3x3":
            return ReLUConvBN(inputs, outputs, 3)
        case "avg_pool_3x3" if inputs == outputs:
            return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    raise ValueError(operation)


class Cell(nn.Module):
    """A cell of four nodes; a node is the sum of its incoming edges, or zero if it has none.

    Edges with operation `none` are left out rather than multiplied by zero, so that the output's
    graph shows what it depends on. All other edges are executed, also those that lead nowhere.

    Args:
        operations: one per edge, in the order of `EDGES`.
        inputs: channels of the input.
        outputs: channels of all other nodes, by default as many; otherwise the edges that read
            the input change the number.
    """

    def __init__(
        self, operations: tuple[str, ...], inputs: int, outputs: int | None = None
    ) -> None:
        super().__init__()
        self.outputs = inputs if outputs is None else outputs
        self.edges = [
            edge for edge, operation in zip(EDGES, operations, strict=True) if operation != "none"
        ]
        self.operations = nn.ModuleList(
            operation_module(operation, self.outputs if source else inputs, self.outputs)
            for (source, _), operation in zip(EDGES, operations, strict=True)
            if operation != "none"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        nodes: list[Tensor | None] = [x, None, None, None]
        for (source, target), operation in zip(self.edges, self.operations, strict=True):
            value = nodes[source]
            term = operation(self._zeros_for(x) if value is None else value)
            total = nodes[target]
            nodes[target] = term if total is None else total + term
        output = nodes[3]
        return self._zeros_for(x) if output is None else output

    def _zeros_for(self, x: Tensor) -> Tensor:
        """Return the value of a node without incoming edges."""
        if x.shape[1] == self.outputs:
            return torch.zeros_like(x)
        return x.new_zeros(len(x), self.outputs, *x.shape[2:])


class Reduction(nn.Module):
    """A residual block that halves the resolution and doubles the channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = ReLUConvBN(inputs, outputs, 3, stride=2)
        self.second = ReLUConvBN(outputs, outputs, 3)
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2, stride=2), nn.Conv2d(inputs, outputs, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H/2, W/2)."""
        shortcut: Tensor = self.shortcut(x)
        main: Tensor = self.second(self.first(x))
        return shortcut + main


def stem_of(skeleton: Skeleton) -> nn.Sequential:
    """Build the stem, which reads images (N, 3, H, W); it is empty where the skeleton has none."""
    if not skeleton.stem:
        return nn.Sequential()
    channels = skeleton.channels
    return nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))


def head_of(channels: int) -> nn.Sequential:
    """Build the head, which maps (N, channels, H, W) to features (N, channels)."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def around_cells(
    skeleton: Skeleton, num_classes: int, cell: Callable[[int], nn.Module]
) -> tuple[nn.Sequential, list[nn.Module], nn.Sequential, nn.Linear]:
    """Build stem, blocks, head and classifier of a network, in this order.

    Args:
        skeleton: number of channels, cells and stages.
        num_classes: outputs of the classifier.
        cell: builds a cell with a number of channels.
    """
    channels = skeleton.channels
    stem = stem_of(skeleton)
    blocks: list[nn.Module] = []
    for stage in range(skeleton.stages):
        if stage:
            blocks.append(Reduction(channels, 2 * channels))
            channels *= 2
        blocks += [cell(channels) for _ in range(skeleton.cells)]
    return stem, blocks, head_of(channels), nn.Linear(channels, num_classes)


class NasBench201Network(nn.Module):
    """A network of stem, three stages of `cells` cells with reductions in between, classifier.

    Args:
        operations: operations of the cell's six edges, in the order of `EDGES`.
        num_classes: outputs of the classifier.
        channels: channels of the first stage; the benchmark trains 16.
        cells: cells per stage; the benchmark trains 5.
        stages: number of stages; the benchmark has 3.
        stem: whether there is a stem; without it the first cell reads (N, channels, H, W).
    """

    def __init__(
        self,
        operations: tuple[str, ...],
        num_classes: int,
        channels: int = 16,
        cells: int = 5,
        *,
        stages: int = 3,
        stem: bool = True,
    ) -> None:
        super().__init__()
        self.operations = operations
        skeleton = Skeleton(channels, cells, stages, stem)
        self.stem, blocks, self.head, self.classifier = around_cells(
            skeleton, num_classes, lambda width: Cell(operations, width)
        )
        self.blocks = nn.Sequential(*blocks)

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass read; see `nasbench201_plan`."""
        plan = planned(self)
        return plan.rectifier_inputs(images, dead_branches=dead_branches, pieces=pieces)

    def fused_logits(self, images: Tensor) -> Tensor | None:
        """Return what `forward` returns, up to rounding, or None; see `TrainsFused`."""
        if not nasbench201_training.can_train(self, images):
            return None
        return nasbench201_training.logits_of(self, images)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.head(self.blocks(self.stem(x))))
        return logits

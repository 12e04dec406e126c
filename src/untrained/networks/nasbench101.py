"""The network that NAS-Bench-101 trains around a cell (Ying et al., ICML 2019, section 2 and S1).

Weights are drawn as the NASWOT authors do: convolutions from N(0, 2 / (k * k * outputs)), the
classifier, without bias, from N(0, 0.01 * 0.01); normalisations have scales 1 and shifts 0.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from untrained.networks.nasbench101_channels import KERNELS, SCORED, vertex_channels, widths
from untrained.networks.nasbench101_plan import deviation, planned
from untrained.networks.plans import Reading
from untrained.spaces.base import Skeleton
from untrained.spaces.nasbench101_cells import Cell

#: The benchmark averages running statistics with a decay of 0.997.
MOMENTUM = 1 - 0.997


class Convolution(nn.Conv2d):
    """A convolution without bias that keeps the resolution and draws its weights once."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2, bias=False)

    def reset_parameters(self) -> None:
        """Draw the weights; PyTorch's constructor calls it."""
        nn.init.normal_(self.weight, 0, deviation(self.out_channels, self.kernel_size[0]))


class ConvBnRelu(nn.Sequential):
    """Convolution, batch normalisation, rectifier.

    The name is that of the code that NASWOT was published with. It matters: the released score
    counts modules with "ReLU" in their name, and this class is not one of them.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(
            Convolution(inputs, outputs, kernel),
            nn.BatchNorm2d(outputs, eps=1e-5, momentum=MOMENTUM),
            nn.ReLU(),
        )


class CellModule(nn.Module):
    """A cell of NAS-Bench-101.

    An inner vertex applies its operation to the sum of its inputs: a projection of the cell's
    input to its own channels, and the first channels of other vertices. The output concatenates
    the vertices that it reads, and adds a projection of the cell's input if it reads that.

    Args:
        cell: pruned cell.
        inputs: channels of the input (N, inputs, H, W).
        outputs: channels of the output.
    """

    def __init__(self, cell: Cell, inputs: int, outputs: int) -> None:
        super().__init__()
        self.cell = cell
        self.channels = vertex_channels(cell.matrix, inputs, outputs)
        # entries are keyed by vertex and made in the order of the vertices
        self.projections = nn.ModuleDict()
        self.operations = nn.ModuleDict()
        for vertex, width in enumerate(self.channels[1:], start=1):
            if cell.matrix[0][vertex]:
                self.projections[str(vertex)] = ConvBnRelu(inputs, width, 1)
            if vertex < len(cell.matrix) - 1:
                operation = cell.operations[vertex - 1]
                self.operations[str(vertex)] = (
                    ConvBnRelu(width, width, KERNELS[operation])
                    if operation in KERNELS
                    else nn.MaxPool2d(3, stride=1, padding=1)
                )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H, W)."""
        matrix, last = self.cell.matrix, len(self.cell.matrix) - 1
        made: list[Tensor] = [x]
        for vertex in range(1, last):
            width = self.channels[vertex]
            terms = [
                made[source][:, :width] for source in range(1, vertex) if matrix[source][vertex]
            ]
            if matrix[0][vertex]:
                terms.append(self.projections[str(vertex)](x))
            total = terms[0]
            for term in terms[1:]:
                total = total + term
            made.append(self.operations[str(vertex)](total))
        read = [made[vertex] for vertex in range(1, last) if matrix[vertex][last]]
        if not matrix[0][last]:
            return torch.cat(read, 1)
        projected: Tensor = self.projections[str(last)](x)
        return torch.cat(read, 1) + projected if read else projected


class NasBench101Network(nn.Module):
    """A network of stem, stacks of cells with max-pooling in between, global mean, classifier.

    Args:
        cell: pruned cell.
        num_classes: outputs of the classifier.
        skeleton: what surrounds the cells.
    """

    def __init__(self, cell: Cell, num_classes: int, skeleton: Skeleton = SCORED) -> None:
        super().__init__()
        self.cell, self.skeleton = cell, skeleton
        stem = [ConvBnRelu(3, skeleton.channels, 3)] if skeleton.stem else []
        self.stem = nn.Sequential(*stem)
        blocks: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(widths(skeleton)):
            if number and number % skeleton.cells == 0:
                blocks.append(nn.MaxPool2d(2, stride=2))
            blocks.append(CellModule(cell, inputs, outputs))
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(outputs, num_classes)
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass read; see `nasbench101_plan`."""
        plan = planned(self)
        return plan.rectifier_inputs(images, dead_branches=dead_branches, pieces=pieces)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.blocks(self.stem(x)).mean((2, 3)))
        return logits

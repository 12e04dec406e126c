"""The network that the size space of NATS-Bench trains (Dong et al., TPAMI 2021, section 3.2).

It has a stem and five layers: cell, reduction, cell, reduction, cell. Each layer has its own width;
the stem has that of the first layer. All cells have the same operations. Where a cell changes the
width, its edges from the input do so, and a skip connection among them becomes a `Projection`,
which has no rectifier. (The authors' code has none either; parameter counts could not tell.)
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from untrained.networks.layers import Layer
from untrained.networks.nasbench201 import Cell, Reduction, head_of, stem_of
from untrained.networks.nasbench201_plan import (
    CellLayers,
    PlannedNetwork,
    ReductionLayers,
    drawn_cell,
    drawn_layer,
    drawn_reduction,
    planned,
)
from untrained.networks.plans import Reading
from untrained.spaces.base import Skeleton

#: The operations of the cell, in the order of `cell_classes.EDGES`: a skip connection leads from
#: the input to the output, all other edges are convolutions.
OPERATIONS = (
    *("nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3"),
    *("skip_connect", "nor_conv_3x3", "nor_conv_3x3"),
)


class NatsBenchSizeNetwork(nn.Module):
    """A network of stem, cell, reduction, cell, reduction, cell, classifier.

    Args:
        widths: channels of the five layers; another number works too, every second is a reduction.
        num_classes: outputs of the classifier.
    """

    def __init__(self, widths: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.operations = OPERATIONS
        self.stem = stem_of(Skeleton(widths[0], 1))
        self.blocks = nn.Sequential(
            *(
                Reduction(inputs, outputs) if reduces else Cell(OPERATIONS, inputs, outputs)
                for inputs, outputs, reduces in _layers(widths)
            )
        )
        self.head = head_of(widths[-1])
        self.classifier = nn.Linear(widths[-1], num_classes)

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass read; see `nasbench201_plan`."""
        plan = planned(self)
        return plan.rectifier_inputs(images, dead_branches=dead_branches, pieces=pieces)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.head(self.blocks(self.stem(x))))
        return logits


def draw_network(widths: Sequence[int]) -> PlannedNetwork:
    """Draw the same weights as the module's constructor; see `nasbench201_plan.draw_network`."""
    stem = drawn_layer(3, widths[0], 3)
    blocks: list[CellLayers | ReductionLayers] = [
        drawn_reduction(inputs, outputs) if reduces else drawn_cell(OPERATIONS, inputs, outputs)
        for inputs, outputs, reduces in _layers(widths)
    ]
    return PlannedNetwork(OPERATIONS, stem, blocks, Layer(torch.empty(0, 0, 0, 0)))


def _layers(widths: Sequence[int]) -> Iterator[tuple[int, int, bool]]:
    """Yield input and output channels of each layer, and whether it halves the resolution."""
    for position, (inputs, outputs) in enumerate(pairwise([widths[0], *widths])):
        yield inputs, outputs, position % 2 == 1

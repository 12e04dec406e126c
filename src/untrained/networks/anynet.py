"""Networks of stages of plain or residual blocks (Radosavovic et al., ICCV 2019, section 3).

The blocks are those of VGG and of ResNet and ResNeXt (He et al., CVPR 2016; Xie et al., CVPR 2017);
in a bottleneck the 3x3 convolution in the middle has the stride. Convolutions have no bias and are
followed by a normalisation.
"""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor, nn

from untrained.networks import anynet_plan
from untrained.networks.plans import Reading
from untrained.networks.pointwise import StridedPointwise
from untrained.spaces.nds_networks import StagedNetwork, inner_width

#: Stems: `cifar` keeps the resolution, `half` halves it, `quarter` halves it twice as in ResNets.
Stem = Literal["cifar", "half", "quarter"]


def normalised(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Return a convolution without bias and its normalisation."""
    skips = kernel == 1 and stride > 1
    return [
        StridedPointwise(inputs, outputs, stride)
        if skips
        else nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class PlainBlock(nn.Sequential):
    """Two 3x3 convolutions, each rectified."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(
            *normalised(inputs, outputs, 3, stride),
            nn.ReLU(),
            *normalised(outputs, outputs, 3),
            nn.ReLU(),
        )


class ResidualBlock(nn.Module):
    """The sum of a branch and its input, rectified.

    The input goes through a 1x1 convolution where the branch changes its shape.

    Args:
        branch: maps (N, inputs, H, W) to (N, outputs, H/stride, W/stride).
        inputs: input channels.
        outputs: output channels.
        stride: 1 or 2.
    """

    def __init__(self, branch: nn.Sequential, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        same = inputs == outputs and stride == 1
        shortcut = () if same else normalised(inputs, outputs, 1, stride)
        self.shortcut = nn.Sequential(*shortcut)
        self.branch = branch
        self.rectifier = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, H, W) to (N, outputs, H/stride, W/stride)."""
        output: Tensor = self.rectifier(self.shortcut(x) + self.branch(x))
        return output


def block_module(
    block: str, inputs: int, outputs: int, stride: int, ratio: float = 1, groups: int = 1
) -> nn.Module:
    """Build the module of one block.

    Args:
        block: one of `nds_networks.BLOCKS`.
        inputs: input channels.
        outputs: output channels.
        stride: 1 or 2.
        ratio: channels inside a bottleneck divided by `outputs`.
        groups: groups of the convolution in the middle of a bottleneck.
    """
    match block:
        case "vanilla_block":
            return PlainBlock(inputs, outputs, stride)
        case "res_basic_block":
            branch = (
                *normalised(inputs, outputs, 3, stride),
                nn.ReLU(),
                *normalised(outputs, outputs, 3),
            )
        case "res_bottleneck_block":
            inner = inner_width(outputs, ratio)
            branch = (
                *normalised(inputs, inner, 1),
                nn.ReLU(),
                *normalised(inner, inner, 3, stride, groups),
                nn.ReLU(),
                *normalised(inner, outputs, 1),
            )
        case _:
            raise ValueError(block)
    return ResidualBlock(nn.Sequential(*branch), inputs, outputs, stride)


def stem_module(stem: Stem, channels: int) -> nn.Sequential:
    """Build a stem, which maps images (N, 3, H, W) to `channels` channels at its resolution."""
    match stem:
        case "cifar":
            return nn.Sequential(*normalised(3, channels, 3), nn.ReLU())
        case "half":
            return nn.Sequential(*normalised(3, channels, 3, 2), nn.ReLU())
        case "quarter":
            pool = nn.MaxPool2d(3, 2, padding=1)
            return nn.Sequential(*normalised(3, channels, 7, 2), nn.ReLU(), pool)


class AnyNet(nn.Module):
    """A network of stem, stages of blocks, global average and classifier.

    Args:
        network: description of the stages.
        num_classes: outputs of the classifier.
        stem: kind of stem.
        stem_width: channels of the stem.
    """

    def __init__(
        self, network: StagedNetwork, num_classes: int, stem: Stem, stem_width: int
    ) -> None:
        super().__init__()
        self.stem = stem_module(stem, stem_width)
        stages = len(network.depths)
        blocks: list[nn.Module] = []
        inputs = stem_width
        for depth, width, stride, ratio, groups in zip(
            network.depths,
            network.widths,
            network.strides,
            network.ratios or (1.0,) * stages,
            network.groups or (1,) * stages,
            strict=True,
        ):
            for position in range(depth):
                own_stride = 1 if position else stride
                blocks.append(block_module(network.block, inputs, width, own_stride, ratio, groups))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.classifier = nn.Linear(inputs, num_classes)

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass read; see `anynet_plan`."""
        del dead_branches  # there are none
        return anynet_plan.rectifier_inputs(self, images, pieces=pieces)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.pool(self.blocks(self.stem(x))))
        return logits

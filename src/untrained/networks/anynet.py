"""The graphs of stages of plain or residual blocks (Radosavovic et al., ICCV 2019, section 3).

The blocks are those of VGG and of ResNet and ResNeXt (He et al., CVPR 2016; Xie et al., CVPR 2017);
in a bottleneck the 3x3 convolution in the middle has the stride. Convolutions have no bias and are
followed by a normalisation.
"""

from typing import Literal

from untrained.networks.graph import Builder, Convolution, Graph, Pooling
from untrained.spaces.nds_networks import StagedNetwork, inner_width

#: Stems: `cifar` keeps the resolution, `half` halves it, `quarter` halves it twice as in ResNets.
Stem = Literal["cifar", "half", "quarter"]


def network_graph(network: StagedNetwork, num_classes: int, stem: Stem, stem_width: int) -> Graph:
    """Return the graph of stem, stages of blocks, global mean and classifier.

    Args:
        network: description of the stages.
        num_classes: outputs of the classifier.
        stem: kind of stem.
        stem_width: channels of the stem.
    """
    builder, stages = Builder(), len(network.depths)
    kernel, stride = {"cifar": (3, 1), "half": (3, 2), "quarter": (7, 2)}[stem]
    last = _rectified(builder, 0, 3, stem_width, kernel, stride)
    if stem == "quarter":
        last = builder.edge(last, None, Pooling("max", 3, 2))
    inputs = stem_width
    builder.cells.append(last)
    for depth, width, stride, ratio, groups in zip(
        network.depths,
        network.widths,
        network.strides,
        network.ratios or (1.0,) * stages,
        network.groups or (1,) * stages,
        strict=True,
    ):
        for position in range(depth):
            own = 1 if position else stride
            last = add_block(builder, network.block, last, inputs, width, own, ratio, groups)
            builder.cells.append(last)
            inputs = width
    return builder.graph(builder.classified(last, inputs, num_classes, rectified=False))


def add_block(
    builder: Builder, block: str, source: int, inputs: int, outputs: int, stride: int,
    ratio: float = 1, groups: int = 1,
) -> int:  # fmt: skip
    """Add a block and return the node of its output.

    A residual block is the rectified sum of a branch and its input, which goes through a 1x1
    convolution where the branch changes its shape.

    Args:
        builder: graph to extend.
        block: one of `nds_networks.BLOCKS`.
        source: node that the block reads.
        inputs: input channels.
        outputs: output channels.
        stride: 1 or 2.
        ratio: channels inside a bottleneck divided by `outputs`.
        groups: groups of the convolution in the middle of a bottleneck.
    """
    if block == "vanilla_block":
        inner = _rectified(builder, source, inputs, outputs, 3, stride)
        return _rectified(builder, inner, outputs, outputs, 3)
    output = builder.node(rectified=True)
    match block:
        case "res_basic_block":
            inner, width, last = _rectified(builder, source, inputs, outputs, 3, stride), outputs, 3
        case "res_bottleneck_block":
            width, last = inner_width(outputs, ratio), 1
            inner = _rectified(builder, source, inputs, width, 1)
            inner = _rectified(builder, inner, width, width, 3, stride, groups)
        case _:
            raise ValueError(block)
    _normalised(builder, inner, output, Convolution(width, outputs, (last, last)))
    if inputs == outputs and stride == 1:
        return builder.edge(source, output)
    projection = Convolution(inputs, outputs, (1, 1), (stride, stride))
    return _normalised(builder, source, output, projection)


def _rectified(
    builder: Builder, source: int, inputs: int, outputs: int, kernel: int, stride: int = 1,
    groups: int = 1,
) -> int:  # fmt: skip
    """Add convolution, normalisation and rectifier; return the node."""
    convolution = Convolution(inputs, outputs, (kernel, kernel), (stride, stride), groups)
    return _normalised(builder, source, builder.node(rectified=True), convolution)


def _normalised(builder: Builder, source: int, target: int, convolution: Convolution) -> int:
    return builder.edge(source, target, convolution, normalised=True)

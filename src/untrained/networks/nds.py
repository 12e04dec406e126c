"""The networks of NDS (Radosavovic et al., ICCV 2019), as trained and as NASWOT scores them.

For its staged networks NASWOT (Mellor et al., ICML 2021) takes stems of ImageNet with 12 channels,
also on CIFAR-10: a 7x7 convolution and a pooling for residual blocks, a 3x3 convolution for plain
ones. The paper of NDS trains a 3x3 convolution with 16 channels on CIFAR-10. Two things that the
released NASWOT code does are not done here:

- an auxiliary head makes a network return two tensors, for which that code has no score. Here the
  head is a part of the network that no forward pass runs, and does not count;
- it reads the number of groups of a ResNeXt block as the width of one. Here it is the number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from untrained.networks.anynet import AnyNet, Stem
from untrained.networks.costs import count_flops, count_parameters
from untrained.networks.darts import DartsNetwork, Skeleton
from untrained.spaces.nds_networks import CellNetwork, Network, parse_network

if TYPE_CHECKING:
    import pandas as pd


def scored_network(network: Network, num_classes: int, *, imagenet: bool) -> nn.Module:
    """The network that proxies read, on whatever images.

    Args:
        network: what stands between stem and classifier.
        num_classes: outputs of the classifier.
        imagenet: whether it was trained on ImageNet: then the stem of cells divides the
            resolution by eight.
    """
    if isinstance(network, CellNetwork):
        return _around_cells(network, num_classes, imagenet=imagenet)
    stem: Stem = "half" if network.block == "vanilla_block" else "quarter"
    return AnyNet(network, num_classes, stem, 12)


def trained_network(network: Network, num_classes: int, *, imagenet: bool) -> nn.Module:
    """The network that the benchmark trained; arguments as in `scored_network`.

    The stem of staged networks on ImageNet, 64 channels at a quarter of the resolution, is from
    memory.
    """
    if isinstance(network, CellNetwork):
        return _around_cells(network, num_classes, imagenet=imagenet)
    if imagenet:
        return AnyNet(network, num_classes, "quarter", 64)
    return AnyNet(network, num_classes, "cifar", 16)


def _around_cells(network: CellNetwork, num_classes: int, *, imagenet: bool) -> DartsNetwork:
    skeleton = Skeleton(network.depth, network.width, "imagenet" if imagenet else "cifar")
    return DartsNetwork(network, num_classes, skeleton, auxiliary=network.auxiliary)


@dataclass(frozen=True)
class Costs:
    """What a trained network costs.

    Attributes:
        parameters: with those of the auxiliary head, if it has one.
        without_head: without them.
        flops: multiply-adds of convolutions and of the classifier, its bias left out, of one image.
    """

    parameters: int
    without_head: int
    flops: int


def costs_of(network: Network, *, imagenet: bool) -> Costs:
    """Count what the benchmark's network costs: 10 classes at 32x32, or 1,000 at 224x224."""
    classes, side = (1000, 224) if imagenet else (10, 32)
    with torch.device("meta"):  # weights and images have shapes, which is all it takes
        module = trained_network(network, classes, imagenet=imagenet)
        flops = count_flops(module, (3, side, side)) - classes
    parameters = count_parameters(module)
    head = getattr(module, "auxiliary", None)
    extra = 0 if head is None else count_parameters(head)
    return Costs(parameters, parameters - extra, flops)


@dataclass(frozen=True)
class Mismatch:
    """An architecture whose stored cost is not what its network has.

    Attributes:
        index: in the space.
        cost: `parameters` or `flops`.
        stored: in the official file.
        counted: of our network, the nearest of the ways to count.
    """

    index: int
    cost: str
    stored: float
    counted: int

    def __str__(self) -> str:
        return (
            f"architecture {self.index} has {self.stored:,.0f} {self.cost} in the official file, "
            f"its network has {self.counted:,}"
        )


def mismatches(
    spellings: list[str], costs: "pd.DataFrame", indices: list[int], *, imagenet: bool
) -> Iterator[Mismatch]:
    """Compare stored costs with counted ones and yield what differs.

    Parameters may be counted with or without the auxiliary head, multiply-adds with or without the
    bias of the classifier: which of them the files have is not known.

    Args:
        spellings: of the architectures, by index.
        costs: columns `parameters` and `flops` by index, NaN where unknown.
        indices: of the architectures to compare.
        imagenet: whether they were trained on ImageNet.
    """
    for index in indices:
        counted = costs_of(parse_network(spellings[index]), imagenet=imagenet)
        classes = 1000 if imagenet else 10
        ways = {
            "parameters": (counted.parameters, counted.without_head),
            "flops": (counted.flops, counted.flops + classes),
        }
        for cost, numbers in ways.items():
            stored = float(costs[cost].iloc[index])
            # what was stored in millions has been rounded to whole numbers
            if stored == stored and not any(abs(stored - one) < 1 for one in numbers):
                yield Mismatch(index, cost, stored, min(numbers, key=lambda n: abs(n - stored)))

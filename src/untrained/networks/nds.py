"""The networks of NDS (Radosavovic et al., ICCV 2019), as trained and as NASWOT scores them.

For networks of stages, NASWOT (Mellor et al., ICML 2021) uses stems for ImageNet with 12 channels,
also on CIFAR-10: a 7x7 convolution and pooling for residual blocks, a 3x3 convolution for plain
blocks. The paper of NDS trains a 3x3 convolution with 16 channels on CIFAR-10. This module differs
from the released NASWOT code in two points:

- In that code a network with an auxiliary head returns two tensors and has no score. Here the head
  is a part of the network that no forward pass runs, and it does not count.
- That code takes the number of groups of a ResNeXt block for the width of a group. Here it is the
  number of groups.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from untrained.networks import anynet, darts
from untrained.networks.anynet import Stem
from untrained.networks.darts import Skeleton
from untrained.networks.graph import Graph
from untrained.spaces.nds_networks import CellNetwork, Network, parse_network

if TYPE_CHECKING:
    import pandas as pd


def scored_network(network: Network, num_classes: int, *, imagenet: bool) -> Graph:
    """Return the network that proxies score.

    Args:
        network: description of what is between stem and classifier.
        num_classes: outputs of the classifier.
        imagenet: whether the benchmark trained it on ImageNet: then the stem of a cell network
            divides the resolution by eight.
    """
    if isinstance(network, CellNetwork):
        return _around_cells(network, num_classes, imagenet=imagenet)
    stem: Stem = "half" if network.block == "vanilla_block" else "quarter"
    return anynet.network_graph(network, num_classes, stem, 12)


def trained_network(network: Network, num_classes: int, *, imagenet: bool) -> Graph:
    """Return the network that the benchmark trained; arguments as in `scored_network`.

    The stem of networks of stages on ImageNet, 64 channels at a quarter of the resolution, could
    not be compared with the original code.
    """
    if isinstance(network, CellNetwork):
        return _around_cells(network, num_classes, imagenet=imagenet)
    if imagenet:
        return anynet.network_graph(network, num_classes, "quarter", 64)
    return anynet.network_graph(network, num_classes, "cifar", 16)


def _around_cells(network: CellNetwork, num_classes: int, *, imagenet: bool) -> Graph:
    skeleton = Skeleton(network.depth, network.width, "imagenet" if imagenet else "cifar")
    return darts.network_graph(network, num_classes, skeleton, auxiliary=network.auxiliary)


@dataclass(frozen=True)
class Costs:
    """Parameters and multiply-adds of a trained network.

    Attributes:
        parameters: number of parameters, including those of an auxiliary head.
        without_head: number of parameters without those of an auxiliary head.
        flops: multiply-adds of convolutions and classifier for one image, without the bias.
    """

    parameters: int
    without_head: int
    flops: int


def costs_of(network: Network, *, imagenet: bool) -> Costs:
    """Count the costs of the benchmark's network: 10 classes at 32x32, or 1,000 at 224x224."""
    classes, side = (1000, 224) if imagenet else (10, 32)
    graph = trained_network(network, classes, imagenet=imagenet)
    without_head = replace(graph, edges=graph.executed)
    flops = graph.flops((3, side, side)) - classes
    return Costs(graph.parameters, without_head.parameters, flops)


def mismatches(
    spellings: list[str], costs: "pd.DataFrame", indices: list[int], *, imagenet: bool
) -> Iterator[str]:
    """Compare stored costs with counted ones and yield a line for each that differs.

    Parameters may be counted with or without the auxiliary head, and multiply-adds with or without
    the bias of the classifier, since it is unknown which the files contain. A line names the count
    that comes nearest.

    Args:
        spellings: spellings of the architectures, by index.
        costs: columns `parameters` and `flops` by index.
        indices: indices of the architectures to compare.
        imagenet: whether the benchmark trained them on ImageNet.
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
            nearest = min(numbers, key=lambda number: abs(number - stored))
            if stored != nearest:
                yield (
                    f"architecture {index} has {stored:,.0f} {cost} in the official file, its "
                    f"network has {nearest:,}"
                )

"""Stages of blocks: costs by hand, a forward pass against one written out."""

import pytest
import torch
from tests.networks.slow import Layers, benchmark_flops, pooled, shaken

from untrained.networks.anynet import add_block, network_graph
from untrained.networks.costs import count_parameters
from untrained.networks.graph import Builder
from untrained.networks.nds import costs_of
from untrained.networks.network import GraphNetwork
from untrained.spaces.nds_networks import StagedNetwork

NETWORKS = [
    StagedNetwork("vanilla_block", (1, 2, 1), (8, 16, 24), (1, 2, 2)),
    StagedNetwork("res_basic_block", (2, 1, 3), (16, 16, 24), (1, 1, 2)),
    StagedNetwork("res_basic_block", (2, 1), (16, 16), (2, 2)),
    StagedNetwork("res_bottleneck_block", (1, 2), (16, 32), (1, 2), (0.5, 0.25), (4, 2)),
    StagedNetwork("res_bottleneck_block", (2, 1), (12, 8), (2, 1), (1.0, 2.0), (1, 8)),
]


def slow_costs(network, classes, stem):
    """Return (parameters, multiply-adds), added up layer by layer."""
    kernel, width, at = stem
    parameters, flops = 3 * kernel**2 * width + 2 * width, 3 * kernel**2 * width * at
    inputs = width
    if stem == (7, 64, 112 * 112):
        at = 56 * 56
    for stage, (depth, outputs, stride) in enumerate(
        zip(network.depths, network.widths, network.strides, strict=True)
    ):
        for block in range(depth):
            before = at
            if block == 0:
                at //= stride**2
            layers = []  # (weights, positions, channels of the norm)
            if network.block == "res_bottleneck_block":
                inner = round(outputs * network.ratios[stage])
                layers.append((inputs * inner, before, inner))
                layers.append((9 * inner * inner // network.groups[stage], at, inner))
                layers.append((inner * outputs, at, outputs))
            else:
                layers.append((9 * inputs * outputs, at, outputs))
                layers.append((9 * outputs * outputs, at, outputs))
            first = block == 0 and stride > 1
            if network.block != "vanilla_block" and (inputs != outputs or first):
                layers.append((inputs * outputs, at, outputs))
            for weights, positions, channels in layers:
                parameters += weights + 2 * channels
                flops += weights * positions
            inputs = outputs
    return parameters + inputs * classes + classes, flops + inputs * classes


@pytest.mark.parametrize("network", NETWORKS)
def test_costs_are_those_of_the_closed_form(network):
    found = costs_of(network, imagenet=False)
    expected = slow_costs(network, 10, (3, 16, 32 * 32))
    assert (found.parameters, found.flops) == expected
    assert found.without_head == found.parameters
    found = costs_of(network, imagenet=True)
    assert (found.parameters, found.flops) == slow_costs(network, 1000, (7, 64, 112 * 112))


def test_resnet_18_and_resnext_50_have_their_published_sizes():
    """torchvision prints 11,689,512 and 25,028,904; its stems are those of `quarter`."""
    resnet = StagedNetwork("res_basic_block", (2,) * 4, (64, 128, 256, 512), (1, 2, 2, 2))
    resnext = StagedNetwork(
        "res_bottleneck_block", (3, 4, 6, 3), (256, 512, 1024, 2048), (1, 2, 2, 2),
        (0.5,) * 4, (32,) * 4,
    )  # fmt: skip
    for given, parameters, operations in ((resnet, 11_689_512, 1.81), (resnext, 25_028_904, 4.23)):
        graph = network_graph(given, 1000, "quarter", 64)
        with torch.device("meta"):
            network = GraphNetwork(graph)
        counted = benchmark_flops(network, (3, 224, 224))
        assert (graph.parameters, graph.flops((3, 224, 224))) == (parameters, counted)
        assert count_parameters(network) == parameters
        assert round(counted / 1e9, 2) == operations  # as torchvision gives it


def slow_block(x, block, layers, outputs, stride, inner, groups):
    def layer(x, outputs, kernel, stride=1, groups=1):
        return layers.normalised(layers.convolved(x, outputs, kernel, stride, groups))

    if block == "vanilla_block":
        return layer(layer(x, outputs, 3, stride).clamp(min=0), outputs, 3).clamp(min=0)
    if block == "res_basic_block":
        made = layer(layer(x, outputs, 3, stride).clamp(min=0), outputs, 3)
    else:
        made = layer(layer(x, inner, 1).clamp(min=0), inner, 3, stride, groups).clamp(min=0)
        made = layer(made, outputs, 1)
    changes = made.shape[1:] != x.shape[1:]
    return (made + (layer(x, outputs, 1, stride) if changes else x)).clamp(min=0)


def slow_forward(network, x, given, stem, width):
    layers = Layers(network)
    kernel, stride = {"cifar": (3, 1), "half": (3, 2), "quarter": (7, 2)}[stem]
    x = layers.normalised(layers.convolved(x, width, kernel, stride)).clamp(min=0)
    if stem == "quarter":
        x = pooled(x, "max", 2)
    for stage, (depth, outputs, stride) in enumerate(
        zip(given.depths, given.widths, given.strides, strict=True)
    ):
        for block in range(depth):
            inner = round(outputs * given.ratios[stage]) if given.ratios else None
            groups = given.groups[stage] if given.groups else None
            own = stride if block == 0 else 1
            x = slow_block(x, given.block, layers, outputs, own, inner, groups)
    return layers.classified(x)


@pytest.mark.parametrize("stem", ["cifar", "half", "quarter"])
@pytest.mark.parametrize("given", NETWORKS)
def test_a_forward_pass_follows_the_definition(given, stem):
    network = shaken(GraphNetwork(network_graph(given, 5, stem, 16)), 0)
    x = torch.randn(3, 3, 16, 22, dtype=torch.float64)
    with torch.no_grad():
        expected = slow_forward(network, x, given, stem, 16)
        assert torch.allclose(network(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("stem", "side"), [("cifar", 32), ("half", 16), ("quarter", 8)])
def test_stages_and_their_strides_say_the_shapes(stem, side):
    network = StagedNetwork("res_basic_block", (2, 1, 1), (8, 12, 16), (1, 2, 2))
    graph = network_graph(network, 5, stem, 6)
    assert GraphNetwork(graph)(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    shapes = graph.shapes((3, 32, 32))
    sums = [number for number in shapes if sum(one.target == number for one in graph.edges) > 1]
    assert [shapes[number] for number in sums] == [
        *[(8, side, side)] * 2, (12, side // 2, side // 2), (16, side // 4, side // 4)
    ]  # fmt: skip
    assert sum(node.rectified for node in graph.nodes) == 1 + 2 * 4


def test_a_block_that_does_not_exist_is_a_bug():
    with pytest.raises(ValueError, match="dense"):
        add_block(Builder(), "dense", 0, 4, 4, 1)

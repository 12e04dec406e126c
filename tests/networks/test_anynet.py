"""Stages of blocks: costs by hand, a forward pass against one written out."""

import pytest
import torch
from tests.networks.slow import convolved, normalised, shaken
from torch import nn

from untrained.networks.anynet import AnyNet, block_module
from untrained.networks.costs import count_flops, count_parameters
from untrained.networks.nds import costs_of
from untrained.spaces.nds_networks import StagedNetwork

NETWORKS = [
    StagedNetwork("vanilla_block", (1, 2, 1), (8, 16, 24), (1, 2, 2)),
    StagedNetwork("res_basic_block", (2, 1, 3), (16, 16, 24), (1, 1, 2)),
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
    module = AnyNet(resnet, 1000, "quarter", 64)
    assert count_parameters(module) == 11_689_512
    resnext = StagedNetwork(
        "res_bottleneck_block", (3, 4, 6, 3), (256, 512, 1024, 2048), (1, 2, 2, 2),
        (0.5,) * 4, (32,) * 4,
    )  # fmt: skip
    with torch.device("meta"):
        module = AnyNet(resnext, 1000, "quarter", 64)
    assert count_parameters(module) == 25_028_904
    assert round(count_flops(module, (3, 224, 224)) / 1e9, 2) == 4.23  # as torchvision gives it


def slow_block(x, block, module, stride):
    def layer(at, x, parts):
        return normalised(convolved(x, parts[at], parts[at].stride), parts[at + 1])

    if block == "vanilla_block":
        x = layer(0, x, module).clamp(min=0)
        return layer(3, x, module).clamp(min=0)
    made = x
    for at in range(0, len(module.branch), 3):
        made = layer(at, made, module.branch)
        if at + 3 < len(module.branch):
            made = made.clamp(min=0)
    # the convolution in the middle of three, or the first of two, has the stride
    strides = [part.stride[0] for part in module.branch if isinstance(part, nn.Conv2d)]
    assert strides == ([1, stride, 1] if block == "res_bottleneck_block" else [stride, 1])
    shortcut = layer(0, x, module.shortcut) if len(module.shortcut) else x
    return (made + shortcut).clamp(min=0)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("inputs", [8, 12])
@pytest.mark.parametrize("block", ["vanilla_block", "res_basic_block", "res_bottleneck_block"])
def test_a_block_follows_its_definition(block, inputs, stride):
    torch.manual_seed(0)
    module = shaken(block_module(block, inputs, 8, stride, 0.5, 2))
    x = torch.randn(3, inputs, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        expected = slow_block(x, block, module, stride)
        assert torch.allclose(module(x), expected, rtol=1e-9, atol=1e-9)
    if block != "vanilla_block":
        assert bool(len(module.shortcut)) == (inputs != 8 or stride == 2)


@pytest.mark.parametrize(("stem", "side"), [("cifar", 32), ("half", 16), ("quarter", 8)])
def test_stages_and_their_strides_say_the_shapes(stem, side):
    network = StagedNetwork("res_basic_block", (2, 1, 1), (8, 12, 16), (1, 2, 2))
    module = AnyNet(network, 5, stem, 6)
    shapes = []
    for block in module.blocks:
        block.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape[1:])))
    assert module(torch.randn(2, 3, 32, 32)).shape == (2, 5)
    assert shapes == [
        (8, side, side),
        (8, side, side),
        (12, side // 2, side // 2),
        (16, side // 4, side // 4),
    ]
    rectifiers = sum(isinstance(one, nn.ReLU) for one in module.modules())
    assert rectifiers == 1 + 2 * 4


def test_a_block_that_does_not_exist_is_a_bug():
    with pytest.raises(ValueError, match="dense"):
        block_module("dense", 4, 4, 1)

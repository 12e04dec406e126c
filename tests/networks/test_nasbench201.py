"""The network against a slow one that follows the definition edge by edge."""

import numpy as np
import pytest
import torch
from tests.networks.slow import convolved, normalised, pooled, shaken
from torch.nn import functional

from untrained.networks.nasbench201 import (
    Cell,
    NasBench201Network,
    Reduction,
    ReLUConvBN,
    operation_module,
)
from untrained.spaces.nasbench201 import EDGES


def relu_conv_bn(x, module, stride=1):
    convolution, norm = module[1], module[2]
    return normalised(convolved(x.clamp(min=0), convolution, stride), norm)


def slow_cell(x, operations, cell):
    modules = iter(cell.operations)
    nodes = [x] + [torch.zeros_like(x) for _ in range(3)]
    for (source, target), operation in zip(EDGES, operations, strict=True):
        value = nodes[source]
        if operation == "none":
            term = 0 * value
        else:
            module = next(modules)
            match operation:
                case "skip_connect":
                    term = value
                case "avg_pool_3x3":
                    term = pooled(value)
                case "nor_conv_1x1" | "nor_conv_3x3":
                    assert module[1].weight.shape[-1] == int(operation[-1])
                    term = relu_conv_bn(value, module)
        nodes[target] = nodes[target] + term
    assert next(modules, None) is None
    return nodes[3]


def slow_forward(network, x, operations):
    x = normalised(convolved(x, network.stem[0]), network.stem[1])
    assert x.shape[1] == 16
    blocks = list(network.blocks)
    assert len(blocks) == 17
    for position, block in enumerate(blocks):
        if position in (5, 11):
            main = relu_conv_bn(relu_conv_bn(x, block.first, stride=2), block.second)
            halves = functional.avg_pool2d(x, 2, 2)
            x = main + convolved(halves, block.shortcut[1])
        else:
            x = slow_cell(x, operations, block)
    assert x.shape[1] == 64
    x = normalised(x, network.head[0]).clamp(min=0).mean((2, 3))
    return x @ network.classifier.weight.T + network.classifier.bias


CELLS = [1462, 0, 10525, *(int(i) for i in np.random.default_rng(0).integers(15_625, size=9))]


@pytest.mark.parametrize("index", CELLS)
def test_a_forward_pass_follows_the_definition(space, all_operations, index):
    torch.manual_seed(index)
    network = shaken(space.network(space[index], 10))
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = slow_forward(network, x, all_operations[index])
        assert torch.allclose(network(x), expected, rtol=1e-8, atol=1e-8)


def test_the_cells_hold_every_operation_in_turn(all_operations):
    assert {operation for i in CELLS for operation in all_operations[i]} == {
        *("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    }


def test_a_cell_without_a_path_gives_zeros():
    x = torch.randn(2, 4, 6, 6)
    for operations in (("none",) * 6, ("nor_conv_3x3", "none", "none", "none", "none", "none")):
        output = Cell(operations, 4)(x)
        assert output.shape == x.shape
        assert not output.any()


def test_nodes_without_input_are_zero_and_their_edges_are_executed():
    # node 1 is zero, and a normalised convolution of zeros is its own bias
    cell = Cell(("none", "none", "none", "none", "nor_conv_1x1", "none"), 4)
    torch.nn.init.constant_(cell.operations[0][2].bias, 0.5)
    assert torch.equal(cell(torch.randn(2, 4, 6, 6)), torch.full((2, 4, 6, 6), 0.5))


def test_a_reduction_halves_the_resolution():
    assert Reduction(4, 8)(torch.randn(2, 4, 6, 6)).shape == (2, 8, 3, 3)


def test_stages_have_16_32_and_64_channels_and_five_cells():
    network = NasBench201Network(("skip_connect",) * 6, 10)
    kinds = [type(block).__name__ for block in network.blocks]
    assert kinds == [*["Cell"] * 5, "Reduction", *["Cell"] * 5, "Reduction", *["Cell"] * 5]
    shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape)))
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    expected = [(2, 16, 32, 32)] * 5 + [(2, 32, 16, 16)] * 6 + [(2, 64, 8, 8)] * 6
    assert shapes == expected


def test_networks_are_made_in_training_mode_and_take_16_pixel_images(space):
    network = space.network(space[1462], 120)
    assert all(module.training for module in network.modules())
    assert network(torch.randn(2, 3, 16, 16)).shape == (2, 120)


def test_an_operation_that_does_not_exist_is_a_bug():
    with pytest.raises(ValueError, match="none"):
        operation_module("none", 4)
    assert isinstance(operation_module("nor_conv_1x1", 4), ReLUConvBN)

"""The network against a slow one that follows the definition edge by edge."""

import numpy as np
import pytest
import torch
from tests.networks.slow import Layers, cell_alone, part_of, pooled, shaken
from torch.nn import functional

from untrained.networks.graph import Builder
from untrained.networks.nasbench201 import add_operation, add_reduction
from untrained.spaces.nasbench201 import EDGES

NONE = ("none",) * 6
CONV = "nor_conv_1x1"


def relu_conv_bn(x, layers, outputs, kernel, stride=1):
    return layers.normalised(layers.convolved(x.clamp(min=0), outputs, kernel, stride))


def slow_cell(x, operations, layers):
    nodes = [x] + [torch.zeros_like(x) for _ in range(3)]
    for (source, target), operation in zip(EDGES, operations, strict=True):
        value = nodes[source]
        match operation:
            case "none":
                term = 0 * value
            case "skip_connect":
                term = value
            case "avg_pool_3x3":
                term = pooled(value)
            case "nor_conv_1x1" | "nor_conv_3x3":
                term = relu_conv_bn(value, layers, x.shape[1], int(operation[-1]))
        nodes[target] = nodes[target] + term
    return nodes[3]


def slow_reduction(x, layers, outputs):
    main = relu_conv_bn(relu_conv_bn(x, layers, outputs, 3, 2), layers, outputs, 3)
    return main + layers.convolved(functional.avg_pool2d(x, 2, 2), outputs, 1)


def slow_head(x, layers):
    return layers.classified(layers.normalised(x).clamp(min=0))


def slow_forward(network, x, operations):
    layers = Layers(network)
    x = layers.normalised(layers.convolved(x, 16, 3))
    for block in range(17):
        if block in (5, 11):
            x = slow_reduction(x, layers, 2 * x.shape[1])
        else:
            x = slow_cell(x, operations, layers)
    assert x.shape[1] == 64
    return slow_head(x, layers)


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


@pytest.mark.parametrize("outputs", [4, 7])
def test_a_cell_without_a_path_gives_zeros(outputs):
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64)
    for operations in (NONE, (CONV, *NONE[1:])):
        output = cell_alone(operations, 4, outputs)(x)
        assert torch.equal(output, torch.zeros(2, outputs, 6, 6, dtype=torch.float64))


@pytest.mark.parametrize("outputs", [4, 7])
def test_nodes_without_input_are_zero_and_their_edges_are_executed(outputs):
    # node 1 is zero, and a normalised convolution of zeros is its own bias
    cell = cell_alone((*NONE[:4], CONV, "none"), 4, outputs)
    (norm,) = (one for one in cell.modules() if isinstance(one, torch.nn.BatchNorm2d))
    torch.nn.init.constant_(norm.bias, 0.5)
    output = cell(torch.randn(2, 4, 6, 6, dtype=torch.float64))
    assert output.shape == (2, outputs, 6, 6)
    assert (output == 0.5).all()


def test_a_reduction_halves_the_resolution():
    block = part_of(4, lambda builder, source: add_reduction(builder, source, 4, 8), 8)
    assert block(torch.randn(2, 4, 6, 6, dtype=torch.float64)).shape == (2, 8, 3, 3)


def test_stages_have_16_32_and_64_channels_and_five_cells(space):
    # an edge of a node of its own leads from each cell to the next
    graph = space.graph(space.parse("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"), 10)
    shapes = [graph.shapes((3, 32, 32))[edge.target] for edge in graph.edges if edge.identity]
    assert shapes == [(16, 32, 32)] * 5 + [(32, 16, 16)] * 5 + [(64, 8, 8)] * 5


def test_networks_are_made_in_training_mode_and_take_16_pixel_images(space):
    network = space.network(space[1462], 120)
    assert all(module.training for module in network.modules())
    assert network(torch.randn(2, 3, 16, 16)).shape == (2, 120)


def test_only_skips_that_change_the_width_have_weights():
    def added(operation, outputs):
        builder = Builder(4)
        add_operation(builder, operation, 0, builder.node(), 4, outputs)
        (edge,) = builder.edges
        return edge

    assert added("skip_connect", 4).identity
    projection = added("skip_connect", 8)
    assert [one.kernel for one in projection.weighted] == [(1, 1)]
    assert (projection.normalised, projection.rectified) == (True, False)
    for operation, outputs in (("none", 4), ("avg_pool_3x3", 8)):
        with pytest.raises(ValueError, match=operation):
            added(operation, outputs)

"""The size network against a slow one that follows the definition, and its parameter counts."""

import numpy as np
import pandas as pd
import pytest
import torch
from tests.networks.slow import convolved, normalised, shaken
from torch import nn
from torch.nn import functional

from untrained.networks.costs import count_parameters
from untrained.networks.nasbench201 import Cell, Projection, operation_module
from untrained.spaces import get_space
from untrained.spaces.natsbench_size import widths_of

from .test_nasbench201 import relu_conv_bn

SPACE = get_space("natsbench_size")
#: Equal and different widths on both sides of every layer.
WIDTHS = ["8:8:8:8:8", "64:8:8:24:24", "8:24:40:56:16", "16:16:48:48:48", "56:40:40:8:64"]


def parameters_of(widths, num_classes):
    """Count by formula: convolutions have no bias, normalisations two numbers per channel."""

    def conv_bn(size, inputs, outputs):
        return size * size * inputs * outputs + 2 * outputs

    def cell(inputs, outputs):
        skip = conv_bn(1, inputs, outputs) * (inputs != outputs)
        return 2 * conv_bn(3, inputs, outputs) + 3 * conv_bn(3, outputs, outputs) + skip

    def reduction(inputs, outputs):
        main = conv_bn(3, inputs, outputs) + conv_bn(3, outputs, outputs)
        return main + inputs * outputs

    a, b, c, d, e = widths
    layers = cell(a, a) + reduction(a, b) + cell(b, c) + reduction(c, d) + cell(d, e)
    return conv_bn(3, 3, a) + layers + 2 * e + (e + 1) * num_classes


CLASSES = {"cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}


def test_parameter_counts_are_those_of_the_closed_formula():
    rng = np.random.default_rng(0)
    chosen = [SPACE.parse(text) for text in WIDTHS] + [SPACE.sample(rng) for _ in range(40)]
    for architecture in chosen:
        for num_classes in CLASSES.values():
            expected = parameters_of(widths_of(architecture.spelling), num_classes)
            assert count_parameters(SPACE.network(architecture, num_classes)) == expected


@pytest.mark.parametrize("dataset", CLASSES)
def test_the_closed_formula_gives_the_benchmarks_counts(real_benchmarks, dataset):
    table = pd.read_parquet(real_benchmarks / "natsbench_size.parquet")
    widths = np.array([widths_of(spelling) for spelling in table["arch_str"]]).T
    assert widths.shape == (5, 32_768)
    found = parameters_of(widths, CLASSES[dataset])
    assert np.array_equal(found, table[f"params_{dataset}"])


def slow_cell(x, cell):
    """Compute the cell's two inner nodes and its output, written out."""
    to_one, to_two, one_to_two, skip, one_to_out, two_to_out = cell.operations
    one = relu_conv_bn(x, to_one)
    two = relu_conv_bn(x, to_two) + relu_conv_bn(one, one_to_two)
    copied = x if isinstance(skip, nn.Identity) else normalised(convolved(x, skip[0]), skip[1])
    return copied + relu_conv_bn(one, one_to_out) + relu_conv_bn(two, two_to_out)


def slow_reduction(x, block):
    main = relu_conv_bn(relu_conv_bn(x, block.first, stride=2), block.second)
    return main + convolved(functional.avg_pool2d(x, 2, 2), block.shortcut[1])


def slow_forward(network, x):
    x = normalised(convolved(x, network.stem[0]), network.stem[1])
    first, to_half, second, to_quarter, third = network.blocks
    x = slow_reduction(slow_cell(x, first), to_half)
    x = slow_reduction(slow_cell(x, second), to_quarter)
    x = slow_cell(x, third)
    x = normalised(x, network.head[0]).clamp(min=0).mean((2, 3))
    return x @ network.classifier.weight.T + network.classifier.bias


@pytest.mark.parametrize("text", WIDTHS)
def test_a_forward_pass_follows_the_definition(text):
    torch.manual_seed(0)
    network = shaken(SPACE.network(SPACE.parse(text), 10), 0)
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(network(x), slow_forward(network, x), rtol=1e-8, atol=1e-8)


def test_layers_have_their_widths_and_every_second_halves_the_resolution():
    network = SPACE.network(SPACE.parse("24:8:64:32:40"), 120)
    assert all(module.training for module in network.modules())
    shapes = []
    for part in (network.stem, *network.blocks):
        part.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape)))
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 120)
    assert shapes == [
        *((2, 24, 32, 32), (2, 24, 32, 32), (2, 8, 16, 16)),
        *((2, 64, 16, 16), (2, 32, 8, 8), (2, 40, 8, 8)),
    ]


def test_nodes_without_input_have_the_width_of_the_others():
    conv, none = "nor_conv_1x1", "none"
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(Cell((none,) * 6, 4, 7)(x), torch.zeros(2, 7, 6, 6))
    assert Cell((none, none, none, none, conv, none), 4, 7)(x).shape == (2, 7, 6, 6)
    assert torch.equal(Cell((none,) * 6, 4)(x), torch.zeros_like(x))


def test_only_skips_that_change_the_width_project():
    assert isinstance(operation_module("skip_connect", 4), nn.Identity)
    assert isinstance(operation_module("skip_connect", 4, 4), nn.Identity)
    assert isinstance(operation_module("skip_connect", 4, 8), Projection)
    with pytest.raises(ValueError, match="avg_pool"):
        operation_module("avg_pool_3x3", 4, 8)

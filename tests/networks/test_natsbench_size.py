"""The size network against a slow one that follows the definition, and its costs by formula."""

import numpy as np
import pandas as pd
import pytest
import torch
from tests.networks.slow import Layers, benchmark_flops, shaken
from tests.networks.test_nasbench201 import relu_conv_bn, slow_head, slow_reduction

from untrained.networks.costs import count_parameters
from untrained.spaces import get_space
from untrained.spaces.natsbench_size import widths_of

SPACE = get_space("natsbench_size")
#: Equal and different widths on both sides of every layer.
WIDTHS = ["8:8:8:8:8", "64:8:8:24:24", "8:24:40:56:16", "16:16:48:48:48", "56:40:40:8:64"]
CLASSES = {"cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}


def slow_costs(widths, classes, pixels):
    """Count parameters and multiply-adds: convolutions have no bias, norms two numbers a channel.

    Args:
        widths: the five widths, each a number or numbers of many networks.
        classes: the number of classes.
        pixels: pixels of an image.
    """

    def conv(size, inputs, outputs, pixels, norm=2):
        weights = size * size * inputs * outputs
        return np.array([weights + norm * outputs, weights * pixels])

    def cell(inputs, outputs, pixels):
        skip = conv(1, inputs, outputs, pixels) * (inputs != outputs)
        return 2 * conv(3, inputs, outputs, pixels) + 3 * conv(3, outputs, outputs, pixels) + skip

    def reduction(inputs, outputs, pixels):
        main = conv(3, inputs, outputs, pixels) + conv(3, outputs, outputs, pixels)
        return main + conv(1, inputs, outputs, pixels, norm=0)

    a, b, c, d, e = widths
    total = conv(3, 3, a, pixels) + cell(a, a, pixels) + reduction(a, b, pixels // 4)
    total += cell(b, c, pixels // 4) + reduction(c, d, pixels // 16) + cell(d, e, pixels // 16)
    head = (e + 1) * classes
    return total + np.array([head + 2 * e, head])


def test_costs_are_those_of_the_formula():
    rng = np.random.default_rng(0)
    chosen = [SPACE.parse(text) for text in WIDTHS] + [SPACE.sample(rng) for _ in range(40)]
    for number, architecture in enumerate(chosen):
        for classes in CLASSES.values():
            graph = SPACE.graph(architecture, classes)
            expected = slow_costs(widths_of(architecture.spelling), classes, 32 * 32).tolist()
            assert [graph.parameters, graph.flops((3, 32, 32))] == expected
            if number < len(WIDTHS):
                network = SPACE.network(architecture, classes)
                counted = [count_parameters(network), benchmark_flops(network, (3, 32, 32))]
                assert counted == expected


@pytest.fixture(scope="module")
def table(real_benchmarks):
    return pd.read_parquet(real_benchmarks / "natsbench_size.parquet")


@pytest.mark.parametrize("dataset", CLASSES)
def test_the_formula_gives_the_benchmarks_counts(table, dataset):
    widths = np.array([widths_of(spelling) for spelling in table["arch_str"]]).T
    assert widths.shape == (5, 32_768)
    found, _ = slow_costs(widths, CLASSES[dataset], 1)
    assert np.array_equal(found, table[f"params_{dataset}"])


def test_graphs_have_the_benchmarks_counts(table, part):
    found = [SPACE.graph(SPACE.parse(text), 10).parameters for text in table["arch_str"][part]]
    assert np.array_equal(found, table["params_cifar10"][part])


def slow_cell(x, layers, outputs):
    """Compute the cell's two inner nodes and its output, written out."""
    one = relu_conv_bn(x, layers, outputs, 3)
    two = relu_conv_bn(x, layers, outputs, 3) + relu_conv_bn(one, layers, outputs, 3)
    changes = x.shape[1] != outputs
    copied = layers.normalised(layers.convolved(x, outputs, 1)) if changes else x
    return copied + relu_conv_bn(one, layers, outputs, 3) + relu_conv_bn(two, layers, outputs, 3)


def slow_forward(network, x, widths):
    layers = Layers(network)
    x = layers.normalised(layers.convolved(x, widths[0], 3))
    for position, width in enumerate(widths):
        x = (slow_reduction if position in (1, 3) else slow_cell)(x, layers, width)
    return slow_head(x, layers)


@pytest.mark.parametrize("text", WIDTHS)
def test_a_forward_pass_follows_the_definition(text):
    network = shaken(SPACE.network(SPACE.parse(text), 10), 0)
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = slow_forward(network, x, widths_of(text))
        assert torch.allclose(network(x), expected, rtol=1e-8, atol=1e-8)


def test_layers_have_their_widths_and_every_second_halves_the_resolution():
    network = SPACE.network(SPACE.parse("24:8:64:32:40"), 120)
    assert all(module.training for module in network.modules())
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 120)
    shapes = set(network.graph.shapes((3, 32, 32)).values())
    assert shapes == {
        *((3, 32, 32), (24, 32, 32), (8, 16, 16)),
        *((64, 16, 16), (32, 8, 8), (40, 8, 8), (120,)),
    }

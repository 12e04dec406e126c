"""The network against a slow one that follows the definition vertex by vertex."""

import numpy as np
import pandas as pd
import pytest
import torch
from tests.networks.slow import convolved, normalised, pooled, shaken

from untrained.networks.costs import count_parameters as parameters_of
from untrained.networks.nasbench101 import CellModule, ConvBnRelu, NasBench101Network
from untrained.networks.nasbench101_channels import (
    BENCHMARK,
    KERNELS,
    SCORED,
    vertex_channels,
    widths,
)
from untrained.networks.nasbench101_plan import draw_network
from untrained.spaces import get_space
from untrained.spaces.base import NotApplicable, Skeleton
from untrained.spaces.nasbench101_cells import OPERATIONS, parse_cell

SPACE = get_space("nasbench101")
INDICES = [int(index) for index in np.random.default_rng(0).integers(len(SPACE), size=12)]
#: The smallest cell; one that splits 16 in three and adds the input to the output; one truncation.
SPELLED = [
    "01|00:input,output",
    "01111|00001|00001|00001|00000:input,conv3x3-bn-relu,conv1x1-bn-relu,maxpool3x3,output",
    "01001|00111|00001|00001|00000:input,maxpool3x3,conv1x1-bn-relu,conv3x3-bn-relu,output",
]
CELLS = [*(SPACE.cell(index) for index in INDICES), *map(parse_cell, SPELLED)]


def slow_channels(matrix, inputs, outputs):
    """Return the channels of each vertex by the rule of the paper, written recursively."""
    n = len(matrix)
    readers = [v for v in range(1, n - 1) if matrix[v][n - 1]]

    def channels(v):
        if v in (0, n - 1):
            return inputs if v == 0 else outputs
        if v in readers:
            # 16 channels among three vertices: 6, 5, 5
            return len(range(readers.index(v), outputs, len(readers)))
        return max(channels(u) for u in range(v + 1, n - 1) if matrix[v][u])

    return tuple(channels(v) for v in range(n))


def conv_bn_relu(x, module):
    return normalised(convolved(x, module[0]), module[1]).clamp(min=0)


def slow_cell(x, cell, module, outputs):
    n = len(cell.matrix)
    channels = slow_channels(cell.matrix, x.shape[1], outputs)
    values = {0: x}

    def projected(v):
        layer = module.projections[str(v)]
        assert tuple(layer[0].weight.shape) == (channels[v], x.shape[1], 1, 1)
        return conv_bn_relu(x, layer)

    for v in range(1, n - 1):
        total = torch.zeros(len(x), channels[v], *x.shape[2:], dtype=x.dtype)
        for u in range(v):
            if cell.matrix[u][v]:
                total = total + (projected(v) if u == 0 else values[u][:, : channels[v]])
        operation = cell.operations[v - 1]
        if operation == "maxpool3x3":
            values[v] = pooled(total, "max")
        else:
            layer = module.operations[str(v)]
            size = int(operation[4])
            assert tuple(layer[0].weight.shape) == (channels[v], channels[v], size, size)
            values[v] = conv_bn_relu(total, layer)
    read = [values[v] for v in range(1, n - 1) if cell.matrix[v][n - 1]]
    output = torch.cat(read, 1) if read else torch.zeros(1, dtype=x.dtype)
    return output + projected(n - 1) if cell.matrix[0][n - 1] else output


def slow_forward(network, x, cell, stem):
    x = conv_bn_relu(x, network.stem[0])
    assert x.shape[1] == stem
    modules = [block for block in network.blocks if isinstance(block, CellModule)]
    assert len(modules) == 9
    for position, module in enumerate(modules):
        stack = position // 3
        if position in (3, 6):
            x = torch.stack([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)
        x = slow_cell(x, cell, module, stem << stack)
    x = x.mean((2, 3))
    return x @ network.classifier.weight.T + network.classifier.bias


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_forward_pass_follows_the_definition(cell):
    torch.manual_seed(0)
    network = shaken(NasBench101Network(cell, 10))
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = slow_forward(network, x, cell, 16)
        assert torch.allclose(network(x), expected, rtol=1e-8, atol=1e-8)


def test_the_cells_hold_everything_that_a_cell_can():
    assert {name for cell in CELLS for name in cell.operations} == set(OPERATIONS)
    assert any(cell.matrix[0][-1] for cell in CELLS)
    splits = {sum(row[-1] for row in cell.matrix[1:-1]) for cell in CELLS}
    assert splits >= {0, 1, 2, 3}
    truncated = [
        vertex_channels(cell.matrix, 16, 16)[u] > vertex_channels(cell.matrix, 16, 16)[v]
        for cell in CELLS
        for u in range(1, len(cell.matrix) - 1)
        for v in range(u + 1, len(cell.matrix) - 1)
        if cell.matrix[u][v]
    ]
    assert any(truncated)
    assert not all(truncated)


@pytest.mark.parametrize("outputs", [16, 32, 64, 128, 256, 512])
def test_channels_follow_the_rule(outputs):
    rng = np.random.default_rng(outputs)
    for index in rng.integers(len(SPACE), size=300):
        matrix = SPACE.cell(int(index)).matrix
        assert vertex_channels(matrix, 16, outputs) == slow_channels(matrix, 16, outputs)


@pytest.mark.parametrize(
    "build", [NasBench101Network, lambda cell, _classes, thin: draw_network(cell, thin)]
)
def test_a_cell_that_has_not_a_channel_for_each_vertex_is_not_applicable(build):
    shared = parse_cell(SPELLED[1])  # by three vertices
    build(shared, 10, Skeleton(3, 1))
    with pytest.raises(NotApplicable, match=r"^3 vertices of the cell can't share 2 channels"):
        build(shared, 10, Skeleton(2, 1))


def test_stacks_double_the_channels():
    assert (
        widths(SCORED) == [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2
    )
    assert widths(Skeleton(4, 1, 2)) == [(4, 4), (4, 8)]


def count_parameters(cell, num_classes=10, skeleton=BENCHMARK):
    """Count the trainable scalars of the network around a cell, without building it.

    A convolution has no bias, its normalisation two scalars per channel; the classifier has a bias.
    """
    every = widths(skeleton)
    convolutions = sum(every.count(pair) * _in_cell(cell, *pair) for pair in dict.fromkeys(every))
    stem = 3 * 9 * skeleton.channels + 2 * skeleton.channels if skeleton.stem else 0
    return stem + convolutions + (every[-1][1] + 1) * num_classes


def _in_cell(cell, inputs, outputs):
    channels = vertex_channels(cell.matrix, inputs, outputs)
    total = sum(
        (inputs + 2) * width
        for width, read in zip(channels, cell.matrix[0], strict=True)
        if read  # the input is projected to the vertex's channels
    )
    for width, operation in zip(channels[1:-1], cell.operations, strict=True):
        if operation in KERNELS:
            total += (KERNELS[operation] ** 2 * width + 2) * width
    return total


@pytest.mark.parametrize(
    ("skeleton", "classes"),
    [(BENCHMARK, 10), (SCORED, 1), (Skeleton(5, 2, 2), 3), (Skeleton(6, 1, 1, stem=False), 2)],
)
def test_parameters_are_counted_without_a_network(skeleton, classes):
    for cell in CELLS:
        built = parameters_of(NasBench101Network(cell, classes, skeleton))
        assert count_parameters(cell, classes, skeleton) == built


def test_all_cells_have_the_benchmarks_parameters(real_benchmarks):
    published = pd.read_parquet(real_benchmarks / "nasbench101.parquet", columns=["params"])
    found = [count_parameters(SPACE.cell(index)) for index in range(len(SPACE))]
    assert np.array_equal(found, published["params"])


def test_stages_halve_the_resolution():
    network = SPACE.network(SPACE[0], 10)
    shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape[1:])))
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert shapes == [
        *[(16, 32, 32)] * 3,
        (16, 16, 16),
        *[(32, 16, 16)] * 3,
        (32, 8, 8),
        *[(64, 8, 8)] * 3,
    ]


def test_the_skeleton_is_an_argument():
    assert SPACE.network(SPACE[0], 10).stem[0][0].out_channels == 16
    assert SPACE.network(SPACE[0], 10, BENCHMARK).stem[0][0].out_channels == 128
    headless = SPACE.network(SPACE[0], 2, Skeleton(4, 1, 2, stem=False))
    assert headless(torch.randn(2, 4, 8, 8)).shape == (2, 2)


def test_weights_are_drawn_as_the_authors_of_naswot_do():
    torch.manual_seed(0)
    network = SPACE.network(SPACE[0], 10, BENCHMARK)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            outputs, _, size, _ = module.weight.shape
            drawn = module.weight.detach() / (2 / (size * size * outputs)) ** 0.5
            assert float(drawn.std()) == pytest.approx(1, abs=0.05)
            assert float(drawn.mean()) == pytest.approx(0, abs=0.05)
        elif isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()
            assert (module.eps, module.momentum) == (1e-5, pytest.approx(0.003))
    assert float(network.classifier.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    assert not network.classifier.bias.any()
    assert all(module.training for module in network.modules())


def test_a_rectifier_counts_once_in_the_released_score():
    # a class named after ReLU would count its rectifier again
    named = [m for m in ConvBnRelu(3, 4, 1).modules() if "ReLU" in type(m).__name__]
    assert [type(module) for module in named] == [torch.nn.ReLU]
    network = SPACE.network(SPACE[0], 1)
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
    assert sum("ReLU" in type(module).__name__ for module in network.modules()) == convolutions

"""The network against a slow one that follows the definition vertex by vertex."""

from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from tests.networks.slow import Layers, benchmark_flops, pooled, shaken

from untrained.networks.costs import count_parameters
from untrained.networks.nasbench101 import network_graph
from untrained.networks.nasbench101_channels import BENCHMARK, SCORED, vertex_channels, widths
from untrained.networks.network import GraphNetwork
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


@cache
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


def conv_bn_relu(x, layers, outputs, kernel):
    return layers.normalised(layers.convolved(x, outputs, kernel)).clamp(min=0)


def slow_cell(x, cell, layers, outputs):
    n = len(cell.matrix)
    channels = slow_channels(cell.matrix, x.shape[1], outputs)
    values = {}
    for v in range(1, n - 1):
        total = torch.zeros(len(x), channels[v], *x.shape[2:], dtype=x.dtype)
        for u in range(1, v):
            if cell.matrix[u][v]:
                total = total + values[u][:, : channels[v]]
        if cell.matrix[0][v]:
            total = total + conv_bn_relu(x, layers, channels[v], 1)
        operation = cell.operations[v - 1]
        values[v] = (
            pooled(total, "max")
            if operation == "maxpool3x3"
            else conv_bn_relu(total, layers, channels[v], int(operation[4]))
        )
    read = [values[v] for v in range(1, n - 1) if cell.matrix[v][n - 1]]
    output = torch.cat(read, 1) if read else torch.zeros(1, dtype=x.dtype)
    return output + conv_bn_relu(x, layers, outputs, 1) if cell.matrix[0][n - 1] else output


def slow_forward(network, x, cell, stem):
    layers = Layers(network)
    x = conv_bn_relu(x, layers, stem, 3)
    for position in range(9):
        if position in (3, 6):
            x = torch.stack([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)
        x = slow_cell(x, cell, layers, stem << position // 3)
    return layers.classified(x)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_forward_pass_follows_the_definition(cell):
    torch.manual_seed(0)
    network = shaken(GraphNetwork(network_graph(cell, 10)))
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


def test_a_cell_that_has_not_a_channel_for_each_vertex_is_not_applicable():
    shared = parse_cell(SPELLED[1])  # by three vertices
    network_graph(shared, 10, Skeleton(3, 1))
    with pytest.raises(NotApplicable, match=r"^3 vertices of the cell can't share 2 channels"):
        network_graph(shared, 10, Skeleton(2, 1))


def test_stacks_double_the_channels():
    assert (
        widths(SCORED) == [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2
    )
    assert widths(Skeleton(4, 1, 2)) == [(4, 4), (4, 8)]


def slow_costs(cell, classes, skeleton, pixels):
    """Count parameters and multiply-adds around a cell by the definition.

    A convolution has no bias, its normalisation two scalars per channel; the classifier has a bias.
    """

    first = skeleton.channels
    convolutions = [(1, 3, 3, first, pixels)] * skeleton.stem
    stacks = [stack for stack in range(skeleton.stages) for _ in range(skeleton.cells)]
    cells = Counter((first << before, first << own, own) for before, own in pairwise([0, *stacks]))
    for (inputs, outputs, stack), times in cells.items():
        channels, at = slow_channels(cell.matrix, inputs, outputs), pixels >> 2 * stack
        for width, read in zip(channels, cell.matrix[0], strict=True):
            if read:  # the input is projected to the vertex's channels
                convolutions.append((times, 1, inputs, width, at))
        for width, operation in zip(channels[1:-1], cell.operations, strict=True):
            if operation.startswith("conv"):
                convolutions.append((times, int(operation[4]), width, width, at))
    head = (outputs + 1) * classes
    return (
        head + sum(n * (size**2 * wide + 2) * to for n, size, wide, to, _ in convolutions),
        head + sum(n * size**2 * wide * to * at for n, size, wide, to, at in convolutions),
    )


@pytest.mark.parametrize(
    ("skeleton", "classes"),
    [(BENCHMARK, 10), (SCORED, 1), (Skeleton(5, 2, 2), 3), (Skeleton(6, 1, 1, stem=False), 2)],
)
def test_costs_are_those_of_the_definition(skeleton, classes):
    image = 3 if skeleton.stem else skeleton.channels, 8, 8
    for cell in CELLS:
        graph = network_graph(cell, classes, skeleton)
        expected = slow_costs(cell, classes, skeleton, 8 * 8)
        assert (graph.parameters, graph.flops(image)) == expected
        with torch.device("meta"):
            network = GraphNetwork(graph)
        assert count_parameters(network) == expected[0]
        if skeleton is not BENCHMARK:
            assert benchmark_flops(GraphNetwork(graph), image) == expected[1]


@pytest.fixture(scope="module")
def published(real_benchmarks):
    return pd.read_parquet(real_benchmarks / "nasbench101.parquet", columns=["params"])["params"]


def test_cells_have_the_benchmarks_parameters(published, part):
    indices = range(len(SPACE))[part]
    found = [slow_costs(SPACE.cell(index), 10, BENCHMARK, 1)[0] for index in indices]
    assert np.array_equal(found, published[part])


def test_graphs_have_the_benchmarks_parameters(published, part):
    """Every two-hundredth cell, or every tenth of `--every-row`: all of them take minutes."""
    for index in range(len(SPACE))[:: 200 if part.step > 1 else 10]:
        assert SPACE.graph(SPACE[index], 10, BENCHMARK).parameters == published[index]


def test_stages_halve_the_resolution():
    network = SPACE.network(SPACE[0], 10)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    reached = list(dict.fromkeys(shape[1:] for shape in network.graph.shapes((3, 32, 32)).values()))
    assert reached == [(32, 32), (16, 16), (8, 8), ()]


def test_the_skeleton_is_an_argument():
    assert SPACE.graph(SPACE[0], 10).edges[0].operations[0].outputs == 16
    assert SPACE.graph(SPACE[0], 10, BENCHMARK).edges[0].operations[0].outputs == 128
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
    network = SPACE.network(SPACE[0], 1)
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
    named = [module for module in network.modules() if "ReLU" in type(module).__name__]
    assert [type(module) for module in named] == [torch.nn.ReLU] * convolutions

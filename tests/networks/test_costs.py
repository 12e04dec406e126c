"""Parameters and operations against the published ones of all cells."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from untrained.networks.costs import count_flops, count_parameters

DATASETS = [("cifar10", 10, 32), ("cifar100", 100, 32), ("ImageNet16-120", 120, 16)]


@pytest.fixture(scope="module")
def one_of_each(space, all_operations):
    """Return (1x1, 3x3 convolutions) of every cell, and the first cell with each such pair."""
    counts = [(c["nor_conv_1x1"], c["nor_conv_3x3"]) for c in map(Counter, all_operations)]
    first = {}
    for index, pair in enumerate(counts):
        first.setdefault(pair, index)
    return counts, first


@pytest.mark.parametrize(("dataset", "classes", "side"), DATASETS)
def test_costs_of_all_cells_are_the_published_ones(
    space, benchmark_table, one_of_each, dataset, classes, side
):
    counts, first = one_of_each
    assert len(first) == 28
    parameters, flops = {}, {}
    # the classifier and the size of the images are what differs between data sets
    for pair, index in list(first.items())[:: 1 if dataset == "cifar10" else 5]:
        network = space.network(space[index], classes)
        parameters[pair] = count_parameters(network)
        flops[pair] = count_flops(network, (3, side, side))
    known = benchmark_table.costs(dataset)
    known = known[[pair in parameters for pair in counts]]
    chosen = [pair for pair in counts if pair in parameters]
    assert [parameters[pair] for pair in chosen] == known["parameters"].tolist()
    assert np.allclose([flops[pair] for pair in chosen], known["flops"], rtol=1e-9, atol=0)


def test_costs_of_graphs_are_the_published_ones(space, benchmark_table):
    """Of every ninth cell; all cells that have as many convolutions of each kind cost the same."""
    known = benchmark_table.costs("cifar10")[::9]
    graphs = [space.graph(space[index], 10) for index in range(0, len(space), 9)]
    assert [graph.parameters for graph in graphs] == known["parameters"].tolist()
    flops = [graph.flops((3, 32, 32)) for graph in graphs]
    assert np.allclose(flops, known["flops"], rtol=1e-9, atol=0)


@pytest.mark.parametrize(("dataset", "classes", "side"), DATASETS)
def test_costs_of_single_graphs_are_the_published_ones(
    space, benchmark_table, dataset, classes, side
):
    known = benchmark_table.costs(dataset)
    for index in np.random.default_rng(0).integers(len(space), size=20):
        graph = space.graph(space[int(index)], classes)
        assert graph.parameters == known["parameters"][index]
        assert graph.flops((3, side, side)) == pytest.approx(known["flops"][index], rel=1e-9)


def test_frozen_parameters_do_not_count():
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    assert count_parameters(network) == 3 * 4 + 4 + 4 * 2 + 2
    network[0].requires_grad_(False)
    assert count_parameters(network) == 4 * 2 + 2


def test_operations_are_those_of_convolutions_and_linear_layers():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False),
        nn.Flatten(),
        nn.Linear(8 * 16, 5),
        nn.Linear(5, 2, bias=False),
    )
    expected = 3 * 8 * 9 * 16 + 8 * 2 * 9 * 16 + (8 * 16 * 5 + 5) + 5 * 2
    assert count_flops(network, (3, 8, 8)) == expected


def test_a_layer_used_twice_counts_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1, bias=False)

        def forward(self, x):
            return self.layer(self.layer(x))

    assert count_flops(Twice(), (3, 4, 4)) == 2 * 9 * 16


class Fails(nn.Module):
    def forward(self, x):
        raise ValueError("mine")


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(fails):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU())
    network[2].eval()  # a module in the other mode
    if fails:
        network.append(Fails())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    if fails:
        with pytest.raises(ValueError, match="mine"):
            count_flops(network, (3, 8, 8))
    else:
        count_flops(network, (3, 8, 8))
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert [module.training for module in network] == [True, True, False, *[True] * (1 + fails)]
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())

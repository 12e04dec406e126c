"""Size as a score, against the published costs of the space."""

import numpy as np
import pytest
import torch
from tests.asking import score_module
from torch import nn

from untrained import score
from untrained.images.minibatches import Minibatch
from untrained.proxies import get_proxy
from untrained.scoring.execution import Execution
from untrained.spaces.nasbench201 import EDGES

from .test_gradients import Constant, batch, example, status, value


@pytest.mark.parametrize(("dataset", "seed"), [("cifar10", 0), ("cifar100", 1)])
def test_costs_are_the_benchmarks(benchmark_table, dataset, seed):
    known = benchmark_table.costs(dataset).loc[[1462, 45]]
    for index, costs in known.iterrows():
        for name in ("parameters", "flops"):
            found = score(
                "nasbench201", index, proxy=name, dataset=dataset, batch_size=2, seed=seed
            )
            assert found.score == pytest.approx(costs[name], rel=1e-9)


def test_layers_one_by_one():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 5)
    )
    weights = 4 * 3 * 9 + 4 + 4 * 16 * 5 + 5
    assert value("parameters", network, batch(size=4)) == weights
    assert value("flops", network, batch(size=4)) == 4 * 3 * 9 * 16 + 4 * 16 * 5
    network[0].requires_grad_(False)
    assert value("parameters", network, batch(size=4)) == weights - (4 * 3 * 9 + 4)


def test_other_types_than_float32():
    shown = batch(size=4)
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 5))
    for precision in ("float32", "bfloat16"):
        found = score_module(network, get_proxy("flops"), shown, Execution(precision=precision), 0)
        assert found.score == 48 * 5
    doubled = Minibatch(shown.images.double(), shown.labels, 5)
    assert value("flops", network.double(), doubled) == 48 * 5


def test_nothing_is_needed_and_nothing_drawn():
    class Draws(nn.Module):
        def forward(self, x):
            return nn.functional.dropout(x.flatten(1), 0.5, training=True)

    for name in ("parameters", "flops"):
        assert get_proxy(name).needs == frozenset()
        state = torch.get_rng_state()
        assert value(name, Draws()) == 0
        assert torch.equal(torch.get_rng_state(), state)


def live_by_hand(space, operations, channels=(16, 32, 64), cells=5):
    """Walk every path of a cell, and count the weights of its operations and of what surrounds it.

    Returns:
        Parameters and multiply-adds of a network for 10 classes and images of 32x32.
    """
    paths = [[(0, 3)], [(0, 1), (1, 3)], [(0, 2), (2, 3)], [(0, 1), (1, 2), (2, 3)]]
    place = {pair: number for number, pair in enumerate(EDGES)}
    whole = [path for path in paths if all(operations[place[one]] != "none" for one in path)]
    if not whole:
        return 0, 0
    used = {operations[place[one]]: 0 for path in whole for one in path}
    for one in {one for path in whole for one in path}:
        used[operations[place[one]]] += 1
    kernels = 9 * used.get("nor_conv_3x3", 0) + used.get("nor_conv_1x1", 0)
    norms = used.get("nor_conv_3x3", 0) + used.get("nor_conv_1x1", 0)
    parameters, flops, side = 3 * 9 * 16 + 2 * 16, 3 * 9 * 16 * 32**2, 32
    for stage, width in enumerate(channels):
        if stage:
            side //= 2
            before = channels[stage - 1]
            weights = 9 * before * width + 9 * width * width + before * width
            parameters += weights + 4 * width
            flops += weights * side**2
        parameters += cells * (kernels * width**2 + norms * 2 * width)
        flops += cells * kernels * width**2 * side**2
    head = channels[-1] * 10 + 10
    return parameters + 2 * channels[-1] + head, flops + head


@pytest.mark.parametrize("index", [1462, 45, 0, 6111, 77, 8000, 12000, 15000, 3333])
def test_what_lies_on_a_path_counts(space, all_operations, index):
    expected = live_by_hand(space, all_operations[index])
    names = ("parameters-live", "flops-live")
    found = [score("nasbench201", index, proxy=one, batch_size=2).score for one in names]
    assert tuple(found) == expected


def test_live_costs_are_the_least_of_the_cells_that_compute_the_same(space):
    chosen = space.representatives == space.representatives[6020]
    graphs = [space.graph(space[int(one)], 10) for one in np.flatnonzero(chosen)]
    assert len(graphs) > 3
    assert {one.live_parameters for one in graphs} == {min(one.parameters for one in graphs)}
    shape = (3, 32, 32)
    assert {one.flops(shape, dead_branches=False) for one in graphs} == {
        min(one.flops(shape) for one in graphs)
    }


def test_a_network_that_was_changed_is_counted_as_it_is(space):
    network = space.network(space[1462], 10)
    before = {name: value(name, network) for name in CHANGED}
    network.classifier = nn.Linear(64, 1000)
    after = {name: value(name, network) for name in CHANGED}
    more = 990 * 65
    assert after["parameters"] - before["parameters"] == more
    assert after["parameters-live"] - before["parameters-live"] == more
    assert after["flops"] > before["flops"]
    assert after["memory"] != before["memory"]  # of operations, as of any other network


CHANGED = ("parameters", "parameters-live", "flops", "memory")


def test_live_parameters_of_a_network_of_ones_own_reach_its_output():
    network = example()
    unused = sum(one.numel() for one in network.unused.parameters())
    expected = value("parameters", network) - unused
    assert value("parameters-live", network) == expected
    network.second.weight.requires_grad_(False)
    assert value("parameters-live", network) == expected - network.second.weight.numel()
    assert value("parameters-live", Constant()) == 0
    assert status("flops-live", network) == "not_applicable"

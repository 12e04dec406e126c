"""Size as a score, against the published costs of the space."""

import pytest
import torch
from tests.asking import score_module
from torch import nn

from untrained import score
from untrained.images.minibatches import Minibatch
from untrained.proxies import get_proxy
from untrained.scoring.execution import Execution

from .test_gradients import batch, value


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

"""SWAP against sets of tuples of signs."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from untrained import score
from untrained.images.minibatches import Minibatch
from untrained.proxies import get_proxy
from untrained.proxies.redraws import redraw
from untrained.proxies.swap import count_patterns

from .test_every_proxy import grouped, shared, unnormalised
from .test_gradients import batch, example, status, value


def slow_patterns(network, images):
    """Collect the signs of what every rectifier reads, unit by unit."""
    patterns = set()

    def collect(_layer, inputs):
        units = inputs[0].flatten(1)
        for unit in range(units.shape[1]):
            patterns.add(tuple((units[:, unit] > 0).tolist()))

    network = copy.deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, (nn.ReLU, nn.ReLU6)):
            layer.register_forward_pre_hook(collect)
    with torch.no_grad():
        network(images)
    return len(patterns)


@pytest.mark.parametrize("build", [unnormalised, grouped, shared])
@pytest.mark.parametrize("images", [2, 5, 8, 16])
def test_patterns(build, images):
    torch.manual_seed(images)
    network, shown = build(), batch(images)
    with torch.no_grad():
        assert count_patterns(network, shown.images) == slow_patterns(network, shown.images)


def test_the_score_is_a_mean_over_draws():
    network, shown = grouped(), batch(6)
    generator, total = torch.Generator().manual_seed(5), 0
    for _ in range(32):
        made = copy.deepcopy(network).requires_grad_(False)
        redraw(made, generator)
        total += slow_patterns(made, shown.images)
    found = get_proxy("swap")(network, shown, torch.Generator().manual_seed(5))
    assert found == total / 32
    size = sum(one.numel() for one in network.parameters()) / 1e6
    again = get_proxy("swap-regularised")(network, shown, torch.Generator().manual_seed(5))
    assert math.exp(again) == pytest.approx(found * math.exp(-((size - 1.5) ** 2) / 1.5))
    # sizes on both sides of the preferred one, far above that of the network here
    regularised = get_proxy("swap-regularised")
    assert regularised.read((math.e, 3_000_000)) == pytest.approx(1 - 1.5)
    assert regularised.read((math.e, 1_500_000)) == 1


def test_functions_rectify_too():
    assert value("swap", example()) > 10

    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return functional.relu(self.layer(x).flatten(1))

    assert value("swap", Plain()) > 10


def test_a_rectifier_of_no_numbers_counts_nothing():
    class Measures(nn.Module):
        def __init__(self, rectifies):
            super().__init__()
            self.layers, self.rectifies = nn.Sequential(nn.Flatten(), nn.Linear(108, 5)), rectifies

        def forward(self, x):
            torch.relu(torch.empty(len(x), 4, device="meta"))
            x = self.layers(x)
            return torch.relu(x) if self.rectifies else x

    assert value("swap", Measures(True)) > 1
    assert status("swap", Measures(False)) == "not_applicable"


def test_networks_have_16_images():
    one, other = (score("nasbench201", 45, proxy="swap", batch_size=size) for size in (20, 24))
    assert one.score == other.score
    assert score("nasbench201", 45, proxy="swap:16").score == one.score


def test_a_score_that_does_not_exist_has_a_status():
    assert status("swap", nn.Sequential(nn.Flatten(), nn.Linear(108, 5))) == "no_rectifiers"
    assert status("swap", grouped(), batch(25)) == "not_applicable"
    huge = Minibatch(torch.full((4, 3, 6, 6), float("inf")), torch.zeros(4, dtype=torch.int64), 5)
    assert status("swap", unnormalised(), huge) == "non_finite"

"""Draws of weights."""

import copy

import pytest
import torch
from torch import nn

from untrained.proxies import get_proxy
from untrained.proxies.redraws import redraw
from untrained.spaces.base import Skeleton

from .test_every_proxy import grouped
from .test_gradients import batch


def drawn(network, *, fan_in):
    redraw(network.requires_grad_(False), torch.Generator().manual_seed(3), fan_in=fan_in)
    return network


@pytest.mark.parametrize("fan_in", [False, True])
def test_the_layout_of_weights_changes_no_draw(fan_in):
    network = grouped()
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    columns = copy.deepcopy(network)
    columns[-1].weight.data = columns[-1].weight.data.t().contiguous().t()
    expected = drawn(network, fan_in=fan_in).state_dict()
    for other in (last, columns):
        found = drawn(other, fan_in=fan_in).state_dict()
        assert all(torch.equal(one, expected[name]) for name, one in found.items())
    assert columns[-1].weight.stride() == (1, 5)


def test_weights_have_the_variance_of_their_fan_in():
    layer = drawn(nn.Conv2d(60, 80, 3), fan_in=True)
    assert float(layer.weight.var()) == pytest.approx(2 / (60 * 9), rel=0.05)
    assert float(drawn(layer, fan_in=False).weight.var()) == pytest.approx(1, rel=0.05)


def test_the_layout_of_a_network_of_a_space_changes_no_draw(space):
    network = space.network(space[6111], 10, Skeleton(4, 2))
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    expected = drawn(network, fan_in=False).state_dict()
    found = drawn(last, fan_in=False).state_dict()
    assert all(torch.equal(one, expected[name]) for name, one in found.items())


class Holds(nn.Module):
    def __init__(self, unused):
        super().__init__()
        self.first, self.then = nn.Sequential(*grouped()[:6]), nn.Sequential(*grouped()[6:])
        self.unused = unused

    def forward(self, x):
        return self.then(self.first(x))


@pytest.mark.parametrize("spelling", ["az_expressivity", "az_trainability", "zen", "swap"])
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_an_empty_weight_draws_nothing(spelling):
    found = set()
    for unused in (nn.Identity(), nn.Linear(0, 10), nn.Conv2d(3, 0, 1)):
        generator = torch.Generator().manual_seed(0)
        found.add(get_proxy(spelling)(Holds(unused), batch(), generator))
    assert len(found) == 1

"""ZiCo against loops over layers, weights and halves."""

import numpy as np
import pytest
import torch
from torch import nn

from untrained.images.minibatches import Minibatch, minibatch
from untrained.proxies.zico import _summed_ratios
from untrained.spaces.base import Skeleton

from .slow_gradients import backward, layers_of
from .test_every_proxy import grouped, shared, unnormalised
from .test_gradients import Cut, batch, example, status, value


def test_an_infinite_gradient_is_not_left_out():
    one, other = torch.tensor([[torch.inf, 1.0]]), torch.tensor([[torch.inf, 2.0]])
    assert not _summed_ratios(one, other, 0).isfinite()
    assert _summed_ratios(one[:, 1:], other[:, 1:], 0) == pytest.approx(3.0)


def slow_score(network, shown):
    middle = -(-len(shown.images) // 2)
    halves = [slice(None, middle), slice(middle, None)]
    parts = [Minibatch(shown.images[one], shown.labels[one], 10) for one in halves]
    copies = [backward(network, one)[0] for one in parts]
    total, seen = 0.0, set()
    for layers in zip(*map(layers_of, copies), strict=True):
        if id(layers[0].weight) in seen or layers[0].weight.grad is None:
            continue
        seen.add(id(layers[0].weight))
        ratios = 0.0
        for pair in zip(*(one.weight.grad.flatten().tolist() for one in layers), strict=True):
            if (deviation := np.std(pair)) > 0:
                ratios += np.mean(np.abs(pair)) / deviation
        if ratios:
            total += np.log(ratios)
    return total


@pytest.mark.parametrize("build", [unnormalised, grouped, shared])
@pytest.mark.parametrize("images", [12, 7])
def test_networks_of_ones_own(build, images):
    torch.manual_seed(images)
    network, shown = build(), batch(images)
    wide = Minibatch(shown.images.double(), shown.labels, 5)
    # rounding moves a mean over a deviation that is nearly 0
    expected = slow_score(network, shown)
    assert value("zico", network.double(), wide) == pytest.approx(expected, rel=1e-6)


def test_cells_of_a_space(space):
    torch.manual_seed(0)
    network = space.network(space[6111], 10, Skeleton(3, 1)).double()
    shown = minibatch("cifar10", "sample", 0, 8)
    wide = Minibatch(shown.images.double(), shown.labels, 10)
    assert value("zico", network, wide) == pytest.approx(slow_score(network, shown), rel=1e-6)


def test_layers_without_gradients_are_left_out():
    network = example()
    network.dropout.p = 0.0
    network.unused = nn.Conv2d(3, 3, 3)
    expected = value("zico", network)
    del network.unused
    assert value("zico", network) == expected


def test_a_score_that_does_not_exist_has_a_status():
    assert status("zico", Cut(zeros=True)) == "disconnected"
    assert status("zico", nn.Flatten(), batch(classes=3)) == "no_parameters"
    network = example()
    one = batch(4)
    alike = Minibatch(one.images[:1].repeat(4, 1, 1, 1), one.labels[:1].repeat(4), 5)
    network.dropout.p = 0.0
    assert status("zico", network, alike) == "disconnected"
    assert status("zico", network, Minibatch(one.images[:1], one.labels[:1], 5)) == "not_applicable"
    nn.init.constant_(network.first.weight, float("nan"))
    assert status("zico", network) == "non_finite"

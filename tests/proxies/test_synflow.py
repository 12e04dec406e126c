"""Synaptic flow against a copy with its modules replaced, and against closed forms."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from untrained.images.minibatches import Minibatch, minibatch
from untrained.proxies import UndefinedScore, get_proxy
from untrained.spaces.base import Skeleton

from .test_gradients import batch, example, value


def without_batch_norm(module):
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.Identity())
        else:
            without_batch_norm(child)


def slow_flows(network, shape):
    """Return (|W|, dR/d|W|) of each layer, from a copy with its modules replaced."""
    network = copy.deepcopy(network).eval()
    without_batch_norm(network)
    network = network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(parameter.abs())
    network.zero_grad()
    network(torch.ones(1, *shape, dtype=torch.float64)).sum().backward()
    layers = [one for one in network.modules() if isinstance(one, (nn.Conv2d, nn.Linear))]
    return [(one.weight.detach(), one.weight.grad) for one in layers if one.weight.grad is not None]


def slow_scores(network, shape):
    flows = slow_flows(network, shape)
    return {
        "synflow": math.log(sum(float((w * g).abs().sum()) for w, g in flows)),
        "synflow-logsynflow": sum(float((w * (1 + g).log()).abs().sum()) for w, g in flows),
    }


@pytest.mark.parametrize("index", [6111, 45, 13000])
def test_cells_of_a_space(space, index):
    torch.manual_seed(index)
    network = space.network(space[index], 10, Skeleton(4, 2))
    shown = minibatch("cifar10", "sample", 0, 2)
    for spelling, expected in slow_scores(network, (3, 32, 32)).items():
        assert value(spelling, network, shown) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("frozen", [False, True])
def test_networks_of_ones_own(frozen):
    network = example()
    network.second.weight.requires_grad_(not frozen)
    for spelling, expected in slow_scores(network, (3, 6, 6)).items():
        assert value(spelling, network) == pytest.approx(expected, rel=1e-9)


class FunctionalNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 1)
        self.scale = nn.Parameter(torch.tensor([0.5, 2.0, 3.0, -1.0]))

    def forward(self, x):
        x = functional.batch_norm(
            input=self.layer(x), running_mean=None, running_var=None, weight=self.scale,
            training=True,
        )  # fmt: skip
        return x.mean((2, 3))


def test_normalisations_that_are_functions_are_left_out():
    network = FunctionalNorm()
    plain = nn.Sequential(copy.deepcopy(network.layer), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert value("synflow", network) == pytest.approx(value("synflow", plain), rel=1e-12)


def test_every_layer_of_a_chain_carries_all_of_the_output():
    """Without biases and normalisations, sum |W dR/dW| is R for each layer."""
    torch.manual_seed(0)
    layers = [nn.Linear(12, 7, bias=False), nn.ReLU(), nn.Linear(7, 4, bias=False)]
    network = nn.Sequential(nn.Flatten(), *layers)
    first, last = (layer.weight.detach().double().abs() for layer in (layers[0], layers[2]))
    carried = float((last @ first @ torch.ones(12, dtype=torch.float64)).sum())
    assert value("synflow", network, batch(size=2)) == pytest.approx(
        math.log(2 * carried), rel=1e-12
    )


def test_a_product_that_overflows_has_its_logarithm():
    """R and every |W dR/dW| are 1e400, while neither factor is beyond float64."""
    network = nn.Sequential(nn.Flatten(), *(nn.Linear(1, 1, bias=False) for _ in "ab")).double()
    for layer in (network[1], network[2]):
        nn.init.constant_(layer.weight, -1e200)
    one = Minibatch(torch.ones(2, 1, 1, 1), torch.zeros(2, dtype=torch.int64), 1)
    expected = math.log(2) + 400 * math.log(10)
    assert value("synflow", network, one) == pytest.approx(expected, rel=1e-12)
    network.append(nn.Linear(1, 1, bias=False).double())
    nn.init.constant_(network[3].weight, 1e200)
    with pytest.raises(UndefinedScore, match="3 of 3 gradients are infinite") as raised:
        value("synflow", network, one)
    assert raised.value.status == "non_finite"


def test_images_labels_and_modes_change_nothing():
    network = example()
    expected = value("synflow", network, batch())
    assert value("synflow", network.eval(), batch(3, classes=2)) == expected
    assert value("synflow", network, batch(size=8)) != expected
    assert get_proxy("synflow").needs == {"gradients"}


def test_signs_change_nothing():
    network = example()
    expected = value("synflow", network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.neg_()
    assert value("synflow", network) == expected

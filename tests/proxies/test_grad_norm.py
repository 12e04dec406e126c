"""The gradient norm against sums over each tensor, and against a closed form."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from untrained.images.minibatches import Minibatch, minibatch
from untrained.proxies import UndefinedScore, get_proxy
from untrained.spaces.base import Skeleton

from .test_gradients import batch, example, value


def slow_norms(network, shown, layers):
    """Return the root of the sum of squares of each tensor's gradient after one `backward`."""
    network = copy.deepcopy(network)
    network.zero_grad()
    functional.cross_entropy(network(shown.images), shown.labels).backward()
    total = 0.0
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            wanted = isinstance(module, (nn.Conv2d, nn.Linear)) and name == "weight"
            if (wanted or not layers) and parameter.grad is not None:
                total += float(parameter.grad.double().square().sum()) ** 0.5
    return total


@pytest.mark.parametrize("index", [6111, 13714, 45])
def test_cells_of_a_space(space, index):
    torch.manual_seed(index)
    network = space.network(space[index], 10, Skeleton(4, 2))
    shown = minibatch("cifar10", "sample", 0, 8)
    # the proxy takes the loss in float64
    assert value("grad_norm", network, shown) == pytest.approx(
        slow_norms(network, shown, layers=True), rel=1e-4
    )
    assert value("grad_norm-naswot", network, shown) == pytest.approx(
        slow_norms(network, shown, layers=False), rel=1e-4
    )


@pytest.mark.parametrize("frozen", [False, True])
def test_networks_of_ones_own(frozen):
    network = example()
    network.dropout.p = 0.0
    network.second.weight.requires_grad_(not frozen)
    shown = batch()
    for spelling, layers in (("grad_norm", True), ("grad_norm-naswot", False)):
        expected = slow_norms(network, shown, layers)
        assert value(spelling, network, shown) == pytest.approx(expected, rel=1e-4)


def test_a_linear_network_has_a_closed_form():
    """The gradient is (softmax - one-hot)^T x / N."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).double()
    images = torch.randn(6, 3, 2, 2, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    slope = torch.softmax(network(images), 1) - nn.functional.one_hot(labels, 4)
    by_weight = slope.detach().T @ images.flatten(1) / 6
    shown = Minibatch(images, labels, 4)
    expected = float(by_weight.square().sum().sqrt())
    assert value("grad_norm", network, shown) == pytest.approx(expected, rel=1e-12)
    by_bias = float(slope.detach().mean(0).square().sum().sqrt())
    assert value("grad_norm-naswot", network, shown) == pytest.approx(expected + by_bias, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_squares_neither_overflow_nor_vanish(scale):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4, bias=False))
    nn.init.zeros_(network[1].weight)
    shown = batch(4, classes=4, size=2)
    one, other = (Minibatch(factor * shown.images, shown.labels, 4) for factor in (1.0, scale))
    expected = scale * value("grad_norm", network, one)
    assert value("grad_norm", network, other) == pytest.approx(expected, rel=1e-5)


def test_too_few_classes_are_named():
    with pytest.raises(
        UndefinedScore,
        match=r"^Functional has 5 classes and the minibatch label 7: give the network 8$",
    ):
        value("grad_norm", example(), batch(classes=8))


def test_labels_and_gradients_are_needed():
    assert get_proxy("grad_norm").needs == {"labels", "loss", "gradients"}
    network, shown = example(), batch()
    network.dropout.p = 0.0
    other = Minibatch(shown.images, shown.labels.flip(0), 5)
    assert value("grad_norm", network, shown) != value("grad_norm", network, other)

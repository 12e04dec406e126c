"""GraSP against the whole Hessian of a small network."""

import pytest
import torch
from tests.networks.own_networks import Of
from torch import nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch.nn import functional

from untrained.images.minibatches import Minibatch, minibatch
from untrained.proxies import UndefinedScore
from untrained.spaces.base import Skeleton

from .slow_gradients import double, layers_of, without_in_place
from .test_every_proxy import grouped, shared, unnormalised
from .test_gradients import Cut, batch, example, status, value


def slow_score(network, shown):
    network = without_in_place(double(network))
    own = {id(layer.weight) for layer in layers_of(network)}
    weights = {name: p.detach() for name, p in network.named_parameters() if id(p) in own}
    images = shown.images.double()

    def loss(flat):
        parts = flat.split([one.numel() for one in weights.values()])
        given = {
            name: part.view_as(weights[name]) for name, part in zip(weights, parts, strict=True)
        }
        return functional.cross_entropy(
            functional_call(network, given, (images,), tie_weights=True), shown.labels
        )

    flat = torch.cat([one.flatten() for one in weights.values()])
    gradient = torch.autograd.functional.jacobian(loss, flat)
    hessian = torch.autograd.functional.hessian(loss, flat)
    total = 0.0
    for row, weight in enumerate(flat):
        product = sum(hessian[row, column] * gradient[column] for column in range(len(flat)))
        total += -float(weight * product)
    return total


@pytest.mark.parametrize("build", [unnormalised, grouped, shared])
def test_networks_of_ones_own(build):
    torch.manual_seed(0)
    network, shown = build(), batch(7)
    wide = Minibatch(shown.images.double(), shown.labels, 5)
    expected = slow_score(network, shown)
    assert value("grasp", network.double(), wide) == pytest.approx(expected, rel=1e-8)


def test_cells_of_a_space(space):
    torch.manual_seed(0)
    network = space.network(space[6111], 10, Skeleton(1, 1, stages=1)).double()
    shown = minibatch("cifar10", "sample", 0, 4)
    wide = Minibatch(shown.images.double(), shown.labels, 10)
    assert value("grasp", network, wide) == pytest.approx(slow_score(network, shown), rel=1e-8)


def test_a_score_that_does_not_exist_has_a_status():
    assert status("grasp", Cut(zeros=True)) == "disconnected"
    assert status("grasp", nn.Flatten(), batch(classes=3)) == "no_parameters"
    network = example()
    nn.init.constant_(network.first.weight, float("nan"))
    assert status("grasp", network) == "non_finite"


def test_an_activation_without_a_second_derivative_has_a_status():
    network = nn.Sequential(nn.Flatten(), nn.Linear(108, 8), nn.Hardsigmoid(), nn.Linear(8, 5))
    with pytest.raises(UndefinedScore, match="can't differentiate hardsigmoid twice") as caught:
        value("grasp", network)
    assert caught.value.status == "not_applicable"


class Once(torch.autograd.Function):
    """A square whose backward pass can't be differentiated."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return 2 * x * gradient


def test_a_function_that_is_once_differentiable_has_a_status():
    """PyTorch would leave its part of the second derivative out, and say nothing."""
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(108, 8), Of(lambda _self, x: Once.apply(x)), nn.Linear(8, 5)
    )
    with pytest.raises(UndefinedScore, match="a function is once_differentiable") as caught:
        value("grasp", network)
    assert caught.value.status == "not_applicable"


def test_a_loss_without_curvature_scores_0():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    shown = batch(4, size=2)
    linear = Minibatch(shown.images, shown.labels, 4, loss=lambda outputs, _labels: outputs.sum())
    assert value("grasp", network, linear) == 0

"""What is read off one backward pass of the loss, against loops over weights and channels."""

import math

import pytest
import torch
from tests.asking import score_work
from torch import nn

from untrained.images.minibatches import Minibatch, minibatch
from untrained.proxies import loss_gradients
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.spaces.base import Skeleton

from .slow_gradients import backward, layers_of
from .test_every_proxy import grouped, shared, unnormalised
from .test_gradients import Cut, batch, example, status, value


def slow_scores(network, shown):
    network, outputs = backward(network, shown)
    scores = dict.fromkeys(("snip", "plain", "fisher", "fisher-released", "l2_norm"), 0.0)
    seen = set()
    for layer in layers_of(network):
        if id(layer.weight) in seen:
            continue
        seen.add(id(layer.weight))
        scores["l2_norm"] += math.sqrt(sum(w * w for w in layer.weight.flatten().tolist()))
        if layer.weight.grad is None:
            continue
        weights, gradients = layer.weight.flatten(), layer.weight.grad.flatten()
        for weight, gradient in zip(weights.tolist(), gradients.tolist(), strict=True):
            scores["snip"] += abs(weight * gradient)
            scores["plain"] += weight * gradient
    for layer, output, gradient in outputs:
        if gradient is None or not layer.weight.requires_grad:
            continue
        for channel in range(output.shape[1]):
            squares = [
                float((output[image, channel] * gradient[image, channel]).sum()) ** 2
                for image in range(len(output))
            ]
            effect = sum(squares) / len(squares) / 2
            scores["fisher"] += abs(effect)
            for _weight in layer.weight[channel].flatten():
                scores["fisher-released"] += abs(effect)
    return scores


@pytest.mark.parametrize("build", [unnormalised, grouped, shared, example])
@pytest.mark.parametrize("seed", [0, 1])
def test_networks_of_ones_own(build, seed):
    torch.manual_seed(seed)
    network = build()
    if build is example:
        network.dropout.p = 0.0
        network.second.weight.requires_grad_(bool(seed))
    shown = batch(10)
    wide = Minibatch(shown.images.double(), shown.labels, 5)
    for spelling, expected in slow_scores(network, shown).items():
        assert value(spelling, network.double(), wide) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("index", [6111, 45])
def test_cells_of_a_space(space, index):
    torch.manual_seed(index)
    network = space.network(space[index], 10, Skeleton(3, 1))
    shown = minibatch("cifar10", "sample", 0, 6)
    for spelling, expected in slow_scores(network, shown).items():
        rounding = {"rel": 1e-3, "abs": 1e-3 if spelling == "plain" else 0}
        assert value(spelling, network, shown) == pytest.approx(expected, **rounding)


def test_a_linear_network_has_a_closed_form():
    """Of one linear layer W dL/dW is W * (slope^T x), and the output's gradient the slope."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4, bias=False)).double()
    images = torch.randn(6, 3, 2, 2, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    logits = network(images).detach()
    slope = (torch.softmax(logits, 1) - nn.functional.one_hot(labels, 4)) / 6
    product = network[1].weight.detach() * (slope.T @ images.flatten(1))
    shown = Minibatch(images, labels, 4)
    assert value("snip", network, shown) == pytest.approx(float(product.abs().sum()))
    assert value("plain", network, shown) == pytest.approx(float(product.sum()))
    effects = float(((logits * slope) ** 2).mean(0).sum() / 2)
    assert value("fisher", network, shown) == pytest.approx(effects)
    assert value("fisher-released", network, shown) == pytest.approx(12 * effects)


def test_scales_before_a_normalisation_do_not_move_the_loss():
    network = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(6, 5)),
    ).double()
    shown = batch()
    shown = Minibatch(shown.images.double(), shown.labels, 5)
    found = loss_gradients.loss_gradients(network, shown)
    assert found.weights["0.weight"].product == pytest.approx(0, abs=1e-6)
    assert value("plain", network, shown) == pytest.approx(found.weights["5.weight"].product, 1e-4)


class Overwrites(nn.Module):
    """A layer whose output is overwritten by a function that is not zero where it is flat."""

    def __init__(self, *, in_place):
        super().__init__()
        self.layer, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 5)
        self.in_place = in_place

    def forward(self, x):
        made = self.layer(x)
        made = made.mul_(3) if self.in_place else made * 3
        return self.head(made.relu().mean((2, 3)))


def test_what_is_overwritten_counts_as_it_was():
    torch.manual_seed(0)
    first, second = Overwrites(in_place=True), Overwrites(in_place=False)
    second.load_state_dict(first.state_dict())
    assert value("fisher", first) == pytest.approx(value("fisher", second), rel=1e-6)


@pytest.mark.parametrize("spelling", ["snip", "plain", "fisher", "fisher-released"])
def test_a_loss_that_no_weight_moves_has_a_status(spelling):
    assert status(spelling, Cut(zeros=True)) == "disconnected"
    assert status(spelling, Cut(zeros=False)) == "disconnected"
    assert status(spelling, nn.Flatten(), batch(classes=3)) == "no_parameters"
    network = example()
    nn.init.constant_(network.first.weight, float("nan"))
    assert status(spelling, network) == "non_finite"


def test_norms_of_frozen_and_computed_weights_count():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 4), nn.Linear(4, 2))
    expected = sum(float(network[place].weight.detach().norm()) for place in (1, 2))
    network[1].weight.requires_grad_(False)
    assert value("l2_norm", network) == pytest.approx(expected)
    nn.utils.parametrizations.weight_norm(network[2])
    assert value("l2_norm", network) == pytest.approx(expected, rel=1e-6)
    assert status("l2_norm", nn.Flatten()) == "no_parameters"


def test_one_pass_serves_all(space, monkeypatch):
    passes = []
    once = loss_gradients.loss_gradients

    def counted(*given):
        passes.append(given)
        return once(*given)

    monkeypatch.setattr(loss_gradients, "loss_gradients", counted)
    proxies = ["snip", "plain", "fisher", "fisher-released", "grad_norm", "grad_norm-naswot"]
    settings = MinibatchSettings(batch_size=4)
    ((*together,),) = score_work(space, [(6111, proxies)], settings, 0, Execution())
    assert len(passes) == 1
    ((*alone,),) = score_work(space, [(6111, ["snip"])], settings, 0, Execution())
    assert len(passes) == 2
    assert together[0].score == alone[0].score

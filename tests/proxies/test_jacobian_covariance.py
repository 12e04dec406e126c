"""The Jacobian's correlation against autograd's whole Jacobian and NumPy's own correlation."""

import numpy as np
import pytest
import torch
from torch import nn

from untrained.images.minibatches import Minibatch
from untrained.proxies import UndefinedScore
from untrained.proxies.jacobian_covariance import correlation_score, jacobian
from untrained.spaces.base import Skeleton

from .test_gradients import batch, example, value


def slow_score(rows):
    values = np.linalg.eig(np.corrcoef(rows))[0].real
    return -sum(np.log(v + 1e-5) + 1 / (v + 1e-5) for v in values)


def double(shown):
    return Minibatch(shown.images.double(), shown.labels, shown.num_classes)


def test_networks_of_ones_own():
    network, shown = example().double(), double(batch())
    network.dropout.p = 0.0
    # (N, classes, N, C, H, W); the network rectifies its input in place
    whole = torch.autograd.functional.jacobian(lambda x: network(x.clone()), shown.images)
    rows = whole.sum((0, 1)).flatten(1).numpy()
    assert np.allclose(jacobian(network, shown), rows, rtol=1e-9, atol=1e-12)
    assert value("jacobian_covariance", network, shown) == pytest.approx(slow_score(rows), rel=1e-6)


@pytest.mark.parametrize("index", [6111, 45])
def test_cells_of_a_space(space, index):
    torch.manual_seed(index)
    network = space.network(space[index], 10, Skeleton(4, 2)).double()
    shown = double(batch(6, size=32))
    images = shown.images.clone().requires_grad_()
    network(images).backward(torch.ones(6, 10, dtype=torch.float64))
    expected = slow_score(images.grad.flatten(1).numpy())
    assert value("jacobian_covariance", network, shown) == pytest.approx(expected, rel=1e-6)


def test_the_score_of_a_matrix():
    rows = np.random.default_rng(0).standard_normal((7, 40))
    assert correlation_score(rows) == pytest.approx(slow_score(rows), rel=1e-9)
    scaled = rows * 10.0 ** np.linspace(-200, 200, 7)[:, None] + 0.0
    assert correlation_score(scaled) == pytest.approx(slow_score(rows), rel=1e-9)


def test_uncorrelated_images_score_highest():
    """All eigenvalues are then 1, so the score is N (-log(1 + k) - 1 / (1 + k))."""
    # Walsh functions, which are orthogonal and have no mean
    rows = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], dtype=float)
    best = -3 * (np.log(1 + 1e-5) + 1 / (1 + 1e-5))
    assert correlation_score(rows) == pytest.approx(best, rel=1e-12)
    alike = np.tile(rows[:1], (3, 1))  # eigenvalues 3, 0 and 0
    expected = -(np.log(3 + 1e-5) + 1 / (3 + 1e-5) + 2 * (np.log(1e-5) + 1e5))
    assert correlation_score(alike) == pytest.approx(expected, rel=1e-9)
    assert expected < best


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e-300])
def test_constant_rows_have_no_correlation(constant):
    rows = np.random.default_rng(0).standard_normal((4, 50))
    rows[[1, 3]] = constant
    with pytest.raises(UndefinedScore, match=r"^the gradient by 2 of 4 images is constant$") as one:
        correlation_score(rows)
    assert one.value.status == "singular"


def test_one_image_may_move_nothing():
    class Gate(nn.Module):
        def forward(self, x):
            first = torch.arange(len(x)) > 0
            return (torch.relu(x) * first[:, None, None, None]).flatten(1)

    with pytest.raises(UndefinedScore, match="by 1 of 8 images") as caught:
        value("jacobian_covariance", Gate())
    assert caught.value.status == "singular"

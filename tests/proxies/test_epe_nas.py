"""EPE-NAS against loops over classes and pairs of images."""

import numpy as np
import pytest
import torch

from untrained.images.minibatches import Minibatch
from untrained.proxies import UndefinedScore
from untrained.proxies.epe_nas import class_score
from untrained.proxies.jacobian_covariance import unit_rows

from .test_every_proxy import grouped
from .test_gradients import Constant, batch, example, status, value


def slow_score(rows, labels, num_classes):
    scores, counts = {}, {}
    for label in sorted(set(labels)):
        own = [row for row, one in zip(rows, labels, strict=True) if one == label]
        scores[label], counts[label] = 0.0, len(own)
        for first in own:
            for second in own:
                correlation = np.corrcoef(first, second)[0, 1]
                scores[label] += np.log(abs(correlation) + 1e-5)
    if num_classes <= 100:
        return sum(abs(one) for one in scores.values())
    total = 0.0
    for first in scores:
        for second in scores:
            total += abs(scores[first] / counts[first] - scores[second] / counts[second])
    return total / len(scores)


@pytest.mark.parametrize("num_classes", [4, 100, 101, 120])
@pytest.mark.parametrize("seed", range(4))
def test_the_score_of_a_matrix(num_classes, seed):
    rng = np.random.default_rng(seed)
    rows, labels = rng.standard_normal((13, 30)), rng.integers(0, 4, 13)
    expected = slow_score(rows, labels, num_classes)
    assert class_score(unit_rows(rows), labels, num_classes) == pytest.approx(expected, rel=1e-9)


def test_networks():
    torch.manual_seed(0)
    network, shown = grouped().double(), batch(12)
    images = shown.images.double().requires_grad_()
    network(images * 1).sum().backward()
    expected = slow_score(images.grad.flatten(1).numpy(), shown.labels.tolist(), 5)
    wide = Minibatch(shown.images.double(), shown.labels, 5)
    assert value("epe_nas", network, wide) == pytest.approx(expected, rel=1e-6)


def test_a_score_that_does_not_exist_has_a_status():
    assert status("epe_nas", Constant()) == "disconnected"
    assert status("epe_nas", example(), batch(5)) == "not_applicable"
    constant = np.ones((4, 6))
    with pytest.raises(UndefinedScore, match=r"is constant$"):
        unit_rows(constant)

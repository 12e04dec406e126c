"""Accuracy and loss after a short training, against counting by hand."""

import math

import pytest
import torch
from torch import nn

from untrained import score
from untrained.errors import ParameterError
from untrained.images.minibatches import Minibatch
from untrained.proxies.base import UndefinedScore
from untrained.proxies.validation import ValidationAccuracy, ValidationLoss


class Net(nn.Module):
    """A network of a normalisation and a classifier of 3 classes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.classifier = nn.BatchNorm2d(3), nn.Linear(3, 3)

    def forward(self, x):
        return self.classifier(self.norm(x).mean((2, 3)))


def shown(count=50):
    generator = torch.Generator().manual_seed(1)
    images = 3 + torch.randn(count, 3, 4, 4, generator=generator)
    return Minibatch(images, torch.randint(3, (count,), generator=generator), 3)


def test_a_network_whose_train_returns_nothing():
    class Silent(Net):
        def train(self, mode=True):
            super().train(mode)

    batch, generator = shown(), torch.Generator()
    for variant in ("eval", "train"):
        expected = ValidationLoss(variant)(Net(), batch, generator)
        assert ValidationLoss(variant)(Silent(), batch, generator) == expected


@pytest.mark.parametrize("variant", ["eval", "train"])
def test_accuracy_and_loss(variant):
    net, batch = Net(), shown()
    with torch.no_grad():
        logits = Net().train(variant == "train")(batch.images).tolist()
    labels = batch.labels.tolist()
    right = sum(row.index(max(row)) == label for row, label in zip(logits, labels, strict=True))
    losses = [
        math.log(sum(map(math.exp, row))) - row[label]
        for row, label in zip(logits, labels, strict=True)
    ]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    generator = torch.Generator()
    assert ValidationAccuracy(variant)(net, batch, generator) == pytest.approx(2 * right)
    loss = ValidationLoss(variant)(net, batch, generator)
    assert loss == pytest.approx(sum(losses) / 50, rel=1e-6)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("kind", [ValidationAccuracy, ValidationLoss])
def test_logits_that_are_not_finite_are_no_predictions(kind, bad):
    net = Net()
    with torch.no_grad():
        net.classifier.bias[1] = bad
    with pytest.raises(UndefinedScore) as caught:
        kind()(net, shown(), torch.Generator())
    assert caught.value.status == "non_finite"


def test_an_output_that_is_no_logits():
    with pytest.raises(UndefinedScore, match=r"Identity maps 50 images to \(49, 3, 4, 4\)"):
        ValidationLoss()(
            nn.Identity(), Minibatch(shown().images[1:], shown().labels, 3), torch.Generator()
        )


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("validation_accuracy", "is read after training: write validation_accuracy@1$"),
        ("validation_loss@0", "is read after training: write validation_loss@1$"),
        ("validation_loss:64@1", "read off all held-out images: drop :64$"),
    ],
)
def test_when_they_are_read(spelling, message):
    with pytest.raises(ParameterError, match=message):
        score("nasbench201", 46, proxy=spelling, batch_size=8)
    with pytest.raises(ParameterError, match=message):
        score(Net(), proxy=spelling, batch_size=8)

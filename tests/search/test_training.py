"""The images of a training, and a training from a notebook."""

import numpy as np
import pytest

from untrained import Recipe, TrainingImages, train
from untrained.errors import ParameterError


@pytest.mark.parametrize(
    ("dataset", "split", "asked", "found"),
    [
        ("cifar10", "train", None, "test"),
        ("cifar10", "train", "", ""),
        ("cifar10", "train", "test", "test"),
        ("cifar10", "train-half", None, "valid-half"),
        ("cifar10", "train-half", "test", "test"),
        ("cifar10", "sample", None, ""),
        ("cifar10", "sample", "test", "test"),
        ("cifar10", "test", None, ""),
        ("ImageNet16-120", "train", None, "valid"),
        ("TinyImageNet16-120", "train", None, ""),
    ],
)
def test_what_is_evaluated_on_was_not_trained_on(dataset, split, asked, found):
    assert TrainingImages(dataset, split, asked).evaluated_on == found


@pytest.mark.parametrize(
    ("split", "asked"),
    [
        ("train", "train"), ("train", "sample"), ("train", "valid-half"), ("sample", "train"),
        ("sample", "valid-half"), ("train-half", "train"), ("test", "test"),
    ],
)  # fmt: skip
def test_images_that_are_trained_on_are_not_held_out(split, asked):
    with pytest.raises(ParameterError, match=f"^held-out split '{asked}' of cifar10 shares images"):
        TrainingImages("cifar10", split, asked)


def test_a_notebook_trains_without_writing(tmp_path, monkeypatch):
    few = np.zeros((12, 32, 32, 3), np.uint8), np.arange(12) % 10
    monkeypatch.setattr("untrained.search.training.training_set", lambda *_: few)
    monkeypatch.chdir(tmp_path)

    seen = []
    images = TrainingImages(held_out="")
    recipe = Recipe(epochs=2, batch_size=8)
    found = train("DARTS_V2", recipe, images, cells=3, channels=2, report=seen.append)
    assert [len(one.epochs) for one in seen] == [1, 2]
    assert found.epochs == seen[-1].epochs
    assert found.network is seen[-1].network
    assert (found.evaluated_images, found.epochs[-1].accuracy) == (0, None)
    assert not list(tmp_path.iterdir())

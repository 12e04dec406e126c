"""Names of data sets and splits."""

import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from untrained.errors import MissingDataError, ParameterError, PluginError, UnknownNameError
from untrained.images.fetch import fetch_images
from untrained.images.minibatches import minibatch
from untrained.images.sets import IMAGE_SETS, ImageSet, image_set, stored_image_set
from untrained.images.splits import training_set


@pytest.mark.parametrize(
    ("name", "classes", "side", "padding"),
    [
        ("cifar10", 10, 32, 4),
        ("cifar100", 100, 32, 4),
        ("ImageNet16-120", 120, 16, 2),
        ("TinyImageNet16-120", 120, 16, 2),
        ("imagenette", 10, 224, 28),
        ("noise", 10, 32, 4),
    ],
)
def test_the_sets(name, classes, side, padding):
    known = image_set(name)
    assert (known.name, known.num_classes, known.shape) == (name, classes, (3, side, side))
    assert known.padding == padding


def test_no_other_sets():
    known = {"ImageNet16-120", "TinyImageNet16-120", "cifar10", "cifar100", "imagenette", "noise"}
    assert set(IMAGE_SETS.names()) == known


def test_a_set_with_one_split_has_it_whatever_is_asked():
    assert image_set("noise").split("train") == "sample"
    assert image_set("TinyImageNet16-120").split("sample") == "train"
    assert image_set("cifar10").split("train") == "train"


def test_unknown_names_get_suggestions():
    with pytest.raises(UnknownNameError, match=r"data set 'imagenet16': did you mean 'ImageNet16"):
        image_set("imagenet16")
    with pytest.raises(UnknownNameError, match=r"split of cifar100 'valid-half'.*known: sample"):
        image_set("cifar100").check_split("valid-half")
    with pytest.raises(ParameterError, match="noise"):
        stored_image_set("noise")


def test_the_statistics_are_those_of_the_images(real_images):
    # The constants of the loaders come from all 50,000 images; 2,048 come close.
    for name in ("cifar10", "cifar100"):
        with np.load(real_images / f"{name}_train2048.npz") as file:
            pixels = file["x"].astype(float)
        known = image_set(name)
        np.testing.assert_allclose(known.mean, pixels.mean((0, 1, 2)), rtol=0.02)
        np.testing.assert_allclose(known.std, pixels.std((0, 1, 2)), rtol=0.03)


def test_importing_the_package_is_cheap():
    program = "import sys, untrained.images; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "pandas", "pyarrow", "matplotlib", "requests", "PIL", "rich"}
    assert heavy.isdisjoint(run.stdout.split())


def own_set(monkeypatch, split, **functions):
    """A data set of two classes and 2x2 pixels at `own:SET`, with functions in its module."""
    addresses = {name: f"own:{name}" for name in functions}
    known = ImageSet("own", 2, (3, 2, 2), (0.0,) * 3, (1.0,) * 3, (split,), **addresses)
    monkeypatch.setitem(sys.modules, "own", SimpleNamespace(SET=known, **functions))


def images_and(labels, dtype, shape=(4, 2, 2, 3)):
    return np.zeros(shape, dtype), np.array(labels)


RIGHT = [0, 1, 1, 0]
#: labels, shape of four images, and what is said of them
MISFITS = [
    ([0, 1, 2, 0], (4, 2, 2, 3), "labels outside 0 to 1"),
    ([0, 1, -1, 0], (4, 2, 2, 3), "labels outside 0 to 1"),
    ([0.5, 1, 1, 0], (4, 2, 2, 3), "float64 labels: integers would be right"),
    (RIGHT, (4, 3, 2, 2), " images of shape (4, 3, 2, 2) for labels of shape (4,)"),
    ([0, 1, 1], (3, 2, 2, 3), " images of shape (3, 2, 2, 3) for labels of shape (3,)"),
]


@pytest.mark.parametrize(("labels", "shape", "said"), MISFITS)
def test_what_another_package_draws_or_writes_is_checked(
    monkeypatch, tmp_path, labels, shape, said
):
    own_set(monkeypatch, "sample", draw=lambda *asked: images_and(labels, float, shape))
    with pytest.raises(PluginError, match=rf"^the data set own:draw .* drew .*{re.escape(said)}"):
        minibatch("own:SET", "sample", 0, 4)

    def fetch(wanted):
        images, written = images_and(labels, np.uint8, shape)
        np.savez(wanted.target, train_x=images, train_y=written)
        return {"train": 4}

    own_set(monkeypatch, "train", fetch=fetch)
    with pytest.raises(PluginError, match=rf"^the data set own:fetch .* wrote .*{re.escape(said)}"):
        fetch_images("own:SET", tmp_path / "own.npz")


def test_what_another_package_draws_is_shown(monkeypatch):
    own_set(monkeypatch, "sample", draw=lambda *asked: images_and(RIGHT, float))
    assert minibatch("own:SET", "sample", 0, 4).labels.tolist() == RIGHT


@pytest.mark.parametrize(
    ("returned", "said"),
    [(lambda: None, "TypeError: "), (lambda: 1 / 0, "ZeroDivisionError: division by zero")],
)
def test_images_of_another_package_that_fail_are_named(monkeypatch, tmp_path, returned, said):
    own_set(monkeypatch, "sample", draw=lambda *asked: returned())
    with pytest.raises(PluginError, match=f"^the data set own:draw failed: {said}"):
        minibatch("own:SET", "sample", 0, 4)
    own_set(monkeypatch, "train", fetch=lambda wanted: returned())
    with pytest.raises(PluginError, match=f"^the data set own:fetch failed: {said}"):
        fetch_images("own:SET", tmp_path / "own.npz")


def test_a_set_without_a_name_is_fetched_by_its_address(monkeypatch, tmp_path):
    own_set(monkeypatch, "train")
    with pytest.raises(MissingDataError, match=r"run `untrained fetch own:SET`$"):
        training_set("own:SET", "train", tmp_path)

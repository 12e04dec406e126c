"""Names of data sets and splits."""

import subprocess
import sys

import numpy as np
import pytest

from untrained.errors import ParameterError, UnknownNameError
from untrained.images.sets import IMAGE_SETS, image_set, stored_image_set


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

"""`lga-released`: which images it learns and which it is read on, step by step."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.asking import score_work
from tests.scoring.test_trained import CELL, EXACT, Small

from untrained import score
from untrained.errors import MissingDataError, ParameterError
from untrained.images.minibatches import Minibatch, minibatch, normalise, prepare_images
from untrained.images.sets import image_set
from untrained.proxies.label_alignment import entry_correlation
from untrained.proxies.ntk import LabelGradientAlignment
from untrained.proxies.selections import ParameterSelection
from untrained.proxies.tangent_kernels import tangent_kernel
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import parse_reading
from untrained.training.loop import Examples
from untrained.training.short import train_shortly

pytestmark = pytest.mark.usefixtures("short_networks")

KNOWN = image_set("cifar10")
CPU = torch.device("cpu")


@pytest.fixture
def fetched(tmp_path):
    """Where a small imitation of the official images lies, and the images by split."""
    rng = np.random.default_rng(3)
    made = {
        split: (rng.integers(0, 256, (n, 32, 32, 3), np.uint8), rng.integers(0, 10, n))
        for split, n in (("train", 24), ("test", 300))
    }
    arrays = {f"{split}_x": images for split, (images, _) in made.items()}
    np.savez(
        KNOWN.file(tmp_path), **arrays, **{f"{s}_y": labels for s, (_, labels) in made.items()}
    )
    return tmp_path, made


@pytest.fixture
def few(monkeypatch):
    """Eight images instead of 256."""
    for name, settings in LabelGradientAlignment.kernels.items():
        if settings.setting.test_after_training:
            fewer = replace(settings, setting=replace(settings.setting, images=8))
            monkeypatch.setitem(LabelGradientAlignment.kernels, name, fewer)


@pytest.mark.filterwarnings("ignore:lga reads the labels of test images")
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_all_images_are_learned_and_the_first_test_images_are_read(fetched, mode):
    root, made = fetched
    variant = {"train": "released", "eval": "released_eval"}[mode]
    torch.manual_seed(0)
    network = Small()
    options = {"split": "train", "root": root, "batch_size": 5, "seed": 2}
    found = score(network, proxy=f"lga-{variant}@1", precision="float32", **options)

    def prepare(images, generator):
        return prepare_images(images, KNOWN, generator)

    list(train_shortly(network, Examples(*made["train"], prepare), [1], 2, CPU))
    images, labels = (part[:256] for part in made["test"])
    network.train(mode == "train")
    shown = torch.from_numpy(normalise(images, KNOWN))
    kernel = tangent_kernel(network, shown, ParameterSelection("weights_without_classifier"))
    assert found.status == "ok"
    assert found.score == pytest.approx(entry_correlation(kernel.numpy(), labels), rel=1e-6)


@pytest.mark.usefixtures("few")
def test_the_images_of_each_setting(fetched):
    root, made = fetched
    settings = MinibatchSettings(split="train", batch_size=6, augmentation="crop-flip", root=root)
    setting = parse_reading("lga-released@1").setting
    for seed in (0, 1):
        for batch in (
            settings.draw_for(setting, seed, CPU),
            settings.sized_for(setting).draw(seed, CPU),
            settings.draw_for(setting, seed, CPU, own=True),
        ):
            assert isinstance(batch, Minibatch)
            assert np.array_equal(batch.images.numpy(), normalise(made["test"][0][:8], KNOWN))
            assert np.array_equal(batch.labels.numpy(), made["test"][1][:8])
    before = settings.draw_for(parse_reading("lga-released").setting, 0, CPU)
    drawn = minibatch("cifar10", "train", 0, 8, "crop-flip", root=root)
    assert torch.equal(before.images, drawn.images)
    held_out = settings.training_images(0)
    assert len(held_out.images) == 24 - 6
    everything = settings.training_images(0, whole=True)
    assert np.array_equal(everything.images, made["train"][0])
    assert np.array_equal(everything.labels, made["train"][1])


def test_both_kinds_in_one_shard(space, fetched, few):
    """Each score is what it is alone."""
    root, _ = fetched
    settings = MinibatchSettings(split="train", batch_size=6, root=root)
    names = ["lga-released", "lga-released@1", "lga@1", "lga"]
    proxies = names
    (together,) = score_work(space, [(CELL, proxies)], settings, 0, EXACT)
    for proxy, found in zip(proxies, together, strict=True):
        ((alone,),) = score_work(space, [(CELL, [proxy])], settings, 0, EXACT)
        assert found.status == "ok"
        assert math.isclose(found.score, alone.score, rel_tol=1e-9)
    assert len({one.score for one in together}) == 4


@pytest.mark.parametrize(
    ("dataset", "split", "error", "said"),
    [
        ("cifar10", "test", ParameterError, r"^cifar10 test is not for training: take sample, "),
        (
            "cifar10",
            "sample",
            MissingDataError,
            r"cifar10.npz does not exist: run `untrained fetch",
        ),
        ("TinyImageNet16-120", "train", ParameterError, r"^TinyImageNet16-120 has no test images"),
    ],
)
def test_what_can_not_be_read_is_said(space, tmp_path, monkeypatch, dataset, split, error, said):
    if split == "train":
        monkeypatch.setattr("untrained.scoring.images.rest_of", lambda *_, **__: ([0, 1], [0, 1]))
    settings = MinibatchSettings(dataset, split, batch_size=8, root=tmp_path)
    with pytest.raises(error, match=said):
        list(score_work(space, [(CELL, ["lga-released@1"])], settings, 0, EXACT))


def test_a_notebook_is_warned(fetched, few):
    root, _ = fetched
    with pytest.warns(UserWarning, match=r"^lga reads the labels of test images$"):
        score(Small(), proxy="lga-released@1", split="train", root=root)
    with warnings.catch_warnings(action="error"):
        score(Small(), proxy="lga-released", split="train", root=root, batch_size=8)

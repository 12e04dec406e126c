"""Images of one's own: tensors, loaders and folders of pictures."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

from untrained.errors import DamagedFileError, MissingDataError, ParameterError, UnknownNameError
from untrained.images.minibatches import minibatch
from untrained.proxies.base import Setting
from untrained.scoring.given import shown_images
from untrained.scoring.images import MinibatchSettings

CPU = torch.device("cpu")
IMAGES = torch.arange(9 * 2 * 3 * 4.0).reshape(9, 2, 3, 4)
LABELS = torch.tensor([0, 1, 2, 0, 0, 0, 1, 0, 0])


def shown(images, classes=None, **settings):
    return shown_images(images, MinibatchSettings(**{"batch_size": 4} | settings), [0], classes)


def drawn(images, seed=0, **settings):
    return shown(images, **settings).settings.draw(seed, CPU)


def places(batch):
    """The positions of the images of a batch, which their first pixels tell."""
    return (batch.images[:, 0, 0, 0] / 24).long()


@pytest.mark.parametrize("kind", [torch.Tensor.float, torch.Tensor.double, torch.Tensor.numpy])
def test_a_tensor_is_shown_as_it_is_in_the_order_of_a_seed(kind):
    batch = drawn((kind(IMAGES), LABELS))
    assert batch.images.dtype == torch.float32
    assert torch.equal(batch.images, IMAGES[places(batch)])
    assert torch.equal(batch.labels, LABELS[places(batch)])
    assert batch.num_classes == 3
    assert len(set(places(batch).tolist())) == 4
    assert not torch.equal(drawn(IMAGES, 1).images, batch.images)
    more = drawn(IMAGES, batch_size=7)
    assert torch.equal(more.images[:4], batch.images), "a smaller one begins a larger one"


def test_all_images_are_shown_where_there_are_few():
    found = shown(IMAGES, batch_size=128)
    assert found.words == "9 images given, 2x3x4"
    assert sorted(places(found.settings.draw(0, CPU)).tolist()) == list(range(9))
    fewer = found.settings.draw_for(Setting(images=5), 0, CPU)
    assert len(fewer.images) == 5
    crops = found.settings.draw_for(Setting(crop=(1, 2, 2), images=11), 0, CPU)
    assert crops.images.shape == (11, 1, 2, 2)
    with pytest.raises(ParameterError, match="10 images are asked for: 9 are given"):
        found.settings.draw_for(Setting(images=10), 0, CPU)


def test_arrays_may_be_turned_round_and_of_other_types():
    turned = drawn((IMAGES.numpy()[::-1], LABELS.numpy()[::-1]))
    assert torch.equal(turned.images, IMAGES.flip(0)[8 - places(turned)])
    assert torch.equal(turned.labels, LABELS[places(turned)])
    assert drawn(IMAGES.numpy().astype(">f4").astype("f2")).images.dtype == torch.float32


def test_a_sparse_tensor_is_as_good_as_another():
    assert torch.equal(drawn(IMAGES.to_sparse()).images, drawn(IMAGES).images)


def test_a_folder_that_cannot_be_read_is_one_line(folder, monkeypatch):
    def refuse(_self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ParameterError, match=r"pictures can't be read: PermissionError: .* denied"):
        shown(folder, shape=(3, 4, 4))


@pytest.mark.parametrize("given", [IMAGES, "noise"])
def test_images_that_fill_the_memory_are_refused_before_they_are_drawn(given, monkeypatch):
    monkeypatch.setattr(os, "sysconf", lambda _name: 100)
    assert drawn(given, shape=(2, 8, 8)).images.numel() == 4 * 2 * 8 * 8
    with pytest.raises(ParameterError, match="4 images of 2x20x20 don't fit into the memory"):
        drawn(given, shape=(2, 20, 20))


def test_images_are_resized_and_labels_kept():
    found = drawn((IMAGES, LABELS), shape=(2, 6, 2))
    assert found.images.shape == (4, 2, 6, 2)
    assert torch.equal(found.labels, drawn((IMAGES, LABELS)).labels)


def test_kinds_of_labels():
    kinds = {
        "none": IMAGES,
        "classes": (IMAGES, LABELS),
        "other": (IMAGES, torch.rand(9, 5)),
    }
    assert {kind: shown(images).labels for kind, images in kinds.items()} == {k: k for k in kinds}
    for others in (LABELS.float(), LABELS - 1, LABELS > 0, LABELS[:, None]):
        assert shown((IMAGES, others)).labels == "other"
    assert shown([IMAGES, LABELS.tolist()]).labels == "classes"
    assert drawn((IMAGES, LABELS), classes=7).num_classes == 7
    assert drawn(IMAGES).num_classes == 10


def test_classes_are_balanced():
    batch = drawn((IMAGES, LABELS), batch_size=5, sampling="balanced")
    assert torch.bincount(batch.labels).tolist() == [2, 2, 1]


def loader_of(*parts, **options):
    return DataLoader(TensorDataset(*parts), **{"batch_size": 3} | options)


def test_a_loader_is_passed_over_anew_for_each_seed():
    batch = drawn(loader_of(IMAGES, LABELS))
    assert places(batch).tolist() == [0, 1, 2, 3], "without shuffling"
    assert torch.equal(batch.labels, LABELS[:4])
    assert batch.num_classes == 3
    loader = loader_of(IMAGES, LABELS, shuffle=True)
    state = torch.get_rng_state()
    first, second = drawn(loader), drawn(loader, 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.images, drawn(loader).images)
    assert not torch.equal(first.images, second.images)
    assert torch.equal(first.labels, LABELS[places(first)])
    assert shown(loader_of(IMAGES)).labels == "none"
    whole = shown(loader, batch_size=50)
    assert whole.words == "9 images of a DataLoader, 2x3x4"
    with pytest.raises(ParameterError, match="10 images are asked for: the DataLoader has 9"):
        whole.settings.draw_for(Setting(images=10), 0, CPU)


def test_a_loader_that_changes_its_images_shows_all_networks_the_same():
    class Changes(TensorDataset):
        classes = ("cat", "dog", "bird", "fish")

        def __getitem__(self, place):
            return IMAGES[place] + np.random.default_rng().random(), LABELS[place]

    found = shown(DataLoader(Changes(IMAGES, LABELS), 3))
    first = found.settings.draw(0, CPU)
    assert torch.equal(first.images, found.settings.draw(0, CPU).images)
    assert first.num_classes == 4


@pytest.fixture
def folder(tmp_path):
    """Two classes of pictures with one colour each, of several sizes."""
    colours = {"blue/a.png": (0, 0, 255), "blue/b.png": (0, 0, 255), "red/c.JPG": (255, 0, 0)}
    for number, (name, colour) in enumerate(colours.items()):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + number, 30), colour).save(path)
    (tmp_path / "pictures/notes.txt").write_text("no picture")
    (tmp_path / "pictures/red/notes.txt").write_text("no picture")
    return tmp_path / "pictures"


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_folder_has_a_folder_of_pictures_for_each_class(folder, kind):
    found = shown(kind(folder), shape=(3, 8, 6))
    assert (found.words, found.labels) == (f"3 pictures in {folder}, 3x8x6", "classes")
    batch = found.settings.draw(0, CPU)
    assert batch.images.shape == (3, 3, 8, 6)
    assert batch.num_classes == 2
    # red and blue after the usual normalisation of photographs
    red, blue = ((np.array(c) - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375)
                 for c in ((255, 0, 0), (0, 0, 255)))  # fmt: skip
    for image, label in zip(batch.images, batch.labels, strict=True):
        colour = torch.tensor(red if label else blue)[:, None, None]
        assert torch.allclose(image.double(), colour.expand(3, 8, 6), atol=0.05)
    # grey by the weights of ITU-R 601, and by the mean of the channels' statistics
    grey = drawn(folder, shape=(1, 4, 4))
    assert grey.images.shape == (3, 1, 4, 4)
    mean, std = (123.675 + 116.28 + 103.53) / 3, (58.395 + 57.12 + 57.375) / 3
    for image, label in zip(grey.images, grey.labels, strict=True):
        brightness = 0.299 * 255 if label else 0.114 * 255
        assert torch.allclose(image, torch.tensor((brightness - mean) / std), atol=0.02)


def test_pictures_may_lie_in_folders_of_a_class(folder):
    nested = folder / "red/more/deep/d.png"
    nested.parent.mkdir(parents=True)
    Image.new("RGB", (20, 30), (255, 0, 0)).save(nested)
    found = shown(folder, shape=(3, 4, 4))
    assert found.words == f"4 pictures in {folder}, 3x4x4"
    assert sorted(found.settings.draw(0, CPU).labels.tolist()) == [0, 0, 1, 1]


def test_the_sample_of_cifar10_is_the_default_and_noise_where_it_does_not_fit():
    found = shown(None)
    assert torch.equal(
        found.settings.draw(0, CPU).images, minibatch("cifar10", "sample", 0, 4).images
    )
    assert found.words == "4 images of cifar10, 3x32x32"
    assert shown(None, shape=(3, 5, 6)).words == "4 images of cifar10, 3x5x6"
    assert shown(None, shape=(1, 5, 6)).words == "4 images of noise, 1x5x6"
    assert drawn("noise", shape=(7, 5, 6)).images.shape == (4, 7, 5, 6)


@pytest.mark.parametrize(
    ("images", "settings", "message"),
    [
        (3, {}, r"^images are 3: give a tensor"),
        ((IMAGES,), {}, "give a tensor"),
        ((IMAGES, LABELS, LABELS), {}, "give a tensor"),
        (iter([IMAGES]), {}, "give a tensor"),
        (IMAGES[0], {}, r"images of shape \(2, 3, 4\): give \(N, C, H, W\)"),
        (IMAGES[:0], {}, r"images of shape \(0, 2, 3, 4\)"),
        (IMAGES[:1], {}, "1 images given: 2 or more are needed"),
        (IMAGES.to(torch.uint8), {}, "images are uint8: convert them to floating point"),
        (IMAGES * float("nan"), {}, "pixels that are not finite"),
        ((IMAGES, LABELS[:4]), {}, r"labels of shape \(4,\) for 9 images"),
        ((IMAGES, 3), {}, r"labels of shape \(\) for 9 images"),
        ((IMAGES, LABELS), {"classes": 2}, "label 2 of 2 classes"),
        (
            IMAGES,
            {"shape": (3, 3, 4)},
            "^input 3x3x4: images given have 2 channels, give input of as many$",
        ),
        (IMAGES, {"sampling": "balanced"}, "sampling 'balanced' is by classes"),
        (IMAGES, {"split": "train"}, "split is of data sets that have a name"),
        (IMAGES, {"augmentation": "crop-flip"}, "augmentation is of data sets that have a name"),
        (loader_of(IMAGES), {"sampling": "balanced"}, "a loader itself chooses its images"),
        (loader_of(IMAGES[:1]), {}, "1 images of a DataLoader: 2 or more"),
        (DataLoader([]), {}, "the DataLoader yields no batches"),
        (DataLoader([{"image": IMAGES[0]}]), {}, "a batch of the DataLoader is dict: let it be"),
        (
            DataLoader([(IMAGES[0], "a")]),
            {},
            r"a batch of the DataLoader is \(Tensor, tuple\): let",
        ),
        (np.array([[None]]), {}, "images can't be made a tensor: TypeError: "),
        ((IMAGES, list("abcdefghi")), {}, "labels can't be made a tensor: "),
        ((IMAGES, np.array(list("abcdefghi"))), {}, "labels can't be made a tensor: "),
        ((IMAGES, [[0], [1, 2], 3]), {}, "labels can't be made a tensor: "),
        ({"image": IMAGES}, {}, r"^images are \{'image': .*: give a tensor"),
        ([(IMAGES, LABELS)], {}, "give a tensor"),
    ],
)
def test_what_are_no_images_is_one_line(images, settings, message):
    with pytest.raises(ParameterError, match=message) as caught:
        shown(images, **settings)
    assert "\n" not in str(caught.value)


def test_what_are_no_pictures_is_one_line(folder, tmp_path):
    with pytest.raises(UnknownNameError, match=r"unknown data set 'picturs': .* or a folder"):
        shown("picturs")
    with pytest.raises(ParameterError, match="cut to one size: give input of 3 channels or 1"):
        shown(folder)
    with pytest.raises(ParameterError, match="give input of 3 channels or 1"):
        shown(folder, shape=(2, 8, 8))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingDataError, match=r"has no pictures: put them into a folder for each"):
        shown(tmp_path / "empty", shape=(3, 8, 8))
    (folder / "red/c.JPG").write_bytes(b"no picture")
    with pytest.raises(DamagedFileError, match=r"c\.JPG is no picture"):
        shown(folder, shape=(3, 8, 8))

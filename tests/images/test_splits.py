"""The bundled sample, the halves of CIFAR-10 and the converted files."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from untrained.errors import (
    DamagedFileError,
    MissingDataError,
    ParameterError,
    UnknownNameError,
)
from untrained.files import BUNDLED
from untrained.images import sets
from untrained.images.sets import image_set
from untrained.images.splits import read_halves, training_set
from untrained.pickles import unpickle

SIZES = {"cifar10": 2048, "cifar100": 1024}


def notes(dataset):
    """What lies beside the bundled images: labels, their official positions, names of classes."""
    return json.loads((BUNDLED / f"{dataset}.json").read_text())


@pytest.mark.parametrize("dataset", SIZES)
def test_the_sample_is_balanced_and_has_plausible_pixels(dataset):
    images, labels = training_set(dataset, "sample")
    assert images.shape == (SIZES[dataset], 32, 32, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    counts = np.bincount(labels, minlength=len(notes(dataset)["classes"]))
    assert counts.max() - counts.min() <= 1
    assert len(set(notes(dataset)["positions"])) == SIZES[dataset]
    # Tiles cut along the wrong lines would have edges inside: neighbours in photographs are alike.
    rows = np.abs(np.diff(images.astype(int), axis=1)).mean((0, 2, 3))
    columns = np.abs(np.diff(images.astype(int), axis=2)).mean((0, 1, 3))
    assert max(rows.max(), columns.max()) < 1.5 * min(rows.min(), columns.min())


@pytest.mark.parametrize("dataset", SIZES)
def test_the_sample_is_lossless(dataset, real_images):
    images, labels = training_set(dataset, "sample")
    with np.load(real_images / f"{dataset}_train2048.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(images, file["x"][: SIZES[dataset]])
        np.testing.assert_array_equal(labels, file["y"][: SIZES[dataset]])
        np.testing.assert_array_equal(notes(dataset)["positions"], file["index"][: SIZES[dataset]])
        assert notes(dataset)["classes"] == file["classes"].tolist()


def test_the_sample_equals_the_official_images(real_images):
    images, labels = training_set("cifar10", "sample")
    positions = np.array(notes("cifar10")["positions"])
    checked = 0
    for number in (1, 2):
        path = real_images / "cifar-10-batches-py" / f"data_batch_{number}"
        batch = unpickle(path.read_bytes(), path.name)
        pixels = np.asarray(batch["data"])
        for place in np.flatnonzero(positions // 10_000 == number - 1):
            row = positions[place] % 10_000
            channels = [pixels[row, 1024 * c : 1024 * (c + 1)].reshape(32, 32) for c in range(3)]
            np.testing.assert_array_equal(images[place], np.dstack(channels))
            assert labels[place] == batch["labels"][row]
            checked += 1
    assert checked > 100


def test_the_halves_are_those_of_nas_bench_201(real_images):
    text = json.loads((real_images / "cifar-split.txt").read_text())
    halves = read_halves(sets.CIFAR10.halves)
    assert np.flatnonzero(halves).tolist() == sorted(map(int, text["train"][1]))
    assert np.flatnonzero(~halves).tolist() == sorted(map(int, text["valid"][1]))


def test_the_bundle_is_small():
    names = ("cifar10.webp", "cifar100.webp", "cifar10.json", "cifar100.json", "cifar10_halves.npy")
    assert sum((BUNDLED / name).stat().st_size for name in names) < 7e6


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A copy of the bundle that a test may damage."""
    for name in ("cifar100.webp", "cifar100.json"):
        shutil.copy(BUNDLED / name, tmp_path)
    copied = replace(image_set("cifar100"), bundled=tmp_path / "cifar100.webp")
    monkeypatch.setattr(sets, "CIFAR100", copied)
    return tmp_path


def test_damage_to_the_bundle_is_noticed(bundle):
    def refused(name):
        with pytest.raises(DamagedFileError, match=rf"{name}.*install the project again"):
            training_set("cifar100", "sample")

    sheet, notes = bundle / "cifar100.webp", bundle / "cifar100.json"
    content = sheet.read_bytes()
    sheet.write_bytes(content[:1000])
    refused(sheet.name)
    Image.new("RGB", (32, 32)).save(sheet)
    refused(sheet.name)
    sheet.unlink()
    refused(sheet.name)
    sheet.write_bytes(content)
    for wrong in ("{", "[]", '{"positions": []}'):
        notes.write_text(wrong)
        refused(notes.name)
    notes.unlink()
    refused(notes.name)


def test_damage_to_the_halves_is_noticed(tmp_path):
    path = tmp_path / "cifar10_halves.npy"
    with pytest.raises(DamagedFileError, match="install"):
        read_halves(path)
    np.save(path, np.zeros(6250))
    with pytest.raises(DamagedFileError, match="install"):
        read_halves(path)
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(DamagedFileError, match="install"):
        read_halves(path)


def test_what_does_not_exist_says_how_to_get_it(tmp_path):
    with pytest.raises(MissingDataError, match=r"cifar10\.npz does not.*`untrained fetch cifar10`"):
        training_set("cifar10", "train-half", tmp_path)
    with pytest.raises(MissingDataError, match="`untrained fetch ImageNet16-120 --from FOLDER`"):
        training_set("ImageNet16-120", "valid", tmp_path)
    with pytest.raises(UnknownNameError, match="known: train, valid"):
        training_set("ImageNet16-120", "sample", tmp_path)
    with pytest.raises(ParameterError, match="no files"):
        training_set("noise", "sample")


def stored(count, **changes):
    rng = np.random.default_rng(1)
    arrays = {
        "train_x": rng.integers(0, 256, (count, 32, 32, 3), np.uint8),
        "train_y": rng.integers(0, 10, count),
    }
    return arrays | changes


#: A set that happens to have a split of this name, and no file of halves.
OWN = replace(sets.CIFAR10, name="own", splits=("upper-half",), bundled=None, halves=None)


def test_only_a_set_with_a_file_of_halves_is_cut_by_it(tmp_path):
    arrays = stored(3)
    named = {"upper-half_x": arrays["train_x"], "upper-half_y": arrays["train_y"]}
    np.savez(tmp_path / "own.npz", **named)
    images, labels = training_set(f"{__name__}:OWN", "upper-half", tmp_path)
    np.testing.assert_array_equal(images, arrays["train_x"])
    np.testing.assert_array_equal(labels, arrays["train_y"])


def test_the_halves_are_looked_up_by_position(tmp_path):
    positions = np.array([0, 1, 49_999, 24_999, 7])
    arrays = stored(5, train_positions=positions)
    np.savez(tmp_path / "cifar10.npz", **arrays)
    halves = read_halves(sets.CIFAR10.halves)
    for split, wanted in (("train-half", True), ("valid-half", False)):
        chosen = [place for place in range(5) if halves[positions[place]] == wanted]
        images, labels = training_set("cifar10", split, tmp_path)
        np.testing.assert_array_equal(images, arrays["train_x"][chosen])
        np.testing.assert_array_equal(labels, arrays["train_y"][chosen])
    with pytest.raises(MissingDataError, match="no test images"):
        training_set("cifar10", "test", tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"train_x": np.zeros((5, 3, 32, 32), np.uint8)},
        {"train_x": np.zeros((4, 32, 32, 3), np.uint8)},
        {"train_x": np.zeros((5, 32, 32, 3))},
        {"train_y": np.full(5, 10)},
        {"train_y": np.full(5, -1)},
        {"train_y": np.zeros(5)},
        {"train_y": np.int64(1)},
        {"train_positions": np.arange(4)},
        {"train_positions": np.arange(5) + 49_996},
        {"train_positions": np.array([object()] * 5)},
    ],
)
def test_wrong_content_is_noticed(tmp_path, changes):
    np.savez(tmp_path / "cifar10.npz", **stored(5, **changes))
    with pytest.raises(DamagedFileError, match=r"delete it and run `untrained fetch cifar10`"):
        training_set("cifar10", "train-half", tmp_path)


def test_damaged_files_are_noticed(tmp_path):
    path = tmp_path / "cifar10.npz"
    np.savez(path, **stored(5))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[5000] ^= 1
    np.savez(path, train_x=stored(5)["train_x"])
    lacking = path.read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    array = (tmp_path / "array.npy").read_bytes()
    for content in (b"", b"PK", whole[:-100], bytes(flipped), lacking, array):
        path.write_bytes(content)
        with pytest.raises(DamagedFileError, match="delete it and run"):
            training_set("cifar10", "train", tmp_path)

"""Official files become one file of the project, or an error that says which is wrong."""

import pickle

import numpy as np
import pytest

from untrained.errors import DamagedFileError, MissingDataError, ParameterError, UnknownNameError
from untrained.images.minibatches import minibatch
from untrained.images.official import LAYOUTS, archive_md5, convert, member_md5s
from untrained.images.sets import image_set
from untrained.images.splits import training_set

from .conftest import Official

DATASETS = sorted(LAYOUTS)


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("packed", [False, True])
def test_conversion_keeps_every_image(official, tmp_path, dataset, packed):
    made = official(dataset)
    source = (
        made.write_archive(tmp_path / "official.tar.gz")
        if packed
        else made.write_folder(tmp_path / "official")
    )
    names = []
    target = image_set(dataset).file(tmp_path)
    written = convert(dataset, source, target, names.append)
    assert sorted(names) == sorted(made.files)
    assert written == made.counts
    for split in made.layout.parts:
        images, labels = training_set(dataset, split, tmp_path)
        np.testing.assert_array_equal(images, made.images[split])
        np.testing.assert_array_equal(labels, made.labels[split])
        assert minibatch(dataset, split, 0, 2, "crop-flip", root=tmp_path).images.isfinite().all()
    with np.load(target, allow_pickle=False) as file:
        assert file[f"{next(iter(made.layout.parts))}_x"].dtype == np.uint8


def test_conversion_is_reproducible_to_the_byte(official, tmp_path):
    made = official("cifar100")
    source = made.write_folder(tmp_path / "official")
    for name in ("a.npz", "b.npz"):
        convert("cifar100", source, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_only_the_first_120_classes_of_imagenet_are_kept(official, tmp_path):
    made = official("ImageNet16-120", per_file=60, classes=1000)
    target = tmp_path / "ImageNet16-120.npz"
    convert("ImageNet16-120", made.write_folder(tmp_path / "x"), target)
    images, labels = training_set("ImageNet16-120", "train", tmp_path)
    assert 0 < len(labels) < 200
    assert labels.max() < 120
    np.testing.assert_array_equal(images, made.images["train"])
    np.testing.assert_array_equal(labels, made.labels["train"])


@pytest.mark.parametrize("dataset", DATASETS)
def test_missing_files_are_listed_or_allowed(official, tmp_path, dataset):
    made = official(dataset)
    train, other = made.layout.parts.values()
    source = made.write_folder(tmp_path / "official", without=(train[0], other[0]))
    target = tmp_path / f"{dataset}.npz"
    with pytest.raises(MissingDataError, match=f"lacks {train[0]}, {other[0]}: give the complete"):
        convert(dataset, source, target)
    assert not target.exists()
    if len(train) == 1:
        with pytest.raises(MissingDataError, match="lacks train, test"):
            convert(dataset, source, target, allow_missing=True)
        return
    written = convert(dataset, source, target, allow_missing=True)
    assert written == {"train": 20 * (len(train) - 1)}
    images, _ = training_set(dataset, "train", tmp_path)
    np.testing.assert_array_equal(images, made.images["train"][20:])


def test_positions_survive_a_partial_mirror(official, tmp_path, monkeypatch):
    made = official("cifar10")
    source = made.write_folder(tmp_path / "x", without=("data_batch_2", "data_batch_4"))
    convert("cifar10", source, tmp_path / "x.npz", allow_missing=True)
    with np.load(tmp_path / "x.npz") as file:
        positions = file["train_positions"]
        np.testing.assert_array_equal(file["train_x"], made.images["train"][positions])
        assert "test_positions" not in file
    # Where the files are not equally long, the positions are not known.
    made.pass_for_official(monkeypatch, {"train": 999, "test": 20})
    convert("cifar10", source, tmp_path / "y.npz", allow_missing=True)
    with np.load(tmp_path / "y.npz") as file:
        assert "train_positions" not in file


def test_the_wrong_checksum_names_the_file(tmp_path):
    made = Official("cifar10")
    source = made.write_archive(tmp_path / "x.tar.gz")
    with pytest.raises(DamagedFileError, match=r"data_batch_1 has the MD5 .* c99cafc152244af7"):
        convert("cifar10", source, tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()


def test_the_wrong_number_of_images_is_noticed(tmp_path):
    made = Official("ImageNet16-120", per_file=3)
    source = made.write_folder(tmp_path / "x")
    with pytest.raises(DamagedFileError, match="has 30 train images, the official files have 1517"):
        convert("ImageNet16-120", source, tmp_path / "x.npz")


def replaced(made, **changes):
    name = "train_data_batch_3" if made.dataset == "ImageNet16-120" else "test"
    content = pickle.loads(made.files[name]) | changes
    made.files[name] = pickle.dumps({k: v for k, v in content.items() if v is not None})
    return made


@pytest.mark.parametrize(
    ("dataset", "changes", "message"),
    [
        ("cifar100", {"data": None}, "not a dictionary with `data` and `fine_labels`"),
        ("cifar100", {"fine_labels": None}, "not a dictionary"),
        ("cifar100", {"fine_labels": [100] * 20}, "labels outside 0 to 99"),
        ("cifar100", {"fine_labels": [-1] * 20}, "labels outside 0 to 99"),
        ("cifar100", {"fine_labels": ["cat"] * 20}, "not a dictionary with `data`"),
        ("cifar100", {"fine_labels": [1] * 19}, "cannot reshape"),
        ("cifar100", {"data": np.zeros((20, 3072))}, "float64 images"),
        ("cifar100", {"data": np.zeros((20, 3, 32, 31), np.uint8)}, "cannot reshape"),
        ("ImageNet16-120", {"labels": [0] * 20}, "labels outside 0 to 999, once"),
        ("ImageNet16-120", {"labels": [1001] * 20}, "labels outside 0 to 999, once"),
        ("ImageNet16-120", {"data": np.zeros((20, 3072), np.uint8)}, "cannot reshape"),
    ],
)
def test_wrong_content_is_noticed(tmp_path, monkeypatch, dataset, changes, message):
    made = replaced(Official(dataset), **changes).pass_for_official(monkeypatch)
    source = made.write_folder(tmp_path / "x")
    with pytest.raises(DamagedFileError, match=message) as caught:
        convert(dataset, source, tmp_path / "x.npz")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", pickle.dumps([1]), pickle.dumps(print)])
def test_other_pickles_are_noticed(tmp_path, monkeypatch, content):
    made = Official("cifar100")
    made.files["test"] = content
    made.pass_for_official(monkeypatch)
    with pytest.raises(DamagedFileError, match="test"):
        convert("cifar100", made.write_folder(tmp_path / "x"), tmp_path / "x.npz")


def test_unknown_data_sets(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'cifar10'"):
        convert("CIFAR-10", tmp_path, tmp_path / "x.npz")
    with pytest.raises(ParameterError, match="no files"):
        convert("noise", tmp_path, tmp_path / "x.npz")


def test_every_official_cifar_file_has_a_checksum():
    for dataset in ("cifar10", "cifar100"):
        parts = {name for names in LAYOUTS[dataset].parts.values() for name in names}
        assert parts < member_md5s(dataset).keys()
        assert len(archive_md5(dataset)) == 32
    assert (archive_md5("ImageNet16-120"), member_md5s("ImageNet16-120")) == (None, {})


def test_real_files_convert(real_images, tmp_path):
    """The real checksums, Python-2 pickles and class order."""
    target = tmp_path / "cifar100.npz"
    folder = real_images / "cifar-100-python"
    assert convert("cifar100", folder, target, allow_missing=True) == {"test": 10_000}
    images, labels = training_set("cifar100", "test", tmp_path)
    assert images.shape == (10_000, 32, 32, 3)
    assert (np.bincount(labels) == 100).all()

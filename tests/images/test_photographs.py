"""Photographs become squares of pixels, in the order of their classes and names."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from untrained.errors import DamagedFileError, DownloadError, MissingDataError
from untrained.images import fetch
from untrained.images import photographs as module
from untrained.images.fetch import fetch_images
from untrained.images.minibatches import minibatch
from untrained.images.official import archive_md5
from untrained.images.photographs import CLASSES, convert_photographs
from untrained.images.splits import training_set

COUNTS = {"train": 20, "valid": 10}


@pytest.fixture
def few(monkeypatch):
    """Imagenette has as many photographs as there are here."""
    monkeypatch.setattr(module, "COUNTS", COUNTS)


def encoded(width, height, seed, kind="JPEG", mode="RGB"):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8))
    file = io.BytesIO()
    coarse.resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(file, kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def photographs():
    """Path in the archive to content: two of each class to train on, and one to validate."""
    named = [
        f"{folder}/{name}/{name}_{number}.JPEG"
        for folder, numbers in (("val", "7"), ("train", "52"))
        for name in reversed(CLASSES)
        for number in numbers
    ]
    return {
        name: encoded(320 + seed, 400 - seed, seed, mode="L" if seed == 3 else "RGB")
        for seed, name in enumerate(named)
    }


def write_archive(path, photographs):
    extra = {"noisy_imagenette.csv": b"path", "train/n01440764/.DS_Store": b"x"}
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in (photographs | extra).items():
            entry = tarfile.TarInfo(f"imagenette2-320/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def write_folder(path, photographs):
    for name, content in photographs.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def squared(content):
    """The definition, by PyTorch: scale the shorter side to 256, cut out the middle."""
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    height, width = pixels.shape[:2]
    size = [round(side * 256 / min(width, height)) for side in (height, width)]
    whole = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].double()
    scaled = interpolate(whole, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)
    top, left = ((side - 224) // 2 for side in size)
    return scaled[top : top + 224, left : left + 224].numpy()


@pytest.mark.usefixtures("few")
def test_an_archive_and_its_folder_become_the_same_file(photographs, tmp_path):
    archive = write_archive(tmp_path / "imagenette2-320.tgz", photographs)
    folder = write_folder(tmp_path / "in" / "imagenette2-320", photographs)
    files, read = [], []
    for number, source in enumerate((archive, folder, folder.parent)):
        target = tmp_path / str(number) / "imagenette.npz"
        assert convert_photographs(source, target, read.append) == COUNTS
        assert list(target.parent.iterdir()) == [target]
        files.append(target.read_bytes())
    with np.load(target) as first, np.load(tmp_path / "0" / "imagenette.npz") as last:
        for key in first:
            np.testing.assert_array_equal(first[key], last[key])
    folders = [f"{split}/{name}" for split in ("train", "val") for name in CLASSES]
    assert read == folders * 3

    images, labels = training_set("imagenette", "train", target.parent)
    assert labels.tolist() == [label for label in range(10) for _ in range(2)]
    names = sorted(name for name in photographs if name.startswith("train"))
    for image, name in zip(images, names, strict=True):
        # PIL computes with whole numbers
        assert np.abs(image - squared(photographs[name])).max() <= 1.5
    valid, labels = training_set("imagenette", "valid", target.parent)
    assert labels.tolist() == list(range(10))
    drawn = minibatch("imagenette", "valid", 0, 4, root=target.parent)
    assert drawn.images.shape == (4, 3, 224, 224)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    shown = drawn.images[0].permute(1, 2, 0).numpy() * std + mean
    assert min(np.abs(shown * 255 - image).max() for image in valid) < 0.01


@pytest.mark.usefixtures("few")
def test_what_needs_no_scaling_is_only_cut(photographs, tmp_path):
    # without losses, so that the pixels are known; ImageNet has such files, too
    pixels = np.random.default_rng(0).integers(0, 256, (256, 300, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    name = "train/n01440764/n01440764_2.JPEG"
    source = write_folder(tmp_path / "in", photographs | {name: file.getvalue()})
    convert_photographs(source, tmp_path / "imagenette.npz")
    images, _ = training_set("imagenette", "train", tmp_path)
    np.testing.assert_array_equal(images[0], pixels[16:240, 38:262])


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "is not a photograph"),
        (encoded(320, 320, 0)[:2000], "is not a photograph"),
        (encoded(4000, 10, 0), "is not a photograph .it has 4000x10 pixels"),
        (encoded(320, 320, 0, "GIF"), "is not a photograph"),
    ],
)
def test_files_that_are_no_photographs(photographs, tmp_path, content, message):
    name = "train/n03888257/n03888257_5.JPEG"
    source = write_folder(tmp_path / "in", photographs | {name: content})
    target = tmp_path / "out" / "imagenette.npz"
    with pytest.raises(DamagedFileError, match=message) as caught:
        convert_photographs(source, target)
    assert f"{source}: {name}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any(target.parent.iterdir())


@pytest.mark.usefixtures("few")
def test_missing_and_superfluous_photographs(photographs, tmp_path, monkeypatch):
    few = {name: content for name, content in photographs.items() if "n03425413" not in name}
    source, target = write_folder(tmp_path / "few", few), tmp_path / "imagenette.npz"
    with pytest.raises(MissingDataError, match="18 photographs in train/, Imagenette has 20: name"):
        convert_photographs(source, target)
    written = convert_photographs(source, target, allow_missing=True)
    assert written == {"train": 18, "valid": 9}
    target.unlink()
    without = {name: content for name, content in few.items() if name.startswith("train")}
    source = write_folder(tmp_path / "without", without)
    with pytest.raises(MissingDataError, match="18 photographs in train/"):
        convert_photographs(source, target)
    # of which `untrained fetch` makes the same; official counts are larger
    assert fetch_images("imagenette", target, source, allow_missing=True) == {"train": 18}
    with pytest.raises(
        MissingDataError, match=r"no valid images: run `untrained fetch imagenette`"
    ):
        training_set("imagenette", "valid", tmp_path)
    target.unlink()
    (tmp_path / "nothing").mkdir()
    with pytest.raises(MissingDataError, match="0 photographs in train/"):
        convert_photographs(tmp_path / "nothing", target, allow_missing=True)
    source = write_folder(tmp_path / "all", photographs)
    for counts in (COUNTS | {"train": 19}, COUNTS | {"valid": 9}):
        monkeypatch.setattr(module, "COUNTS", counts)
        with pytest.raises(DamagedFileError, match=r"has [12]0 photographs"):
            convert_photographs(source, target, allow_missing=True)
    nested = write_folder(tmp_path / "all" / "twice", photographs)
    with pytest.raises(DamagedFileError, match="twice"):
        convert_photographs(nested.parent, target)
    assert not target.exists()


def test_real_photographs(real_images, tmp_path):
    """Of the training half, 256 that were scaled to 224x224 pixels before."""
    with zipfile.ZipFile(real_images / "imagenette224_train256.zip") as archive:
        archive.extractall(tmp_path / "in")
    with pytest.raises(MissingDataError, match="256 photographs in train/, Imagenette has 9469"):
        fetch_images("imagenette", tmp_path / "imagenette.npz", tmp_path / "in")
    target = tmp_path / "imagenette.npz"
    found = fetch_images("imagenette", target, tmp_path / "in", allow_missing=True)
    assert found == {"train": 256}
    drawn = minibatch("imagenette", "train", 0, 128, root=tmp_path)
    # of ImageNet 0 and 1; ten of its classes are a little brighter and darker
    assert torch.allclose(drawn.images.mean((0, 2, 3)), torch.zeros(3), atol=0.25)
    assert torch.allclose(drawn.images.std((0, 2, 3)), torch.ones(3), atol=0.35)
    assert set(drawn.labels.tolist()) == set(range(10))


def test_archives_are_held_against_their_checksum(photographs, tmp_path):
    archive = write_archive(tmp_path / "imagenette2-320.tgz", photographs)
    known = archive_md5("imagenette")
    for source, mirror in ((archive, None), (tmp_path, None), (None, str(tmp_path))):
        with pytest.raises(DamagedFileError, match=f"the official imagenette2-320.tgz has {known}"):
            fetch_images("imagenette", tmp_path / "imagenette.npz", source, mirror)
    assert list(tmp_path.iterdir()) == [archive]


def test_the_official_address(tmp_path, monkeypatch):
    asked = []

    def refuse(*arguments, **settings):
        asked.append(arguments)
        raise DownloadError("no connection")

    monkeypatch.setattr(fetch, "download", refuse)
    target = tmp_path / "imagenette.npz"
    for mirror in (None, "https://mirror.example/files/"):
        with pytest.raises(DownloadError):
            fetch_images("imagenette", target, mirror=mirror)
    name = "imagenette2-320.tgz"
    urls = [f"https://s3.amazonaws.com/fast-ai-imageclas/{name}"]
    urls.append(f"https://mirror.example/files/{name}")
    md5 = "3df6f0d01a2c9592104656642f5e78a3"
    assert asked == [(url, target.with_name(name), md5) for url in urls]


@pytest.mark.usefixtures("few")
def test_a_download_is_converted_and_removed(photographs, tmp_path, monkeypatch):
    def bring(url, target, md5, progress):
        return write_archive(target, photographs)

    monkeypatch.setattr(fetch, "download", bring)
    monkeypatch.setattr(fetch, "archive_md5", lambda dataset: None)
    target = tmp_path / "imagenette.npz"
    assert fetch_images("imagenette", target) == COUNTS
    assert list(tmp_path.iterdir()) == [target]

"""Read the images and labels of a split from the bundled sample or the converted files."""

import json
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.files import BUNDLED, IMAGES
from untrained.images.sets import ImageSet, stored_image_set

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

#: Images per row of a bundled contact sheet.
SHEET_COLUMNS = 32
CIFAR10_TRAINING_IMAGES = 50_000


def training_set(dataset: str, split: str = "train", root: Path = IMAGES) -> tuple[Pixels, Labels]:
    """Read all images of a split, unnormalised, in the order of the official files.

    Args:
        dataset: a name in `IMAGE_SETS` whose images are stored.
        split: one of the set's splits; `sample` is bundled, the others have been fetched.
        root: the folder of the fetched files.

    Returns:
        Images, uint8 of shape (images, height, width, channels), and labels, int64 (images,).

    Raises:
        UnknownNameError: no such set or split.
        ParameterError: the images of the set are not stored.
        MissingDataError: it has not been fetched; the message has the command that does.
        DamagedFileError: the file is not what `untrained fetch` writes.
    """
    known = stored_image_set(dataset)
    known.check_split(split)
    if split == "sample":
        return _read_sample(known)
    if split.endswith("-half"):
        return _read_half(known, split, root)
    images, labels, _ = _read_stored(known, split, root)
    return images, labels


def sample_positions(dataset: str) -> NDArray[np.int64]:
    """Return where each bundled image stands in the official training set, counted from 0."""
    return np.array(_read_notes(stored_image_set(dataset))["positions"], np.int64)


def class_names(dataset: str) -> list[str]:
    """Return the names of the classes of a data set with a bundled sample, by label."""
    return [str(name) for name in _read_notes(stored_image_set(dataset))["classes"]]


def cifar10_halves(folder: Path = BUNDLED) -> NDArray[np.bool_]:
    """Tell which half each CIFAR-10 training image is in, as NAS-Bench-201 splits them.

    Returns:
        (50000,), True for the training half and False for the validation half.

    Raises:
        MissingDataError, DamagedFileError: the bundled file is not there, or not intact.
    """
    path = folder / "cifar10_halves.npy"
    if not path.is_file():
        raise _not_bundled(path)
    try:
        halves = np.unpackbits(np.load(path, allow_pickle=False)).astype(bool)
    except (ValueError, TypeError, EOFError, OSError) as error:
        raise _damaged_bundle(path) from error
    if halves.shape != (CIFAR10_TRAINING_IMAGES,) or 2 * halves.sum() != halves.size:
        raise _damaged_bundle(path)
    return halves


def _not_bundled(path: Path) -> MissingDataError:
    return MissingDataError(f"{path} does not exist: install the project again, it brings the file")


def _damaged_bundle(path: Path) -> DamagedFileError:
    return DamagedFileError(f"{path} is damaged: install the project again, it brings the file")


def check_training_split(dataset: str, split: str) -> None:
    """Check that networks may be trained on a split.

    ImageNet16-120's validation images are what NAS-Bench-201 tests on, too.

    Raises:
        ParameterError: there are no such images, or training must not see their labels.
    """
    known = stored_image_set(dataset)
    allowed = [name for name in known.splits if name not in ("test", "valid")]
    if split not in allowed:
        raise ParameterError(f"{dataset} {split} is not for training: take {', '.join(allowed)}")


def fetch_command(dataset: str) -> str:
    """Return the command line that makes the file of a data set."""
    public = stored_image_set(dataset).public
    return f"untrained fetch {dataset}" + ("" if public else " --from FOLDER")


def _damaged_file(known: ImageSet, path: Path) -> DamagedFileError:
    command = fetch_command(known.name)
    return DamagedFileError(f"{path} is damaged: delete it and run `{command}`")


def _bundled(known: ImageSet) -> Path:
    known.check_split("sample")
    if known.bundled is None:
        raise MissingDataError(f"{known.name} brings no images of its sample: name another split")
    return known.bundled


def _read_notes(known: ImageSet) -> dict[str, list[object]]:
    path = _bundled(known).with_suffix(".json")
    if not path.is_file():
        raise _not_bundled(path)
    try:
        notes = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged_bundle(path) from error
    if not isinstance(notes, dict) or not {"labels", "positions", "classes"} <= notes.keys():
        raise _damaged_bundle(path)
    return notes


def _read_sample(known: ImageSet) -> tuple[Pixels, Labels]:
    from PIL import Image

    path = _bundled(known)
    if path.suffix == ".npz":
        images, labels, _ = _read_arrays(known, "sample", path)
        return images, labels
    labels = np.array(_read_notes(known)["labels"], np.int64)
    if not path.is_file():
        raise _not_bundled(path)
    try:
        with Image.open(path) as sheet:
            pixels = np.asarray(sheet.convert("RGB"))
    except OSError as error:
        raise _damaged_bundle(path) from error
    channels, height, width = known.shape
    rows = len(labels) // SHEET_COLUMNS
    if pixels.shape != (rows * height, SHEET_COLUMNS * width, channels):
        raise _damaged_bundle(path)
    tiles = pixels.reshape(rows, height, SHEET_COLUMNS, width, channels).swapaxes(1, 2)
    return np.ascontiguousarray(tiles).reshape(-1, height, width, channels), labels


def _read_half(known: ImageSet, split: str, root: Path) -> tuple[Pixels, Labels]:
    halves = cifar10_halves()
    images, labels, positions = _read_stored(known, "train", root)
    if len(positions) and not 0 <= positions.min() <= positions.max() < len(halves):
        raise _damaged_file(known, known.file(root))
    # A partial mirror has fewer images, so they are looked up by position, not by order.
    chosen = halves[positions] == (split == "train-half")
    return images[chosen], labels[chosen]


def _read_stored(
    known: ImageSet, split: str, root: Path
) -> tuple[Pixels, Labels, NDArray[np.int64]]:
    return _read_arrays(known, split, known.file(root))


def _read_arrays(
    known: ImageSet, split: str, path: Path
) -> tuple[Pixels, Labels, NDArray[np.int64]]:
    command = fetch_command(known.name)
    if not path.is_file():
        raise MissingDataError(f"{path} does not exist: run `{command}`")
    try:
        with np.load(path, allow_pickle=False) as file:
            if f"{split}_x" not in file:
                raise MissingDataError(
                    f"{path} has no {split} images: run `{command}` with the complete files"
                )
            images, labels = file[f"{split}_x"], file[f"{split}_y"]
            key = f"{split}_positions"
            positions = file[key] if key in file else np.arange(len(images))
    except (
        BadZipFile,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        EOFError,
        OSError,
    ) as error:
        raise _damaged_file(known, path) from error
    channels, height, width = known.shape
    count = labels.size
    if (
        images.shape != (count, height, width, channels)
        or images.dtype != np.uint8
        or labels.shape != (count,)
        or labels.dtype.kind not in "iu"
        or positions.shape != (count,)
        or not ((labels >= 0) & (labels < known.num_classes)).all()
    ):
        raise _damaged_file(known, path)
    return images, labels.astype(np.int64), positions.astype(np.int64)

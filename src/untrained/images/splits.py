"""Read the images and labels of a split from the bundled sample or from fetched files."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untrained.errors import MissingDataError, ParameterError
from untrained.files import IMAGES, absent, arrays_in, reading
from untrained.images.sets import IMAGE_SETS, SAMPLE, ImageSet, stored_image_set

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]

#: The splits of a set that has a file of halves.
HALVES = ("train-half", "valid-half")
#: Images per row of a bundled contact sheet.
SHEET_COLUMNS = 32
_REINSTALL = "install the project again, which brings the file"


def training_set(dataset: str, split: str = "train", root: Path = IMAGES) -> tuple[Pixels, Labels]:
    """Read all images of a split, unnormalised, in the order of the official files.

    Args:
        dataset: a name in `IMAGE_SETS` whose images are stored.
        split: one of the set's splits; `sample` is bundled, the others must have been fetched.
        root: the folder of the fetched files.

    Returns:
        Images, uint8 of shape (images, height, width, channels), and labels, int64 (images,).

    Raises:
        UnknownNameError: no such set or split.
        ParameterError: the images of the set are not stored.
        MissingDataError: the split has not been fetched; the message has the command for it.
        DamagedFileError: `untrained fetch` did not write the file, or it is damaged.
    """
    known = stored_image_set(dataset)
    known.check_split(split)
    if split == SAMPLE:
        return _read_sample(known)
    file = known.file(root)
    if known.halves is None or split not in HALVES:
        return _read_arrays(known, split, file)[:2]
    images, labels, positions = _read_arrays(known, "train", file)
    halves = read_halves(known.halves)
    # A partial mirror has fewer images, so halves are looked up by position in the complete set.
    with _reading_file(known, file):
        chosen = halves[positions] == (split == HALVES[0])
    return images[chosen], labels[chosen]


def read_halves(path: Path) -> NDArray[np.bool_]:
    """Read which training images of a set are in the first of its `HALVES`.

    Args:
        path: the file of packed bits, `ImageSet.halves`.

    Returns:
        (images,), True for the training half and False for the validation half; padded to a
        multiple of 8.

    Raises:
        DamagedFileError: the file is not there, or not intact.
    """
    with reading(f"{path} is damaged", _REINSTALL):
        return np.unpackbits(np.load(path, allow_pickle=False)).astype(bool)


def check_training_split(dataset: str, split: str) -> None:
    """Check that networks may be trained on a split.

    NAS-Bench-201 also tests on the validation images of ImageNet16-120.

    Raises:
        UnknownNameError: no such set or split.
        ParameterError: the images are not stored, or are for validation or test.
    """
    known = stored_image_set(dataset)
    known.check_split(split)
    allowed = [name for name in known.splits if name not in ("test", "valid")]
    if split not in allowed:
        raise ParameterError(f"{dataset} {split} is not for training: take {', '.join(allowed)}")


def fetch_command(dataset: str) -> str:
    """Return the command that fetches a data set."""
    public = stored_image_set(dataset).public
    return f"untrained fetch {IMAGE_SETS.file_name(dataset)}" + ("" if public else " --from FOLDER")


def misfit(
    known: ImageSet, images: NDArray[Any], labels: NDArray[Any], count: int | None = None
) -> str | None:
    """Describe what is wrong with images and labels of a data set, or return None.

    Args:
        known: the data set; images that are drawn may have other types than uint8.
        images: (images, height, width, channels).
        labels: (images,), integers.
        count: the number of images; None for that of the labels.
    """
    channels, height, width = known.shape
    expected = (labels.size if count is None else count, height, width, channels)
    typed = images.dtype == np.uint8 if known.stored else images.dtype.kind in "uif"
    right = "uint8" if known.stored else "numbers"
    if not typed or images.shape != expected or labels.shape != expected[:1]:
        return (
            f"{images.dtype} images of shape {images.shape} for labels of shape {labels.shape}: "
            f"{right} of shape {expected} would be right"
        )
    if labels.dtype.kind not in "iu":
        return f"{labels.dtype} labels: integers would be right"
    if not ((labels >= 0) & (labels < known.num_classes)).all():
        return f"labels outside 0 to {known.num_classes - 1}"
    return None


def sample_labels(known: ImageSet) -> Labels:
    """Read the labels of the bundled images of a set; images of a contact sheet are not decoded.

    Raises:
        MissingDataError: the set has no bundled images.
        DamagedFileError: the file is not there, or not intact.
    """
    path = known.bundled
    if path is None:
        raise MissingDataError(f"{known.name} has no bundled sample: name another split")
    if path.suffix == ".npz":
        return _read_arrays(known, SAMPLE, path)[1]
    notes = path.with_suffix(".json")
    with reading(f"{notes} is damaged", _REINSTALL):
        return np.array(json.loads(notes.read_text(encoding="utf-8"))["labels"], np.int64)


def _read_sample(known: ImageSet) -> tuple[Pixels, Labels]:
    from PIL import Image

    labels, path = sample_labels(known), known.bundled
    assert path is not None  # noqa: S101 - it has labels
    if path.suffix == ".npz":
        return _read_arrays(known, SAMPLE, path)[:2]
    channels, height, width = known.shape
    with reading(f"{path} is damaged", _REINSTALL), Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
        tiles = pixels.reshape(-1, height, SHEET_COLUMNS, width, channels).swapaxes(1, 2)
        images = np.ascontiguousarray(tiles).reshape(len(labels), height, width, channels)
    return images, labels


def _read_arrays(
    known: ImageSet, split: str, path: Path
) -> tuple[Pixels, Labels, NDArray[np.int64]]:
    command = fetch_command(known.name)
    if not path.is_file():
        raise MissingDataError(f"{absent(path)}: run `{command}`")
    with _reading_file(known, path), arrays_in(path) as file:
        if f"{split}_x" not in file:
            raise MissingDataError(
                f"{path} has no {split} images: run `{command}` with the complete files"
            )
        images, labels = file[f"{split}_x"], file[f"{split}_y"]
        key = f"{split}_positions"
        positions = file[key] if key in file else np.arange(len(images))
        if wrong := misfit(known, images, labels):
            raise ValueError(f"it has {wrong}")
        if positions.shape != labels.shape:
            raise ValueError(f"it has {len(positions)} positions")
    return images, labels.astype(np.int64), positions.astype(np.int64)


def _reading_file(known: ImageSet, path: Path) -> AbstractContextManager[None]:
    return reading(f"{path} is damaged", f"delete it and run `{fetch_command(known.name)}`")

"""Turn the official files of a data set into the project's one file."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from untrained.errors import DamagedFileError, MissingDataError
from untrained.files import BUNDLED, atomic
from untrained.images.archives import read_members
from untrained.images.sets import ImageSet, stored_image_set
from untrained.images.splits import Labels, Pixels
from untrained.pickles import unpickle

#: Called with the name of each official file that has been read.
Progress = Callable[[str], object]


@dataclass(frozen=True)
class Layout:
    """How a data set is published.

    Attributes:
        folder: what its archive calls its folder.
        archive: what its archive is called.
        url: where its archive is, or None where registration is needed.
        labels: the key of the labels in each pickled dictionary.
        first_label: the label of the first class.
        parts: split to the official files that make it, in order.
        counts: split to its number of images when all files are there.
        classes: that the files have, of which the data set is the first; None where it has all.
    """

    folder: str
    archive: str
    url: str | None
    labels: str
    first_label: int
    parts: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, int]
    classes: int | None = None


_TORONTO = "https://www.cs.toronto.edu/~kriz"

LAYOUTS: dict[str, Layout] = {
    "cifar10": Layout(
        folder="cifar-10-batches-py",
        archive="cifar-10-python.tar.gz",
        url=f"{_TORONTO}/cifar-10-python.tar.gz",
        labels="labels",
        first_label=0,
        parts={
            "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
            "test": ("test_batch",),
        },
        counts={"train": 50_000, "test": 10_000},
    ),
    "cifar100": Layout(
        folder="cifar-100-python",
        archive="cifar-100-python.tar.gz",
        url=f"{_TORONTO}/cifar-100-python.tar.gz",
        labels="fine_labels",
        first_label=0,
        parts={"train": ("train",), "test": ("test",)},
        counts={"train": 50_000, "test": 10_000},
    ),
    "ImageNet16-120": Layout(
        folder="ImageNet16",
        archive="ImageNet16.tar.gz",
        url=None,
        labels="labels",
        first_label=1,
        parts={
            "train": tuple(f"train_data_batch_{number}" for number in range(1, 11)),
            "valid": ("val_data",),
        },
        counts={"train": 151_700, "valid": 6_000},
        classes=1000,
    ),
}


@dataclass(frozen=True)
class _Part:
    images: Pixels
    labels: Labels


def archive_md5(dataset: str) -> str | None:
    """Return the checksum of the official archive, where it is known."""
    found: str | None = _checksums().get(dataset, {}).get("archive")
    return found


def member_md5s(dataset: str) -> dict[str, str]:
    """Return the checksums of the official files, by name; empty where they are not known."""
    return dict(_checksums().get(dataset, {}).get("members", {}))


def _checksums() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((BUNDLED / "checksums.json").read_text(encoding="utf-8"))
    return found


def convert(
    dataset: str,
    source: Path,
    target: Path,
    progress: Progress | None = None,
    *,
    allow_missing: bool = False,
    md5s: Mapping[str, str] | None = None,
    counts: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Write `target` (.npz) from the official files: uint8 images (NHWC) and labels per split.

    CIFAR files are checked against the published MD5 sums. None are published for ImageNet16-120
    (Chrabaszcz et al. 2017, classes 1 to 120 of 1,000), so there the shapes, the range of the
    labels and the number of images of those classes stand in for them.

    Args:
        dataset: a key of `LAYOUTS`.
        source: a folder with the files, or the archive.
        target: the file to write, in one piece or not at all.
        progress: called with the name of each file read.
        allow_missing: convert what is there of an incomplete mirror, if that is at least one file.
            The result has fewer images; for CIFAR-10 it keeps their positions in the whole.
        md5s: file name to checksum, instead of the bundled ones.
        counts: split to number of images, instead of the official ones.

    Returns:
        Split to the number of images written.

    Raises:
        UnknownNameError: no such data set.
        MissingDataError: files are missing; the message lists them.
        DamagedFileError: a file or the archive is not the official one.
    """
    known = stored_image_set(dataset)
    layout = LAYOUTS[dataset]
    sums = member_md5s(dataset) if md5s is None else md5s
    names = [name for parts in layout.parts.values() for name in parts]
    parts: dict[str, _Part] = {}
    for name, content in read_members(source, layout.folder, names):
        _check_md5(source, name, content, sums.get(name))
        parts[name] = _decode(f"{source}: {name}", content, known, layout)
        if progress is not None:
            progress(name)
    missing = [name for name in names if name not in parts]
    if not parts or (missing and not allow_missing):
        raise MissingDataError(
            f"{source} lacks {', '.join(missing)}: give the complete files of {dataset}"
            + (", or allow missing ones" if parts else "")
        )
    arrays, written = _assemble(source, layout, parts, layout.counts if counts is None else counts)
    with atomic(target) as part, part.open("wb") as file:
        np.savez(file, **arrays)
    return written


def _check_md5(source: Path, name: str, content: bytes, expected: str | None) -> None:
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if expected is not None and found != expected:
        raise DamagedFileError(
            f"{source}: {name} has the MD5 {found}, the official file has {expected}: get it again"
        )


def _decode(name: str, content: bytes, known: ImageSet, layout: Layout) -> _Part:
    batch = unpickle(content, name)
    if not isinstance(batch, dict) or not {"data", layout.labels} <= batch.keys():
        raise DamagedFileError(f"{name} is no dictionary with `data` and `{layout.labels}`")
    pixels = np.asarray(batch["data"])
    try:
        labels = np.array(batch[layout.labels], np.int64) - layout.first_label
    except (TypeError, ValueError, OverflowError) as error:
        raise DamagedFileError(f"{name} has labels that are no numbers") from error
    channels, height, width = known.shape
    if pixels.dtype != np.uint8 or pixels.shape != (labels.size, channels * height * width):
        raise DamagedFileError(
            f"{name} has {pixels.dtype} images of shape {pixels.shape} for {labels.size} labels: "
            f"uint8 of shape ({labels.size}, {channels * height * width}) would be right"
        )
    classes = layout.classes or known.num_classes
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise DamagedFileError(
            f"{name} has labels outside {layout.first_label} to {layout.first_label + classes - 1}"
        )
    kept = labels < known.num_classes
    images = pixels[kept].reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    return _Part(np.ascontiguousarray(images), labels[kept])


def _assemble(
    source: Path, layout: Layout, parts: Mapping[str, _Part], counts: Mapping[str, int]
) -> tuple[dict[str, Any], dict[str, int]]:
    arrays: dict[str, Any] = {}
    written: dict[str, int] = {}
    for split, names in layout.parts.items():
        there = [parts[name] for name in names if name in parts]
        if not there:
            continue
        count = sum(len(part.labels) for part in there)
        if len(there) == len(names) and count != counts[split]:
            raise DamagedFileError(
                f"{source} has {count} {split} images, the official files have {counts[split]}"
            )
        arrays[f"{split}_x"] = np.concatenate([part.images for part in there])
        arrays[f"{split}_y"] = np.concatenate([part.labels for part in there])
        if len(there) < len(names):
            arrays |= _positions(split, names, parts, counts[split])
        written[split] = count
    return arrays, written


def _positions(
    split: str, names: tuple[str, ...], parts: Mapping[str, _Part], count: int
) -> dict[str, Any]:
    # Only where the official files are equally long is it known how many images a missing one has.
    size = count // len(names)
    present = [(number, parts[name]) for number, name in enumerate(names) if name in parts]
    if any(len(part.labels) != size for _, part in present):
        return {}
    positions = [number * size + np.arange(size) for number, _ in present]
    return {f"{split}_positions": np.concatenate(positions)}

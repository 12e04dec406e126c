"""Convert the official files of a data set to the .npz file that the project reads."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from untrained.errors import DamagedFileError, MissingDataError
from untrained.files import BUNDLED, atomic, reading
from untrained.images.archives import Progress, read_members
from untrained.images.sets import ImageSet, stored_image_set
from untrained.images.splits import Labels, Pixels, misfit
from untrained.pickles import unpickle


@dataclass(frozen=True)
class Layout:
    """The layout of the official files of a data set.

    Attributes:
        folder: the name of the folder in the archive.
        archive: the name of the archive.
        url: the address of the archive, or None where registration is needed.
        labels: the key of the labels in each pickled dictionary.
        first_label: the label of the first class.
        parts: the official files of each split, in order.
        counts: the number of images of each split.
        classes: the number of classes in the files, of which the data set has the first ones;
            None if it has all.
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
    """Return the MD5 of the official archive, or None if it is not known."""
    found: str | None = _checksums(dataset).get("archive")
    return found


def member_md5s(dataset: str) -> dict[str, str]:
    """Return the MD5 sums of the official files by name; empty if they are not known."""
    return dict(_checksums(dataset).get("members", {}))


def _checksums(dataset: str) -> dict[str, Any]:
    every = json.loads((BUNDLED / "checksums.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = every.get(dataset, {})
    return found


def convert(
    dataset: str,
    source: Path,
    target: Path,
    progress: Progress | None = None,
    *,
    allow_missing: bool = False,
) -> dict[str, int]:
    """Convert official files to an .npz of uint8 images (NHWC) and labels per split.

    The MD5 sums of CIFAR files are compared with the published ones. None are published for
    ImageNet16-120 (Chrabaszcz et al. 2017, classes 1 to 120 of 1,000); there, shapes, labels and
    the number of images are checked instead.

    Args:
        dataset: a key of `LAYOUTS`.
        source: a folder with the files, or the archive.
        target: the file to write; nothing is written after an error.
        progress: called with the name of each file read.
        allow_missing: whether to convert an incomplete mirror that has at least one file. The
            result has fewer images, and for CIFAR-10 their positions in the complete set.

    Returns:
        Split to the number of images written.

    Raises:
        UnknownNameError: no such data set.
        MissingDataError: files are missing, which the message lists.
        DamagedFileError: a file or the archive is not the official one.
    """
    known = stored_image_set(dataset)
    layout = LAYOUTS[dataset]
    sums = member_md5s(dataset)
    names = [name for parts in layout.parts.values() for name in parts]
    parts: dict[str, _Part] = {}
    for name, content in read_members(source, layout.folder, names):
        found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if found != sums.get(name, found):
            raise DamagedFileError(
                f"{source}: {name} has the MD5 {found}, the official file has {sums[name]}: get it "
                "again"
            )
        parts[name] = _decode(f"{source}: {name}", content, known, layout)
        if progress is not None:
            progress(name)
    missing = [name for name in names if name not in parts]
    if not parts or (missing and not allow_missing):
        raise MissingDataError(
            f"{source} lacks {', '.join(missing)}: give the complete files of {dataset}"
            + (", or allow missing ones" if parts else "")
        )
    arrays, written = _assemble(source, layout, parts)
    with atomic(target) as part, part.open("wb") as file:
        np.savez(file, **arrays)
    return written


def _decode(name: str, content: bytes, known: ImageSet, layout: Layout) -> _Part:
    batch: Any = unpickle(content, name)
    with reading(f"{name} is not a dictionary with `data` and `{layout.labels}`"):
        labels = np.array(batch[layout.labels], np.int64) - layout.first_label
        pixels = np.asarray(batch["data"]).reshape(len(labels), *known.shape)
    images = pixels.transpose(0, 2, 3, 1)
    whole = replace(known, num_classes=layout.classes or known.num_classes)
    if wrong := misfit(whole, images, labels):
        raise DamagedFileError(f"{name} has {wrong}, once labels are counted from 0")
    kept = labels < known.num_classes
    return _Part(np.ascontiguousarray(images[kept]), labels[kept])


def _assemble(
    source: Path, layout: Layout, parts: Mapping[str, _Part]
) -> tuple[dict[str, Any], dict[str, int]]:
    arrays: dict[str, Any] = {}
    written: dict[str, int] = {}
    for split, names in layout.parts.items():
        there = {number: parts[name] for number, name in enumerate(names) if name in parts}
        if not there:
            continue
        labels = np.concatenate([part.labels for part in there.values()])
        arrays[f"{split}_x"] = np.concatenate([part.images for part in there.values()])
        arrays[f"{split}_y"] = labels
        written[split] = len(labels)
        # The number of images in a missing file is known only if all files have equally many.
        count = layout.counts[split]
        size = count // len(names)
        if len(there) == len(names):
            if len(labels) != count:
                raise DamagedFileError(
                    f"{source} has {len(labels)} {split} images, the official files have {count}"
                )
        elif all(len(part.labels) == size for part in there.values()):
            positions = [number * size + np.arange(size) for number in there]
            arrays[f"{split}_positions"] = np.concatenate(positions)
    return arrays, written

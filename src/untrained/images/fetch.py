"""Fetch a data set from its official address, a mirror, or local files."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from untrained.download import download, join, local_path
from untrained.errors import DamagedFileError, MissingDataError
from untrained.files import absent, alone_in, arrays_in, atomic, digest, reading
from untrained.images.archives import Progress
from untrained.images.official import LAYOUTS, archive_md5, convert
from untrained.images.photographs import ARCHIVE, URL, convert_photographs
from untrained.images.sets import SAMPLE, ImageSet, stored_image_set
from untrained.images.splits import fetch_command, misfit
from untrained.plugins import blamed, imported, is_foreign


@dataclass(frozen=True)
class Wanted:
    """A request to the function that an image set names as its `fetch`.

    Attributes:
        known: the data set.
        target: the .npz to write.
        source: a local file or folder, such as a mirror that is a folder; or None.
        mirror: a base URL or a folder; or None.
        allow_missing: whether incomplete data is accepted.
        bar: whether to show a download on standard error.
        progress: called with the name of each official file that has been read.
    """

    known: ImageSet
    target: Path
    source: Path | None
    mirror: str | None
    allow_missing: bool
    bar: bool
    progress: Progress | None


def fetch_images(
    dataset: str,
    target: Path,
    source: Path | None = None,
    mirror: str | None = None,
    allow_missing: bool = False,
    *,
    bar: bool = True,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Fetch and convert the official files of a data set.

    A downloaded archive is kept beside `target` until it has been converted.

    Args:
        dataset: a name in `IMAGE_SETS` whose images are stored.
        target: the .npz to write; other commands read `image_set(dataset).file(IMAGES)`.
        source: the official archive, or a folder that has it or the files in it. Nothing is
            downloaded then. For a set without official files: an .npz of `x`, uint8 (images,
            height, width, channels), and `y`, labels from 0, or a folder that has it as
            `{dataset}.npz`.
        mirror: a base URL or a folder that has the archive under its official name.
        allow_missing: whether to accept an incomplete source; see `official.convert`.
        bar: whether to show the download on standard error.
        progress: called with the name of each official file that has been read.

    Returns:
        The number of images of each split.

    Raises:
        MissingDataError: the set has no public address and neither source nor mirror is given; or
            files are missing.
        DownloadError: the archive cannot be downloaded.
        DamagedFileError: the archive or a file is not the official one.
        PluginError: the function of another package failed, or wrote no images of the set.
    """
    known = stored_image_set(dataset)
    fetch = imported(f"function that fetches {dataset}", known.fetch)
    if source is None and mirror is not None:
        source = local_path(mirror)
    with alone_in(target.parent), blamed("data set", known.fetch):
        found: dict[str, int] = fetch(
            Wanted(known, target, source, mirror, allow_missing, bar, progress)
        )
        if is_foreign(known.fetch):
            _check_written(known, target, found)
    return found


def _check_written(known: ImageSet, target: Path, counts: dict[str, int]) -> None:
    """Raise an error unless the file of a set has these numbers of its images."""
    if not isinstance(counts, dict):
        raise TypeError(f"it returned {counts!r}, not the number of images of each split")
    with arrays_in(target) as file:
        for split, count in counts.items():
            if wrong := misfit(known, file[f"{split}_x"], file[f"{split}_y"], count):
                raise ValueError(f"it wrote {wrong}")


def write_note(known: ImageSet, split: str, target: Path, note: Path) -> None:
    """Write the name and the SHA-256 of the file of a split as JSON.

    The note can be versioned, unlike the file itself, which is too large.

    Args:
        known: the data set.
        split: one of its splits.
        target: the file of the set, which `sample` does not need.
        note: the file to write.
    """
    file = known.bundled if split == SAMPLE else target
    found = file if file is not None and file.is_file() else None
    content = {
        "dataset": known.name,
        "split": split,
        "file": found.name if found else None,
        "sha256": digest(found, "sha256") if found else None,
    }
    with atomic(note) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


def fetch_official(wanted: Wanted) -> dict[str, int]:
    """Convert the official files of a set of `official.LAYOUTS`; see `fetch_images`."""
    name, missing = wanted.known.name, wanted.allow_missing
    layout = LAYOUTS[name]
    with _archive(wanted, layout.archive, layout.url) as source:
        return convert(name, source, wanted.target, wanted.progress, allow_missing=missing)


def fetch_photographs(wanted: Wanted) -> dict[str, int]:
    """Convert Imagenette's photographs; see `fetch_images`."""
    md5, missing = archive_md5(wanted.known.name), wanted.allow_missing
    with _archive(wanted, ARCHIVE, URL) as source:
        return convert_photographs(
            source, wanted.target, wanted.progress, allow_missing=missing, md5=md5
        )


@contextmanager
def _archive(wanted: Wanted, name: str, address: str | None) -> Iterator[Path]:
    """Yield a local archive or folder, or download an archive and remove it afterwards."""
    if wanted.source is not None:
        archive = wanted.source / name
        yield archive if archive.is_file() else wanted.source
        return
    dataset = wanted.known.name
    url = address if wanted.mirror is None else join(wanted.mirror, name)
    if url is None:
        raise MissingDataError(
            f"{dataset} has no public address: get the 16x16 images (train_data_batch_1 to 10 "
            f"and val_data) from image-net.org and run `{fetch_command(dataset)}`"
        )
    target = wanted.target.with_name(name)
    archive = download(url, target, archive_md5(dataset), progress=wanted.bar)
    yield archive
    archive.unlink(missing_ok=True)


def fetch_arrays(wanted: Wanted) -> dict[str, int]:
    """Copy an .npz of images `x` and labels `y` of a data set with one split.

    The file is `wanted.source`, or is called `{name}.npz` in that folder; nothing is downloaded.

    Raises:
        MissingDataError: the file does not exist.
        DamagedFileError: the file does not hold such images and labels.
    """
    known, path = wanted.known, wanted.source
    if path is None:
        raise MissingDataError(
            f"{known.name} has no official files: run `{fetch_command(known.name)}` with an .npz "
            "of x (images) and y (labels)"
        )
    if path.is_dir():
        path = path / f"{known.name}.npz"
    if not path.is_file():
        raise MissingDataError(f"{absent(path)}: it should hold x (images) and y (labels)")
    with (
        reading(f"{path} is not an .npz of x (images) and y (labels)", "name one"),
        arrays_in(path) as file,
    ):
        images, labels = file["x"], file["y"]
    if (wrong := misfit(known, images, labels)) is not None:
        raise DamagedFileError(f"{path} has {wrong}")
    (split,) = known.splits
    with atomic(wanted.target) as part, part.open("wb") as written:
        np.savez(written, allow_pickle=False, **{f"{split}_x": images, f"{split}_y": labels})
    return {split: len(images)}

"""Get a data set: from its official address, a mirror, or files that are here already."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from untrained.download import download, join, local_path
from untrained.errors import DamagedFileError, MissingDataError
from untrained.files import atomic
from untrained.images.official import LAYOUTS, Progress, archive_md5, convert
from untrained.images.photographs import ARCHIVE, URL, convert_photographs
from untrained.images.sets import ImageSet, stored_image_set
from untrained.images.splits import fetch_command
from untrained.plugins import imported


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
    """Make `target` from the official files.

    A downloaded archive lies beside `target` until it has been converted.

    Args:
        dataset: a name in `IMAGE_SETS` whose images are stored.
        target: the .npz to write; `image_set(dataset).file(IMAGES)` is where it is looked for.
        source: the official archive, or a folder that has it or the files in it. Nothing is
            downloaded then. For a set without official files: an .npz of `x`, uint8 (images,
            height, width, channels), and `y`, labels from 0, or a folder that has it as
            `{dataset}.npz`.
        mirror: a base URL or a folder that has the archive under its official name.
        allow_missing: see `convert`.
        bar: whether to show the download on standard error.
        progress: called with the name of each official file that has been read.

    Returns:
        Split to number of images.

    Raises:
        MissingDataError: the set has no public address and neither source nor mirror is given; or
            files are missing.
        DownloadError: the archive can't be fetched.
        DamagedFileError: it is not the official one.
    """
    known = stored_image_set(dataset)
    fetch = imported(f"function that fetches {dataset}", known.fetch)
    if source is None and mirror is not None:
        source = local_path(mirror)
    found: dict[str, int] = fetch(known, target, source, mirror, allow_missing, bar, progress)
    return found


def fetch_official(
    known: ImageSet,
    target: Path,
    source: Path | None,
    mirror: str | None,
    allow_missing: bool,
    bar: bool,
    progress: Progress | None,
) -> dict[str, int]:
    """Convert the official files of a set of `official.LAYOUTS`; see `fetch_images`."""
    layout = LAYOUTS[known.name]
    turn = partial(convert, known.name, progress=progress, allow_missing=allow_missing)
    return _converted(known, layout.archive, layout.url, turn, target, source, mirror, bar)


def fetch_photographs(
    known: ImageSet,
    target: Path,
    source: Path | None,
    mirror: str | None,
    allow_missing: bool,
    bar: bool,
    progress: Progress | None,
) -> dict[str, int]:
    """Convert Imagenette's photographs; see `fetch_images`."""
    md5 = archive_md5(known.name)
    turn = partial(convert_photographs, progress=progress, allow_missing=allow_missing, md5=md5)
    return _converted(known, ARCHIVE, URL, turn, target, source, mirror, bar)


def _converted(
    known: ImageSet,
    name: str,
    address: str | None,
    turn: Callable[..., dict[str, int]],
    target: Path,
    source: Path | None,
    mirror: str | None,
    bar: bool,
) -> dict[str, int]:
    """Convert an archive that is here, or that is downloaded and removed afterwards."""
    if source is not None:
        archive = source / name
        return turn(source=archive if archive.is_file() else source, target=target)
    url = address if mirror is None else join(mirror, name)
    if url is None:
        raise MissingDataError(
            f"{known.name} has no public address: get the 16x16 images (train_data_batch_1 to 10 "
            f"and val_data) from image-net.org and run `{fetch_command(known.name)}`"
        )
    archive = download(url, target.with_name(name), archive_md5(known.name), progress=bar)
    written = turn(source=archive, target=target)
    archive.unlink()
    return written


def fetch_arrays(
    known: ImageSet,
    target: Path,
    source: Path | None,
    mirror: str | None,
    allow_missing: bool,
    bar: bool,
    progress: Progress | None,
) -> dict[str, int]:
    """Take over an .npz of images `x` and labels `y`, of a set with one split.

    Args:
        known: the data set.
        target: the .npz to write.
        source: the .npz, or a folder that has it as `{name}.npz`; None where nothing is given, or
            the mirror is an address.
        mirror: base URL or folder that was asked for; this function reads folders only.
        allow_missing: whether incomplete data will do.
        bar: whether to show a download on standard error.
        progress: called with the name of each official file that has been read.

    Returns:
        Split to number of images.

    Raises:
        MissingDataError: there is no such file.
        DamagedFileError: it does not hold such images and labels.
    """
    del mirror, allow_missing, bar, progress
    if source is None:
        raise MissingDataError(
            f"{known.name} has no official files: run `{fetch_command(known.name)}` with an .npz "
            "of x (images) and y (labels)"
        )
    path = source / f"{known.name}.npz" if source.is_dir() else source
    if not path.is_file():
        raise MissingDataError(f"{path} does not exist: it should hold x (images) and y (labels)")
    try:
        with np.load(path, allow_pickle=False) as file:
            images, labels = file["x"], file["y"]
    except (BadZipFile, KeyError, TypeError, ValueError, EOFError, OSError) as error:
        raise DamagedFileError(f"{path} is no .npz of x (images) and y (labels)") from error
    channels, height, width = known.shape
    expected = (len(images), height, width, channels)
    if images.dtype != np.uint8 or images.shape != expected or labels.shape != images.shape[:1]:
        raise DamagedFileError(
            f"{path} has {images.dtype} images of shape {images.shape} for labels of shape "
            f"{labels.shape}: uint8 of shape {expected} would be right"
        )
    if labels.dtype.kind not in "iu" or not ((labels >= 0) & (labels < known.num_classes)).all():
        raise DamagedFileError(f"{path} has labels outside 0 to {known.num_classes - 1}")
    (split,) = known.splits
    with atomic(target) as part, part.open("wb") as file:
        np.savez(file, **{f"{split}_x": images, f"{split}_y": labels})
    return {split: len(images)}

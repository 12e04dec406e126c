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
        dataset: a name in `IMAGE_SETS`, except `noise`.
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
    if source is None and mirror is not None:
        source = local_path(mirror)
    if dataset in LAYOUTS:
        name, address = LAYOUTS[dataset].archive, LAYOUTS[dataset].url
        turn: Callable[..., dict[str, int]] = partial(convert, dataset)
    elif dataset == "imagenette":
        name, address = ARCHIVE, URL
        turn = partial(convert_photographs, md5=archive_md5(dataset))
    else:
        return _convert_arrays(known, source, target)
    turn = partial(turn, target=target, progress=progress, allow_missing=allow_missing)
    if source is not None:
        archive = source / name
        return turn(source=archive if archive.is_file() else source)
    url = address if mirror is None else join(mirror, name)
    if url is None:
        raise MissingDataError(
            f"{dataset} has no public address: get the 16x16 images (train_data_batch_1 to 10 and "
            f"val_data) from image-net.org and run `{fetch_command(dataset)}`"
        )
    archive = download(url, target.with_name(name), archive_md5(dataset), progress=bar)
    written = turn(source=archive)
    archive.unlink()
    return written


def _convert_arrays(known: ImageSet, source: Path | None, target: Path) -> dict[str, int]:
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

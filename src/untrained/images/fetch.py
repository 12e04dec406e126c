"""Get a data set: from its official address, a mirror, or files that are here already."""

from pathlib import Path

from untrained.download import download, join, local_path
from untrained.errors import MissingDataError
from untrained.images.official import LAYOUTS, Progress, archive_md5, convert
from untrained.images.sets import stored_image_set
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
            downloaded then.
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
    stored_image_set(dataset)
    layout = LAYOUTS[dataset]
    if source is None and mirror is not None:
        source = local_path(mirror)
    if source is not None:
        archive = source / layout.archive
        chosen = archive if archive.is_file() else source
        return convert(dataset, chosen, target, progress, allow_missing=allow_missing)
    url = layout.url if mirror is None else join(mirror, layout.archive)
    if url is None:
        raise MissingDataError(
            f"{dataset} has no public address: get the 16x16 images (train_data_batch_1 to 10 and "
            f"val_data) from image-net.org and run `{fetch_command(dataset)}`"
        )
    archive = download(url, target.with_name(layout.archive), archive_md5(dataset), progress=bar)
    written = convert(dataset, archive, target, progress, allow_missing=allow_missing)
    archive.unlink()
    return written

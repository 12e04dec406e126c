"""Bring a benchmark table to where the other commands look for it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from untrained.benchmarks.official import Progress, convert_nasbench201
from untrained.benchmarks.table import SIZES, read_table
from untrained.errors import ParameterError, unknown_name
from untrained.files import BUNDLED, atomic


def fetch_benchmark(
    space: str,
    target: Path,
    source: Path | None = None,
    mirror: str | None = None,
    progress: Progress | None = None,
    spellings: Sequence[str] | None = None,
) -> None:
    """Write the benchmark table of a space to `target`.

    It comes from the first of these that is given: `source`, `mirror`, the bundled table.

    Args:
        space: name of the space.
        target: the parquet file to write.
        source: an official file (`.pth`), which is converted, or a table (`.parquet`).
        mirror: base URL or folder that has {space}.parquet.
        progress: called with the bytes done and the bytes in all while a file is converted.
        spellings: those of the space, by index; the list in an official file must agree.

    Raises:
        UnknownNameError: no benchmark of that space.
        ParameterError: `source` is neither `.pth` nor `.parquet`.
        MissingDataError: there is no such file.
        DownloadError: the mirror does not have it, or can't be reached.
        DamagedFileError: what was found is not a valid file; `target` stays as it was.
    """
    if space not in SIZES:
        raise unknown_name("benchmark", space, SIZES)
    if source is not None and source.suffix == ".pth":
        convert_nasbench201(source, target, progress, spellings)
    elif source is not None and source.suffix == ".parquet":
        _copy(source, target, space)
    elif source is not None:
        raise ParameterError(f"{source} is neither an official .pth file nor a .parquet table")
    elif mirror is not None:
        _from_mirror(space, target, mirror)
    else:
        _copy(BUNDLED / f"{space}.parquet", target, space)


def _copy(source: Path, target: Path, space: str) -> None:
    """Copy a table byte by byte if it is valid."""
    read_table(source, space)
    with atomic(target) as part:
        shutil.copyfile(source, part)


def _from_mirror(space: str, target: Path, mirror: str) -> None:
    from untrained.download import download, join

    # Beside the target: what has arrived of a broken download is there for the next try.
    arrived = target.with_name(f".{target.name}.fetched")
    try:
        download(join(mirror, f"{space}.parquet"), arrived, progress=False)
        _copy(arrived, target, space)
    finally:
        arrived.unlink(missing_ok=True)

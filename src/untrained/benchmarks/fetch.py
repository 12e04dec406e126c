"""Bring a benchmark table to where the other commands look for it."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from untrained.benchmarks.converters import CONVERTERS
from untrained.benchmarks.nds import fetch_nds
from untrained.benchmarks.nds_networks import FILES
from untrained.benchmarks.official import Progress
from untrained.benchmarks.table import check_table, is_table
from untrained.errors import MissingDataError
from untrained.files import BUNDLED, atomic


def fetch_benchmark(
    space: str,
    target: Path,
    source: Path | None = None,
    mirror: str | None = None,
    progress: Progress | None = None,
    spellings: Sequence[str] | None = None,
    parameters: Sequence[int] | None = None,
) -> None:
    """Write the benchmark table of a space to `target`.

    It comes from the first of these that is given: `source`, `mirror`, the bundled table. For NDS
    see `fetch_nds`.

    Args:
        space: name of the space.
        target: the parquet file to write.
        source: official files, which are converted, or a benchmark table.
        mirror: base URL or folder that has {space}.parquet.
        progress: called with the bytes done and the bytes in all while a file is converted.
        spellings: what official files call the architectures of the space, by index; what is in
            them must agree.
        parameters: of those, by index; likewise.

    Raises:
        UnknownNameError: no benchmark of that space.
        ParameterError: `source` is neither.
        MissingDataError: there is no such file, or nothing is given and nothing bundled.
        DownloadError: the mirror does not have it, or can't be reached.
        DamagedFileError: what was found is not a valid file; `target` stays as it was.
    """
    convert = partial(CONVERTERS.load(space), spellings=spellings, parameters=parameters)
    if space in FILES:  # which come as one archive, and are two files each
        fetch_nds(space, target, source, mirror, progress)
        return
    bundled = BUNDLED / f"{space}.parquet"
    if source is not None and source.is_file() and is_table(source):
        _copy(source, target, space)
    elif source is not None:
        convert(source, target, progress)
    elif mirror is not None:
        _from_mirror(space, target, mirror, convert)
    elif bundled.is_file():
        _copy(bundled, target, space)
    else:
        raise MissingDataError(
            f"the table of {space} is not bundled: convert the official files with --from, or name "
            f"a --mirror that has {space}.parquet"
        )


def _copy(source: Path, target: Path, space: str) -> None:
    """Copy a table byte by byte if it is valid."""
    check_table(source, space)
    with atomic(target) as part:
        shutil.copyfile(source, part)


def _from_mirror(
    space: str, target: Path, mirror: str, convert: Callable[[Path, Path], None]
) -> None:
    from untrained.download import download, join

    # Beside the target: what has arrived of a broken download is there for the next try.
    arrived = target.parent / f".{space}.fetched" / f"{space}.parquet"
    try:
        download(join(mirror, arrived.name), arrived, progress=False)
        if is_table(arrived):
            _copy(arrived, target, space)
        else:
            convert(arrived, target)
    finally:
        shutil.rmtree(arrived.parent, ignore_errors=True)

"""Write a benchmark table to where the other commands look for it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from untrained.benchmarks.table import Progress, check_table, is_table
from untrained.download import download, join
from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.files import absent, alone_in, atomic
from untrained.plugins import imported
from untrained.spaces import get_space

#: Converts official files of a benchmark: takes the path of an existing file or folder, the table
#: to write, and a function that is called with the bytes done and the total from time to time.
Converter = Callable[[Path, Path, Progress | None], None]


def fetch_benchmark(
    space: str,
    target: Path,
    source: Path | None = None,
    mirror: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Write the benchmark table of a space, with the function that the space names.

    Args:
        space: the name of the space.
        target: the parquet file to write.
        source: official files to convert, or a benchmark table.
        mirror: a base URL or a folder that has {space}.parquet.
        progress: called with the bytes done and the total while a file is converted.

    Returns:
        A line for the user about the table, or an empty text.

    Raises:
        UnknownNameError: there is no such space.
        ParameterError: `source` is neither of these.
        MissingDataError: the space has no benchmark, a file does not exist, or neither source nor
            mirror is given and no table is bundled.
        DownloadError: the mirror lacks the table or cannot be reached.
        DamagedFileError: the file is not valid; `target` stays as it was.
    """
    facts = get_space(space).benchmark
    if facts is None:
        raise MissingDataError(f"{space} has no benchmark: there is nothing to fetch")
    fetch = imported(f"function that fetches the table of {space}", facts.fetch)
    with alone_in(target.parent):
        return fetch(space, target, source, mirror, progress) or ""


def fetch_table(
    space: str,
    target: Path,
    source: Path | None = None,
    mirror: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Copy or convert the first of `source`, `mirror` and the bundled table that is given.

    The arguments and errors are those of `fetch_benchmark`.
    """
    facts = get_space(space).benchmark
    assert facts is not None  # noqa: S101 - `fetch_benchmark` checks it

    def bring(source: Path) -> None:
        if not (source.is_file() or source.is_dir()):
            raise MissingDataError(f"{absent(source)}: name an official file or a table")
        if is_table(source):
            check_table(source, space)
            with atomic(target) as part:
                shutil.copyfile(source, part)
        elif facts.converter is not None:
            convert: Converter = imported(f"converter of {space}", facts.converter)
            convert(source, target, progress)
        else:
            raise ParameterError(
                f"{source} is not a benchmark table, and {space} has no official files to convert: "
                "name a .parquet file with the columns of a benchmark table"
            )

    if source is not None:
        bring(source)
    elif mirror is not None:
        # beside the target, whose file system has room for it
        arrived = target.parent / f".{space}.fetched" / f"{space}.parquet"
        try:
            address = join(mirror, arrived.name)
            download(address, arrived, progress=False)
            try:
                bring(arrived)
            except DamagedFileError as error:
                reason = str(error).replace(str(arrived), arrived.name)
                raise DamagedFileError(f"{address} is no table of {space} ({reason})") from error
        finally:
            shutil.rmtree(arrived.parent, ignore_errors=True)
    elif facts.bundled is not None and facts.bundled.is_file():
        bring(facts.bundled)
    else:
        raise MissingDataError(
            f"the table of {space} is not bundled: convert the official files with --from, or name "
            f"a --mirror that has {space}.parquet"
        )

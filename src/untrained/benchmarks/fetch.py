"""Bring a benchmark table to where the other commands look for it."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from untrained.benchmarks.table import Progress, check_table, is_table
from untrained.errors import MissingDataError, ParameterError
from untrained.files import atomic
from untrained.plugins import imported
from untrained.spaces import get_space


class Converter(Protocol):
    """Writes the table of one benchmark."""

    def __call__(
        self,
        source: Path,
        target: Path,
        progress: Progress | None = None,
        spellings: Sequence[str] | None = None,
        parameters: Sequence[int] | None = None,
    ) -> None:
        """Convert official files.

        Args:
            source: file or folder, under its official name.
            target: the parquet file to write; nothing is written unless all is well.
            progress: called with the bytes done and the bytes in all.
            spellings: what the files call the architectures of the space, by index; what is in
                the files must agree.
            parameters: of those, by index; likewise, in files that have no other list of what
                they trained.

        Raises:
            ParameterError: `source` is none of what is converted; the message says what is.
            MissingDataError: there is no such file.
            DamagedFileError: renamed, truncated, or not such a file at all.
        """
        ...


def fetch_benchmark(
    space: str,
    target: Path,
    source: Path | None = None,
    mirror: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Write the benchmark table of a space to `target`, as the space says.

    Args:
        space: name of the space.
        target: the parquet file to write.
        source: official files, which are converted, or a benchmark table.
        mirror: base URL or folder that has {space}.parquet.
        progress: called with the bytes done and the bytes in all while a file is converted.

    Returns:
        What the user should know of the table, in one line; often nothing.

    Raises:
        UnknownNameError: no such space.
        ParameterError: `source` is neither.
        MissingDataError: there is no such file, or nothing is given and nothing bundled, or the
            space has no benchmark.
        DownloadError: the mirror does not have it, or can't be reached.
        DamagedFileError: what was found is not a valid file; `target` stays as it was.
    """
    facts = get_space(space).benchmark
    if facts is None:
        raise MissingDataError(f"{space} has no benchmark: there is nothing to fetch")
    fetch = imported(f"function that fetches the table of {space}", facts.fetch)
    return fetch(space, target, source, mirror, progress) or ""


def fetch_table(
    space: str,
    target: Path,
    source: Path | None = None,
    mirror: str | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a table that is given, converted or bundled; see `fetch_benchmark`.

    It comes from the first of these that is given: `source`, `mirror`, the bundled table. What
    official files call their architectures must agree with the space.
    """
    known = get_space(space)
    facts = known.benchmark
    assert facts is not None  # noqa: S101 - `fetch_benchmark` asks
    bundled = facts.bundled

    def convert(source: Path, target: Path) -> None:
        if facts.converter is None:
            raise ParameterError(
                f"{source} is no benchmark table: {space} has no official files that are converted"
            )
        converter: Converter = imported(f"converter of {space}", facts.converter)
        converter(source, target, progress, known.official_spellings, known.official_parameters)

    if source is not None and source.is_file() and is_table(source):
        _copy(source, target, space)
    elif source is not None:
        convert(source, target)
    elif mirror is not None:
        _from_mirror(space, target, mirror, convert)
    elif bundled is not None and bundled.is_file():
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

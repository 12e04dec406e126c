"""Convert the official file of NAS-Bench-201 (Dong and Yang, ICLR 2020) to a benchmark table."""

import math
import re
from pathlib import Path
from typing import Any

from untrained.benchmarks.runs import check_spellings, table_of_architecture
from untrained.benchmarks.table import Progress, write_tables
from untrained.benchmarks.unpickler import stream
from untrained.errors import DamagedFileError, ParameterError
from untrained.files import digest, reading

_SPACE = "nasbench201"
_NAME = re.compile(r"NAS-Bench-201-v\w+-([0-9a-f]{6})\.pth")
_GIGABYTE = 10**9
#: Maps an official file to the least and the largest size that it may have, in GB.
_PLAUSIBLE = {
    "NAS-Bench-201-v1_0-e61699.pth": (1.5, 3.0),
    "NAS-Bench-201-v1_1-096897.pth": (4.0, 6.0),
}
#: Maps a training schedule to its epochs.
_LENGTHS = {"less": 12, "full": 200}


def convert_nasbench201(source: Path, target: Path, progress: Progress | None = None) -> None:
    """Convert `NAS-Bench-201-v1_1-096897.pth`, or the older `v1_0-e61699`, to a benchmark table.

    The table has a row for each run (by its seed) and one for their mean, on all data sets and
    splits of the file, after 12 epochs and after 200 (two separate schedules). Times are those of
    the file; `valid_seconds` is in the rows of `x-valid`, costs are in the rows of means. The
    values are what the package `nas-bench-201` returns for the same file.

    The file is read as a stream: memory holds one architecture at a time and an index of the names
    in the file, about a fifth of its size. On files of 35 to 200 MB in the official layout, one
    core read 30 MB/s, or 10 MB/s where every number is a NumPy scalar; the checksum takes extra
    time.

    Args:
        source: the official file, under its own name, whose six digits are compared with the
            file's checksum. It is not documented whether they are the first or the last ones of
            the MD5 or of the SHA-256, so each of the four is accepted.
        target: the parquet file to write; nothing is written after an error.
        progress: see `untrained.benchmarks.fetch.Converter`.

    Raises:
        ParameterError: the source is not a `.pth` file.
        DamagedFileError: the source was renamed, is truncated, or has other architectures than the
            space or other content altogether.
        UntrainedError: the target cannot be written.
    """
    _check_identity(source)
    name, size = source.name, source.stat().st_size
    tables = []

    def consume(states: dict[str, Any]) -> int:
        index, _, table = table_of_architecture(name, _SPACE, states, _LENGTHS)
        tables.append(table)
        return index

    def report(done: int) -> None:
        if progress:
            progress(min(done, size), size)

    content: Any = stream(source, consume, report)
    with reading(f"{name} lacks what NAS-Bench-201 has"):
        spellings, results = content["meta_archs"], content["arch2infos"]
        evaluated = content["evaluated_indexes"]
        for index, left in results.items():
            if left["index"] != index:
                raise DamagedFileError(f"{name} has other results under architecture {index!r}")
        if not results or set(evaluated) - set(results):
            raise DamagedFileError(f"{name} lacks architectures that it lists as evaluated")
        check_spellings(name, _SPACE, spellings)
    write_tables(tables, target)
    report(size)


def _check_identity(source: Path) -> None:
    """Check name, size and checksum of a file before its content is interpreted."""
    if source.suffix not in (".pth", ".parquet"):
        raise ParameterError(f"{source} is neither an official .pth file nor a .parquet table")
    match = _NAME.fullmatch(source.name)
    if match is None:
        raise DamagedFileError(
            f"{source.name} is not the name of an official NAS-Bench-201 file: rename it to its "
            "original name, such as NAS-Bench-201-v1_1-096897.pth"
        )
    low, high = _PLAUSIBLE.get(source.name, (0.0, math.inf))
    size = source.stat().st_size / _GIGABYTE
    if not low <= size <= high:
        raise DamagedFileError(
            f"{source.name} has {size:.3g} GB instead of {low:g} to {high:g}: download it again"
        )
    for algorithm in ("md5", "sha256"):
        checksum = digest(source, algorithm)
        if match[1] in (checksum[:6], checksum[-6:]):
            return
    raise DamagedFileError(
        f"neither the MD5 nor the SHA-256 of {source.name} begins or ends with {match[1]}: "
        "it is incomplete or renamed, download it again"
    )

"""Convert the official file of NAS-Bench-201 (Dong and Yang, ICLR 2020) to a benchmark table."""

import math
import re
from pathlib import Path
from typing import Any

from untrained.benchmarks.runs import Rows, add_architecture, check_spellings
from untrained.benchmarks.streaming import stream
from untrained.benchmarks.table import Progress, write_table
from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.files import digest, reading

_SPACE = "nasbench201"
_NAME = re.compile(r"NAS-Bench-201-v\w+-([0-9a-f]{6})\.pth")
_GIGABYTE = 10**9
# Official file to the sizes that it may have, in GB.
_PLAUSIBLE = {
    "NAS-Bench-201-v1_0-e61699.pth": (1.5, 3.0),
    "NAS-Bench-201-v1_1-096897.pth": (4.0, 6.0),
}
_LENGTHS = {"less": 12, "full": 200}


def convert_nasbench201(source: Path, target: Path, progress: Progress | None = None) -> None:
    """Convert `NAS-Bench-201-v1_1-096897.pth`, or the older `v1_0-e61699`, to a benchmark table.

    The table has a row for each run (its seed) and one for their mean, for all data sets and
    splits in the file, after 12 epochs and after 200 (two separate schedules). Times are copied
    from the file; `valid_seconds` is in the rows of `x-valid`, costs are in the rows of means. The
    values are what the package `nas-bench-201` returns for the same file.

    The file is read as a stream: memory holds one architecture at a time and an index of the names
    in the file, about a fifth of its size. On files of 35 to 200 MB in the official layout, one
    core read 30 MB/s, or 10 MB/s where every number is a NumPy scalar; the checksum takes extra
    time.

    Args:
        source: the official file, under its own name: the six digits in it are compared with the
            file's checksum. It is not documented whether they are the first or the last ones of
            the MD5 or the SHA-256, so any of the four is accepted.
        target: the parquet file to write; nothing is written after an error.
        progress: called with the bytes done and the total after each architecture.

    Raises:
        ParameterError: the source is no `.pth` file.
        MissingDataError: the source does not exist.
        DamagedFileError: the source is renamed, truncated, of other architectures than the space,
            or another file altogether.
        UntrainedError: the target can't be written.
    """
    _check_identity(source)
    name, size, rows = source.name, source.stat().st_size, Rows()
    content: Any = stream(
        source,
        lambda pair: add_architecture(rows, name, _SPACE, pair, _LENGTHS)[0],
        lambda done: progress(min(done, size), size) if progress else None,
    )
    with reading(f"{name} lacks what NAS-Bench-201 has"):
        known = content["meta_archs"], content["arch2infos"], content["evaluated_indexes"]
        spellings, results, evaluated = known
        for index, left in results.items():
            if left["index"] != index:
                raise DamagedFileError(f"{name} has other results under architecture {index!r}")
        if not results or set(evaluated) - set(results):
            raise DamagedFileError(f"{name} lacks architectures that it lists as evaluated")
        check_spellings(name, _SPACE, spellings)
    write_table(rows.columns(), target)
    if progress:
        progress(size, size)


def _check_identity(source: Path) -> None:
    """Compare name, size and content, before any byte is interpreted."""
    if source.suffix not in (".pth", ".parquet"):
        raise ParameterError(f"{source} is neither an official .pth file nor a .parquet table")
    if not source.is_file():
        raise MissingDataError(f"{source} does not exist: name the official NAS-Bench-201 file")
    match = _NAME.fullmatch(source.name)
    if match is None:
        raise DamagedFileError(
            f"{source.name} is not the name of an official NAS-Bench-201 file: "
            "give it back its own, such as NAS-Bench-201-v1_1-096897.pth"
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

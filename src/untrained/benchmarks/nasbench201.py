"""Convert the official file of NAS-Bench-201 (Dong and Yang, ICLR 2020) to a benchmark table."""

import math
import re
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from untrained.benchmarks.streaming import MALFORMED, stream
from untrained.benchmarks.table import COLUMNS, DATASETS, SPLITS, Progress, write_table
from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.files import digest
from untrained.spaces import get_space

if TYPE_CHECKING:
    from nas_201_api import ArchResults, ResultsCount

_NAME = re.compile(r"NAS-Bench-201-v\w+-([0-9a-f]{6})\.pth")
_GIGABYTE = 10**9
# Official file to the sizes that it may have, in GB.
_PLAUSIBLE = {
    "NAS-Bench-201-v1_0-e61699.pth": (1.5, 3.0),
    "NAS-Bench-201-v1_1-096897.pth": (4.0, 6.0),
}
_RUNS = {"less": 12, "full": 200}
_TEXTS = ("dataset", "split", "seed")
_INTEGERS = ("arch", "epochs")
_NUMBERS = tuple(name for name in COLUMNS if name not in (*_TEXTS, *_INTEGERS))
_PERFECT = 100.0  # percent


def convert_nasbench201(
    source: Path,
    target: Path,
    progress: Progress | None = None,
    spellings: Sequence[str] | None = None,
    parameters: Sequence[int] | None = None,
) -> None:
    """Convert `NAS-Bench-201-v1_1-096897.pth`, or the older `v1_0-e61699`, to a benchmark table.

    The table has a row for each run (its seed) and one for their mean, for all data sets and
    splits in the file, after 12 epochs and after 200 (two separate schedules). Times are those of
    the file; `valid_seconds` stands in the rows of `x-valid`, costs in those of the means. The
    values are what the package `nas-bench-201` answers for the same file.

    The file is read as a stream: one architecture is in memory at a time, next to an index of the
    names in the file, about a fifth of its size. On files of 35 to 200 MB in the official layout,
    one core read 30 MB/s, or 10 MB/s where every number is a NumPy scalar; comparing the checksum
    comes on top.

    Args:
        source: the official file, under its own name: the six digits in it are compared with the
            file's checksum. Whether they are the first or the last ones, of MD5 or of SHA-256, is
            not documented, so any of the four will do.
        target: the parquet file to write; nothing is written unless all is well.
        progress: called with the bytes done and the bytes in all, as architectures are done.
        spellings: what the space calls its architectures, in the order of their indices; the
            file's own list must agree.
        parameters: not needed, since the file has that list.

    Raises:
        ParameterError: it is no `.pth` file.
        MissingDataError: there is no such file.
        DamagedFileError: renamed, truncated, or not such a file at all.
        UntrainedError: the target can't be written.
    """
    del parameters
    _check_identity(source)
    size = source.stat().st_size
    rows = Rows()
    content = stream(
        source,
        partial(_add_architecture, rows, source.name),
        lambda done: progress(min(done, size), size) if progress else None,
    )
    _check_structure(content, rows, source.name, spellings)
    write_table(rows.columns(), target)
    if progress:
        progress(size, size)


@dataclass(frozen=True)
class Rows:
    """The table so far, as columns: some 800,000 rows, which as tuples would take 0.3 GB."""

    texts: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in _TEXTS})
    integers: "dict[str, array[int]]" = field(
        default_factory=lambda: {name: array("i") for name in _INTEGERS}
    )
    numbers: "dict[str, array[float]]" = field(
        default_factory=lambda: {name: array("d") for name in _NUMBERS}
    )

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row; numbers that are missing or None are unknown."""
        for name, texts in self.texts.items():
            texts.append(sys.intern(row[name]))
        for name, integers in self.integers.items():
            integers.append(row[name])
        for name, numbers in self.numbers.items():
            value = row.get(name)
            numbers.append(math.nan if value is None else value)

    def columns(self) -> dict[str, Any]:
        """As `write_table` takes them."""
        numbers = {name: np.array(values) for name, values in self.numbers.items()}
        integers = {name: np.array(values) for name, values in self.integers.items()}
        return {**self.texts, **integers, **numbers}


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


def _add_architecture(rows: Rows, name: str, pair: dict[str, Any]) -> int:
    """Add the rows of one architecture.

    Args:
        rows: where to.
        name: of the file, for errors.
        pair: state of the `ArchResults` of 200 epochs ("full") and of 12 ("less").

    Returns:
        The index of the architecture.

    Raises:
        DamagedFileError: the two are not what the official file holds.
    """
    from nas_201_api import ArchResults

    index: object = None
    try:
        results = {key: ArchResults.create_from_state_dict(pair[key]) for key in _RUNS}
        index = results["full"].arch_index
        if type(index) is not int or not 0 <= index < len(get_space("nasbench201")):
            raise ValueError(f"there is no architecture {index}")
        if results["less"].arch_index != index:
            raise ValueError(f"runs of architecture {results['less'].arch_index} among them")
        for key, epochs in _RUNS.items():
            found = [
                row
                for dataset in DATASETS
                if dataset in results[key].dataset_seed
                for row in rows_of(results[key], dataset, epochs)
            ]
            if not found:
                raise ValueError(f"no runs of {epochs} epochs")
            for row in found:
                if not 0 <= row["accuracy"] <= _PERFECT:
                    raise ValueError(f"the accuracy {row['accuracy']} is not in 0..100")
                rows.append({"arch": index, **row})
    except MALFORMED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DamagedFileError(
            f"{name} has unreadable results of architecture {index} ({reason}): get it again"
        ) from error
    return index


def rows_of(results: "ArchResults", dataset: str, epochs: int) -> Iterator[dict[str, Any]]:
    """The rows of one architecture on one data set: every run, then their mean."""
    runs: dict[Any, ResultsCount] = results.query(dataset)
    for seed, run in runs.items():
        if run.get_total_epoch() != epochs:
            raise ValueError(f"run {seed} has {run.get_total_epoch()} epochs instead of {epochs}")
    seconds = {seed: run.get_train()["all_time"] for seed, run in runs.items()}
    costs = _costs(list(runs.values()))
    for split in SPLITS:
        try:
            evaluated = {seed: run.get_eval(split) for seed, run in runs.items()}
        except KeyError:  # what the package itself takes for "not evaluated on this split"
            continue
        measured = [
            {
                "accuracy": result["accuracy"],
                "train_seconds": seconds[seed],
                "valid_seconds": _per_pass(result["all_time"], epochs, split),
            }
            for seed, result in evaluated.items()
        ]
        where = {"dataset": dataset, "split": split, "epochs": epochs}
        for seed, values in zip(runs, measured, strict=True):
            yield {**where, "seed": str(seed), **values}
        means = {key: _mean([values[key] for values in measured]) for key in measured[0]}
        yield {**where, "seed": "mean", **means, **costs}


def _per_pass(seconds: float | None, epochs: int, split: str) -> float | None:
    return seconds / epochs if seconds is not None and split == "x-valid" else None


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else float(np.mean(np.array(values)))


def _costs(runs: "list[ResultsCount]") -> dict[str, float | None]:
    """Means over the runs; the file counts in millions, and marks unknown latencies by -1."""
    latencies = [seconds for run in runs if (seconds := run.get_latency()) > 0]
    return {
        "parameters": round(float(np.mean([run.params for run in runs])) * 1e6),
        "flops": round(float(np.mean([run.flop for run in runs])) * 1e6),
        "latency_seconds": float(np.mean(latencies)) if latencies else None,
    }


def _check_structure(
    content: object, rows: Rows, name: str, spellings: Sequence[str] | None
) -> None:
    """Compare what is left of the file with the rows that were taken from it."""
    keys = ("meta_archs", "arch2infos", "evaluated_indexes")
    if not isinstance(content, dict) or any(key not in content for key in keys):
        raise DamagedFileError(f"{name} lacks {', '.join(keys)}: it is no NAS-Bench-201 file")
    names, kept, evaluated = (content[key] for key in keys)
    if not isinstance(names, list) or not isinstance(kept, dict) or not rows.integers["arch"]:
        raise DamagedFileError(f"{name} has no architectures: it is no NAS-Bench-201 file")
    for key, left in kept.items():
        if not isinstance(left, dict) or left.get("index") != key or key >= len(names):
            raise DamagedFileError(f"{name} has other results under architecture {key!r}")
    if not isinstance(evaluated, list | tuple | set) or set(evaluated) - set(kept):
        raise DamagedFileError(f"{name} lacks architectures that it lists as evaluated")
    if spellings is not None and len(names) > len(spellings):
        raise DamagedFileError(
            f"{name} lists {len(names)} architectures: the space has {len(spellings)}"
        )
    check_spellings(name, names, spellings)


def check_spellings(name: str, found: Sequence[str], spellings: Sequence[str] | None) -> None:
    """Compare what a file calls its architectures with what the space does, as far as both go.

    Raises:
        DamagedFileError: an architecture is another one in the space.
    """
    for index, (spelling, right) in enumerate(zip(found, spellings or found, strict=False)):
        if spelling != right:
            raise DamagedFileError(
                f"{name} has {spelling!r} as architecture {index}, which is {right!r} in the space"
            )

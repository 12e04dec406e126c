"""Convert the official files of NAS-Bench-101 (Ying et al., ICML 2019) to a benchmark table."""

import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.table import Progress, write_groups
from untrained.benchmarks.tfrecords import EPOCHS, HASH, records, training_of
from untrained.errors import DamagedFileError, ParameterError
from untrained.files import read_parquet, reading

TRIALS = 3
#: Maps a split of the table to the field of `Training` that has its accuracy.
_SPLITS = {"ori-test": "test", "x-valid": "valid"}
#: SHA-256 of two lists in the order of the module hashes of all cells: the module hashes, 16 bytes
#: each, and the numbers of parameters, 8 bytes each (little endian).
CHECKSUMS = {
    "module hashes": "13bb1f0fa98c75fcbc269a7f011cf12245f8c9e0e6fc3eb94add6dcbdfba09db",
    "numbers of parameters": "62dd4ac915be2f00b30b15a64498a24d4d8925d48bfee2d7e638f5c9daf0ac94",
}
_PERCENT = 100
#: The numbers that are kept of each training, and their types; `cell` counts the cells in the order
#: of the file.
_KEPT = {"cell": "i", "epochs": "i", "valid": "d", "test": "d", "seconds": "d"}


def convert_nasbench101(source: Path, target: Path, progress: Progress | None = None) -> None:
    """Convert `nasbench_only108.tfrecord` or `nasbench_full.tfrecord` to a benchmark table.

    The table has a row for each training (`trial0` to `trial2`, in the order of the file) and one
    for their mean, on `x-valid` and `ori-test` of `cifar10`. Parameters are in the rows of means on
    `ori-test` after 108 epochs. The official files were not available, so this function was tested
    on files in their documented layout. A published table with the columns index, module_hash,
    params and test_acc108_mean is converted, too.

    An index is the rank of a module hash, so that one wrong hash would give many cells the
    accuracies of others. Therefore checksums of all hashes and numbers of parameters are compared
    with those of the benchmark.

    Args:
        source: the file, under any name.
        target: the parquet file to write; nothing is written after an error.
        progress: see `untrained.benchmarks.fetch.Converter`.

    Raises:
        ParameterError: the source is neither a `.tfrecord` nor a `.parquet` file.
        DamagedFileError: the source is truncated, altered, of other cells, or has other content
            altogether.
        UntrainedError: the target cannot be written.
    """
    if source.suffix not in (".tfrecord", ".parquet"):
        raise ParameterError(
            f"{source} is neither nasbench_only108.tfrecord, nasbench_full.tfrecord nor a table "
            "(.parquet)"
        )
    if source.suffix == ".parquet":
        write_groups([_published(source)], target)
    else:
        write_groups(_read_official(source, progress), target)


def _check_cells(name: str, hashes: bytes, counts: NDArray[np.int64]) -> None:
    """Check that a file has the cells of the benchmark.

    Args:
        name: the name of the file.
        hashes: all module hashes in ascending order, 16 bytes each.
        counts: (cells,): the numbers of parameters, in the order of the hashes.

    Raises:
        DamagedFileError: hashes or numbers of parameters differ.
    """
    for content, (what, right) in zip(
        (hashes, counts.astype("<i8").tobytes()), CHECKSUMS.items(), strict=True
    ):
        if hashlib.sha256(content).hexdigest() != right:
            raise DamagedFileError(f"{name} has other {what} than NAS-Bench-101: get it again")


def _read_official(source: Path, progress: Progress | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table, group by group; an index is the rank of a hash."""
    name, size = source.name, source.stat().st_size
    places: dict[bytes, int] = {}
    # arrays of the standard library grow faster number by number than those of NumPy
    parameters = array("q")
    columns = {field: array(code) for field, code in _KEPT.items()}
    with source.open("rb") as file:
        for number, record in enumerate(records(file, name)):
            with reading(f"record {number} of {name} is no training of NAS-Bench-101"):
                training = training_of(record)
                place = places.setdefault(bytes.fromhex(training.module_hash), len(places))
                if place == len(parameters):
                    parameters.append(training.parameters)
                elif parameters[place] != training.parameters:
                    raise ValueError("its cell has another number of parameters elsewhere")
                columns["cell"].append(place)
                for field in _KEPT.keys() - {"cell"}:
                    columns[field].append(getattr(training, field))
            if progress is not None and number % 1000 == 0:
                progress(file.tell(), size)
    hashes = sorted(places)
    in_order = np.array([places[one] for one in hashes], np.int32)
    ranks = np.empty_like(in_order)
    ranks[in_order] = np.arange(len(hashes))
    del places
    kept = {field: np.asarray(column) for field, column in columns.items()}
    counts = np.asarray(parameters)[in_order]
    lengths, order = _in_order(name, kept["epochs"], ranks[kept["cell"]], len(hashes))
    _check_cells(name, b"".join(hashes), counts)
    if progress is not None:
        progress(size, size)
    for split, measure in _SPLITS.items():
        for epochs, rows in zip(lengths, order, strict=True):
            accuracies, seconds = (kept[field][rows].T for field in (measure, "seconds"))
            accuracies = _PERCENT * accuracies
            where: dict[str, Any] = {"dataset": "cifar10", "split": split, "epochs": epochs}
            where["arch"] = np.arange(len(hashes))
            means = {"accuracy": accuracies.mean(0), "train_seconds": seconds.mean(0)}
            if epochs == max(EPOCHS) and split == "ori-test":
                means["parameters"] = counts
            yield {**where, "seed": "mean", **means}
            for trial in range(TRIALS):
                measured = {"accuracy": accuracies[trial], "train_seconds": seconds[trial]}
                yield {**where, "seed": f"trial{trial}", **measured}


def _in_order(
    name: str, epochs: NDArray[np.int32], arch: NDArray[np.int32], cells: int
) -> tuple[list[int], NDArray[np.int64]]:
    """Order trainings by length and cell; those of one cell stay in the order of the file.

    Args:
        name: the name of the file, for errors.
        epochs: (trainings,): the length of each training.
        arch: (trainings,): the cell of each training, 0 to `cells` - 1.
        cells: the number of cells.

    Returns:
        The lengths that occur, ascending, and the positions of the trainings in the file,
        (lengths, cells, 3).

    Raises:
        DamagedFileError: a cell does not have three trainings of a length.
    """
    lengths = np.union1d(epochs, max(EPOCHS)).astype(int)
    keys = (np.searchsorted(lengths, epochs) * cells + arch).astype(np.int32)
    counts = np.bincount(keys, minlength=len(lengths) * cells).reshape(len(lengths), cells)
    wrong = np.count_nonzero(counts != TRIALS, axis=1)
    if wrong.any() or not cells:
        place = wrong.argmax()
        raise DamagedFileError(
            f"{name} has other than {TRIALS} trainings of {wrong[place]} cell(s) for "
            f"{lengths[place]} epochs: get it again"
        )
    order = np.argsort(keys, kind="stable").reshape(len(lengths), cells, TRIALS)
    return lengths.tolist(), order


def _published(source: Path) -> dict[str, Any]:
    """Read the published table, which has all cells in the order of their hashes."""
    cells = read_parquet(source, ["index", "module_hash", "params", "test_acc108_mean"])
    with reading(f"{source} is not the published table of NAS-Bench-101"):
        if not np.array_equal(cells["index"], np.arange(len(cells))):
            raise ValueError("its indices do not count its cells")
        if not all(HASH.fullmatch(one) for one in cells["module_hash"]):
            raise ValueError("a module hash has other digits than 32 of 0-9 and a-f")
        hashes = b"".join(map(bytes.fromhex, cells["module_hash"]))
        parameters = cells["params"].to_numpy(np.int64)
        _check_cells(source.name, hashes, parameters)
        accuracy = cells["test_acc108_mean"].to_numpy(np.float64)
        if not ((accuracy >= 0) & (accuracy <= 1)).all():
            raise ValueError("accuracies are not in 0..1")
    return {
        "dataset": "cifar10",
        "split": "ori-test",
        "epochs": max(EPOCHS),
        "seed": "mean",
        "arch": cells["index"].to_numpy(),
        "accuracy": _PERCENT * accuracy,
        "parameters": parameters,
    }

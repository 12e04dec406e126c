"""Convert the official files of NAS-Bench-101 (Ying et al., ICML 2019) to a benchmark table.

They are TFRecord files of one training each; neither TensorFlow nor the package `nasbench` is
needed to read them.
"""

import base64
import binascii
import json
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.official import Progress
from untrained.benchmarks.table import SIZES, write_groups
from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.files import read_parquet

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

SPACE = "nasbench101"
#: Lengths of training; each cell was trained three times at each.
EPOCHS = (4, 12, 36, 108)
TRIALS = 3
#: Split of a table to the field of `Training`.
_SPLITS = {"ori-test": "test", "x-valid": "valid"}

_HASH = re.compile(r"[0-9a-f]{32}")
_LONGEST_RECORD = 1 << 20  # bytes; real ones have a few hundred
_EVALUATIONS = 3  # before training, after half of it, at its end
_PERCENT = 100
# What odd records make their readers raise.
_MALFORMED = (
    ArithmeticError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    binascii.Error,
    struct.error,
)

Values = NDArray[np.float64]


class Training(NamedTuple):
    """One record of an official file.

    Attributes:
        module_hash: of the cell.
        epochs: that it was trained.
        valid: accuracy on the 10,000 validation images at the end, in 0..1.
        test: likewise on the test images.
        seconds: of training.
        parameters: trainable scalars.
    """

    module_hash: str
    epochs: int
    valid: float
    test: float
    seconds: float
    parameters: int


def convert_nasbench101(
    source: Path,
    target: Path,
    progress: Progress | None = None,
    spellings: "Sequence[str] | None" = None,
) -> None:
    """Convert `nasbench_only108.tfrecord` or `nasbench_full.tfrecord` to a benchmark table.

    The table has a row for each training (`trial0` to `trial2`, in the order of the file) and one
    for their mean, on `x-valid` and `ori-test` of `cifar10`. Parameters stand in rows of means on
    `ori-test` after 108 epochs. The file is read as a stream: what is kept of a training are three
    numbers. Also converted: the tables `nasbench101.parquet` (index, module_hash, params,
    test_acc108_mean) and, where it lies beside it, `nasbench101_epochs.parquet` (index, epochs,
    trial, val_acc, test_acc). The official files could not be had when this was written: it was
    tried on files made by their documented layout.

    Args:
        source: the file, under its own name or another one.
        target: the parquet file to write; nothing is written unless all is well.
        progress: called with the bytes done and the bytes in all, now and then.
        spellings: not needed, since indices follow the order of the hashes.

    Raises:
        ParameterError: neither a `.tfrecord` nor a `.parquet` file.
        MissingDataError: there is no such file.
        DamagedFileError: truncated, altered, or not such a file at all.
        UntrainedError: the target can't be written.
    """
    del spellings
    if source.suffix not in (".tfrecord", ".parquet"):
        raise ParameterError(
            f"{source} is neither nasbench_only108.tfrecord, nasbench_full.tfrecord nor a table "
            "(.parquet)"
        )
    if not source.is_file():
        raise MissingDataError(f"{source} does not exist: name an official NAS-Bench-101 file")
    if source.suffix == ".parquet":
        write_groups(_groups_of_tables(source), target)
        return
    write_groups(_read_official(source, progress).groups(), target)


class _Trainings:
    """What is kept of the records: three numbers a training, by the order of appearance.

    Attributes:
        cells: module hash (16 bytes) to the cell's place in the arrays.
        measures: epochs to (3 measures, trials, cells) float64, those of `Training`.
        counts: epochs to (cells,): trainings so far.
        parameters: (cells,).
    """

    MEASURES = ("valid", "test", "seconds")

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self.cells: dict[bytes, int] = {}
        self.measures: dict[int, Values] = {}
        self.counts: dict[int, NDArray[np.int8]] = {}
        self.parameters = np.zeros(size, np.int64)

    def add(self, training: Training) -> None:
        """Keep a training.

        Raises:
            ValueError: there are too many of its cell or too many cells.
        """
        digest = bytes.fromhex(training.module_hash)
        place = self.cells.setdefault(digest, len(self.cells))
        if place >= self.size:
            raise ValueError(f"more than {self.size} cells")
        if training.epochs not in self.measures:
            self.measures[training.epochs] = np.full((3, TRIALS, self.size), np.nan)
            self.counts[training.epochs] = np.zeros(self.size, np.int8)
        trial = int(self.counts[training.epochs][place])
        if trial == TRIALS:
            raise ValueError(
                f"more than {TRIALS} trainings of {training.module_hash} for {training.epochs} "
                "epochs"
            )
        self.counts[training.epochs][place] += 1
        values = [getattr(training, name) for name in self.MEASURES]
        self.measures[training.epochs][:, trial, place] = values
        known = int(self.parameters[place])
        if known not in (0, training.parameters):
            raise ValueError(
                f"{training.module_hash} has {known} parameters and {training.parameters}"
            )
        self.parameters[place] = training.parameters

    def check(self) -> None:
        """Refuse a file that ends too early.

        Raises:
            DamagedFileError: cells or trainings are missing.
        """
        if len(self.cells) != self.size:
            raise DamagedFileError(
                f"{self.name} has {len(self.cells)} cells, not {self.size}: get it again"
            )
        for epochs, counts in self.counts.items():
            if lacking := int((counts < TRIALS).sum()):
                raise DamagedFileError(
                    f"{self.name} has fewer than {TRIALS} trainings of {lacking} cell(s) for "
                    f"{epochs} epochs: get it again"
                )
        if max(EPOCHS) not in self.counts:
            raise DamagedFileError(
                f"{self.name} has no trainings of {max(EPOCHS)} epochs: get it again"
            )

    def groups(self) -> Iterator[dict[str, Any]]:
        """The rows of the table; an index is the rank of a hash."""
        halves = np.frombuffer(b"".join(self.cells), ">u8").reshape(-1, 2)
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        arch = np.arange(self.size)
        for split, measure in _SPLITS.items():
            row = self.MEASURES.index(measure)
            for epochs in sorted(self.measures):
                values = self.measures[epochs]
                where = {"dataset": "cifar10", "split": split, "epochs": epochs, "arch": arch}
                accuracies, seconds = _PERCENT * values[row][:, order], values[2][:, order]
                final = epochs == max(EPOCHS) and split == "ori-test"
                yield {
                    **where,
                    "seed": "mean",
                    "accuracy": accuracies.mean(0),
                    "train_seconds": seconds.mean(0),
                    **({"parameters": self.parameters[order]} if final else {}),
                }
                for trial in range(TRIALS):
                    yield {
                        **where,
                        "seed": f"trial{trial}",
                        "accuracy": accuracies[trial],
                        "train_seconds": seconds[trial],
                    }


def _read_official(source: Path, progress: Progress | None) -> _Trainings:
    trainings = _Trainings(source.name, SIZES[SPACE])
    size = source.stat().st_size
    with source.open("rb") as file:
        for number, record in enumerate(records(file, source.name)):
            try:
                trainings.add(training_of(record))
            except _MALFORMED as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                raise DamagedFileError(
                    f"record {number} of {source.name} is no training of NAS-Bench-101 "
                    f"({reason}): get it again"
                ) from error
            if progress is not None and number % 1000 == 0:
                progress(file.tell(), size)
    trainings.check()
    if progress is not None:
        progress(size, size)
    return trainings


def records(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The records of a TFRecord file, one after the other.

    Each is its length (8 bytes, little endian), the length's checksum (4), the data and the data's
    checksum (4). A checksum is a CRC-32C, rotated by 15 bits, plus a constant.

    Raises:
        DamagedFileError: truncated, or a checksum is wrong.
    """
    number = 0
    while header := file.read(12):
        where = f"record {number} of {name}"
        if len(header) < 12 or _checksum(header[:8]) != _uint32(header[8:]):
            raise DamagedFileError(f"{where} has no valid length: get the file again")
        length = int.from_bytes(header[:8], "little")
        if length > _LONGEST_RECORD:
            raise DamagedFileError(
                f"{where} has {length} bytes, more than any training: it is no NAS-Bench-101 file"
            )
        data, checksum = file.read(length), file.read(4)
        if len(data) < length or len(checksum) < 4:
            raise DamagedFileError(f"{name} ends within record {number}: get it again")
        if _checksum(data) != _uint32(checksum):
            raise DamagedFileError(f"{where} has the wrong checksum: get the file again")
        yield data
        number += 1


def _uint32(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _checksum(data: bytes) -> int:
    import google_crc32c

    plain: int = google_crc32c.value(data)
    return ((plain >> 15 | plain << 17) + 0xA282EAD8) & 0xFFFFFFFF


def training_of(record: bytes) -> Training:
    """Read [module hash, epochs, adjacency, operations, metrics] (JSON).

    The metrics are a message in the wire format of Protocol Buffers, in base64: field 1 an
    evaluation (before training, after half of the epochs, at the end), 2 the parameters, 3 the
    total time. Fields of an evaluation, all of them doubles but a path: 1 epoch, 2 seconds of
    training, 3 accuracy on the training images, 4 on those for validation, 5 on those for test.

    Raises:
        ValueError: it is something else; and what else broken data raises, see `_MALFORMED`.
    """
    module_hash, epochs, _adjacency, _operations, encoded = json.loads(record)
    if not isinstance(module_hash, str) or not _HASH.fullmatch(module_hash):
        raise ValueError(f"{module_hash!r} is no module hash")
    if type(epochs) is not int or epochs not in EPOCHS:
        raise ValueError(f"{epochs!r} epochs instead of one of {', '.join(map(str, EPOCHS))}")
    metrics = _message(base64.b64decode(encoded, validate=True))
    evaluations = [_message(data) for data in metrics.get(1, [])]
    if len(evaluations) != _EVALUATIONS:
        raise ValueError(f"{len(evaluations)} evaluations instead of {_EVALUATIONS}")
    # The one after half of the epochs is dropped: the learning rate is not annealed there, so it
    # is no training of that length.
    epoch, seconds, _train, valid, test = (_double(evaluations[-1], field) for field in range(1, 6))
    if not abs(epoch - epochs) < 0.5:  # batches do not divide epochs evenly
        raise ValueError(f"the last evaluation is after {epoch:g} epochs instead of {epochs}")
    if not (0 <= valid <= 1 and 0 <= test <= 1):
        raise ValueError(f"accuracies {valid:g} and {test:g} are not in 0..1")
    if not 0 <= seconds < np.inf:
        raise ValueError(f"{seconds:g} seconds of training")
    parameters = metrics.get(2, [0])[-1]
    if type(parameters) is not int or parameters < 1:
        raise ValueError(f"{parameters!r} parameters")
    return Training(module_hash, epochs, valid, test, seconds, parameters)


def _double(message: Mapping[int, list[Any]], field: int) -> float:
    value = message[field][-1] if field in message else 0.0  # zeros may be left out
    if type(value) is not float:
        raise ValueError(f"field {field} of an evaluation is no double")
    return value


def _message(data: bytes) -> dict[int, list[Any]]:
    """The fields of a message: integers, doubles, and bytes, which may be a message again."""
    fields: dict[int, list[Any]] = {}
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        value: int | float | bytes
        match key & 7:
            case 0:
                value, place = _varint(data, place)
            case 1:
                (value,), place = struct.unpack_from("<d", data, place), place + 8
            case 2:
                length, place = _varint(data, place)
                value, place = data[place : place + length], place + length
                if place > len(data):
                    raise ValueError("a message that ends too early")
            case kind:
                raise ValueError(f"a field of the unknown type {kind}")
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """An integer in groups of seven bits, lowest first, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("an integer of more than ten bytes")


def _groups_of_tables(source: Path) -> Iterator[dict[str, Any]]:
    """The rows of the table at `source`, and of the one with other lengths beside it."""
    cells = read_parquet(source, ["index", "module_hash", "params", "test_acc108_mean"])
    size, hashes = SIZES[SPACE], cells["module_hash"].astype(str)
    if len(cells) != size or not np.array_equal(cells["index"], np.arange(size)):
        raise DamagedFileError(f"{source} has other indices than 0 to {size - 1} in order")
    if not (hashes.is_monotonic_increasing and hashes.is_unique):
        raise DamagedFileError(f"{source} is not in the order of the module hashes")
    finals: dict[str, Any] = {
        "arch": cells["index"].to_numpy(),
        "accuracy": _percent(cells["test_acc108_mean"], source),
        "parameters": cells["params"].to_numpy(),
    }
    where = {"dataset": "cifar10", "split": "ori-test", "epochs": max(EPOCHS), "seed": "mean"}
    beside = source.with_name(f"{source.stem}_epochs.parquet")
    others = _groups_of_epochs(beside) if beside.is_file() else []
    key = ("dataset", "split", "epochs", "seed")
    final_group = {**where, **finals}
    # means over all cells take the place of those over some of them
    kept = [one for one in others if any(one[name] != where[name] for name in key)]
    yield from sorted([*kept, final_group], key=lambda one: tuple(one[name] for name in key))


def _groups_of_epochs(path: Path) -> Iterator[dict[str, Any]]:
    """Trainings of some cells: their rows, and those of their means."""
    table = read_parquet(path, ["index", "epochs", "trial", "val_acc", "test_acc"])
    if (
        not table["epochs"].isin(EPOCHS).all()
        or not table["index"].between(0, SIZES[SPACE] - 1).all()
    ):
        raise DamagedFileError(f"{path} has epochs or indices that NAS-Bench-101 has not")
    if table.duplicated(["index", "epochs", "trial"]).any():
        raise DamagedFileError(f"{path} has a training twice")
    for split, column in {"ori-test": "test_acc", "x-valid": "val_acc"}.items():
        table[column] = _percent(table[column], path)
        for epochs, rows in table.groupby("epochs"):
            trials = rows.pivot(index="index", columns="trial", values=column)
            if [*trials.columns] != [*range(TRIALS)] or trials.isna().to_numpy().any():
                raise DamagedFileError(
                    f"{path} has not {TRIALS} trainings of every cell for {epochs} epochs"
                )
            where = {"dataset": "cifar10", "split": split, "epochs": int(str(epochs))}
            arch = trials.index.to_numpy()
            yield {**where, "seed": "mean", "arch": arch, "accuracy": trials.mean(axis=1)}
            for trial in range(TRIALS):
                yield {**where, "seed": f"trial{trial}", "arch": arch, "accuracy": trials[trial]}


def _percent(values: "pd.Series[float]", path: Path) -> Values:
    found = values.to_numpy(dtype=np.float64)
    if not ((found >= 0) & (found <= 1)).all():
        raise DamagedFileError(f"{path} has accuracies in {values.name} that are not in 0..1")
    return np.asarray(_PERCENT * found, np.float64)

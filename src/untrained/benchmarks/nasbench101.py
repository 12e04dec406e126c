"""Convert the official files of NAS-Bench-101 (Ying et al., ICML 2019) to a benchmark table.

They are TFRecord files of one training each; neither TensorFlow nor the package `nasbench` is
needed to read them.
"""

import binascii
import hashlib
import json
import re
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.table import Progress, write_groups
from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.files import read_parquet
from untrained.spaces import get_space

if TYPE_CHECKING:
    import pandas as pd

SPACE = "nasbench101"
#: Lengths of training; each cell was trained three times at each.
EPOCHS = (4, 12, 36, 108)
TRIALS = 3
#: Split of a table to the field of `Training`.
_SPLITS = {"ori-test": "test", "x-valid": "valid"}

#: SHA-256 of what the benchmark has of its cells, in the order of their hashes: the module hashes,
#: 16 bytes each, and the parameters, 8 bytes each (little endian). A file that has the same is
#: right; what is wrong with another one is found cell by cell, which takes half a minute.
CHECKSUMS = {
    "hashes": "13bb1f0fa98c75fcbc269a7f011cf12245f8c9e0e6fc3eb94add6dcbdfba09db",
    "parameters": "62dd4ac915be2f00b30b15a64498a24d4d8925d48bfee2d7e638f5c9daf0ac94",
}

_HASH = re.compile(r"[0-9a-f]{32}")
_LONGEST_RECORD = 1 << 20  # bytes; real ones have a few hundred
_EVALUATIONS = 3  # before training, after half of it, at its end
# An evaluation as it is written as a rule: five doubles, each after its field and type, no path.
_EVALUATION = struct.Struct("<BdBdBdBdBd")
_KEYS = tuple(field << 3 | 1 for field in range(1, 6))
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
    spellings: Sequence[str] | None = None,
    parameters: Sequence[int] | None = None,
) -> None:
    """Convert `nasbench_only108.tfrecord` or `nasbench_full.tfrecord` to a benchmark table.

    The table has a row for each training (`trial0` to `trial2`, in the order of the file) and one
    for their mean, on `x-valid` and `ori-test` of `cifar10`. Parameters stand in rows of means on
    `ori-test` after 108 epochs. The file is read as a stream: what is kept of a training are three
    numbers. Also converted: the published table `nasbench101.parquet` (index, module_hash, params,
    test_acc108_mean). The official files could not be had when this was written: it was tried on
    files made by their documented layout.

    An index is the rank of a module hash, so one foreign hash would give many cells another's
    accuracies: all hashes, and all numbers of parameters, must be those of the space.

    Args:
        source: the file, under its own name or another one.
        target: the parquet file to write; nothing is written unless all is well.
        progress: called with the bytes done and the bytes in all, now and then.
        spellings: the module hashes of the space, by index; looked at only to say which one of
            the file is wrong.
        parameters: of the cells, by index, as the benchmark counts them; likewise.

    Raises:
        ParameterError: neither a `.tfrecord` nor a `.parquet` file.
        MissingDataError: there is no such file.
        DamagedFileError: truncated, altered, of other cells, or not such a file at all.
        UntrainedError: the target can't be written.
    """
    if source.suffix not in (".tfrecord", ".parquet"):
        raise ParameterError(
            f"{source} is neither nasbench_only108.tfrecord, nasbench_full.tfrecord nor a table "
            "(.parquet)"
        )
    if not source.is_file():
        raise MissingDataError(f"{source} does not exist: name an official NAS-Bench-101 file")
    if source.suffix == ".parquet":
        cells = _read_published(source)
        found = b"".join(map(bytes.fromhex, cells["module_hash"])), cells["params"].to_numpy()
        groups: Iterator[dict[str, Any]] = iter([_published_group(cells, source)])
    else:
        trainings = _read_official(source, progress)
        found = trainings.ranked()
        groups = trainings.groups()
    _check_cells(source.name, *found, spellings, parameters)
    write_groups(groups, target)


def _check_cells(
    name: str,
    hashes: bytes,
    counts: NDArray[np.int64],
    spellings: Sequence[str] | None,
    parameters: Sequence[int] | None,
) -> None:
    """Refuse a file of other cells than those of the space.

    Args:
        name: of the file.
        hashes: ascending, 16 bytes each.
        counts: (cells,): parameters, in the order of the hashes.
        spellings: see `convert_nasbench101`.
        parameters: likewise.

    Raises:
        DamagedFileError: hashes or parameters differ; the message names the first cell that does,
            if one is found.
    """
    found = {"hashes": hashes, "parameters": counts.astype("<i8").tobytes()}
    differ = {key for key, content in found.items() if _sha256(content) != CHECKSUMS[key]}
    if "hashes" in differ:
        if spellings is None:
            raise DamagedFileError(
                f"{name} has other module hashes than NAS-Bench-101: get it again"
            )
        there = {hashes[start : start + 16].hex() for start in range(0, len(hashes), 16)}
        known = set(spellings)
        if foreign := sorted(there - known):
            lacking = ", ".join(sorted(known - there)[:1])
            raise DamagedFileError(
                f"{name} has the module hash {foreign[0]}, which no cell of {SPACE} has, and lacks "
                f"{lacking} ({len(foreign)} of {len(there)} are foreign): get it again"
            )
    if "parameters" in differ:
        if parameters is None:
            raise DamagedFileError(
                f"{name} has other numbers of parameters than NAS-Bench-101: get it again"
            )
        for index, (count, right) in enumerate(zip(counts.tolist(), parameters, strict=True)):
            if count != right:
                raise DamagedFileError(
                    f"{name} has {count} parameters for the module hash "
                    f"{hashes[16 * index : 16 * (index + 1)].hex()}, whose cell has {right}: get "
                    "it again"
                )
    if differ:
        one = min(differ)
        raise DamagedFileError(
            f"{name} has {one} of the SHA-256 {_sha256(found[one])} instead of {CHECKSUMS[one]}, "
            "although no cell was found wrong: get it again"
        )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class _Trainings:
    """What is kept of the records: three numbers a training, by the order of appearance.

    They are in arrays of Python's own, into which single numbers go faster than into NumPy's.

    Attributes:
        cells: module hash (16 bytes) to the cell's place in the arrays.
        measures: epochs to one array for each of `MEASURES`, number `trial * size + place`.
        counts: epochs to an array with how many trainings of each cell there were so far.
        parameters: of each cell.
    """

    MEASURES = ("valid", "test", "seconds")

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
        self.cells: dict[bytes, int] = {}
        self.measures: dict[int, tuple[array[float], ...]] = {}
        self.counts: dict[int, bytearray] = {}
        self.parameters = array("q", bytes(8 * size))

    def add(self, training: Training) -> None:
        """Keep a training.

        Raises:
            ValueError: there are too many of its cell or too many cells.
        """
        module_hash, epochs, valid, test, seconds, parameters = training
        place = self.cells.setdefault(bytes.fromhex(module_hash), len(self.cells))
        if place >= self.size:
            raise ValueError(f"more than {self.size} cells")
        if epochs not in self.measures:
            nothing = bytes(8 * TRIALS * self.size)
            self.measures[epochs] = tuple(array("d", nothing) for _ in self.MEASURES)
            self.counts[epochs] = bytearray(self.size)
        trial = self.counts[epochs][place]
        if trial == TRIALS:
            raise ValueError(f"more than {TRIALS} trainings of {module_hash} for {epochs} epochs")
        self.counts[epochs][place] += 1
        known = self.parameters[place]
        if known not in (0, parameters):
            raise ValueError(f"{module_hash} has {known} parameters and {parameters}")
        self.parameters[place] = parameters
        number = trial * self.size + place
        valids, tests, times = self.measures[epochs]
        valids[number], tests[number], times[number] = valid, test, seconds

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
            if lacking := self.size - counts.count(TRIALS):
                raise DamagedFileError(
                    f"{self.name} has fewer than {TRIALS} trainings of {lacking} cell(s) for "
                    f"{epochs} epochs: get it again"
                )
        if max(EPOCHS) not in self.counts:
            raise DamagedFileError(
                f"{self.name} has no trainings of {max(EPOCHS)} epochs: get it again"
            )

    def _order(self) -> NDArray[np.intp]:
        """(cells,): places in the order of the hashes."""
        halves = np.frombuffer(b"".join(self.cells), ">u8").reshape(-1, 2)
        return np.lexsort((halves[:, 1], halves[:, 0]))

    def ranked(self) -> tuple[bytes, NDArray[np.int64]]:
        """The hashes in their order, 16 bytes each, and the parameters in that order."""
        return b"".join(sorted(self.cells)), np.frombuffer(self.parameters, np.int64)[self._order()]

    def groups(self) -> Iterator[dict[str, Any]]:
        """The rows of the table; an index is the rank of a hash."""
        order, arch = self._order(), np.arange(self.size)
        for split, measure in _SPLITS.items():
            row = self.MEASURES.index(measure)
            for epochs in sorted(self.measures):
                accuracies, seconds = (
                    np.frombuffer(self.measures[epochs][one]).reshape(TRIALS, -1)[:, order]
                    for one in (row, self.MEASURES.index("seconds"))
                )
                accuracies *= _PERCENT
                where = {"dataset": "cifar10", "split": split, "epochs": epochs, "arch": arch}
                final = epochs == max(EPOCHS) and split == "ori-test"
                yield {
                    **where,
                    "seed": "mean",
                    "accuracy": accuracies.mean(0),
                    "train_seconds": seconds.mean(0),
                    **({"parameters": self.ranked()[1]} if final else {}),
                }
                for trial in range(TRIALS):
                    yield {
                        **where,
                        "seed": f"trial{trial}",
                        "accuracy": accuracies[trial],
                        "train_seconds": seconds[trial],
                    }


def _read_official(source: Path, progress: Progress | None) -> _Trainings:
    trainings = _Trainings(source.name, len(get_space(SPACE)))
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
    import google_crc32c

    def checksum(data: bytes) -> int:
        plain: int = google_crc32c.value(data)
        return ((plain >> 15 | plain << 17) + 0xA282EAD8) & 0xFFFFFFFF

    number = 0
    while header := file.read(12):
        if len(header) < 12 or checksum(header[:8]) != int.from_bytes(header[8:], "little"):
            raise DamagedFileError(
                f"record {number} of {name} has no valid length: get the file again"
            )
        length = int.from_bytes(header[:8], "little")
        if length > _LONGEST_RECORD:
            raise DamagedFileError(
                f"record {number} of {name} has {length} bytes, more than any training: it is no "
                "NAS-Bench-101 file"
            )
        data, stored = file.read(length), file.read(4)
        if len(data) < length or len(stored) < 4:
            raise DamagedFileError(f"{name} ends within record {number}: get it again")
        if checksum(data) != int.from_bytes(stored, "little"):
            raise DamagedFileError(
                f"record {number} of {name} has the wrong checksum: get the file again"
            )
        yield data
        number += 1


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
    metrics = _message(binascii.a2b_base64(encoded, strict_mode=True))
    evaluations = metrics.get(1, [])
    if len(evaluations) != _EVALUATIONS:
        raise ValueError(f"{len(evaluations)} evaluations instead of {_EVALUATIONS}")
    # The one after half of the epochs is dropped: the learning rate is not annealed there, so it
    # is no training of that length.
    epoch, seconds, _train, valid, test = _evaluation(evaluations[-1])
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


def _evaluation(data: bytes) -> tuple[float, ...]:
    """The fields 1 to 5 of an evaluation."""
    if len(data) == _EVALUATION.size:
        read = _EVALUATION.unpack(data)
        if read[::2] == _KEYS:
            return read[1::2]
    message = _message(data)
    return tuple(_double(message, field) for field in range(1, 6))


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


def _read_published(source: Path) -> "pd.DataFrame":
    """The published table of all cells, in the order of the hashes."""
    cells = read_parquet(source, ["index", "module_hash", "params", "test_acc108_mean"])
    size, hashes = len(get_space(SPACE)), cells["module_hash"]
    if len(cells) != size or not np.array_equal(cells["index"], np.arange(size)):
        raise DamagedFileError(
            f"{source} has other indices than 0 to {size - 1} in order: get the whole table"
        )
    for one in hashes:
        # a column may hold anything, bytes that are no text too
        if not (isinstance(one, str) and _HASH.fullmatch(one)):
            raise DamagedFileError(
                f"{source} has the module hash {repr(one)[:80]}: a text of 32 digits of 0-9 and "
                "a-f, get it again"
            )
    if not (hashes.is_monotonic_increasing and hashes.is_unique):
        raise DamagedFileError(
            f"{source} is not in the order of the module hashes, each once: get it again"
        )
    for name, kinds, right in (
        ("params", "iu", "whole numbers"),
        ("test_acc108_mean", "f", "numbers in 0..1"),
    ):
        if cells[name].dtype.kind not in kinds or cells[name].isna().any():
            # pandas has types of whole numbers with gaps
            found = cells[name].dtype if cells[name].notna().all() else "missing in places"
            raise DamagedFileError(f"{source} has {name} that are {found}: {right}, get it again")
    return cells


def _published_group(cells: "pd.DataFrame", source: Path) -> dict[str, Any]:
    """The rows of the published table."""
    return {
        "dataset": "cifar10",
        "split": "ori-test",
        "epochs": max(EPOCHS),
        "seed": "mean",
        "arch": cells["index"].to_numpy(),
        "accuracy": _percent(cells["test_acc108_mean"], source),
        "parameters": cells["params"].to_numpy(),
    }


def _percent(values: "pd.Series[float]", path: Path) -> Values:
    found = values.to_numpy(dtype=np.float64)
    if not ((found >= 0) & (found <= 1)).all():
        raise DamagedFileError(
            f"{path} has accuracies in {values.name} that are not in 0..1: get it again"
        )
    return np.asarray(_PERCENT * found, np.float64)

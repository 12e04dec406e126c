"""Read the official files of NAS-Bench-101 (Ying et al., ICML 2019), one training per record.

Neither TensorFlow nor the package `nasbench` is needed.
"""

import binascii
import json
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from untrained.errors import DamagedFileError

#: Lengths of training; each cell was trained three times for each.
EPOCHS = (4, 12, 36, 108)
HASH = re.compile(r"[0-9a-f]{32}")
_LONGEST_RECORD = 1 << 20  # bytes; the official ones have a few hundred
_EVALUATIONS = 3  # before training, after half of it, at its end


class Training(NamedTuple):
    """One record of an official file.

    Attributes:
        module_hash: the hash of the cell.
        epochs: the length of the training.
        valid: the accuracy on the 10,000 validation images at the end, in 0..1.
        test: the accuracy on the test images at the end, in 0..1.
        seconds: the duration of the training.
        parameters: the number of trainable scalars.
    """

    module_hash: str
    epochs: int
    valid: float
    test: float
    seconds: float
    parameters: int


def records(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Yield the records of a TFRecord file.

    A record has its length (8 bytes, little endian), the checksum of the length (4), the data and
    the checksum of the data (4). A checksum is a CRC-32C, rotated by 15 bits, plus a constant.

    Raises:
        DamagedFileError: the file is truncated, or a checksum is wrong.
    """
    import google_crc32c

    def checksum(data: bytes) -> int:
        plain: int = google_crc32c.value(data)
        return ((plain >> 15 | plain << 17) + 0xA282EAD8) & 0xFFFFFFFF

    number = 0
    while header := file.read(12):
        length = int.from_bytes(header[:8], "little")
        if checksum(header[:8]) != int.from_bytes(header[8:], "little") or length > _LONGEST_RECORD:
            raise DamagedFileError(f"record {number} of {name} has no valid length: get it again")
        data, stored = file.read(length), file.read(4)
        if len(data) < length or checksum(data) != int.from_bytes(stored, "little"):
            raise DamagedFileError(
                f"record {number} of {name} is incomplete or altered: get it again"
            )
        yield data
        number += 1


def training_of(record: bytes) -> Training:
    """Read a record: [module hash, epochs, adjacency, operations, metrics] in JSON.

    The metrics are a message in the wire format of Protocol Buffers, in base64. Its field 1 is an
    evaluation (before training, after half of the epochs, or at the end), 2 the number of
    parameters, 3 the total time. The fields of an evaluation are doubles: 1 the epoch, 2 the
    seconds of training, 3 to 5 the accuracies on training, validation and test images.

    Raises:
        Exception: the record has other content; the type of the error depends on it.
    """
    module_hash, epochs, _adjacency, _operations, encoded = json.loads(record)
    if not isinstance(module_hash, str) or not HASH.fullmatch(module_hash):
        raise ValueError(f"{module_hash!r} is not a module hash")
    if epochs not in EPOCHS:
        raise ValueError(f"{epochs!r} epochs instead of one of {', '.join(map(str, EPOCHS))}")
    metrics = _message(binascii.a2b_base64(encoded, strict_mode=True))
    evaluations = metrics.get(1, [])
    if len(evaluations) != _EVALUATIONS:
        raise ValueError(f"{len(evaluations)} evaluations instead of {_EVALUATIONS}")
    # The evaluation after half of the epochs is ignored: the learning rate is not annealed then, so
    # it does not represent a training of that length.
    last = _message(evaluations[-1])
    epoch, seconds, _train, valid, test = (_double(last, field) for field in range(1, 6))
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
        raise ValueError(f"field {field} of an evaluation is not a double")
    return value


def _message(data: bytes) -> dict[int, list[Any]]:
    """Return the fields of a message; bytes may be messages themselves."""
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
    """Return an integer, stored in groups of seven bits, lowest first, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("an integer of more than ten bytes")

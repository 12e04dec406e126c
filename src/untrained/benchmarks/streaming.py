"""Read the official NAS-Bench-201 file, one architecture in memory at a time.

The file is one pickle of 2 to 5 GB, which would become some 30 GB of Python objects, and a pickle
may run any code that it names. This reader builds only numbers, text and containers of them, and
frees each architecture as soon as it has been consumed.
"""

import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from untrained.benchmarks.unpickler import CHUNK, Consumer, StreamingUnpickler
from untrained.files import reading

_ZIP_START = b"PK\x03\x04"
_PICKLE = re.compile(r"[^/]+/data\.pkl")
# The first of the five pickles of a file in PyTorch's older format.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def stream(path: Path, consume: Consumer, report: Callable[[int], None]) -> object:
    """Read an official file, in either format of PyTorch.

    Args:
        path: the file.
        consume: called with each complete {"full": ..., "less": ...}, in the order of the file;
            returns the index of the architecture.
        report: called with the number of bytes read so far, after each architecture.

    Returns:
        The object in the file, with {"index": index} for each architecture.

    Raises:
        DamagedFileError: the file is truncated, malformed, or names a global that no data needs.
    """
    with (
        reading(f"{path.name} is not a complete PyTorch file of data"),
        path.open("rb") as file,
    ):
        if file.read(len(_ZIP_START)) == _ZIP_START:
            return _read_zip(file, path.name, consume, report)
        file.seek(0)
        return _read_legacy(file, path.name, consume, report)


def _read_zip(
    file: BinaryIO, name: str, consume: Consumer, report: Callable[[int], None]
) -> object:
    """The newer format: a ZIP archive with the pickle in TOP/data.pkl; nothing is extracted."""
    with zipfile.ZipFile(file) as archive:
        (pickled,) = (one for one in archive.namelist() if _PICKLE.fullmatch(one))
        with archive.open(pickled) as content:
            reader = StreamingUnpickler(cast("BinaryIO", content), name, consume, report)
            result = reader.load()
            while content.read(CHUNK):  # its checksum is compared at the very end
                pass
            return result


def _read_legacy(
    file: BinaryIO, name: str, consume: Consumer, report: Callable[[int], None]
) -> object:
    """The older format: magic number, protocol, system, the object, keys of its storages."""
    reader = StreamingUnpickler(file, name, consume, report)
    if reader.load() != _LEGACY_MAGIC:
        raise pickle.UnpicklingError("no magic number")
    reader.load()
    reader.load()
    result = reader.load()
    reader.load()
    return result

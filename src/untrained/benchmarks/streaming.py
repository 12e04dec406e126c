"""Read the official NAS-Bench-201 file, one architecture in memory at a time.

The file is one pickle of 2 to 5 GB that would be some 30 GB of Python objects, and a pickle may run
any code that it names. This reader builds only numbers, text and containers of them, hands over
each architecture as soon as it is complete and lets go of it.
"""

import pickle
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from untrained.benchmarks.unpickler import CHUNK, Consumer, StreamingUnpickler
from untrained.errors import DamagedFileError

#: What malformed pickles make the unpickler raise, and odd data its reader.
MALFORMED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    TypeError,
    ValueError,
    struct.error,
)

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
        DamagedFileError: truncated, malformed, or it names a global that no data needs.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_ZIP_START)) == _ZIP_START:
                return _read_zip(file, path.name, consume, report)
            file.seek(0)
            return _read_legacy(file, path.name, consume, report)
    except MALFORMED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DamagedFileError(
            f"{path.name} is not a complete PyTorch file of data ({reason}): get it again"
        ) from error


def _read_zip(
    file: BinaryIO, name: str, consume: Consumer, report: Callable[[int], None]
) -> object:
    """The newer format: a ZIP archive with the pickle, stored, in TOP/data.pkl."""
    with zipfile.ZipFile(file) as archive:
        for entry in archive.namelist():
            if entry.startswith("/") or "\\" in entry or ".." in entry.split("/"):
                raise DamagedFileError(f"{name} has the unsafe entry {entry!r}: get it again")
        found = [info for info in archive.infolist() if _PICKLE.fullmatch(info.filename)]
        if len(found) != 1:
            raise zipfile.BadZipFile(f"{len(found)} pickles in the archive")
        if found[0].compress_type != zipfile.ZIP_STORED or found[0].flag_bits & 1:
            raise zipfile.BadZipFile("a compressed or encrypted pickle")
        if found[0].header_offset < 0:  # the module lets it through to the system
            raise zipfile.BadZipFile("an entry outside of the archive")
        with archive.open(found[0]) as content:
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

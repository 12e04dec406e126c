"""Standard paths, atomic writes, and reading with errors for the user."""

import fcntl
import hashlib
import math
import os
import platform
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from untrained.errors import DamagedFileError, MissingDataError, UntrainedError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

_PACKAGED = Path(__file__).parent / "bundled"

#: Files that come with the project, in the package of a wheel or in `data/` of a checkout.
BUNDLED = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "data" / "bundled"
#: The figures of papers, as CSV files.
PUBLISHED = BUNDLED.with_name("published")

#: Of this machine, whose processes alone can be seen here: other machines may share the files.
_HOST = f"{zlib.crc32(platform.node().encode()):08x}"

#: Folders of a run, relative to the working directory.
BENCHMARKS = Path("data/benchmarks")
DEVICES = Path("data/devices")
IMAGES = Path("data/images")
SCORES = Path("results/scores")


#: The most bytes of the arrays of an .npz; Imagenette's have 2.0 GB.
LARGEST_ARRAYS = 8 << 30

#: The most values of a table that is read at once; those of scores of all cells have some millions.
LARGEST_TABLE = 1_000_000_000


def check_target(target: Path) -> None:
    """Raise the error before long work that `atomic` would raise after it.

    Raises:
        UntrainedError: the path is a folder, a device or the like, or no file can be made in its
            folder.
    """
    check_plain(target)
    _check_folder(target.parent, target)


def check_plain(target: Path) -> None:
    """Raise an error where writing would replace what is no plain file.

    Raises:
        UntrainedError: the path is a folder, a device, a pipe or the like, or can't be looked at.
    """
    try:
        if not target.exists() or target.is_file():
            return
        kind = "it is a folder" if target.is_dir() else "it is no plain file"
    except OSError as error:
        raise UntrainedError(f"cannot write {target}: {error.strerror}") from error
    raise UntrainedError(f"cannot write {target}: {kind}, name a file")


def check_folder(folder: Path) -> None:
    """Raise the error before long work that files in a folder would raise after it.

    Raises:
        UntrainedError: the folder can't be made, or no file can be made in it.
    """
    _check_folder(folder, folder)


def _check_folder(folder: Path, named: Path) -> None:
    folder = folder.absolute()
    try:
        there = next(one for one in (folder, *folder.parents) if one.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UntrainedError(f"cannot write {named}: {error.strerror}") from error


@contextmanager
def atomic(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`, which replaces it if the block succeeds.

    If the block fails, the temporary file is deleted.

    Raises:
        UntrainedError: the disk is full, the folder can't be written, or the target is no plain
            file.
    """
    check_plain(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        own = f".{target.name}.{_HOST}-"
        for left in target.parent.glob(f"{escape(own)}[0-9]*.part-*"):  # by a kill
            if not Path("/proc", left.name.removeprefix(own).partition(".")[0]).exists():
                left.unlink(missing_ok=True)
        prefix = f"{own}{os.getpid()}.part-"
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix)
    except OSError as error:
        raise UntrainedError(f"cannot write {target}: {error.strerror}") from error
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        part.replace(target)
    except OSError as error:
        raise UntrainedError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def write_parquet(table: "pd.DataFrame", target: Path) -> None:
    """Write a table atomically as parquet, compressed by zstd and without an index.

    Equal tables give equal bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
    with atomic(target) as part:
        # one flipped bit would otherwise be another number, which nothing shows
        checked = {"write_page_checksum": True}
        pq.write_table(arrow, part, compression="zstd", compression_level=19, **checked)


@contextmanager
def alone_in(folder: Path, tell: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """Let one process at a time, of those that ask, write in a folder.

    Args:
        folder: the folder, which is made if it is not there.
        tell: takes the message that this process waits.

    Raises:
        UntrainedError: the folder can't be made.
    """
    try:
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise UntrainedError(f"cannot write {folder}: {error.strerror}") from error
    try:
        with suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                tell(f"waiting for another process that writes into {folder}")
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
        if made:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def absent(path: Path) -> str:
    """Return what is wrong with a path that is no file, for a message."""
    return f"{path} is no plain file" if path.exists() else f"{path} does not exist"


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of a file of a known kind.

    Raises:
        MissingDataError: there is no such plain file.
        DamagedFileError: it has more than `most` bytes, or can't be read.
    """
    if not path.is_file():
        raise MissingDataError(f"{absent(path)}: name a file")
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise DamagedFileError(f"{path} can't be read: {error.strerror}") from error
    if len(content) > most:
        raise DamagedFileError(
            f"{path} has more than {most / 2**20:,.0f} MiB, too much for such a file: name another"
        )
    return content


@contextmanager
def arrays_in(path: Path) -> "Iterator[Mapping[str, NDArray[Any]]]":
    """Open the arrays of an .npz, none of which is read before it is asked for.

    Raises:
        ValueError: an array has not the bytes that it says, or the arrays have more than
            `LARGEST_ARRAYS` in all; other errors of a malformed file are NumPy's.
    """
    import numpy as np

    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(one.file_size for one in members) > LARGEST_ARRAYS:
            raise ValueError(f"it has more than {LARGEST_ARRAYS >> 30} GiB")
        for member in members:
            with archive.open(member) as file:
                first = np.lib.format.read_magic(file) == (1, 0)
                header = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
                shape, _, kind = header[not first](file)
                if math.prod(shape) * kind.itemsize != member.file_size - file.tell():
                    raise ValueError(f"{member.filename} has not the shape {shape}")
    with np.load(path, allow_pickle=False) as file:
        yield file


def read_parquet(
    path: Path, columns: Sequence[str] | Mapping[str, str] | None = None
) -> "pd.DataFrame":
    """Read a parquet file, whose checksums are compared where it has any.

    Args:
        path: the file.
        columns: the columns to read, or their types as those of `untrained.scoring.columns`; None
            for all.

    Raises:
        MissingDataError: there is no such file.
        DamagedFileError: the file is not parquet, lacks one of `columns`, has one of another kind,
            or lacks a value that is no decimal number.
    """
    import pandas as pd

    with _reading_parquet(path, columns) as schema:
        names = None if columns is None else list(columns)
        table = pd.read_parquet(path, columns=names, page_checksum_verification=True)
        for name, kind in columns.items() if isinstance(columns, Mapping) else ():
            if not _is_of_kind(schema.field(name).type, kind):
                raise ValueError(f"{name} is of type {schema.field(name).type}, not {kind}")
            if not kind.startswith("float") and table[name].isna().any():
                raise ValueError(f"{name} is missing in places")
        return table


def _is_of_kind(kind: "pa.DataType", wanted: str) -> bool:
    """Return whether a type of Arrow is one of text, of integers, of decimals, or of truth."""
    import pyarrow.types as types

    if types.is_dictionary(kind):
        kind = kind.value_type
    if wanted == "str":
        return bool(types.is_string(kind) or types.is_large_string(kind))
    if wanted == "bool":
        return bool(types.is_boolean(kind))
    whole = bool(types.is_integer(kind))
    return whole or (wanted.startswith("float") and bool(types.is_floating(kind)))


def read_parquet_parts(path: Path, rows: int, categories: list[str]) -> "Iterator[pd.DataFrame]":
    """Read a parquet file in parts, for files that are too large for memory.

    Args:
        path: the file.
        rows: the largest number of rows of a part.
        categories: columns of text with few different values, which are read as categoricals.

    Raises:
        MissingDataError: there is no such file.
        DamagedFileError: the file is not parquet.
    """
    import pyarrow.parquet as pq

    with _reading_parquet(path) as schema:
        there = [name for name in categories if name in schema.names]
        checked = {"page_checksum_verification": True}
        with pq.ParquetFile(path, read_dictionary=there, **checked) as file:
            for batch in file.iter_batches(batch_size=rows):
                yield batch.to_pandas()


@contextmanager
def _reading_parquet(
    path: Path, columns: Sequence[str] | Mapping[str, str] | None = None
) -> "Iterator[pa.Schema]":
    """Yield the schema of a file that is plausible, and turn any error into one line."""
    import pyarrow.parquet as pq

    if not path.is_file():
        raise MissingDataError(absent(path))
    # without its deletion Snakemake's output cache would restore the damaged file
    link = f"; it is a link, delete {path.resolve()} too" if path.is_symlink() else ""
    with reading(f"{path} is damaged", f"delete it and make it again{link}"):
        metadata = pq.read_metadata(path)
        schema = metadata.schema.to_arrow_schema()
        if lacking := [name for name in columns or () if name not in schema.names]:
            raise DamagedFileError(
                f"{path} is damaged (it lacks {', '.join(lacking)}, it has "
                f"{_listed(schema.names)}): make it again, or name another file{link}"
            )
        # no checksum covers the numbers of rows
        groups = map(metadata.row_group, range(metadata.num_row_groups))
        if sum(group.num_rows for group in groups) != metadata.num_rows:
            raise ValueError("its parts have other numbers of rows than the whole")
        # a few bytes can stand for many rows
        values = metadata.num_rows * len(columns or schema.names)
        if values > LARGEST_TABLE:
            raise ValueError(f"it has {values} values, and at most {LARGEST_TABLE} are read")
        yield schema


@contextmanager
def reading(damage: str, remedy: str = "get it again") -> Iterator[None]:
    """Turn any error that malformed content causes into one line for the user.

    Args:
        damage: what is wrong if the block fails, such as "cells.npz is no archive of arrays".
        remedy: what the user can do.

    Raises:
        DamagedFileError: the block raised an exception that is no `UntrainedError`.
    """
    try:
        yield
    except UntrainedError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise DamagedFileError(f"{damage} ({reason}): {remedy}") from error


def _listed(names: list[str]) -> str:
    """Join the first twelve names."""
    return ", ".join([*names[:12], *(["..."] if len(names) > 12 else [])]) or "no columns"


def digest(path: Path, algorithm: str) -> str:
    """Return the hexadecimal digest of a file by an algorithm (`md5`, `sha256`, ...)."""
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()

"""Standard paths, atomic writes, and reading with errors for the user."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from untrained.errors import DamagedFileError, MissingDataError, UntrainedError

if TYPE_CHECKING:
    import pandas as pd

_PACKAGED = Path(__file__).parent / "bundled"

#: Files that come with the project, in the package of a wheel or in `data/` of a checkout.
BUNDLED = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "data" / "bundled"
#: The figures of papers, as CSV files.
PUBLISHED = BUNDLED.with_name("published")

#: Folders of a run, relative to the working directory.
BENCHMARKS = Path("data/benchmarks")
IMAGES = Path("data/images")
SCORES = Path("results/scores")


def check_target(target: Path) -> None:
    """Raise the error before long work that `atomic` would raise after it.

    Raises:
        UntrainedError: the path is a folder, or no file can be made in its folder.
    """
    if target.is_dir():
        raise UntrainedError(f"cannot write {target}: it is a folder, name a file")
    _check_folder(target.parent, target)


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
        UntrainedError: the disk is full or the folder can't be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
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
        pq.write_table(arrow, part, compression="zstd", compression_level=19)


def read_parquet(path: Path, columns: list[str] | None = None) -> "pd.DataFrame":
    """Read a parquet file.

    Raises:
        MissingDataError: there is no such file.
        DamagedFileError: the file is not parquet, or lacks one of `columns`.
    """
    import pandas as pd
    import pyarrow.parquet as pq

    with _reading_parquet(path):
        if columns is not None:
            there = pq.read_schema(path).names
            if lacking := [name for name in columns if name not in there]:
                raise DamagedFileError(
                    f"{path} is damaged (it lacks {', '.join(lacking)}, it has {_listed(there)}): "
                    "make it again, or name another file"
                )
        return pd.read_parquet(path, columns=columns)


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

    with _reading_parquet(path):
        there = [name for name in categories if name in pq.read_schema(path).names]
    with _reading_parquet(path), pq.ParquetFile(path, read_dictionary=there) as file:
        for batch in file.iter_batches(batch_size=rows):
            yield batch.to_pandas()


@contextmanager
def _reading_parquet(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise MissingDataError(f"{path} does not exist")
    with reading(f"{path} is damaged", "delete it and make it again"):
        yield


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

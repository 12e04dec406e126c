"""The schema of a benchmark table, and how one is written, read and validated.

One row says what one training run (or the mean over runs) of one architecture gave. Costs that do
not depend on the run are repeated in some rows of a data set only; a reader takes the first value
that is there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from untrained.errors import DamagedFileError
from untrained.files import atomic, read_parquet_parts
from untrained.spaces import get_space

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

#: `cifar10-valid` trains on 25,000 images, `cifar10` on all 50,000.
DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
#: Of `cifar100` and `ImageNet16-120`, `ori-test` is `x-valid` and `x-test` together.
SPLITS = ("x-valid", "ori-test", "x-test")

#: Called with the bytes done and the bytes in all.
Progress = Callable[[int, int], None]
#: Data set, split, epochs, seed.
Group = tuple[str, str, int, str]
KEYS = ("dataset", "split", "epochs", "seed")
COSTS = ("parameters", "flops", "latency_seconds")
#: Column to Arrow type, in the order of the file.
COLUMNS: Mapping[str, str] = {
    "arch": "int32",
    "dataset": "string",
    "split": "string",
    "epochs": "int16",
    "seed": "string",
    "accuracy": "float64",
    "train_seconds": "float64",
    "valid_seconds": "float64",
    "parameters": "int64",
    "flops": "float64",
    "latency_seconds": "float64",
}
#: Rows that are in memory at a time; all of NAS-Bench-101 are 13.6 million.
_PART = 1 << 18
_NOT_NULL = ("arch", *KEYS, "accuracy")
_NOT_NEGATIVE = ("arch", "train_seconds", "valid_seconds", *COSTS)


def write_table(columns: "Mapping[str, Sequence[Any]] | pd.DataFrame", target: Path) -> None:
    """Sort a benchmark table and write it as parquet (zstd, atomic).

    Each column has the encoding that is smallest for it: with the default ones the table of
    NAS-Bench-201 is 55 % larger. The same values give the same bytes.

    Args:
        columns: the columns of `COLUMNS`, all of one length; null is None or NaN.
        target: the file to write.

    Raises:
        UntrainedError: the file can't be written.
    """
    table = _arrow(columns).sort_by([(name, "ascending") for name in (*KEYS, "arch")])
    with atomic(target) as part, _writer(part) as writer:
        writer.write_table(table.combine_chunks())


def write_groups(groups: "Iterable[Mapping[str, Any]]", target: Path) -> None:
    """Write a benchmark table that is too large to be in memory twice, group by group.

    Args:
        groups: in the order of `KEYS`, of one data set, split, epochs and seed each: those as
            single values, the other columns sorted by architecture. What is left out is null.
        target: the file to write.

    Raises:
        UntrainedError: the file can't be written.
    """
    with atomic(target) as part, _writer(part) as writer:
        for group in groups:
            length = len(group["arch"])
            columns = {name: [group.get(name)] * length for name in COLUMNS}
            columns |= {name: group[name] for name in group if name not in KEYS}
            writer.write_table(_arrow(columns))


def _arrow(columns: "Mapping[str, Sequence[Any]] | pd.DataFrame") -> "pa.Table":
    import pyarrow as pa

    types = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64()}
    types |= {"int32": pa.int32(), "int16": pa.int16()}
    arrays = {
        name: pa.array(columns[name], type=types[kind], from_pandas=True)
        for name, kind in COLUMNS.items()
    }
    return pa.table(arrays)


def _writer(target: Path) -> "pq.ParquetWriter":
    import pyarrow.parquet as pq

    encodings = {
        "arch": "DELTA_BINARY_PACKED",
        "accuracy": "PLAIN",
        "valid_seconds": "BYTE_STREAM_SPLIT",
        "latency_seconds": "PLAIN",
    }
    return pq.ParquetWriter(
        target,
        _arrow({name: [] for name in COLUMNS}).schema,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in COLUMNS if name not in encodings],
        column_encoding=encodings,
    )


def is_table(path: Path) -> bool:
    """Whether a file is meant for a benchmark table: a parquet file with the first of its columns.

    Other tables may be a benchmark's official or published form, which its converter knows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix != ".parquet":
        return False
    try:
        return "arch" in pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError):
        return True  # damaged: `read_table` says how


def read_table(path: Path, space: str) -> "pd.DataFrame":
    """Read a benchmark table and check it.

    Args:
        path: a parquet file.
        space: the space that its indices refer to.

    Returns:
        The columns of `COLUMNS`, one row per (arch, data set, split, epochs, seed).

    Raises:
        MissingDataError: there is no such file.
        DamagedFileError: it is not a benchmark table, or holds impossible values.
    """
    import pandas as pd

    texts = [name for name, kind in COLUMNS.items() if kind == "string"]
    parts = [part.astype(dict.fromkeys(texts, str)) for part, _ in _parts(path, space)]
    return pd.concat(parts, ignore_index=True)


def read_groups(path: Path, space: str) -> "Iterator[tuple[Group, Mapping[str, NDArray[Any]]]]":
    """Read a benchmark table as `read_table` does, some rows at a time.

    Yields:
        A group, and of some of its rows the columns that are not `KEYS`; a group may come again
        with other architectures.
    """
    for part, groups in _parts(path, space):
        columns = {name: part[name].to_numpy() for name in COLUMNS if name not in KEYS}
        for group, rows in groups.items():
            yield group, {name: values[rows] for name, values in columns.items()}


def check_table(path: Path, space: str) -> None:
    """Raise what `read_table` raises."""
    for _ in _parts(path, space):
        pass


def _parts(path: Path, space: str) -> "Iterator[tuple[pd.DataFrame, dict[Group, NDArray[Any]]]]":
    """The rows of a table, checked, and the places of each group among them.

    Raises:
        DamagedFileError: see `read_table`.
    """
    seen: dict[Group, NDArray[np.bool_]] = {}
    size = get_space(space).tabulated(path)
    texts = [name for name, kind in COLUMNS.items() if kind == "string"]
    count = 0
    for part in read_parquet_parts(path, _PART, texts):
        count += len(part)
        problem = _problem(part, size)
        groups = {} if problem else _groups(part)
        problem = problem or _repeated(part["arch"].to_numpy(), groups, seen)
        if problem:
            raise DamagedFileError(f"{path} is not a benchmark table of {space}: {problem}")
        yield part, groups
    if not count:
        raise DamagedFileError(f"{path} is not a benchmark table of {space}: it has no rows")


def _groups(part: "pd.DataFrame") -> dict[Group, NDArray[Any]]:
    indices = part.groupby(list(KEYS), observed=True).indices
    return {
        (str(dataset), str(split), int(epochs), str(seed)): rows
        for (dataset, split, epochs, seed), rows in cast("dict[Group, Any]", indices).items()
    }


def _repeated(
    arch: NDArray[Any], groups: dict[Group, NDArray[Any]], seen: dict[Group, NDArray[np.bool_]]
) -> str | None:
    """The first row that there is twice, in words, or None; `seen` keeps which there are."""
    for group, rows in groups.items():
        own = arch[rows]
        flags = seen.get(group, np.zeros(0, bool))
        flags = np.pad(flags, (0, max(0, int(own.max()) + 1 - flags.size)))
        again = own[flags[own]]
        known = np.count_nonzero(flags)
        flags[own] = True
        if again.size == 0 and np.count_nonzero(flags) < known + own.size:
            values, counts = np.unique(own, return_counts=True)
            again = values[counts > 1]
        if again.size:
            return f"architecture {again[0]} has {'/'.join(map(str, group))} twice"
        seen[group] = flags
    return None


def _problem(table: "pd.DataFrame", size: int | None) -> str | None:
    """The first thing wrong with a table, in words, or None."""
    if list(table.columns) != list(COLUMNS):
        return f"its columns are {', '.join(map(str, table.columns))}, not {', '.join(COLUMNS)}"
    for name, kind in COLUMNS.items():
        is_text = table[name].dtype.kind not in "iuf"
        if is_text != (kind == "string"):
            return f"column {name} holds {table[name].dtype}, not {kind}"
    for name in _NOT_NULL:
        if table[name].isna().any():
            return f"column {name} has nulls"
    return _impossible_value(table, size)


def _impossible_value(table: "pd.DataFrame", size: int | None) -> str | None:
    accuracy = table["accuracy"].to_numpy()
    outside = ~((accuracy >= 0) & (accuracy <= 100))
    if outside.any():
        return f"accuracy {accuracy[outside][0]} is not in 0..100 percent"
    for name in _NOT_NEGATIVE:
        values = table[name].to_numpy(dtype=float)
        wrong = (values < 0) | np.isinf(values)
        if wrong.any():
            return f"{name} {values[wrong][0]:g} is not a finite number from 0 up"
    if size is not None and table["arch"].max() >= size:
        return f"architecture {table['arch'].max()} is beyond the last, {size - 1}"
    return None

"""The schema of a benchmark table, and how one is written, read and validated.

A row is one training run of one architecture, or the mean over its runs. Costs that do not depend
on the run are in some rows of a data set only.
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

#: A function that is called with the number of bytes done and the total.
Progress = Callable[[int, int], None]
#: (data set, split, epochs, seed): the trainings of a column of accuracies.
Group = tuple[str, str, int, str]
KEYS = ("dataset", "split", "epochs", "seed")
COSTS = ("parameters", "flops", "latency_seconds")
#: Maps each column, in the order of the file, to its Arrow type.
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
#: The number of rows that are read at a time; the table of NAS-Bench-101 may have 13.6 million.
_PART = 1 << 18
_TEXTS = tuple(name for name, kind in COLUMNS.items() if kind == "string")


def write_table(columns: "Mapping[str, Any] | pd.DataFrame", target: Path) -> None:
    """Sort a benchmark table and write it as parquet (zstd, atomic).

    Args:
        columns: some of `COLUMNS`, of one length, where None and NaN are null. A single value
            fills its column, and a column that is left out is null.
        target: the file to write.

    Raises:
        UntrainedError: the file cannot be written.
    """
    write_tables([arrow_table(columns)], target)


def write_tables(tables: "Sequence[pa.Table]", target: Path) -> None:
    """Sort the rows of tables of `arrow_table` and write them; see `write_table`."""
    import pyarrow as pa

    whole = pa.concat_tables(tables).sort_by([(name, "ascending") for name in (*KEYS, "arch")])
    with atomic(target) as part, _writer(part) as writer:
        writer.write_table(whole.combine_chunks())


def write_groups(groups: Iterable[Mapping[str, Any]], target: Path) -> None:
    """Write a benchmark table group by group, so that it is never in memory as a whole.

    Args:
        groups: columns as `write_table` takes them, of one data set, split, epochs and seed each,
            in the order of `KEYS` and sorted by architecture.
        target: the file to write.

    Raises:
        UntrainedError: the file cannot be written.
    """
    with atomic(target) as part, _writer(part) as writer:
        for group in groups:
            writer.write_table(arrow_table(group))


def arrow_table(columns: "Mapping[str, Any] | pd.DataFrame") -> "pa.Table":
    """Make a table of all `COLUMNS`; see `write_table` for the argument."""
    import pyarrow as pa

    arrays = {}
    for name, kind in COLUMNS.items():
        values, of = columns.get(name), pa.type_for_alias(kind)
        if values is None or isinstance(values, str | int):
            arrays[name] = pa.repeat(pa.scalar(values, of), len(columns["arch"]))
        else:
            arrays[name] = pa.array(values, type=of, from_pandas=True)
    return pa.table(arrays)


def _writer(target: Path) -> "pq.ParquetWriter":
    import pyarrow.parquet as pq

    # the smallest encoding of each column: with the default ones the table of NAS-Bench-201 is
    # 55 % larger
    encodings = {
        "arch": "DELTA_BINARY_PACKED",
        "accuracy": "PLAIN",
        "valid_seconds": "BYTE_STREAM_SPLIT",
        "latency_seconds": "PLAIN",
    }
    return pq.ParquetWriter(
        target,
        arrow_table({"arch": []}).schema,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in COLUMNS if name not in encodings],
        column_encoding=encodings,
        write_page_checksum=True,
    )


def is_table(path: Path) -> bool:
    """Tell whether a path is a benchmark table: a parquet file with the column `arch`.

    Other parquet files may be a published form of a benchmark, which its converter reads.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix != ".parquet" or not path.is_file():
        return False
    try:
        return "arch" in pq.read_schema(path).names
    except (pa.ArrowInvalid, OSError):
        return True  # the file is damaged, which `check_table` reports


def read_table(path: Path, space: str) -> "pd.DataFrame":
    """Read a benchmark table and check it.

    Args:
        path: a parquet file.
        space: the name of the space whose architectures it has.

    Returns:
        The columns of `COLUMNS`, one row per (arch, data set, split, epochs, seed).

    Raises:
        MissingDataError: there is no such file.
        DamagedFileError: the file is not a benchmark table, or has impossible values.
    """
    import pandas as pd

    parts = [part.astype(dict.fromkeys(_TEXTS, str)) for part, _ in _parts(path, space)]
    return pd.concat(parts, ignore_index=True)


def read_groups(path: Path, space: str) -> Iterator[tuple[Group, Mapping[str, NDArray[Any]]]]:
    """Read and check a benchmark table some rows at a time, as `read_table` does with the whole.

    Yields:
        A group and the columns other than `KEYS` of some of its rows. A group may come several
        times, each time with other architectures.
    """
    for part, groups in _parts(path, space):
        columns = {name: part[name].to_numpy() for name in COLUMNS if name not in KEYS}
        for group, rows in groups.items():
            yield group, {name: values[rows] for name, values in columns.items()}


def check_table(path: Path, space: str) -> None:
    """Check a benchmark table; the errors are those of `read_table`."""
    for _ in _parts(path, space):
        pass


def _parts(path: Path, space: str) -> "Iterator[tuple[pd.DataFrame, dict[Group, NDArray[Any]]]]":
    """Yield some checked rows of a table, and the positions of each group among them."""
    seen: dict[Group, NDArray[np.bool_]] = {}
    size = get_space(space).tabulated(path)
    problem: str | None = "it has no rows"
    for part in read_parquet_parts(path, _PART, list(_TEXTS)):
        groups = {}
        problem = _problem(part, size)
        if not problem:
            indices = part.groupby(list(KEYS), observed=True).indices
            groups = {
                (str(dataset), str(split), int(epochs), str(seed)): rows
                for (dataset, split, epochs, seed), rows in cast(
                    "dict[Group, Any]", indices
                ).items()
            }
            problem = _repeated(part["arch"].to_numpy(), groups, seen)
        if problem:
            break
        yield part, groups
    if problem:
        raise DamagedFileError(f"{path} is not a benchmark table of {space}: {problem}")


def _repeated(
    arch: NDArray[Any], groups: dict[Group, NDArray[Any]], seen: dict[Group, NDArray[np.bool_]]
) -> str | None:
    """Describe the first repeated row, or return None, having added the rows to `seen`."""
    for group, rows in groups.items():
        values, counts = np.unique(arch[rows], return_counts=True)
        flags = seen.get(group, np.zeros(0, bool))
        flags = np.pad(flags, (0, max(0, int(values[-1]) + 1 - flags.size)))
        again = values[flags[values] | (counts > 1)]
        if again.size:
            return f"architecture {again[0]} has {'/'.join(map(str, group))} twice"
        flags[values] = True
        seen[group] = flags
    return None


def _problem(table: "pd.DataFrame", size: int | None) -> str | None:
    """Describe the first thing that is wrong with a table, or return None."""
    if list(table.columns) != list(COLUMNS):
        return f"its columns are {', '.join(map(str, table.columns))}, not {', '.join(COLUMNS)}"
    for name, kind in COLUMNS.items():
        if (table[name].dtype.kind in "iuf") == (name in _TEXTS):
            return f"column {name} holds {table[name].dtype}, not {kind}"
        if name in (*KEYS, "arch", "accuracy") and table[name].isna().any():
            return f"column {name} has nulls"
    if (outside := ~table["accuracy"].between(0, 100)).any():
        return f"accuracy {table['accuracy'][outside].iloc[0]} is not in 0..100 percent"
    for name in ("arch", "train_seconds", "valid_seconds", *COSTS):
        values = table[name].to_numpy(dtype=float)
        wrong = (values < 0) | np.isinf(values)
        if wrong.any():
            return f"{name} {values[wrong][0]:g} is not a finite number from 0 up"
    if size is not None and table["arch"].max() >= size:
        return f"architecture {table['arch'].max()} is beyond the last, {size - 1}"
    return None

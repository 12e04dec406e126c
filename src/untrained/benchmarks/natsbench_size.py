"""Convert the official folder of NATS-Bench's size space (Dong et al., TPAMI 2021) to a table."""

import bz2
import operator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrained.benchmarks.runs import check_spellings, table_of_architecture
from untrained.benchmarks.table import Progress, write_table, write_tables
from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.files import absent, read_parquet, reading
from untrained.pickles import unpickle

if TYPE_CHECKING:
    import pyarrow as pa

_SPACE = "natsbench_size"
_FOLDER = "NATS-sss-v1_0-50262-simple"
_SUFFIX = ".pickle.pbz2"
_META = f"meta{_SUFFIX}"
#: Maps a training schedule to its epochs.
_LENGTHS = {"01": 1, "12": 12, "90": 90}
#: The most bytes of a decompressed file, some ten times the size of one architecture's runs.
_MOST = 16_000_000
#: Maps a data set to the split of its accuracies in the table of means.
_MEANS = {"cifar10": "ori-test", "cifar100": "x-test", "ImageNet16-120": "x-test"}


def convert(source: Path, target: Path, progress: Progress | None = None) -> None:
    """Convert the folder `NATS-sss-v1_0-50262-simple`, or a table of means, to a benchmark table.

    The folder holds `meta.pickle.pbz2` and a file `NNNNNN.pickle.pbz2` for each architecture: its
    runs of 1, 12 and 90 epochs (three separate schedules) on all data sets. The table has a row for
    each run and one for their mean, as that of `convert_nasbench201`. Files are read one at a time,
    by an unpickler that builds plain data only, and no more than 16 MB of each are decompressed.

    The official folder was not available, so this function was tested on files in the documented
    layout.

    A table of means is a parquet file with the columns `arch_index`, `arch_str`, `params_DATASET`
    and `test_acc90_DATASET` (percent, after 90 epochs; of cifar10 on `ori-test`, of cifar100 and
    ImageNet16-120 on `x-test`).

    Args:
        source: the folder, unpacked, or the table.
        target: the parquet file to write; nothing is written after an error.
        progress: see `untrained.benchmarks.fetch.Converter`.

    Raises:
        MissingDataError: the folder has no `meta.pickle.pbz2`.
        ParameterError: the source is neither a folder nor a `.parquet` file.
        DamagedFileError: files are missing, renamed, truncated, of other architectures than the
            space, or have other content altogether.
        UntrainedError: the target cannot be written.
    """
    if source.is_dir():
        write_tables(_read_folder(source, progress), target)
    elif source.suffix == ".parquet":
        write_table(_read_means(source), target)
    else:
        raise ParameterError(
            f"{source} is neither the official folder {_FOLDER} (unpack the archive) nor a "
            ".parquet table"
        )


def _read_folder(folder: Path, progress: Progress | None) -> "list[pa.Table]":
    if not (folder / _META).is_file():
        raise MissingDataError(f"{absent(folder / _META)}: name the official folder")
    meta: Any = _load(folder / _META)
    with reading(f"{_META} is not NATS-Bench's"):
        spellings = list(meta["meta_archs"])
        indices = sorted(map(operator.index, meta["evaluated_indexes"]))
        check_spellings(_META, _SPACE, spellings)
        if not indices or not 0 <= indices[0] <= indices[-1] < len(spellings):
            raise ValueError(f"it lists the architectures {indices[:1]} to {indices[-1:]}")
    paths = {index: folder / f"{index:06d}{_SUFFIX}" for index in indices}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise DamagedFileError(
            f"{folder} lacks {missing[0]} ({len(missing)} of {len(paths)} files are missing): "
            "unpack the official archive again"
        )
    total = sum(path.stat().st_size for path in paths.values())
    tables, done = [], 0
    for index, path in paths.items():
        states: Any = _load(path)
        *found, table = table_of_architecture(path.name, _SPACE, states, _LENGTHS)
        if found != [index, spellings[index]]:
            raise DamagedFileError(
                f"{path.name} has the runs of architecture {found}, instead of "
                f"{[index, spellings[index]]}: get it again"
            )
        tables.append(table)
        done += path.stat().st_size
        if progress:
            progress(done, total)
    return tables


def _load(path: Path) -> object:
    """Return the plain data in a compressed pickle.

    Raises:
        DamagedFileError: the file is truncated, malformed, larger than any official one, or names a
            global that is not allowed.
    """
    with reading(f"{path.name} is not a complete bzip2 file"), bz2.open(path) as file:
        content = file.read(_MOST + 1)
    if len(content) > _MOST:
        raise DamagedFileError(
            f"{path.name} holds more than {_MOST // 10**6} MB, more than the runs of any "
            "architecture: get it again"
        )
    return unpickle(content, path.name)


def _read_means(source: Path) -> dict[str, Any]:
    """Make the columns of a benchmark table from a table of means."""
    names = [f"{kind}_{dataset}" for dataset in _MEANS for kind in ("params", "test_acc90")]
    table = read_parquet(source, ["arch_index", "arch_str", *names])
    table = table.sort_values("arch_index", ignore_index=True)
    if not np.array_equal(table["arch_index"], np.arange(len(table))):
        raise DamagedFileError(
            f"{source} has {len(table)} rows that are not architectures 0 to {len(table) - 1}"
        )
    check_spellings(source.name, _SPACE, table["arch_str"].tolist())
    with reading(f"{source} has something else than numbers"):
        table[names] = table[names].astype(float)
    for name in names:
        most = np.inf if name.startswith("params") else 100
        wrong = ~table[name].between(0, most) | np.isinf(table[name])
        if wrong.any():
            raise DamagedFileError(
                f"{source} has {table[name][wrong].iloc[0]} as {name}: not in 0..{most:g}"
            )
    parts = [
        pd.DataFrame(
            {
                "arch": table["arch_index"],
                "dataset": dataset,
                "split": split,
                "accuracy": table[f"test_acc90_{dataset}"],
                "parameters": table[f"params_{dataset}"],
            }
        )
        for dataset, split in _MEANS.items()
    ]
    columns = dict(pd.concat(parts))
    return {**columns, "epochs": _LENGTHS["90"], "seed": "mean"}

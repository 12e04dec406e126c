"""Convert the official folder of NATS-Bench's size space (Dong et al., TPAMI 2021) to a table."""

import bz2
import operator
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from untrained.benchmarks.nasbench201 import Rows, check_spellings, rows_of
from untrained.benchmarks.streaming import MALFORMED
from untrained.benchmarks.table import DATASETS, Progress, write_table
from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.files import read_parquet
from untrained.pickles import unpickle
from untrained.spaces import get_space

_FOLDER = "NATS-sss-v1_0-50262-simple"
_SUFFIX = ".pickle.pbz2"
_META = f"meta{_SUFFIX}"
#: Key of a training schedule to its epochs.
_RUNS = {"01": 1, "12": 12, "90": 90}
_FULL = _RUNS["90"]
_PERFECT = 100.0  # percent
#: Bytes that one file may decompress to: some ten times what the runs of one architecture take.
_MOST = 16_000_000
_CHUNK = 1 << 16
_PARQUET_START = b"PAR1"

#: Data set to the split whose means the table of means holds.
_MEANS = {"cifar10": "ori-test", "cifar100": "x-test", "ImageNet16-120": "x-test"}
_MEAN_COLUMNS = (
    *("arch_index", "arch_str"),
    *(name for one in _MEANS for name in (f"params_{one}", f"test_acc90_{one}")),
)


def convert(
    source: Path,
    target: Path,
    progress: Progress | None = None,
    spellings: Sequence[str] | None = None,
    parameters: Sequence[int] | None = None,
) -> None:
    """Convert the folder `NATS-sss-v1_0-50262-simple`, or a table of means, to a benchmark table.

    The folder holds `meta.pickle.pbz2` and a file `NNNNNN.pickle.pbz2` for each architecture: its
    runs of 1, 12 and 90 epochs (three separate schedules) on all data sets. The table has a row for
    each run (its seed) and one for their mean, as `convert_nasbench201` makes them. Files are
    read one at a time, by an unpickler that builds plain data only, and are decompressed no
    further than to 16 MB.

    The layout is the documented one. The official folder itself was not at hand: not verified are
    the size and the contents of its files beyond what the authors' packages read of them.

    A table of means is a parquet file with the columns `arch_index`, `arch_str`, `params_DATASET`
    and `test_acc90_DATASET` (percent, after 90 epochs; of cifar10 on `ori-test`, of cifar100 and
    ImageNet16-120 on `x-test`).

    Args:
        source: the folder, unpacked, or the table.
        target: the parquet file to write; nothing is written unless all is well.
        progress: called with the bytes done and the bytes in all, as architectures are done.
        spellings: what the space calls its architectures, in the order of their indices; those of
            the source must agree.
        parameters: not needed, since the source has those spellings.

    Raises:
        MissingDataError: there is no such folder or file.
        ParameterError: it is neither.
        DamagedFileError: files are missing, superfluous, renamed, truncated or not what they
            should be.
        UntrainedError: the target can't be written.
    """
    del parameters
    if source.is_dir():
        write_table(_read_folder(source, progress, spellings).columns(), target)
    elif _is_parquet(source):
        write_table(_read_means(source, spellings), target)
    else:
        raise ParameterError(
            f"{source} is neither the official folder {_FOLDER} (unpack the archive) nor a "
            ".parquet table"
        )


def _is_parquet(source: Path) -> bool:
    if not source.is_file():
        raise MissingDataError(f"{source} does not exist: name the official folder {_FOLDER}")
    with source.open("rb") as file:
        return file.read(len(_PARQUET_START)) == _PARQUET_START


def _read_folder(folder: Path, progress: Progress | None, spellings: Sequence[str] | None) -> Rows:
    names, evaluated = _read_meta(folder / _META)
    _check_spellings(_META, names, spellings)
    paths = {index: folder / f"{index:06d}{_SUFFIX}" for index in sorted(evaluated)}
    _check_files(folder, [path.name for path in paths.values()])
    total = sum(path.stat().st_size for path in paths.values())
    rows, done = Rows(), 0
    for index, path in paths.items():
        _add_architecture(rows, path.name, index, names[index], _load(path))
        done += path.stat().st_size
        if progress:
            progress(done, total)
    return rows


def _read_meta(path: Path) -> tuple[list[str], set[int]]:
    """Spellings by index, and the indices that there are files of."""
    if not path.is_file():
        raise MissingDataError(f"{path} does not exist: name the official folder {_FOLDER}")
    meta = _load(path)
    keys = ("meta_archs", "evaluated_indexes")
    if not isinstance(meta, dict) or any(key not in meta for key in keys):
        raise DamagedFileError(f"{path.name} lacks {' or '.join(keys)}: it is not NATS-Bench's")
    names, evaluated = meta["meta_archs"], meta["evaluated_indexes"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DamagedFileError(f"{path.name} has no list of spellings: it is not NATS-Bench's")
    try:
        indices = {operator.index(index) for index in evaluated}
    except TypeError as error:
        raise DamagedFileError(f"{path.name} has no list of indices: {error}") from error
    outside = [index for index in sorted(indices) if not 0 <= index < len(names)]
    size = len(get_space("natsbench_size"))
    if outside or not indices or len(names) > size:
        wrong = f"architecture {outside[0]}" if outside else f"{len(indices)} architectures"
        raise DamagedFileError(
            f"{path.name} lists {wrong} of {len(names)}: the space has 0 to {size - 1}"
        )
    return names, indices


def _check_spellings(name: str, found: Sequence[str], spellings: Sequence[str] | None) -> None:
    if spellings is None:
        return
    if len(found) != len(spellings):
        raise DamagedFileError(
            f"{name} lists {len(found)} architectures: the space has {len(spellings)}"
        )
    check_spellings(name, found, spellings)


def _check_files(folder: Path, expected: Sequence[str]) -> None:
    missing = [name for name in expected if not (folder / name).is_file()]
    if missing:
        raise DamagedFileError(
            f"{folder} lacks {missing[0]} ({len(missing)} of {len(expected)} files are missing): "
            "unpack the official archive again"
        )
    # hidden files are those of the system that the folder lies on
    others = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    extra = sorted(others - {*expected, _META})
    if extra:
        raise DamagedFileError(
            f"{folder} has {extra[0]}, which {_META} does not list ({len(extra)} such files): "
            "unpack the official archive to a folder of its own"
        )


def _load(path: Path) -> object:
    """The plain data in a compressed pickle.

    Raises:
        DamagedFileError: truncated, malformed, larger than any official file, or it names a global
            that no data needs.
    """
    content = bytearray()
    decompressor = bz2.BZ2Decompressor()
    with path.open("rb") as file:
        while not decompressor.eof:
            piece = file.read(_CHUNK) if decompressor.needs_input else b""
            if decompressor.needs_input and not piece:
                raise DamagedFileError(f"{path.name} ends in the middle: get it again")
            try:
                content += decompressor.decompress(piece, _CHUNK)
            except OSError as error:
                raise DamagedFileError(
                    f"{path.name} is not a complete bzip2 file ({error}): get it again"
                ) from error
            if len(content) > _MOST:
                raise DamagedFileError(
                    f"{path.name} holds more than {_MOST // 10**6} MB, more than the runs of any "
                    "architecture: get it again"
                )
        if decompressor.unused_data or file.read(1):
            raise DamagedFileError(f"{path.name} goes on after its end: get it again")
    return unpickle(bytes(content), path.name)


def _add_architecture(rows: Rows, name: str, index: int, spelling: str, content: object) -> None:
    """Add the rows of one architecture.

    Args:
        rows: where to.
        name: of its file, for errors.
        index: that the file's name promises.
        spelling: of that index.
        content: of the file: key of a schedule to the state of an `ArchResults`.

    Raises:
        DamagedFileError: it is not what the official file holds.
    """
    from nas_201_api import ArchResults

    try:
        if not isinstance(content, dict):
            raise TypeError(f"a {type(content).__name__} instead of a dict")
        for key, epochs in _RUNS.items():
            if key not in content:
                raise ValueError(f"no runs of {epochs} epochs")
            state = content[key]
            if not isinstance(state, dict):  # the package takes text for the name of a file
                raise TypeError(f"a {type(state).__name__} as runs of {key}")
            results = ArchResults.create_from_state_dict(state)
            if (results.arch_index, results.arch_str) != (index, spelling):
                raise ValueError(
                    f"runs of architecture {results.arch_index}, {results.arch_str!r}, instead of "
                    f"{index}, {spelling!r}"
                )
            for row in _checked_rows(results, epochs):
                rows.append({"arch": index, **row})
    except MALFORMED as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DamagedFileError(f"{name} has unreadable results ({reason}): get it again") from error


def _checked_rows(results: Any, epochs: int) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - untyped
    known = [dataset for dataset in DATASETS if dataset in results.dataset_seed]
    if not known:
        raise ValueError(f"no runs of {epochs} epochs")
    for dataset in known:
        for row in rows_of(results, dataset, epochs):
            if not 0 <= row["accuracy"] <= _PERFECT:
                raise ValueError(f"the accuracy {row['accuracy']} is not in 0..100")
            yield row


def _read_means(source: Path, spellings: Sequence[str] | None) -> dict[str, Any]:
    """The columns of a benchmark table from a table of means."""
    table = read_parquet(source)
    if set(table.columns) != set(_MEAN_COLUMNS):
        raise DamagedFileError(
            f"{source} is no table of means: its columns are {', '.join(map(str, table.columns))}, "
            f"not {', '.join(_MEAN_COLUMNS)}"
        )
    table = table.sort_values("arch_index", ignore_index=True)
    if table.empty or not np.array_equal(table["arch_index"], np.arange(len(table))):
        raise DamagedFileError(
            f"{source} has {len(table)} rows that are not architectures 0 to {len(table) - 1}"
        )
    _check_spellings(source.name, table["arch_str"].tolist(), spellings)
    for name in _MEAN_COLUMNS[2:]:
        most = np.inf if name.startswith("params") else _PERFECT
        try:
            values = table[name].to_numpy(dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DamagedFileError(f"{source} has no numbers as {name}: {error}") from error
        wrong = ~((values >= 0) & (values <= most) & np.isfinite(values))
        if wrong.any():
            raise DamagedFileError(f"{source} has {values[wrong][0]} as {name}: not in 0..{most:g}")
    unknown = np.full(len(table) * len(_MEANS), np.nan)
    return {
        "arch": np.tile(table["arch_index"], len(_MEANS)),
        "dataset": np.repeat(list(_MEANS), len(table)),
        "split": np.repeat(list(_MEANS.values()), len(table)),
        "epochs": np.full(unknown.size, _FULL),
        "seed": ["mean"] * unknown.size,
        "accuracy": np.concatenate([table[f"test_acc90_{dataset}"] for dataset in _MEANS]),
        "parameters": np.concatenate([table[f"params_{dataset}"] for dataset in _MEANS]),
        **dict.fromkeys(("train_seconds", "valid_seconds", "flops", "latency_seconds"), unknown),
    }

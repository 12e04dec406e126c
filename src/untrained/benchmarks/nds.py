"""Make benchmark tables of the official files of NDS (Radosavovic et al., ICCV 2019).

The files are published with the code of the paper (github.com/facebookresearch/nds);
`untrained.benchmarks.nds_entries` describes their layout.
"""

import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from untrained.benchmarks.nds_entries import read_entries
from untrained.benchmarks.table import Progress, check_table, is_table, write_table
from untrained.download import download, join, local_path
from untrained.errors import ArchitectureError, DamagedFileError, DownloadError, MissingDataError
from untrained.files import absent, atomic, check_target, read_bounded, read_parquet
from untrained.spaces import get_space
from untrained.spaces.nds import architectures_beside, read_architectures, write_architectures
from untrained.spaces.nds_networks import SWEEPS, Network, parse_network

T = TypeVar("T")
#: The official archive. Its checksum is not known, so only the layout of the files is checked.
ADDRESS = "https://dl.fbaipublicfiles.com/nds/data.zip"
#: The name of the archive beside the tables.
ARCHIVE = "nds_data.zip"
#: A size in bytes that is far above that of every official file.
_MOST_BYTES = 2 << 30


def fetch_nds(
    space: str,
    target: Path,
    source: Path | None = None,
    mirror: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Write the benchmark table of an NDS space, and the list of its architectures beside it.

    They are made of the first of these that is given: `source`, `mirror`, or the official archive,
    which is kept beside the target for the other spaces.

    Args:
        space: the name of the space.
        target: the parquet file to write.
        source: a source of `convert_nds`, or a table that has its list beside it.
        mirror: a folder that has the table or the official file, or a base URL that has the file.
        progress: not called, since a file takes seconds.

    Returns:
        The line of `compared`.

    Raises:
        MissingDataError: the source does not exist or lacks the file.
        DownloadError: the mirror or the official address lacks the file or cannot be reached.
        DamagedFileError: the file is not valid; `target` stays as it was.
    """
    del progress
    if source is None and mirror is not None and (folder := local_path(mirror)) is not None:
        table = folder / f"{space}.parquet"
        source = table if table.is_file() else folder
    if source is not None and source.is_file() and is_table(source):
        _copy(space, source, target)
    elif source is not None:
        convert_nds(space, source, target)
    elif mirror is not None:
        arrived = target.with_name(SWEEPS[space].file)
        try:
            download(join(mirror, arrived.name), arrived, progress=False)
            convert_nds(space, arrived, target)
        finally:
            arrived.unlink(missing_ok=True)
    else:
        archive = target.with_name(ARCHIVE)
        if not archive.is_file():
            _download_archive(archive)
        convert_nds(space, archive, target)
    return compared(space, target)


def convert_nds(space: str, source: Path, target: Path) -> None:
    """Convert an official JSON file to a benchmark table and a list of architectures beside it.

    The table has one row per architecture, with seed `mean` and split `ori-test`. The accuracy is
    100 minus the last test error. A run without a finite error has no row, but its architecture is
    in the list.

    Args:
        space: the name of the space, which selects the file in a folder or an archive.
        source: the JSON file, a folder that has it, or the official archive (.zip).
        target: the parquet file to write; the list lies beside it as .json.

    Raises:
        MissingDataError: the source does not exist, or a folder or an archive lacks the file.
        DamagedFileError: the file is not JSON, or has another layout, impossible values or networks
            of another kind of space; nothing is written.
    """
    (dataset,) = get_space(space).datasets
    name, content = _official(space, source)
    entries = read_entries(content, name)
    for position, entry in enumerate(entries):
        _check_kind(space, name, position, entry.network)
    runs = {position: run for position, run in enumerate(entries) if run.accuracy is not None}
    if not runs:
        raise DamagedFileError(f"{name} has no entry with a finite test error: get it again")
    measured = ("epochs", "accuracy", "parameters", "flops")
    columns: dict[str, Any] = {
        name: [getattr(run, name) for run in runs.values()] for name in measured
    }
    columns |= {"arch": list(runs), "dataset": dataset, "split": "ori-test", "seed": "mean"}
    with _table_and_list(target) as (table, listed):
        write_architectures(space, [str(entry.network) for entry in entries], listed)
        write_table(columns, table)


def compared(space: str, target: Path, count: int = 16) -> str:
    """Describe whether the networks of some architectures have the costs that the table gives.

    A difference is not an error, since the file is valid even where our network is another one.
    """
    import numpy as np

    from untrained.benchmarks.benchmark import Benchmark
    from untrained.networks.nds import mismatches

    sweep = SWEEPS[space]
    costs = Benchmark.read(target, space).costs(sweep.dataset)
    # runs without an error have none
    known = np.flatnonzero(costs[["parameters", "flops"]].notna().all(axis=1))
    chosen = known[np.linspace(0, len(known) - 1, min(count, len(known))).astype(int)]
    spellings = read_architectures(space, architectures_beside(target))
    first = next(mismatches(spellings, costs, chosen.tolist(), imagenet=sweep.imagenet), None)
    if first is not None:
        return (
            f"warning: {space}: {first}; its scores may be of another network than the one that "
            "was trained"
        )
    return f"{space}: the costs of {len(chosen)} networks are those of the file"


def _check_kind(space: str, name: str, position: int, network: Network) -> None:
    """Raise `DamagedFileError` for a network that is not of the kind of the space."""
    sweep = SWEEPS[space]
    if not isinstance(network, sweep.kind):
        raise DamagedFileError(
            f"{name}, entry {position} is a network of {network.parts}, those of {space} have "
            f"{sweep.kind.parts}: name the file {sweep.file}, or fetch the space of this file"
        )


@contextmanager
def _table_and_list(target: Path) -> Iterator[tuple[Path, Path]]:
    """Yield temporary paths of a table and of the list of its architectures.

    The files replace the old ones so that after an interruption at any time a table that exists
    has its own list: the old table is removed first, then the new list gets its name, then the new
    table.

    Raises:
        UntrainedError: the files cannot be written.
    """
    beside = architectures_beside(target)
    check_target(target)
    check_target(beside)
    with atomic(target) as table, atomic(beside) as listed:
        yield table, listed
        target.unlink(missing_ok=True)


def _copy(space: str, source: Path, target: Path) -> None:
    """Copy a table and its list after checking that they are valid and belong together."""
    read_parquet(source, ["arch"])  # a damaged table is the mistake, whatever lies beside it
    beside = architectures_beside(source)
    if not beside.is_file():
        raise MissingDataError(
            f"{source} has no list of its architectures: put {beside.name} beside it, or name the "
            f"official {SWEEPS[space].file}"
        )
    spellings = read_architectures(space, beside)
    for position, spelling in enumerate(spellings):
        try:
            network = parse_network(spelling)
        except ArchitectureError as error:
            raise DamagedFileError(
                f"{beside}, entry {position}: {error}: fetch {space} again"
            ) from error
        _check_kind(space, str(beside), position, network)
    check_table(source, space)
    with _table_and_list(target) as (table, listed):
        write_architectures(space, spellings, listed)
        shutil.copyfile(source, table)


def _download_archive(target: Path) -> None:
    try:
        download(ADDRESS, target)
    except DownloadError as error:
        raise DownloadError(
            f"{error}; get the data as github.com/facebookresearch/nds describes, and name the "
            "archive or its folder with --from"
        ) from error


def _official(space: str, source: Path) -> tuple[str, bytes]:
    """Return the name and the content of the official file of a space."""
    wanted = SWEEPS[space].file
    if source.is_dir():
        source = _only(wanted, source, list(source.rglob(wanted)))
    if not source.is_file():
        raise MissingDataError(
            f"{absent(source)}: name {wanted}, a folder that has it, or the archive"
        )
    if source.suffix.lower() != ".zip":
        return source.name, read_bounded(source, _MOST_BYTES)
    try:
        with zipfile.ZipFile(source) as archive:
            members = [
                one for one in archive.infolist() if PurePosixPath(one.filename).name == wanted
            ]
            member = _only(wanted, source, members)
            if member.file_size > _MOST_BYTES:
                raise DamagedFileError(
                    f"{source}: {member.filename} has {member.file_size} bytes, more than any "
                    "official file: get it again"
                )
            return member.filename, archive.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DamagedFileError(
            f"{source} is not a complete ZIP archive ({error}): get it again"
        ) from error


def _only(wanted: str, source: Path, found: Sequence[T]) -> T:
    if not found:
        raise MissingDataError(f"{source} has no {wanted}: name that file, or another folder")
    if len(found) > 1:
        raise DamagedFileError(f"{source} has {len(found)} files called {wanted}: name one")
    return found[0]

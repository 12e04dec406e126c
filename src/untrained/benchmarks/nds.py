"""Convert the official files of NDS (Radosavovic et al., ICCV 2019) to benchmark tables.

The files are one JSON each, published with the code of the paper (github.com/facebookresearch/nds).
Their layout is written down here from memory, no official file was at hand:

- a list of entries, or {"top": [...], "mid": [...]}, which are read one after the other;
- `net` of an entry is {"genotype": {"normal", "normal_concat", "reduce", "reduce_concat"}, "width",
  "depth", "aux"}, or {"block_type", "ds", "ws", "ss", "bot_muls" or "bms", "num_gs" or "gws"};
- `test_ep_top1` is the test error in percent after each epoch; `params` and `flops` are those of
  the network.

An architecture's index is its position in the file.
"""

import json
import math
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar, cast

from untrained.benchmarks.table import Progress, check_table, is_table, write_table
from untrained.errors import (
    ArchitectureError,
    DamagedFileError,
    DownloadError,
    MissingDataError,
    unknown_name,
)
from untrained.files import atomic, check_target
from untrained.spaces.nds import (
    architectures_beside,
    read_architectures,
    write_architectures,
)
from untrained.spaces.nds_networks import (
    FILES,
    CellNetwork,
    Edges,
    Network,
    StagedNetwork,
    dataset_of,
    has_stages,
    inner_width,
    parse_network,
    plain,
)

T = TypeVar("T")
#: Where the official archive is looked for, in this order. Both are from memory, and its checksum
#: is not known: what arrives is held to the layout above and to nothing else.
ADDRESSES = (
    "https://dl.fbaipublicfiles.com/nds/data.zip",
    "https://dl.fbaipublicfiles.com/nds/nds_data.zip",
)

#: What it is called beside the tables.
ARCHIVE = "nds_data.zip"

_CHUNK = 1 << 20
#: An entry has four lists of a few hundred numbers at most.
_LONGEST_ENTRY = 16 << 20
_MOST_BYTES = 8 << 30
_MOST_MEMBERS = 1000
#: No network of the paper has so few parameters: below, they are counted in millions.
_FEWEST = 1000
_PERFECT = 100.0  # percent
#: Far above every count of a network, and what a table can hold.
_LARGEST = 10**18
_BLOCKS = {"double_plain_block": "vanilla_block"}  # older and newer name
_SPACE = re.compile(r"\s*")
_KEYS = "entries have net (genotype, width, depth and aux, or block_type, ds, ws and ss; "
_KEYS += "bottlenecks bot_muls or bms), test_ep_top1 and mostly params and flops"


@dataclass(frozen=True)
class Entry:
    """One training run of an official file.

    Attributes:
        network: what was trained.
        accuracy: on the test images after the last epoch, in percent; None where the run has no
            finite error.
        epochs: how many there are errors of.
        parameters: of the network, as stored; None where unknown.
        flops: likewise; None too where parameters are in millions, since then its unit is unknown.
    """

    network: Network
    accuracy: float | None
    epochs: int
    parameters: int | None
    flops: float | None


def convert_nds(
    space: str,
    source: Path,
    target: Path,
    progress: Progress | None = None,
) -> None:
    """Convert an official JSON file to a benchmark table and a list of architectures beside it.

    The table has a row for each architecture, its only run: the seed is `mean`, the split
    `ori-test`, the accuracy 100 minus the last test error. A run without a finite error has none,
    and its architecture stays in the list. The file is read entry by entry.

    Args:
        space: which file is wanted of a folder or an archive.
        source: the JSON file, a folder that has it, or the official archive (.zip).
        target: the parquet file to write; the list lies beside it as .json.
        progress: called with the bytes read and the bytes in all.

    Raises:
        MissingDataError: there is no such file, or folder or archive lack it.
        DamagedFileError: no JSON, another layout, impossible values, or networks of another kind
            of space; nothing is written.
    """
    if space not in FILES:
        raise unknown_name("space of NDS", space, FILES)
    rows: dict[str, list[Any]] = {name: [] for name in ("arch", "epochs", *_MEASURED)}
    networks: list[str] = []
    with _opened(space, source) as (file, name, size):
        for position, entry in enumerate(read_entries(file, name, size, progress)):
            _check_kind(space, name, position, entry.network)
            networks.append(str(entry.network))
            if entry.accuracy is None:
                continue
            rows["arch"].append(position)
            for column in ("epochs", *_MEASURED):
                rows[column].append(getattr(entry, column))
    count = len(rows["arch"])
    if not count:
        raise DamagedFileError(f"{name} has no entry with a finite test error: get it again")
    nothing = [None] * count
    columns = {
        **rows,
        "dataset": [dataset_of(space)] * count,
        "split": ["ori-test"] * count,
        "seed": ["mean"] * count,
        **dict.fromkeys(("train_seconds", "valid_seconds", "latency_seconds"), nothing),
    }
    with _table_and_list(target) as (table, listed):
        write_architectures(space, networks, listed)
        write_table(columns, table)


def _check_kind(space: str, name: str, position: int, network: Network) -> None:
    """Refuse the file of another space, as far as its networks tell."""
    kinds = {False: "two cells", True: "stages of blocks"}
    found, right = isinstance(network, StagedNetwork), has_stages(space)
    if found != right:
        raise DamagedFileError(
            f"{name}, entry {position}: a network of {kinds[found]}, those of {space} are of "
            f"{kinds[right]}: name its file {FILES[space]}, or fetch the space that this is of"
        )


@contextmanager
def _table_and_list(target: Path) -> Iterator[tuple[Path, Path]]:
    """Yield paths for a table and the list of its architectures, which replace the old ones.

    They belong together: whenever this is interrupted, a table that is there has its own list. Both
    are written before either is seen; then the old table goes, the new list comes, and the new
    table, without which nothing is fetched, comes last.

    Raises:
        UntrainedError: they can't be written.
    """
    beside = architectures_beside(target)
    check_target(target)
    check_target(beside)
    with atomic(target) as table, atomic(beside) as listed:
        yield table, listed
        target.unlink(missing_ok=True)


_MEASURED = ("accuracy", "parameters", "flops")


def fetch_nds(
    space: str,
    target: Path,
    source: Path | None = None,
    mirror: str | None = None,
    progress: Progress | None = None,
) -> str:
    """Write the benchmark table of a space of NDS, and the list of its architectures beside it.

    They come from the first of these that is given: `source`, `mirror`, the official archive. That
    is kept beside the target, where the next space finds it.

    Args:
        space: name of the space.
        target: the parquet file to write.
        source: see `convert_nds`; or a table that has its list beside it, and no architecture
            beyond that.
        mirror: a folder that has the table or the official file, or a base URL that has the file.
        progress: see `convert_nds`.

    Returns:
        Whether some networks of the space have the costs that the table says; see `compared`.

    Raises:
        MissingDataError: there is no such file.
        DownloadError: mirror or official address don't have it, or can't be reached.
        DamagedFileError: what was found is not a valid file; `target` stays as it was.
    """
    from untrained.download import download, join, local_path

    if source is None and mirror is not None and (folder := local_path(mirror)) is not None:
        table = folder / f"{space}.parquet"
        source = table if table.is_file() else folder
    if source is not None and source.is_file() and is_table(source):
        spellings = _checked_architectures(space, source)
        with _table_and_list(target) as (table, listed):
            write_architectures(space, spellings, listed)
            shutil.copyfile(source, table)
    elif source is not None:
        convert_nds(space, source, target, progress)
    elif mirror is not None:
        arrived = target.with_name(FILES[space])
        try:
            download(join(mirror, arrived.name), arrived, progress=False)
            convert_nds(space, arrived, target, progress)
        finally:
            arrived.unlink(missing_ok=True)
    else:
        archive = target.with_name(ARCHIVE)
        if not archive.is_file():
            _download_archive(archive)
        convert_nds(space, archive, target, progress)
    return compared(space, target)


def compared(space: str, target: Path, count: int = 16) -> str:
    """Say whether the networks of some architectures have the costs that their table says.

    What differs is no error: no official file was at hand, the fault may be the networks'.
    """
    import numpy as np

    from untrained.benchmarks.benchmark import Benchmark
    from untrained.networks.nds import mismatches

    dataset = dataset_of(space)
    costs = Benchmark.read(target, space).costs(dataset)
    known = np.flatnonzero(costs["parameters"].notna())
    chosen = known[np.linspace(0, len(known) - 1, min(count, len(known))).astype(int)]
    spellings = read_architectures(space, architectures_beside(target))
    imagenet = dataset == "ImageNet"
    first = next(mismatches(spellings, costs, chosen.tolist(), imagenet=imagenet), None)
    if first is not None:
        return (
            f"warning: {space}: {first}; its scores may be of another network than the one that "
            "was trained"
        )
    return (
        f"{space}: the costs of {len(chosen)} networks are those of the file" if len(chosen) else ""
    )


def _checked_architectures(space: str, table: Path) -> list[str]:
    """The spellings of the list beside a table; raises where they don't belong together."""
    beside = architectures_beside(table)
    spellings = read_architectures(space, beside)
    for position, spelling in enumerate(spellings):
        try:
            network = parse_network(spelling)
        except ArchitectureError as error:
            raise DamagedFileError(
                f"{beside}, entry {position}: {_said(error)}: fetch {space} again"
            ) from error
        _check_kind(space, str(beside), position, network)
    check_table(table, space)
    return spellings


def _download_archive(target: Path) -> None:
    from untrained.download import download

    refusals = []
    for address in ADDRESSES:
        try:
            download(address, target)
        except DownloadError as error:
            refusals.append(str(error))
        else:
            return
    raise DownloadError(
        f"{refusals[-1]}; get the data as github.com/facebookresearch/nds says, and name the "
        "archive or its folder with --from"
    )


def read_entries(
    file: IO[bytes], name: str, size: int = 0, progress: Progress | None = None
) -> Iterator[Entry]:
    """Yield the entries of an official file, one in memory at a time.

    Args:
        file: open for reading.
        name: for errors.
        size: bytes in all, for `progress`.
        progress: see `convert_nds`.

    Raises:
        DamagedFileError: no JSON, another layout, or impossible values; the message names the
            entry, counted from 0.
    """
    count = 0
    for raw in _raw_entries(_Text(file, name, size, progress)):
        try:
            entry = entry_of(raw)
        except (ArchitectureError, KeyError, TypeError, ValueError, OverflowError) as error:
            said = f"it lacks {error}: {_KEYS}" if isinstance(error, KeyError) else _said(error)
            raise DamagedFileError(f"{name}, entry {count}: {said}") from error
        yield entry
        count += 1
    if not count:
        raise DamagedFileError(f"{name} has no entries: it is no file of NDS")


def entry_of(raw: object) -> Entry:
    """The entry that an object of the JSON says.

    Raises:
        KeyError: it lacks a key.
        ArchitectureError: there is no such network.
        ValueError: impossible values.
        TypeError: no object.
    """
    fields = _object("an entry", raw)
    errors = fields["test_ep_top1"]
    if not isinstance(errors, list) or not errors:
        raise ValueError("test_ep_top1 is no list of an error for each epoch")
    error = float(_real("test_ep_top1", errors[-1]))
    if math.isfinite(error) and not 0 <= error <= _PERFECT:
        raise ValueError(f"the test error {error:g} is not in 0..100 percent")
    parameters, flops = (_cost(name, fields.get(name)) for name in ("params", "flops"))
    if parameters is not None and parameters < _FEWEST:
        parameters, flops = parameters * 1e6, None
    return Entry(
        network_of(fields["net"]),
        _PERFECT - error if math.isfinite(error) else None,
        len(errors),
        None if parameters is None else round(parameters),
        flops,
    )


def network_of(raw: object) -> Network:
    """The network that the `net` of an entry says; raises as `entry_of`."""
    net = _object("net", raw)
    if "genotype" in net:
        genotype = _object("genotype", net["genotype"])
        return CellNetwork(
            _integer("width", net["width"]),
            _integer("depth", net["depth"]),
            _flag("aux", net["aux"]),
            _edges("normal", genotype["normal"]),
            # the order is a matter of naming channels
            tuple(sorted(_integers("normal_concat", genotype["normal_concat"]))),
            _edges("reduce", genotype["reduce"]),
            tuple(sorted(_integers("reduce_concat", genotype["reduce_concat"]))),
        )
    block = net["block_type"]
    if not isinstance(block, str):
        raise TypeError(f"block_type is {block!r}: a text")
    block = _BLOCKS.get(block, block)
    depths, widths, strides = (_integers(name, net[name]) for name in ("ds", "ws", "ss"))
    if block != "res_bottleneck_block":
        # other blocks have nothing inside; the files may say so with a list of nulls
        return StagedNetwork(block, depths, widths, strides)
    given = net["bms"] if net.get("bms") is not None else net["bot_muls"]
    ratios = tuple(_finite("bms", value) for value in _list("bms", given))
    return StagedNetwork(block, depths, widths, strides, ratios, _groups(net, widths, ratios))


def _groups(
    net: Mapping[str, Any], widths: tuple[int, ...], ratios: tuple[float, ...]
) -> tuple[int, ...]:
    """Groups of each stage, which the files give as such or as channels of a group; 1 without."""
    if net.get("gws") is None:
        groups = net.get("num_gs")
        return (1,) * len(widths) if groups is None else _integers("num_gs", groups)
    group_widths = _integers("gws", net["gws"])
    if not len(group_widths) == len(widths) == len(ratios) or not all(group_widths):
        raise ArchitectureError(f"gws is {list(group_widths)}: a number from 1 up for each stage")
    pairs = zip(widths, ratios, group_widths, strict=True)
    return tuple(max(inner_width(width, ratio) // each, 1) for width, ratio, each in pairs)


def _object(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is {_short(value)}: an object with keys")
    return cast("dict[str, Any]", value)


def _list(name: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{name} is {_short(value)}: a list")
    return cast("list[object]", value)


def _real(name: str, value: object) -> float:
    """A number, which may be none (NaN) or infinite: what is not even that is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} has {_short(value)}: a number")
    # JSON has whole numbers of any length, which no float can hold
    if isinstance(value, int) and not -_LARGEST < value < _LARGEST:
        raise ValueError(f"{name} has {_short(value)}: a number below {_LARGEST:g}")
    return value


def _finite(name: str, value: object) -> float:
    number = _real(name, value)
    if not abs(number) < _LARGEST:
        raise ValueError(f"{name} has {number:g}: a finite number below {_LARGEST:g}")
    return number


def _integer(name: str, value: object) -> int:
    number = _finite(name, value)
    if number != int(number):
        raise ValueError(f"{name} has {number:g}: a whole number")
    return int(number)


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool | int) and value in (0, 1):
        return bool(value)
    raise TypeError(f"{name} is {_short(value)}: true or false")


def _integers(name: str, value: object) -> tuple[int, ...]:
    return tuple(_integer(name, one) for one in _list(name, value))


def _edges(name: str, value: object) -> Edges:
    edges = []
    for number, pair in enumerate(_list(name, value)):
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise TypeError(
                f"{name}, pair {number + 1} is {_short(pair)}: an operation and its input"
            )
        edges.append((pair[0], _integer(name, pair[1])))
    return tuple(edges)


def _cost(name: str, value: object) -> float | None:
    if value is None:
        return None
    cost = _real(name, value)
    if not 0 <= cost < _LARGEST:
        raise ValueError(f"{name} is {cost:g}: a finite number from 0 up, below {_LARGEST:g}")
    return cost


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _said(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class _Text:
    """The text of a file, of which no more is in memory than is looked at.

    Args:
        file: open for reading, UTF-8.
        name: for errors.
        size: bytes in all.
        progress: called as bytes are read.
    """

    def __init__(self, file: IO[bytes], name: str, size: int, progress: Progress | None) -> None:
        import codecs

        self._file, self.name = file, name
        self._size, self._progress = size, progress
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._json = json.JSONDecoder()
        self._buffer, self._at, self._done, self._ended = "", 0, 0, False

    def _more(self, wanted: int = 0) -> bool:
        """Read a chunk, or as many bytes as are wanted if that is more; False at the end."""
        if self._ended:
            return False
        content = self._file.read(max(_CHUNK, wanted))
        self._done += len(content)
        self._ended = not content
        if self._progress:
            self._progress(self._done, max(self._size, self._done))
        try:
            added = self._decoder.decode(content, final=self._ended)
        except UnicodeDecodeError as error:
            raise self.damaged("not UTF-8") from error
        self._buffer, self._at = self._buffer[self._at :] + added, 0
        return not self._ended

    def peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            self._at = cast("re.Match[str]", _SPACE.match(self._buffer, self._at)).end()
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return ""

    def take(self, wanted: str) -> str:
        """The next character, one of `wanted`."""
        found = self.peek()
        if not found or found not in wanted:
            there = repr(found) if found else "the end"
            raise self.damaged(f"{there} instead of {' or '.join(wanted)}")
        self._at += 1
        return found

    def value(self) -> object:
        """The next JSON value, an object, a list or a text."""
        self.peek()
        while True:
            try:
                value, end = self._json.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                there = len(self._buffer) - self._at
                if there > _LONGEST_ENTRY:
                    raise self.damaged(f"an entry of over {_LONGEST_ENTRY} bytes") from error
                # as much again as there is, so that a long entry is not tried too often
                if not self._more(there):
                    raise self.damaged(error.msg) from error
            except (RecursionError, ValueError) as error:
                raise self.damaged(_said(error)) from error
            else:
                self._at = end
                return value

    def damaged(self, reason: str) -> DamagedFileError:
        """The error for something else than JSON of NDS."""
        return DamagedFileError(
            f"{self.name} is no complete JSON file of NDS ({reason}): get it again"
        )


def _raw_entries(text: _Text) -> Iterator[object]:
    """The entries of the list, or of the lists of an object."""
    if text.peek() == "[":
        yield from _items(text)
    else:
        text.take("{[")
        seen: set[object] = set()
        while text.peek() == '"':
            key = text.value()
            if key not in ("top", "mid") or key in seen:
                raise text.damaged(f"the key {_short(key)} instead of 'top' and 'mid'")
            seen.add(key)
            text.take(":")
            if text.peek() != "[":
                raise text.damaged(f"{key} is no list")
            yield from _items(text)
            if text.peek() != ",":
                break
            text.take(",")
        text.take("}")
        if seen != {"top", "mid"}:
            raise text.damaged("it lacks 'top' or 'mid'")
    if left := text.peek():
        raise text.damaged(f"{left!r} after its end")


def _items(text: _Text) -> Iterator[object]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()
        if text.take(",]") == "]":
            return


@contextmanager
def _opened(space: str, source: Path) -> Iterator[tuple[IO[bytes], str, int]]:
    """The official file of a space, its name, and how many bytes it has."""
    if source.is_dir():
        found = [path for path in sorted(source.rglob("*.json")) if _is_wanted(space, path.name)]
        path = _only(space, source, found)
    elif source.is_file():
        path = source
    else:
        raise MissingDataError(
            f"{source} does not exist: name {FILES[space]}, a folder that has it, or the archive"
        )
    if path.suffix.lower() != ".zip":
        with path.open("rb") as file:
            yield file, path.name, path.stat().st_size
        return
    with _unpacking(path), zipfile.ZipFile(path) as archive:
        member = _member(space, path, archive)
        with archive.open(member) as content:
            yield content, member.filename, member.file_size


@contextmanager
def _unpacking(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DamagedFileError(
            f"{path} is not a complete ZIP archive ({_said(error)}): get it again"
        ) from error


def _member(space: str, path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The file of a space in an archive; nothing is extracted, it is read as it lies there."""
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise DamagedFileError(f"{path} has {len(members)} entries: no official archive does")
    for one in members:
        parts = PurePosixPath(one.filename.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts:
            raise DamagedFileError(
                f"{path} has the entry {one.filename!r}, which leaves its folder"
            )
    found = _only(
        space,
        path,
        # what macOS packs beside each file is none of them
        [
            one
            for one in members
            if _is_wanted(space, PurePosixPath(one.filename).name)
            and not one.filename.startswith("__MACOSX/")
        ],
    )
    if found.file_size > _MOST_BYTES:
        raise DamagedFileError(
            f"{path}: {found.filename} has {found.file_size} bytes, no official file does"
        )
    return found


def _is_wanted(space: str, name: str) -> bool:
    return plain(name) == plain(FILES[space])


def _only(space: str, source: Path, found: Sequence[T]) -> T:
    if not found:
        raise MissingDataError(f"{source} has no {FILES[space]}: name that file, or another folder")
    if len(found) > 1:
        raise DamagedFileError(f"{source} has {len(found)} files called {FILES[space]}: name one")
    return found[0]

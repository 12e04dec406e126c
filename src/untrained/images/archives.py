"""Read chosen files out of a folder or a tar archive, in memory and one at a time."""

import re
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from untrained.errors import DamagedFileError, MissingDataError

# The largest official member, CIFAR-100's `train`, has 148 MiB; archives have under 20 entries but
# for Imagenette's, which has 13,394 photographs.
MAX_BYTES = 256 << 20
MAX_ENTRIES = 1000
MAX_PHOTOGRAPHS = 20_000


def read_members(source: Path, folder: str, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the files called `names` that the source has, each once, with their content.

    Nothing is extracted to the disk, and only regular files whose name is exactly one of `names`
    are read.

    Args:
        source: a folder that holds the files, a folder that holds `folder`, or a tar archive
            (compressed or not) that has them in any one folder.
        folder: the name of the folder in the official archive.
        names: bare file names.

    Raises:
        MissingDataError: no such source.
        DamagedFileError: no tar archive, or one that has links, absurd sizes, names that leave the
            folder, or one name twice.
    """
    if source.is_dir():
        yield from _read_folder(source, folder, names)
    elif source.is_file():
        yield from _read_tar(source, _named(names), MAX_ENTRIES)
    else:
        raise _nothing_at(source)


def read_matching(source: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    """Yield what `pattern` finds in the path of each file of the source, with the file's content.

    Args:
        source: a folder, or a tar archive (compressed or not) of at most `MAX_PHOTOGRAPHS` entries.
        pattern: for paths with slashes, relative to the source.

    Raises:
        MissingDataError: no such source.
        DamagedFileError: see `read_members`; or the pattern finds one thing twice.
    """
    if source.is_dir():
        yield from _search_folder(source, pattern)
    elif source.is_file():
        yield from _read_tar(source, _found(pattern), MAX_PHOTOGRAPHS)
    else:
        raise _nothing_at(source)


def _nothing_at(source: Path) -> MissingDataError:
    return MissingDataError(f"{source} does not exist: name a folder or a .tar.gz archive")


def _named(names: Collection[str]) -> Callable[[PurePosixPath], str | None]:
    return lambda path: path.name if path.name in names else None


def _found(pattern: re.Pattern[str]) -> Callable[[PurePosixPath], str | None]:
    def find(path: PurePosixPath) -> str | None:
        match = pattern.search(str(path))
        return None if match is None else match[0]

    return find


def _search_folder(source: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    find = _found(pattern)
    seen: set[str] = set()
    for path in sorted(source.rglob("*")):
        name = find(PurePosixPath(path.relative_to(source).as_posix()))
        if name is None or not path.is_file():
            continue
        _note_name(source, name, seen)
        _check_size(str(path), path.stat().st_size)
        yield name, path.read_bytes()


def _note_name(source: Path, name: str, seen: set[str]) -> None:
    if name in seen:
        raise DamagedFileError(f"{source} has {name} twice")
    seen.add(name)


def _read_folder(source: Path, folder: str, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        for path in (source / name, source / folder / name):
            if path.is_file():
                _check_size(str(path), path.stat().st_size)
                yield name, path.read_bytes()
                break


def _read_tar(
    source: Path, name_of: Callable[[PurePosixPath], str | None], most: int
) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    try:
        with tarfile.open(source) as archive:
            for count, entry in enumerate(archive):
                if count == most:
                    raise DamagedFileError(f"{source} has more than {most} entries")
                name = name_of(_checked_path(source, entry))
                if not entry.isfile() or name is None:
                    continue
                _note_name(source, name, seen)
                content = archive.extractfile(entry)
                assert content is not None  # noqa: S101 - it is one for a regular file
                yield name, content.read()
            _read_padding(source, archive)
    except (tarfile.TarError, EOFError, zlib.error, LZMAError, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
        raise DamagedFileError(
            f"{source} is not a complete tar archive ({reason}): get it again"
        ) from error


def _read_padding(source: Path, archive: tarfile.TarFile) -> None:
    # A compressed file is checked against its sum only when it is read to its very end, and an
    # archive that breaks off between two entries looks complete to `tarfile`.
    padding = archive.fileobj
    assert padding is not None  # noqa: S101 - the archive is open
    if len(padding.read(MAX_BYTES)) == MAX_BYTES:
        raise DamagedFileError(f"{source} goes on after its last entry: get it again")


def _checked_path(source: Path, entry: tarfile.TarInfo) -> PurePosixPath:
    path = PurePosixPath(entry.name)
    if path.is_absolute() or ".." in path.parts:
        raise DamagedFileError(f"{source} has the entry {entry.name!r}, which leaves its folder")
    if not entry.isfile() and not entry.isdir():
        raise DamagedFileError(f"{source} has the entry {entry.name!r}, which is no regular file")
    _check_size(f"{source}: {entry.name}", entry.size)
    return path


def _check_size(name: str, size: int) -> None:
    if size > MAX_BYTES:
        raise DamagedFileError(f"{name} has {size} bytes: no official file has over {MAX_BYTES}")

"""Read chosen files out of a folder or a tar archive, in memory and one at a time."""

import re
import tarfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from untrained.errors import DamagedFileError, MissingDataError
from untrained.files import reading

#: Called with the name of each official file, or folder of photographs, that has been read.
Progress = Callable[[str], object]

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
        exactly = re.compile(rf"(?<![^/])(?:{'|'.join(map(re.escape, names))})$")
        yield from _read_tar(source, exactly, MAX_ENTRIES)
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
        yield from _read_tar(source, pattern, MAX_PHOTOGRAPHS)
    else:
        raise _nothing_at(source)


def _nothing_at(source: Path) -> MissingDataError:
    return MissingDataError(f"{source} does not exist: name a folder or a .tar.gz archive")


def _search_folder(source: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    for path in sorted(source.rglob("*")):
        found = pattern.search(path.relative_to(source).as_posix())
        if found and path.is_file():
            _note_name(source, found[0], seen)
            _check_size(str(path), path.stat().st_size)
            yield found[0], path.read_bytes()


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


def _read_tar(source: Path, pattern: re.Pattern[str], most: int) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    damage = reading(f"{source} is not a complete tar archive")
    with damage, tarfile.open(source) as archive:
        for count, entry in enumerate(archive):
            if count == most:
                raise DamagedFileError(f"{source} has more than {most} entries")
            found = pattern.search(str(_checked_path(source, entry)))
            if found and entry.isfile():
                _note_name(source, found[0], seen)
                content: Any = archive.extractfile(entry)
                yield found[0], content.read()
        # A compressed file is checked against its sum only when it is read to its very end, and an
        # archive that breaks off between two entries looks complete to `tarfile`.
        padding: Any = archive.fileobj
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

"""Read chosen files out of a folder or a tar archive, in memory and one at a time.

Nothing is extracted to the disk, so that the paths and links of an archive do no harm.
"""

import re
import tarfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from untrained.errors import DamagedFileError, MissingDataError
from untrained.files import reading

#: Called with the name of each official file, or folder of photographs, that has been read.
Progress = Callable[[str], object]

# The largest official member, CIFAR-100's `train`, has 148 MiB; the archive with the most entries,
# Imagenette's, has 13,394 photographs.
MAX_BYTES = 256 << 20
MAX_ENTRIES = 20_000


def read_members(source: Path, folder: str, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the files called `names` that the source has, each once, with their content.

    Args:
        source: a folder that holds the files, a folder that holds `folder`, or a tar archive
            (compressed or not) that has them in any one folder.
        folder: the name of the folder in the official archive.
        names: bare file names.

    Raises:
        MissingDataError: no such source.
        DamagedFileError: no complete tar archive, or one that has absurd sizes or one name twice.
    """
    if not source.is_dir():
        yield from _read_tar(source, re.compile(rf"(?<![^/])(?:{'|'.join(names)})$"))
        return
    for name in names:
        for path in (source / name, source / folder / name):
            if path.is_file():
                yield name, path.read_bytes()
                break


def read_matching(source: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    """Yield what `pattern` finds in the path of each file of the source, with the file's content.

    Args:
        source: a folder, or a tar archive (compressed or not).
        pattern: for paths with slashes, relative to the source.

    Raises:
        MissingDataError: no such source.
        DamagedFileError: see `read_members`; or the pattern finds one thing twice.
    """
    if not source.is_dir():
        yield from _read_tar(source, pattern)
        return
    seen: set[str] = set()
    for path in sorted(source.rglob("*")):
        found = pattern.search(path.relative_to(source).as_posix())
        if found and path.is_file():
            _note_name(source, found[0], seen)
            yield found[0], path.read_bytes()


def _note_name(source: Path, name: str, seen: set[str]) -> None:
    if name in seen:
        raise DamagedFileError(f"{source} has {name} twice")
    seen.add(name)


def _read_tar(source: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    if not source.is_file():
        raise MissingDataError(f"{source} does not exist: name a folder or a .tar.gz archive")
    seen: set[str] = set()
    damage = reading(f"{source} is not a complete tar archive")
    with damage, tarfile.open(source) as archive:
        for count, entry in enumerate(archive):
            if count == MAX_ENTRIES or entry.size > MAX_BYTES:
                raise DamagedFileError(
                    f"{source} has over {MAX_ENTRIES} entries, or one of over {MAX_BYTES} bytes: "
                    "no official archive does"
                )
            found = pattern.search(entry.name)
            if found and entry.isfile():
                _note_name(source, found[0], seen)
                content: Any = archive.extractfile(entry)
                yield found[0], content.read()
        # A compressed file is checked against its sum only when it is read to its very end, and an
        # archive that breaks off between two entries looks complete to `tarfile`.
        padding: Any = archive.fileobj
        if len(padding.read(MAX_BYTES)) == MAX_BYTES:
            raise DamagedFileError(f"{source} goes on after its last entry: get it again")

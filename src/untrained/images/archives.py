"""Read chosen files of a folder or a tar archive into memory, one at a time.

Nothing is extracted to the disk, so the paths and links of an archive cannot do harm.
"""

import re
import tarfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from untrained.errors import DamagedFileError, MissingDataError
from untrained.files import absent, read_bounded, reading

#: A function that is called with the name of each file, or folder of photographs, that was read.
Progress = Callable[[str], object]

# The largest official member, CIFAR-100's `train`, has 148 MiB; the archive with the most entries,
# Imagenette's, has 13,394 photographs.
MAX_BYTES = 256 << 20
MAX_ENTRIES = 20_000


def read_members(source: Path, folder: str, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each of the files `names` that the source has.

    Args:
        source: a folder that holds the files, a folder that holds `folder`, or a tar archive
            (compressed or not) that has them in any one folder.
        folder: the name of the folder in the official archive.
        names: bare file names.

    Raises:
        MissingDataError: the source does not exist.
        DamagedFileError: the source is not a complete tar archive, has a name twice, or is far
            larger than any official archive.
    """
    if not source.is_dir():
        yield from _read_tar(source, re.compile(rf"(?<![^/])(?:{'|'.join(names)})$"))
        return
    for name in names:
        for path in (source / name, source / folder / name):
            if path.is_file():
                yield name, read_bounded(path, MAX_BYTES)
                break


def read_matching(source: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the match of a pattern in the path of each file of a source, and the file's content.

    Args:
        source: a folder, or a tar archive (compressed or not).
        pattern: searched in paths with slashes, relative to the source.

    Raises:
        MissingDataError: the source does not exist.
        DamagedFileError: see `read_members`; or two paths have the same match.
    """
    if not source.is_dir():
        yield from _read_tar(source, pattern)
        return
    seen: set[str] = set()
    for path in sorted(source.rglob("*")):
        found = pattern.search(path.relative_to(source).as_posix())
        if found and path.is_file():
            _note_name(source, found[0], seen)
            yield found[0], read_bounded(path, MAX_BYTES)


def _note_name(source: Path, name: str, seen: set[str]) -> None:
    if name in seen:
        raise DamagedFileError(f"{source} has {name} twice")
    seen.add(name)


def _read_tar(source: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    if not source.is_file():
        raise MissingDataError(f"{absent(source)}: name a folder or a .tar.gz archive")
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
        # The checksum of a compressed file is compared only at its very end, and `tarfile` takes an
        # archive that is truncated between two entries for a complete one.
        padding: Any = archive.fileobj
        if len(padding.read(MAX_BYTES)) == MAX_BYTES:
            raise DamagedFileError(f"{source} continues after its last entry: get it again")

"""Read named files out of a folder or a tar archive, in memory and one at a time."""

import tarfile
import zlib
from collections.abc import Collection, Iterator
from lzma import LZMAError
from pathlib import Path, PurePosixPath

from untrained.errors import DamagedFileError, MissingDataError

# The largest official member, CIFAR-100's `train`, has 148 MiB; archives have under 20 entries.
MAX_BYTES = 256 << 20
MAX_ENTRIES = 1000


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
        yield from _read_tar(source, names)
    else:
        raise MissingDataError(f"{source} does not exist: name a folder or a .tar.gz archive")


def _read_folder(source: Path, folder: str, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        for path in (source / name, source / folder / name):
            if path.is_file():
                _check_size(str(path), path.stat().st_size)
                yield name, path.read_bytes()
                break


def _read_tar(source: Path, names: Collection[str]) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    try:
        with tarfile.open(source) as archive:
            for count, entry in enumerate(archive):
                if count == MAX_ENTRIES:
                    raise DamagedFileError(f"{source} has more than {MAX_ENTRIES} entries")
                name = _checked_name(source, entry)
                if not entry.isfile() or name not in names:
                    continue
                if name in seen:
                    raise DamagedFileError(f"{source} has {name} twice")
                seen.add(name)
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


def _checked_name(source: Path, entry: tarfile.TarInfo) -> str:
    path = PurePosixPath(entry.name)
    if path.is_absolute() or ".." in path.parts:
        raise DamagedFileError(f"{source} has the entry {entry.name!r}, which leaves its folder")
    if not entry.isfile() and not entry.isdir():
        raise DamagedFileError(f"{source} has the entry {entry.name!r}, which is no regular file")
    _check_size(f"{source}: {entry.name}", entry.size)
    return path.name


def _check_size(name: str, size: int) -> None:
    if size > MAX_BYTES:
        raise DamagedFileError(f"{name} has {size} bytes: no official file has over {MAX_BYTES}")

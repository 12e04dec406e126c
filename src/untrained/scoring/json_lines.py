"""Files of JSON lines that hold scores, each added when it is finished, by one process at a time.

The first line says what the scores depend on. A line that was not written to its end is as if it
had not been begun: it is dropped, with all that follows. A line that was written whole and holds
something else is damage, and is said.
"""

import errno
import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from io import FileIO
from pathlib import Path
from typing import Any, Generic, TypeGuard, TypeVar, get_args

from untrained.errors import DamagedFileError, ParameterError, UntrainedError
from untrained.proxies.base import Status
from untrained.scoring.engine import Score

T = TypeVar("T")

#: Seconds between two writes that wait for the disk. A process that dies loses no line; a machine
#: that dies loses what it scored in this time.
_SYNC_EVERY = 1.0

#: Settings whose values are digests, which say nothing to people.
_DIGESTS = ("code", "images")

_SCORE = {field.name for field in fields(Score)}


@dataclass(frozen=True)
class Kind:
    """What a file of lines is, in words, and whose.

    Attributes:
        name: "journal of scores".
        writer: what a process does that writes one: "scores this shard".
        remedy: what to do with one that can't be read: "delete it".
        named_by_people: whether people choose the path, so that what lies there may be anything;
            then only a file that begins as ours is cut off.
    """

    name: str
    writer: str
    remedy: str
    named_by_people: bool


@dataclass(eq=False)
class JsonLines(Generic[T]):
    """A file of lines that this process alone writes.

    Attributes:
        path: of the file.
        found: what its lines held when it was opened, but for the first.
        begun: whether it was begun now.
        written: lines that it has, but for the first.
    """

    path: Path
    found: list[T]
    begun: bool
    written: int
    _file: FileIO
    _synced: float = 0.0

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line.

        Raises:
            UntrainedError: the disk is full.
        """
        self._write(line)
        self.written += 1

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)

    def _write(self, line: Mapping[str, Any]) -> None:
        # floats are spelled so that they come back as they were
        text = (json.dumps(line, allow_nan=False) + "\n").encode()
        try:
            written = self._file.write(text)
            if (now := time.monotonic()) - self._synced >= _SYNC_EVERY:
                os.fsync(self._file.fileno())
                self._synced = now
        except OSError as error:
            raise _unwritable(self.path, error) from error
        if written < len(text):
            raise _unwritable(self.path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


@contextmanager
def opened_lines(
    path: Path, head: Mapping[str, Any], read: Callable[[Any], T | None], kind: Kind
) -> Iterator[JsonLines[T]]:
    """Open a file of lines, which is begun where there is none and removed if it gets no line.

    Args:
        path: of the file.
        head: its first line, beginning with `format`; names to values that JSON knows.
        read: what a line says; None where it holds something else.
        kind: for messages.

    Raises:
        UntrainedError: it can't be written, or another process writes it.
        DamagedFileError: it does not begin as such a file does, or a line of it is damaged.
        ParameterError: its scores depend on something else.
    """
    if path.exists() and not path.is_file():  # a device may be read without end
        raise UntrainedError(f"cannot write {path}: it is no plain file, name one")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # unbuffered, so that what a full disk did not take is not written again at the end
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.seek(0)
            content = file.read()
        except BlockingIOError as error:
            raise UntrainedError(
                f"{path} is being written: another process {kind.writer}, wait for it or end it"
            ) from error
        except OSError as error:  # a file system without locks
            raise _unwritable(path, error) from error
        found, end = _read(path, content, head, read, kind)
        if end < len(content):
            file.truncate(end)
        lines = JsonLines(path, found, end == 0, len(found), file)
        if lines.begun:
            lines._write(head)
        try:
            yield lines
        finally:
            if not lines.written:  # bad input, say
                lines.remove()


def whole_lines(content: bytes) -> tuple[list[Any], int]:
    """The lines before the first that is not whole, and where they end, in bytes."""
    lines, end = [], 0
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n") or b"\0" in line:  # a machine that dies may leave zeros
            break
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
        end += len(line)
    return lines, end


def score_in(held: Any) -> Score | None:  # noqa: ANN401 - what JSON holds
    """The score that an object of a line is; None where it is something else."""
    if not isinstance(held, dict) or held.keys() != _SCORE:
        return None
    score, seconds = held["score"], held["seconds"]
    said = held["status"] in get_args(Status) and isinstance(held["reason"], str)
    defined = _is_finite(score) if held["status"] == "ok" else score is None
    return Score(**held) if said and defined and _is_finite(seconds) and seconds >= 0 else None


def is_count(held: Any) -> TypeGuard[int]:  # noqa: ANN401
    """Whether a value of a line is an integer, 0 or more: an architecture's index, a seed."""
    return isinstance(held, int) and not isinstance(held, bool) and held >= 0


def differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """The names of the settings that differ."""
    names = sorted(theirs.keys() | ours.keys())
    return [name for name in names if theirs.get(name) != ours.get(name)]


def _read(
    path: Path,
    content: bytes,
    head: Mapping[str, Any],
    read: Callable[[Any], T | None],
    kind: Kind,
) -> tuple[list[T], int]:
    """What the lines say that follow the first, and where they end, in bytes."""
    lines, end = whole_lines(content)
    if lines and lines[0] != head:
        raise _not_ours(path, lines[0], head, kind)
    if not lines and kind.named_by_people and not _begins_as(content, head):
        raise DamagedFileError(f"{path} is no {kind.name}: {kind.remedy}")
    found = []
    for number, line in enumerate(lines[1:], start=2):
        if (said := read(line)) is None:
            raise _damaged(path, number, kind)
        found.append(said)
    broken, newline, _ = content[end:].partition(b"\n")
    if newline and b"\0" not in broken:
        raise _damaged(path, len(lines) + 1, kind)
    return found, end


def _begins_as(content: bytes, head: Mapping[str, Any]) -> bool:
    """Whether a file without a whole line is empty or was begun as one of ours."""
    expected = json.dumps({"format": head["format"]})[:-1].encode()
    written = content.partition(b"\0")[0]
    if not written:
        return not content.strip(b"\0")
    return expected.startswith(written) or written.startswith(expected)


def _not_ours(path: Path, theirs: Any, ours: Mapping[str, Any], kind: Kind) -> UntrainedError:  # noqa: ANN401
    if not isinstance(theirs, dict) or "format" not in theirs:
        return DamagedFileError(f"{path} is no {kind.name}: {kind.remedy}")
    name = min(differing(theirs, ours), key=lambda name: (name in _DIGESTS, name))
    values = "have changed" if name == "images" else "has changed"
    if name not in _DIGESTS:
        values = f"{theirs.get(name)}, not {ours.get(name)}"
    return ParameterError(f"{path} is of other scores ({name} {values}): {kind.remedy}")


def _damaged(path: Path, line: int, kind: Kind) -> DamagedFileError:
    return DamagedFileError(f"{path} is damaged in line {line}: {kind.remedy}")


def _is_finite(held: Any) -> bool:  # noqa: ANN401
    # an integer may be too large for a float
    number = isinstance(held, (int, float)) and not isinstance(held, bool)
    return number and abs(held) <= sys.float_info.max


def _unwritable(path: Path, error: OSError) -> UntrainedError:
    return UntrainedError(f"cannot write {path}: {error.strerror or error}")

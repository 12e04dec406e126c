"""The scores that an interrupted shard has already, from which the same shard goes on.

A journal is a file of JSON lines: first what its scores depend on, then a line per architecture.
Its name is a digest of the first line, so shards of other settings, or scored by other code, have
other journals and nothing is mixed.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from io import FileIO
from pathlib import Path
from typing import Any, get_args

from untrained.errors import DamagedFileError, ParameterError, UntrainedError
from untrained.files import BUNDLED, digest
from untrained.images.sets import image_set
from untrained.proxies.base import Status
from untrained.scoring.engine import MinibatchSettings, Score

_FORMAT = "untrained scores 1"

#: What stands above scoring in the package, so that scores can't depend on it.
ABOVE = ("cli", "parameters.py", "analysis", "search")

#: Packages whose arithmetic scores are made of.
_LIBRARIES = ("numba", "numpy", "torch")

#: Seconds between two writes that wait for the disk. A process that dies loses no line; a machine
#: that dies loses what it scored in this time.
_SYNC_EVERY = 1.0

#: What a shard is, whatever its settings are.
_SHARD = ("space", "dataset", "seed", "proxies", "shard", "shards")


@dataclass(eq=False)
class Journal:
    """A journal that this process alone writes.

    Attributes:
        path: of the file.
        done: architecture to the spelling of each proxy to its score.
        others: journals of the same shard that are of other settings or code, each with the names
            of what differs.
    """

    path: Path
    done: dict[int, dict[str, Score]]
    others: dict[Path, list[str]]
    _file: FileIO
    _synced: float = 0.0

    def add(self, index: int, scores: Mapping[str, Score]) -> None:
        """Append the scores of an architecture.

        Raises:
            UntrainedError: the disk is full.
        """
        self._write({"arch": index, "scores": {by: asdict(one) for by, one in scores.items()}})
        self.done[index] = dict(scores)

    def remove(self) -> None:
        """Remove the file: the scores have been written elsewhere."""
        self.path.unlink(missing_ok=True)

    def _write(self, line: Mapping[str, Any]) -> None:
        # floats are spelled so that they come back as they were
        text = (json.dumps(line, allow_nan=False, sort_keys=True) + "\n").encode()
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
def opened_journal(folder: Path, settings: Mapping[str, Any]) -> Iterator[Journal]:
    """Open the journal of these settings, which is begun where there is none.

    A line that was not written to its end is dropped, with all that follows.

    Args:
        folder: of the journals.
        settings: names to values that JSON knows.

    Raises:
        UntrainedError: it can't be written, or another process writes it.
        DamagedFileError: it does not begin as a journal does.
        ParameterError: it is of other settings.
    """
    whole = {"format": _FORMAT, **settings}
    path = folder / f"{_name(whole)}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # unbuffered, so that what a full disk did not take is not written again at the end
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UntrainedError(
                f"{path} is being written: another process scores this shard, wait for it or end it"
            ) from error
        except OSError as error:  # a file system without locks
            raise _unwritable(path, error) from error
        file.seek(0)
        lines, end = _whole_lines(file.read())
        if lines and lines[0] != whole:
            raise _not_ours(path, lines[0], whole)
        done: dict[int, dict[str, Score]] = {}
        for number, line in enumerate(lines[1:], start=2):
            if (found := _scores(line)) is None:
                raise DamagedFileError(f"{path} is damaged in line {number}: delete it")
            done.update([found])
        file.truncate(end)
        journal = Journal(path, done, {} if lines else _others(folder, whole), file)
        if not lines:
            journal._write(whole)
        try:
            yield journal
        finally:
            if not journal.done:  # bad input, say
                journal.remove()


def journal_settings(
    proxies: Sequence[str], shown: MinibatchSettings, run: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the scores of a shard depend on.

    Args:
        proxies: how they are spelled.
        shown: the images.
        run: space, seed, sample, execution.
    """
    images = {field.name: getattr(shown, field.name) for field in fields(shown)}
    del images["root"]  # what lies there counts, not where it is
    versions = {f"version of {name}": version(name) for name in _LIBRARIES}
    code = {"code": code_digest(), "images": _digest_of_images(shown)}
    return {**run, **images, **versions, **code, "proxies": list(proxies)}


def code_digest(package: Path = Path(__file__).parents[1]) -> str:
    """A digest of the source of every module that scores may depend on."""
    made = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        if inside.parts[0] not in ABOVE:
            made.update(f"{inside.as_posix()}\0{digest(path, 'sha256')}\n".encode())
    return made.hexdigest()


def _digest_of_images(shown: MinibatchSettings) -> str:
    """A digest of the files of a data set that are here, bundled or fetched."""
    known = image_set(shown.dataset)
    files = [BUNDLED / f"{known.name}.webp", BUNDLED / f"{known.name}.json", known.file(shown.root)]
    here = [digest(path, "sha256") for path in files if path.is_file()]
    return hashlib.sha256("\n".join(here).encode()).hexdigest()


def _name(settings: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]


def _whole_lines(content: bytes) -> tuple[list[Any], int]:
    """The lines before the first torn one, and where they end, in bytes."""
    lines, end = [], 0
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        try:
            lines.append(json.loads(line))
        except ValueError:  # a machine that dies may leave zeros
            break
        end += len(line)
    return lines, end


def _scores(line: Any) -> tuple[int, dict[str, Score]] | None:  # noqa: ANN401 - what JSON holds
    """The architecture of a line and its scores; None where it holds something else."""
    try:
        found = {by: Score(**one) for by, one in line["scores"].items()}
        index = line["arch"]
    except (AttributeError, KeyError, TypeError):
        return None
    known = all(one.status in get_args(Status) for one in found.values())
    return (index, found) if known and isinstance(index, int) else None


def _not_ours(path: Path, theirs: Any, ours: Mapping[str, Any]) -> UntrainedError:  # noqa: ANN401
    if not isinstance(theirs, dict) or "format" not in theirs:
        return DamagedFileError(f"{path} is no journal of scores: delete it")
    name = _differing(theirs, ours)[0]
    return ParameterError(
        f"{path} is of other scores ({name} {theirs.get(name)}, not {ours.get(name)}): delete it"
    )


def _differing(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    names = sorted(theirs.keys() | ours.keys())
    return [name for name in names if theirs.get(name) != ours.get(name)]


def _others(folder: Path, ours: Mapping[str, Any]) -> dict[Path, list[str]]:
    found: dict[Path, list[str]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        # gone where its shard has been finished since
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            begun, _ = _whole_lines(file.readline())
            theirs = begun[0] if begun and isinstance(begun[0], dict) else {}
            if theirs and all(theirs.get(name) == ours.get(name) for name in _SHARD):
                found[path] = _differing(theirs, ours)
    return {path: names for path, names in found.items() if names}


def _unwritable(path: Path, error: OSError) -> UntrainedError:
    return UntrainedError(f"cannot write {path}: {error.strerror or error}")

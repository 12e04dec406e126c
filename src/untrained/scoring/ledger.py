"""The ledger of finished pieces of long work, from which interrupted work resumes.

A ledger is one SQLite file that any number of processes share. Each piece of work has a key (the
request and the digest of the code that it uses) and finished items, each with a JSON value. Items
with another key are never read, so work with other settings or code starts from the beginning. No
result depends on a ledger: it may be deleted whenever no work is running.
"""

import hashlib
import json
import os
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from untrained.errors import DamagedFileError, UntrainedError
from untrained.scoring.progress import quiet

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

#: The first bytes of any SQLite file.
_MAGIC = b"SQLite format 3\0"

#: The mark of a SQLite file that is a ledger ("untr"), and the version of its table.
_APPLICATION, _FORMAT = 0x756E7472, 2

#: Seconds to wait for another process that is writing.
_PATIENCE = 60.0

#: Seconds after which items of unfinished work are deleted.
_KEPT = 60 * 86400.0

#: File systems on which the shared memory of SQLite's write-ahead log or its locks may fail.
_NETWORK = (
    *("9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "gfs2"),
    *("glusterfs", "gpfs", "lustre", "nfs", "nfs4", "ocfs2", "panfs", "smb3", "smbfs", "virtiofs"),
)


@dataclass(eq=False)
class Ledger:
    """The finished items of one piece of work.

    Attributes:
        done: item to its JSON value.
        path: of the file; None where items are kept in memory only.
    """

    done: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    _key: str = ""
    _connection: sqlite3.Connection | None = None

    def add(self, item: str, value: Any) -> None:  # noqa: ANN401 - any JSON
        """Store a finished item, which survives if the process is killed afterwards.

        Args:
            item: a name that is unique within the work.
            value: JSON, which may contain dataclasses.

        Raises:
            UntrainedError: the disk is full, or the file can't be written.
            DamagedFileError: the file has been damaged.
        """
        # floats come back bit for bit
        text = json.dumps(value, allow_nan=False, default=asdict)
        self._execute(
            "INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, ?)",
            *(self._key, item, text, _checksum(self._key, item, text), time.time()),
        )
        self.done[item] = json.loads(text)

    def read(self, item: str, kind: type[T]) -> T:
        """Return a finished item with the type that it had when it was added.

        Args:
            item: the name of a finished item.
            kind: a dataclass, or a collection of dataclasses.

        Raises:
            DamagedFileError: the value is of another type.
        """
        try:
            found: T = _adapter(cast("Hashable", kind)).validate_json(json.dumps(self.done[item]))
        except ValueError as error:
            raise damaged(self.path) from error
        return found

    def finish(self) -> None:
        """Delete the items, whose result has been written elsewhere."""
        self._execute("DELETE FROM done WHERE key = ? OR added < ?", self._key, time.time() - _KEPT)

    def _execute(self, statement: str, *values: object) -> None:
        if self._connection is not None and self.path is not None:
            with _explained(self.path):
                self._connection.execute(statement, values)


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":  # noqa: ANN401 - any type
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


@contextmanager
def opened(
    path: Path | None, key: Mapping[str, Any], tell: Callable[[str], None] = quiet
) -> Iterator[Ledger]:
    """Open the items of a piece of work in a ledger, which is created if there is none.

    A file on a network file system is replaced by one in a local temporary folder, since SQLite
    needs locks and shared memory that such file systems may lack. `Ledger.path` is the file used.

    Args:
        path: the file; None to store nothing.
        key: everything that the values of the items depend on, as JSON.
        tell: takes the message that the file is replaced.

    Raises:
        UntrainedError: the file can't be written, is no ledger, or has another version.
        DamagedFileError: the file is damaged.
    """
    if path is None:
        yield Ledger()
        return
    asked, path = path, local(path)
    if path != asked:
        tell(f"{asked} is on a network file system: the ledger is {path}")
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    with closing(_connect(path)) as connection:
        with _explained(path):
            select = "SELECT item, value, checksum FROM done WHERE key = ?"
            done = {}
            for item, text, checksum in connection.execute(select, (digest,)):
                if checksum != _checksum(digest, item, text):
                    raise damaged(path)
                done[item] = json.loads(text)
        yield Ledger(done, path, digest, connection)


def _checksum(*texts: object) -> int:
    """Return a checksum of a row, since SQLite has none: one flipped bit is another score."""
    return zlib.crc32("\0".join(map(str, texts)).encode())


def damaged(path: Path | None) -> DamagedFileError:
    """Return, not raise, the error for a ledger whose content this program did not write."""
    return DamagedFileError(f"ledger {path} is damaged: delete it, interrupted work starts again")


def local(path: Path, mounts: Path = Path("/proc/mounts")) -> Path:
    """Return a path, or one in a local temporary folder if it is on a network file system.

    Args:
        path: the path of a ledger.
        mounts: Linux's table of mounted file systems; without it every path is taken as local.
    """
    whole, kind, longest = path.absolute().parent.resolve() / path.name, "", -1
    for line in mounts.read_text().splitlines() if mounts.is_file() else ():
        _, point, found, *_ = line.split()
        point = point.replace("\\040", " ")  # spaces are escaped in the table
        # a later mount hides an earlier one on the same point
        if whole.is_relative_to(point) and len(point) >= longest:
            kind, longest = found, len(point)
    if kind not in _NETWORK:
        return path
    name = hashlib.sha256(str(whole).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"untrained-ledgers-{os.getuid()}" / f"{name}.sqlite"


def _connect(path: Path) -> sqlite3.Connection:
    if path.exists() and not path.is_file():
        raise UntrainedError(f"cannot write ledger {path}: it is no plain file, name one")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.seek(0)
            begins = file.read(len(_MAGIC))
    except OSError as error:
        raise UntrainedError(f"cannot write ledger {path}: {error.strerror}") from error
    if begins and begins != _MAGIC:  # SQLite would overwrite a short file of another kind
        raise DamagedFileError(f"{path} is no ledger: name another file")
    with _explained(path):
        connection = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Create the table in an empty file, or check that the file is a ledger."""

    def number(pragma: str) -> int:
        return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])

    def outdated() -> bool:  # items of an older format are of older code, which nothing reads
        ours = number("application_id") == _APPLICATION
        return not number("schema_version") or (ours and number("user_version") < _FORMAT)

    if outdated():
        # one process creates the table, and others wait until it has
        connection.execute("BEGIN IMMEDIATE")
        if outdated():
            connection.execute("DROP TABLE IF EXISTS done")
            connection.execute(
                "CREATE TABLE done (key TEXT, item TEXT, value TEXT, checksum INTEGER, added REAL, "
                "PRIMARY KEY (key, item)) WITHOUT ROWID"
            )
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
        connection.execute("COMMIT")
    if number("application_id") != _APPLICATION:
        raise UntrainedError(f"{path} is no ledger: name another file")
    if (version := number("user_version")) != _FORMAT:
        raise UntrainedError(
            f"ledger {path} has format {version}, not {_FORMAT}: delete it or name another file"
        )
    deadline = time.monotonic() + _PATIENCE
    while True:  # SQLite does not itself wait for the lock that this takes
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    # a killed process loses nothing; a power failure may lose the last items
    connection.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite into one line for the user."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            reason = f"another process has locked it for {_PATIENCE:.0f} s"
        elif error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_ERROR:  # another table than ours
            raise damaged(path) from error
        else:
            reason = str(error)
        raise UntrainedError(
            f"cannot write ledger {path}: {reason}; make room or name another file"
        ) from error
    except sqlite3.DatabaseError as error:
        raise damaged(path) from error

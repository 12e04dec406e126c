"""The ledger of finished pieces of long work."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import asdict

import pytest

from untrained.errors import DamagedFileError, UntrainedError
from untrained.scoring.engine import Score
from untrained.scoring.ledger import Ledger, local, opened

KEY = {"space": "nasbench201", "seed": 0, "code": "0123"}

#: Adds items under a key of its own or a shared one, and dies or finishes.
WORKER = """
import os, signal, sys
from pathlib import Path
from untrained.scoring.ledger import opened

path, key, first, count, dies = sys.argv[1:]
with opened(Path(path), {"key": key}) as ledger:
    for number in range(int(first), int(first) + int(count)):
        ledger.add(str(number), {"score": number / 3})
    if int(dies):
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "ledger.sqlite"


def worker(path, key, first, count, dies):
    command = [sys.executable, "-c", WORKER, path, key, first, count, int(dies)]
    return subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)


def fill(ledger, count=100_000):
    for number in range(count):
        ledger.add(str(number), "text " * 20)


def done(path, key=KEY):
    with opened(path, key) as ledger:
        return ledger.done


def test_items_come_back_as_they_were(path):
    items = {"1": {"score": 0.1 + 0.2, "reason": "π\n"}, "2": None, "3": [1, "a", True]}
    with opened(path, KEY) as ledger:
        assert ledger.done == {}
        for item, value in items.items():
            ledger.add(item, value)
        ledger.add("2", 7)
    assert done(path) == items | {"2": 7}


def test_work_with_another_key_is_not_seen(path):
    with opened(path, KEY) as ledger:
        ledger.add("1", 1)
    assert done(path, KEY | {"code": "changed"}) == {}
    assert done(path, dict(reversed(KEY.items()))) == {"1": 1}


def test_finished_work_is_forgotten_and_other_work_is_not(path):
    for key in (KEY, KEY | {"seed": 1}):
        with opened(path, key) as ledger:
            ledger.add("1", 1)
    with opened(path, KEY) as ledger:
        ledger.finish()
    assert done(path) == {}
    assert done(path, KEY | {"seed": 1}) == {"1": 1}


def test_old_items_that_nobody_came_back_for_are_deleted(path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("time.time", lambda: 1e9)
        with opened(path, KEY) as ledger:
            ledger.add("1", 1)
    with opened(path, KEY | {"seed": 1}) as ledger:
        ledger.finish()
    assert done(path) == {}


def test_nothing_is_kept_without_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with opened(None, KEY) as ledger:
        ledger.add("1", 1)
        ledger.finish()
        assert ledger.done == {"1": 1}
    assert not list(tmp_path.iterdir())


def test_a_killed_process_loses_nothing(path):
    died = worker(path, "one", 0, 50, dies=True)
    assert died.wait() == -signal.SIGKILL, died.stderr.read()
    found = done(path, {"key": "one"})
    assert found == {str(number): {"score": number / 3} for number in range(50)}


def test_several_writers_at_once_lose_nothing(path):
    """Two write the same items of one piece of work, two others have work of their own."""
    tasks = [("one", 0), ("one", 20), ("two", 0), ("three", 0)]
    workers = [worker(path, key, first, 60, dies=False) for key, first in tasks]
    assert [one.wait() for one in workers] == [0] * 4, [one.stderr.read() for one in workers]
    assert done(path, {"key": "one"}).keys() == set(map(str, range(80)))
    assert [len(done(path, {"key": key})) for key in ("two", "three")] == [60, 60]


def test_another_writer_that_finishes_takes_nothing_away(path):
    with opened(path, KEY) as one, opened(path, KEY) as other:
        one.add("1", 1)
        other.add("2", 2)
        one.finish()
        other.add("3", 3)
        assert other.done == {"2": 2, "3": 3}
    assert done(path) == {"3": 3}


@pytest.mark.parametrize(
    "content", [b"text\n" * 300, b"x", b"SQLite format 3\0" + bytes(range(256)) * 20]
)
def test_another_file_is_left_as_it_was(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"is (no ledger|damaged)"), opened(path, KEY):
        pass
    assert path.read_bytes() == content
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_another_database_is_left_as_it_was(tmp_path):
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE done (key TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(UntrainedError, match="is no ledger: name another file"), opened(path, KEY):
        pass
    assert path.read_bytes() == before


def test_another_version_is_refused(path):
    done(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(UntrainedError, match="has format 9, not 2: delete it"), opened(path, KEY):
        pass


@pytest.mark.parametrize("value", ["{", "", b"\xff", None])
def test_damaged_values_are_damage(path, value):
    with opened(path, KEY) as ledger:
        ledger.add("1", 1)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE done SET value = ?", (value,))
    connection.close()
    with pytest.raises(DamagedFileError, match="is damaged: delete it"), opened(path, KEY):
        pass


SCORE = Score(0.1 + 0.2, "ok", "", 1.0)


def test_dataclasses_come_back_as_they_were():
    undefined = Score(None, "singular", "why", 0.0)
    ledger = Ledger()
    ledger.add("named", {"naswot": SCORE, "lga": undefined})
    ledger.add("listed", (SCORE, undefined))
    assert ledger.read("named", dict[str, Score]) == {"naswot": SCORE, "lga": undefined}
    assert ledger.read("listed", list[Score]) == [SCORE, undefined]


@pytest.mark.parametrize(
    "damage",
    [
        *({"score": "1"}, {"score": None}, {"score": True}, {"status": "fine"}),
        *({"status": "singular"}, {"reason": 3}, {"seconds": -1}, {"seconds": True}),
        {"more": 1},
    ],
)
def test_a_value_of_another_type_is_damage(damage):
    ledger = Ledger()
    ledger.add("1", asdict(SCORE) | damage)
    with pytest.raises(DamagedFileError, match="is damaged: delete it"):
        ledger.read("1", Score)


def test_a_damaged_file_is_damage(path):
    with opened(path, KEY) as ledger:
        fill(ledger, 1000)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xaa" * (len(content) - 4096))
    with pytest.raises(DamagedFileError, match="is damaged: delete it"), opened(path, KEY):
        pass


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "ledger.sqlite", tmp_path):
        with pytest.raises(UntrainedError, match="cannot write ledger"), opened(path, KEY):
            pass


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs to mount")
def test_a_full_disk_is_one_line(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs to mount")
    try:
        with opened(folder / "ledger.sqlite", KEY) as ledger:
            with pytest.raises(UntrainedError, match=r"cannot write ledger .* full; make room"):
                fill(ledger)
            kept = dict(ledger.done)
        assert len(kept) > 100
        assert done(folder / "ledger.sqlite") == kept
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_file_that_may_not_grow_is_one_line(tmp_path):
    """As on a full disk, where nothing can be mounted: the process may write files of 64 kB."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
    command = [sys.executable, "-c", limited + WORKER, tmp_path / "l.sqlite", "one", 0, 5000, 0]
    ended = subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True, timeout=60
    )
    assert "UntrainedError: cannot write ledger" in ended.stderr.splitlines()[-1]
    assert done(tmp_path / "l.sqlite", {"key": "one"})


@pytest.mark.parametrize(
    ("point", "kind", "moved"),
    [("", "nfs4", True), ("deeper", "lustre", True), ("", "ext4", False), ("other", "nfs", False)],
)
def test_network_file_systems_are_avoided(tmp_path, point, kind, moved):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/x {tmp_path / point} {kind} rw 0 0\n")
    path = tmp_path / "deeper" / "ledger.sqlite"
    found = local(path, mounts)
    assert (found != path) == moved
    assert local(path, mounts) == found
    assert not moved or found.suffix == ".sqlite"
    assert local(path, tmp_path / "no mounts") == path


@pytest.mark.parametrize(("kinds", "moved"), [(("ext4", "nfs"), True), (("nfs", "ext4"), False)])
def test_a_later_mount_hides_an_earlier_one(tmp_path, kinds, moved):
    mounts = tmp_path / "mounts"
    mounts.write_text("".join(f"x {tmp_path} {kind} rw 0 0\n" for kind in kinds))
    assert (local(tmp_path / "ledger.sqlite", mounts) != tmp_path / "ledger.sqlite") == moved


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE done RENAME COLUMN item TO thing",
        "ALTER TABLE done RENAME TO other",
        "ALTER TABLE done DROP COLUMN added",
        "UPDATE done SET value = 'no JSON'",
    ],
)
def test_a_damaged_table_is_called_so(path, damage):
    with opened(path, KEY) as ledger:
        ledger.add("1", 2.0)
    with sqlite3.connect(path) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(DamagedFileError, match="is damaged: delete it"), opened(path, KEY) as found:
        found.add("2", 3.0)


def test_a_ledger_of_an_older_format_begins_anew(path):
    path.parent.mkdir(exist_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE done (key TEXT, item TEXT, value TEXT, added REAL)")
        connection.execute(f"PRAGMA application_id = {0x756E7472}")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    for done in ({}, {"1": 2.0}):
        with opened(path, KEY) as ledger:
            assert ledger.done == done
            ledger.add("1", 2.0)

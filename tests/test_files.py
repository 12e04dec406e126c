import hashlib
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from untrained import files
from untrained.download import download
from untrained.errors import DamagedFileError, MissingDataError, UntrainedError
from untrained.files import (
    BUNDLED,
    alone_in,
    atomic,
    check_target,
    digest,
    read_parquet,
    read_parquet_parts,
    write_parquet,
)

TABLE = pd.DataFrame({"arch": [0, 1, 2], "score": [1.5, None, -2.0], "status": ["ok", "x", "ok"]})


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_the_block_succeeded(tmp_path):
    target = tmp_path / "new" / "folder" / "file"
    with atomic(target) as part:
        part.write_text("text")
        assert not target.exists()
        assert part.parent == target.parent
    assert target.read_text() == "text"
    assert listing(target.parent) == ["file"]


def test_others_may_read_what_was_written(tmp_path):
    with atomic(tmp_path / "file") as part:
        part.write_text("text")
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("failure", [ValueError("mine"), KeyboardInterrupt()])
def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, failure):
    target = tmp_path / "file"
    target.write_text("old")

    def fails():
        with atomic(target) as part:
            part.write_text("half of the n")
            raise failure

    with pytest.raises(type(failure)):
        fails()
    assert target.read_text() == "old"
    assert listing(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_made_is_the_users_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / "file" / "below"
    with (
        pytest.raises(UntrainedError, match=r"cannot write .*below: (Not a dir|File exists)"),
        atomic(target),
    ):
        pass


def test_a_target_that_is_a_folder_is_the_users_error(tmp_path):
    (tmp_path / "target" / "full").mkdir(parents=True)

    def writes():
        with atomic(tmp_path / "target") as part:
            part.write_text("text")

    with pytest.raises(UntrainedError, match=r"^cannot write .*target: \S.*$"):
        writes()
    assert listing(tmp_path) == ["target"]


@pytest.mark.parametrize("write", ["atomic", "check_target", "download"])
@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_what_is_no_plain_file_is_not_replaced(tmp_path, write, kind):
    target = tmp_path / "target"
    if kind == "folder":
        target.mkdir()
    else:
        os.mkfifo(tmp_path / "fifo")
        target = tmp_path / "fifo" if kind == "fifo" else target
        if kind == "link":
            target.symlink_to("fifo")
    (tmp_path / "source").write_text("text")
    before = {path.name: path.lstat() for path in tmp_path.iterdir()}

    def writes():
        if write == "check_target":
            check_target(target)
        elif write == "download":
            download(str(tmp_path / "source"), target)
        else:
            with atomic(target) as part:
                part.write_text("text")

    words = "it is a folder" if kind == "folder" else "it is no plain file"
    with pytest.raises(UntrainedError, match=f"^cannot write {target}: {words}, name a file$"):
        writes()
    assert {path.name: path.lstat() for path in tmp_path.iterdir()} == before


def test_a_link_to_a_plain_file_is_replaced(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    check_target(tmp_path / "link")
    with atomic(tmp_path / "link") as part:
        part.write_text("new")
    assert (tmp_path / "link").read_text() == "new"
    assert (tmp_path / "file").read_text() == "old"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"can't mount a small file system here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(small_disk):
    noise = pd.DataFrame({"x": np.random.default_rng(0).random(200_000)})
    (small_disk / "table.parquet").write_text("old")
    with pytest.raises(UntrainedError) as caught:
        write_parquet(noise, small_disk / "table.parquet")
    message = str(caught.value)
    assert message.startswith(f"cannot write {small_disk}/table.parquet: ")
    assert "No space left on device" in message
    assert "\n" not in message
    assert listing(small_disk) == ["table.parquet"]
    assert (small_disk / "table.parquet").read_text() == "old"


def test_a_full_disk_is_one_line_for_plain_writes_too(small_disk):
    def writes():
        with atomic(small_disk / "file") as part:
            part.write_bytes(bytes(2**20))

    with pytest.raises(UntrainedError, match=r"^cannot write .*file: No space left on device$"):
        writes()
    assert listing(small_disk) == []


def test_a_table_survives_a_round_trip(tmp_path):
    write_parquet(TABLE, tmp_path / "table.parquet")
    pd.testing.assert_frame_equal(read_parquet(tmp_path / "table.parquet"), TABLE)
    narrow = read_parquet(tmp_path / "table.parquet", columns=["status"])
    assert list(narrow.columns) == ["status"]


def test_equal_tables_give_equal_bytes_whatever_their_index(tmp_path):
    write_parquet(TABLE, tmp_path / "first")
    copy = TABLE.copy()
    copy.index = pd.Index([9, 8, 7], name="row")
    copy.attrs["made"] = "elsewhere"
    write_parquet(copy, tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    write_parquet(TABLE.assign(arch=[0, 1, 3]), tmp_path / "third")
    assert (tmp_path / "first").read_bytes() != (tmp_path / "third").read_bytes()


def test_tables_are_compressed_with_zstd_and_carry_no_metadata_of_pandas(tmp_path):
    write_parquet(TABLE, tmp_path / "table")
    file = pq.ParquetFile(tmp_path / "table")
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.schema_arrow.metadata is None
    assert file.schema_arrow.field("score").type == pa.float64()


def test_a_table_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingDataError, match=r"^.*absent\.parquet does not exist$"):
        read_parquet(tmp_path / "absent.parquet")
    with pytest.raises(MissingDataError):
        read_parquet(tmp_path)


@pytest.mark.parametrize("damage", ["text", "empty", "cut", "middle", "column"])
def test_a_damaged_table_is_one_line_with_the_remedy(tmp_path, damage):
    path = tmp_path / "table.parquet"
    numbers = pd.DataFrame({"x": np.random.default_rng(0).random(1000)})
    write_parquet(numbers, path)
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = b"arch,score\n0,1\n"
    elif damage == "empty":
        content = b""
    elif damage == "cut":
        content = content[:-100]
    elif damage == "middle":
        content[50:4000] = bytes(3950)
    path.write_bytes(content)
    with pytest.raises(DamagedFileError) as caught:
        read_parquet(path, columns=["y"] if damage == "column" else None)
    message = str(caught.value)
    assert message.startswith(f"{path} is damaged (")
    remedies = ("): delete it and make it again", "): make it again, or name another file")
    assert message.endswith(remedies[damage == "column"])
    assert "\n" not in message
    if damage != "column":
        with pytest.raises(DamagedFileError) as caught:
            list(read_parquet_parts(path, 100, ["text"]))
        assert str(caught.value).startswith(f"{path} is damaged (")


def test_a_column_that_is_not_there_is_named(tmp_path):
    path = tmp_path / "table.parquet"
    write_parquet(TABLE, path)
    with pytest.raises(DamagedFileError, match=r"\(it lacks y, z, it has arch, score, status\)"):
        read_parquet(path, ["arch", "y", "z"])
    write_parquet(pd.DataFrame({f"column{number}": [0] for number in range(1000)}), path)
    with pytest.raises(DamagedFileError, match=r"column11, \.\.\.\)"):
        read_parquet(path, ["arch"])


@pytest.mark.parametrize("rows", [1, 2, 3, 1000])
def test_parts_are_the_table(tmp_path, rows):
    write_parquet(TABLE, tmp_path / "table.parquet")
    parts = list(read_parquet_parts(tmp_path / "table.parquet", rows, ["status", "absent"]))
    assert [len(part) for part in parts] == {1: [1, 1, 1], 2: [2, 1]}.get(rows, [3])
    assert all(isinstance(part["status"].dtype, pd.CategoricalDtype) for part in parts)
    whole = pd.concat([part.astype({"status": str}) for part in parts], ignore_index=True)
    pd.testing.assert_frame_equal(whole, TABLE)
    with pytest.raises(MissingDataError, match=r"absent\.parquet does not exist"):
        list(read_parquet_parts(tmp_path / "absent.parquet", rows, []))


def test_a_digest_is_that_of_the_content(tmp_path):
    (tmp_path / "file").write_bytes(b"content" * 100_000)
    expected = hashlib.sha256(b"content" * 100_000).hexdigest()
    assert digest(tmp_path / "file", "sha256") == expected
    assert digest(tmp_path / "file", "md5") != expected


def test_the_bundled_data_are_found_wherever_one_works(tmp_path):
    code = "from untrained.files import BUNDLED; print((BUNDLED / 'checksums.json').is_file())"
    found = subprocess.run(
        [os.sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "True"
    assert BUNDLED.is_absolute()


def test_no_flipped_bit_of_a_table_is_another_number(tmp_path):
    kinds = {"arch": "int64", "score": "float64", "status": "str"}
    write_parquet(TABLE, tmp_path / "table")
    intact = (tmp_path / "table").read_bytes()
    right = read_parquet(tmp_path / "table", kinds)
    refused = 0
    for place in range(len(intact)):
        damaged = bytearray(intact)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "table").write_bytes(damaged)
        try:
            found = read_parquet(tmp_path / "table", kinds)
        except DamagedFileError:
            refused += 1
        else:
            pd.testing.assert_frame_equal(found, right)
    assert refused > len(intact) / 2


def test_a_table_of_other_types_is_damaged(tmp_path):
    write_parquet(TABLE, tmp_path / "table")
    for kinds, said in (
        ({"arch": "str"}, "arch is of type int64, not str"),
        ({"status": "float64"}, "status is of type .*, not float64"),
        ({"score": "int64"}, "score is of type double, not int64"),
        ({"status": "bool"}, "status is of type .*, not bool"),
    ):
        with pytest.raises(DamagedFileError, match=f"table is damaged .{said}.: delete it"):
            read_parquet(tmp_path / "table", kinds)
    write_parquet(TABLE.assign(status=["ok", None, "ok"]), tmp_path / "table")
    with pytest.raises(DamagedFileError, match="status is missing in places"):
        read_parquet(tmp_path / "table", {"status": "str"})


def test_one_at_a_time_writes_in_a_folder(tmp_path):
    inside, told = [], []

    def write(number):
        with alone_in(tmp_path / "new", told.append):
            inside.append(number)
            time.sleep(0.05)
            assert inside.pop() == number
            assert not inside

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    assert told
    assert not (tmp_path / "new").exists()


def test_what_a_killed_process_left_is_removed(tmp_path):
    own = f".table.{files._HOST}-"
    (tmp_path / f"{own}999999999.part-abc").touch()
    (tmp_path / f"{own}{os.getppid()}.part-abc").touch()  # of a process that may still write
    (tmp_path / ".table.other-999999999.part-abc").touch()  # of another machine
    with atomic(tmp_path / "table") as part:
        part.write_text("text")
    kept = [f"{own}{os.getppid()}.part-abc", ".table.other-999999999.part-abc", "table"]
    assert listing(tmp_path) == sorted(kept)

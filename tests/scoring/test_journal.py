"""Journals of interrupted shards: what comes back is what went in, and only to whom it belongs."""

import json
import math
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from untrained.errors import DamagedFileError, ParameterError, UntrainedError
from untrained.scoring import journal
from untrained.scoring.engine import MinibatchSettings, Score
from untrained.scoring.journal import ABOVE, code_digest, journal_settings, opened_journal

ROOT = Path(__file__).parents[2]
SETTINGS = {"space": "nasbench201", "proxies": ["naswot", "lga"], "seed": 0, "shard": 0}


def scores(value):
    return {"naswot": Score(value, "ok", "", 0.25), "lga": Score(None, "singular", "said so", 1.5)}


def written(folder, values, settings=SETTINGS):
    with opened_journal(folder, settings) as kept:
        for index, value in enumerate(values):
            kept.add(index, scores(value))
    return kept.path


def read(folder, settings=SETTINGS):
    with opened_journal(folder, settings) as kept:
        return kept.done


def test_scores_come_back_to_the_last_bit(tmp_path):
    drawn = np.random.default_rng(0).integers(0, 2**64, 2000, np.uint64).view(np.float64)
    values = [float(value) for value in drawn if math.isfinite(value)]
    values += [0.0, -0.0, 5e-324, 0.1 + 0.2, 1.7976931348623157e308]
    written(tmp_path, values)
    found = read(tmp_path)
    assert list(found) == list(range(len(values)))
    for index, value in enumerate(values):
        assert found[index] == scores(value)
        assert found[index]["naswot"].score.hex() == value.hex()


def test_every_beginning_of_a_journal_is_read(tmp_path):
    """A machine may die after any byte: whole lines come back, and the rest can be appended."""
    path = written(tmp_path, [1.5, 2.5, 3.5])
    content = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    for cut in [*range(0, len(content) + 1, 7), *ends, *(end - 1 for end in ends)]:
        for tail in (b"", b"\0" * 9, b"\0" * 9 + b"\n" + content[ends[-2] : ends[-1]]):
            path.write_bytes(content[:cut] + tail)
            whole = sum(end <= cut for end in ends)
            with opened_journal(tmp_path, SETTINGS) as kept:
                assert list(kept.done) == list(range(max(0, whole - 1)))
                for index in range(len(kept.done), 3):
                    kept.add(index, scores(index + 1.5))
            assert path.read_bytes() == content


def test_lines_are_on_disk_as_they_come(tmp_path):
    with opened_journal(tmp_path, SETTINGS) as kept:
        for number in range(3):
            assert len(kept.path.read_bytes().splitlines()) == 1 + number
            kept.add(number, scores(1.0))


def test_the_disk_is_waited_for_once_a_second(tmp_path, monkeypatch):
    clock, waits = [100.0], []
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("os.fsync", lambda number: waits.append(clock[0]))
    with opened_journal(tmp_path, SETTINGS) as kept:
        for number in range(25):
            clock[0] += 0.125
            kept.add(number, scores(1.0))
        clock[0] += 60
        kept.add(25, scores(1.0))
    assert waits == [100, 101, 102, 103, 163.125]


def test_two_processes_do_not_share_one(tmp_path):
    with opened_journal(tmp_path, SETTINGS) as kept:
        kept.add(0, scores(1.0))
        with (
            pytest.raises(UntrainedError, match=r"\.jsonl is being written: another process scor"),
            opened_journal(tmp_path, SETTINGS),
        ):
            pass
        with opened_journal(tmp_path, SETTINGS | {"seed": 1}):
            pass
    assert list(read(tmp_path)) == [0]


@pytest.mark.parametrize("change", [{"seed": 1}, {"proxies": ["lga", "naswot"]}, {"more": "x"}])
def test_a_journal_of_other_settings_is_never_read(tmp_path, change):
    path = written(tmp_path, [1.0])
    assert read(tmp_path, SETTINGS | change) == {}
    assert list(read(tmp_path)) == [0]
    with opened_journal(tmp_path, SETTINGS | change) as kept:
        shutil.copy(path, kept.path)
        (name,) = change
        with (
            pytest.raises(UntrainedError, match="is being written"),
            opened_journal(tmp_path, SETTINGS | change),
        ):
            pass
        kept.add(1, scores(2.0))
    with (
        pytest.raises(ParameterError, match=rf"is of other scores \({name} .*\): delete it$"),
        opened_journal(tmp_path, SETTINGS | change),
    ):
        pass


def test_what_is_no_journal_is_said(tmp_path):
    path = written(tmp_path, [1.0, 2.0])
    lines = path.read_text().splitlines(keepends=True)
    for content, said in (
        (["[]\n"], r"is no journal of scores: delete it$"),
        ([lines[0], '{"arch": 1}\n', lines[2]], r"is damaged in line 2: delete it$"),
        ([lines[0], lines[1], "[1]\n"], r"is damaged in line 3: delete it$"),
        ([lines[0], lines[1].replace('"ok"', '"oh"')], r"is damaged in line 2: delete it$"),
        ([lines[0], lines[1].replace('"arch": 0', '"arch": "0"')], r"is damaged in line 2: "),
    ):
        path.write_text("".join(content))
        with (
            pytest.raises(DamagedFileError, match=said),
            opened_journal(tmp_path, SETTINGS),
        ):
            pass
        assert path.read_text() == "".join(content)


def test_without_scores_nothing_is_left(tmp_path):
    assert not written(tmp_path / "new", []).exists()
    path = written(tmp_path, [1.0])
    with opened_journal(tmp_path, SETTINGS) as kept:
        kept.remove()
    assert not path.exists()


def add_to(file, folder):
    """Two architectures to a journal whose file becomes another one in between."""
    with opened_journal(folder, SETTINGS) as kept:
        kept.add(0, scores(1.0))
        kept._lines._file.close()
        kept._lines._file = file
        kept.add(1, scores(1.0))


def test_a_full_disk_is_one_line(tmp_path):
    said = r"^cannot write .*: No space left on device$"
    with (
        Path("/dev/full").open("ab", buffering=0) as full,
        pytest.raises(UntrainedError, match=said),
    ):
        add_to(full, tmp_path)
    assert list(read(tmp_path)) == [0]


def test_a_disk_that_takes_half_a_line_is_full(tmp_path):
    class Half:
        def write(self, data):
            return len(data) // 2

        def fileno(self):
            return own.fileno()

    with (
        (tmp_path / "other").open("wb") as own,
        pytest.raises(UntrainedError, match=r": No space left on device$"),
    ):
        add_to(Half(), tmp_path)


def test_every_setting_counts():
    run = {"space": "nasbench201", "seed": 0}
    base = journal_settings(["lga"], MinibatchSettings(), run)
    assert json.loads(json.dumps(base)) == base
    for proxies, shown, others in (
        (["lga", "naswot"], MinibatchSettings(), run),
        (["lga"], MinibatchSettings(batch_size=64), run),
        (["lga"], MinibatchSettings(augmentation="crop-flip"), run),
        (["lga"], MinibatchSettings(sampling="balanced"), run),
        (["lga"], MinibatchSettings(split="train"), run),
        (["lga"], MinibatchSettings("cifar100"), run),
        (["lga"], MinibatchSettings(), run | {"seed": 1}),
    ):
        assert journal_settings(proxies, shown, others) != base


def test_other_images_count(tmp_path):
    shown = MinibatchSettings(split="train", root=tmp_path)
    found = []
    for content in (None, b"20,000 images", b"50,000 images"):
        if content is not None:
            (tmp_path / "cifar10.npz").write_bytes(content)
        found.append(journal_settings(["lga"], shown, {})["images"])
    assert len(set(found)) == 3


def test_the_code_counts_that_scores_depend_on(tmp_path):
    package = tmp_path / "untrained"
    shutil.copytree(
        ROOT / "src/untrained", package, ignore=shutil.ignore_patterns("__pycache__", "bundled")
    )
    before = code_digest(package)
    assert before == code_digest()
    for name in ("proxies/ntk.py", "scoring/engine.py", "training/short.py", "seeds.py"):
        path = package / name
        source = path.read_text()
        path.write_text(source + "\n")
        assert code_digest(package) != before, name
        path.write_text(source)
    for name in ("cli/report.py", "analysis/page.py", "search/area.py", "parameters.py"):
        (package / name).write_text("")
    assert code_digest(package) == before
    (package / "networks/new.py").write_text("")
    assert code_digest(package) != before


def test_what_does_not_count_stands_above_scoring():
    """The import rules keep it from being imported where scores are made."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = project["tool"]["importlinter"]["contracts"]
    floors = [[name.strip() for name in floor.split("|")] for floor in contract["layers"]]
    above = floors[: floors.index(["scoring"])]
    assert sorted(Path(name).stem for name in ABOVE) == sorted(
        name for floor in above for name in floor
    )
    assert all((Path(journal.__file__).parents[1] / name).exists() for name in ABOVE)

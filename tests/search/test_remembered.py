"""Finished scores in a file."""

import json
from pathlib import Path

import pytest

from untrained.errors import DamagedFileError, ParameterError, UntrainedError
from untrained.scoring.engine import Score
from untrained.search.remembered import recalled, remembered_beside

SETTINGS = {"space": "toy", "proxies": ["lga@1"], "batch_size": 8, "code": "0f3a"}
SCORES = {
    (3, 0): Score(0.1 + 0.2, "ok", "", 1 / 3),
    (868295024754243053, 1): Score(None, "diverged", "loss nan in epoch 1", 2.5),
    (3, 1): Score(-1e-300, "ok", "", 0.0),
}


def add(path, scores=SCORES, settings=SETTINGS):
    with recalled(path, settings) as remembered:
        for (architecture, seed), score in scores.items():
            remembered.add(architecture, seed, score)
    return remembered.scores


def known(path, settings=SETTINGS):
    return add(path, {}, settings)


@pytest.fixture
def written(tmp_path):
    """A file of three scores."""
    path = tmp_path / "folder" / "trace.scores"
    assert add(path) == SCORES
    return path


def test_scores_come_back_as_they_were(written):
    assert known(written) == SCORES
    assert len(written.read_text().splitlines()) == 1 + len(SCORES)


def test_a_score_is_in_the_file_when_it_is_added(tmp_path):
    path = tmp_path / "scores"
    with recalled(path, SETTINGS) as remembered:
        for count, ((architecture, seed), score) in enumerate(SCORES.items(), start=1):
            remembered.add(architecture, seed, score)
            assert len(path.read_text().splitlines()) == 1 + count


def test_every_beginning_of_a_file_goes_on(written):
    """A process may die after any byte; a machine may leave zeros besides."""
    whole = written.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    for cut in [*range(0, len(whole), 5), *ends, *(end - 1 for end in ends)]:
        for tail in (b"", b"\0" * 9):
            written.write_bytes(whole[:cut] + tail)
            kept = max(0, sum(end <= cut for end in ends) - 1)
            left = dict(list(SCORES.items())[kept:])
            with recalled(written, SETTINGS) as remembered:
                assert list(remembered.scores) == list(SCORES)[:kept]
                for (architecture, seed), score in left.items():
                    remembered.add(architecture, seed, score)
            assert written.read_bytes() == whole


@pytest.mark.parametrize("name", ["space", "proxies", "batch_size"])
def test_scores_of_other_settings_are_refused(written, name):
    before = written.read_bytes()
    with pytest.raises(ParameterError) as refused:
        known(written, SETTINGS | {name: "other", "code": "also another"})
    assert str(refused.value) == (
        f"{written} is of other scores ({name} {SETTINGS[name]}, not other): delete it or name "
        "another with --remember"
    )
    assert written.read_bytes() == before


def test_a_digest_is_not_spelled_out(written):
    with pytest.raises(ParameterError, match=r"is of other scores \(code has changed\): delete it"):
        known(written, SETTINGS | {"code": "77cc"})


@pytest.mark.parametrize(
    "content",
    [
        b"a note",
        b"a note\n",
        b"\0\1\2 a picture",
        b"\0\0\n\0\0",
        b'{"form',
        b'{"format": "untrained scores 1"',
        b"[1]\n",
        b'{"space": "toy"}\n',
    ],
)
def test_a_file_of_somebody_else_is_left_alone(tmp_path, content):
    path = tmp_path / "theirs"
    path.write_bytes(content)
    if content == b'{"form':  # nobody can tell it from an interruption
        assert add(path) == SCORES
        return
    said = r"theirs is no file of a live search's scores: delete it or name another with --rememb"
    with pytest.raises(DamagedFileError, match=said):
        add(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "change",
    [
        {"score": "big"},
        {"score": None},
        {"score": True},
        {"score": float("nan")},
        {"score": float("inf")},
        {"score": 10**400},
        {"seconds": None},
        {"seconds": -0.5},
        {"seconds": float("inf")},
        {"seconds": "1"},
        {"status": "okk"},
        {"status": "lost", "score": None},
        {"status": "diverged"},
        {"status": ["ok"]},
        {"reason": None},
        {"architecture": "3"},
        {"architecture": -1},
        {"architecture": 3.0},
        {"seed": None},
        {"seed": True},
        {"more": 1},
    ],
)
def test_a_line_of_something_else_is_damage(written, change):
    lines = written.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | change)
    damaged = "\n".join(lines) + "\n{"
    written.write_text(damaged)
    with pytest.raises(DamagedFileError, match=r"is damaged in line 2: delete it or name another"):
        known(written)
    assert written.read_text() == damaged


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda text: text.replace('"seed"', '"sede"', 1), 2),
        (lambda text: text.replace('"reason": ""', '"reason": "', 1), 2),
        (lambda text: text.replace("loss", "l\nss"), 3),
        (lambda text: text.replace("toy", "t\ny"), 1),
        (lambda text: text + "[]\n", 5),
    ],
)
def test_a_damaged_line_is_named_and_nothing_is_dropped(written, damage, line):
    damaged = damage(written.read_text())
    written.write_text(damaged)
    with pytest.raises(DamagedFileError, match=rf"is damaged in line {line}: delete it"):
        known(written)
    assert written.read_text() == damaged


def test_two_processes_do_not_write_one_file(written):
    with recalled(written, SETTINGS) as remembered:
        said = r"is being written: another process adds its scores there, wait for it or end it$"
        with pytest.raises(UntrainedError, match=said):
            known(written)
        remembered.add(5, 0, SCORES[3, 0])
    assert len(known(written)) == 1 + len(SCORES)


def test_without_a_file_or_scores_nothing_is_written(tmp_path):
    assert add(None) == SCORES
    assert known(None) == {}
    assert known(tmp_path / "new") == {}
    assert list(tmp_path.iterdir()) == []
    assert remembered_beside(tmp_path / "a.parquet") == tmp_path / "a.parquet.scores"


@pytest.mark.parametrize("path", ["/proc/nowhere/x", "/proc", "/dev/full"])
def test_a_file_that_cannot_be_written_is_said(path):
    with pytest.raises(UntrainedError, match=rf"^cannot write {path}: "):
        add(Path(path))
    assert path != "/dev/full" or Path(path).exists()

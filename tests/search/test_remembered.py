"""Finished scores in a file."""

import pytest

from untrained.errors import DamagedFileError, ParameterError, UntrainedError
from untrained.scoring.engine import Score
from untrained.search.remembered import Remembered, recall, remembered_beside

SETTINGS = {"space": "toy", "proxy": "lga@1", "batch_size": 8}
SCORES = {
    (3, 0): Score(0.1 + 0.2, "ok", "", 1 / 3),
    (868295024754243053, 1): Score(None, "diverged", "loss nan in epoch 1", 2.5),
    (3, 1): Score(-1e-300, "ok", "", 0.0),
}


@pytest.fixture
def written(tmp_path):
    """A file of three scores."""
    path = tmp_path / "folder" / "trace.scores"
    remembered = recall(path, SETTINGS)
    assert remembered.scores == {}
    for (architecture, seed), score in SCORES.items():
        remembered.add(architecture, seed, score)
    return path


def test_scores_come_back_as_they_were(written):
    assert recall(written, SETTINGS).scores == SCORES
    assert len(written.read_text().splitlines()) == 1 + len(SCORES)


def test_a_score_is_in_the_file_when_it_is_added(tmp_path):
    path = tmp_path / "scores"
    remembered = recall(path, SETTINGS)
    for count, ((architecture, seed), score) in enumerate(SCORES.items(), start=1):
        remembered.add(architecture, seed, score)
        assert len(recall(path, SETTINGS).scores) == count


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_an_unfinished_line_is_as_if_it_had_not_been_begun(written, cut):
    whole = written.read_bytes()
    written.write_bytes(whole[:-cut])
    remembered = recall(written, SETTINGS)
    assert list(remembered.scores) == list(SCORES)[:2]
    remembered.add(3, 1, SCORES[3, 1])
    assert written.read_bytes() == whole


def test_an_unfinished_first_line_is_an_empty_file(written):
    whole = written.read_bytes()
    written.write_bytes(whole[:10])
    remembered = recall(written, SETTINGS)
    assert remembered.scores == {}
    for (architecture, seed), score in SCORES.items():
        remembered.add(architecture, seed, score)
    assert written.read_bytes() == whole


@pytest.mark.parametrize("name", SETTINGS)
def test_scores_of_other_settings_are_refused(written, name):
    before = written.read_bytes()
    said = (
        rf"has scores of other settings \({name} {SETTINGS[name]}, not other\): delete it or name"
    )
    with pytest.raises(ParameterError, match=said):
        recall(written, SETTINGS | {name: "other"})
    assert written.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"seed"', '"sede"'),
        lambda text: text.replace("{", "[", 2),
        lambda text: text.replace('"reason"', '"raison"'),
        lambda text: "[1]\n" + text,
        lambda text: text.replace("toy", "t\ny"),
    ],
)
def test_a_damaged_file_is_named(written, damage):
    written.write_text(damage(written.read_text()))
    with pytest.raises(DamagedFileError, match=r"is damaged: delete it and its scores are made ag"):
        recall(written, SETTINGS)


def test_without_a_file_nothing_is_written(tmp_path):
    remembered = Remembered(None, SETTINGS)
    remembered.add(3, 0, SCORES[3, 0])
    assert recall(None, SETTINGS).scores == {}
    assert remembered.scores == {(3, 0): SCORES[3, 0]}
    assert remembered_beside(tmp_path / "a.parquet") == tmp_path / "a.parquet.scores"


def test_a_file_that_cannot_be_written_is_said():
    from pathlib import Path

    with pytest.raises(UntrainedError, match=r"^cannot write /proc/nowhere/x: "):
        Remembered(Path("/proc/nowhere/x"), SETTINGS).add(3, 0, SCORES[3, 0])

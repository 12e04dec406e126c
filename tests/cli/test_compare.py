"""`untrained compare` on files."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from untrained.cli.app import app
from untrained.errors import DamagedFileError, MissingDataError, ParameterError


def run(*words):
    found = CliRunner().invoke(app, ["compare", *map(str, words)])
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found


@pytest.fixture
def files(tmp_path):
    scores = pd.DataFrame({"arch": range(40), "proxy": "naswot", "dataset": "cifar10", "seed": 0})
    scores = scores.assign(score=[float(one * 7 % 13) for one in range(40)], status="ok")
    scores.to_parquet(tmp_path / "ours.parquet")
    theirs = scores.assign(nwot=scores["score"] * 2)[["arch", "nwot"]]
    theirs.to_csv(tmp_path / "theirs.csv", index=False)
    return tmp_path


def test_the_table_is_printed(files):
    words = [files / "theirs.csv", "nasbench201", "--scores", files / "ours.parquet"]
    out = run(*words).stdout
    assert "nwot" in out
    assert "1.000 [1.000, 1.000]" in out
    (row,) = json.loads(run(*words, "--json").stdout)
    assert (row["ours"], row["n"], row["tau"]) == ("naswot", 40, 1.0)
    assert row["equal"] == pytest.approx(4 / 40)  # the zeros
    (row,) = json.loads(run(*words, "--json", "--pair", "nwot=naswot").stdout)
    assert row["theirs"] == "nwot"


def test_what_can_not_be_read_is_one_line(files):
    named = ["nasbench201", "--scores", files / "ours.parquet"]
    with pytest.raises(ParameterError, match="--pair 'nwot': two names"):
        run(files / "theirs.csv", *named, "--pair", "nwot")
    with pytest.raises(MissingDataError, match=r"none\.csv does not exist"):
        run(files / "none.csv", *named)
    with pytest.raises(DamagedFileError, match="is no text"):
        run(files / "ours.parquet", *named)


def test_a_file_that_is_too_large_is_refused(files, monkeypatch):
    monkeypatch.setattr("untrained.report.agreement.LARGEST", 10)
    with pytest.raises(DamagedFileError, match="has more than 0 MiB"):
        run(files / "theirs.csv", "nasbench201", "--scores", files / "ours.parquet")

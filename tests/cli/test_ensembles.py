"""`untrained ensembles` on the scores that come along."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from untrained.cli.app import app
from untrained.errors import MissingDataError, ParameterError
from untrained.scoring.shipped import cached_scores


def run(*words):
    found = CliRunner().invoke(app, ["ensembles", *map(str, words)])
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return found.stdout


@pytest.fixture
def scores(tmp_path):
    table = cached_scores("nasbench201")
    path = tmp_path / "scores.parquet"
    table[table["arch"] % 97 == 5].to_parquet(path)
    return path


def test_the_table_is_printed_and_written(scores, tmp_path):
    named = "log(jacobian_covariance,parameters-live)"
    words = [f"nasbench201={scores}", "--members", 2, "--resamples", 20, "--named", named]
    words += ["--proxy", "jacobian_covariance", "--proxy", "parameters-live"]
    out = run(*words, "--out", tmp_path / "table.csv")
    assert named in out
    table = pd.read_csv(tmp_path / "table.csv")
    assert set(table["kind"]) == {"proxy", "named", "best proxy", "best ensemble", "oracle"}
    rows = json.loads(run(*words, "--json"))
    assert [row["score"] for row in rows] == table["score"].tolist()
    cells = sum(index % 97 == 5 for index in range(15625))
    assert table.loc[table["subset"] == "all", "n"].unique().tolist() == [cells]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--labels", "10,x"], "--labels '10,x': numbers between commas"),
        (["--labels", "1"], "--labels 1: 2 to 1000000"),
        (["nasbench201=other.parquet"], "nasbench201=other.parquet: name each space once"),
    ],
)
def test_wrong_options_are_one_line(scores, words, message):
    with pytest.raises(ParameterError) as caught:
        run(f"nasbench201={scores}", *words)
    assert message in str(caught.value)


def test_what_was_named_may_have_members_that_are_not_chosen_among(scores):
    words = [f"nasbench201={scores}", "--members", 2, "--resamples", 20, "--json"]
    words += ["--proxy", "meco", "--proxy", "naswot", "--named", "log(l2_norm,snip)"]
    rows = pd.DataFrame(json.loads(run(*words, "--named", "synflow")))
    assert set(rows[rows["kind"] == "named"]["score"]) == {"log(l2_norm,snip)", "synflow"}
    others = rows[rows["kind"] != "named"]["score"].unique()
    assert not any("snip" in one or "synflow" in one for one in others)
    with pytest.raises(MissingDataError, match="nasbench201 has no scores of lga: score them"):
        run(*words, "--named", "lga")

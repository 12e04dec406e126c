"""`untrained plan`: the jobs of the workflow, and their hours."""

import json
import re
from collections import Counter

import pytest
import yaml
from tests.test_pipeline import PARAMS, with_changes, workflow

from untrained import forecast
from untrained.parameters import parse_parameters
from untrained.plan import Plan

COUNTED = {
    "scores.proxies": ["parameters", "naswot"],
    "scores.shards": 3,
    "searches.shards": 2,
    "prunings.seeds": [0, 1],
    "prunings.criteria": ["both", "kappa"],
    "training_curves.seeds": [0, 1],
}
CHEAP = {
    "scores.proxies": ["parameters"],
    "searches.proxy": "parameters",
    "searches.scores": "live",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = CHEAP | {"searches.algorithms": ["random"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(with_changes(changes)))
    return tmp_path


@pytest.mark.parametrize("changes", [COUNTED, {"prunings.seeds": [], "training_curves.seeds": []}])
def test_its_jobs_are_those_of_the_workflow(tmp_path, monkeypatch, changes):
    config = with_changes(changes)
    monkeypatch.setattr(forecast, "seconds_per_architecture", lambda *_: 0.5)
    found = Counter()
    for one in forecast.forecast(Plan(parse_parameters(config))):
        found[one.rule] += one.number
    with workflow(tmp_path, config) as built:
        planned = Counter(job.rule.name for job in built.dag.jobs)
    assert found["score"] > 0
    rules = {"score", "search", "ablate", "prune", "front", "training_curve"}
    assert found == {rule: planned[rule] for rule in rules if planned[rule]}


def test_a_job_takes_as_long_as_its_architectures(monkeypatch):
    monkeypatch.setattr(forecast, "seconds_per_architecture", lambda *_: 0.5)
    plan = Plan(parse_parameters(with_changes({"scores.shards": 3})))
    (score,) = [one for one in forecast.forecast(plan) if one.rule == "score"]
    assert score.number == 3 * len(PARAMS["seeds"]) * len(PARAMS["datasets"])
    assert score.seconds == forecast.START + 0.5 * PARAMS["scores"]["architectures"] / 3


def test_rates_are_measured_here(folder, untrained):
    """Those of scores now, the others by what Snakemake has recorded; restored files took none."""
    records = folder / ".snakemake/metadata"
    records.mkdir(parents=True)
    for number, seconds in enumerate((30.0, 50.0, 0.01)):
        job = {"rule": "prune", "starttime": 1000.0, "endtime": 1000.0 + seconds}
        (records / str(number)).write_text(json.dumps(job))
    (folder / "more.yaml").write_text("prunings: {seeds: [0, 1, 2]}")
    code, out, err = untrained("plan", "params.yaml", "more.yaml", "--architectures", "2")
    assert code == 0
    assert "2/2 architectures" in err
    assert re.search(r"score +nasbench201 costs, \S+ s each +4 +\d+ ", out)
    assert re.search(r"prune +2 ran here +3 +40 +0.03", out)
    assert "not counted, since none has run here: search, ablate, front, training_curve" in out
    assert re.search(r"[\d.]+ hours one after another, [\d.]+ on the \d+ \w+ here", out)


def test_damaged_records_are_left_out_with_a_warning(folder, monkeypatch):
    monkeypatch.chdir(folder)
    forecast.RECORDS.mkdir(parents=True)
    good = {"rule": "prune", "starttime": 1000.0, "endtime": 1030.0}
    contents = (b"", b'{"rule": "pru', b"\xff", b"[1]", b"5", b"[" * 100_000)
    others = ({}, good | {"endtime": [1]}, good | {"endtime": "soon"})
    for number, content in enumerate((*contents, *(json.dumps(one).encode() for one in others))):
        (forecast.RECORDS / f"{number}").write_bytes(content)
    (forecast.RECORDS / "good").write_text(json.dumps(good))
    (forecast.RECORDS / "folder").mkdir()
    with pytest.warns(UserWarning, match="^9 damaged records of jobs are left out, such as .*/0$"):
        assert forecast.recorded() == {"prune": [30.0]}


@pytest.mark.parametrize("count", ["0", "-1"])
def test_it_scores_at_least_one_architecture(folder, untrained, count):
    code, _, err = untrained("plan", "--architectures", count)
    assert code == 2
    assert "--architectures" in err
    assert "seed" not in err


def test_a_missing_file_is_one_line(folder, untrained):
    code, out, err = untrained("plan", "none.yaml")
    assert (code, out) == (2, "")
    assert err == "untrained: none.yaml does not exist: name a file of parameters\n"

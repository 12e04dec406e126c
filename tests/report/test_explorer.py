"""What the interactive page holds; tests/report/test_explorer_in_browser.py uses it."""

import base64
import gzip
import json
import re
import shlex

import numpy as np
import pandas as pd
import pytest
from tests.report import explored

from untrained import api, cached_scores, get_space
from untrained.errors import DamagedFileError, ParameterError
from untrained.files import write_parquet
from untrained.report import explorer as explorer_module
from untrained.report.explorer import rank_data, ranking_page, run_page, space_data
from untrained.report.inputs import Inputs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return explored.inputs(tmp_path_factory.mktemp("explored"))


@pytest.fixture(scope="module")
def data(run):
    return space_data(run)


def column(data, label, dataset):
    (found,) = [
        one for one in data["columns"] if (one["label"], one["dataset"]) == (label, dataset)
    ]
    return found


def packed(page, name):
    (text,) = re.findall(rf'<script type="text/plain" id="{name}">(.*?)</script>', page)
    return gzip.decompress(base64.b64decode(text)).decode()


def test_equal_runs_have_equal_pages_without_an_address(run):
    page = run_page([run])
    assert page == run_page([run])
    assert len(page) < 8e6
    without = re.sub(r'(?s)<script type="text/plain".*?</script>', "", page)
    assert "http" not in without
    assert not re.search(r"\{\{\w+\}\}", without)
    assert packed(page, "plotly").lstrip().startswith("/**")
    assert json.loads(packed(page, "data"))["spaces"][0]["members"] == "cells"


def test_scores_are_means_over_seeds_and_undefined_ones_are_null(data):
    table = explored.scores()
    own = table[(table["proxy"] == "naswot") & (table["dataset"] == "cifar10")]
    means = own.groupby("arch")["score"].apply(lambda values: values.mean(skipna=False))
    found = column(data, "naswot", "cifar10")
    assert found["values"][:4] == [None] * 4
    np.testing.assert_allclose(found["values"][4:], means.iloc[4:], rtol=1e-15)
    assert data["index"] == means.index.tolist()
    assert not found["lower"]
    assert column(data, "ntk_condition_number", "cifar10")["lower"]


def test_an_architecture_that_was_not_scored_is_not_undefined(run, tmp_path):
    table, other = explored.scores(), with_scores(run, tmp_path)
    first = table["arch"].min()
    own = table["proxy"] == "ntk_condition_number"
    vars(other)["scores"] = table[~(own & (table["arch"] == first))]
    columns = space_data(other)
    assert column(columns, "ntk_condition_number", "cifar10")["unscored"] == [0]
    assert "unscored" not in column(columns, "naswot", "cifar10")


def test_accuracies_name_data_set_split_and_epochs(data, benchmark_table):
    label = "CIFAR-10 test accuracy, 200 epochs (%)"
    found = column(data, label, "cifar10")
    assert (found["kind"], found["split"]) == ("accuracy", "test")
    expected = benchmark_table.accuracies("cifar10", "ori-test")[data["index"]]
    np.testing.assert_array_equal(np.array(found["values"], float), expected)
    labels = {(one["label"], one["dataset"]) for one in data["columns"]}
    assert ("CIFAR-100 validation accuracy, 200 epochs (%)", "cifar100") in labels
    assert ("accuracy after 12 epochs", "cifar10") in labels
    assert ("parameters (benchmark)", "") in labels


def test_images_that_stand_in_for_others_are_named(run, tmp_path):
    table = explored.scores()
    table = table[table["dataset"] == "cifar100"].assign(dataset="TinyImageNet16-120")
    other = type(run)("nasbench201", scores_file=tmp_path / "scores.parquet", folder=tmp_path)
    vars(other)["scores"] = table
    found = space_data(other)
    (dataset,) = found["datasets"]
    assert dataset["label"] == "TinyImageNet16-120, accuracies of ImageNet16-120"
    accuracies = [one["label"] for one in found["columns"] if one["kind"] == "accuracy"]
    assert accuracies[1] == "ImageNet16-120 test accuracy, 200 epochs (%)"
    assert found["correlations"] == found["searches"] == [], "their tables were not made"


def test_the_command_scores_the_architecture_as_the_run_did(data):
    command = column(data, "naswot", "cifar100")["command"].format(index=7)
    words = "untrained score nasbench201 7 --dataset cifar100 --proxy naswot --seed 0 --seeds 2"
    assert shlex.split(command) == words.split()


def test_no_command_scores_one_architecture_by_an_ensemble(run, tmp_path):
    other = with_scores(run, tmp_path, proxy="log(naswot,parameters)")
    vars(other)["scores"] = other.scores.drop_duplicates(["arch", "proxy", "dataset", "seed"])
    found = space_data(other)["columns"]
    assert {"command" in one for one in found if one["label"].startswith("log(")} == {False}


def test_the_command_names_a_space_as_the_run_does(run, tmp_path):
    other = with_scores(run, tmp_path)
    assert other.space.name == other.benchmark.space == "nasbench201"  # they were found by it
    vars(other)["name"] = "mine:Space"
    (command, *_) = column(space_data(other), "naswot", "cifar10")["command"].splitlines()
    assert command.startswith("untrained score mine:Space {index} ")


def test_taus_are_turned_where_lower_is_better(data, run):
    table = run.table("correlations").assign(proxy=lambda own: own["proxy"].astype(str))
    for row, known in zip(data["correlations"], table.to_dict("records"), strict=True):
        sign = -1 if known["proxy"] == "ntk_condition_number" else 1
        assert row["tau"] == pytest.approx(sign * known["tau"], nan_ok=True)
        assert row["tau_low"] <= row["tau"] <= row["tau_high"]
    assert {row["test"] for row in data["correlations"]} == {True, False}


def test_searches_are_curves_and_points(data):
    curves = {one["method"]: one for one in data["searches"]}
    assert curves["AREA"]["spent"] == [50, 100, 400]
    assert curves["AREA"]["regret"] == [2, 1, 0.25]
    assert curves["AREA"]["trains"]
    assert curves["Random"]["spent"] == [0]


def test_a_ranking_has_a_page(tmp_path):
    candidates = ["nasbench201/3", "nasbench201/1462"]
    table = api.rank(candidates, ["parameters", "flops"], images="noise", batch_size=4, seeds=1)
    found = rank_data(table)
    assert set(found["names"]) == set(candidates)
    place = found["names"].index("nasbench201/1462")
    values = {one["label"]: one["values"][place] for one in found["columns"]}
    assert values["parameters"] == 1_531_546
    assert values["rank by parameters"] == 1
    assert len(found["drawings"][place][0]["edges"]) == 6
    assert json.loads(packed(ranking_page(table), "data"))["spaces"][0]["index"] is None


def test_what_has_no_score_is_null_in_a_ranking():
    head = {"direction": "lower", "seconds": 1.0, "std": 0.0, "reason": ""}
    rows = [
        {"candidate": "it's mine", "proxy": "p", "score": 2.0, "rank": 1, "status": "ok"} | head,
        {"candidate": "b", "proxy": "p", "score": np.nan, "rank": None, "status": "failed"} | head,
    ]
    scores, ranks = rank_data(pd.DataFrame(rows))["columns"]
    assert scores["values"] == [2, None]
    assert scores["lower"]
    assert ranks["values"] == [1, None]


def with_scores(run, folder, **changed):
    """The same run with other scores."""
    other = type(run)("nasbench201", scores_file=run.scores_file, folder=folder)
    vars(other)["scores"] = explored.scores().assign(**changed)
    return other


def test_costs_and_proxies_of_one_name_differ(run, tmp_path):
    table = explored.scores()
    beside = table[table["proxy"] == "naswot"].assign(proxy="parameters")
    other = with_scores(run, tmp_path)
    vars(other)["scores"] = pd.concat([table, beside], ignore_index=True)
    columns = space_data(other)["columns"]
    for dataset in ("cifar10", "cifar100"):
        labels = [one["label"] for one in columns if one["dataset"] in (dataset, "")]
        assert {"parameters", "parameters (benchmark)"} <= set(labels)
        assert len(set(labels)) == len(labels)


def test_settings_and_seeds_that_are_not_consecutive_are_in_the_command(run, tmp_path):
    table = explored.scores()
    more = [table.assign(seed=table["seed"] + first) for first in (3, 7)]
    other = with_scores(run, tmp_path)
    vars(other)["scores"] = pd.concat([*more, more[1].query("seed == 7").assign(seed=10)])
    found = space_data(other, ["--batch-size", "64"])
    lines = column(found, "naswot", "cifar10")["command"].splitlines()
    head = "untrained score nasbench201 {index} --dataset cifar10 --proxy naswot --batch-size 64"
    ends = ("--seed 3 --seeds 2", "--seed 7 --seeds 2", "--seed 10 --seeds 1")
    assert lines == [f"{head} {end}" for end in ends]


def test_scores_that_are_not_of_the_space_get_one_line(run, tmp_path):
    for arch in (-1, 99_999):
        with pytest.raises(ParameterError, match=f"architecture {arch}: its benchmark ends at"):
            space_data(with_scores(run, tmp_path, arch=arch))
    empty = with_scores(run, tmp_path)
    vars(empty)["scores"] = explored.scores().head(0)
    with pytest.raises(ParameterError, match="have no rows"):
        space_data(empty)
    with pytest.raises(ParameterError, match="nasbench201 is named twice"):
        run_page([run, run])


def test_a_damaged_table_of_searches_gets_one_line(run, tmp_path):
    write_parquet(explored.regrets().drop(columns="unit"), tmp_path / "regret.parquet")
    with pytest.raises(DamagedFileError, match="lacks unit"):
        space_data(with_scores(run, tmp_path))


def failures():
    """A ranking in which a network fails, one proxy does not apply, and a name is a number off."""
    rows = [
        ("a", "p", 2.0, 2, "ok", ""),
        ("b", "p", 1.0, 1, "ok", ""),
        ("<i>c</i>", "p", np.nan, None, "failed", "ValueError: no"),
        ("nasbench201/3 1", "p", 3.0, 3, "ok", ""),
        ("a", "log(p,q)", np.nan, None, "not_applicable", "q: no labels"),
        ("b", "log(p,q)", 4.0, 1, "ok", ""),
        ("<i>c</i>", "log(p,q)", np.nan, None, "failed", "ValueError: no"),
        ("nasbench201/3 1", "log(p,q)", 3.0, 2, "ok", ""),
    ]
    names = ["candidate", "proxy", "score", "rank", "status", "reason"]
    return pd.DataFrame(rows, columns=names).assign(direction="higher", seconds=1.0, std=0.0)


def test_a_ranking_says_what_failed_and_why(monkeypatch):
    monkeypatch.setattr(explorer_module, "proxy_label", str)
    found = rank_data(failures())
    assert found["notes"] == [
        "log(p,q): not_applicable: q: no labels", "", "failed: ValueError: no", ""
    ]  # fmt: skip
    assert found["drawings"][3] == [], "its name is no spelling"
    assert rank_data(failures().query("candidate == 'b'"))["notes"] is None
    twice = pd.concat([failures(), failures()])
    assert rank_data(twice) == found


def test_the_command_of_a_ranking_is_that_of_the_run(monkeypatch):
    monkeypatch.setattr(explorer_module, "proxy_label", str)
    options = ["--images", "my pictures", "--seeds", "1"]
    columns = rank_data(failures(), options)["columns"]
    commands = {one["label"]: one["command"] for one in columns}
    end = "--images 'my pictures' --seeds 1"
    assert commands["p"] == commands["rank by p"] == f"untrained rank {{name}} --proxy p {end}"
    everyone = "a b '<i>c</i>' 'nasbench201/3 1'"
    assert commands["log(p,q)"] == f"untrained rank {everyone} --proxy 'log(p,q)' {end}"


def test_a_ranking_by_what_is_better_if_lower_says_so():
    lower, ranks = rank_data(failures().query("proxy == 'p'").assign(direction="lower"))["columns"]
    assert lower["lower"]
    assert ranks["lower"]


def test_a_page_of_all_cells_by_all_proxies_that_come_along_is_below_8_mb(tmp_path):
    space = get_space("nasbench201")
    page = run_page([Inputs(space.name, scores_file=space.scores, folder=tmp_path)])
    assert len(page.encode()) < 8e6
    (found,) = json.loads(packed(page, "data"))["spaces"]
    assert len(found["index"]) == len(space)
    scored = {one["label"] for one in found["columns"] if one["kind"] == "score"}
    assert scored - {"accuracy after 12 epochs"} == set(cached_scores(space)["proxy"])

"""Scores that come along: all cells of NAS-Bench-201, held against scores that are made here."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from untrained import (
    Benchmark,
    cached_scores,
    pareto,
    quantity_values,
    run_search,
    score_space,
)
from untrained.errors import MissingDataError
from untrained.files import SCORES, write_parquet
from untrained.report.inputs import Inputs
from untrained.report.sections.shipped import shipped_table
from untrained.scoring.columns import SCORE_TYPES
from untrained.scoring.shipped import scores_at_hand
from untrained.spaces import get_space, table_of
from untrained.spaces.nasbench201 import operations_of


@pytest.fixture(scope="module")
def shipped():
    return cached_scores("nasbench201")


def test_every_cell_has_a_score_or_a_status(shipped):
    """Of slow proxies the first cells of one random order have one."""
    more = {"seconds": "float32", "batch_size": "int32"}
    assert {name: str(kind) for name, kind in shipped.dtypes.items()} == SCORE_TYPES | more
    samples = []
    for _, own in shipped.groupby(["proxy", "dataset", "seed"]):
        cells = own["arch"].tolist()
        if len(cells) < 15_625:
            samples.append(set(cells))
        else:
            assert cells == list(range(15_625))
        undefined = ~np.isfinite(own["score"])
        assert ((own["status"] != "ok") == undefined).all()
        assert (own["seconds"].isna() | (own["seconds"] >= 0)).all()
        assert own["batch_size"].nunique() == 1
    assert all(one <= max(samples, key=len) for one in samples)


def test_cells_that_run_the_same_operations_have_the_same_score(shipped):
    """Only live counts are the same where merely the function is: dead branches draw weights."""
    space = get_space("nasbench201")
    for name in ("jacobian_covariance", "parameters", "parameters-live", "flops-live"):
        own = shipped[shipped["proxy"] == name].set_index("arch")["score"]
        classes = space.representatives if name.endswith("live") else space.executed_representatives
        assert own.groupby(classes).nunique(dropna=False).max() == 1


def test_the_published_count_of_flops_has_poolings_too(shipped):
    """Nine operations for each output of a pooling explain its taus, .05 below those of ours."""
    space, benchmark = get_space("nasbench201"), Benchmark.load("nasbench201")
    cells = np.unique(space.live_representatives)
    ours = shipped[shipped["proxy"] == "flops"].set_index("arch")["score"].loc[cells].to_numpy()
    poolings = [operations_of(space.spelling(cell)).count("avg_pool_3x3") for cell in cells]
    outputs = 5 * (16 * 32**2 + 32 * 16**2 + 64 * 8**2)  # of an edge, in all cells of a network
    both = ours + 9 * outputs * np.array(poolings)
    for dataset, split, published in (
        *(("cifar10", "ori-test", 0.573), ("cifar100", "x-test", 0.537)),
        ("ImageNet16-120", "x-test", 0.498),
    ):
        accuracies = benchmark.accuracies(dataset, split)[cells]
        assert kendalltau(both, accuracies).statistic == pytest.approx(published, abs=0.0025)
        assert kendalltau(ours, accuracies).statistic > published + 0.04


def made_here(proxies, cells, batch_size, dataset):
    return score_space(
        *("nasbench201", proxies),
        architectures=cells,
        share=True,
        dataset=dataset,
        batch_size=batch_size,
        precision="float32",
    )


SETTINGS = cached_scores("nasbench201")[["dataset", "batch_size"]].drop_duplicates()


@pytest.mark.parametrize(("dataset", "batch_size"), SETTINGS.to_numpy().tolist())
def test_scores_that_are_made_here_are_those(shipped, dataset, batch_size, tmp_path):
    """Of a few cells by every proxy, within the tolerance of the report, which names others."""
    own = shipped[(shipped["dataset"] == dataset) & (shipped["batch_size"] == batch_size)]
    cells = own.groupby("proxy")["arch"].nunique()
    whole = cells.index[cells == 15_625].tolist()
    tables = [made_here(whole, [71, 2044, 9999], batch_size, dataset)] if whole else []
    if slow := cells.index[cells < 15_625].tolist():
        some = own.loc[own["proxy"] == cells.idxmin(), "arch"].tolist()  # all others have those
        tables.append(made_here(slow, some[7:8], batch_size, dataset))
    write_parquet(pd.concat(tables), tmp_path / "live.parquet")
    files = {"shipped": [get_space("nasbench201").scores]}
    inputs = Inputs("nasbench201", scores_file=tmp_path / "live.parquet", files=files)
    found = shipped_table(inputs, {"batch_size": batch_size})
    assert set(found["proxy"]) == set(cells.index)
    assert (found["agree"] == found["n"]).all()


def test_a_search_reads_them_where_the_workflow_made_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = []
    settings = {"budget": "20evaluations", "runs": 2, "tell": told.append}
    named = "rs+fitness=log(jacobian_covariance,parameters-live)"
    found = run_search(named, "nasbench201", **settings)
    assert len(told) == 1
    assert "reading the scores that come with untrained" in told[0]
    assert (found.final["step"] == 20).all()
    given = run_search(named, "nasbench201", scores=cached_scores("nasbench201"), **settings)
    assert given.trace.equals(found.trace)


def test_those_that_come_along_stand_in_for_what_a_run_has_not_scored(
    shipped, tmp_path, monkeypatch
):
    """Scores of both are never mixed: they have other cells and seeds."""
    monkeypatch.chdir(tmp_path)
    made = table_of(SCORES, "nasbench201")
    made.parent.mkdir(parents=True)
    own = shipped[(shipped["proxy"] == "naswot") & (shipped["arch"] < 50)]
    write_parquet(own.assign(score=own["arch"] * 1.0)[list(SCORE_TYPES)], made)
    space = get_space("nasbench201")
    for proxies, dataset, count in (
        *((["naswot"], "cifar10", len(own)), ([], "cifar10", len(own))),
        *((["naswot", "meco"], "cifar10", len(shipped)), (["meco"], "cifar10", len(shipped))),
        (["nothing"], "cifar10", len(own)),
    ):
        assert len(scores_at_hand(space, None, proxies, dataset)) == count
    assert len(scores_at_hand(space, made, ["meco"], "cifar10")) == len(own)
    assert np.isfinite(quantity_values("nasbench201", "meco")).sum() == 15_424
    told = []
    settings = {"budget": "60evaluations", "runs": 1, "tell": told.append}
    run_search("rs+fitness=log(meco,naswot)", "nasbench201", **settings)
    assert "lacks scores of meco or naswot on cifar10: reading the scores that come" in told[0]
    run_search("naswot-10", "nasbench201", runs=1, tell=told.append)
    assert len(told) == 2
    assert told[1].startswith("50 of 15,625 cells are scored by naswot: ")
    found = pareto("nasbench201", ["meco", "latency[raspi4]"], evaluations=60)
    assert len(found.runs[0]) == 60
    found = pareto("nasbench201", ["naswot", "latency[raspi4]"], evaluations=60)
    assert len(found.runs[0]) == 50


def test_what_is_found_in_a_sample_alone_is_told(shipped):
    part = shipped[shipped["arch"] % 100 == 0]
    said = "157 of 15,625 cells are scored by {}: the search finds no others"
    for spelled, scores, by in (
        ("rea+fitness=log(meco,naswot)", part, "log(meco,naswot)"),
        ("rs+pool=meco+fitness=naswot", part, "naswot, meco"),
        ("naswot-10", part, "naswot"),
        ("area", part, ""),  # which only starts there
        ("rea+fitness=log(meco,naswot)", shipped, ""),
    ):
        told, spends = [], {} if spelled == "naswot-10" else {"budget": "12evaluations"}
        run_search(spelled, "nasbench201", runs=1, scores=scores, tell=told.append, **spends)
        assert told == ([said.format(by)] if by else [])
    for scores, expected in ((part, [said.format("meco, naswot")]), (shipped, [])):
        told, aims = [], ["log(meco,naswot)", "latency[raspi4]"]
        pareto("nasbench201", aims, evaluations=5, scores=scores, tell=told.append)
        assert told == expected


def test_a_space_without_scores_says_how_they_are_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingDataError, match="no scores come with darts: score it by `untrained"):
        cached_scores("darts")
    with pytest.raises(MissingDataError, match="does not exist: `make run`"):
        scores_at_hand(get_space("natsbench_size"))

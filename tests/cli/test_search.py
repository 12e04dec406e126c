"""`untrained search` on small tables of real scores."""

import json
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress

import numpy as np
import pandas as pd
import pytest

from untrained.search import parse_algorithm
from untrained.search.pool import TRACE_COLUMNS, empty_trace

from .conftest import command

pytestmark = pytest.mark.usefixtures("short_networks")

SIX_COLUMNS = 6  # validation and test of three data sets
#: What is said of the scores of `merged`.
SAMPLE = "12 of 15,625 cells are scored by naswot: the search finds no others"


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    """Twelve architectures, two seeds, on CIFAR-10."""
    folder = tmp_path_factory.mktemp("scores")
    shards = [folder / f"{seed}.parquet" for seed in (0, 1)]
    for seed, shard in enumerate(shards):
        command(
            *("shard", "nasbench201", "--proxy", "naswot", "--dataset", "cifar10"),
            *("--seed", seed, "--architectures", 12, "--batch-size", 8, "--out", shard),
        )
    command("merge", *shards, "--out", folder / "merged.parquet")
    return folder / "merged.parquet"


@pytest.fixture
def scored(merged, tmp_path):
    """Those scores, where the search looks for them."""
    target = tmp_path / "results/scores/nasbench201.parquet"
    target.parent.mkdir(parents=True)
    shutil.copy(merged, target)
    return pd.read_parquet(target)


#: Options that not every algorithm uses.
SOME = {"--budget", "--proxy", "--seconds-per-score", "--scores"}


def search(untrained, algorithm, *options):
    """Run a search with those options of several that it uses."""
    pairs = [*zip(options[::2], options[1::2], strict=True)]
    proxy, own = dict(pairs).get("--proxy", "naswot"), parse_algorithm(algorithm)
    pairs = [
        pair
        for pair in pairs
        if pair[0] not in SOME or own.uses(pair[0].strip("-").replace("-", "_"), proxy)
    ]
    options = [word for pair in pairs for word in pair]
    code, out, err = untrained("search", algorithm, "nasbench201", "--out", "trace", *options)
    assert code == 0, err
    return pd.read_parquet("trace"), err + out


def test_the_best_scored_of_the_drawn_is_picked(untrained, scored):
    trace, err = search(untrained, "naswot-4", "--runs", 6, "--seconds-per-score", 0.5)
    assert list(trace.columns) == list(TRACE_COLUMNS)
    final = trace[trace["is_final"]]
    assert final["run"].tolist() == list(range(6))
    assert (final["step"] == 4).all()
    assert (final["simulated_seconds"] == 2.0).all()
    assert set(trace["arch"]) <= set(scored["arch"])
    for row in final.itertuples():
        own = scored[(scored["arch"] == row.arch) & (scored["seed"] == row.run % 2)]
        np.testing.assert_equal(row.fitness, own["score"].item())
    told, *columns, best = err.splitlines()
    assert told == SAMPLE
    assert len(columns) == SIX_COLUMNS
    assert all(line.startswith("naswot-4: ") for line in columns)
    assert all(line.endswith(" % over 6 runs") for line in columns)
    assert best.startswith("best: untrained score nasbench201 ")


@pytest.mark.usefixtures("scored")
def test_what_is_printed_is_the_mean_of_the_table(untrained, benchmark_table):
    trace, err = search(untrained, "naswot-3", "--runs", 5)
    picked = trace.loc[trace["is_final"], "arch"].to_numpy()
    reached = benchmark_table.accuracies("cifar10", "ori-test")[picked]
    expected = f"cifar10/ori-test {reached.mean():.2f} ± {reached.std(ddof=1):.2f} % over 5 runs"
    assert expected in err


def test_one_run_has_no_spread(untrained):
    _, err = search(untrained, "random", "--runs", 1)
    assert len(err.splitlines()) == SIX_COLUMNS + 1
    assert "nan" not in err
    assert "±" not in err


def test_what_is_found_is_printed_and_progress_is_not(untrained):
    code, out, err = untrained("search", "rs", "nasbench201", "--runs", 2, "--budget", "2000s")
    assert code == 0
    assert len(out.splitlines()) == SIX_COLUMNS + 1
    assert all("runs/s" in line for line in err.splitlines())


def test_a_lower_condition_number_is_the_better_one(untrained, tmp_path):
    """Where less is better, the search keeps the least."""
    size = 15_625
    score = np.random.default_rng(0).uniform(1, 100, size)
    table = pd.DataFrame({"arch": np.arange(size), "proxy": "ntk_condition_number", "seed": 0})
    table = table.assign(dataset="cifar10", score=score, status="ok")
    table.to_parquet(tmp_path / "kappa.parquet")
    asked = ("--scores", "kappa.parquet", "--proxy", "ntk_condition_number", "--runs", 5)
    trace, _ = search(untrained, "naswot-200", *asked)
    picked = score[trace.loc[trace["is_final"], "arch"].to_numpy()]
    assert (picked < np.quantile(score, 0.1)).all()


def test_searches_without_scores_need_none(untrained):
    for algorithm in ("random", "optimal-10"):
        trace, _ = search(untrained, algorithm, "--runs", 4)
        assert trace["is_final"].sum() == 4 * (SIX_COLUMNS if "optimal" in algorithm else 1)


@pytest.fixture
def all_scored(tmp_path):
    """A score for each cell of the space, and one data set more."""
    size = 15_625
    table = pd.DataFrame({"arch": np.arange(size), "proxy": "naswot", "dataset": "cifar10"})
    table["seed"] = 0
    table["score"] = np.random.default_rng(0).standard_normal(size)
    table["status"] = "ok"
    table.to_parquet(tmp_path / "all.parquet")
    return table


TRAINED = ["rs", "rea", "reinforce", "bohb", "local"]


@pytest.mark.parametrize("algorithm", TRAINED)
def test_a_search_that_trains_needs_no_scores(untrained, algorithm):
    trace, err = search(untrained, algorithm, "--runs", 3, "--budget", "1500s")
    assert list(trace.columns) == list(TRACE_COLUMNS)
    final = trace[trace["is_final"]]
    assert final["run"].tolist() == [0, 1, 2]
    assert final["simulated_seconds"].between(1500 - 250, 1500).all()
    lines = err.splitlines()
    assert lines[0].startswith(f"{algorithm}/nasbench201/cifar10: 1/3 runs, ")
    assert len(lines) == 3 + SIX_COLUMNS + 1


def test_images_that_stand_for_others_are_trained_as_those(untrained):
    shared = ("--runs", 2, "--budget", "4evaluations")
    stand_in, _ = search(untrained, "rs", *shared, "--dataset", "TinyImageNet16-120")
    official, _ = search(untrained, "rs", *shared, "--dataset", "ImageNet16-120")
    pd.testing.assert_frame_equal(stand_in, official)


def test_the_best_is_the_command_that_scores_it(untrained):
    trace, err = search(untrained, "rea", "--runs", 4, "--budget", "15evaluations")
    program, *arguments = shlex.split(err.splitlines()[-1].removeprefix("best: "))
    assert program == "untrained"
    code, out, said = untrained(*arguments, "--seeds", 1, "--batch-size", 4, "--json")
    assert code == 0, said
    final = trace[trace["is_final"]]
    assert json.loads(out)[0]["architecture"] == final.loc[final["fitness"].idxmax(), "arch"]


def test_one_json_object_is_all_that_is_printed(untrained, benchmark_table):
    code, out, err = untrained(
        *("search", "rs", "nasbench201", "--runs", 10, "--budget", "5evaluations", "--json"),
        *("--dataset", "cifar100", "--out", "trace", "--seed", 3),
    )
    assert code == 0
    assert all(" runs/s, " in line for line in err.splitlines())
    found = json.loads(out)
    asked = ("algorithm", "space", "dataset", "seed", "budget", "runs")
    assert [found[key] for key in asked] == ["rs", "nasbench201", "cifar100", 3, "5evaluations", 10]
    final = pd.read_parquet("trace").query("is_final")
    for column in ("cifar100/x-test", "cifar10-valid/x-valid"):
        reached = benchmark_table.accuracies(*column.split("/"))[final["arch"]]
        expected = {"mean": reached.mean(), "std": reached.std(ddof=1)}
        assert found["accuracy"][column] == pytest.approx(expected)
    best = final.loc[final["fitness"].idxmax()]
    assert found["best"]["architecture"] == best["arch"]
    assert found["best"]["fitness"] == best["fitness"]
    seen = benchmark_table.accuracies("cifar100", "x-valid", 12, "777")[best["arch"]]
    assert best["fitness"] == seen


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("algorithm", ["random", "naswot-4", "optimal-10"])
def test_what_trains_nothing_has_json_too(untrained, algorithm):
    _, out, err = untrained("search", algorithm, "nasbench201", "--runs", 1, "--json")
    found = json.loads(out)
    assert err == (f"{SAMPLE}\n" if algorithm == "naswot-4" else "")
    assert len(found["accuracy"]) == SIX_COLUMNS
    assert all(value["std"] is None for value in found["accuracy"].values())
    assert "budget" not in found
    assert (found["best"] is None) == (algorithm == "optimal-10")


def test_area_starts_from_the_best_scored(untrained, all_scored):
    trace, _ = search(
        untrained, "area", "--runs", 5, "--budget", "1evaluations", "--scores", "all.parquet"
    )
    final = trace[trace["is_final"]]
    # one of twenty at random is among the best tenth only now and then
    ranks = all_scored["score"].rank(pct=True)[final["arch"]]
    assert (ranks > 0.7).all()
    assert (final["simulated_seconds"] > 20 * 0.3).all()


def test_area_is_evolution_with_a_scored_start(untrained, all_scored):
    shared = ("--runs", 3, "--budget", "40evaluations", "--scores", "all.parquet")
    area, _ = search(untrained, "area", *shared)
    rea, _ = search(untrained, "rea+init=naswot+replacement=false", *shared)
    pd.testing.assert_frame_equal(area, rea)
    plain, _ = search(untrained, "area+init=random", *shared)
    assert not plain.equals(area)


def test_any_search_that_trains_takes_a_scored_start(untrained, all_scored):
    for algorithm in TRAINED:
        shared = ("--runs", 2, "--budget", "12evaluations", "--scores", "all.parquet")
        plain, _ = search(untrained, algorithm, *shared)
        warm, _ = search(untrained, f"{algorithm}+init=naswot+scored=40", *shared)
        assert not plain.equals(warm)


def test_a_proxy_chooses_among_mutants(untrained, all_scored):
    shared = ("--runs", 2, "--budget", "30evaluations", "--scores", "all.parquet")
    plain, _ = search(untrained, "rea", *shared)
    choosy, _ = search(untrained, "rea+mutants=5", *shared, "--seconds-per-score", 0)
    # the random start is the same, what it breeds is not
    assert plain["arch"][0] == choosy["arch"][0]
    assert not plain.equals(choosy)


@pytest.mark.usefixtures("scored")
def test_too_few_scores_for_the_start_leave_an_empty_trace(untrained):
    trace, err = search(untrained, "area", "--runs", 2)
    assert err.startswith(
        "12 architectures have scores, a search over 20 needs 60: raise scores.arch"
    )
    assert trace.empty
    assert trace.dtypes.to_dict() == empty_trace().dtypes.to_dict() | {
        "target": trace["target"].dtype
    }
    code, out, _ = untrained("search", "area", "nasbench201", "--json")
    assert (code, json.loads(out)["best"], json.loads(out)["accuracy"]) == (0, None, {})


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("algorithm", ["naswot-4", "random", "optimal-10", "rs", "bohb"])
def test_the_same_bytes_twice_and_others_with_another_seed(untrained, tmp_path, algorithm):
    found = []
    for seed in (0, 0, 1):
        search(untrained, algorithm, "--runs", 4, "--seed", seed)
        found.append((tmp_path / "trace").read_bytes())
    assert found[0] == found[1] != found[2]


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("algorithm", ["naswot-4", "random", "optimal-10", "rea"])
def test_shards_of_the_runs_make_up_the_whole(untrained, algorithm):
    shared = (algorithm, "--runs", 5, "--seed", 3)
    whole, _ = search(untrained, *shared)
    pieces = [search(untrained, *shared, "--shard", i, "--shards", 3)[0] for i in range(3)]
    key = ["target", "run"]  # the optimum of each column has its own runs
    pd.testing.assert_frame_equal(
        pd.concat(pieces).sort_values(key, kind="stable", ignore_index=True),
        whole.sort_values(key, kind="stable", ignore_index=True),
    )
    assert [piece["run"].nunique() for piece in pieces] == [1, 2, 2]


@pytest.mark.usefixtures("scored")
def test_a_pool_too_small_leaves_an_empty_trace(untrained):
    full, _ = search(untrained, "naswot-4", "--runs", 2)
    trace, err = search(untrained, "naswot-5", "--runs", 2)
    assert err.startswith(
        "12 architectures have scores, a search over 5 needs 15: raise scores.arch"
    )
    assert trace.empty
    assert trace.dtypes.to_dict() == full.dtypes.to_dict()


HERE = "tests.search.third_party"


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("algorithm", [f"{HERE}:WorstScored-4", f"{HERE}:FirstCells+first=2"])
def test_an_algorithm_of_another_package_is_searched_with(untrained, algorithm):
    trace, _ = search(untrained, algorithm, "--runs", 2, "--budget", "5evaluations")
    assert trace["is_final"].sum() == 2


@pytest.mark.parametrize(
    ("algorithm", "said", "after"),
    [  # the scores that come with nasbench201 are read where there are no others
        ("WorstScored-4", "no cached scores of lga on cifar10: add them to scores.proxies", 1),
        ("Secretive-4", "reads scores but declares `reads_scores = False`: declare it True", 0),
    ],
)
def test_a_search_that_reads_scores_is_refused_without_them(refused, algorithm, said, after):
    given = [f"{HERE}:{algorithm}", "nasbench201", "--out", "trace"]
    given += ["--proxy", "lga"] if algorithm == "WorstScored-4" else []
    refused(["search", *given], said, after=after)


@pytest.mark.usefixtures("scored")
def test_nothing_is_written_where_nothing_is_asked(untrained, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert untrained("search", "naswot-3", "nasbench201", "--runs", 2)[0] == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_fetched_table_is_used(untrained, tmp_path):
    """And one that is damaged is not passed over for the bundled one."""
    untrained("fetch", "nasbench201")
    fetched, _ = search(untrained, "random")
    (tmp_path / "data/benchmarks/nasbench201.parquet").unlink()
    bundled, _ = search(untrained, "random")
    pd.testing.assert_frame_equal(bundled, fetched)


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["naswto-10", "nasbench201"], "did you mean 'naswot'"),
        (["naswot-x", "nasbench201"], "as in naswot-100"),
        (["naswot-10", "nasbench20"], "did you mean 'nasbench201'"),
        (["naswot-10", "nasbench201", "--runs", 0], "0 runs: 1 or more"),
        (["naswot-4", "nasbench201", "--seed", -1], "seed -1 is negative"),
        (["random", "nasbench201", "--dataset", "cifar"], "unknown data set 'cifar'"),
        (
            ["random", "nasbench201", "--seconds-per-score", -1],
            "per score '-1': a number, 0 to 100000000",
        ),
        (
            ["random", "nasbench201", "--seconds-per-score", "nan"],
            "per score 'nan': a number, 0 to",
        ),
        (["naswot-10", "nasbench201", "--proxy", "nawsot"], "did you mean 'naswot'"),
        (["naswot-10", "nasbench201", "--proxy", "naswot-released"], "`snakemake scores`"),
        (["naswot-10", "nasbench201", "--dataset", "ImageNet16-120"], "`snakemake scores`"),
        (["naswot-10", "nasbench201", "--scores", "no.parquet"], "`make run` or"),
        (["naswot-10", "nasbench201", "--scores", "other.parquet"], "other.parquet is damaged"),
        (
            ["random", "nasbench201", "--benchmark", "other.parquet"],
            "other.parquet is not a benchmark",
        ),
        (["random", "nasbench201", "--benchmark", "no.parquet"], "no.parquet"),
        (["rea", "nasbench201", "--budget", "12000"], "as in '12000s' or '100evaluations'"),
        (["rea", "nasbench201", "--budget", "100s"], "one evaluation on nasbench201 takes up to"),
        (["rea", "nasbench201", "--budget", "0evaluations"], "budget '0evaluations': seconds up"),
        (["rea", "nasbench201", "--runs", 0], "0 runs: 1 or more"),
        (["rs", "nasbench201", "--runs", 10**11], "runs is 100000000000: at most 1000000"),
        (["rea", "nasbench201", "--epochs", 50], "there is 12, 200"),
        (["rea", "nasbench201", "--training-seed", "778"], "there is 777"),
        (["rea-10", "nasbench201"], "rea spends a budget, it takes no samples"),
        (["rea+sample=0", "nasbench201"], "sample=0: 1 to 100000"),
        (["rea+init=nawsot", "nasbench201"], "did you mean 'naswot'"),
        (["area", "nasbench201", "--dataset", "ImageNet16-120"], "`snakemake scores`"),
        (["area", "nasbench201", "--scores", "no.parquet"], "`make run` or"),
        (["rea+mutants=2", "nasbench201"], "of all 15625 architectures, and 12 have one"),
        (["rea", "nasbench201", "--runs", 2, "--shards", 3], "3 shards of 2 runs: 1 to 2"),
        (["rea", "nasbench201", "--shard", 2, "--shards", 2], "numbered from 0 to 1"),
        (["random", "nasbench201", "--out", "/proc/nowhere/x"], "cannot write /proc/nowhere/x"),
    ],
)
def test_mistakes_write_nothing(refused, tmp_path, arguments, said):
    pd.DataFrame({"arch": [1]}).to_parquet(tmp_path / "other.parquet")
    refused(["search", *arguments], said)


def test_a_space_without_a_benchmark_is_not_searched(refused):
    refused(["search", "rs", "darts"], "darts has no benchmark to look trainings up in")


@pytest.fixture
def guided(tmp_path):
    """Scores of 60 cells after training, two seeds, some undefined, and what they took."""
    rng = np.random.default_rng(0)
    cells = np.sort(rng.choice(15_625, 60, replace=False))
    rows = [(cell, seed, float(rng.standard_normal())) for seed in (0, 1) for cell in cells]
    table = pd.DataFrame(rows, columns=["arch", "seed", "score"])
    table = table.assign(proxy="lga@0.5", dataset="cifar10", status="ok")
    table.loc[rng.random(len(table)) < 0.2, "score"] = np.nan
    table["seconds"] = rng.uniform(5, 10, len(table))
    lower = table.assign(proxy="ntk_condition_number", score=-table["score"])
    both = pd.concat([table, lower[~lower["arch"].isin(cells[:9])]], ignore_index=True)
    both.to_parquet(tmp_path / "guided.parquet")
    return both


def runs_of(scores, proxy):
    own = scores[scores["proxy"] == proxy]
    return own.pivot(index="seed", columns="arch", values="score")


@pytest.mark.parametrize("algorithm", [*TRAINED, "rea+population=5", "rea+mutants=2+init=lga@0.5"])
@pytest.mark.parametrize("proxy", ["lga@0.5", "ntk_condition_number"])
def test_the_fitness_may_be_a_score(untrained, guided, algorithm, proxy):
    shared = ("--scores", "guided.parquet", "--runs", 3, "--budget", "300evaluations")
    shared = (*shared, "--proxy", "lga@0.5")
    trace, _ = search(untrained, f"{algorithm}+fitness={proxy}", *shared)
    sign = 1 if proxy == "lga@0.5" else -1
    scores = sign * runs_of(guided, proxy)
    assert set(trace["arch"]) <= set(scores.columns)
    for row in trace.itertuples():
        np.testing.assert_equal(row.fitness, scores.loc[row.run % 2, row.arch])
    if algorithm == "rs":  # so many draws see most of the pool
        reached = trace.query("is_final")["fitness"].to_numpy()
        best = [scores.loc[run % 2].max() for run in range(3)]
        assert (reached == best).all()


def test_a_score_after_training_costs_epochs_of_the_benchmark(untrained, guided, benchmark_table):
    shared = ("--scores", "guided.parquet", "--runs", 2, "--budget", "1evaluations")
    trace, _ = search(untrained, "rs+fitness=lga@0.5", *shared, "--seconds-per-score", 0.25)
    for row in trace.query("is_final").itertuples():
        key = ("cifar10-valid", "x-valid", 12, "777")
        epoch = benchmark_table.train_seconds(row.arch, *key) / 12
        assert row.simulated_seconds == pytest.approx(0.5 * epoch + 0.25)
    free, _ = search(untrained, "rs+fitness=ntk_condition_number", *shared)
    assert (free.query("is_final")["simulated_seconds"] == 0.3).all()
    measured, _ = search(
        untrained, "rs+fitness=lga@0.5", *shared, "--seconds-per-score", "measured"
    )
    took = guided[guided["proxy"] == "lga@0.5"].groupby("arch")["seconds"].mean()
    for row in measured.query("is_final").itertuples():
        assert row.simulated_seconds == pytest.approx(took[row.arch])


def test_a_start_by_scores_after_training_costs_their_epochs(untrained, guided, benchmark_table):
    shared = ("--scores", "guided.parquet", "--runs", 1, "--budget", "1evaluations")
    trace, _ = search(untrained, "rs+init=lga@0.5+scored=1+kept=1", *shared)
    final = trace.query("is_final").iloc[0]
    key = ("cifar10-valid", "x-valid", 12, "777")
    training = benchmark_table.train_seconds(final["arch"], *key)
    validation = benchmark_table.valid_seconds(final["arch"], *key)
    expected = 0.3 + training / 24 + training + validation
    assert final["simulated_seconds"] == pytest.approx(expected)


def test_the_best_of_a_sample_may_cost_epochs(untrained, guided, benchmark_table):
    trace, _ = search(
        untrained, "naswot-1", "--scores", "guided.parquet", "--proxy", "lga@0.5", "--runs", 3
    )
    for row in trace.query("is_final").itertuples():
        epoch = benchmark_table.train_seconds(row.arch, "cifar10-valid", "x-valid", 12, "777") / 12
        assert row.simulated_seconds == pytest.approx(0.3 + epoch / 2)


@pytest.mark.parametrize("algorithm", TRAINED)
def test_accuracies_may_be_searched_in_a_pool(untrained, guided, benchmark_table, algorithm):
    shared = ("--scores", "guided.parquet", "--runs", 3, "--budget", "40evaluations")
    trace, _ = search(untrained, f"{algorithm}+pool=lga@0.5", *shared)
    assert set(trace["arch"]) <= set(guided["arch"])
    seen = benchmark_table.accuracies("cifar10-valid", "x-valid", 12, "777")
    assert (trace["fitness"].to_numpy() == seen[trace["arch"]]).all()
    narrow, _ = search(untrained, f"{algorithm}+fitness=lga@0.5+pool=ntk_condition_number", *shared)
    condition = guided[guided["proxy"] == "ntk_condition_number"]
    assert set(narrow["arch"]) <= set(condition["arch"])


def test_where_all_is_scored_the_pool_is_the_space(untrained, all_scored):
    shared = ("--scores", "all.parquet", "--runs", 2, "--budget", "30evaluations")
    pool, _ = search(untrained, "rea+pool=naswot", *shared)
    space, _ = search(untrained, "rea", *shared)
    pd.testing.assert_frame_equal(pool, space)


def test_what_a_run_spent_is_in_the_json(untrained, guided):
    asked = ("search", "rea+fitness=lga@0.5", "nasbench201", "--scores", "guided.parquet")
    _, out, _ = untrained(*asked, "--budget", "25evaluations", "--runs", 4, "--out", "t", "--json")
    found = json.loads(out)
    final = pd.read_parquet("t").query("is_final")
    assert found["evaluations"] == 25
    assert found["seconds"] == pytest.approx(final["simulated_seconds"].mean())


LIVE = ("--live", "--batch-size", 8, "--budget", "12evaluations", "--engine", "plain")


def live(untrained, algorithm, space, *options):
    code, out, err = untrained("search", algorithm, space, *LIVE, "--json", *options)
    assert code == 0, err
    return json.loads(out), err


def kept(ledger):
    """Item to value of all that a ledger holds."""
    with closing(sqlite3.connect(ledger)) as connection:
        return {item: json.loads(value) for item, value in connection.execute(_ITEMS)}


_ITEMS = "SELECT item, value FROM done"


def test_a_live_search_scores_what_it_proposes(untrained, benchmark_table, tmp_path):
    found, err = live(untrained, "rea+fitness=naswot", "nasbench201", "--out", "trace", "--seed", 2)
    trace = pd.read_parquet("trace")
    assert list(trace.columns) == list(TRACE_COLUMNS)
    assert (found["runs"], found["evaluations"], found["resumed"]) == (1, 12, 0)
    assert "12/12 evaluations" in err
    scores = kept(tmp_path / "trace.ledger")
    assert found["scored"] == len(scores)
    assert found["seconds"] == pytest.approx(sum(one["seconds"] for (one,) in scores.values()))
    item, (best,) = max(scores.items(), key=lambda pair: pair[1][0]["score"] or -np.inf)
    architecture = int(item.split()[0])
    assert found["best"]["architecture"] == architecture
    accuracy = benchmark_table.accuracies("cifar10", "ori-test")[architecture]
    assert found["accuracy"]["cifar10/ori-test"]["mean"] == pytest.approx(accuracy)
    shown = ("--batch-size", 8, "--engine", "plain", "--seeds", 1, "--json")
    _, out, _ = untrained("score", "nasbench201", architecture, *shown)
    assert json.loads(out)[0]["score"] == best["score"]


@pytest.mark.usefixtures("few_steps")
def test_a_live_search_trains(untrained):
    found, _ = live(untrained, "rs+fitness=lga@1", "nasbench201", "--budget", "3evaluations")
    assert found["scored"] == 3
    assert -1 <= found["best"]["fitness"] <= 1
    same = ("--out", "trace", "--budget", "2evaluations", "--runs", 2, "--score-seeds", 2)
    found, _ = live(untrained, "rs+fitness=ntk_condition_number@0.5", "nasbench201", *same)
    assert (pd.read_parquet("trace")["fitness"].dropna() < 0).all()


def test_a_live_search_needs_no_benchmark(untrained):
    found, _ = live(untrained, "local+fitness=naswot", "darts", "--budget", "2evaluations")
    assert (found["accuracy"], found["scored"]) == ({}, 2)
    assert found["best"]["spelling"].startswith("Genotype(")
    asked = ("search", "rs+fitness=naswot", "darts", *LIVE, "--budget", "2evaluations")
    code, out, _ = untrained(*asked, "--split", "sample", "--sampling", "balanced")
    assert code == 0
    said, best = out.splitlines()
    assert said.startswith("rs+fitness=naswot: 2 architectures scored, 2 evaluations and ")
    assert shlex.split(best)[:4] == ["best:", "untrained", "score", "darts"]


def test_a_killed_live_search_resumes_without_loss(untrained, tmp_path):
    short = "from tests.short import shorten; shorten(); "
    more = ("--budget", "30evaluations")
    program = [sys.executable, "-c", f"{short}from untrained.cli import main; main()"]
    asked = ["search", "rea+fitness=naswot", "nasbench201", *LIVE, *more, "--out", "killed"]
    running = subprocess.Popen(
        [*program, *map(str, asked)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},  # what pytest added as well
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    ledger, finished = tmp_path / "killed.ledger", {}
    while running.poll() is None and len(finished) < 3:
        time.sleep(0.005)
        if ledger.is_file():
            with suppress(sqlite3.OperationalError):  # there is no table yet
                finished = kept(ledger)
    running.kill()
    assert running.wait() == -signal.SIGKILL, "it was done before it was killed"
    assert not (tmp_path / "killed").exists()
    finished = kept(ledger)
    found, err = live(untrained, "rea+fitness=naswot", "nasbench201", *more, "--out", "killed")
    assert f"continuing with {len(finished)} scores of killed.ledger" in err
    assert found["resumed"] == len(finished) >= 3
    assert kept(ledger).items() >= finished.items()
    whole, _ = live(untrained, "rea+fitness=naswot", "nasbench201", *more, "--out", "whole")
    assert found["scored"] + len(finished) == whole["scored"]
    resumed, direct = (
        pd.read_parquet(name).drop(columns="simulated_seconds") for name in ("killed", "whole")
    )
    pd.testing.assert_frame_equal(resumed, direct)


def test_another_search_may_go_on_with_the_same_scores(untrained):
    live(untrained, "rs+fitness=naswot", "nasbench201", "--ledger", "known")
    found, _ = live(
        *(untrained, "rs+fitness=naswot", "nasbench201", "--ledger", "known"),
        *("--budget", "14evaluations"),
    )
    assert (found["resumed"], found["scored"]) == (12, 2)


@pytest.mark.parametrize("changed", ["code", "library", "image", "precision", "batch size"])
def test_scores_of_something_else_are_not_resumed(untrained, monkeypatch, changed):
    from untrained.scoring import execution, images, request

    asked = (untrained, "rs+fitness=naswot", "nasbench201", "--ledger", "known")
    asked = (*asked, "--budget", "1evaluations")
    live(*asked)
    if changed == "code":
        monkeypatch.setattr(request, "code_digest", lambda *modules: "another")
    elif changed == "library":
        monkeypatch.setattr(request, "version", lambda name: f"{name} 0")
    elif changed == "image":
        monkeypatch.setattr(images.MinibatchSettings, "digest", lambda self: "another")
    elif changed == "precision":
        had = execution.has_bfloat16_products
        monkeypatch.setattr(execution, "has_bfloat16_products", lambda device: not had(device))
    else:
        asked = (*asked, "--batch-size", 9)
    assert live(*asked)[0]["resumed"] == 0
    assert live(*asked)[0]["resumed"] == 1


LEAK = "warning: lga-released@0.5 reads the labels of test images"


@pytest.mark.parametrize(
    ("algorithm", "proxy", "warned"),
    [
        ("rs+fitness=lga-released@0.5", "naswot", True),
        ("rs+init=lga-released@0.5", "naswot", True),
        ("rea+mutants=2+pool=lga-released@0.5", "lga-released@0.5", True),
        ("naswot-2", "lga-released@0.5", True),
        ("rs+pool=lga-released@0.5", "naswot", False),
        ("rs", "lga-released@0.5", False),
    ],
)
def test_searches_by_test_labels_are_warned_of(
    untrained, guided, tmp_path, algorithm, proxy, warned
):
    own = guided[guided["proxy"] == "lga@0.5"].assign(proxy="lga-released@0.5")
    own.to_parquet(tmp_path / "released.parquet")
    shared = ("--scores", "released.parquet", "--proxy", proxy, "--runs", 1)
    _, said = search(untrained, algorithm, *shared, "--budget", "3evaluations")
    assert said.splitlines().count(LEAK) == said.count("warning") == warned


@pytest.mark.usefixtures("few_steps", "test_images")
def test_a_live_search_by_test_labels_is_warned_of(untrained):
    asked = ("rs+fitness=lga-released@0.5", "nasbench201", "--budget", "1evaluations")
    _, err = live(untrained, *asked, "--ledger", "known")
    assert err.splitlines().count(LEAK) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda table: table.assign(arch=table["arch"].replace(table["arch"].max(), 15_625)),
            "bad.parquet: the cached scores of lga@0.5 on cifar10 have architecture 15625, and the "
            "space has 0 to 15624: delete them and",
        ),
        (lambda table: pd.concat([table, table.iloc[:1]]), ", seed 0 twice: delete them and run "),
        (
            lambda table: table.assign(score=np.nan),
            "nothing has a fitness: all scores of lga@0.5 on cifar10 are undefined for the 60 ",
        ),
        (lambda table: table.assign(score=np.inf), "nothing has a fitness: all scores of lga@0.5"),
    ],
)
def test_cached_scores_that_are_no_fitness_are_one_line(refused, guided, tmp_path, change, said):
    change(guided[guided["proxy"] == "lga@0.5"]).to_parquet(tmp_path / "bad.parquet")
    shared = ["--scores", "bad.parquet", "--budget", "5evaluations"]
    refused(["search", "rs+fitness=lga@0.5", "nasbench201", *shared], said)


def test_an_infinite_score_is_no_answer(untrained, guided, tmp_path):
    """Neither the highest nor the lowest."""
    own = guided[guided["proxy"] == "lga@0.5"].reset_index(drop=True)
    own.loc[own["arch"].isin(own["arch"].iloc[:20]), "score"] = np.inf
    own.to_parquet(tmp_path / "infinite.parquet")
    shared = ("--scores", "infinite.parquet", "--runs", 4, "--budget", "200evaluations")
    trace, _ = search(untrained, "rs+fitness=lga@0.5", *shared)
    final = trace[trace["is_final"]]
    assert np.isfinite(final["fitness"]).all()
    assert not set(final["arch"]) & set(own["arch"].iloc[:20])


@pytest.mark.usefixtures("guided")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rea", "nasbench201", "--live"], "name what to score, as in rs+fitness=lga@1"),
        (["naswot-10", "nasbench201", "--live"], "name what to score"),
        (["area+fitness=naswot", "nasbench201", "--live"], "drop pool, init and mutants"),
        (["rs+fitness=naswot+pool=lga", "nasbench201", "--live"], "drop pool, init and mutants"),
        (["reinforce+fitness=naswot", "darts", "--live"], "darts is no product of independent"),
        (["rs+fitness=naswot", "darts"], "darts has no benchmark to look trainings up in"),
        (["rs+fitness=naswot", "nasbench201", "--live", "--split", "trian"], "mean 'train'"),
        (["rs+fitness=naswot", "nasbench201", "--live", "--engine", "x"], "unknown engine 'x'"),
        (["rs+fitness=naswot", "nasbench201", "--live", "--score-seeds", 0], "0 seeds of the sc"),
        (["rs+fitness=naswot", "nasbench201", "--live", "--ledger", "note"], "note is no ledger"),
        (["rs", "nasbench201", "--ledger", "x"], "--ledger: only --live makes scores"),
        (["rs+fitness=lga@1", "nasbench201", "--scores", "guided.parquet"], "scores of lga@1 on"),
        (["rs", "nasbench201", "--seconds-per-score", "some"], "'some': a number, 0 to"),
        (
            *(["rs+fitness=naswot", "nasbench201", "--seconds-per-score", "measured"],),
            *("all.parquet does not exist",),
        ),
        (
            [
                *("rs+fitness=ntk_condition_number", "nasbench201", "--scores", "guided.parquet"),
                *("--seconds-per-score", 0),
            ],
            "evaluations on nasbench201 take no time in places",
        ),
        (
            [
                *("rs+fitness=lga@0.5", "nasbench201", "--scores", "guided.parquet"),
                "--budget",
                "1s",
            ],
            "one evaluation on nasbench201 takes up to",
        ),
    ],
)
def test_mistakes_of_guided_searches(refused, tmp_path, arguments, said):
    (tmp_path / "note").write_text("a note")
    if "measured" in arguments:
        arguments = [*arguments, "--scores", "all.parquet"]
    refused(["search", *arguments], said)

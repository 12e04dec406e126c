import numpy as np
import pandas as pd
import pytest
from tests.report import fed, table_of_searches

from untrained.errors import ParameterError
from untrained.files import write_parquet
from untrained.proxies.naswot import Naswot
from untrained.report.inputs import Inputs, is_untimed
from untrained.report.published import WEIGHT_SHARING
from untrained.report.search_results import method_of, references_of, search_results
from untrained.report.sections.searches import make, times_table
from untrained.search.pool import Pool, best_of_sample_trace, empty_trace


@pytest.mark.parametrize(
    ("algorithm", "scored_on", "expected"),
    [
        ("naswot-10", "cifar10", "NASWOT N=10"),
        ("random", "cifar10", "Random"),
        ("optimal-100", "cifar10", "Optimal N=100"),
        ("naswot-10", "cifar100", "NASWOT N=10 (scored on cifar100)"),
        ("rea+init=naswot-released", "cifar10", "REA (init=naswot-released)"),
        ("rea+sample=5+kept=2", "cifar100", "REA (sample=5, kept=2) (searched on cifar100)"),
    ],
)
def test_algorithms_are_named_as_in_the_papers_table(algorithm, scored_on, expected):
    assert method_of(algorithm, scored_on, "cifar10") == expected


class Spread(Naswot):
    """A proxy of another package."""

    name = "spread"
    label = "Spread of logits"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("init={}@1+kept=2", "init=Spread of logits@1, kept=2"),
        ("fitness={}-released", "fitness=Spread of logits-released"),
        ("pool={}", "pool=Spread of logits"),
        ("init=random", "init=random"),
    ],
)
def test_proxies_that_settings_name_have_their_labels(settings, expected):
    spelled = f"rea+{settings}".format(f"{__name__}:Spread")
    assert method_of(spelled, "cifar10", "cifar10") == f"REA ({expected})"


def test_searches_that_train_are_held_against_rea_on_the_same_data_set_area_first():
    traces = [
        *(("rs", "cifar100"), ("rs", "cifar10"), ("naswot-10", "cifar10"), ("rea", "cifar100")),
        *(("rea", "cifar10"), ("rea+init=naswot", "cifar10"), ("area", "cifar10")),
    ]
    assert list(references_of(traces, "cifar10").items()) == [
        ("AREA", "REA"),
        ("RS", "REA"),
        ("REA (init=naswot)", "REA"),
        ("RS (searched on cifar100)", "REA (searched on cifar100)"),
    ]
    assert references_of(traces[2:3], "cifar10") == {}
    assert references_of(traces[1:2], "cifar10") == {"RS": "REA"}, "it may be missing"


def test_a_guided_search_is_held_against_the_same_without_guidance_in_its_pool():
    names = (
        *("rea", "rs", "rs+pool=lga@1", "rea+pool=lga@1", "rs+fitness=lga@1", "rea+fitness=lga@1"),
        *("rea+sample=5+fitness=lga@1", "local+fitness=lga@1", "rs+fitness=naswot+pool=lga@1"),
        *("area+pool=lga@1", "rs+fitness=naswot", "rea+pool=naswot"),
    )
    traces = [(name, "cifar10") for name in names]
    assert references_of(traces, "cifar10") == {
        "AREA (pool=lga@1)": "REA (pool=lga@1)",
        "RS": "REA",
        "RS (pool=lga@1)": "REA (pool=lga@1)",
        "REA (pool=lga@1)": "REA",
        "RS (fitness=lga@1)": "RS (pool=lga@1)",
        "REA (fitness=lga@1)": "REA (pool=lga@1)",
        "REA (sample=5, fitness=lga@1)": "REA (pool=lga@1)",
        "Local search (fitness=lga@1)": "REA (pool=lga@1)",
        "RS (fitness=naswot, pool=lga@1)": "RS (pool=lga@1)",
        "RS (fitness=naswot)": "REA (pool=naswot)",
        "REA (pool=naswot)": "REA",
    }
    alone = [("rea+fitness=lga@1", "cifar10"), ("rea+pool=lga@1", "cifar100")]
    assert references_of(alone[:1], "cifar10") == {"REA (fitness=lga@1)": "REA"}
    assert references_of(alone, "cifar10")["REA (fitness=lga@1)"] == "REA"


def test_the_main_data_set_is_the_first_of_the_space_where_it_was_searched_on():
    inputs = Inputs("nasbench201")
    assert inputs.main(["cifar100", "cifar10"]) == "cifar10"
    assert inputs.main(["noise", "cifar100"]) == "noise"


def results_of(traces, **settings):
    return search_results(fed(accuracy, traces=traces, **settings))


def accuracy(dataset, split):
    """Tells data set, split and architecture apart."""
    base = {"cifar10-valid": 0, "cifar10": 20, "cifar100": 40, "ImageNet16-120": 60}[dataset]
    return base + {"x-valid": 0, "ori-test": 5, "x-test": 5}[split] + np.arange(4) / 100


def trace_of(architectures, target="", seconds=2.0):
    pool = Pool(np.arange(4), np.zeros((1, 4)), {}, seconds)
    drawn = np.array([[arch] for arch in architectures])
    return best_of_sample_trace(pool, drawn, np.zeros(drawn.shape), seconds, target)


def test_traces_of_another_space_are_refused(tmp_path):
    path = tmp_path / "rea/natsbench_size/cifar10/0of1.parquet"
    write_parquet(trace_of([0, 1]), path)
    with pytest.raises(ParameterError, match="is a trace of natsbench_size, by its path: name"):
        _ = Inputs("nasbench201", files={"searches": [path]}).traces


def test_a_search_by_another_proxy_is_not_held_against_published_ones():
    traces = {(name, "cifar10"): trace_of([0, 1]) for name in ("naswot-10", "random")}
    table = make(fed(accuracy, traces=traces), {"search_proxy": "synflow"})
    own = table[table["runs"].notna()]
    by = own.set_index("method")["note"].str.contains("by synflow").groupby(level=0).any()
    assert by.to_dict() == {"NASWOT N=10": True, "Random": False}
    same = make(fed(accuracy, traces=traces), {})
    compared = [one.set_index("method")["difference_in_se"].notna() for one in (table, same)]
    assert [one["NASWOT N=10"].any() for one in compared] == [False, True]
    assert compared[0]["Random"].any()


def cells(results):
    keys = ["method", "dataset", "split"]
    return {key: rows["accuracy"].round(4).tolist() for key, rows in results.groupby(keys)}


def test_runs_are_read_off_in_every_column_of_the_table():
    results, reasons = results_of({("naswot-10", "cifar10"): trace_of([3, 1])})
    assert reasons == {}
    assert cells(results) == {
        ("NASWOT N=10", "cifar10", "val"): [0.03, 0.01],
        ("NASWOT N=10", "cifar10", "test"): [25.03, 25.01],
        ("NASWOT N=10", "cifar100", "val"): [40.03, 40.01],
        ("NASWOT N=10", "cifar100", "test"): [45.03, 45.01],
        ("NASWOT N=10", "ImageNet16-120", "val"): [60.03, 60.01],
        ("NASWOT N=10", "ImageNet16-120", "test"): [65.03, 65.01],
    }
    assert results["run"].tolist() == [0, 1] * 6
    assert (results["seconds"] == 2).all()
    assert (results["evaluations"] == 0).all()


def test_what_a_run_spends_is_seconds_where_they_are_known_and_evaluations_where_it_trains():
    traces = {
        (name, images): trace_of([3, 1]).assign(step=57)
        for name in ("rea", "naswot-10")
        for images in ("cifar10", "cifar100")
    }
    results, _ = results_of(traces, untimed={"cifar100"})
    spent = results.groupby("method")[["seconds", "evaluations"]].agg(
        lambda own: own.drop_duplicates().tolist()
    )
    assert spent.loc["REA"].tolist() == [[2], [57]]
    lost, evaluations = spent.loc["REA (searched on cifar100)"]
    assert (np.isnan(lost).all(), evaluations) == (True, [57])
    for name in ("NASWOT N=10", "NASWOT N=10 (scored on cifar100)"):
        assert spent.loc[name].tolist() == [[2], [0]]
    assert is_untimed(results).tolist() == (results["method"].str.contains("REA .s")).tolist()


@pytest.mark.parametrize(("runs", "first"), [(60, 50), (50, 0)])
def test_as_many_runs_of_area_as_the_papers_stand_below_all_of_them(runs, first):
    traces = {
        (name, "cifar10"): trace_of(np.arange(runs) % 4)[::-1]
        for name in ("rs", "area", "area+sample=5", "rea")
    }
    results, _ = results_of(traces)
    rows = ["RS", "AREA", *(["AREA (first 50 runs)"] * bool(first)), "AREA (sample=5)", "REA"]
    assert results["method"].unique().tolist() == rows
    own = results[results["method"] == "AREA (first 50 runs)"]
    assert len(own) == 6 * first
    for _, shown in own.groupby(["dataset", "split"]):
        assert sorted(shown["run"]) == list(range(50))


def test_two_results_for_one_run_are_refused():
    trace = trace_of([1, 2])
    with pytest.raises(ParameterError, match="two results of RS for run 0 on cifar10 val: keep"):
        results_of({("rs", "cifar10"): pd.concat([trace, trace[-1:].assign(run=0)])})


def test_an_answer_for_one_column_is_read_off_there_alone():
    trace = pd.concat([trace_of([0], "cifar10-valid/x-valid"), trace_of([3], "cifar10/ori-test")])
    results, _ = results_of({("optimal-10", "cifar10"): trace})
    assert cells(results) == {
        ("Optimal N=10", "cifar10", "val"): [0.0],
        ("Optimal N=10", "cifar10", "test"): [25.03],
    }


def test_scores_on_another_data_set_are_rows_of_their_own_for_it_alone():
    traces = {
        ("naswot-10", "cifar100"): trace_of([1]),
        ("random", "cifar100"): trace_of([1]),
        ("naswot-10", "cifar10"): trace_of([2]),
        ("random", "cifar10"): trace_of([2]),
        ("naswot-10", "noise"): trace_of([3]),
    }
    results, _ = results_of(traces)
    found = cells(results)
    assert found["NASWOT N=10 (scored on cifar100)", "cifar100", "val"] == [40.01]
    assert found["NASWOT N=10", "cifar100", "val"] == [40.02]
    assert found["Random", "cifar100", "val"] == [40.02]
    assert found["NASWOT N=10 (scored on noise)", "cifar10", "test"] == [25.03]
    assert len(found) == 6 + 6 + 2 + 2
    # no two results for one cell
    assert len(table_of_searches(results)) > 0


def test_without_cifar10_the_first_data_set_is_the_main_one():
    traces = {("naswot-10", "cifar100"): trace_of([1])}
    results, _ = results_of(traces)
    assert len(cells(results)) == 6
    assert set(results["method"]) == {"NASWOT N=10"}


def test_a_search_that_could_not_be_run_says_why():
    traces = {
        ("naswot-10", "cifar10"): trace_of([1]),
        ("naswot-1000", "cifar10"): empty_trace(),
        ("area", "cifar10"): empty_trace(),
        ("rea+init=naswot", "cifar10"): empty_trace(),
    }
    results, reasons = results_of(traces)
    assert set(results["method"]) == {"NASWOT N=10"}
    said = "fewer architectures are scored than three times those that a run draws"
    assert reasons == {
        "NASWOT N=1000": "fewer than 3 N architectures are scored",
        "AREA": said,
        "REA (init=naswot)": said,
    }
    table = table_of_searches(results, reasons=reasons)
    for method, why in reasons.items():
        own = table[table["method"] == method]
        assert len(own) == 6
        assert own["note"].str.startswith(why).all()


def test_times_are_ours_and_the_published_that_cost_something():
    rows = {
        "method": ["NASWOT N=10", "NASWOT N=10", "Random"],
        "dataset": "cifar10",
        "split": ["test", "val", "test"],
        "mean": [92.0, 89.0, 86.0],
        "std": 1.0,
        "seconds": [3.0, 3.0, 0.0],
        "evaluations": 0,
    }
    table = times_table(pd.DataFrame(rows), "cifar10", "nasbench201")
    ours = table[table["source"] == "ours"]
    assert ours.drop(columns="source").to_numpy().tolist() == [
        ["NASWOT N=10", 3.0, "seconds", 92.0, 1.0]
    ]
    published = table[table["source"] == "published"].set_index("method")
    assert set(published["unit"]) == {"seconds"}
    assert published.loc["NASWOT N=10", ["spent", "mean", "std"]].tolist() == [3.05, 92.44, 1.13]
    assert published.loc["REA", "spent"] == 12_000
    assert "Random" not in published.index
    assert published.index.is_unique
    assert not set(WEIGHT_SHARING) & set(published.index)
    more = pd.DataFrame(rows).replace({"method": {"NASWOT N=10": "AREA (first 50 runs)"}})
    assert times_table(more, "cifar10", "nasbench201").query("source == 'ours'").empty
    elsewhere = times_table(pd.DataFrame(rows), "cifar10", "natsbench_size")
    assert "REA" not in elsewhere.query("source == 'published'")["method"].to_list()


def test_where_trainings_have_no_times_evaluations_are_what_is_spent():
    rows = {
        "method": ["NASWOT N=100", "Random", "REA", "RS", "AREA", "Optimal N=10"],
        "dataset": "cifar10",
        "split": "test",
        "mean": 92.0,
        "std": 1.0,
        "seconds": [30.0, 0.0, np.nan, 17.0, np.nan, np.nan],
        "evaluations": [0, 0, 57, 57, np.nan, np.nan],  # the last two were not run
    }
    table = times_table(pd.DataFrame(rows), "cifar10", "nasbench101")
    assert set(table["unit"]) == {"evaluations"}
    found = table[["source", "method", "spent"]].to_numpy().tolist()
    assert found == [
        ["ours", "NASWOT N=100", 0],
        ["ours", "REA", 57],
        ["ours", "RS", 57],
        ["published", "NASWOT N=100", 0],  # has a time, and trains nothing
    ]
    # of nasbench201 the published searches that train have times, and no known number
    known = times_table(pd.DataFrame(rows), "cifar10", "nasbench201").query(
        "source == 'published'"
    )["method"]
    assert known.tolist() == ["NASWOT N=10", "NASWOT N=100", "NASWOT N=1000"]

import numpy as np
import pandas as pd
import pytest
from tests.report import RESAMPLED, fed

from untrained.report.sections.regret import COLUMNS, TIMES, incumbents_at, regret_table
from untrained.report.statistics import resample_counts
from untrained.search.pool import TRACE_COLUMNS, empty_trace

DATASETS = ("cifar10", "cifar100", "ImageNet16-120")


def table_of(traces, accuracy, untimed=(), **options):
    return regret_table(fed(accuracy, traces=traces, untimed=untimed), RESAMPLED | options)


def trace_of(*runs, target=""):
    """Each run as its incumbents (seconds, architecture) and its end in seconds."""
    rows = []
    for run, (incumbents, end) in enumerate(runs):
        for step, (seconds, arch) in enumerate(incumbents, 1):
            rows.append((run, target, step, arch, float(step), seconds, False))
        rows.append((run, target, len(incumbents) + 3, incumbents[-1][1], 0.0, end, True))
    return pd.DataFrame(rows, columns=list(TRACE_COLUMNS))


def some_trace(seed, runs=9):
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        seconds = np.cumsum(generator.uniform(20, 300, size=generator.integers(1, 9)))
        arches = generator.integers(8, size=len(seconds))
        incumbents = list(zip(seconds.tolist(), arches.tolist(), strict=True))
        found.append((incumbents, float(seconds[-1] + generator.uniform(0, 200))))
    return trace_of(*found)


def slow_incumbent(trace, run, seconds):
    held = None
    for row in trace[trace["run"] == run].itertuples():
        if row.simulated_seconds <= seconds:
            held = row.arch
    return held


def accuracy(dataset, split):
    """Architecture 5 is the best everywhere, by another margin in every column."""
    base = {"cifar10-valid": 1, "cifar10": 2, "cifar100": 3, "ImageNet16-120": 4}[dataset]
    base *= {"x-valid": 10, "ori-test": 1, "x-test": 1}[split]
    return 50.0 + base * np.array([0, 1, 2, 3, 4, 7, 6, 5.5])


@pytest.mark.parametrize("seed", range(4))
def test_an_incumbent_holds_until_the_next_one(seed):
    trace = some_trace(seed).sample(frac=1, random_state=seed)
    first = trace.groupby("run")["simulated_seconds"].min().max()
    # at the very seconds of incumbents, in between, and beyond the ends
    own = trace["simulated_seconds"].to_numpy()
    times = np.sort(np.concatenate([own, own + 1.5, [own.max() + 1e6]]))
    times = times[times >= first]
    ordered = trace.sort_values(["run", "step"])
    expected = [[slow_incumbent(ordered, run, time) for time in times] for run in range(9)]
    np.testing.assert_array_equal(incumbents_at(trace, times, "seconds"), expected)


def test_curves_start_where_all_runs_have_an_incumbent_and_end_together():
    traces = {("rea", "cifar10"): some_trace(0), ("area", "cifar10"): some_trace(1)}
    table = table_of(traces, accuracy)
    assert tuple(table.columns) == COLUMNS
    assert table["trains"].all()
    assert len(table) == 2 * 3 * TIMES
    end = max(trace["simulated_seconds"].max() for trace in traces.values())
    for (method, _), own in table.groupby(["method", "dataset"]):
        trace = traces[method.lower(), "cifar10"]
        first = trace.groupby("run")["simulated_seconds"].min().max()
        assert own["spent"].iloc[0] == first
        assert own["spent"].iloc[-1] == end
        np.testing.assert_allclose(np.diff(np.log(own["spent"]), 2), 0, atol=1e-9)
        assert (own["runs"] == 9).all()


def test_regret_is_of_the_test_accuracy_and_has_the_bootstrap_of_its_mean():
    trace = some_trace(2)
    table = table_of({("rea", "cifar10"): trace}, accuracy, resamples=80, seed=6)
    columns = dict(zip(DATASETS, ("ori-test", "x-test", "x-test"), strict=True))
    for dataset, split in columns.items():
        answers = accuracy(dataset, split)
        own = table[table["dataset"] == dataset]
        assert set(own["unit"]) == {"seconds"}
        for row in own.iloc[:: TIMES // 10].itertuples():
            held = [slow_incumbent(trace, run, row.spent) for run in range(9)]
            regret = np.array([max(answers) - answers[arch] for arch in held])
            assert row.regret == pytest.approx(regret.mean())
            draws = [
                np.repeat(regret, counts).mean()
                for counts in resample_counts(9, resamples=80, seed=6)
            ]
            ends = np.percentile(draws, [2.5, 97.5])
            assert [row.regret_low, row.regret_high] == pytest.approx(ends)


def test_searches_that_train_nothing_are_points_at_their_end():
    picked = trace_of(([(1.0, 0), (2.0, 3)], 3.0), ([(1.0, 5)], 3.0))
    table = table_of({("naswot-10", "cifar10"): picked}, accuracy)
    assert table["method"].tolist() == ["NASWOT N=10"] * 3
    assert not table["trains"].any()
    assert table["spent"].tolist() == [3.0] * 3
    # 7 - 3 and 0, times the base of the column
    np.testing.assert_allclose(table["regret"], [2 * 2.0, 3 * 2.0, 4 * 2.0])


def test_evaluations_are_read_off_one_by_one_and_what_trains_nothing_makes_none():
    trace = some_trace(3)
    trace["step"] += trace.groupby("run")["step"].transform(lambda own: 2 * (own > 2))
    picked = trace_of(([(1.0, 0), (2.0, 3)], 3.0), ([(1.0, 5)], 3.0))
    traces = {("rea", "cifar10"): trace, ("naswot-10", "cifar10"): picked}
    table = table_of(traces, accuracy, {"cifar10-valid"})
    assert set(table["unit"]) == {"evaluations"}
    own = table[(table["method"] == "REA") & (table["dataset"] == "cifar10")]
    assert own["spent"].tolist() == list(range(1, trace["step"].max() + 1))
    best = max(accuracy("cifar10", "ori-test"))
    for row in own.itertuples():
        held = trace[trace["step"] <= row.spent].groupby("run")["arch"].last()
        reached = accuracy("cifar10", "ori-test")[held]
        assert row.regret == pytest.approx(best - reached.mean())
    points = table[~table["trains"]]
    assert points["spent"].tolist() == [0] * 3
    np.testing.assert_allclose(points["regret"], [2 * 2.0, 3 * 2.0, 4 * 2.0])


def test_an_answer_for_one_column_is_read_off_there_alone():
    one = {"target": "cifar10/ori-test"}, {"target": "cifar100/x-test"}
    runs = [([(0.0, 5)], 0.0)], [([(0.0, 6)], 0.0)]
    parts = [trace_of(*own, **target) for own, target in zip(runs, one, strict=True)]
    parts.append(trace_of(([(0.0, 0)], 0.0), target="ImageNet16-120/x-test"))
    parts.append(trace_of(([(0.0, 0)], 0.0), target="cifar10-valid/x-valid"))
    table = table_of({("optimal-10", "cifar10"): pd.concat(parts)}, accuracy)
    np.testing.assert_allclose(table["regret"], [0, 3, 28])
    assert table["spent"].tolist() == [0, 0, 0]


def test_a_search_on_another_data_set_has_a_curve_there_and_no_point():
    traces = {
        ("rea", "cifar100"): some_trace(1),
        ("rea", "cifar10"): some_trace(0),
        ("naswot-10", "cifar100"): some_trace(2),
    }
    table = table_of(traces, accuracy)
    cells = table[["method", "searched_on", "dataset"]].drop_duplicates().to_numpy().tolist()
    assert cells == [
        *(["REA", "cifar10", dataset] for dataset in DATASETS),
        ["REA", "cifar100", "cifar100"],
    ]


def test_an_accuracy_that_the_benchmark_lacks_empties_what_it_is_part_of():
    def partly(dataset, split):
        known = accuracy(dataset, split)
        known[1] = np.nan
        return known

    trace = trace_of(([(10.0, 1), (20.0, 5)], 90.0), ([(10.0, 2)], 90.0))
    table = table_of({("rea", "cifar10"): trace}, partly)
    early = table["spent"] < 20
    assert table.loc[early, "regret"].isna().all()
    assert table.loc[~early, "regret"].notna().all()


def test_one_evaluation_is_all_that_a_budget_covers():
    trace = trace_of(([(10.0, 1)], 10.0))
    table = table_of({("rs", "cifar10"): trace}, accuracy)
    assert table["spent"].tolist() == [10.0] * 3


def test_searches_without_runs_have_no_rows():
    table = table_of({("area", "cifar10"): empty_trace()}, accuracy)
    assert (tuple(table.columns), len(table)) == (COLUMNS, 0)

import numpy as np
import pandas as pd
import pytest

from untrained.analysis.correlations import ALL_SAMPLED, CANONICAL, FINITE_ONLY, TOP_TENTH
from untrained.analysis.search_tables import search_table
from untrained.analysis.summaries import (
    extreme_cells,
    method_of,
    search_results,
    subsets_of,
    target_of,
    targets_of,
    times_table,
)
from untrained.search.pool import Pool, best_of_sample_trace, empty_trace


def test_one_architecture_stands_for_its_class_among_those_sampled():
    #                           0  1  2  3  4  5  6
    representatives = np.array([0, 0, 2, 0, 2, 5, 6])
    subsets = subsets_of(np.array([1, 3, 4, 5]), representatives)
    assert subsets[ALL_SAMPLED].tolist() == [1, 3, 4, 5]
    assert subsets[CANONICAL].tolist() == [1, 4, 5]
    assert subsets[FINITE_ONLY].tolist() == subsets[TOP_TENTH].tolist() == [1, 3, 4, 5]


def test_the_whole_space_has_its_representatives_for_a_subset(space):
    everything = np.arange(len(space))
    canonical = subsets_of(everything, space.representatives)[CANONICAL]
    assert canonical.tolist() == sorted(set(space.representatives.tolist()))


def test_scores_are_held_against_validation_and_test_of_their_data_set():
    assert targets_of(["ImageNet16-120", "cifar10", "noise"]) == [
        ("ImageNet16-120", "ImageNet16-120", "x-valid"),
        ("ImageNet16-120", "ImageNet16-120", "x-test"),
        ("cifar10", "cifar10-valid", "x-valid"),
        ("cifar10", "cifar10", "ori-test"),
        ("noise", "cifar10-valid", "x-valid"),
        ("noise", "cifar10", "ori-test"),
    ]


def test_images_that_the_benchmark_lacks_are_held_against_what_they_stand_for():
    imagenet = ("ImageNet16-120", "x-test")
    assert target_of("TinyImageNet16-120", "test") == ("TinyImageNet16-120", *imagenet)


@pytest.mark.parametrize(
    ("algorithm", "scored_on", "expected"),
    [
        ("naswot-10", "cifar10", "NASWOT N=10"),
        ("random", "cifar10", "Random"),
        ("optimal-100", "cifar10", "Optimal N=100"),
        ("naswot-10", "cifar100", "NASWOT N=10 (scored on cifar100)"),
        ("future-3", "cifar10", "future N=3"),
    ],
)
def test_algorithms_are_named_as_in_the_papers_table(algorithm, scored_on, expected):
    assert method_of(algorithm, scored_on, "cifar10") == expected


def accuracy(dataset, split):
    """Tells data set, split and architecture apart."""
    base = {"cifar10-valid": 0, "cifar10": 20, "cifar100": 40, "ImageNet16-120": 60}[dataset]
    return base + {"x-valid": 0, "ori-test": 5, "x-test": 5}[split] + np.arange(4) / 100


def trace_of(architectures, target="", seconds=2.0):
    pool = Pool(np.arange(4), np.zeros((1, 4)), {}, seconds)
    drawn = np.array([[arch] for arch in architectures])
    return best_of_sample_trace(pool, drawn, np.zeros(drawn.shape), seconds, target)


def cells(results):
    keys = ["method", "dataset", "split"]
    return {key: rows["accuracy"].round(4).tolist() for key, rows in results.groupby(keys)}


def test_runs_are_read_off_in_every_column_of_the_table():
    results, reasons = search_results({("naswot-10", "cifar10"): trace_of([3, 1])}, accuracy)
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


def test_an_answer_for_one_column_is_read_off_there_alone():
    trace = pd.concat([trace_of([0], "cifar10-valid/x-valid"), trace_of([3], "cifar10/ori-test")])
    results, _ = search_results({("optimal-10", "cifar10"): trace}, accuracy)
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
    results, _ = search_results(traces, accuracy)
    found = cells(results)
    assert found["NASWOT N=10 (scored on cifar100)", "cifar100", "val"] == [40.01]
    assert found["NASWOT N=10", "cifar100", "val"] == [40.02]
    assert found["Random", "cifar100", "val"] == [40.02]
    assert found["NASWOT N=10 (scored on noise)", "cifar10", "test"] == [25.03]
    assert len(found) == 6 + 6 + 2 + 2
    # no two results for one cell
    assert len(search_table(results.drop(columns="seconds"))) > 0


def test_without_cifar10_the_first_data_set_is_the_main_one():
    results, _ = search_results({("naswot-10", "cifar100"): trace_of([1])}, accuracy)
    assert len(cells(results)) == 6
    assert set(results["method"]) == {"NASWOT N=10"}


def test_a_search_that_could_not_be_run_says_why():
    traces = {
        ("naswot-10", "cifar10"): trace_of([1]),
        ("naswot-1000", "cifar10"): empty_trace(),
    }
    results, reasons = search_results(traces, accuracy)
    assert set(results["method"]) == {"NASWOT N=10"}
    assert reasons == {"NASWOT N=1000": "fewer than 3 N architectures are scored"}


def test_times_are_ours_and_the_published_that_cost_something():
    rows = {
        "method": ["NASWOT N=10", "NASWOT N=10", "Random"],
        "dataset": "cifar10",
        "split": ["test", "val", "test"],
        "mean": [92.0, 89.0, 86.0],
        "std": 1.0,
        "seconds": [3.0, 3.0, 0.0],
    }
    table = times_table(pd.DataFrame(rows))
    ours = table[table["source"] == "ours"]
    assert ours.drop(columns="source").to_numpy().tolist() == [["NASWOT N=10", 3.0, 92.0, 1.0]]
    published = table[table["source"] == "published"].set_index("method")
    assert published.loc["NASWOT N=10", ["seconds", "mean", "std"]].tolist() == [3.05, 92.44, 1.13]
    assert published.loc["REA", "seconds"] == 12_000
    assert "Random" not in published.index
    assert published.index.is_unique
    validation = times_table(pd.DataFrame(rows), split="val")
    assert validation.set_index(["source", "method"]).loc[("ours", "NASWOT N=10"), "mean"] == 89


def test_extreme_cells_are_the_most_and_the_least_accurate_with_a_score():
    sampled = np.array([1, 2, 4, 5, 7])
    scores = np.array([3.0, np.nan, 1.0, 2.0, 5.0])
    percent = np.array([0, 50, 99, 0, 10, 70, 0, 60.0])
    good, bad = extreme_cells(sampled, scores, percent, 2)
    assert good.tolist() == [5, 7]
    assert bad.tolist() == [4, 1]

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata
from tests.report import SPLITS

from untrained.report.sections.comparisons import (
    COLUMNS,
    compare,
    comparison_table,
    holm,
    improvement_draws,
)
from untrained.report.statistics import resample_counts


def some_runs(seed, n=40, steps=12):
    """Two searches with ties within and between them, the first one better."""
    generator = np.random.default_rng(seed)
    method, reference = 90 + generator.integers(steps, size=(2, n)) / 10
    return method + 0.2, reference


def slow_improvement(method, reference):
    wins = [float(x > y) + 0.5 * float(x == y) for x in method for y in reference]
    return sum(wins) / len(wins)


def pratt_by_hand(differences):
    """The normal approximation of the signed-rank test, zeros ranked and then left out."""
    size = np.abs(differences)
    ranks = rankdata(size)
    positive = sum(ranks[differences > 0])
    n, zeros = len(differences), int((size == 0).sum())
    mean = (n * (n + 1) - zeros * (zeros + 1)) / 4
    variance = (n * (n + 1) * (2 * n + 1) - zeros * (zeros + 1) * (2 * zeros + 1)) / 24
    _, tied = np.unique(size[size > 0], return_counts=True)
    variance -= sum(tied**3 - tied) / 48
    return 2 * norm.sf(abs(positive - mean) / variance**0.5)


def exact_by_hand(differences):
    """Of all signs that the ranks could have, the share with a sum no nearer to the middle."""
    ranks = rankdata(np.abs(differences))
    middle = ranks.sum() / 2
    seen = abs(ranks[differences > 0].sum() - middle)
    sums = [np.dot(ranks, signs) for signs in product((0, 1), repeat=len(ranks))]
    return np.mean([abs(total - middle) >= seen - 1e-9 for total in sums])


@pytest.mark.parametrize("seed", range(5))
def test_improvement_is_that_of_all_pairs_in_every_resample(seed):
    method, reference = some_runs(seed, n=15)
    counts = resample_counts(15, resamples=30, seed=seed)
    drawn = [np.repeat(np.arange(15), row) for row in counts]
    expected = [slow_improvement(method[own], reference[own]) for own in drawn]
    np.testing.assert_allclose(improvement_draws(method, reference, counts), expected)


def test_a_comparison_by_hand():
    method, reference = some_runs(1)
    found = compare(method, reference, resamples=300, seed=4)
    assert found.difference == pytest.approx(np.mean(method) - np.mean(reference))
    assert found.improvement == pytest.approx(slow_improvement(method, reference))
    means, better = [], []
    for row in resample_counts(40, resamples=300, seed=4):
        own = np.repeat(np.arange(40), row)
        means.append(method[own].mean() - reference[own].mean())
        better.append(slow_improvement(method[own], reference[own]))
    ends = [2.5, 97.5]
    assert [found.difference_low, found.difference_high] == pytest.approx(
        np.percentile(means, ends)
    )
    found_ends = [found.improvement_low, found.improvement_high]
    assert found_ends == pytest.approx(np.percentile(better, ends))


@pytest.mark.parametrize("seed", range(3))
def test_p_is_of_pratts_signed_rank_test(seed):
    """Of decimals: 90.3 - 90.1 is not 90.8 - 90.6, so what is tied has to be told by rounding."""
    generator = np.random.default_rng(seed)
    start, tenths = generator.integers(40, size=80), generator.integers(-3, 5, size=80)
    found = compare((900 + start + tenths) / 10, (900 + start) / 10, resamples=1)
    assert (tenths == 0).any()
    assert found.p == pytest.approx(pratt_by_hand(tenths), rel=1e-9)


def test_few_runs_without_ties_have_an_exact_p():
    differences = np.array([0.31, -0.12, 0.53, 0.24, 0.85, -0.06, 0.97])
    found = compare(90 + differences, np.full(7, 90.0), resamples=1)
    assert found.p == pytest.approx(exact_by_hand(differences))


def test_a_search_against_itself_is_no_better():
    method, _ = some_runs(0)
    found = compare(method, method, resamples=50)
    assert (found.difference, found.difference_low, found.difference_high) == (0, 0, 0)
    assert (found.p, found.improvement) == (1, 0.5)


def test_one_pair_has_no_interval():
    found = compare(np.array([91.0]), np.array([90.0]))
    assert (found.difference, found.improvement) == (1, 1)
    assert np.isnan([found.difference_low, found.improvement_high]).all()


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """Pairs with a common part: an interval of unpaired runs would be far too wide."""
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        common = generator.normal(size=60)
        method, reference = common + generator.normal(0.3, 0.3, 60), common
        found = compare(method, reference, resamples=200)
        covered += found.difference_low <= 0.3 <= found.difference_high
    assert 0.90 <= covered / 300 <= 0.98


def slow_holm(p):
    known = sorted(value for value in p if not np.isnan(value))
    m = len(known)
    # tied values share the largest factor, as the smaller ones bound them from below
    return [
        max(min(1, (m - rank) * other) for rank, other in enumerate(known) if other <= value)
        if not np.isnan(value)
        else np.nan
        for value in p
    ]


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_the_step_down_procedure(seed):
    p = np.random.default_rng(seed).choice([0.001, 0.01, 0.012, 0.04, 0.2, 0.6, np.nan], size=8)
    np.testing.assert_allclose(holm(p), slow_holm(p))


def test_holm_by_the_book():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([])).shape == (0,)


def compared(results, references, **settings):
    return comparison_table(results, references, SPLITS, **settings)


def runs(method, accuracies, dataset="cifar10", split="test", numbers=None):
    numbers = range(len(accuracies)) if numbers is None else numbers
    rows = {"method": method, "run": numbers, "dataset": dataset, "split": split}
    return pd.DataFrame(rows | {"accuracy": accuracies})


def test_searches_are_held_against_their_reference_run_by_run():
    area, rea = some_runs(3)
    rs, _ = some_runs(4)
    shuffled = runs("REA", rea).sample(frac=1, random_state=0)
    results = pd.concat([shuffled, runs("RS", rs), runs("AREA", area)])
    table = compared(results, {"AREA": "REA", "RS": "REA"}, resamples=60, seed=5)
    assert tuple(table.columns) == COLUMNS
    assert table["method"].tolist() == ["AREA", "RS"], "the order of the references"
    expected = compare(area, rea, resamples=60, seed=5)
    row = table.iloc[0]
    for name in ("difference", "difference_low", "p", "improvement", "improvement_high"):
        assert row[name] == pytest.approx(getattr(expected, name))
    assert row[["reference", "dataset", "split", "runs", "note"]].tolist() == [
        *("REA", "cifar10", "test", 40, ""),
    ]


def test_p_is_adjusted_over_the_methods_of_a_data_set_and_split():
    _, rea = some_runs(0)
    results = pd.concat(
        runs(name, rea + shift + np.linspace(-1, 1, 40), split=split)
        for split, change in (("val", 0), ("test", 0.1))
        for name, shift in (("REA", 0), ("AREA", 0.3 + change), ("RS", -0.2))
    )
    table = compared(results, dict.fromkeys(["AREA", "RS"], "REA"), resamples=5)
    assert len(table) == 4
    for _, own in table.groupby("split"):
        np.testing.assert_allclose(own["p_holm"], slow_holm(own["p"]))
    assert (table["p_holm"] > table["p"]).any()


def test_a_method_is_compared_where_it_is_known():
    results = pd.concat(
        runs(name, [1.0 * place, 2.0, 4.0], dataset, "val")
        for place, name in enumerate(["REA", "AREA"])
        for dataset in ("cifar100", "cifar10")
    )
    table = compared(results, {"AREA": "REA"}, resamples=5)
    assert table["dataset"].tolist() == ["cifar10", "cifar100"]


@pytest.mark.parametrize(
    ("change", "pairs", "note"),
    [
        (lambda rows: rows[rows["method"] != "REA"], 0, "no runs of REA"),
        (lambda rows: rows[rows["method"] != "AREA"], 0, "no runs of AREA"),
        (
            lambda rows: rows.assign(accuracy=rows["accuracy"].where(rows["run"] != 1)),
            0,
            "1 of 3 runs of AREA lack an accuracy",
        ),
        (
            lambda rows: rows[(rows["method"] == "AREA") | (rows["run"] > 0)],
            2,
            "3 runs of AREA and 2 of REA: only the 2 of equal numbers are compared",
        ),
        (
            lambda rows: rows[rows["run"] == (rows["method"] == "REA")],
            0,
            "1 runs of AREA and 1 of REA: only the 0 of equal numbers are compared",
        ),
        (lambda rows: rows[rows["run"] == 0], 1, "one pair of runs: no interval"),
    ],
)
def test_what_cannot_be_compared_says_why(change, pairs, note):
    every = pd.concat([runs("AREA", [93.0, 94.0, 95.0]), runs("REA", [92.0, 94.0, 93.0])])
    table = compared(change(every), {"AREA": "REA"}, resamples=5)
    assert set(table["note"]) == {note}
    assert table["runs"].tolist() == [pairs] * len(table)
    assert table["p"].notna().all() == (pairs > 0)
    if "of AREA" in note and "no runs" in note:
        assert len(table) == len(SPLITS), "every cell says why"


def test_runs_are_paired_by_their_numbers():
    results = pd.concat(
        [runs("AREA", [93.0, 94.0], numbers=[1, 2]), runs("REA", [90.0, 91.0, 92.5])]
    )
    assert compared(results, {"AREA": "REA"})["difference"].tolist() == [1.75]


def test_without_a_search_the_table_is_empty():
    table = compared(runs("REA", [90.0, 91.0]), {})
    assert (tuple(table.columns), len(table)) == (COLUMNS, 0)

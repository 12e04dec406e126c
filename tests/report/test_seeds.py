from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests.report import RESAMPLED, SPLITS, fed

from untrained.errors import MissingDataError, ParameterError
from untrained.report.scores import ALL_SAMPLED
from untrained.report.sections import seeds as seed_tables
from untrained.report.sections.correlations import correlation_table
from untrained.report.sections.seeds import COLUMNS, seed_table

N = 40
CIFAR10 = {pair: column for pair, column in SPLITS.items() if pair[0] == "cifar10"}


def accuracies(dataset, split):
    noise = np.random.default_rng(len(dataset)).normal(size=N)
    return np.round(np.arange(N) / 4 + noise * 3, 0)  # with ties


def score_rows(proxies=("naswot",), seeds=(0, 1, 2, 3), undefined=()):
    """Scores near the index; `undefined` are (architecture, seed)."""
    generator = np.random.default_rng(5)
    rows = [
        (arch, proxy, "cifar10", seed, arch + generator.normal() * 9, "ok")
        for proxy in proxies
        for seed in seeds
        for arch in range(N)
    ]
    table = pd.DataFrame(rows, columns=["arch", "proxy", "dataset", "seed", "score", "status"])
    lost = [pair in undefined for pair in zip(table["arch"], table["seed"], strict=True)]
    table.loc[lost, ["score", "status"]] = np.nan, "singular"
    return table


def made(scores, accuracy=accuracies):
    tables = {}
    inputs = fed(accuracy, splits=CIFAR10, scores=scores, tables=tables)
    tables["correlations"] = correlation_table(inputs, RESAMPLED)
    return seed_table(inputs, {}), tables["correlations"]


def slow_mean(scores, seeds):
    """Mean score of each architecture over some seeds; undefined ones far below the others."""
    values = []
    for arch in range(N):
        own = scores[(scores["arch"] == arch) & scores["seed"].isin(seeds)]
        values.append(own["score"].mean() if own["score"].notna().all() else -1e9)
    return values


def test_every_set_of_seeds_counts_once():
    scores = score_rows(undefined={(3, 1), (8, 0), (8, 1), (20, 3)})
    table, _ = made(scores)
    assert tuple(table.columns) == COLUMNS
    assert table["seeds"].tolist() == [1, 2, 3, 4] * 2
    assert table["sets"].tolist() == [4, 6, 4, 1] * 2
    assert (table["n"] == N).all()
    for row in table.itertuples():
        truth = accuracies(row.dataset, row.split)
        sets = list(combinations(range(4), row.seeds))
        means = {own: slow_mean(scores, own) for own in sets}
        taus = [stats.kendalltau(mean, truth).statistic for mean in means.values()]
        found = (row.tau, row.tau_min, row.tau_max)
        assert found == pytest.approx((sum(taus) / len(taus), min(taus), max(taus)))
        alike = [
            stats.spearmanr(means[one], means[other]).statistic
            for one in sets
            for other in sets
            if one < other and not set(one) & set(other)
        ]
        expected = sum(alike) / len(alike) if alike else np.nan
        assert row.rho_disjoint == pytest.approx(expected, nan_ok=True)


def test_where_lower_is_better_the_undefined_are_last_all_the_same():
    scores = score_rows(undefined={(3, 1), (8, 0), (8, 1), (20, 3)})
    known, _ = made(scores)
    found, _ = made(scores.assign(score=-scores["score"], proxy="ntk_condition_number"))
    assert found["tau"].tolist() == pytest.approx((-known["tau"]).tolist())
    assert found["tau_min"].tolist() == pytest.approx((-known["tau_max"]).tolist())


def test_all_seeds_are_the_row_of_the_correlations_with_its_interval():
    table, correlations = made(score_rows(["naswot", "naswot-released"], undefined={(5, 2)}))
    full = table[table["seeds"] == 4]
    every = correlations[correlations["subset"] == ALL_SAMPLED]
    for name in ("proxy", "images", "dataset", "split", "n", "tau", "tau_low", "tau_high"):
        assert full[name].tolist() == every[name].tolist()
    assert full["tau_min"].tolist() == full["tau_max"].tolist() == full["tau"].tolist()
    fewer = table[table["seeds"] < 4]
    assert fewer[["tau_low", "tau_high"]].isna().all(axis=None)


def test_one_seed_is_one_row():
    table, _ = made(score_rows(["naswot", "synflow"], seeds=(7,)))
    assert table["seeds"].tolist() == table["sets"].tolist() == [1] * 4
    assert table["tau_low"].notna().all()
    assert table["rho_disjoint"].isna().all()


def test_equal_seeds_rank_alike_and_buy_nothing():
    first = score_rows(seeds=(0,))
    table, _ = made(pd.concat([first, first.assign(seed=1)]))
    assert table["tau"].nunique() == 2  # one per target
    assert table["rho_disjoint"].iloc[0] == pytest.approx(1)


def test_architectures_without_accuracy_are_left_out():
    def partial(dataset, split):
        answers = accuracies(dataset, split)
        answers[:6] = np.nan
        return answers

    assert (made(score_rows(), partial)[0]["n"] == N - 6).all()


def test_undefined_coefficients_stay_so():
    scores = score_rows().assign(score=1.0)
    table, _ = made(scores)
    assert table[["tau", "tau_min", "tau_max", "rho_disjoint"]].isna().all(axis=None)


def test_of_too_many_sets_some_are_drawn(monkeypatch):
    monkeypatch.setattr(seed_tables, "MOST_SETS", 5)
    table, _ = made(score_rows())
    assert table["sets"].tolist() == [4, 5, 4, 1] * 2
    whole = seed_tables._sets(30, 15)
    assert len({tuple(own) for own in whole}) == 5
    assert all(len(set(own)) == 15 and set(own) <= set(range(30)) for own in whole)
    assert seed_tables._sets(30, 15) == whole


def test_faults_of_the_scores_are_named():
    scores = score_rows()
    short = fed(lambda *names: accuracies(*names)[:30], splits=CIFAR10, scores=scores)
    with pytest.raises(MissingDataError, match="1 architectures lack naswot"):
        seed_table(fed(accuracies, splits=CIFAR10, scores=scores.iloc[1:]), {})
    with pytest.raises(ParameterError, match=r"architecture 39 has no accuracy.* ends at 29"):
        seed_table(short, {})

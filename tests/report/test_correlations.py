import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from untrained.errors import MissingDataError, ParameterError
from untrained.report.scores import ALL_SAMPLED, CANONICAL, FINITE_ONLY, TOP_TENTH
from untrained.report.sections.correlations import COLUMNS, correlation_table
from untrained.report.statistics import correlation


def slow_tau_b(x, y):
    """Kendall's tau-b straight from its definition, in O(n^2)."""
    balance = x_pairs = y_pairs = 0
    for i in range(len(x)):
        for j in range(i):
            a = np.sign(x[i] - x[j])
            b = np.sign(y[i] - y[j])
            balance += a * b
            x_pairs += a * a
            y_pairs += b * b
    return balance / (x_pairs * y_pairs) ** 0.5


def slow_midranks(x):
    return np.array([np.sum(x < value) + (np.sum(x == value) + 1) / 2 for value in x])


def slow_rho(x, y):
    return np.corrcoef(slow_midranks(x), slow_midranks(y))[0, 1]


def tied_sample(seed, n=60):
    generator = np.random.default_rng(seed)
    x = generator.integers(12, size=n).astype(float)
    return x, np.round(x / 3 + generator.normal(size=n), 0)


@pytest.mark.parametrize("seed", range(4))
def test_point_estimates_follow_the_definitions_with_ties(seed):
    x, y = tied_sample(seed)
    result = correlation(x, y, resamples=2, seed=0)
    assert result.tau == pytest.approx(slow_tau_b(x, y), abs=1e-12)
    assert result.rho == pytest.approx(slow_rho(x, y), abs=1e-12)
    assert result.n == 60


def test_the_interval_is_the_percentile_bootstrap():
    x, y = tied_sample(9, n=25)
    result = correlation(x, y, resamples=80, seed=5)
    generator = np.random.default_rng(5)
    drawn = [generator.integers(25, size=25) for _ in range(80)]
    taus = [slow_tau_b(x[index], y[index]) for index in drawn]
    rhos = [slow_rho(x[index], y[index]) for index in drawn]
    expected = (*np.percentile(taus, [2.5, 97.5]), *np.percentile(rhos, [2.5, 97.5]))
    found = (result.tau_low, result.tau_high, result.rho_low, result.rho_high)
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_interval_covers_the_truth_about_95_times_in_100():
    generator = np.random.default_rng(11)
    r, repeats, covered = 0.7, 150, 0
    truth = 2 / np.pi * np.arcsin(r)  # Kendall's tau of a bivariate normal distribution
    for repeat in range(repeats):
        x = generator.normal(size=120)
        y = r * x + np.sqrt(1 - r**2) * generator.normal(size=120)
        result = correlation(x, y, resamples=100, seed=repeat)
        covered += result.tau_low <= truth <= result.tau_high
    assert 0.88 <= covered / repeats <= 0.985


def test_a_seed_fixes_the_interval_and_another_changes_it():
    x, y = tied_sample(1)
    first = correlation(x, y, resamples=50, seed=1)
    assert correlation(x, y, resamples=50, seed=1) == first
    assert correlation(x, y, resamples=50, seed=2).tau_low != first.tau_low


def test_minus_infinity_ranks_last():
    x, y = np.array([-np.inf, 1.0, 2.0, -np.inf]), np.array([0.0, 5.0, 6.0, 1.0])
    lowered = correlation([-9, 1, 2, -9], y, resamples=20, seed=0)
    assert correlation(x, y, resamples=20, seed=0) == lowered


@pytest.mark.parametrize(("x", "y"), [([1, 2], [3, 4]), ([], []), ([1, 1, 1], [1, 2, 3])])
def test_too_few_or_constant_values_are_undefined(x, y):
    result = correlation(x, y, seed=0)
    assert result.n == len(x)
    assert np.isnan([result.tau, result.tau_low, result.rho, result.rho_high]).all()


def test_a_resample_that_is_constant_by_chance_does_not_spoil_the_interval():
    result = correlation([1, 2, 3], [1, 2, 3], resamples=200, seed=0)
    assert [result.tau, result.tau_low, result.tau_high] == pytest.approx([1, 1, 1])


def test_only_constant_resamples_leave_the_interval_undefined():
    seed = next(
        seed
        for seed in range(1000)
        if len(set(np.random.default_rng(seed).integers(3, size=3))) == 1
    )
    result = correlation([1, 2, 3], [1, 2, 3], resamples=1, seed=seed)
    assert result.tau == 1
    assert np.isnan(result.tau_low)


def score_rows(proxy="naswot", seeds=(0, 1), n=30, undefined=(), dataset="cifar10"):
    """Scores equal to the index, shaken per seed, undefined for `undefined` in the last seed."""
    generator = np.random.default_rng(3)
    rows = []
    for seed in seeds:
        for arch in range(n):
            lost = arch in undefined and seed == seeds[-1]
            score = np.nan if lost else arch + generator.normal() * 4
            rows.append((arch, proxy, dataset, seed, score, "singular" if lost else "ok"))
    return pd.DataFrame(rows, columns=["arch", "proxy", "dataset", "seed", "score", "status"])


TARGETS = [("cifar10", "cifar10-valid", "x-valid")]


def accuracies(dataset, split):
    assert (dataset, split) == ("cifar10-valid", "x-valid")
    return np.random.default_rng(0).normal(size=40) * 5 + np.arange(40)


def subsets(n=30):
    return {ALL_SAMPLED: np.arange(n), CANONICAL: np.arange(0, n, 2), FINITE_ONLY: np.arange(n)}


def test_a_control_that_is_scored_is_the_score():
    scores = pd.concat([score_rows("naswot"), score_rows("flops")])
    control = {"flops": pd.Series(np.arange(40.0)[::-1])}
    both = correlation_table(scores, accuracies, subsets(), TARGETS, controls=control, resamples=5)
    alone = correlation_table(scores, accuracies, subsets(), TARGETS, resamples=5)
    pd.testing.assert_frame_equal(both, alone)
    assert (both["seeds"] > 0).all()


def test_the_table_has_a_row_per_target_subset_and_proxy():
    scores = pd.concat([score_rows("naswot"), score_rows("naswot-released")])
    flops = pd.Series(np.arange(40.0)[::-1])
    table = correlation_table(
        scores, accuracies, subsets(), TARGETS, controls={"flops": flops}, resamples=5
    )
    assert tuple(table.columns) == COLUMNS
    assert list(table["proxy"]) == ["naswot", "naswot-released", "flops"] * 3
    assert list(table["subset"].unique()) == [ALL_SAMPLED, CANONICAL, FINITE_ONLY]
    assert set(table["n"]) == {30, 15, 40, 20} - {40, 20}
    control = table[table["proxy"] == "flops"].iloc[0]
    assert control["seeds"] == 0
    assert np.isnan(control["tau_seed_std"])
    assert control["tau"] == pytest.approx(slow_tau_b(-np.arange(30), accuracies(*TARGETS[0][1:])))


def test_a_score_is_the_mean_over_seeds_and_an_undefined_seed_undoes_it():
    lost = (3, 17)
    scores = score_rows(undefined=lost)
    rows = correlation_table(scores, accuracies, subsets(), TARGETS, resamples=5, seed=2)
    by_subset = rows.set_index("subset")
    mean = scores.groupby("arch")["score"].mean().to_numpy().copy()
    mean[list(lost)] = -1e9
    truth = accuracies(*TARGETS[0][1:])[:30]
    kept = np.setdiff1d(np.arange(30), lost)
    assert by_subset.loc[ALL_SAMPLED, "tau"] == pytest.approx(slow_tau_b(mean, truth))
    assert by_subset.loc[ALL_SAMPLED, "rho"] == pytest.approx(slow_rho(mean, truth))
    assert by_subset.loc[FINITE_ONLY, "tau"] == pytest.approx(slow_tau_b(mean[kept], truth[kept]))
    assert by_subset.loc[CANONICAL, "tau"] == pytest.approx(slow_tau_b(mean[::2], truth[::2]))
    assert by_subset["n"].to_dict() == {ALL_SAMPLED: 30, CANONICAL: 15, FINITE_ONLY: 28}
    assert by_subset["excluded"].to_dict() == {ALL_SAMPLED: 2, CANONICAL: 0, FINITE_ONLY: 2}
    assert (by_subset["seeds"] == 2).all()


def test_where_lower_is_better_the_undefined_are_last_all_the_same():
    scores = score_rows(undefined=(3, 17))
    turned = scores.assign(score=-scores["score"])
    ranked = {ALL_SAMPLED: np.arange(30), TOP_TENTH: np.arange(30)}
    known = correlation_table(scores, accuracies, ranked, TARGETS, resamples=5)
    found = correlation_table(turned, accuracies, ranked, TARGETS, lower=["naswot"], resamples=5)
    for name in ("tau", "rho"):
        assert found[name].tolist() == pytest.approx((-known[name]).tolist(), nan_ok=True)
        assert found[f"{name}_low"].tolist() == pytest.approx(
            (-known[f"{name}_high"]).tolist(), nan_ok=True
        )
    assert found["tau_seed_std"].tolist() == pytest.approx(
        known["tau_seed_std"].tolist(), nan_ok=True
    )


def test_the_spread_over_seeds_is_that_of_each_seed_alone():
    scores = score_rows(seeds=(0, 1, 2), undefined=(4,))
    row = correlation_table(
        scores, accuracies, {ALL_SAMPLED: np.arange(30)}, TARGETS, resamples=2
    ).iloc[0]
    truth = accuracies(*TARGETS[0][1:])[:30]
    taus = [
        slow_tau_b(own["score"].fillna(-1e9).to_numpy(), truth) for _, own in scores.groupby("seed")
    ]
    assert row["tau_seed_std"] == pytest.approx(np.std(taus, ddof=1))


def test_a_finite_score_with_a_bad_status_and_an_infinite_one_are_undefined():
    scores = score_rows(seeds=(0,))
    scores.loc[2, "status"] = "disconnected"
    scores.loc[5, "score"] = np.inf
    row = correlation_table(
        scores, accuracies, {FINITE_ONLY: np.arange(30)}, TARGETS, resamples=2
    ).iloc[0]
    assert (row["n"], row["excluded"], row["seeds"]) == (28, 2, 1)
    assert np.isnan(row["tau_seed_std"])


def test_architectures_without_accuracy_or_score_are_left_out():
    def partial(dataset, split):
        answers = accuracies(dataset, split)
        answers[:4] = np.nan
        return answers

    wide = {ALL_SAMPLED: np.arange(1000), "nothing": np.array([], dtype=int)}
    table = correlation_table(score_rows(), partial, wide, TARGETS, resamples=2)
    assert list(table["n"]) == [26, 0]
    assert np.isnan(table["tau"].iloc[1])


@pytest.mark.parametrize("n", [30, 31, 40])
def test_the_top_tenth_are_those_that_fewer_than_a_tenth_surpass(n):
    targets = [TARGETS[0], ("cifar10", "cifar10", "ori-test")]

    def tied(dataset, split):
        shift = 1 if split == "ori-test" else 0  # the two columns have other bests
        answers = np.round(np.random.default_rng(shift).normal(size=n) * 3, 0)
        answers[4] = np.nan
        return answers

    scores, flops = score_rows(n=n, undefined=(2, 8, 9, 20)), pd.Series(np.arange(float(n)))
    subset = {TOP_TENTH: np.arange(n)}
    table = correlation_table(scores, tied, subset, targets, controls={"flops": flops}, resamples=2)
    mean = scores.groupby("arch")["score"].agg(lambda values: values.mean(skipna=False))
    tops = []
    for row in table.itertuples():
        truth = tied(row.dataset, row.split)
        known = [arch for arch in range(n) if not np.isnan(truth[arch])]
        top = [
            arch for arch in known if sum(truth[arch] < truth[a] for a in known) < len(known) / 10
        ]
        ranked = (flops if row.proxy == "flops" else mean.fillna(-1e9))[top].to_numpy()
        assert row.n == len(top)
        assert row.excluded == (0 if row.proxy == "flops" else mean[top].isna().sum())
        if len(top) > 2 and len(set(truth[top])) > 1:
            assert row.tau == pytest.approx(slow_tau_b(ranked, truth[top]))
        else:
            assert np.isnan(row.tau)
        tops.append(top)
    assert tops[0] == tops[1] != tops[2]


def test_without_ties_the_top_tenth_is_a_tenth():
    subset = {TOP_TENTH: np.arange(40)}
    scores = score_rows(n=40, undefined=(39,))
    row = correlation_table(scores, lambda *_: np.arange(40.0), subset, TARGETS, resamples=2)
    assert row[["n", "excluded"]].iloc[0].tolist() == [4, 1]
    assert row["tau"].item() < 0, "the undefined one is ranked last"


def test_the_order_of_the_scores_does_not_matter():
    scores = pd.concat([score_rows("synflow"), score_rows("naswot", undefined=(1,))])
    shuffled = scores.sample(frac=1, random_state=4)
    tables = [
        correlation_table(each, accuracies, subsets(), TARGETS, resamples=9)
        for each in (scores, shuffled)
    ]
    pd.testing.assert_frame_equal(*tables)


def test_faults_of_the_scores_are_named():
    subset = {ALL_SAMPLED: np.arange(30)}
    with pytest.raises(MissingDataError, match=r"1 architectures lack naswot .* seeds 0, 1:"):
        correlation_table(score_rows().iloc[1:], accuracies, subset, TARGETS)
    twice = pd.concat([score_rows(), score_rows().iloc[7:8]])
    with pytest.raises(ParameterError, match="two scores of naswot for architecture 7 and seed 0"):
        correlation_table(twice, accuracies, subset, TARGETS)
    with pytest.raises(ParameterError, match=r"architecture 49 has no accuracy.* ends at 39"):
        correlation_table(score_rows(n=50), accuracies, {ALL_SAMPLED: np.arange(50)}, TARGETS)


def test_real_accuracies_with_their_ties_agree_with_the_definition():
    root = Path(__file__).parents[2]
    shared = Path(os.environ.get("UNTRAINED_SHARED_DATA", root.parent / "shared" / "data"))
    path = shared / "benchmarks" / "nasbench201_accuracy.parquet"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    table = pd.read_parquet(
        path,
        filters=[("epochs", "=", 200), ("seed", "=", "mean"), ("vintage", "=", "NATS-tss-v1_0")],
    )

    def read(dataset, split):
        own = table[(table["dataset"] == dataset) & (table["split"] == split)]
        return own.set_index("arch_index")["accuracy"].sort_index().to_numpy()

    # Every cell without a path from input to output has exactly 10 %: ties are many.
    validation, test = read("cifar10-valid", "x-valid")[:300], read("cifar10", "ori-test")[:300]
    result = correlation(validation, test, resamples=5, seed=0)
    assert np.sum(test == 10) > 5
    assert result.tau == pytest.approx(slow_tau_b(validation, test), abs=1e-12)
    assert result.rho == pytest.approx(slow_rho(validation, test), abs=1e-12)

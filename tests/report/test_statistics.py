import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from untrained.report.statistics import (
    correlation,
    interval,
    mean_draws,
    mean_interval,
    resample_counts,
)


def test_counts_are_those_of_draws_with_replacement():
    counts = resample_counts(7, resamples=4000, seed=3)
    assert counts.shape == (4000, 7)
    assert (counts.sum(axis=1) == 7).all()
    # binomial(7, 1/7) each, and any two have the covariance of a multinomial
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.06)
    covariance = np.cov(counts.T)
    assert np.diagonal(covariance) == pytest.approx(np.full(7, 6 / 7), abs=0.08)
    assert covariance[0, 1:] == pytest.approx(np.full(6, -1 / 7), abs=0.05)


def test_equal_seeds_give_equal_resamples():
    first, again, other = (resample_counts(9, resamples=5, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("shape", [(6,), (6, 4)])
def test_means_are_those_of_the_runs_drawn(shape):
    values = np.random.default_rng(0).normal(size=shape)
    counts = resample_counts(6, resamples=20, seed=0)
    expected = [
        np.mean([values[run] for run in range(6) for _ in range(row[run])], axis=0)
        for row in counts
    ]
    np.testing.assert_allclose(mean_draws(values, counts), expected)


def test_an_interval_holds_95_percent():
    low, high = interval(np.arange(1001.0)[:, np.newaxis] * [1, 2])
    np.testing.assert_allclose([low, high], [[25, 50], [975, 1950]])


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


def test_the_interval_of_a_mean_needs_two_values():
    values = np.random.default_rng(0).normal(size=(9, 2))
    counts = resample_counts(9, resamples=50, seed=3)
    found = mean_interval(values, resamples=50, seed=3)
    assert found.tolist() == interval(mean_draws(values, counts)).tolist()
    assert np.isnan(mean_interval(values[:1], resamples=50, seed=3)).all()

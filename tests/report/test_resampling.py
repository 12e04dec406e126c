import numpy as np
import pytest

from untrained.report.statistics import interval, mean_draws, resample_counts


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

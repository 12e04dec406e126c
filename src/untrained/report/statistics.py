"""Rank correlations and the bootstrap.

The same number of observations and the same seed give the same resamples, so intervals are
paired.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Correlation(NamedTuple):
    """Kendall's tau-b and Spearman's rho with 95 % percentile bootstrap intervals.

    All but `n` are NaN where the correlation is undefined: with fewer than three architectures, or
    for a constant vector.
    """

    tau: float
    tau_low: float
    tau_high: float
    rho: float
    rho_low: float
    rho_high: float
    n: int


def correlation(
    scores: npt.ArrayLike, accuracy: npt.ArrayLike, *, resamples: int = 1000, seed: int
) -> Correlation:
    """Correlate the ranks of scores and accuracies (n,), both without NaN.

    The interval is the percentile bootstrap over architectures (Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993, section 13.3): pairs are drawn with replacement, and both
    coefficients are computed from each resample with its own ties.
    """
    from untrained.report.ranks import coefficients, dense_ranks, resampled_coefficients

    x, y = dense_ranks(np.asarray(scores)), dense_ranks(np.asarray(accuracy))
    tau, rho = coefficients(x, y)
    if np.isnan(tau):
        return Correlation(*(float("nan"),) * 6, n=len(x))
    draws = resampled_coefficients(x, y, resamples=resamples, generator=np.random.default_rng(seed))
    # a resample of a small sample can be constant and has no coefficients then
    low, high = interval(draws[~np.isnan(draws).any(axis=1)]).tolist()
    return Correlation(tau, low[0], high[0], rho, low[1], high[1], n=len(x))


def resample_counts(size: int, *, resamples: int, seed: int) -> Integers:
    """Return how often each observation occurs in each bootstrap resample.

    Returns:
        (resamples, size) counts; the sum of every row is `size`.
    """
    generator = np.random.default_rng(seed)
    return generator.multinomial(size, np.full(size, 1 / size), size=resamples)


def mean_draws(values: Floats, counts: Integers) -> Floats:
    """Return the mean (resamples, ...) of values (size, ...) in every resample."""
    means: Floats = np.tensordot(counts.astype(np.float64), values, axes=1) / len(values)
    return means


def mean_interval(values: Floats, *, resamples: int, seed: int) -> Floats:
    """Return both ends (2, ...) of the 95 % interval of the mean of values (size, ...).

    A single value has none: both ends are NaN.
    """
    if len(values) < 2:
        return np.full((2, *values.shape[1:]), np.nan)
    counts = resample_counts(len(values), resamples=resamples, seed=seed)
    return interval(mean_draws(values, counts))


def interval(draws: Floats) -> Floats:
    """Return both ends (2, ...) of the 95 % percentile interval of draws (resamples, ...)."""
    if not len(draws):
        return np.full((2, *draws.shape[1:]), np.nan)
    return np.quantile(draws, [0.025, 0.975], axis=0)

"""The bootstrap over the runs of searches, vectorised.

A resample is a vector of how many times each run is in it. Everything that is resampled with equal
numbers of runs and an equal seed has equal resamples, so intervals are paired.
"""

import numpy as np
import numpy.typing as npt

from untrained.errors import ParameterError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def resample_counts(runs: int, *, resamples: int, seed: int) -> Integers:
    """How many times each run is in each resample of as many runs, drawn with replacement.

    Args:
        runs: 1 or more.
        resamples: 1 or more.
        seed: of the draws.

    Returns:
        (resamples, runs) counts; the sum of every row is `runs`.

    Raises:
        ParameterError: no resamples.
    """
    if resamples < 1:
        raise ParameterError(f"resamples = {resamples}: give at least 1")
    generator = np.random.default_rng(seed)
    return generator.multinomial(runs, np.full(runs, 1 / runs), size=resamples)


def mean_draws(values: Floats, counts: Integers) -> Floats:
    """The mean over the runs in every resample.

    Args:
        values: (runs, ...), one row per run.
        counts: (resamples, runs) of `resample_counts`.

    Returns:
        (resamples, ...).
    """
    means: Floats = np.tensordot(counts.astype(np.float64), values, axes=1) / len(values)
    return means


def interval(draws: Floats) -> tuple[Floats, Floats]:
    """The ends of the 95 % percentile interval of draws (resamples, ...)."""
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return low, high

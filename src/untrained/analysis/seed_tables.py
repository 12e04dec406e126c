"""What seeds buy: how the rank correlation grows with the seeds that a score is the mean of."""

from collections.abc import Callable, Collection, Sequence
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from untrained.analysis.correlations import (
    ALL_SAMPLED,
    scores_by_seed,
    undefined_last,
    with_accuracy,
)
from untrained.analysis.ranks import coefficients, dense_ranks
from untrained.errors import unknown_name

#: The columns of `seed_table`, in order.
COLUMNS = (
    *("proxy", "images", "dataset", "split", "n", "seeds", "sets"),
    *("tau", "tau_min", "tau_max", "tau_low", "tau_high", "rho_disjoint"),
)

#: Up to ten seeds all sets of them are taken; beyond, this many of each size.
MOST_SETS = 256

Floats = npt.NDArray[np.float64]


def seed_table(
    scores: pd.DataFrame,
    accuracy: Callable[[str, str], Floats],
    targets: Sequence[tuple[str, str, str]],
    correlations: pd.DataFrame,
    *,
    lower: Collection[str] = (),
) -> pd.DataFrame:
    """Correlate the mean over k seeds with every target, for k from 1 to the number of seeds.

    All scored architectures count; a mean is undefined, and ranked last, if the score of any of
    its seeds is.

    Args:
        scores: as `correlations.correlation_table` takes them.
        accuracy: likewise.
        targets: likewise.
        correlations: what that function made of the same scores and targets, for its intervals.
        lower: likewise.

    Returns:
        One row per target, proxy and number of `seeds` with `COLUMNS`. `sets` counts the sets of
        that many seeds, of which there are at most `MOST_SETS`; `tau` is the mean of Kendall's
        tau-b over them, `tau_min` and `tau_max` are its extremes. `tau_low` and `tau_high` are the
        bootstrap interval of the mean over all seeds, NaN for fewer. `rho_disjoint` is Spearman's
        rho between the mean scores of two sets without a common seed, averaged over all such
        pairs; NaN where there is none.

    Raises:
        UnknownNameError: no scores on the image data set of a target.
        MissingDataError: some architectures lack the scores of some seeds.
        ParameterError: two scores for one architecture, proxy, data set and seed, or a score of an
            architecture that the benchmark does not have.
    """
    images_scored = [str(name) for name in scores["dataset"].unique()]
    rows = []
    for images, dataset, split in targets:
        if images not in images_scored:
            raise unknown_name("scored data set", images, images_scored)
        answers = np.asarray(accuracy(dataset, split), dtype=np.float64)
        for proxy, by_seed in scores_by_seed(scores[scores["dataset"] == images]).items():
            values, truth = with_accuracy(by_seed, answers)
            truth_rank = dense_ranks(truth)
            for size in range(1, values.shape[1] + 1):
                sets = _sets(values.shape[1], size)
                means = np.stack(
                    [
                        undefined_last(values[:, own].mean(axis=1), lower=proxy in lower)
                        for own in sets
                    ]
                )
                taus = [coefficients(dense_ranks(mean), truth_rank)[0] for mean in means]
                figures = (np.mean(taus), np.min(taus), np.max(taus), _rho_disjoint(sets, means))
                rows.append((proxy, images, dataset, split, len(truth), size, len(sets), *figures))
    columns = [name for name in COLUMNS if name not in ("tau_low", "tau_high")]
    table = pd.DataFrame(rows, columns=columns)
    # The interval is that of all seeds: it meets the rows with as many.
    keys = ["proxy", "images", "dataset", "split", "seeds"]
    intervals = correlations.loc[
        correlations["subset"] == ALL_SAMPLED, [*keys, "tau_low", "tau_high"]
    ]
    return table.merge(intervals, on=keys, how="left")[list(COLUMNS)]


def _sets(seeds: int, size: int) -> list[list[int]]:
    """Sets of `size` of so many seeds: all, or `MOST_SETS` different ones at random."""
    if comb(seeds, size) <= MOST_SETS:
        return [list(own) for own in combinations(range(seeds), size)]
    generator = np.random.default_rng(0)
    drawn: set[tuple[int, ...]] = set()
    while len(drawn) < MOST_SETS:
        drawn.add(tuple(sorted(generator.choice(seeds, size, replace=False).tolist())))
    return [list(own) for own in sorted(drawn)]


def _rho_disjoint(sets: list[list[int]], means: Floats) -> float:
    """Mean of Spearman's rho over pairs of disjoint sets with the mean scores (sets, n)."""
    disjoint = [
        pair for pair in combinations(range(len(sets)), 2)
        if set(sets[pair[0]]).isdisjoint(sets[pair[1]])
    ]  # fmt: skip
    if not disjoint or means.shape[1] < 3:
        return float("nan")
    with np.errstate(invalid="ignore"):  # 0 / 0: a constant vector
        rho = np.corrcoef(stats.rankdata(means, axis=1))
    return float(np.mean([rho[pair] for pair in disjoint]))

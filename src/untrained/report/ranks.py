"""Rank coefficients of a sample and of its bootstrap resamples, in integer arithmetic.

A resample repeats the pairs of the sample, each a certain number of times. The pairs are therefore
sorted once, and several resamples are processed side by side, one per lane.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

#: Resamples that are processed together; the counts of many more would not fit into the cache.
LANES = 16

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int32]

_jit: Callable[..., Any] = numba.njit(cache=True, nogil=True)


def dense_ranks(values: npt.NDArray[Any]) -> Integers:
    """Return the rank (n,) of each value among the distinct values, from 0 on."""
    ranks: Integers = np.unique(values, return_inverse=True)[1].astype(np.int64)
    return ranks


def coefficients(x: Integers, y: Integers) -> tuple[float, float]:
    """Return Kendall's tau-b and Spearman's rho of dense ranks (n,), in O(n log n).

    Both are NaN below three values or for a constant vector.
    """
    if len(x) < 3:
        return float("nan"), float("nan")
    tau, rho = _of_draws(x, y, [np.arange(len(x))[np.newaxis]])[0].tolist()
    return tau, rho


def resampled_coefficients(
    x: Integers, y: Integers, *, resamples: int, generator: np.random.Generator
) -> Floats:
    """Return Kendall's tau-b and Spearman's rho (resamples, 2) of bootstrap resamples.

    Pairs of dense ranks (n,) are drawn with replacement; a resample in which one vector is constant
    has NaN.
    """
    starts = range(0, resamples, LANES)
    sizes = ((min(LANES, resamples - start), len(x)) for start in starts)
    return _of_draws(x, y, (generator.integers(len(x), size=size) for size in sizes))


def _of_draws(x: Integers, y: Integers, draws: Iterable[Integers]) -> Floats:
    """Return the coefficients (resamples, 2) of draws (lanes, n)."""
    order = np.argsort(x, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(x))
    x, y = x[order], y[order]
    found = []
    for drawn in draws:
        balance, products, x_pairs, y_pairs, x_squares, y_squares = _sums(x, y, place, drawn)
        with np.errstate(invalid="ignore"):  # 0 / 0: a constant vector
            tau = np.clip(balance / np.sqrt(x_pairs) / np.sqrt(y_pairs), -1, 1)
            rho = products / np.sqrt(x_squares * y_squares)
        found.append(np.stack([tau, rho], axis=1))
    return np.concatenate(found)


@_jit  # pragma: no cover - machine code, which coverage does not see
def _sums(x: Integers, y: Integers, place: Integers, draws: Integers) -> Floats:
    """Return the sums from which the coefficients of several resamples are computed.

    Kendall's tau-b is (concordant - discordant) / sqrt(pairs untied in x * pairs untied in y)
    (Kendall, "The treatment of ties in ranking problems", 1945). Spearman's rho is Pearson's
    coefficient of the midranks.

    Args:
        x: (n,) dense ranks in ascending order.
        y: (n,) dense ranks of the same pairs.
        place: (n,) the position of each pair after sorting.
        draws: (lanes, n) the pairs of each resample, by their position before sorting.

    Returns:
        (6, lanes): concordant less discordant pairs; sum of the products of the doubled and
        centred midranks; pairs untied in x, and in y; sum of the squared midranks of x, and of y.
    """
    n, lanes = len(x), len(draws)
    times = np.zeros((n, lanes), np.int32)
    for lane in range(lanes):
        for drawn in draws[lane]:
            times[place[drawn], lane] += 1
    x_mid, x_pairs, x_squares = _midranks(times, x)
    y_mid, y_pairs, y_squares = _midranks(times, y)
    balance = np.zeros(lanes, np.int64)
    products = np.zeros(lanes, np.int64)
    # Counts of the pairs with a smaller x: all, by y, and by y as a binary indexed tree (Fenwick,
    # "A new data structure for cumulative frequency tables", 1994).
    seen = np.zeros(lanes, np.int32)
    seen_at = np.zeros((len(y_mid), lanes), np.int32)
    tree = np.zeros((len(y_mid) + 1, lanes), np.int32)
    below = np.empty(lanes, np.int32)
    start = 0
    for end in range(1, n + 1):
        if end < n and x[end] == x[start]:
            continue
        for pair in range(start, end):
            rank = y[pair]
            _count_below(tree, rank, below)
            for lane in range(lanes):
                # below - above, where above = seen - below - equal
                signs = 2 * below[lane] + seen_at[rank, lane] - seen[lane]
                balance[lane] += times[pair, lane] * signs
                products[lane] += times[pair, lane] * x_mid[x[pair], lane] * y_mid[rank, lane]
        for pair in range(start, end):
            _add(tree, y[pair], times[pair])
            seen_at[y[pair]] += times[pair]
            seen += times[pair]
        start = end
    sums = np.empty((6, lanes))
    sums[0], sums[1] = balance, products
    sums[2], sums[3] = x_pairs, y_pairs
    sums[4], sums[5] = x_squares, y_squares
    return sums


@_jit  # pragma: no cover - machine code, which coverage does not see
def _count_below(tree: Counts, rank: int, below: Counts) -> None:
    """Sum the counts (lanes,) of all smaller ranks in a binary indexed tree (ranks + 1, lanes)."""
    below[:] = 0
    node = rank
    while node > 0:
        for lane in range(len(below)):
            below[lane] += tree[node, lane]
        node &= node - 1


@_jit  # pragma: no cover - machine code, which coverage does not see
def _add(tree: Counts, rank: int, times: Counts) -> None:
    """Add the counts (lanes,) of a rank to a binary indexed tree."""
    node = rank + 1
    while node < len(tree):
        for lane in range(len(times)):
            tree[node, lane] += times[lane]
        node += node & -node


@_jit  # pragma: no cover - machine code, which coverage does not see
def _midranks(times: Counts, ranks: Integers) -> tuple[Counts, Integers, Floats]:
    """Return doubled, centred midranks by rank (groups, lanes), untied pairs, sums of squares."""
    lanes = times.shape[1]
    size = np.zeros((ranks.max() + 1, lanes), np.int32)
    n = np.zeros(lanes, np.int64)
    for pair in range(len(ranks)):
        for lane in range(lanes):
            size[ranks[pair], lane] += times[pair, lane]
            n[lane] += times[pair, lane]
    midranks = np.empty_like(size)
    below = np.zeros(lanes, np.int64)
    tied = np.zeros(lanes, np.int64)
    squares = np.zeros(lanes, np.int64)
    for rank in range(len(size)):
        for lane in range(lanes):
            group = np.int64(size[rank, lane])
            midrank = 2 * below[lane] + group - n[lane]
            midranks[rank, lane] = midrank
            squares[lane] += group * midrank * midrank
            tied[lane] += group * group
            below[lane] += group
    return midranks, (n * n - tied) // 2, squares.astype(np.float64)

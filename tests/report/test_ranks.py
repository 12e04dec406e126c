import numpy as np
import pytest
from scipy import stats

from untrained.report.ranks import LANES, coefficients, dense_ranks, resampled_coefficients


def ranks(seed, n, levels):
    generator = np.random.default_rng(seed)
    x = generator.integers(levels, size=n)
    return dense_ranks(x), dense_ranks(x + generator.integers(levels, size=n))


def by_scipy(x, y):
    with np.errstate(invalid="ignore"):
        return stats.kendalltau(x, y, variant="b").statistic, stats.pearsonr(
            stats.rankdata(x), stats.rankdata(y)
        ).statistic


def test_equal_values_share_a_rank_and_infinities_have_theirs():
    assert dense_ranks(np.array([3.0, -np.inf, 3, np.inf, 0])).tolist() == [2, 0, 2, 3, 1]


@pytest.mark.parametrize(("n", "levels"), [(3, 9), (40, 3), (257, 12), (2000, 10**6)])
@pytest.mark.parametrize("seed", range(3))
def test_coefficients_are_scipys_with_few_ties_and_with_many(seed, n, levels):
    x, y = ranks(seed, n, levels)
    assert coefficients(x, y) == pytest.approx(by_scipy(x, y), abs=1e-12)
    assert coefficients(y, x) == pytest.approx(by_scipy(x, y), abs=1e-12)


def test_perfect_orders_are_exactly_one():
    x = np.arange(50)
    assert coefficients(x, x) == (1, 1)
    assert coefficients(x, x[::-1].copy()) == (-1, -1)


@pytest.mark.parametrize(("x", "y"), [([], []), ([0, 1], [0, 1]), ([0, 0, 0], [0, 1, 2])])
def test_too_few_or_constant_values_are_undefined(x, y):
    x, y = np.array(x, dtype=np.int64), np.array(y, dtype=np.int64)
    assert np.isnan(coefficients(x, y)).all()
    assert np.isnan(coefficients(y, x)).all()


@pytest.mark.parametrize("resamples", [1, LANES, 2 * LANES + 3])
@pytest.mark.parametrize("n", [5, 61])  # five values are constant by chance now and then
def test_resamples_are_those_of_one_draw_after_the_other(n, resamples):
    x, y = ranks(7, n, 4)
    found = resampled_coefficients(x, y, resamples=resamples, generator=np.random.default_rng(2))
    generator = np.random.default_rng(2)
    drawn = [generator.integers(n, size=n) for _ in range(resamples)]
    expected = [
        by_scipy(x[index], y[index])
        if len(set(x[index])) > 1 < len(set(y[index]))
        else (np.nan, np.nan)
        for index in drawn
    ]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)

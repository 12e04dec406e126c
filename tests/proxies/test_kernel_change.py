"""The two distances against their formulas entry by entry."""

import math

import numpy as np
import pytest

from untrained.proxies import UndefinedScore
from untrained.proxies.kernel_change import kernel_correlation, relative_change

RNG = np.random.default_rng(0)
FIRST, SECOND = (factor @ factor.T + 2 for factor in RNG.standard_normal((2, 12, 5)))
BOTH = (relative_change, kernel_correlation)


def slow_change(kernel, initial):
    pairs = zip(kernel.ravel().tolist(), initial.ravel().tolist(), strict=True)
    differences = math.fsum((a - b) ** 2 for a, b in pairs)
    return math.sqrt(differences) / math.sqrt(math.fsum(b**2 for b in initial.ravel().tolist()))


def slow_correlation(kernel, initial):
    return np.corrcoef(kernel.ravel(), initial.ravel())[0, 1]


@pytest.mark.parametrize("seed", range(3))
def test_both_equal_their_formulas(seed):
    rng = np.random.default_rng(seed)
    left, right = rng.standard_normal((2, 30, 7))
    kernel, initial = left @ left.T + 1, 3 * right @ right.T
    assert abs(relative_change(kernel, initial) - slow_change(kernel, initial)) < 1e-12
    assert abs(kernel_correlation(kernel, initial) - slow_correlation(kernel, initial)) < 1e-12


@pytest.mark.parametrize("number", BOTH)
def test_neither_depends_on_a_common_scale_nor_on_the_order_of_the_images(number):
    expected = number(FIRST, SECOND)
    for scale in (1e-200, 3.7, 1e200):
        assert number(scale * FIRST, scale * SECOND) == pytest.approx(expected, rel=1e-12)
    order = RNG.permutation(12)
    shuffled = (matrix[order][:, order] for matrix in (FIRST, SECOND))
    assert number(*shuffled) == pytest.approx(expected, rel=1e-12)
    assert number(FIRST[order][:, order], SECOND) != pytest.approx(expected, rel=1e-3)


def test_what_a_kernel_is_from_itself_and_from_a_multiple():
    assert relative_change(FIRST, FIRST) == 0
    assert kernel_correlation(FIRST, FIRST) == pytest.approx(1, abs=1e-12)
    # the correlation is free of scale, and the change depends here on nothing but the scale
    assert relative_change(3 * FIRST, FIRST) == pytest.approx(2, rel=1e-12)
    assert kernel_correlation(3 * FIRST, FIRST) == pytest.approx(1, abs=1e-12)
    assert kernel_correlation(-FIRST, FIRST) == pytest.approx(-1, abs=1e-12)
    assert relative_change(1e200 * FIRST, FIRST) == pytest.approx(1e200, rel=1e-12)
    assert relative_change(np.zeros((12, 12)), FIRST) == pytest.approx(1, rel=1e-12)


def test_the_change_is_held_against_the_initial_kernel():
    assert relative_change(2 * FIRST, FIRST) == pytest.approx(1)
    assert relative_change(FIRST, 2 * FIRST) == pytest.approx(0.5)


def test_a_kernel_of_zeros_has_no_change():
    with pytest.raises(UndefinedScore, match=r"^the initial kernel's 144 entries are all 0") as c:
        relative_change(FIRST, np.zeros((12, 12)))
    assert c.value.status == "constant_kernel"


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-300, 1e12])
def test_a_constant_kernel_has_no_correlation(value):
    constant = np.full((12, 12), value)
    for pair in ((constant, FIRST), (FIRST, constant)):
        with pytest.raises(UndefinedScore, match=r"^the kernel's 144 entries don't diff") as c:
            kernel_correlation(*pair)
        assert c.value.status == "constant_kernel"

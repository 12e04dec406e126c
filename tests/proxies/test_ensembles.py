"""The rules of ensembles, against slow definitions, and pools that grow."""

import itertools
import math

import numpy as np
import pytest

from untrained.proxies.ensembles import ENSEMBLES, RULES, Ensemble, combined
from untrained.proxies.standings import Standing

SHAPES = [(2, 1), (2, 2), (3, 9), (4, 17), (2, 150)]


def rank(value, values):
    """From 1, the smallest, with the mean rank of equals."""
    return sum(other < value for other in values) + (sum(v == value for v in values) + 1) / 2


def slow(rule, values):
    """The scores by their definitions, one architecture and one pair at a time."""
    size, values = len(values[0]), np.asarray(values).tolist()
    pool = [one for one in range(size) if all(math.isfinite(own[one]) for own in values)]
    found = [math.nan] * size
    for one in pool:
        ranks = [rank(own[one], [own[other] for other in pool]) for own in values]
        if rule == "sum":
            found[one] = sum(ranks)
        elif rule == "log":
            found[one] = sum(math.log(place / len(pool)) for place in ranks)
        else:
            found[one] = 0
            for other in pool:
                votes = sum((own[one] > own[other]) - (own[one] < own[other]) for own in values)
                found[one] += (votes > 0) - (votes < 0)
    return found


def drawn(shape, seed=0):
    """Values with ties; some are undefined."""
    generator = np.random.default_rng(seed)
    values = generator.integers(0, 12, shape).astype(float)
    values[generator.random(shape) < 0.08] = np.nan
    values[generator.random(shape) < 0.04] = -np.inf
    return values


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_scores_are_those_of_the_definition(rule, shape):
    values = drawn(shape)
    assert combined(rule, values).tolist() == pytest.approx(slow(rule, values), nan_ok=True)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_pool_that_has_grown_has_the_same_scores_in_any_order(rule, shape):
    values, generator = drawn(shape), np.random.default_rng(1)
    expected = slow(rule, values)
    for _ in range(3):
        order = generator.permutation(shape[1])
        standings = Ensemble(rule, ("a",) * shape[0]).standings()
        places = {one: standings.add(values[:, one]) for one in order.tolist()}
        found = [
            math.nan if places[one] is None else standings.score(places[one])
            for one in range(shape[1])
        ]
        assert found == pytest.approx(expected, nan_ok=True)
        if len(standings):
            assert standings.score(standings.leader()) == pytest.approx(np.nanmax(expected))


@pytest.mark.parametrize("rule", RULES)
def test_the_leader_at_every_step_is_the_best_of_what_arrived(rule):
    values = np.random.default_rng(3).normal(size=(3, 40))
    standings = Ensemble(rule, ("a", "b", "c")).standings()
    changed_to_older = 0
    for step in range(40):
        before = standings.leader() if step else None
        standings.add(values[:, step])
        scores = slow(rule, values[:, : step + 1])
        assert scores[standings.leader()] == pytest.approx(max(scores))
        changed_to_older += before is not None and standings.leader() not in (before, step)
    assert rule != "log" or changed_to_older  # otherwise the newest alone would have to be compared


@pytest.mark.parametrize("rule", RULES)
def test_a_standing_compares_by_the_ranks_of_now(rule):
    values = np.random.default_rng(5).normal(size=(2, 30))
    standings = Ensemble(rule, ("a", "b")).standings()
    early = [Standing(standings, standings.add(one)) for one in values[:, :8].T]
    first = [one.real for one in early]
    for one in values[:, 8:].T:
        standings.add(one)
    now = slow(rule, values)[:8]
    assert [float(one) for one in early] == pytest.approx(now)
    assert np.array(early, dtype=float).tolist() == pytest.approx(now)
    assert first != pytest.approx(now)
    for (one, other), (mine, others) in zip(
        itertools.permutations(early, 2), itertools.permutations(now, 2), strict=True
    ):
        assert (one > other, one < other) == (mine > others + 1e-9, mine < others - 1e-9)
        assert (one >= other, one <= other) == (not one < other, not one > other)
    assert max(early) is early[int(np.argmax(now))]
    assert early[0] > -np.inf
    assert (early[0] == early[0]) is True
    assert (early[0] != Standing(standings, 0)) is False  # made at another time
    assert early[0] != "text"
    assert len({early[0], early[0]}) == 1


def test_equal_ranks_in_another_order_tie():
    """The products of ranks 3, 5 and 7 are equal in any order, which sums of logarithms are not."""
    values = np.array([[1.0, 3, 5, 7, 2, 4, 6], [1.0, 5, 7, 3, 2, 4, 6], [1.0, 7, 3, 5, 2, 4, 6]])
    scores = combined("log", values)
    assert scores[1] == scores[2] == scores[3]


def test_members_of_named_ensembles_are_in_order():
    for one in ENSEMBLES.values():
        assert list(one.members) == sorted(one.members)
        assert str(one) == one.name

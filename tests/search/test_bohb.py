"""BOHB: its brackets, its densities and its proposals against plain loops."""

import itertools
import math

import numpy as np
import pytest

from untrained.errors import ParameterError
from untrained.proxies.standings import Standing, Standings
from untrained.search.base import BudgetSpent
from untrained.search.bohb import Bohb, bandwidths, density, observed_sizes, released_choice
from untrained.search.choices import choices_of


def slow_bandwidth(column, decisions, options, least):
    mean = sum(column) / len(column)
    std = (sum((value - mean) ** 2 for value in column) / len(column)) ** 0.5
    rule = 1.06 * std * len(column) ** (-1 / (4 + decisions))
    return min(max(rule, least), (options - 1) / options)


def slow_density(point, data, widths, sizes):
    total = 0.0
    for datum in data:
        product = 1.0
        for mine, other, width, options in zip(point, datum, widths, sizes, strict=True):
            product *= 1 - width if mine == other else width / (options - 1)
        total += product
    return total / len(data)


@pytest.fixture
def observed():
    rng = np.random.default_rng(5)
    sizes = np.array([5, 2, 3])
    return np.stack([rng.integers(size, size=9) for size in sizes], axis=1), sizes


@pytest.mark.parametrize("least", [0.0, 0.3])
def test_bandwidths_are_those_of_the_slow_rule(observed, least):
    data, sizes = observed
    data[:, 1] = 1  # no spread at all
    slow = [slow_bandwidth(data[:, one], 3, sizes[one], least) for one in range(3)]
    np.testing.assert_allclose(bandwidths(data, sizes, least), slow)
    assert bandwidths(data, sizes, least)[1] == least


def test_densities_are_those_of_the_slow_sum_and_add_up_to_one(observed):
    data, sizes = observed
    widths = bandwidths(data, sizes, 0.3)
    everything = np.array(list(itertools.product(*(range(size) for size in sizes))))
    found = density(everything, data, widths, sizes)
    slow = [slow_density(point, data, widths, sizes) for point in everything]
    np.testing.assert_allclose(found, slow)
    assert found.sum() == pytest.approx(1)


def slow_brackets(accuracy, asked, rungs):
    """Check each bracket in turn; what its first rung proposed is taken as it came."""
    position, shares = 0, []
    while True:
        for lowest in reversed(range(rungs)):
            size = rungs // (lowest + 1) * 3**lowest
            field = asked[position : position + size]
            for rung in reversed(range(lowest + 1)):
                if len(asked) < position + size:
                    return shares
                shares += [3.0**-rung] * size
                assert asked[position : position + size] == field
                position += size
                # of equals the first climbs; who climbs keeps its place in the order
                size = max(1, size // 3)
                places = sorted(range(len(field)), key=lambda place: -accuracy[field[place]])
                field = [field[place] for place in sorted(places[:size])]


@pytest.mark.parametrize(("min_share", "rungs"), [(1 / 12, 3), (1 / 9, 3), (1 / 8, 2), (1, 1)])
def test_the_best_third_of_a_bracket_climbs(trainings, ask, min_share, rungs):
    trainer = ask(Bohb("proportional", min_share=min_share), 95)
    shares = slow_brackets(trainings.accuracy, trainer.asked, rungs)
    assert len(shares) > 60
    np.testing.assert_allclose(trainer.shares[: len(shares)], shares)


def test_a_full_charge_is_that_of_a_whole_training(ask):
    proportional, full = ask(Bohb("proportional"), 60), ask(Bohb(), 60)
    assert full.asked == proportional.asked
    assert set(full.shares) == {1.0}
    assert set(proportional.shares) == {1.0, 1 / 3, 1 / 9}


def test_the_answer_is_of_the_longest_trainings_or_of_any(ask):
    longest, anyone = ask(Bohb("proportional"), 60), ask(Bohb(answer="any"), 60)
    assert longest.asked == anyone.asked
    assert longest.lengths == longest.shares
    assert set(anyone.lengths) == {1.0}


def test_a_field_climbs_by_the_ranks_of_now(toy):
    """In a pool that grows the first arrival had the highest score for a while."""
    standings, places, asked = Standings(1, multiplies=True), {}, []

    def evaluate(architecture, share=1.0, length=1.0):
        if len(asked) == 13:
            raise BudgetSpent
        asked.append(architecture.index)
        place = places.setdefault(architecture.index, len(places))
        if place == len(standings):
            standings.add([place])
        return Standing(standings, place)

    start = [toy[index] for index in range(9)]
    with pytest.raises(BudgetSpent):
        Bohb()(toy, evaluate, np.random.default_rng(0), start)
    assert asked == [*range(9), 6, 7, 8, 8]


def test_a_model_ranks_what_it_has_seen_by_the_ranks_of_now(toy, monkeypatch):
    standings, ranked = Standings(1, multiplies=True), []
    seen = []
    for index in range(20):
        standings.add([index])
        seen.append((toy[index], Standing(standings, index)))

    def propose(self, codes, *_):
        ranked.append(codes)
        return np.zeros(4, int)

    monkeypatch.setattr(Bohb, "_released", propose)
    monkeypatch.setattr(Bohb, "_paper", propose)
    choices = choices_of(toy)
    Bohb(random_fraction=0.0)._propose(toy, choices, [seen], np.random.default_rng(0))
    assert ranked[0].tolist() == choices.codes[19::-1].tolist()


def test_a_start_is_what_the_first_brackets_begin_with(toy, ask):
    start = [toy[index] for index in range(11)]
    asked = ask(Bohb(), 16, 0, start).asked
    assert asked[:9] == list(range(9))
    assert asked[13:15] == [9, 10]


@pytest.mark.parametrize(("model", "enough"), [("paper", 7), ("released", 10)])
def test_before_there_is_a_model_and_without_one_it_draws_at_random(toy, ask, model, enough):
    rng = np.random.default_rng(3)
    asked = ask(Bohb(model=model, min_share=1, random_fraction=1), 60, 3).asked
    # with one rung a bracket is one architecture; the first ones ask no chance of the model
    drawn = [toy.sample(rng).index for _ in range(enough)]
    while len(drawn) < 60:
        rng.random()
        drawn.append(toy.sample(rng).index)
    assert asked == drawn


def test_proposals_maximise_the_ratio_of_good_to_bad(toy, trainings, ask):
    """With one rung, and the candidates drawn as the density says, every choice can be checked."""
    asked = ask(Bohb(model="paper", min_share=1), 40, 6).asked
    rng = np.random.default_rng(6)
    choices = choices_of(toy)
    sizes = [3] * 4
    for seen in range(40):
        if seen < 7:
            assert asked[seen] == toy.sample(rng).index
            continue
        ranked = sorted(asked[:seen], key=lambda index: -trainings.accuracy[index])
        codes = [choices.codes[index].tolist() for index in ranked]
        many = max(5, int(0.15 * seen))
        good, bad = codes[:many], codes[seen - max(5, seen - many) :]
        wide_good, wide_bad = (
            [slow_bandwidth([row[one] for row in rows], 4, 3, 0.3) for one in range(4)]
            for rows in (good, bad)
        )
        rng.random()  # whether to ignore the model
        picked = rng.integers(len(good), size=4)
        moves, other = rng.random((4, 4)), rng.integers(1, 3, size=(4, 4))
        best, best_ratio = None, -1.0
        for candidate in range(4):
            point = list(good[picked[candidate]])
            for one in range(4):
                if moves[candidate, one] < wide_good[one]:
                    point[one] = (point[one] + int(other[candidate, one])) % 3
            ratio = slow_density(point, good, wide_good, sizes) / slow_density(
                point, bad, wide_bad, sizes
            )
            if ratio > best_ratio:
                best, best_ratio = point, ratio
        assert asked[seen] == choices.index(np.array(best))


def slow_released_density(point, data, widths):
    """As statsmodels computes it: kernel by kernel, an option more for each value observed."""
    total = 0.0
    for datum in data:
        product = 1.0
        for one, width in enumerate(widths):
            others = len({row[one] for row in data}) - 1
            if point[one] == datum[one]:
                kernel = 1 - width
            else:
                kernel = width / others if others else math.inf
            product *= kernel
        total += product
    return total / len(data)


def test_released_densities_are_those_of_the_slow_sum():
    rng = np.random.default_rng(2)
    data = rng.integers(5, size=(9, 3))
    data[:, 0] = 2  # one value: any other has an infinite kernel
    everything = np.array(list(itertools.product(range(5), repeat=3)))
    for widths in ([0.3, 1.9, 0.3], [1.0, 0.3, 0.3], [0.3, 0.3, 0.3]):
        found = density(everything, data, np.array(widths), observed_sizes(data))
        slow = [slow_released_density(point, data.tolist(), widths) for point in everything]
        np.testing.assert_allclose(found, slow)
        assert (found[np.isfinite(found)] < 0).any() == (1.9 in widths)
        # the observed value is the only one with finite densities
        np.testing.assert_array_equal(np.isfinite(found), everything[:, 0] == 2)
    # a kernel of 0 that meets an infinite one
    two = np.array([[2, 4], [2, 3]])
    no_kernel = density(np.array([[1, 4]]), two, np.array([0.3, 1]), observed_sizes(two))
    assert np.isnan(no_kernel).all()


@pytest.mark.parametrize(
    ("above", "below", "place"),
    [
        ([0.1, 0.4, 0.2], [0.1, 0.1, 0.1], 1),
        ([0.1, 0.1, 0.1], [0.3, 0.2, 0.2], 1),  # the first of equals
        ([-0.5, 1e-9], [0.1, 0.9], 1),  # a negative density counts as 1e-32
        ([1e-3, 1e-3], [0.1, -0.4], 1),
        ([-0.5, 0.5], [-0.5, 0.4], 1),
        ([0.1, math.inf], [0.1, 0.1], 1),  # the best of ratios is 0
        ([0.1, 0.2, 0.9], [0.1, math.inf, 0.1], 1),  # the first infinite one ends it
        ([0.1, math.inf, 0.9], [0.1, math.inf, 0.1], 2),  # unless the good one is infinite too
        ([math.inf, math.nan], [math.inf, 0.1], None),
        ([math.nan, 0.9], [0.1, 0.1], 1),
        ([0.1, 0.1, 0.5], [0.2, math.nan, -1.0], 2),  # a bad NaN counts as 1e-32
    ],
)
def test_the_released_comparison_of_candidates(above, below, place):
    assert released_choice(above, below) == place


def slow_released_proposal(ranked, sizes, rng):
    """What hpbandster's generator does with observations from the best to the worst."""
    decisions = len(sizes)
    good_size = max(decisions + 1, 15 * len(ranked) // 100)
    bad_size = max(decisions + 1, 85 * len(ranked) // 100)
    good, bad = ranked[:good_size], ranked[good_size : good_size + bad_size]
    widths = []
    for rows in (good, bad):
        rule = [1.06 * np.std([row[one] for row in rows]) for one in range(decisions)]
        widths.append([max(0.3, width * len(rows) ** (-1 / (4 + decisions))) for width in rule])
    picked, moves = rng.integers(len(good), size=4), rng.random((4, decisions))
    others = rng.integers(0, sizes, size=(4, decisions))
    best, best_ratio = None, math.inf
    for candidate in range(4):
        point = list(good[picked[candidate]])
        for one in range(decisions):
            if not moves[candidate][one] < 1 - widths[0][one]:
                point[one] = int(others[candidate][one])
        likely = slow_released_density(point, good, widths[0])
        ratio = max(1e-32, slow_released_density(point, bad, widths[1])) / max(likely, 1e-32)
        if math.isfinite(ratio):
            if ratio < best_ratio:
                best, best_ratio = point, ratio
        elif math.isfinite(likely):
            return point
    return best


@pytest.mark.parametrize("rungs", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_released_proposals_are_those_of_the_slow_generator(toy, trainings, ask, rungs, seed):
    algorithm = Bohb("proportional", min_share=3.0 ** (1 - rungs))
    trainer = ask(algorithm, 120, seed)
    rng = np.random.default_rng(seed)
    choices = choices_of(toy)
    seen = {}
    # which questions are proposals: the first rung of each bracket, in turn
    proposals, at = set(), 0
    for bracket in itertools.count():
        lowest = rungs - 1 - bracket % rungs
        size = rungs // (lowest + 1) * 3**lowest
        proposals.update(range(at, at + size))
        at += sum(max(1, size // 3**rung) for rung in range(lowest + 1))
        if at >= 120:
            break
    for step, (index, length) in enumerate(zip(trainer.asked, trainer.lengths, strict=True)):
        if step in proposals:
            modelled = [rung for rung in sorted(seen, reverse=True) if len(seen[rung]) >= 10]
            point = None
            if modelled:
                rng.random()  # whether to ignore the model
                ranked = sorted(seen[modelled[0]], key=lambda one: -trainings.accuracy[one])
                codes = [choices.codes[one].tolist() for one in ranked]
                point = slow_released_proposal(codes, [3] * 4, rng)
            expected = toy.sample(rng).index if point is None else choices.index(np.array(point))
            assert index == expected
        seen.setdefault(length, []).append(index)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"charge": "half"}, "charge=half: full or proportional"),
        ({"model": "ours"}, "model=ours: released or paper"),
        ({"answer": "best"}, "answer=best: longest or any"),
        ({"eta": 1}, "eta=1: 2 or more"),
        ({"min_share": 0}, "min_share=0: 0.000001 to 1"),
        ({"min_share": 2}, "min_share=2: 0.000001 to 1"),
        ({"candidates": 0}, "candidates=0: 1 to 10000"),
        ({"random_fraction": 1.5}, "random_fraction=1.5: 0 to 1"),
        ({"min_bandwidth": 0.0}, "min_bandwidth=0.0: above 0, finite"),
    ],
)
def test_settings_outside_their_range(settings, said):
    with pytest.raises(ParameterError, match=f"^{said}$"):
        Bohb(**settings)

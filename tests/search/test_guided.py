"""A proxy that says where a search starts, and which mutant it trains."""

import numpy as np
import pytest

from untrained.errors import MissingDataError, ParameterError
from untrained.search.guided import Guide
from untrained.search.pool import Pool


@pytest.fixture
def pool():
    rng = np.random.default_rng(1)
    scores = rng.integers(20, size=(2, 81)).astype(float)  # with ties
    scores[rng.random(scores.shape) < 0.3] = np.nan
    return Pool(np.arange(81), scores, {}, 0.5)


def slow_best(pool, drawn, row, kept):
    """The best-scored first, of equals the one drawn first, undefined ones last."""
    left, best = [int(one) for one in drawn], []
    while len(best) < kept:
        top = None
        for one in left:
            score = pool.scores[row, one]
            if top is None or (
                not np.isnan(score)
                and (np.isnan(pool.scores[row, top]) or score > pool.scores[row, top])
            ):
                top = one
        left.remove(top)
        best.append(int(pool.architectures[top]))
    return best


@pytest.mark.parametrize("run", [0, 1, 5])
@pytest.mark.parametrize(("scored", "kept"), [(20, 10), (1, 1), (20, 20)])
def test_the_start_is_the_best_scored(toy, pool, run, scored, kept):
    charged = []
    guide = Guide(pool, scored, kept)
    start = guide.start(toy, guide.pool.of_run(run), np.random.default_rng(run), charged.append)
    drawn = np.random.default_rng(run).choice(81, scored, replace=False)
    assert [one.index for one in start] == slow_best(pool, drawn, run % 2, kept)
    assert charged == [0.5 * scored]


def test_the_start_is_drawn_from_what_is_scored(toy):
    pool = Pool(np.array([5, 9, 40]), np.array([[1.0, 3.0, 2.0]]), {}, 0.0)
    start = Guide(pool, 3, 2).start(
        toy, pool.of_run(0), np.random.default_rng(0), lambda seconds: None
    )
    assert [one.index for one in start] == [9, 40]


def test_the_best_scored_mutant_is_chosen(toy, pool):
    charged = []
    space = Guide(pool, 0, 0, mutants=4).guided(toy, pool.of_run(1), charged.append)
    for seed in range(30):
        mutant = space.mutate(toy[seed], np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        drawn = [toy.mutate(toy[seed], rng).index for _ in range(4)]
        assert mutant.index == slow_best(pool, drawn, 1, 1)[0]
    assert charged == [4 * 0.5] * 30
    assert (space.name, len(space), space[3]) == (toy.name, len(toy), toy[3])
    assert space.sample(np.random.default_rng(7)) == toy.sample(np.random.default_rng(7))


def test_one_mutant_is_no_choice(toy, pool):
    assert Guide(pool).guided(toy, pool.of_run(0), lambda seconds: None) is toy


def test_a_choice_among_mutants_needs_all_scores(toy):
    part = Pool(np.arange(80), np.zeros((1, 80)), {}, 0.0)
    with pytest.raises(MissingDataError, match=r"of all 81 architectures, and 80 have one: set"):
        Guide(part, mutants=2).guided(toy, part.of_run(0), lambda seconds: None)


def test_a_start_needs_as_many_scores(pool):
    with pytest.raises(ParameterError, match=r"^scored=82: 81 architectures have scores$"):
        Guide(pool, 82, 10)

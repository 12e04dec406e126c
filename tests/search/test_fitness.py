"""Searches whose fitness is a score, against a plain loop over what they ask for."""

import numpy as np
import pandas as pd
import pytest

from untrained.errors import MissingDataError, ParameterError
from untrained.search import ALGORITHMS
from untrained.search.base import BudgetedSearch
from untrained.search.clock import Budget, epoch_seconds, scores_as_answers
from untrained.search.guided import Guide
from untrained.search.members import part_of
from untrained.search.pool import Pool, seconds_of_scores
from untrained.search.runs import search_runs, trace_of

from .conftest import slow_trace

NAMES = [name for name in ALGORITHMS.names() if ALGORITHMS.load(name).spends_budget]


def pool_of(undefined, count=30, seconds=None):
    """Scores of two seeds, some undefined, ties among them."""
    rng = np.random.default_rng(4)
    members = np.sort(rng.choice(81, count, replace=False))
    scores = rng.integers(12, size=(2, count)).astype(float)
    scores[rng.random(scores.shape) < undefined] = np.nan
    return Pool(members, scores, {}, rng.uniform(0.5, 2, count) if seconds is None else seconds)


def answers_of(pool):
    """The score of a run's seed and its cost, looked up for each architecture."""

    def answer_of(run):
        def answer(index):
            place = pool.architectures.tolist().index(index)
            score = pool.scores[run % len(pool.scores), place]
            return -np.inf if np.isnan(score) else score, pool.seconds_per_score[place]

        return answer

    return answer_of


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [Budget(seconds=47.5), Budget(evaluations=60)])
@pytest.mark.parametrize("undefined", [0.4, 1.0])
def test_the_trace_is_that_of_the_slow_loop(toy, name, budget, undefined):
    pool = pool_of(undefined)
    algorithm = ALGORITHMS.load(name)()
    space = part_of(toy, pool.architectures)
    expected = slow_trace(space, algorithm, answers_of(pool), budget, range(5), 3)
    answers = scores_as_answers("toy", 81, pool)
    found = trace_of(search_runs(algorithm, space, answers, budget, range(5), 3))
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    assert set(found["arch"]) <= set(pool.architectures.tolist())


@pytest.mark.parametrize("name", NAMES)
def test_an_undefined_score_is_no_answer_where_another_was_seen(toy, name):
    pool = pool_of(0.8)
    answers = scores_as_answers("toy", 81, pool)
    space = part_of(toy, pool.architectures)
    runs = search_runs(
        ALGORITHMS.load(name)(), space, answers, Budget(evaluations=200), range(4), 0
    )
    final = trace_of(runs).query("is_final")
    assert final["fitness"].notna().all()


def test_climbing_a_score_finds_better_ones_than_drawing(toy):
    rng = np.random.default_rng(0)
    scores = np.array([[sum(toy.digits(index)) + rng.uniform(0, 0.1) for index in range(81)]])
    pool = Pool(np.arange(81), scores, {}, 1.0)
    answers = scores_as_answers("toy", 81, pool)
    means = {}
    for name in ("rs", "rea", "local"):
        runs = search_runs(
            ALGORITHMS.load(name)(), toy, answers, Budget(evaluations=25), range(60), 0
        )
        means[name] = trace_of(runs).query("is_final")["fitness"].mean()
    assert means["rea"] > means["rs"]
    assert means["local"] > means["rs"]


def test_every_seed_is_a_run_in_turn(toy):
    pool = pool_of(0.3)
    answers = scores_as_answers("toy", 81, pool)
    for run in range(5):
        answer = answers.of_run(run)
        for place, index in enumerate(pool.architectures):
            score = pool.scores[run % 2, place]
            expected = -np.inf if np.isnan(score) else score
            assert answer(toy[int(index)]) == (expected, pool.seconds_per_score[place])
        unscored = np.setdiff1d(np.arange(81), pool.architectures)
        with pytest.raises(MissingDataError):
            answer(toy[int(unscored[0])])
    assert answers.longest == pool.seconds_per_score.max()


def test_a_score_that_costs_nothing_would_never_end():
    with pytest.raises(
        ParameterError, match=r"^evaluations on toy take no time in places, .* above 0$"
    ):
        scores_as_answers("toy", 81, pool_of(0.0, seconds=0.0))


def test_epochs_cost_what_the_benchmark_measured(benchmark_table):
    index = 1462
    key = ("cifar10-valid", "x-valid", 12, "777")
    epoch = benchmark_table.train_seconds(index, *key) / 12
    found = seconds_of_scores(0.5, epoch_seconds(benchmark_table, "cifar10"), 0.3)
    assert found[index] == pytest.approx(0.5 * epoch + 0.3)
    hundred = benchmark_table.train_seconds(index, "cifar100", "x-valid", 12, "777") / 12
    assert epoch_seconds(benchmark_table, "cifar100")[index] == hundred
    # the whole of a training but for its validation is twelve epochs
    assert 12 * epoch == pytest.approx(benchmark_table.train_seconds(index, *key))
    with pytest.raises(MissingDataError, match=r"there is 12, 200$"):
        epoch_seconds(benchmark_table, "cifar10", epochs=50)
    with pytest.raises(MissingDataError, match=r"^the benchmark has no training time of 1 of 2 "):
        seconds_of_scores(1, np.array([1.0, np.nan]), 0.3)


def test_mutants_are_chosen_in_a_part_by_what_is_scored_there(toy):
    pool = pool_of(0.0)
    space = part_of(toy, pool.architectures)
    charged = []
    choosy = Guide(pool, 0, 0, mutants=3).guided(space, pool.of_run(1), charged.append)
    place = {int(index): position for position, index in enumerate(pool.architectures)}
    for seed in range(20):
        parent = toy[int(pool.architectures[seed])]
        rng = np.random.default_rng(seed)
        drawn = [place[space.mutate(parent, rng).index] for _ in range(3)]
        mutant = choosy.mutate(parent, np.random.default_rng(seed))
        assert pool.scores[1, place[mutant.index]] == pool.scores[1, drawn].max()
        assert charged[-1] == pytest.approx(sum(pool.seconds_per_score[drawn]))
    with pytest.raises(MissingDataError, match="of all 81 architectures, and 30 have one"):
        Guide(pool, 0, 0, mutants=3).guided(toy, pool.of_run(0), charged.append)


def test_what_no_setting_shortens_is_never_charged_less():
    assert not any(ALGORITHMS.load(name)().shortens for name in NAMES)
    assert ALGORITHMS.load("bohb")(charge="proportional").shortens
    assert isinstance(BudgetedSearch.shortens, property)

"""Searches that score what they propose, with a scorer that writes down what it is asked."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from untrained.errors import DamagedFileError, ParameterError
from untrained.scoring.engine import Score
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.ledger import Ledger, opened
from untrained.scoring.request import ScoreRequest, parse_reading
from untrained.search import ALGORITHMS, live
from untrained.search.base import BudgetedSearch
from untrained.search.clock import Budget
from untrained.search.live import PATIENCE, Live, LiveScores
from untrained.search.runs import search_runs, trace_of

from .conftest import slow_trace

NAMES = [name for name in ALGORITHMS.names() if ALGORITHMS.load(name).spends_budget]


def request_of(space, proxy, seeds):
    readings = (parse_reading(proxy),)
    return ScoreRequest(space, readings, MinibatchSettings(), tuple(range(seeds)), Execution())


def score_of(index, seed):
    """Some are undefined; seconds are 1 to 2."""
    if index % 4 == seed:
        return Score(None, "diverged", "loss nan", 1.5)
    return Score(float(index * 7 % 31 + 100 * seed), "ok", "", 1 + index / 81)


@pytest.fixture
def scorer(monkeypatch):
    """(index, seed) of all scores that were made; `limit` of them make an interruption."""

    found = SimpleNamespace(made=[], limit=math.inf, streams=0)

    def score_work(request, work):
        found.streams += 1
        for index, seed, _ in work:
            if len(found.made) == found.limit:
                raise KeyboardInterrupt
            found.made.append((index, seed))
            yield [score_of(index, seed)]

    monkeypatch.setattr(live, "score_work", score_work)
    return found


@pytest.fixture
def search(toy, scorer):
    """The trace of a search, and what it heard scores from."""

    def run(name, budget, *, path=None, runs=range(3), seeds=2, proxy="naswot", seed=0):
        algorithm = ALGORITHMS.load(name)() if isinstance(name, str) else name
        with opened(path, {}) as known:
            scores = LiveScores(request_of(toy, proxy, seeds), known)
            found = search_runs(algorithm, toy, scores, budget, runs, seed)
            return trace_of(found), scores

    return run


def answer_of_seeds(seeds, sign):
    """Scores of a run's seed, of which the run pays each once."""

    def answer_of(run):
        paid = set()

        def answer(index):
            score = score_of(index, run % seeds)
            seconds = 0.0 if index in paid else score.seconds
            paid.add(index)
            return -np.inf if score.score is None else sign * score.score, seconds

        return answer

    return answer_of


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [Budget(evaluations=40), Budget(seconds=30.0)])
@pytest.mark.parametrize(("proxy", "sign"), [("naswot", 1), ("ntk_condition_number@1", -1)])
def test_the_trace_is_that_of_the_slow_loop(toy, search, scorer, name, budget, proxy, sign):
    trace, scores = search(name, budget, proxy=proxy)
    algorithm = ALGORITHMS.load(name)()
    expected = slow_trace(toy, algorithm, answer_of_seeds(2, sign), budget, range(3), 0)
    pd.testing.assert_frame_equal(trace, expected, check_dtype=False)
    # each once, with the seed of its run, and the images of a seed are drawn once
    assert len(scorer.made) == len(set(scorer.made)) == scores.made
    assert scorer.streams == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [Budget(evaluations=40), Budget(seconds=30.0)])
def test_an_interrupted_search_goes_on_without_loss(search, scorer, tmp_path, name, budget):
    whole, _ = search(name, budget)
    all_made = scorer.made
    for limit in (1, 5, 17):
        scorer.made, scorer.limit = [], limit
        path = tmp_path / str(limit)
        with pytest.raises(KeyboardInterrupt):
            search(name, budget, path=path)
        first, scorer.made, scorer.limit = scorer.made, [], math.inf
        resumed, scores = search(name, budget, path=path)
        assert resumed.equals(whole)
        assert first + scorer.made == all_made
        assert scores.made == len(scorer.made) == len(all_made) - limit
        scorer.made = []
        again, _ = search(name, budget, path=path)
        assert again.equals(whole)
        assert scorer.made == []


def test_what_another_run_scored_costs_what_it_cost(search, scorer, tmp_path):
    """A run depends on its number alone, not on those that came before it."""
    together, _ = search("rs", Budget(seconds=40.0), runs=range(4), seeds=1)
    assert len(scorer.made) < together.query("is_final")["step"].sum()
    for run in (1, 3):
        alone, _ = search("rs", Budget(seconds=40.0), runs=[run], seeds=1)
        assert alone.equals(together[together["run"] == run].reset_index(drop=True))


def test_a_search_that_proposes_nothing_new_comes_to_an_end(search, scorer):
    class Stubborn(BudgetedSearch):
        def __call__(self, space, evaluate, rng, start=()):
            while True:
                evaluate(space[6])

    trace, _ = search(Stubborn(), Budget(seconds=1e6), runs=[0])
    assert scorer.made == [(6, 0)]
    final = trace.query("is_final").iloc[0]
    assert final["step"] == PATIENCE + 1
    assert final["simulated_seconds"] == score_of(6, 0).seconds
    trace, _ = search(Stubborn(), Budget(evaluations=50), runs=[0])
    assert trace.query("is_final")["step"].item() == 50


def test_what_fits_into_no_budget_is_said(search):
    with pytest.raises(
        ParameterError, match=r"^budget 0.5s: run 0 found nothing that fits into it"
    ):
        search("rs", Budget(seconds=0.5))


def test_every_answer_is_reported(toy, scorer):
    heard = []
    scores = LiveScores(request_of(toy, "naswot", 1), Ledger(), heard.append)
    trace_of(search_runs(ALGORITHMS.load("rs")(), toy, scores, Budget(evaluations=50), range(1), 0))
    assert len(heard) == 50
    assert sum(one > 0 for one in heard) == len(scorer.made)


def test_there_is_a_seed():
    with pytest.raises(ParameterError, match=r"^0 seeds of the scores: 1 or more$"):
        Live(seeds=0)


def test_a_ledger_of_something_else_is_damage(search, scorer, tmp_path):
    path = tmp_path / "ledger"
    search("rs", Budget(evaluations=2), path=path, runs=[0])
    with opened(path, {}) as ledger:
        for item in ledger.done:
            ledger.add(item, {"score": 1})
    with pytest.raises(DamagedFileError, match="ledger is damaged: delete it"):
        search("rs", Budget(evaluations=2), path=path, runs=[0])

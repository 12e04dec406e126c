"""Searches by ensembles: ranks in a pool that grows, against a plain loop that ranks anew."""

import math

import numpy as np
import pandas as pd
import pytest

from untrained import Live, run_search
from untrained.errors import MissingDataError
from untrained.proxies.ensembles import RULES, Ensemble, combined
from untrained.scoring.engine import Score
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.ledger import Ledger
from untrained.scoring.request import ScoreRequest, parse_reading
from untrained.search import ALGORITHMS, live
from untrained.search.base import BudgetSpent
from untrained.search.clock import Budget, Clock, RankedScores
from untrained.search.guided import Guide
from untrained.search.members import part_of
from untrained.search.pool import Pool
from untrained.search.runs import search_runs, trace_of
from untrained.search.sampled import Naswot
from untrained.seeds import numpy_generator

#: Those that only compare, by what an evaluation returned.
COMPARING = ["rea", "area", "rs", "local"]
NAMES = [name for name in ALGORITHMS.names() if ALGORITHMS.load(name).spends_budget]


def pool_of(rule, count=40, undefined=0.2, members=3):
    """Scores of two seeds by three members, some undefined, ties among them."""
    rng = np.random.default_rng(6)
    found = np.sort(rng.choice(81, count, replace=False))
    pools = []
    for _ in range(members):
        scores = rng.integers(15, size=(2, count)).astype(float)
        scores[rng.random(scores.shape) < undefined / members] = np.nan
        pools.append(Pool(found, scores, {}, 0.5))
    return Pool.of_ensemble(Ensemble(rule, tuple("abc"[:members])), pools)


class Ranked:
    """The fitness of an architecture, which is ranked anew whenever it is compared."""

    def __init__(self, one, scored, values, rule):
        self.one, self.scored, self.values, self.rule = one, scored, values, rule

    def now(self):
        scores = combined(self.rule, self.values[:, self.scored])
        found = scores[self.scored.index(self.one)]
        return -math.inf if math.isnan(found) else found

    def __gt__(self, other):
        return self.now() > other.now() + 1e-9


def slow_runs(space, algorithm, pool, evaluations, runs, seed, start_of=lambda *_: []):
    """What each run evaluated, in order, and the best of it by the ranks of the end."""
    places = pool.architectures.tolist()
    for number in runs:
        values, scored, asked = pool.members[:, number % 2], [], []

        def evaluate(architecture, *_, values=values, scored=scored, asked=asked):
            if len(asked) == evaluations:
                raise BudgetSpent
            place = places.index(architecture.index)
            asked.append(architecture.index)
            if place not in scored:
                scored.append(place)
            return Ranked(place, scored, values, pool.ensemble.rule)

        start = start_of(number, values, scored)
        with pytest.raises(BudgetSpent):
            algorithm(space, evaluate, numpy_generator(seed, "search", number), start)
        scores = combined(pool.ensemble.rule, values[:, scored])
        yield asked, scored, scores


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", COMPARING)
def test_searches_are_those_of_the_slow_loop(toy, name, rule):
    pool, algorithm = pool_of(rule), ALGORITHMS.load(name)()
    space = part_of(toy, pool.architectures)
    answers = RankedScores("toy", 81, pool)
    found = search_runs(algorithm, space, answers, Budget(evaluations=50), range(6), 3)
    slow = slow_runs(space, algorithm, pool, 50, range(6), 3)
    for (_, clock), (asked, scored, scores) in zip(found, slow, strict=True):
        assert clock.evaluations == len(asked)
        best = clock.incumbents[-1].arch
        place = pool.architectures.tolist().index(best)
        assert scores[scored.index(place)] == pytest.approx(np.nanmax(scores))
        assert clock.final_fitness == pytest.approx(np.nanmax(scores))
        assert len(clock.answer.seen._positions) == int(np.isfinite(scores).sum())
        assert {pool.architectures[one] for one in clock.answer.seen._fitness} == set(asked)


@pytest.mark.parametrize("name", NAMES)
def test_every_search_takes_an_ensemble(toy, name):
    pool, algorithm = pool_of("log"), ALGORITHMS.load(name)()
    space, answers = part_of(toy, pool.architectures), RankedScores("toy", 81, pool)
    runs = search_runs(algorithm, space, answers, Budget(evaluations=30), range(3), 0)
    trace = trace_of(runs)
    final = trace[trace["is_final"]]
    assert (final["step"] == 30).all()
    assert (final["simulated_seconds"] == 30 * 1.5).all()  # a score by each of three members
    assert (final["fitness"] <= 0).all()


def test_an_incumbent_is_the_best_of_all_that_was_scored(toy):
    pool = pool_of("log", undefined=0)
    answers = RankedScores("toy", 81, pool)
    space = part_of(toy, pool.architectures)
    algorithm = ALGORITHMS.load("rs")()
    for evaluations in range(1, 40):
        ((_, clock),) = search_runs(
            algorithm, space, answers, Budget(evaluations=evaluations), [0], 1
        )
        ((_, scored, scores),) = slow_runs(space, algorithm, pool, evaluations, [0], 1)
        best = scored[int(np.argmax(np.round(scores, 9)))]
        assert clock.incumbents[-1].arch == pool.architectures[best]


@pytest.mark.parametrize("answer", ["longest", "any"])
def test_the_answer_of_shorter_trainings_is_among_the_longest(toy, answer):
    pool = pool_of("log", undefined=0)
    answers = RankedScores("toy", 81, pool)
    clock = Clock(answers.of_run(0), Budget(evaluations=30))
    asked = [int(one) for one in pool.architectures[:20]]
    for index, length in zip(asked, [1 / 3] * 5 + [1.0] * 3 + [1 / 3] * 12, strict=True):
        clock.evaluate(toy[index], 1.0, 1.0 if answer == "any" else length)
    scores = combined("log", pool.members[:, 0, :20])
    among = range(5, 8) if answer == "longest" else range(20)
    best = max(among, key=lambda place: scores[place])
    assert clock.incumbents[-1].arch == asked[best]
    assert clock.final_fitness == pytest.approx(scores[best])


def test_nothing_defined_has_an_answer_without_a_fitness(toy):
    pool = pool_of("sum")
    pool = Pool(pool.architectures, None, {}, 1.0, pool.ensemble, np.full((3, 2, 40), np.nan))
    space, answers = part_of(toy, pool.architectures), RankedScores("toy", 81, pool)
    algorithm = ALGORITHMS.load("rs")()
    trace = trace_of(search_runs(algorithm, space, answers, Budget(evaluations=9), range(2), 0))
    assert trace["fitness"].isna().all()
    assert len(trace) == 4


@pytest.mark.parametrize("rule", RULES)
def test_a_start_and_a_choice_among_mutants_rank_what_the_run_has_seen(toy, rule):
    whole = pool_of(rule, count=81)
    guide, charged = Guide(whole, 9, 4, mutants=3), []
    seen = guide.seen_by(1)
    start = guide.start(toy, seen, np.random.default_rng(2), charged.append)
    drawn = np.random.default_rng(2).choice(81, 9, replace=False)
    scores = combined(rule, whole.members[:, 1, drawn])
    order = np.argsort(-np.where(np.isnan(scores), -np.inf, np.round(scores, 9)), kind="stable")
    assert [one.index for one in start] == drawn[order[:4]].tolist()
    space, rng = guide.guided(toy, seen, charged.append), np.random.default_rng(7)
    known = drawn.tolist()
    for _ in range(12):
        mutant = space.mutate(start[0], rng)
        asked = charged[-1]
        assert asked == 3 * 1.5
        several = [place for place in seen._fitness if place not in known]
        known += several
        scores = combined(rule, whole.members[:, 1, known])
        assert mutant.index in known
        mine = scores[known.index(mutant.index)]
        assert several == [] or math.isnan(mine) or mine >= np.nanmin(scores)


def test_a_start_by_the_ensemble_that_is_the_fitness_is_in_its_pool(toy):
    pool = pool_of("log", count=81)
    answers, guide = RankedScores("toy", 81, pool), Guide(pool, 20, 5)
    algorithm = ALGORITHMS.load("rea")(population=5)
    runs = search_runs(algorithm, toy, answers, Budget(evaluations=8), range(2), 0, guide)
    for _, clock in runs:
        assert len(clock.answer.seen._fitness) >= 20


@pytest.mark.parametrize("rule", RULES)
def test_a_sample_is_ranked_within_itself(rule):
    pool = pool_of(rule, undefined=0.5)
    trace = Naswot()(pool, 12, 7, 0)
    drawn = numpy_generator(0, "naswot search").integers(40, size=(7, 12))
    final = trace[trace["is_final"]].set_index("run")
    for run, places in enumerate(drawn):
        distinct = list(dict.fromkeys(places.tolist()))
        scores = combined(rule, pool.members[:, run % 2, distinct])
        chosen = pool.architectures[distinct].tolist().index(final.loc[run, "arch"])
        assert scores[chosen] == pytest.approx(np.nanmax(scores))
        assert final.loc[run, "fitness"] == pytest.approx(np.nanmax(scores))
        assert final.loc[run, "simulated_seconds"] == 12 * 1.5
    assert (trace.groupby("run")["step"].max() == 12).all()


def tidy(size, **proxies):
    tables = [
        pd.DataFrame(
            {"arch": range(size), "proxy": proxy, "dataset": "cifar10", "seed": 0}
            | {"score": scores, "status": "ok"}
        )
        for proxy, scores in proxies.items()
    ]
    return pd.concat(tables, ignore_index=True)


@pytest.mark.parametrize("search", ["naswot-30", "rs+fitness={}", "rea+fitness={}+init={}"])
def test_a_space_is_searched_by_an_ensemble_of_cached_scores(search):
    rng = np.random.default_rng(0)
    table = tidy(15625, naswot=rng.normal(size=15625), parameters=rng.normal(size=15625))
    # another order and a member for which lower is better, in another table of the same ranks
    ensemble = "log(parameters,naswot)"
    settings = {"runs": 3, "scores": table}
    settings |= {"budget": "30evaluations"} if "fitness" in search else {"proxy": ensemble}
    found = run_search(search.format(ensemble, ensemble), "nasbench201", **settings)
    values = table.pivot(index="proxy", columns="arch", values="score").to_numpy()
    for _, row in found.final.iterrows():
        assert (values[:, row["arch"]] > values.mean()).any()
    assert (found.final["step"] == 30).all()
    assert found.architecture is not None


def test_a_member_without_scores_or_with_other_seeds_is_named():
    table = tidy(15625, naswot=np.arange(15625.0))
    with pytest.raises(MissingDataError, match="no cached scores of parameters on cifar10"):
        run_search("rs+fitness=log(naswot,parameters)", "nasbench201", scores=table)
    more = tidy(15625, parameters=np.arange(15625.0))
    table = pd.concat([table, more, more.assign(seed=1)])
    with pytest.raises(MissingDataError, match=r"numbers of seeds \(1 of naswot, 2 of parameters"):
        run_search("rs+fitness=log(naswot,parameters)", "nasbench201", scores=table)


def test_a_live_search_finds_what_one_by_cached_scores_does(toy, monkeypatch):
    pool = pool_of("vote", count=81)
    names = ["naswot", "ntk_condition_number", "synflow"]  # for the second lower is better

    def score_work(request, work):
        for index, seed, _ in work:
            made = []
            for sign, one in zip((1, -1, 1), pool.members[:, seed, index], strict=True):
                known = not math.isnan(one)
                made.append(
                    Score(sign * one if known else None, "ok" if known else "diverged", "", 1.0)
                )
            yield made

    monkeypatch.setattr(live, "score_work", score_work)
    request = ScoreRequest(
        toy, tuple(map(parse_reading, names)), MinibatchSettings(), (0, 1), Execution()
    )
    algorithm = ALGORITHMS.load("rea")()
    scores = live.LiveScores(request, Ledger(), ensemble=pool.ensemble)
    found = search_runs(algorithm, toy, scores, Budget(evaluations=40), range(4), 0)
    cached = RankedScores("toy", 81, pool)
    expected = search_runs(algorithm, toy, cached, Budget(evaluations=40), range(4), 0)
    columns = ["run", "step", "arch", "fitness", "is_final"]
    live_trace, cached_trace = trace_of(found)[columns], trace_of(expected)[columns]
    pd.testing.assert_frame_equal(live_trace, cached_trace)


def test_a_live_search_by_an_ensemble_charges_all_members():
    settings = {"budget": "12evaluations", "live": Live(batch_size=8)}
    found = run_search("rs+fitness=log(flops,parameters)", "nasbench201", **settings)
    assert found.counts == {"scored": 12, "resumed": 0}
    assert found.fitness <= 0
    assert found.final["simulated_seconds"].iloc[0] > 0

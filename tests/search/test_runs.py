"""Runs of every algorithm that spends a budget."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from tests.report import SPLITS

from untrained.errors import ArchitectureError, ParameterError
from untrained.files import write_parquet
from untrained.report.published import PAPER, published
from untrained.search import ALGORITHMS, parse_algorithm
from untrained.search.base import BudgetedSearch, configured
from untrained.search.clock import Budget, Clock, trainings_of
from untrained.search.guided import Guide
from untrained.search.pool import Pool, empty_trace
from untrained.search.runs import search_runs, trace_of
from untrained.seeds import numpy_generator
from untrained.spaces.base import Architecture

from .conftest import slow_trace

NAMES = [name for name in ALGORITHMS.names() if ALGORITHMS.load(name).spends_budget]


@pytest.fixture
def guide():
    scores = np.random.default_rng(2).standard_normal((2, 81))
    return Guide(Pool(np.arange(81), scores, {}, 0.25), 6, 4)


@pytest.fixture
def run(toy, trainings):
    def make(name, budget, runs=range(5), seed=0, guide=None):
        algorithm = ALGORITHMS.load(name)()
        return trace_of(search_runs(algorithm, toy, trainings, budget, runs, seed, guide))

    return make


def test_which_algorithms_there_are():
    assert {"area", "bohb", "local", "rea", "reinforce", "rs"} <= set(NAMES)
    assert all(issubclass(ALGORITHMS.load(name), BudgetedSearch) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [Budget(seconds=47.5), Budget(evaluations=13)])
@pytest.mark.parametrize("guided", [False, True])
def test_the_trace_is_that_of_the_slow_loop(toy, trainings, run, guide, name, budget, guided):
    guide = guide if guided else None
    algorithm = ALGORITHMS.load(name)()

    def answer_of(_run):
        return lambda index: (trainings.accuracy[index], trainings.seconds[index])

    expected = slow_trace(toy, algorithm, answer_of, budget, range(5), 3, guide)
    found = run(name, budget, seed=3, guide=guide)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_depends_on_the_seed_and_its_number_alone(run, guide, name):
    budget = Budget(seconds=40)
    together = run(name, budget, range(6), guide=guide)
    np.random.seed(5)  # noqa: NPY002 - the global state must not matter
    for number in (4, 1):
        alone = run(name, budget, [number], guide=guide)
        expected = together[together["run"] == number].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, expected)
    assert not run(name, budget, range(6), seed=1, guide=guide).equals(together)
    assert together.groupby("run")["arch"].first().nunique() > 1


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_is_spent_and_never_exceeded(run, trainings, guide, name):
    for seconds in (5.0, 20.0, 100.0):
        final = run(name, Budget(seconds=seconds), guide=guide).query("is_final")
        assert (final["simulated_seconds"] <= seconds).all()
        assert (final["simulated_seconds"] > seconds - trainings.seconds.max()).all()
    final = run(name, Budget(evaluations=17), guide=guide).query("is_final")
    assert (final["step"] == 17).all()


def test_the_start_comes_first_and_is_paid_for(toy, trainings, run, guide):
    trace = run("rs", Budget(evaluations=4), guide=guide)
    for number, rows in trace.groupby("run"):
        rng = numpy_generator(0, "scored start", number)
        start = [
            one.index for one in guide.start(toy, guide.pool.of_run(number), rng, lambda _: None)
        ]
        end = rows.iloc[-1]
        assert end["arch"] == max(start, key=lambda index: trainings.accuracy[index])
        spent = 6 * 0.25 + trainings.seconds[start].sum()
        assert end["simulated_seconds"] == pytest.approx(spent)


def test_choosing_among_mutants_is_paid_for(toy, trainings, run, guide):
    choosy = Guide(guide.pool, 0, 0, mutants=3)
    final = run("rea", Budget(evaluations=30), guide=choosy).query("is_final")
    plain = Guide(Pool(np.arange(81), guide.pool.scores, {}, 0.0), 0, 0, mutants=3)
    free = run("rea", Budget(evaluations=30), guide=plain).query("is_final")
    assert final["arch"].tolist() == free["arch"].tolist()
    # the first ten are drawn; one more mutant is chosen before the budget is found spent
    extra = final["simulated_seconds"] - free["simulated_seconds"]
    np.testing.assert_allclose(extra, 21 * 3 * 0.25)


def test_a_trace_has_the_types_of_every_trace(run, tmp_path):
    write_parquet(run("rs", Budget(evaluations=3)), tmp_path / "full")
    write_parquet(empty_trace(), tmp_path / "empty")
    assert pq.read_schema(tmp_path / "full").equals(pq.read_schema(tmp_path / "empty"))


@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_a_budget_below_one_evaluation_is_refused(run, guide, seconds):
    with pytest.raises(ParameterError, match=r"^budget .*s: one evaluation on toy takes up to 3 s"):
        run("rs", Budget(seconds=seconds))
    with pytest.raises(ParameterError, match=r": the scores at the start take 1.5 s and one eval"):
        run("rs", Budget(seconds=seconds + 2), guide=guide)


def test_a_search_that_returns_early_is_named(toy, trainings):
    class Lazy(ALGORITHMS.load("rs")):
        def __call__(self, space, evaluate, rng, start=()):
            evaluate(space.sample(rng))

    with pytest.raises(ParameterError, match=r"^Lazy returned before its budget was spent"):
        list(search_runs(Lazy(), toy, trainings, Budget(evaluations=3), range(1), 0))


def test_an_architecture_of_another_space_is_an_error_of_the_run(toy, trainings):
    class Stray(ALGORITHMS.load("rs")):
        def __call__(self, space, evaluate, rng, start=()):
            evaluate(Architecture("toy", 81, "high:high:high:higher"))

    with pytest.raises(ArchitectureError, match=r"^toy 81 was proposed: toy has 0 to 80$"):
        list(search_runs(Stray(), toy, trainings, Budget(evaluations=3), range(1), 0))


def test_settings_are_spelled_by_name():
    rea = ALGORITHMS.load("rea")
    found = configured(rea, ["population=20", "replacement=false"])
    assert found == rea(population=20, replacement=False)
    bohb = ALGORITHMS.load("bohb")
    assert configured(bohb, ["charge=proportional", "min_share=0.5"]) == bohb(
        "proportional", min_share=0.5
    )
    assert configured(ALGORITHMS.load("rs"), []) == ALGORITHMS.load("rs")()


@pytest.mark.parametrize(
    ("name", "setting", "said"),
    [
        ("rea", "smple=3", "setting 'smple=3' of RegularisedEvolution: known: population=..., "),
        ("rea", "sample", "setting 'sample' of RegularisedEvolution: known: population=..., "),
        ("rs", "sample=3", "setting 'sample=3' of RandomSearch: known: it has none"),
        ("rea", "sample=3.5", "sample=3.5: an integer"),
        ("rea", "replacement=yes", "replacement=yes: true or false"),
        ("reinforce", "learning_rate=fast", "learning_rate=fast: a number"),
        ("rea", "sample=0", "sample=0: 1 to 100000"),
    ],
)
def test_wrong_settings_are_refused(name, setting, said):
    with pytest.raises(ParameterError) as error:
        configured(ALGORITHMS.load(name), [setting])
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("spelling", "method"),
    [
        ("rs", "RS"),
        ("rea", "REA"),
        ("reinforce+learning_rate=0.04", "REINFORCE"),  # see the module on rates
        ("bohb", "BOHB"),
    ],
)
def test_searches_reach_the_published_accuracies(space, benchmark_table, spelling, method):
    trainings = trainings_of(benchmark_table, "cifar10")
    search = parse_algorithm(spelling).algorithm
    runs = search_runs(search, space, trainings, Budget(seconds=12_000), range(150), 0)
    chosen = trace_of(runs).query("is_final")["arch"].to_numpy()
    known = published("searches")
    known = known[(known["space"] == space.name) & (known["source"] == PAPER)]
    known = known[known["method"] == method]
    known = known.set_index(["dataset", "split"])
    for cell, column in SPLITS.items():
        reached = benchmark_table.accuracies(*column)[chosen]
        printed = known.loc[cell]
        error = np.sqrt(reached.var(ddof=1) / 150 + printed["std"] ** 2 / 500)
        assert abs(reached.mean() - printed["mean"]) < 3 * error, cell


def test_a_clock_is_each_runs_own(toy, trainings):
    clocks = [
        clock
        for _, clock in search_runs(
            ALGORITHMS.load("rs")(), toy, trainings, Budget(evaluations=3), range(3), 0
        )
    ]
    assert all(isinstance(clock, Clock) and clock.evaluations == 3 for clock in clocks)
    assert len({id(clock.incumbents) for clock in clocks}) == 3

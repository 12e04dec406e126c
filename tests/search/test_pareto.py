"""Pareto searches: the front, ranks, crowding and hypervolume against slow, obvious forms."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from untrained import cached_scores, devices, get_space, pareto
from untrained.errors import UntrainedError
from untrained.proxies import PROXIES
from untrained.proxies.ensembles import combined
from untrained.search.objectives import parse_objective
from untrained.search.pareto import (
    SEARCHERS,
    Aim,
    Evaluated,
    Nsga2,
    crowding_distances,
    hypervolume,
    hypervolumes,
    non_dominated,
    ordered,
    searched,
)
from untrained.seeds import numpy_generator

#: Whole numbers have ties and duplicates; some objectives are undefined.
CASES = [
    (points, objectives, high, undefined)
    for points, objectives, high in ((0, 2, 4), (1, 2, 4), (9, 2, 4), (30, 2, 9), (25, 3, 5))
    for undefined in (0.0, 0.2)
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A folder without the scores of a run, so that those that come along are read."""
    monkeypatch.chdir(tmp_path)


def drawn(points, objectives, high, undefined, seed=0):
    rng = np.random.default_rng(seed)
    found = rng.integers(high, size=(points, objectives)).astype(float)
    found[rng.random(found.shape) < undefined] = np.nan
    return found


def dominates(one, other):
    return (one <= other).all() and (one < other).any()


def slow_front(losses):
    defined = [place for place, one in enumerate(losses) if not np.isnan(one).any()]
    kept = []
    for place in defined:
        equal_before = any((losses[one] == losses[place]).all() for one in kept)
        beaten = any(dominates(losses[other], losses[place]) for other in defined)
        if not beaten and not equal_before:
            kept.append(place)
    return sorted(kept, key=lambda place: (*losses[place], place))


def slow_ranks(losses):
    left = {place for place, one in enumerate(losses) if not np.isnan(one).any()}
    ranks = [len(losses)] * len(losses)
    for rank in range(len(losses)):
        best = {a for a in left if not any(dominates(losses[b], losses[a]) for b in left)}
        for place in best:
            ranks[place] = rank
        left -= best
    return ranks


def slow_hypervolume(losses, reference):
    """Count the unit cells that some point dominates: coordinates are whole numbers."""
    boxes = itertools.product(*(range(int(end)) for end in reference))
    return sum(any((one <= box).all() for one in losses) for box in map(np.array, boxes))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("case", CASES, ids=str)
def test_front_ranks_and_hypervolume_are_those_of_definitions(case, seed):
    losses = drawn(*case, seed=seed)
    assert non_dominated(losses).tolist() == slow_front(losses)
    order, ranks = ordered(losses), slow_ranks(losses)
    assert sorted(order) == list(range(len(losses)))
    assert [ranks[place] for place in order] == sorted(ranks)
    reference = np.full(case[1], case[2] - 1.0)  # some points lie beyond it
    assert hypervolume(losses, reference) == slow_hypervolume(losses, reference)


def test_crowding_distances_are_those_of_the_paper():
    losses = np.array([[0.0, 8.0], [1.0, 4.0], [5.0, 2.0], [8.0, 0.0]])
    # (5 - 0) / 8 + (8 - 2) / 8, and (8 - 1) / 8 + (4 - 0) / 8
    assert crowding_distances(losses).tolist() == [np.inf, 11 / 8, 11 / 8, np.inf]
    assert crowding_distances(np.ones((3, 2)))[1] == 0  # a range of 0
    # within a rank the less crowded come first
    assert ordered(np.array([[0.0, 8.0], [4.0, 4.0], [4.1, 3.9], [8.0, 0.0]])).tolist()[:2] == [
        0,
        3,
    ]


@pytest.fixture
def values():
    found = np.random.default_rng(1).standard_normal((3, 81))
    found[0, 7] = np.nan
    return found


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_run_evaluates_each_architecture_once_and_ranks_what_it_has_seen(toy, values, name):
    aims = [Aim((0, 1), "log"), Aim((2,), turned=True)]
    rngs = [numpy_generator(0, "test", run) for run in range(2)]
    found = [*searched(SEARCHERS[name], toy, aims, lambda one: values[:, one.index], 30, rngs)]
    again = numpy_generator(0, "test", 1)
    (alone,) = searched(SEARCHERS[name], toy, aims, lambda one: values[:, one.index], 30, [again])
    assert alone.architectures == found[1].architectures != found[0].architectures
    for seen in found:
        indices = [one.index for one in seen.architectures]
        assert len(indices) == len(set(indices)) == 30
        for first in (30, 11):
            own = values[:, indices[:first]]
            losses = np.stack([-combined("log", own[:2]), own[2]], axis=1)
            assert seen.front(first).tolist() == slow_front(losses)
    # nothing is left to evaluate
    (every,) = searched(SEARCHERS[name], toy, aims, lambda one: values[:, one.index], 200, [again])
    assert len(every) <= 81
    assert len(every) == 81 or name != "random"


def test_generations_of_nsga2_keep_the_best(toy, values):
    """Members are the best by rank and crowding of all that were alive or born."""
    proposed = []

    class Watched:
        name, sample = toy.name, toy.sample

        def mutate(self, architecture, rng):
            proposed.append(architecture.index)
            return toy.mutate(architecture, rng)

    seen = Evaluated([Aim((1,)), Aim((2,))], lambda one: values[:, one.index], 16)
    Nsga2(4)(Watched(), seen, np.random.default_rng(0))
    indices = [one.index for one in seen.architectures]
    alive, losses = indices[:4], -values[1:].T
    for generation in range(3):
        alive = [alive[place] for place in ordered(losses[alive])][:4]
        born = indices[4 * (generation + 1) : 4 * (generation + 2)]
        alive = alive + born
    parents = set(proposed) - set(indices)
    assert not parents  # only what was evaluated is mutated
    assert len(indices) == 16
    assert {indices[place] for place in seen.front()} <= set(alive)


def test_the_better_of_two_members_has_a_child(toy, values):
    parents, fresh = [], iter(range(81))

    class Watched:
        name = toy.name

        def sample(self, _rng):
            return toy[next(fresh)]

        def mutate(self, architecture, _rng):
            parents.append(architecture.index)
            return toy[next(fresh)]

    class Pairs:
        def integers(self, high, size):
            assert (high, size) == (4, (4, 2))  # no generation has more members
            return np.array([[0, 3], [3, 2], [1, 1], [2, 0]])

    seen = Evaluated([Aim((1,)), Aim((2,))], lambda one: values[:, one.index], 12)
    Nsga2(4)(Watched(), seen, Pairs())
    first = ordered(-values[1:, :4].T)
    alive = np.concatenate([first, np.arange(4, 8)])
    second = alive[ordered(-values[1:, alive].T)]
    assert parents == [*first[[0, 2, 1, 0]], *second[[0, 2, 1, 0]]]


def test_hypervolumes_grow_to_that_of_the_whole_table():
    losses = drawn(30, 2, 9, 0.1)
    orders = [np.random.default_rng(run).permutation(30) for run in range(3)]
    found = hypervolumes(orders, losses, [1, 10, 30, 99])
    assert (np.diff(found, axis=1) >= 0).all()
    assert found[:, 2:].tolist() == [[1.0, 1.0]] * 3
    worst = np.nanmax(losses[~np.isnan(losses).any(axis=1)], axis=0)
    part = slow_hypervolume(losses[orders[1][:10]], worst) / slow_hypervolume(losses, worst)
    assert found[1, 1] == pytest.approx(part)


def test_evolution_finds_more_than_random_search():
    objectives = ["log(jacobian_covariance,parameters-live)", "latency[titan_rtx_1]"]
    found = {
        name: pareto("nasbench201", objectives, algorithm=name, evaluations=300, runs=6)
        for name in SEARCHERS
    }
    reached = {name: one.hypervolumes([20, 300]) for name, one in found.items()}
    assert reached["nsga2"][:, 0].tolist() == reached["random"][:, 0].tolist()  # the same start
    assert reached["nsga2"][:, 1].mean() > reached["random"][:, 1].mean() + 0.02


def test_the_front_of_a_search_has_objectives_and_accuracies():
    spelled = ["max(flops)", "min( latency[raspi4] )", "energy[edgegpu]"]
    found = pareto("nasbench201", spelled, evaluations=60)
    table = cached_scores("nasbench201")
    flops = table[table["proxy"] == "flops"].set_index("arch")["score"]
    front, trace = found.front(), found.trace
    names = ["max(flops)", "latency[raspi4]", "energy[edgegpu]"]
    assert front.columns[:5].tolist() == ["arch", "spelling", *names]
    assert front["energy[edgegpu]"].is_monotonic_increasing
    assert "cifar10/ori-test" in front
    assert len(trace) == 60
    assert sorted(front["arch"]) == sorted(trace.loc[trace["on_front"], "arch"])
    assert trace["max(flops)"].tolist() == flops[trace["arch"]].tolist()
    latency = devices("nasbench201").values("latency", "raspi4", "cifar10")
    assert trace["latency[raspi4]"].tolist() == latency[trace["arch"]].tolist()
    losses = trace[names].to_numpy() * [-1, 1, 1]
    places = slow_front(losses)
    assert sorted(trace["arch"].iloc[places]) == sorted(front["arch"])


@pytest.mark.parametrize(
    ("spelling", "name", "lower"),
    [
        ("naswot", "naswot", False),
        ("min(naswot)", "min(naswot)", True),
        ("max( naswot )", "naswot", False),
        ("ntk_condition_number", "ntk_condition_number", True),
        ("log(parameters,naswot)", "log(naswot,parameters)", False),
        ("min(log(parameters,naswot))", "min(log(naswot,parameters))", True),
        (" latency[raspi4/cifar100] ", "latency[raspi4/cifar100]", True),
        ("parameters", "parameters", True),
        ("max(flops-live)", "max(flops-live)", False),
        ("max(energy[fpga])", "max(energy[fpga])", False),
    ],
)
def test_objectives_know_their_direction(spelling, name, lower):
    found = parse_objective(spelling)
    assert (found.spelling, found.lower) == (name, lower)
    assert parse_objective(name) == found


@pytest.mark.parametrize(
    ("objectives", "said"),
    [
        ([], "no objectives: name two or more"),
        (["naswot"], "1 objective: name two or more"),
        ("naswot", "objectives 'naswot': give a list"),
        (7, "objectives 7: give a list"),
        (["naswot", 7], "objective 7: give its spelling"),
        (["latency[raspi4/cifar10]", "latency[raspi4]"], "are the same values"),
        (["min(latency[pixel2])", "max(latency[pixel2/cifar])"], "are the same values"),
        (["naswot", "max(naswot)"], "twice"),
        (["naswot", "min(max(naswot))"], "write min or max once"),
        (["naswot", "latency[raspi5]"], "raspi4"),
        (["naswot", "latency"], "latency[DEVICE]"),
        (["naswot", "latency[raspi4"], "is no quantity"),
        (["naswot", "speed[raspi4]"], "is no quantity"),
        (["naswot", "energy[raspi4]"], "latency[raspi4]"),
        (["synflow@1", "latency[raspi4]"], "no cached scores of synflow@1"),
    ],
)
def test_wrong_objectives_are_one_clear_line(objectives, said):
    with pytest.raises(UntrainedError, match=r"^[^\n]+$") as caught:
        pareto("nasbench201", objectives, evaluations=5)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"evaluations": 2.5}, "evaluations 2.5: a whole number, 1 or more"),
        ({"evaluations": 0}, "evaluations 0: a whole number, 1 or more"),
        ({"evaluations": 10**9}, "at most"),
        ({"runs": "3"}, "runs '3': a whole number, 1 or more"),
        ({"seed": 0.5}, "seed 0.5: a whole number, 0 or more"),
    ],
)
def test_wrong_arguments_are_one_clear_line(asked, said):
    with pytest.raises(UntrainedError, match=r"^[^\n]+$") as caught:
        pareto("nasbench201", ["naswot", "latency[raspi4]"], **asked)
    assert said in str(caught.value)


def test_costs_on_two_data_sets_are_two_objectives():
    names = ["latency[raspi4]", "latency[raspi4/cifar100]"]
    assert [*map(str, pareto("nasbench201", names, evaluations=np.int64(5)).objectives)] == names


def test_a_search_moves_within_a_constraint():
    words = ["naswot", "memory", "latency[raspi4]"]
    where = "latency[raspi4] <= 10 ms"
    found = pareto("nasbench201", words, evaluations=30, where=where)
    assert found.trace["latency[raspi4]"].max() <= 10
    assert found.values is None or found.hypervolumes([30]).shape == (1, 1)
    known = pareto("nasbench201", words[::2], evaluations=30, where=where)
    allowed = devices("nasbench201").values("latency", "raspi4", "cifar10") <= 10
    assert known.values.architectures.tolist() == np.flatnonzero(allowed).tolist()
    assert known.hypervolumes([30])[0, 0] > 0.8  # of what is allowed


def test_evolution_goes_on_where_no_mutation_leads_to_new_ones():
    """145 cells lie within, in parts that the space's own mutations do not connect."""
    words, where = ["jacobian_covariance", "latency[titan_rtx_1]"], "latency[edgetpu] < 0.38 ms"
    found = pareto("nasbench201", words, where=where, evaluations=90, runs=2)
    assert [*map(len, found.runs)] == [90, 90]
    short = pareto("nasbench201", words, where=where, evaluations=9)
    both = replace(found, runs=[short.runs[0], found.runs[1]])
    assert both.hypervolumes().tolist() == both.hypervolumes([90]).tolist()
    assert both.hypervolumes()[1] > both.hypervolumes([9])[1]


def test_costs_alone_can_be_searched_on_a_large_space():
    names, where = ["parameters", "max(flops)"], "parameters < 3.4 M"
    found = pareto("darts", names, evaluations=25, runs=2, where=where)
    assert [*map(len, found.runs)] == [25, 25]
    assert (found.values, found.counts, found.accuracies) == (None, {}, {})
    trace, darts = found.trace[:3], get_space("darts")
    assert found.trace["parameters"].max() < 3.4e6
    for row in trace.to_dict("records"):
        graph = darts.graph(darts[row["arch"]], 10)
        assert row["parameters"] == PROXIES.load("parameters")().of_graph(graph, (3, 32, 32))
    with pytest.raises(UntrainedError, match="darts is too large for cached scores: search live"):
        pareto("darts", ["naswot", "parameters"], evaluations=5)


def test_of_a_score_less_is_better_where_its_direction_is_lower():
    names = ["ntk_condition_number", "latency[raspi4]"]
    table = cached_scores("nasbench201").query("proxy == 'naswot'").assign(proxy=names[0])
    trace = pareto("nasbench201", names, evaluations=60, scores=table).trace
    score = table.query("dataset == 'cifar10'").set_index("arch")["score"]
    assert trace[names[0]].to_numpy() == pytest.approx(score[trace["arch"]], nan_ok=True)
    places = slow_front(trace[names].to_numpy())
    assert sorted(trace["arch"].iloc[places]) == sorted(trace.loc[trace["on_front"], "arch"])


@pytest.mark.parametrize("algorithm", SEARCHERS)
def test_what_has_no_known_cost_is_not_evaluated(algorithm):
    """edgetpu lacks 4,699 cells, and a table of one's own all but a few."""
    words = ["naswot", "latency[edgetpu]", "latency[raspi4]"]
    found = pareto("nasbench201", words, evaluations=80, algorithm=algorithm)
    assert len(found.trace) == 80
    assert found.trace["latency[edgetpu]"].notna().all()
    within = pareto("nasbench201", words[:2], evaluations=80, where="latency[edgetpu] <= 1 ms")
    known = devices("nasbench201").values("latency", "edgetpu", "cifar10")
    assert within.values.architectures.tolist() == np.flatnonzero(known <= 1).tolist()


def test_a_table_of_a_few_measured_cells_has_a_front(tmp_path):
    cells, times = [5, 700, 1462, 9000], [4.0, 3.0, 9.0, 1.0]
    table = pd.DataFrame({"arch": cells, "dataset": "cifar10", "device": "mine", "value": times})
    table["metric"] = "latency"
    table.to_parquet(tmp_path / "mine.parquet")
    asked = {"evaluations": 500, "devices": tmp_path / "mine.parquet"}
    found = pareto("nasbench201", ["parameters", "latency[mine]"], **asked)
    assert sorted(found.trace["arch"]) == cells
    assert found.hypervolumes([4]).tolist() == [[1.0]]
    table[:1].to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(UntrainedError, match=r"latency\[mine\] is known of 1 of .*needs two"):
        pareto("nasbench201", ["parameters", "latency[mine]"], **asked)


def test_a_constraint_may_be_computed_where_objectives_are_stored():
    scores = cached_scores("nasbench201").query("proxy == 'naswot'")
    asked = {"evaluations": 5, "scores": scores, "where": "memory <= 210 KB"}
    found = pareto("nasbench201", ["naswot", "latency[raspi4]"], **asked)
    assert len(found.trace) == 5
    assert found.values is None


def test_a_search_moves_among_what_is_scored():
    table = cached_scores("nasbench201")
    some = table[(table["proxy"] == "naswot") & (table["dataset"] == "cifar10")]
    some = some.sample(60, random_state=0)
    found = pareto("nasbench201", ["naswot", "latency[raspi4]"], evaluations=40, scores=some)
    assert set(found.trace["arch"]) <= set(some["arch"])
    assert found.hypervolumes([40])[0, 0] <= 1

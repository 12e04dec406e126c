"""Searches within a constraint: everything that they see satisfies it."""

import numpy as np
import pandas as pd
import pytest

from untrained import Live, get_space, quantity_values, run_search
from untrained.errors import ParameterError, UntrainedError
from untrained.search import parse_algorithm
from untrained.search.members import PartOfSpace, WithinConstraint, members_of

WHERE = "latency[raspi4] <= 8 ms, parameters-live > 0"


@pytest.fixture(autouse=True)
def empty(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def within():
    """The cells that satisfy `WHERE`."""
    latency, live = (
        quantity_values("nasbench201", one) for one in ("latency[raspi4]", "parameters-live")
    )
    return {index for index in range(15625) if latency[index] <= 8 and live[index] > 0}


def budget_of(algorithm, budget):
    """The budget of an algorithm that spends one."""
    return {"budget": budget} if parse_algorithm(algorithm).spends_budget else {}


@pytest.mark.parametrize(
    "algorithm",
    [
        *("rs", "rea", "local", "reinforce", "bohb", "area", "rea+mutants=3", "rea+pool=naswot"),
        *("rea+fitness=naswot", "rs+fitness=log(naswot,parameters)", "rs+init=naswot"),
        *("random", "naswot-30", "optimal-30"),
    ],
)
def test_no_search_sees_what_is_outside(algorithm, within):
    asked = {"runs": 4} | budget_of(algorithm, "40evaluations")
    found = run_search(algorithm, "nasbench201", where=WHERE, **asked)
    assert set(found.trace["arch"]) <= within
    assert set(found.trace["where"]) == {WHERE} == {found.where}
    assert len(set(found.trace["arch"])) > 2
    free = run_search(algorithm, "nasbench201", **asked)
    assert not set(free.trace["arch"]) <= within
    assert "where" not in free.trace


@pytest.mark.parametrize("algorithm", ["rea", "bohb", "naswot-30"])
def test_what_is_not_known_is_outside(algorithm):
    """edgetpu lacks 4,699 cells."""
    known = np.isfinite(quantity_values("nasbench201", "latency[edgetpu]"))
    where = "latency[edgetpu] > 0"
    asked = {"runs": 4} | budget_of(algorithm, "40evaluations")
    found = run_search(algorithm, "nasbench201", where=where, **asked)
    assert known.sum() == 15_625 - 4_699
    assert known[found.trace["arch"]].all()


@pytest.mark.parametrize("algorithm", ["rea", "naswot-20", "bohb"])
def test_a_constraint_that_holds_for_all_changes_nothing(algorithm):
    asked = {"runs": 3} | budget_of(algorithm, "30evaluations")
    found = run_search(algorithm, "nasbench201", where="parameters > 0", **asked).trace
    free = run_search(algorithm, "nasbench201", **asked).trace
    pd.testing.assert_frame_equal(found.drop(columns="where"), free)


def test_the_optimum_within_is_the_best_of_those_within(within):
    found = run_search("optimal-4000", "nasbench201", runs=3, where=WHERE)
    for column, accuracy in found.accuracies.items():
        best = max(accuracy[index] for index in within)
        assert found.reached()[column]["mean"] == pytest.approx(best)


@pytest.mark.parametrize("seed", range(3))
def test_samples_and_mutants_are_uniform_among_those_allowed(toy, seed):
    """Rejection leaves neighbours as probable as one another; the toy space is `test_choices`'."""
    rng = np.random.default_rng(seed)
    allowed = set(rng.choice(81, 40, replace=False).tolist())
    listed = WithinConstraint(toy, allowed.__contains__, np.array(sorted(allowed)))
    for part in (listed, WithinConstraint(toy, allowed.__contains__)):
        drawn = [part.sample(rng).index for _ in range(40 * 60)]
        indices, counts = np.unique(drawn, return_counts=True)
        assert set(indices.tolist()) == allowed
        assert counts.min() > 60 - 6 * np.sqrt(60)
        start = next(one for one in sorted(allowed) if len(neighbours(toy, one) & allowed) >= 3)
        near = neighbours(toy, start) & allowed
        mutants = [part.mutate(toy[start], rng).index for _ in range(60 * len(near))]
        indices, counts = np.unique(mutants, return_counts=True)
        assert set(indices.tolist()) == near
        assert counts.min() > 60 - 6 * np.sqrt(60)


def neighbours(space, index):
    digits = space.digits(index)
    found = set()
    for place in range(4):
        for other in set(range(3)) - {digits[place]}:
            changed = [*digits[:place], other, *digits[place + 1 :]]
            found.add(space.with_digits(changed).index)
    return found


def test_an_architecture_without_neighbours_within_has_mutants(toy):
    far = next(one for one in range(1, 81) if one not in neighbours(toy, 0))
    allowed = {0, far}
    for members in (np.array([0, far]), None):
        part = WithinConstraint(toy, allowed.__contains__, members)
        rng = np.random.default_rng(0)
        assert {part.mutate(toy[0], rng).index for _ in range(5)} == {far}
        proposed = {part[index].index for index in range(81)}
        assert proposed == allowed
        assert part[far].index == far
        assert [part[one].index for one in range(81)] == [part[one].index for one in range(81)]


def test_members_of_a_part_of_a_part(toy):
    part = PartOfSpace(toy, np.arange(0, 60))
    inner = WithinConstraint(part, lambda index: index < 30, np.arange(30))
    assert members_of(inner).tolist() == list(range(30))
    rng = np.random.default_rng(0)
    assert {inner.mutate(toy[3], rng).index for _ in range(99)} <= set(range(30)) - {3}


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            "latency[raspi4] <= 0.001 ms",
            r"none of 15,625 .*the least latency\[raspi4\] is 0.01128 ms(?! where)",
        ),
        ("parameters >= 2 M", "the greatest parameters is 1,531,546"),
        ("latency[raspi4] >= 97 ms", r"only one of 15,625 .*a search needs two"),
        (
            "latency[raspi4] <= 1 ms, parameters-live > 0",
            r"the least latency\[raspi4\] is 2.529 ms where the rest holds",
        ),
        (  # no cell has either, so there is no rest that holds
            "latency[raspi4] <= 0.001 ms, parameters >= 2 M",
            r"is 0.01128 ms, the greatest parameters is 1,531,546(?! where)",
        ),
        ("latency[raspi] <= 1", "did you mean 'raspi4'"),
        ("latency[raspi4] < fast", "'fast' is no number"),
        ("zico:9 > 1", "no cached scores of zico:9 on cifar10"),
    ],
)
@pytest.mark.parametrize("algorithm", ["rea", "naswot-10"])
def test_a_constraint_without_an_answer_says_how_near_it_is(where, said, algorithm):
    budget = budget_of(algorithm, "9evaluations")
    with pytest.raises(UntrainedError, match=said) as error:
        run_search(algorithm, "nasbench201", runs=2, where=where, **budget)
    assert "\n" not in str(error.value)


def test_a_table_of_devices_without_a_constraint_is_an_error(tmp_path):
    with pytest.raises(ParameterError, match="is not read"):
        run_search("rs", "nasbench201", runs=1, devices=tmp_path / "own.parquet")


def test_costs_of_a_space_without_tables_are_counted_on_demand(monkeypatch):
    monkeypatch.setattr("untrained.search.allowed._TRIED", 20)
    live = Live(batch_size=4)
    asked = {"live": live, "budget": "4evaluations", "where": "flops <= 500 M, naswot >= 0"}
    found = run_search("rea+fitness=parameters+population=2+sample=2", "darts", **asked)
    chosen = [get_space("darts")[one] for one in found.trace["arch"]]
    assert all(get_space("darts").graph(one, 10).flops((3, 32, 32)) <= 500e6 for one in chosen)
    with pytest.raises(ParameterError, match=r"none of [0-9,]+ architectures of darts .*the least"):
        run_search("rs+fitness=parameters", "darts", live=live, where="parameters <= 1")

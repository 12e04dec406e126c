"""What a run is charged, and when it is over."""

import numpy as np
import pytest

from untrained.benchmarks.benchmark import Benchmark
from untrained.errors import ArchitectureError, MissingDataError, ParameterError
from untrained.files import BUNDLED
from untrained.search.base import BudgetSpent
from untrained.search.clock import (
    Budget,
    Clock,
    Incumbent,
    Trainings,
    epoch_seconds,
    parse_budget,
    seen_in_searches,
    trainings_of,
)
from untrained.spaces.base import Architecture


def known(accuracy, seconds):
    return Trainings("toy", np.array(accuracy, dtype=float), np.array(seconds, dtype=float))


def one(index, space="toy"):
    return Architecture(space, index, str(index))


def table(*rows):
    """A benchmark of ten architectures; rows of (data set, split, epochs, seed, seconds)."""
    measures = {}
    for number, (*group, seconds) in enumerate(rows):
        values = {"accuracy": 50.0 + number + np.arange(10), "valid_seconds": np.full(10, np.nan)}
        measures[tuple(group)] = values | {"train_seconds": np.full(10, seconds)}
    return Benchmark("nasbench101", measures, {})


SHORT = ("cifar10", "x-valid", 12, "777", 60.0)
LONG = ("cifar10", "x-valid", 108, "mean", 540.0)
TEST = ("cifar10", "ori-test", 108, "mean", np.nan)


@pytest.mark.parametrize(
    ("rows", "seen"),
    [
        ((TEST, LONG, SHORT), SHORT),
        ((TEST, LONG), LONG),
        ((TEST,), TEST),
        ((LONG, ("cifar10-valid", *SHORT[1:])), ("cifar10-valid", *SHORT[1:])),
    ],
)
def test_searches_see_the_shortest_trainings_that_are_validated(rows, seen):
    benchmark = table(*rows)
    assert seen_in_searches(benchmark, "cifar10") == seen[:-1]
    trainings = trainings_of(benchmark, "cifar10")
    assert trainings.accuracy[3] == 53 + rows.index(seen)
    assert trainings.timed == (seen is not TEST)
    assert trainings.seconds[3] == (seen[-1] if trainings.timed else 1)
    if trainings.timed:
        assert epoch_seconds(benchmark, "cifar10")[3] == 5
    else:
        with pytest.raises(MissingDataError, match="nasbench101 has no training times"):
            epoch_seconds(benchmark, "cifar10")


@pytest.mark.parametrize(
    ("lacking", "seen"),
    [
        ({}, SHORT),
        ({SHORT: [3]}, SHORT),
        ({SHORT: [0, 1, 2, 3, 9]}, SHORT),
        ({SHORT: [0, 1, 2, 3, 4, 9]}, LONG),
        ({SHORT: range(1, 10), LONG: [4]}, LONG),
        ({SHORT: range(1, 10), LONG: range(2, 10)}, TEST),
        ({SHORT: range(1, 10), LONG: range(2, 10), TEST: range(3, 10)}, LONG),
        ({SHORT: range(4, 10), LONG: range(4, 10), TEST: range(1, 10)}, SHORT),
    ],
)
def test_what_is_known_of_few_is_passed_over(lacking, seen):
    """Fewer than half as many as the best known has: a value that is missing decides nothing."""
    benchmark = table(TEST, LONG, SHORT)
    for (*group, _), places in lacking.items():
        benchmark.measures[tuple(group)]["accuracy"][list(places)] = np.nan
    assert seen_in_searches(benchmark, "cifar10") == seen[:-1]


def test_real_tables_are_searched_on_what_they_have_of_all(benchmark_table):
    assert seen_in_searches(benchmark_table, "cifar10")[1:] == ("x-valid", 12, "777")
    cells = Benchmark.read(BUNDLED / "nasbench101.parquet", "nasbench101")
    assert seen_in_searches(cells, "cifar10") == TEST[:-1]
    assert len(cells.known) == 10_000
    # as the trainings that are published of one cell in eighteen
    of_few = np.where(np.arange(len(cells)) % 18, np.nan, cells.accuracies(*TEST[:2]))
    unknown = np.full(len(cells), np.nan)
    measures = dict(cells.measures)
    for group in (("cifar10", "x-valid", 12, "trial0"), LONG[:-1]):
        measures[group] = {"accuracy": of_few, "train_seconds": unknown, "valid_seconds": unknown}
    mixed = Benchmark("nasbench101", measures, {})
    assert seen_in_searches(mixed, "cifar10") == TEST[:-1]
    assert np.array_equal(mixed.known, cells.known)


def test_a_seed_that_is_not_named_is_what_there_is():
    benchmark = table(("cifar10", "x-valid", 12, "trial0", 60.0), LONG)
    assert seen_in_searches(benchmark, "cifar10")[2:] == (12, "trial0")
    assert trainings_of(benchmark, "cifar10", 108).accuracy[0] == 51
    assert trainings_of(benchmark, "cifar10", 12).accuracy[0] == 50


def test_trainings_that_are_asked_for_are_not_replaced():
    with pytest.raises(MissingDataError, match="no accuracy for epochs 12 of cifar10/x-valid"):
        trainings_of(table(TEST, LONG), "cifar10", 12)
    with pytest.raises(MissingDataError, match="no accuracy for dataset 'cifar100'"):
        trainings_of(table(TEST, LONG), "cifar100")


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("12000s", Budget(seconds=12000)),
        ("0.5s", Budget(seconds=0.5)),
        ("1evaluations", Budget(evaluations=1)),
        ("100evaluations", Budget(evaluations=100)),
    ],
)
def test_a_budget_is_spelled_with_its_unit(text, budget):
    assert parse_budget(text) == budget
    assert str(budget) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "s", "12000", "-5s", "0s", "nans", "infs", "5 m", "12000S", "1e999s", "٥s"),
        *("evaluations", "0evaluations", "-1evaluations", "1.5evaluations", "twos"),
    ],
)
def test_any_other_budget_is_refused(text):
    with pytest.raises(ParameterError, match=r"as in '12000s' or '100evaluations'$") as error:
        parse_budget(text)
    assert repr(text) in str(error.value)


def test_a_training_that_would_end_after_the_budget_does_not_count():
    clock = Clock(known([50, 60, 70], [4, 4, 3]).of_run(0), Budget(seconds=10))
    assert [clock.evaluate(one(0)), clock.evaluate(one(1))] == [50, 60]
    with pytest.raises(BudgetSpent):
        clock.evaluate(one(2))
    assert (clock.seconds, clock.evaluations) == (8, 2)
    assert clock.incumbents[-1].arch == 1


def test_a_longer_training_goes_before_a_shorter_one():
    clock = Clock(known([50, 60, 55, 58, 90], [1] * 5).of_run(0), Budget())
    for index, length in ((0, 1 / 3), (1, 1 / 3), (2, 1.0), (4, 1 / 3), (3, 1.0), (2, 1.0)):
        clock.evaluate(one(index), length=length)
    assert [found.arch for found in clock.incumbents] == [0, 1, 2, 3]
    for length in (0.0, 1.5):
        with pytest.raises(ParameterError, match=f"^length {length} of a training: above 0, up"):
            clock.evaluate(one(0), length=length)


def test_a_training_that_ends_with_the_budget_counts():
    clock = Clock(known([50, 60], [4, 6]).of_run(0), Budget(seconds=10))
    clock.evaluate(one(0))
    assert clock.evaluate(one(1)) == 60
    assert clock.seconds == 10


def test_evaluations_are_counted_and_scores_are_none():
    clock = Clock(known([50], [4]).of_run(0), Budget(evaluations=2))
    clock.charge(1e6)
    clock.evaluate(one(0))
    clock.evaluate(one(0))
    with pytest.raises(BudgetSpent):
        clock.evaluate(one(0))
    assert (clock.evaluations, clock.seconds) == (2, 1e6 + 8)


def test_scores_that_exceed_the_budget_end_the_run():
    clock = Clock(known([50], [4]).of_run(0), Budget(seconds=10))
    with pytest.raises(BudgetSpent):
        clock.charge(10.5)
    assert clock.seconds == 0


def test_a_share_of_a_training_costs_a_share():
    clock = Clock(known([50], [9]).of_run(0), Budget(seconds=10))
    assert clock.evaluate(one(0), 1 / 9) == 50
    assert clock.seconds == pytest.approx(1)
    for share in (0, -1, 1.1, np.nan):
        with pytest.raises(ParameterError, match=r"above 0, up to 1$"):
            clock.evaluate(one(0), share)


def test_an_incumbent_gives_way_to_a_better_one_only():
    clock = Clock(known([50, 50, 70, 60], [1, 2, 3, 4]).of_run(0), Budget(seconds=100))
    for index in (0, 1, 2, 3, 2):
        clock.evaluate(one(index))
    assert clock.incumbents == [Incumbent(1, 0, 50, 1), Incumbent(3, 2, 70, 6)]


@pytest.mark.parametrize("architecture", [one(2), one(-1), one(0, "other")])
def test_an_unknown_architecture_is_refused(architecture):
    clock = Clock(known([50, 60], [4, 4]).of_run(0), Budget(seconds=10))
    with pytest.raises(ArchitectureError, match=r"was proposed: toy has 0 to 1$"):
        clock.evaluate(architecture)
    assert clock.evaluations == 0


def test_an_architecture_without_a_training_is_missing():
    clock = Clock(known([50, np.nan], [4, np.nan]).of_run(0), Budget(seconds=10))
    with pytest.raises(MissingDataError, match=r"^the benchmark has no training of toy 1: "):
        clock.evaluate(one(1))


@pytest.mark.parametrize("text", ["1234567s", "100000.5s", "12000s", "0.25s", "7evaluations"])
def test_a_budget_is_written_as_it_was_given(text):
    assert str(parse_budget(text)) == text


def test_a_training_without_a_time_is_no_matter_of_scores():
    with pytest.raises(MissingDataError, match="toy has no training time of 1 of the arch"):
        known([50, 60, np.nan], [4, np.nan, np.nan])


@pytest.mark.parametrize("seconds", [0, -1])
def test_trainings_take_time(seconds):
    with pytest.raises(ParameterError, match="toy take no time in places"):
        known([50, 60], [4, seconds])


def test_the_real_trainings_are_those_of_the_table(benchmark_table):
    found = trainings_of(benchmark_table, "cifar10")
    key = ("cifar10-valid", "x-valid", 12, "777")
    for index in (0, 1462, 15_624):
        assert found.accuracy[index] == benchmark_table.accuracies(*key)[index]
        training = benchmark_table.train_seconds(index, *key)
        assert found.seconds[index] == training + benchmark_table.valid_seconds(index, *key)


def test_where_no_validation_time_is_known_training_is_charged(benchmark_table):
    found = trainings_of(benchmark_table, "cifar100")
    assert found.seconds[7] == benchmark_table.train_seconds(7, "cifar100", "x-valid", 12, "777")


def test_epochs_that_the_table_lacks_are_named(benchmark_table):
    with pytest.raises(MissingDataError, match=r"no accuracy for epochs 50 .* there is 12, 200$"):
        trainings_of(benchmark_table, "cifar10", epochs=50)
    with pytest.raises(MissingDataError, match=r"for seed '777' .* there is mean, trial0"):
        trainings_of(benchmark_table, "cifar10", epochs=200, seed="777")

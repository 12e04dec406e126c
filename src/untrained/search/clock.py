"""The simulated clock: what training would have said, what it would have cost, what is left.

A run is charged for every training and for every score. A training that would end after the budget
is not started: it is neither charged nor counted, the run is over, and no run ever exceeds its
budget. A training that is asked for twice is charged twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.benchmark import SHORT_SEEDS, Benchmark, well_known
from untrained.benchmarks.table import Group
from untrained.errors import ArchitectureError, MissingDataError, ParameterError
from untrained.search.base import BudgetSpent
from untrained.search.pool import Pool
from untrained.spaces.base import Architecture

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Budget:
    """How much a run may spend; an infinite part does not bind.

    Attributes:
        seconds: simulated, of trainings and scores.
        evaluations: trainings, whole or partial; scores are none.
    """

    seconds: float = np.inf
    evaluations: float = np.inf

    def __str__(self) -> str:
        if self.evaluations < np.inf:
            return f"{self.evaluations:.0f}evaluations"
        return f"{self.seconds:g}s"


def parse_budget(text: str) -> Budget:
    """The budget spelled `12000s` or `100evaluations`.

    Raises:
        ParameterError: neither form, or not positive.
    """
    wrong = ParameterError(
        f"budget {text!r}: positive seconds or evaluations, as in '12000s' or '100evaluations'"
    )
    number = text.removesuffix("evaluations")
    if number != text:
        if not (number.isdecimal() and int(number) > 0):
            raise wrong
        return Budget(evaluations=int(number))
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError as error:
        raise wrong from error
    if not (text.endswith("s") and 0 < seconds < np.inf):
        raise wrong
    return Budget(seconds=seconds)


#: Maps an architecture to its fitness, higher is better, and the seconds that it takes. It raises
#: ArchitectureError for what is none of the space, MissingDataError where nothing is known of it.
Answer = Callable[[Architecture], tuple[float, float]]


class Answers(Protocol):
    """What an evaluation answers and costs, in each run of a search."""

    @property
    def longest(self) -> float:
        """The seconds that one answer may take; 0 where they are unknown."""
        ...

    def of_run(self, run: int) -> Answer:
        """What answers in the run of this number."""
        ...


@dataclass(frozen=True, eq=False)
class Trainings:
    """A fitness for each architecture of a space, and what it costs; see `Answers`.

    Attributes:
        space: its name.
        accuracy: (n,) percent by index, NaN where unknown; or (seeds, n) scores, -inf where
            undefined: run r is answered with those of seed r modulo their number.
        seconds: (n,) of training and validation, or of scores; positive where the fitness is known.
        timed: whether the benchmark knows them; they are ones otherwise.
    """

    space: str
    accuracy: Floats
    seconds: Floats
    timed: bool = True

    def __post_init__(self) -> None:
        known = ~np.isnan(np.atleast_2d(self.accuracy)).all(axis=0)
        if not (self.seconds[known] > 0).all():
            raise ParameterError(
                f"the trainings of {self.space} take no time in places: a budget would never end"
            )

    @property
    def longest(self) -> float:
        """See `Answers`."""
        return float(np.nanmax(self.seconds))

    def of_run(self, run: int) -> Answer:
        """See `Answers`."""
        seeds = np.atleast_2d(self.accuracy)
        known, size = seeds[run % len(seeds)], seeds.shape[1]

        def answer(architecture: Architecture) -> tuple[float, float]:
            index = architecture.index
            if architecture.space != self.space or not 0 <= index < size:
                raise ArchitectureError(
                    f"{architecture.space} {index} was proposed: {self.space} has 0 to {size - 1}"
                )
            fitness = float(known[index])
            if np.isnan(fitness):
                raise MissingDataError(
                    f"the benchmark has no training of {self.space} {index}: fetch the full table"
                )
            return fitness, float(self.seconds[index])

        return answer


def seen_in_searches(benchmark: Benchmark, dataset: str) -> Group:
    """(data set, split, epochs, seed) of what searches see of a training, of what a table has.

    The published searches see accuracies on validation images after 12 epochs. A table without
    them has longer trainings, and one without validation images only test accuracies: a search
    sees what it is judged by then. What is known of few architectures is passed over; see
    `well_known`.

    Raises:
        MissingDataError: the table has nothing of that data set.
    """
    trained = _searched_on(benchmark, dataset)
    full = benchmark.full_epochs
    choices = (
        *((trained, "x-valid", benchmark.short_epochs, seed) for seed in SHORT_SEEDS),
        (trained, "x-valid", full, "mean"),
        (dataset, "ori-test", full, "mean"),
        (dataset, "x-test", full, "mean"),
    )
    known = {
        group: int(np.count_nonzero(~np.isnan(benchmark.accuracies(*group))))
        for group in choices
        if group in benchmark.measures
    }
    if not known:
        benchmark.accuracies(*choices[0])  # says what there is
    taken = well_known(list(known.values()))
    return next(group for group, enough in zip(known, taken, strict=True) if enough)


def trainings_of(
    benchmark: Benchmark, dataset: str, epochs: int | None = None, seed: str | None = None
) -> Trainings:
    """What the benchmark's trainings say on the validation images of a data set.

    CIFAR-10 is searched on the half of its training images that leaves the other half for
    validation (`cifar10-valid`), as the benchmark's own scripts do. Where the table has no
    validation time, training alone is charged; where it has no times at all, a second each.

    Args:
        benchmark: the table.
        dataset: `cifar10`, `cifar100`, `ImageNet16-120`.
        epochs: of the trainings; None for those of `seen_in_searches`.
        seed: of the trainings; likewise.

    Raises:
        MissingDataError: the table has no such trainings; the message says what it has.
    """
    group = _asked(benchmark, dataset, epochs, seed)
    accuracy, costs = benchmark.accuracies(*group), benchmark.measures[group]
    seconds = costs["train_seconds"] + np.nan_to_num(costs["valid_seconds"])
    if np.isnan(seconds).all():
        return Trainings(benchmark.space, accuracy, np.ones_like(accuracy), timed=False)
    return Trainings(benchmark.space, accuracy, seconds)


def epoch_seconds(
    benchmark: Benchmark, dataset: str, epochs: int | None = None, seed: str | None = None
) -> Floats:
    """What an epoch of each architecture took the benchmark (n,), without validation.

    It is the part that an epoch has in the trainings of `trainings_of`, so that a little training
    and a short one are paid for in seconds of one machine and epochs of one set of images.

    Raises:
        MissingDataError: see `trainings_of`.
    """
    group = _asked(benchmark, dataset, epochs, seed)
    seconds: Floats = benchmark.measures[group]["train_seconds"] / group[2]
    if np.isnan(seconds).all():
        raise MissingDataError(
            f"the benchmark of {benchmark.space} has no training times: a score after training "
            "can't be charged, take one before it"
        )
    return seconds


def _asked(benchmark: Benchmark, dataset: str, epochs: int | None, seed: str | None) -> Group:
    """What `seen_in_searches` says, unless epochs or seed are given."""
    if epochs is None and seed is None:
        return seen_in_searches(benchmark, dataset)
    trained, length = _searched_on(benchmark, dataset), epochs or benchmark.short_epochs
    seeds = [seed] if seed else SHORT_SEEDS
    groups = [(trained, "x-valid", length, one) for one in seeds]
    group = next((group for group in groups if group in benchmark.measures), groups[0])
    benchmark.accuracies(*group)  # says what there is
    return group


def _searched_on(benchmark: Benchmark, dataset: str) -> str:
    """What the benchmark calls the half of the images that leaves the other half out."""
    held_out = f"{dataset}-valid"
    return held_out if any(key[0] == held_out for key in benchmark.measures) else dataset


def scores_as_answers(space: str, size: int, pool: Pool) -> Trainings:
    """Answer with the scores of a pool; an undefined score loses to every other.

    Args:
        space: its name.
        size: architectures of the space.
        pool: the scores, the better network higher, and what they cost.

    Raises:
        ParameterError: a score costs nothing.
    """
    seconds = np.broadcast_to(pool.seconds_per_score, pool.architectures.shape)
    if not (seconds > 0).all():
        raise ParameterError(
            f"a score as fitness takes {np.nanmin(seconds):g} s in places, so that a budget would "
            "never end: give --seconds-per-score above 0"
        )
    spent = np.full(size, np.nan)
    spent[pool.architectures] = seconds
    fitness = np.full((len(pool.scores), size), np.nan)
    fitness[:, pool.architectures] = np.where(np.isnan(pool.scores), -np.inf, pool.scores)
    return Trainings(space, fitness, spent)


class Incumbent(NamedTuple):
    """The best architecture so far among the longest trainings, when it was found.

    Attributes:
        step: evaluations until then.
        arch: index in the space.
        fitness: percent, or a score, the better higher.
        seconds: on the clock, once it was evaluated.
    """

    step: int
    arch: int
    fitness: float
    seconds: float


@dataclass
class Clock:
    """One run's account.

    Attributes:
        answer: of the run.
        budget: of the run.
        seconds: spent so far.
        evaluations: made so far.
        incumbents: in the order in which they replaced each other; the first of equals stays.
        longest: training so far, as a share of the full one: of this length is the incumbent's.
    """

    answer: Answer
    budget: Budget
    seconds: float = 0.0
    evaluations: int = 0
    incumbents: list[Incumbent] = field(default_factory=list)
    longest: float = 0.0

    def charge(self, seconds: float) -> None:
        """Spend time on something that is no evaluation.

        Raises:
            BudgetSpent: there is not so much left; nothing is spent.
        """
        if self.seconds + seconds > self.budget.seconds:
            raise BudgetSpent
        self.seconds += seconds

    def evaluate(
        self, architecture: Architecture, share: float = 1.0, length: float = 1.0
    ) -> float:
        """See `Evaluate`; the answer is always that of the full training.

        Raises:
            BudgetSpent: it would end after the budget; nothing is spent.
            ArchitectureError: not an architecture of this space.
            MissingDataError: nothing is known of it.
            ParameterError: `share` or `length` is outside (0, 1].
        """
        if not 0 < share <= 1:
            raise ParameterError(f"share {share} of a training: above 0, up to 1")
        if not 0 < length <= 1:
            raise ParameterError(f"length {length} of a training: above 0, up to 1")
        if self.evaluations + 1 > self.budget.evaluations:
            raise BudgetSpent
        fitness, seconds = self.answer(architecture)
        self.charge(share * seconds)
        self.evaluations += 1
        if length > self.longest or (
            length == self.longest and fitness > self.incumbents[-1].fitness
        ):
            self.longest = length
            found = Incumbent(self.evaluations, architecture.index, fitness, self.seconds)
            self.incumbents.append(found)
        return fitness

"""The simulated clock of a run: the answers to evaluations, their costs, and the budget.

A run is charged for every training and every score. A training that would end after the budget is
not started: it is neither charged nor counted, and the run ends, so that no run exceeds its budget.
A training that is requested twice is charged twice.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.benchmark import SHORT_SEEDS, Benchmark, well_known
from untrained.benchmarks.table import Group
from untrained.errors import ArchitectureError, MissingDataError, ParameterError, quoted
from untrained.limits import COUNT, SECONDS
from untrained.search.base import BudgetSpent
from untrained.search.pool import Pool, RankedSeen
from untrained.spaces.base import Architecture

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Budget:
    """The budget of a run; an infinite part does not bind.

    Attributes:
        seconds: simulated seconds of trainings and scores.
        evaluations: number of trainings, whole or partial; scores do not count.
    """

    seconds: float = np.inf
    evaluations: float = np.inf

    def __str__(self) -> str:
        if self.evaluations < np.inf:
            return f"{self.evaluations:.0f}evaluations"
        return f"{self.seconds:.15g}s"


def parse_budget(text: str) -> Budget:
    """Read a budget, spelled `12000s` or `100evaluations`.

    Raises:
        ParameterError: the text has neither form, or is not positive.
    """
    seconds, trainings = (text.removesuffix(unit) for unit in ("s", "evaluations"))
    if trainings != text and re.fullmatch("[0-9]{1,9}", trainings):
        if 1 <= int(trainings) <= COUNT:
            return Budget(evaluations=int(trainings))
    elif seconds != text and text.isascii():
        with suppress(ValueError):
            if 0 < float(seconds) <= SECONDS:
                return Budget(seconds=float(seconds))
    raise ParameterError(
        f"budget {quoted(text)}: seconds up to {SECONDS} or evaluations up to {COUNT}, as in "
        "'12000s' or '100evaluations'"
    )


#: Maps an architecture to its fitness, higher is better, and its cost in seconds. It raises
#: ArchitectureError for an architecture of another space, MissingDataError without a fitness.
Answer = Callable[[Architecture], tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Trainings:
    """The fitness and the cost of each architecture of a space; see `search.runs.Answers`.

    Attributes:
        space: name of the space.
        accuracy: (n,) percent by index, NaN if unknown; or (seeds, n) scores, -inf if undefined,
            of which run r sees those of seed r modulo their number.
        seconds: (n,) seconds of each evaluation; positive if the fitness is known.
        timed: whether the seconds are the benchmark's; otherwise each is 1.
    """

    space: str
    accuracy: Floats
    seconds: Floats
    timed: bool = True

    def __post_init__(self) -> None:
        known = ~np.isnan(np.atleast_2d(self.accuracy)).all(axis=0)
        if lacking := int(np.isnan(self.seconds[known]).sum()):
            raise MissingDataError(
                f"{self.space} has no training time of {lacking} of the architectures whose "
                "accuracy is known: fetch the full table"
            )
        if not (self.seconds[known] > 0).all():
            raise ParameterError(
                f"evaluations on {self.space} take no time in places, so that a budget would never "
                "end: scores need --seconds-per-score above 0"
            )

    @property
    def longest(self) -> float:
        """The seconds that one evaluation may take."""
        return float(np.nanmax(self.seconds))

    @property
    def usual(self) -> float:
        """The mean of the seconds that the evaluations take."""
        return float(np.nanmean(self.seconds))

    def of_run(self, run: int) -> Answer:
        """Return what answers the evaluations of the run of this number."""
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
    """Return the (data set, split, epochs, seed) of the accuracies that searches see.

    The published searches see accuracies on validation images after 12 epochs. If a table lacks
    them, a search sees those of longer trainings, and without validation images the test accuracies
    by which it is judged. Accuracies of a few architectures only are passed over; see `well_known`.

    Raises:
        MissingDataError: the table has no accuracies for that data set.
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
        benchmark.accuracies(*choices[0])  # raises an error that names what there is
    taken = well_known(list(known.values()))
    return next(group for group, enough in zip(known, taken, strict=True) if enough)


def trainings_of(
    benchmark: Benchmark, dataset: str, epochs: int | None = None, seed: str | None = None
) -> Trainings:
    """Return the accuracies of the benchmark's trainings on validation images, and their seconds.

    On CIFAR-10 networks are trained on one half of the training images and validated on the other
    (`cifar10-valid`), as in the benchmark's own scripts. If the table has no validation time,
    training alone is charged; if it has no times at all, each training costs a second. Without
    epochs and seed the trainings are those of `seen_in_searches`.

    Raises:
        MissingDataError: the table has no such trainings; the message names those that it has.
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
    """Return the seconds (n,) of an epoch of each architecture in the benchmark, unvalidated.

    They are a share of the trainings of `trainings_of`, so that scores after training and
    accuracies are charged in seconds of the same machine on the same images.

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
    """Return the trainings of these epochs and seed; those of `seen_in_searches` without either."""
    if epochs is None and seed is None:
        return seen_in_searches(benchmark, dataset)
    trained = _searched_on(benchmark, dataset)
    length = benchmark.short_epochs if epochs is None else epochs
    seeds = [seed] if seed else SHORT_SEEDS
    groups = [(trained, "x-valid", length, one) for one in seeds]
    group = next((group for group in groups if group in benchmark.measures), groups[0])
    benchmark.accuracies(*group)  # raises an error that names what there is
    return group


def _searched_on(benchmark: Benchmark, dataset: str) -> str:
    """Return the benchmark's name of the training images that leave others for validation."""
    held_out = f"{dataset}-valid"
    return held_out if any(key[0] == held_out for key in benchmark.measures) else dataset


def scores_as_answers(space: str, size: int, pool: Pool) -> Trainings:
    """Return the scores of a pool as the fitness of the `size` architectures of a space.

    An undefined score loses to every other one.

    Raises:
        ParameterError: a score has no cost.
    """
    spent = np.full(size, np.nan)
    spent[pool.architectures] = pool.seconds_per_score
    fitness = np.full((len(pool.scores), size), np.nan)
    fitness[:, pool.architectures] = np.where(np.isnan(pool.scores), -np.inf, pool.scores)
    return Trainings(space, fitness, spent)


class RankedAnswer(ABC):
    """Answers by an ensemble: each arrival moves the ranks of all that a run has scored."""

    @abstractmethod
    def __call__(self, architecture: Architecture) -> tuple[float, float]:
        """Return the fitness, which compares as the ranks of now do, and the cost in seconds."""

    @abstractmethod
    def leader(self) -> tuple[int, float] | None:
        """Return the index and the fitness of the best of all that was scored, if any is."""


@dataclass(frozen=True, eq=False)
class CachedRanks(RankedAnswer):
    """Answers of a run by the cached scores of the members.

    Attributes:
        pool: the scores.
        seen: the scores as the run sees them.
        known: answers by the ranks in the whole pool, of which the cost is taken.
        places: index of an architecture to its position in the pool.
    """

    pool: Pool
    seen: RankedSeen
    known: Answer
    places: Mapping[int, int]

    def __call__(self, architecture: Architecture) -> tuple[float, float]:
        """Return fitness and cost; see `RankedAnswer`."""
        _, seconds = self.known(architecture)
        return self.seen.fitness(self.places[architecture.index]), seconds

    def leader(self) -> tuple[int, float] | None:
        """Return the best; see `RankedAnswer`."""
        found = self.seen.leader()
        return None if found is None else (int(self.pool.architectures[found[0]]), found[1])


@dataclass(frozen=True, eq=False)
class RankedScores:
    """The scores of an ensemble as the fitness of a space; see `search.runs.Answers`.

    Attributes:
        space: name of the space.
        size: number of its architectures.
        pool: the scores.

    Raises:
        ParameterError: a score has no cost.
    """

    space: str
    size: int
    pool: Pool

    def __post_init__(self) -> None:
        _ = self._trainings

    @cached_property
    def _trainings(self) -> Trainings:
        """The ranks in the whole pool, which no run sees, with the costs that it pays."""
        return scores_as_answers(self.space, self.size, self.pool)

    @property
    def longest(self) -> float:
        """The seconds that one evaluation may take."""
        return self._trainings.longest

    @property
    def usual(self) -> float:
        """The mean of the seconds that the evaluations take."""
        return self._trainings.usual

    def of_run(self, run: int) -> Answer:
        """Return what answers the evaluations of the run of this number."""
        seen, known = self.pool.of_run(run), self._trainings.of_run(run)
        if not isinstance(seen, RankedSeen):
            return known
        return CachedRanks(self.pool, seen, known, self._places)

    @cached_property
    def _places(self) -> dict[int, int]:
        return {int(one): place for place, one in enumerate(self.pool.architectures)}


class Incumbent(NamedTuple):
    """The best architecture among the longest trainings up to some time of a run.

    Attributes:
        step: number of evaluations until it was found.
        arch: index in the space.
        fitness: percent, or a score, the better one higher.
        seconds: time on the clock after its evaluation.
    """

    step: int
    arch: int
    fitness: float
    seconds: float


@dataclass
class Clock:
    """The clock of one run, which answers evaluations and charges them.

    Attributes:
        answer: answers the evaluations of the run.
        budget: the budget of the run.
        seconds: seconds spent so far.
        evaluations: number of evaluations so far.
        incumbents: in the order in which they replaced each other; the first of equals is kept.
        longest: length of the incumbent's training, as a share of the full one.
        of_longest: where an ensemble answers, the index of each architecture with a training of
            that length to its fitness, by their arrival.
        of_several: whether trainings had several lengths there.
    """

    answer: Answer
    budget: Budget
    seconds: float = 0.0
    evaluations: int = 0
    incumbents: list[Incumbent] = field(default_factory=list)
    longest: float = 0.0
    of_longest: dict[int, float] = field(default_factory=dict)
    of_several: bool = False

    def charge(self, seconds: float) -> None:
        """Charge time for something other than an evaluation.

        Raises:
            BudgetSpent: less time is left; nothing is charged.
        """
        if self.seconds + seconds > self.budget.seconds:
            raise BudgetSpent
        self.seconds += seconds

    def evaluate(
        self, architecture: Architecture, share: float = 1.0, length: float = 1.0
    ) -> float:
        """Evaluate an architecture, always by its full training; see `Evaluate`.

        Raises:
            BudgetSpent: the training would end after the budget; nothing is charged.
            ArchitectureError: the space has no such architecture.
            MissingDataError: its fitness is unknown.
            ParameterError: `share` or `length` is outside (0, 1].
        """
        for name, part in (("share", share), ("length", length)):
            if not 0 < part <= 1:
                raise ParameterError(f"{name} {part} of a training: above 0, up to 1")
        if self.evaluations + 1 > self.budget.evaluations:
            raise BudgetSpent
        fitness, seconds = self.answer(architecture)
        self.charge(share * seconds)
        self.evaluations += 1
        if isinstance(self.answer, RankedAnswer):
            self._rank(architecture, length, fitness)
        elif length > self.longest or (
            length == self.longest and fitness > self.incumbents[-1].fitness
        ):
            self.longest = length
            found = Incumbent(self.evaluations, architecture.index, fitness, self.seconds)
            self.incumbents.append(found)
        return fitness

    def _rank(self, architecture: Architecture, length: float, fitness: float) -> None:
        """Keep the best of the longest trainings: an arrival may make an older one the best."""
        if length > self.longest:
            self.of_longest.clear()
        self.of_several |= length != self.longest > 0
        self.longest = max(length, self.longest)
        if length == self.longest:
            self.of_longest.setdefault(architecture.index, fitness)
        best = self._leader()
        if best is None and not self.incumbents:
            best = architecture.index, -np.inf
        if best is not None and (not self.incumbents or self.incumbents[-1].arch != best[0]):
            self.incumbents.append(Incumbent(self.evaluations, *best, self.seconds))

    @property
    def final_fitness(self) -> float:
        """The fitness of the last incumbent, by the ranks of the end if it has any."""
        best = self._leader()
        return self.incumbents[-1].fitness if best is None else best[1]

    def _leader(self) -> tuple[int, float] | None:
        """Return the index and the fitness of the best by the ranks of now, if there are any."""
        if not isinstance(self.answer, RankedAnswer):
            return None
        if not self.of_several:
            return self.answer.leader()
        defined = {index: one for index, one in self.of_longest.items() if one > -np.inf}
        if not defined:
            return None
        best = max(defined, key=defined.__getitem__)
        return best, float(defined[best])

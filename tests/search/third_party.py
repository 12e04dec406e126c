"""Search algorithms as another package would write them, and things that are none."""

from dataclasses import dataclass
from typing import ClassVar

from untrained.search.base import BudgetedSearch, SampledSearch
from untrained.search.pool import best_of_sample_trace, draw
from untrained.seeds import numpy_generator


@dataclass(frozen=True)
class WorstScored(SampledSearch):
    """Keeps the worst-scored of a sample."""

    name: ClassVar[str] = "worst"
    label: ClassVar[str] = "Worst"
    summary: ClassVar[str] = "keeps the worst-scored of N random architectures"
    reads_scores: ClassVar[bool] = True

    offset: int = 0

    def __call__(self, pool, samples, runs, seed):
        drawn = draw(len(pool.architectures), samples, runs, numpy_generator(seed, "worst"))
        return best_of_sample_trace(pool, drawn, self.offset - pool.scores[0, drawn], 0.0)


@dataclass(frozen=True)
class Secretive(WorstScored):
    """Reads scores and does not say so."""

    name: ClassVar[str] = "secretive"
    reads_scores: ClassVar[bool] = False


@dataclass(frozen=True)
class FirstCells(BudgetedSearch):
    """Trains what the space lists first."""

    name: ClassVar[str] = "first"
    label: ClassVar[str] = "First"
    summary: ClassVar[str] = "trains the first architectures of the space in turn"

    first: int = 3

    def __call__(self, space, evaluate, rng, start=()):
        while True:
            for index in range(self.first):
                evaluate(space[index])


class Nameless(BudgetedSearch):
    """Lacks what an algorithm says of itself."""

    def __call__(self, space, evaluate, rng, start=()):
        raise NotImplementedError


class Foreign:
    """Has the attributes of an algorithm and is none."""

    name = label = summary = "foreign"
    spends_budget = reads_scores = mutates = starts_scored = shortens = reference = False

"""Regularised evolution (REA): the oldest member of the population is dropped.

Real, Aggarwal, Huang and Le, Regularized Evolution for Image Classifier Architecture Search, AAAI
2019, algorithm 1; population, sample and its replacement as in NAS-Bench-201's script.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from untrained.search.base import BudgetedSearch, Evaluate, Searchable, require
from untrained.spaces.base import Architecture


@dataclass(frozen=True)
class RegularisedEvolution(BudgetedSearch):
    """Mutate the best of a random part of the population; the child replaces the oldest.

    Attributes:
        population: size of the population, which begins with `start` and random architectures.
        sample: number of architectures that compete to be the parent.
        replacement: whether an architecture may be drawn twice for one competition.
    """

    name: ClassVar[str] = "rea"
    label: ClassVar[str] = "REA"
    summary: ClassVar[str] = "regularised evolution: mutates the best of a sample, the oldest dies"
    mutates: ClassVar[bool] = True
    reference: ClassVar[bool] = True

    population: int = 10
    sample: int = 3
    replacement: bool = True

    def __post_init__(self) -> None:
        require(1 <= self.population <= 1_000_000, "population", self.population, "1 to 1000000")
        most = 100_000 if self.replacement else self.population
        right = f"1 to {most}" + ("" if self.replacement else ", the population")
        require(1 <= self.sample <= most, "sample", self.sample, right)

    def __call__(
        self,
        space: Searchable,
        evaluate: Evaluate,
        rng: np.random.Generator,
        start: Sequence[Architecture] = (),
    ) -> None:
        """Search until the budget is spent; see `BudgetedSearch`."""
        alive: deque[tuple[float, Architecture]] = deque(maxlen=self.population)
        for architecture in start[: self.population]:
            alive.append((evaluate(architecture), architecture))
        while len(alive) < self.population:
            architecture = space.sample(rng)
            alive.append((evaluate(architecture), architecture))
        while True:
            drawn = rng.choice(self.population, self.sample, replace=self.replacement)
            _, parent = max((alive[one] for one in drawn), key=lambda member: member[0])
            child = space.mutate(parent, rng)
            # a full deque drops the oldest
            alive.append((evaluate(child), child))

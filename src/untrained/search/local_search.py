"""Local search: move to a better neighbour while there is one, then start anew.

White, Nolen and Savani, Exploring the Loss Landscape in Neural Architecture Search, UAI 2021, with
the first better neighbour taken. Spaces draw mutants and do not list neighbours, so a climb ends
after `patience` mutants in a row that were evaluated before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from untrained.search.base import BudgetedSearch, Evaluate, Searchable, require
from untrained.spaces.base import Architecture


@dataclass(frozen=True)
class LocalSearch(BudgetedSearch):
    """Climb from the best of `start`, then from random architectures.

    Attributes:
        patience: number of mutants in a row, all evaluated before, that end a climb.
    """

    name: ClassVar[str] = "local"
    label: ClassVar[str] = "Local search"
    summary: ClassVar[str] = "climbs to a better neighbour while there is one, then starts anew"
    mutates: ClassVar[bool] = True

    patience: int = 100

    def __post_init__(self) -> None:
        require(self.patience >= 1, "patience", self.patience, "1 or more")

    def __call__(
        self,
        space: Searchable,
        evaluate: Evaluate,
        rng: np.random.Generator,
        start: Sequence[Architecture] = (),
    ) -> None:
        """Search until the budget is spent; see `BudgetedSearch`."""
        known: set[int] = set()
        while True:
            begun = [(evaluate(one), one) for one in start or [space.sample(rng)]]
            start = ()
            known.update(one.index for _, one in begun)
            best, incumbent = max(begun, key=lambda pair: pair[0])
            repeated = 0
            while repeated < self.patience:
                neighbour = space.mutate(incumbent, rng)
                if neighbour.index in known:
                    repeated += 1
                    continue
                repeated = 0
                known.add(neighbour.index)
                fitness = evaluate(neighbour)
                if fitness > best:
                    best, incumbent = fitness, neighbour

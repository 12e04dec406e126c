"""Searches of one's own: one picks by scores, one spends a budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from untrained.search.base import BudgetedSearch, Evaluate, SampledSearch, Searchable
from untrained.search.pool import Pool, best_of_sample_trace, draw
from untrained.seeds import numpy_generator
from untrained.spaces.base import Architecture


@dataclass(frozen=True)
class SecondBest(SampledSearch):
    """Keep the second best of N scores: the best one may be an outlier."""

    name: ClassVar[str] = "second"
    label: ClassVar[str] = "Second best"
    summary: ClassVar[str] = "scores N random architectures and keeps the second best"
    reads_scores: ClassVar[bool] = True

    def __call__(self, pool: Pool, samples: int, runs: int, seed: int) -> pd.DataFrame:
        """See `SampledSearch`."""
        drawn = draw(len(pool.architectures), samples, runs, numpy_generator(seed, "second best"))
        scores = pool.scores[np.arange(runs)[:, None] % len(pool.scores), drawn]
        best = np.nanargmax(scores, axis=1)
        scores[np.arange(runs), best] = np.nan
        return best_of_sample_trace(pool, drawn, scores, pool.seconds_per_score)


@dataclass(frozen=True)
class Sweep(BudgetedSearch):
    """Train one architecture after the other, from a random one on.

    Attributes:
        stride: from one to the next.
    """

    name: ClassVar[str] = "sweep"
    label: ClassVar[str] = "Sweep"
    summary: ClassVar[str] = "trains architectures in the order of their indices"

    stride: int = 1

    def __call__(
        self,
        space: Searchable,
        evaluate: Evaluate,
        rng: np.random.Generator,
        start: Sequence[Architecture] = (),
    ) -> None:
        """See `BudgetedSearch`."""
        for architecture in start:
            evaluate(architecture)
        index = int(rng.integers(len(space)))
        while True:
            evaluate(space[index])
            index = (index + self.stride) % len(space)

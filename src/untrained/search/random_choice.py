"""The baseline that evaluates nothing: the first of the architectures drawn."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from untrained.search.base import SampledSearch
from untrained.search.pool import Pool, best_of_sample_trace, draw
from untrained.seeds import numpy_generator


@dataclass(frozen=True)
class RandomChoice(SampledSearch):
    """Keep the first architecture that a run draws; all are equally fit, and cost nothing."""

    name: ClassVar[str] = "random"
    label: ClassVar[str] = "Random"
    summary: ClassVar[str] = "keeps a random architecture, the baseline without any cost"
    reads_scores: ClassVar[bool] = False

    def __call__(self, pool: Pool, samples: int, runs: int, seed: int) -> pd.DataFrame:
        """See `SampledSearch`."""
        drawn = draw(len(pool.architectures), samples, runs, numpy_generator(seed, "random choice"))
        return best_of_sample_trace(pool, drawn, np.zeros(drawn.shape), seconds=0.0)

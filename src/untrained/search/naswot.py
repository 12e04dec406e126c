"""NASWOT's search: score N random architectures, keep the best-scored.

Mellor et al., Neural Architecture Search without Training, ICML 2021, algorithm 1.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from untrained.search.base import SampledSearch
from untrained.search.pool import Pool, best_of_sample_trace, draw
from untrained.seeds import numpy_generator


@dataclass(frozen=True)
class Naswot(SampledSearch):
    """Keep the best-scored of N architectures drawn with replacement, as in the authors' code.

    An undefined score loses to every other (in the authors' code it counts as 0). Initialisation
    and minibatch change from run to run where the pool has scores of several seeds.
    """

    name: ClassVar[str] = "naswot"
    label: ClassVar[str] = "NASWOT"
    summary: ClassVar[str] = "scores N random architectures and keeps the best-scored"
    reads_scores: ClassVar[bool] = True

    def __call__(self, pool: Pool, samples: int, runs: int, seed: int) -> pd.DataFrame:
        """See `SampledSearch`."""
        drawn = draw(len(pool.architectures), samples, runs, numpy_generator(seed, "naswot search"))
        seeds = np.arange(runs)[:, None] % len(pool.scores)
        return best_of_sample_trace(pool, drawn, pool.scores[seeds, drawn], pool.seconds_per_score)

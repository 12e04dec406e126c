"""The upper bound of any search that picks one of N random architectures: the best of them.

Mellor et al. (ICML 2021), table 2, row "Optimal". Each accuracy column has its own best, so the
validation and test entries of the row are of different architectures.
"""

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd

from untrained.search.base import SampledSearch
from untrained.search.pool import Pool, best_of_sample_trace, draw
from untrained.seeds import numpy_generator


@dataclass(frozen=True)
class Optimal(SampledSearch):
    """Pick the most accurate of N random architectures for each column; columns share the draw."""

    name: ClassVar[str] = "optimal"
    label: ClassVar[str] = "Optimal"
    summary: ClassVar[str] = "keeps the most accurate of N random architectures, a bound"
    reads_scores: ClassVar[bool] = False

    def __call__(self, pool: Pool, samples: int, runs: int, seed: int) -> pd.DataFrame:
        """See `SampledSearch`."""
        drawn = draw(len(pool.architectures), samples, runs, numpy_generator(seed, "optimal"))
        traces = [
            best_of_sample_trace(pool, drawn, accuracy[drawn], seconds=0.0, target=target)
            for target, accuracy in sorted(pool.accuracies.items())
        ]
        return pd.concat(traces, ignore_index=True)

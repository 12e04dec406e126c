"""The searches that pick one of N random architectures and train nothing.

Mellor et al., Neural Architecture Search without Training, ICML 2021, algorithm 1 and table 2.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from untrained.search.base import SampledSearch
from untrained.search.pool import Pool, best_of_ranked_trace, best_of_sample_trace, draw
from untrained.seeds import numpy_generator


@dataclass(frozen=True)
class Naswot(SampledSearch):
    """Keep the best-scored of N architectures drawn with replacement, as in the authors' code.

    An undefined score loses to every other one; in the authors' code it counts as 0. If the pool
    has scores of several seeds, initialisation and minibatch change from run to run. An ensemble
    ranks what the run has drawn.
    """

    name: ClassVar[str] = "naswot"
    label: ClassVar[str] = "NASWOT"
    summary: ClassVar[str] = "scores N random architectures and keeps the best-scored"
    reads_scores: ClassVar[bool] = True

    def __call__(self, pool: Pool, samples: int, runs: int, seed: int) -> pd.DataFrame:
        """Pick from `runs` samples of a pool; see `SampledSearch`."""
        drawn = draw(len(pool.architectures), samples, runs, numpy_generator(seed, "naswot search"))
        if pool.ensemble is not None:
            return best_of_ranked_trace(pool, drawn)
        seeds = np.arange(runs)[:, None] % len(pool.scores)
        return best_of_sample_trace(pool, drawn, pool.scores[seeds, drawn], pool.seconds_per_score)


@dataclass(frozen=True)
class Optimal(SampledSearch):
    """Keep the most accurate of N random architectures: the upper bound of any sampled search.

    Each accuracy column has its own best architecture (row "Optimal" of table 2), so the validation
    and test entries belong to different architectures. All columns share the draw.
    """

    name: ClassVar[str] = "optimal"
    label: ClassVar[str] = "Optimal"
    summary: ClassVar[str] = "keeps the most accurate of N random architectures, a bound"
    reads_scores: ClassVar[bool] = False

    def __call__(self, pool: Pool, samples: int, runs: int, seed: int) -> pd.DataFrame:
        """Pick from `runs` samples of a pool; see `SampledSearch`."""
        drawn = draw(len(pool.architectures), samples, runs, numpy_generator(seed, "optimal"))
        traces = [
            best_of_sample_trace(pool, drawn, accuracy[drawn], seconds=0.0, target=target)
            for target, accuracy in sorted(pool.accuracies.items())
        ]
        return pd.concat(traces, ignore_index=True)


@dataclass(frozen=True)
class RandomChoice(SampledSearch):
    """Keep the first architecture that a run draws: the baseline that evaluates nothing."""

    name: ClassVar[str] = "random"
    label: ClassVar[str] = "Random"
    summary: ClassVar[str] = "keeps a random architecture, the baseline without any cost"
    reads_scores: ClassVar[bool] = False

    def __call__(self, pool: Pool, samples: int, runs: int, seed: int) -> pd.DataFrame:
        """Pick from `runs` samples of a pool; see `SampledSearch`."""
        drawn = draw(len(pool.architectures), samples, runs, numpy_generator(seed, "random choice"))
        return best_of_sample_trace(pool, drawn, np.zeros(drawn.shape), seconds=0.0)

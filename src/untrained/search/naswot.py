"""NASWOT's search: score N random architectures, keep the best-scored.

Mellor et al., Neural Architecture Search without Training, ICML 2021, algorithm 1.
"""

import numpy as np
import pandas as pd

from untrained.search.pool import Pool, best_of_sample_trace, draw
from untrained.seeds import numpy_generator


def search(pool: Pool, samples: int, runs: int, seed: int) -> pd.DataFrame:
    """Run the search `runs` times on cached scores, all at once.

    An undefined score loses to every other (in the authors' code it counts as 0). Initialisation
    and minibatch change from run to run where the pool has scores of several seeds.

    Args:
        pool: scores (seeds, n).
        samples: N, drawn with replacement as in the authors' code.
        runs: independent repetitions.
        seed: of the draws.

    Returns:
        The trace; see `untrained.search.pool`.
    """
    drawn = draw(len(pool.architectures), samples, runs, numpy_generator(seed, "naswot search"))
    seeds = np.arange(runs)[:, None] % len(pool.scores)
    return best_of_sample_trace(pool, drawn, pool.scores[seeds, drawn], pool.seconds_per_score)

"""The bound of any search that picks one of N random architectures: the best of them.

Mellor et al. (ICML 2021), table 2, row "Optimal". It is chosen for each accuracy column apart,
by that very column: so the row's validation and test entries are of different architectures.
"""

import pandas as pd

from untrained.search.pool import Pool, best_of_sample_trace, draw
from untrained.seeds import numpy_generator


def search(pool: Pool, samples: int, runs: int, seed: int) -> pd.DataFrame:
    """Pick the most accurate of `samples` random architectures, per column and run.

    Args:
        pool: accuracies by column.
        samples: N, drawn with replacement.
        runs: independent repetitions; the columns of a run share its draw.
        seed: of the draws.

    Returns:
        The trace; see `untrained.search.pool`.
    """
    drawn = draw(len(pool.architectures), samples, runs, numpy_generator(seed, "optimal"))
    traces = [
        best_of_sample_trace(pool, drawn, accuracy[drawn], seconds=0.0, target=target)
        for target, accuracy in sorted(pool.accuracies.items())
    ]
    return pd.concat(traces, ignore_index=True)

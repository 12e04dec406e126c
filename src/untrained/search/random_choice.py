"""The baseline that evaluates nothing: the first of the architectures drawn."""

import numpy as np
import pandas as pd

from untrained.search.pool import Pool, best_of_sample_trace, draw
from untrained.seeds import numpy_generator


def search(pool: Pool, samples: int, runs: int, seed: int) -> pd.DataFrame:
    """Draw an architecture per run; every one is as fit as another, and costs nothing.

    Args:
        pool: the architectures.
        samples: drawn per run; the first is kept.
        runs: independent repetitions.
        seed: of the draws.

    Returns:
        The trace; see `untrained.search.pool`.
    """
    drawn = draw(len(pool.architectures), samples, runs, numpy_generator(seed, "random choice"))
    return best_of_sample_trace(pool, drawn, np.zeros(drawn.shape), seconds=0.0)

"""TE-NAS's score of an architecture: the sum of its ranks by two proxies.

Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours, ICLR 2021
(arXiv 2102.11535). It says how an architecture stands among others, so it is derived from their
scores and is no proxy on a network.
"""

from typing import Final

import numpy as np
import pandas as pd

from untrained.errors import ParameterError

#: The name of the derived score.
SUMMED_RANKS: Final = "tenas"
#: Whose ranks are added: lower is better of the first, higher of the second.
CONDITION_NUMBER: Final = "ntk_condition_number"
REGIONS: Final = "linear_regions"


def with_summed_ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """Add the sum of the ranks of condition number and linear regions, where both are scored.

    On each data set and under each seed, the architectures for which both are defined are ranked
    from 1, the worst, to the best; equal scores share their mean rank. Higher is better, as that
    of the number of regions; an architecture that lacks one of the two is `undefined`.

    Args:
        scores: columns `arch`, `proxy`, `dataset`, `seed`, `score`, `status`; one row per
            architecture, proxy, data set and seed.

    Returns:
        `scores`, followed by rows of the proxy `tenas` for the data sets and seeds that have both.

    Raises:
        ParameterError: two scores for one architecture, proxy, data set and seed.
    """
    keys = ["dataset", "seed", "arch"]
    defined = (scores["status"] == "ok") & np.isfinite(scores["score"].astype("float64"))
    known = scores.assign(score=scores["score"].astype("float64").where(defined))
    columns = {}
    for proxy in (CONDITION_NUMBER, REGIONS):
        own = known[known["proxy"] == proxy]
        twice = own.duplicated(keys)
        if twice.any():
            first = own[twice].iloc[0]
            raise ParameterError(
                f"two scores of {proxy} for architecture {first['arch']} and seed "
                f"{first['seed']}: keep one"
            )
        columns[proxy] = own.set_index(keys)["score"]
    both = pd.concat(columns, axis=1, join="inner")
    if both.empty:
        return scores
    both = both.where(both.notna().all(axis=1))
    # pandas leaves what is undefined without a rank
    upwards = both.assign(**{CONDITION_NUMBER: -both[CONDITION_NUMBER]})
    summed = upwards.groupby(level=["dataset", "seed"]).rank().sum(axis=1, skipna=False)
    rows = summed.rename("score").sort_index().reset_index()
    rows["proxy"] = SUMMED_RANKS
    rows["status"] = np.where(rows["score"].isna(), "undefined", "ok")
    return pd.concat([scores, rows[list(scores.columns)]], ignore_index=True)

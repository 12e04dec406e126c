"""Scores beside each other and beside what costs nothing: after Mellor et al. 2021, Fig. 4."""

import numpy as np
import pandas as pd

from untrained.analysis.correlations import ALL_SAMPLED, FINITE_ONLY
from untrained.analysis.published import published, published_key, sources
from untrained.errors import ParameterError
from untrained.scoring.request import name_of

#: The proxies that are compared, in their order: those of the figure, then the controls.
COMPARED = ("grad_norm", "synflow", "naswot", "jacobian_covariance", "parameters", "flops")

_RANKS = {name: rank for rank, name in enumerate(COMPARED)}

#: The columns of `proxy_table`, in order.
COLUMNS = (
    *("space", "images", "dataset", "split", "proxy", "tau", "low", "high", "n", "undefined"),
    *("published_tau", "source"),
)


def proxy_table(table: pd.DataFrame, *, space: str) -> pd.DataFrame:
    """Kendall's tau-b with the test accuracy of each of `COMPARED`, variants included.

    All are about the same architectures: those with an undefined score are ranked last. Published
    figures drop them where they are said to; they stand beside ours whether they are of the same
    architectures or not.

    Args:
        table: of `correlations.correlation_table`, with the subset `ALL_SAMPLED`; its controls take
            part as proxies do. What is read after training or off another number of images doesn't.
        space: the search space that it is about.

    Returns:
        One row per data set of the images and proxy with `COLUMNS`: `low` and `high` are the ends
        of the 95 % bootstrap interval, `undefined` counts architectures without a score, and
        `published_tau` is NaN and its `source` empty where there is none.

    Raises:
        ParameterError: two rows for one proxy, data set and split.
    """
    chosen = (table["subset"] == ALL_SAMPLED) & table["split"].str.endswith("test")
    own = table[chosen & (table["proxy"].map(_compared) != "")]
    keys = ["images", "dataset", "split", "proxy"]
    if (twice := own.duplicated(keys)).any():
        row = own[twice].iloc[0]
        raise ParameterError(
            f"two correlations of {row['proxy']} on {row['images']} with {row['split']}: keep one"
        )
    # in the order of `COMPARED`, a default before its variants, data sets as they come
    places = list(dict.fromkeys(own["images"]))
    own = own.assign(
        place=own["images"].map(places.index), rank=own["proxy"].map(name_of).map(_RANKS)
    )
    own = own.sort_values(["place", "rank", "proxy"], kind="stable")
    renamed = {"tau_low": "low", "tau_high": "high", "excluded": "undefined"}
    found = own.rename(columns=renamed).assign(space=space).reset_index(drop=True)
    known = _published(space)
    named = zip(*(own[key] for key in keys), strict=True)
    beside = [known.get((*head, published_key(proxy)), (np.nan, "")) for *head, proxy in named]
    found["published_tau"] = [tau for tau, _ in beside]
    found["source"] = [source for _, source in beside]
    return found[list(COLUMNS)]


def _compared(proxy: str) -> str:
    """Which of `COMPARED` a spelling is of; empty for others."""
    name = name_of(proxy)
    return name if name in COMPARED and not {":", "@"} & set(proxy) else ""


def _published(space: str) -> dict[tuple[str, ...], tuple[float, str]]:
    """(images, dataset, split, proxy) to the tau of all architectures and its source.

    What was printed goes before what was computed from it, and what drops undefined scores, as the
    paper does, before what ranks them last.
    """
    known = published("correlations").dropna(subset=["tau"])
    known = known[(known["space"] == space) & known["subset"].isin([FINITE_ONLY, ALL_SAMPLED])]
    order = [*sources("printed"), *sources("recomputed")]
    rows = sorted(
        known.to_dict("records"),
        key=lambda row: (order.index(row["source"]), row["subset"] == ALL_SAMPLED),
    )
    found: dict[tuple[str, ...], tuple[float, str]] = {}
    for row in rows:
        key = (row["images"], row["dataset"], row["split"], row["proxy"])
        found.setdefault(key, (row["tau"], row["source"]))
    return found

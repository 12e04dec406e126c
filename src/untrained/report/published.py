"""Published results, read from `data/published`, and how they are matched with ours."""

from collections.abc import Mapping
from functools import cache
from typing import Final

import pandas as pd

from untrained.errors import DamagedFileError
from untrained.files import PUBLISHED

#: (method or criterion, data set, split) to mean, standard deviation and number of runs.
Figures = Mapping[tuple[str, str, str], tuple[float, float, int]]

#: The NASWOT paper, whose tables the report follows.
PAPER: Final = "Mellor et al. 2021 (arXiv 2006.04647)"

#: File to its text columns, its number columns, and the columns that identify a row.
_COLUMNS: Final = {
    "sources": (("source", "kind", "title"), (), ("source",)),
    "correlations": (
        ("space", "proxy", "images", "dataset", "split", "subset", "source", "place"),
        ("n", "tau", "rho"),
        ("space", "proxy", "images", "dataset", "split", "subset", "source"),
    ),
    "searches": (
        ("space", "method", "kind", "dataset", "split", "source", "place"),
        ("mean", "std", "runs", "seconds"),
        ("space", "method", "dataset", "split", "source"),
    ),
    "prunings": (
        ("space", "criterion", "dataset", "split", "source", "place"),
        ("mean", "std", "runs"),
        ("space", "criterion", "dataset", "split", "source"),
    ),
    "preferences": (
        ("space", "proxy", "images", "option", "source", "place"),
        ("percent",),
        ("space", "proxy", "images", "option", "source"),
    ),
}
#: Column to its allowed values.
_VALUES: Final = {
    "kind": ("printed", "recomputed", "training-free", "search", "weight sharing"),
    "criterion": ("both", "kappa", "regions"),
}


def published(name: str) -> pd.DataFrame:
    """Return one table of published figures.

    Args:
        name: `correlations`, `searches`, `prunings` or `preferences`; `sources` describes what
            their column `source` refers to. Numbers that were not published are NaN.

    Raises:
        DamagedFileError: a column is missing or unknown, a row is repeated, or a source or a kind
            is unknown.
    """
    return _read(name).copy()


@cache
def _read(name: str) -> pd.DataFrame:
    path = PUBLISHED / f"{name}.csv"
    texts, numbers, key = _COLUMNS[name]
    table = pd.read_csv(path, dtype=dict.fromkeys(texts, "str"), keep_default_na=False,
                        na_values=dict.fromkeys(numbers, ""))  # fmt: skip
    if set(table.columns) != {*texts, *numbers}:
        differing = sorted(set(table.columns) ^ {*texts, *numbers})
        raise DamagedFileError(f"{path}: missing or unknown columns {', '.join(differing)}")
    if (twice := table.duplicated(list(key))).any():
        line = twice.to_numpy().argmax() + 2
        raise DamagedFileError(f"{path}: line {line} repeats an earlier one")
    known = dict(_VALUES)
    if name != "sources":
        known["source"] = tuple(_read("sources")["source"])
    for column in known.keys() & set(table.columns):
        unknown = sorted(set(table[column]) - set(known[column]))
        if unknown:
            raise DamagedFileError(f"{path}: unknown {column} {unknown[0]!r}")
    return table.astype({"n": "Int64"}) if "n" in table else table


def sources(kind: str) -> list[str]:
    """Return the sources whose figures were `printed`, or `recomputed` from published data."""
    table = _read("sources")
    return list(table.loc[table["kind"] == kind, "source"])


def methods(kind: str) -> tuple[str, ...]:
    """Return the published searches of a kind: `training-free`, `search` or `weight sharing`."""
    table = _read("searches")
    return tuple(dict.fromkeys(table.loc[table["kind"] == kind, "method"]))


def published_runs(method: str) -> int:
    """Return the number of runs in the published results of a method; 0 without any."""
    table = _read("searches")
    runs = table.loc[table["method"] == method, "runs"]
    return int(runs.max()) if len(runs) else 0


def published_searches(space: str) -> Figures:
    """Return the printed results of searches by method, data set and split."""
    return _printed("searches", space, "method")


def published_prunings(space: str) -> Figures:
    """Return the printed results of pruning searches by criterion, data set and split."""
    return _printed("prunings", space, "criterion")


def _printed(name: str, space: str, key: str) -> Figures:
    table = _read(name)
    table = table[(table["space"] == space) & table["source"].isin(sources("printed"))]
    rows = table.set_index([key, "dataset", "split"])[["mean", "std", "runs"]]
    return dict(zip(rows.index, rows.itertuples(index=False, name=None), strict=True))


def search_title(space: str) -> str:
    """Return the name of the NASWOT paper's table of searches in a space; empty without one."""
    table = _read("searches")
    places = table.loc[(table["space"] == space) & (table["source"] == PAPER), "place"]
    return str(places.iloc[0]) if len(places) else ""


#: Rows of the NASWOT paper's Table 2(a) that train nothing, and those on weight sharing, which it
#: quotes. Weight sharing trains a supernet, so no benchmark table can replay it.
TRAINING_FREE: Final = methods("training-free")
WEIGHT_SHARING: Final = methods("weight sharing")


def with_published(table: pd.DataFrame, *, space: str) -> pd.DataFrame:
    """Add the published correlations to a table of ours.

    Rows match in proxy (by its attribute `published`), data sets, split and subset.

    Args:
        table: a result of `correlations.correlation_table`.
        space: name of the search space of `table`.

    Returns:
        `table` with the columns `paper_tau` and `recomputed_tau` (NaN where there is none).
    """
    keys = ["proxy", "images", "dataset", "split", "subset"]
    known = _read("correlations").dropna(subset=["tau"])
    known = known[known["space"] == space]
    result = table.copy()
    ours = table.assign(proxy=table["proxy"].map(published_key))
    rows = pd.MultiIndex.from_frame(ours[keys])
    for column, kind in (("paper_tau", "printed"), ("recomputed_tau", "recomputed")):
        taus = known[known["source"].isin(sources(kind))].set_index(keys)["tau"]
        result[column] = taus.reindex(rows).to_numpy()
    return result


def published_key(proxy: str) -> str:
    """Return the name of a proxy in `data/published`.

    The variant `released` computes what the authors' code does, so the figures of the paper are its
    own.
    """
    from untrained.proxies import PROXIES

    known = set(_read("correlations")["proxy"])
    name = proxy.removesuffix("-released")
    if proxy in known or name not in PROXIES.names() or name in known:
        return proxy if proxy in known else name
    return PROXIES.load(name).published


def published_rank(proxy: str) -> float:
    """Return the rank of a proxy among those with published correlations; infinite without one."""
    known = list(dict.fromkeys(_read("correlations")["proxy"]))
    return known.index(proxy) if proxy in known else float("inf")

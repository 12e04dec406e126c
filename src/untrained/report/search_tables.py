"""Our searches beside the published ones, as the NASWOT paper's Table 2(a) has them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from untrained.errors import ParameterError, unknown_name
from untrained.report.published import (
    FIRST_AREA,
    NASBENCH201_SPLITS,
    TRAINING_FREE,
    Splits,
    published,
    sources,
    standard_error,
)
from untrained.report.search_results import is_untimed
from untrained.report.tables import with_spread
from untrained.report.targets import image_label

#: The columns of `search_table`, in order.
COLUMNS = (
    *("method", "dataset", "split", "mean", "std", "runs"),
    *("published_mean", "published_std", "published_runs"),
    *("difference", "difference_in_se", "note"),
)

#: The note of what we only quote.
QUOTED = "published, not run"

_Key = tuple[str, str, str]
_Ours = dict[_Key, "pd.Series[float]"]
#: Mean, standard deviation and runs.
_Theirs = Mapping[_Key, tuple[float, float, int]]

_KEYS = ["method", "dataset", "split"]


def search_table(
    results: pd.DataFrame,
    *,
    methods: Sequence[str] = TRAINING_FREE,
    quoted: Sequence[str] = (),
    reasons: Mapping[str, str] | None = None,
    beside: Mapping[_Key, tuple[float, float, int]] | None = None,
    splits: Splits = NASBENCH201_SPLITS,
) -> pd.DataFrame:
    """Summarise the runs of each search and hold them against the published ones.

    Args:
        results: columns `method` ("NASWOT N=10", "Random", ...), `run`, `dataset` (`cifar10`,
            `cifar100`, `ImageNet16-120`), `split` (`val`, `test`), `accuracy` (percent; NaN where
            the benchmark or the sample of the space has no answer); one row per run and cell.
        methods: the rows of the table, without those that were neither run nor published; methods
            that only `results` or `reasons` have follow them.
        quoted: published methods that we never run; they end the table, held against nothing.
        reasons: method to why we have no result of it, for the notes.
        beside: (method, data set, split) to mean, standard deviation and runs; by default
            Table 2(a) of Mellor et al. 2021.
        splits: of the benchmark.

    Returns:
        One row per method, data set and split with `COLUMNS`. `std` has ddof 1; `difference` is
        ours less published in percent points, and `difference_in_se` that in units of the joint
        standard error sqrt(se_ours^2 + se_published^2) of the two means. What is not known stays
        missing, and `note` says why; a search that is read off on other columns alone, of which
        nothing is published here, has neither a figure nor a note.

    Raises:
        UnknownNameError: a data set or a split that the table does not have.
        ParameterError: two results for one method, run, data set and split.
    """
    _check(results, splits)
    ours: _Ours = {key: cell["accuracy"] for key, cell in results.groupby(_KEYS, sort=False)}  # type: ignore[misc]
    theirs = published_searches() if beside is None else beside
    run = dict.fromkeys([*map(str, results["method"].unique()), *(reasons or {})])
    own = [name for name in run if name not in methods]
    last = [name for name in quoted if name not in (*methods, *own)]
    why = dict(reasons or {}) | dict.fromkeys(last, QUOTED)
    told = {method for method, _, _ in (*ours, *theirs)} | why.keys()
    first = [name for name in methods if name in told]
    rows = [
        _row((method, dataset, split), ours, theirs, why)
        for method in [*first, *own, *last]
        for dataset, split in splits
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"runs": "Int64", "published_runs": "Int64"})


def published_searches(space: str = "nasbench201") -> _Theirs:
    """(method, data set, split) to mean, standard deviation and runs of the NASWOT paper."""
    known = published("searches")
    known = known[(known["space"] == space) & known["source"].isin(sources("printed"))]
    rows: list[dict[str, Any]] = known.to_dict("records")  # type: ignore[assignment]
    return {
        (row["method"], row["dataset"], row["split"]): (row["mean"], row["std"], row["runs"])
        for row in rows
    }


def _check(results: pd.DataFrame, splits: Splits) -> None:
    for dataset, split in results[["dataset", "split"]].drop_duplicates().itertuples(index=False):
        if (dataset, split) not in splits:
            cells = [" ".join(pair) for pair in splits]
            raise unknown_name("data set and split", f"{dataset} {split}", cells)
    twice = results.duplicated([*_KEYS, "run"])
    if twice.any():
        first = results[twice].iloc[0]
        raise ParameterError(
            f"two results of {first['method']} for run {first['run']} on {first['dataset']} "
            f"{first['split']}: keep one"
        )


def _row(
    key: _Key,
    ours: _Ours,
    theirs: _Theirs,
    reasons: Mapping[str, str],
) -> dict[str, object]:
    notes = []
    mean, std, runs = np.nan, np.nan, 0
    accuracy, published = ours.get(key), theirs.get(key)
    if accuracy is None and published is None and key[0] in {method for method, _, _ in ours}:
        # searched on another data set, so it is not read off here: `summaries.columns_read`
        empty: dict[str, object] = dict.fromkeys(COLUMNS, np.nan)
        return empty | dict(zip(_KEYS, key, strict=True)) | {"note": ""}
    if accuracy is None:
        notes.append(reasons.get(key[0], "not run"))
    elif accuracy.isna().any():
        # The runs that can be answered are no random choice, so their mean would mislead.
        notes.append(f"{int(accuracy.isna().sum())} of {len(accuracy)} runs have no accuracy")
    else:
        runs = len(accuracy)
        mean, std = float(accuracy.mean()), float(accuracy.std(ddof=1))
        if runs == 1:
            notes.append("one run: no standard error")
    published_mean, published_std, published_runs = published or (np.nan, np.nan, 0)
    if published is None:
        notes.append(_why_unpublished(key, theirs))
    difference = mean - published_mean
    joint = np.hypot(standard_error(std, runs), standard_error(published_std, published_runs))
    in_se = difference / joint if joint > 0 else np.nan
    values = (*key, mean, std, runs or None, published_mean, published_std, published_runs or None)
    note = "; ".join(notes)
    return dict(zip(COLUMNS, (*values, difference, in_se, note), strict=True))


def _why_unpublished(key: _Key, theirs: _Theirs) -> str:
    method, dataset, _ = key
    unstated = theirs.get(("AREA" if method == FIRST_AREA else method, dataset, "unstated"))
    if unstated is None:
        return "not published"
    return f"{dataset} published without its split: {unstated[0]:.2f} ± {unstated[1]:.2f}"


def search_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out Table 2(a) as the paper does: methods by data set and split.

    Args:
        table: as `search_tables.search_table` returns it; with simulated `seconds` and
            `evaluations` or without.

    Returns:
        One row per method; each cell reads `mean ± std (published mean ± std, +0.4 se)`, or gives
        the reason in place of what is missing; it is empty where the search is not read off. Where
        it is known what runs spend, its mean is in the last columns: seconds, and evaluations where
        the times of some are unknown.
    """
    cells = _by_cell(table)
    methods = list(dict.fromkeys(table["method"]))
    layout = pd.DataFrame({"method": methods})
    pairs = table[["dataset", "split"]].drop_duplicates().itertuples(index=False, name=None)
    for dataset, split in pairs:
        layout[f"{image_label(dataset)} {split}"] = [
            _search_cell(cells[method, dataset, split]) for method in methods
        ]
    if "seconds" in table:
        # the same on every data set and split, but for those without an answer
        spent = table.groupby("method", sort=False)[["evaluations", "seconds"]].max().loc[methods]
        titles = {"evaluations": "evaluations"} if is_untimed(spent).any() else {}
        for name, title in (titles | {"seconds": "time (s)"}).items():
            layout[title] = ["" if pd.isna(one) else f"{one:.0f}" for one in spent[name]]
    return layout


def _by_cell(table: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    return {(row["method"], row["dataset"], row["split"]): row for row in rows}


def _search_cell(row: dict[str, Any]) -> str:
    if row["note"] == QUOTED:
        return f"{with_spread(row['published_mean'], row['published_std'])} ({QUOTED})"
    ours = with_spread(row["mean"], row["std"])
    beside = []
    if pd.notna(row["published_mean"]):
        published = with_spread(row["published_mean"], row["published_std"])
        beside.append(f"published {published}")
    if pd.notna(row["difference_in_se"]):
        beside.append(f"{row['difference_in_se']:+.1f} se")
    if row["note"]:
        beside.append(str(row["note"]))
    return f"{ours or 'none'} ({', '.join(beside)})" if beside else ours


#: In the place of a split that the benchmark does not have.
_UNKNOWN = dict.fromkeys(
    ("mean", "std", "published_mean", "published_std", "difference_in_se"), float("nan")
)


def narrow_search_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out Table 2(a) for 100 columns of a terminal: one row per method and data set.

    Args:
        table: as `search_tables.search_table` returns it.

    Returns:
        For validation (`val`) and test: ours, the published counterpart, and their difference in
        joint standard errors (`Δ/se`). What is missing is empty; `search_notes` says why.
    """
    cells = _by_cell(table)
    rows = []
    datasets = list(dict.fromkeys(table["dataset"]))
    for method in dict.fromkeys(table["method"]):
        for dataset, named in zip(datasets, named_once(method, len(datasets)), strict=True):
            line = {"method": named, "data set": image_label(dataset)}
            for split in ("val", "test"):
                row = cells.get((method, dataset, split), _UNKNOWN)
                ours = with_spread(row["mean"], row["std"])
                published = with_spread(row["published_mean"], row["published_std"])
                # Six columns of numbers fit only without the spaces.
                line[split] = ours.replace(" ", "")
                line[f"{split} paper"] = published.replace(" ", "")
                in_se = row["difference_in_se"]
                line[f"{split} Δ/se"] = "" if pd.isna(in_se) else f"{in_se:+.1f}"
            rows.append(line)
    return pd.DataFrame(rows)


def named_once(method: str, lines: int) -> list[str]:
    """The first column of the lines of a method, which then read as one group.

    What it has in brackets goes into the second line: the column has to be narrow.
    """
    name, bracket, rest = method.partition(" (")
    return [name, *([f"({rest}"] if bracket else []), *[""] * lines][:lines]


def search_notes(table: pd.DataFrame) -> list[str]:
    """Gather the notes of a table of searches in their order, `method, method: note`, each once."""
    methods: dict[str, list[str]] = {}
    for method, note in zip(table["method"], table["note"], strict=True):
        own = methods.setdefault(note, [])
        if method not in own:
            own.append(method)
    return [f"{', '.join(own)}: {note}" for note, own in methods.items() if note]

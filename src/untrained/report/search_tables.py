"""Our searches beside the published ones, as the NASWOT paper's Table 2(a) has them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from untrained.report.inputs import Splits, is_untimed
from untrained.report.published import TRAINING_FREE
from untrained.report.scores import image_label
from untrained.report.search_results import in_full
from untrained.report.tables import with_spread

#: The columns of `search_table`, in order.
COLUMNS = (
    *("method", "dataset", "split", "mean", "std", "runs"),
    *("published_mean", "published_std", "published_runs"),
    *("difference", "difference_in_se", "note"),
)

#: The note of what we only quote.
QUOTED = "published, not run"

_Key = tuple[str, str, str]
#: (method, data set, split) to mean, standard deviation and number of runs.
Figures = Mapping[_Key, tuple[float, float, int]]

_KEYS = ["method", "dataset", "split"]


def search_table(
    results: pd.DataFrame,
    splits: Splits,
    beside: Figures,
    *,
    methods: Sequence[str] = TRAINING_FREE,
    quoted: Sequence[str] = (),
    reasons: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Summarise the runs of each search and hold them against the published ones.

    The rows are `methods`, without those that were neither run nor published; then those that only
    `results` or `reasons`, why there is no result, have; and last `quoted` ones, which are held
    against nothing.

    Returns:
        One row per method, data set and split with `COLUMNS`. `std` has ddof 1; `difference` is
        ours less published in percent points, and `difference_in_se` that in units of the joint
        standard error sqrt(se_ours^2 + se_published^2) of the two means. What is not known stays
        missing, and `note` says why; a search that is read off on other columns alone, of which
        nothing is published here, has neither a figure nor a note.
    """
    ours = {key: cell["accuracy"] for key, cell in results.groupby(_KEYS, sort=False)}
    run = dict.fromkeys([*map(str, results["method"].unique()), *(reasons or {})])
    own = [name for name in run if name not in methods]
    last = [name for name in quoted if name not in (*methods, *own)]
    why = dict(reasons or {}) | dict.fromkeys(last, QUOTED)
    told = {method for method, _, _ in (*ours, *beside)} | why.keys()
    first = [name for name in methods if name in told]
    rows = []
    for method in [*first, *own, *last]:
        ran = any(key[0] == method for key in ours)
        for key in ((method, *pair) for pair in splits):
            accuracy, published = ours.get(key), beside.get(key)
            cells: tuple[Any, ...] = (*(np.nan,) * 8, "")
            # else it was searched on another data set, so it is not read off here: `columns_read`
            if accuracy is not None or published is not None or not ran:
                cells = _cells(key, accuracy, published, why.get(method, "not run"), beside)
            rows.append((*key, *cells))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"runs": "Int64", "published_runs": "Int64"})


def _cells(
    key: _Key,
    accuracy: "pd.Series[float] | None",
    published: tuple[float, float, int] | None,
    reason: str,
    beside: Figures,
) -> tuple[Any, ...]:
    """Compute the cells of a row, from `mean` on."""
    notes = []
    mean, std, runs = np.nan, np.nan, 0
    if accuracy is None:
        notes.append(reason)
    elif accuracy.isna().any():
        # The runs that can be answered are no random choice, so their mean would mislead.
        notes.append(f"{int(accuracy.isna().sum())} of {len(accuracy)} runs have no accuracy")
    else:
        mean, std, runs = float(accuracy.mean()), float(accuracy.std(ddof=1)), len(accuracy)
        if runs == 1:
            notes.append("one run: no standard error")
    known = published or (np.nan, np.nan, 0)
    if published is None:
        notes.append(_why_unpublished(key, beside))
    joint = np.hypot(_standard_error(std, runs), _standard_error(known[1], known[2]))
    difference = mean - known[0]
    in_se = difference / joint if joint > 0 else np.nan
    numbers = (mean, std, runs or None, *known[:2], known[2] or None, difference, in_se)
    return (*numbers, "; ".join(notes))


def _standard_error(std: float, runs: int) -> float:
    """Return the standard error of the mean of `runs` results with standard deviation `std`."""
    return float(std / np.sqrt(runs)) if runs > 0 else float("nan")


def _why_unpublished(key: _Key, beside: Figures) -> str:
    method, dataset, _ = key
    unstated = beside.get((in_full(method), dataset, "unstated"))
    if unstated is None:
        return "not published"
    return f"{dataset} published without its split: {unstated[0]:.2f} ± {unstated[1]:.2f}"


def search_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out Table 2(a) as the paper does: methods by data set and split.

    Each cell reads `mean ± std (published mean ± std, +0.4 se)`, or gives the reason in place of
    what is missing; it is empty where the search is not read off. Where it is known what runs
    spend, its mean is in the last columns: seconds, and evaluations where the times of some are
    unknown.
    """
    names = table["dataset"].map(image_label) + " " + table["split"]
    cells = [_search_cell(row) for row in table.to_dict("records")]
    layout = table.assign(column=names, cell=cells).pivot(
        index="method", columns="column", values="cell"
    )
    methods = table["method"].unique()
    layout = layout.loc[methods, names.unique()].reset_index()
    if "seconds" in table:
        # the same on every data set and split, but for those without an answer
        spent = table.groupby("method", sort=False)[["evaluations", "seconds"]].max().loc[methods]
        titles = {"evaluations": "evaluations"} if is_untimed(spent).any() else {}
        for name, title in (titles | {"seconds": "time (s)"}).items():
            layout[title] = ["" if pd.isna(one) else f"{one:.0f}" for one in spent[name]]
    return layout


def _search_cell(row: Mapping[Any, Any]) -> str:
    published = with_spread(row["published_mean"], row["published_std"])
    if row["note"] == QUOTED:
        return f"{published} ({QUOTED})"
    beside = [f"published {published}"] if published else []
    if pd.notna(row["difference_in_se"]):
        beside.append(f"{row['difference_in_se']:+.1f} se")
    if row["note"]:
        beside.append(row["note"])
    ours = with_spread(row["mean"], row["std"])
    return f"{ours or 'none'} ({', '.join(beside)})" if beside else ours


def narrow_search_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out Table 2(a) for 100 columns of a terminal: one row per method and data set.

    For validation (`val`) and test it has ours, the published counterpart, and their difference in
    joint standard errors (`Δ/se`). What is missing is empty; `search_notes` says why.
    """
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for method, own in table.groupby("method", sort=False):
        datasets = own["dataset"].unique()
        for dataset, named in zip(datasets, named_once(str(method), len(datasets)), strict=True):
            lines[str(method), dataset] = {"method": named, "data set": image_label(dataset)}
            for split in ("val", "test"):
                for title in (split, f"{split} paper", f"{split} Δ/se"):
                    lines[str(method), dataset][title] = ""
    for row in table.to_dict("records"):
        line, split, in_se = lines[row["method"], row["dataset"]], row["split"], "difference_in_se"
        # six columns of numbers fit only without the spaces
        line[split] = with_spread(row["mean"], row["std"]).replace(" ", "")
        published = with_spread(row["published_mean"], row["published_std"])
        line[f"{split} paper"] = published.replace(" ", "")
        line[f"{split} Δ/se"] = "" if pd.isna(row[in_se]) else f"{row[in_se]:+.1f}"
    return pd.DataFrame(lines.values())


def named_once(method: str, lines: int) -> list[str]:
    """Return the first column of the lines of a method, which then read as one group.

    What it has in brackets goes into the second line: the column has to be narrow.
    """
    name, bracket, rest = method.partition(" (")
    return [name, *([f"({rest}"] if bracket else []), *[""] * lines][:lines]


def search_notes(table: pd.DataFrame) -> list[str]:
    """Gather the notes of a table of searches in their order, `method, method: note`, each once."""
    noted = table[table["note"] != ""]
    return [
        f"{', '.join(own['method'].unique())}: {note}"
        for note, own in noted.groupby("note", sort=False)
    ]

"""Our searches beside the published ones, laid out like the NASWOT paper's Table 2(a)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from untrained.report.inputs import Splits, is_untimed
from untrained.report.published import TRAINING_FREE, Figures
from untrained.report.scores import image_label
from untrained.report.search_results import in_full
from untrained.report.tables import with_spread

#: The columns of `search_table`, in order.
COLUMNS = (
    *("method", "dataset", "split", "mean", "std", "runs"),
    *("published_mean", "published_std", "published_runs"),
    *("difference", "difference_in_se", "note"),
)

#: The note of rows that are quoted and were not run.
QUOTED = "published, not run"

_Key = tuple[str, str, str]
_KEYS = ["method", "dataset", "split"]
_PUBLISHED = ["published_mean", "published_std", "published_runs"]


def search_table(
    results: pd.DataFrame,
    splits: Splits,
    beside: Figures,
    *,
    methods: Sequence[str] = TRAINING_FREE,
    quoted: Sequence[str] = (),
    reasons: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Summarise the runs of each search and compare them with the published ones.

    The rows are those of `methods` that were run or published, then the other methods of `results`
    and of `reasons` (why a method has no result), and last the `quoted` methods, which are only
    quoted.

    Returns:
        One row per method, data set and split with `COLUMNS`. `std` has ddof 1; `difference` is
        ours less published in percent points, and `difference_in_se` that in units of the joint
        standard error sqrt(se_ours^2 + se_published^2) of the two means. Unknown numbers are
        missing, with the reason in `note`; a row for which a search is not evaluated and nothing
        is published has neither numbers nor a note.
    """
    run = dict.fromkeys([*map(str, results["method"].unique()), *(reasons or {})])
    own = [name for name in run if name not in methods]
    last = [name for name in quoted if name not in (*methods, *own)]
    why = dict(reasons or {}) | dict.fromkeys(last, QUOTED)
    known = {*run, *last, *(method for method, _, _ in beside)}
    first = [name for name in methods if name in known]
    keys = [(method, *pair) for method in (*first, *own, *last) for pair in splits]
    # a mean over the runs with a known accuracy would be biased: they are not a random choice
    ours = results.groupby(_KEYS, as_index=False, sort=False).agg(
        mean=("accuracy", lambda own: own.mean(skipna=False)),
        std=("accuracy", lambda own: own.std(ddof=1, skipna=False)),
        size=("accuracy", "size"),
        unknown=("accuracy", lambda own: own.isna().sum()),
    )
    theirs = pd.DataFrame([(*key, *beside[key]) for key in beside], columns=[*_KEYS, *_PUBLISHED])
    theirs = theirs.astype(dict.fromkeys(_PUBLISHED, float))
    table = pd.DataFrame(keys, columns=_KEYS).merge(ours, "left").merge(theirs, "left")
    table["runs"] = table["size"].where(table["unknown"] == 0)
    table["difference"] = table["mean"] - table["published_mean"]
    joint = np.hypot(
        table["std"] / np.sqrt(table["runs"]),
        table["published_std"] / np.sqrt(table["published_runs"]),
    )
    table["difference_in_se"] = table["difference"] / joint.where(joint > 0)
    ran = set(results["method"])
    table["note"] = [
        _note(key, size, unknown, why.get(key[0], "not run"), beside)
        # no note where a search is not evaluated and nothing is published
        if key in beside or size == size or key[0] not in ran
        else ""
        for key, size, unknown in zip(keys, table["size"], table["unknown"], strict=True)
    ]
    return table.astype({"runs": "Int64", "published_runs": "Int64"})[list(COLUMNS)]


def _note(key: _Key, size: float, unknown: float, reason: str, beside: Figures) -> str:
    """Return why a row lacks our figure, its standard error or the published figure."""
    notes = []
    if np.isnan(size):
        notes.append(reason)
    elif unknown:
        notes.append(f"{unknown:.0f} of {size:.0f} runs have no accuracy")
    elif size == 1:
        notes.append("one run: no standard error")
    if key not in beside:
        notes.append(_why_unpublished(key, beside))
    return "; ".join(notes)


def _why_unpublished(key: _Key, beside: Figures) -> str:
    method, dataset, _ = key
    unstated = beside.get((in_full(method), dataset, "unstated"))
    if unstated is None:
        return "not published"
    return f"{dataset} published without its split: {unstated[0]:.2f} ± {unstated[1]:.2f}"


def search_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out a table of searches like Table 2(a): methods by data set and split.

    Each cell reads `mean ± std (published mean ± std, +0.4 se)`, or gives the reason for what is
    missing; it is empty where the search is not evaluated. The last columns hold the mean cost of a
    run where it is known: seconds, and evaluations where the times of some searches are unknown.
    """
    names = table["dataset"].map(image_label) + " " + table["split"]
    cells = [_search_cell(row) for row in table.to_dict("records")]
    layout = table.assign(column=names, cell=cells).pivot(
        index="method", columns="column", values="cell"
    )
    methods = table["method"].unique()
    layout = layout.loc[methods, names.unique()].reset_index()
    if "seconds" in table:
        # equal on all data sets and splits that have a result
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
    """Lay out a table of searches for 100 columns of a terminal: a row per method and data set.

    For validation (`val`) and test there are our result, the published one, and their difference in
    joint standard errors (`Δ/se`). Missing results are empty; `search_notes` gives the reasons.
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
        # without these spaces six columns of numbers fit
        line[split] = with_spread(row["mean"], row["std"]).replace(" ", "")
        published = with_spread(row["published_mean"], row["published_std"])
        line[f"{split} paper"] = published.replace(" ", "")
        line[f"{split} Δ/se"] = "" if pd.isna(row[in_se]) else f"{row[in_se]:+.1f}"
    return pd.DataFrame(lines.values())


def named_once(method: str, lines: int) -> list[str]:
    """Return the first column of the lines of a method: its name once, then empty.

    A part in brackets goes to the second line if there is one, so that the column is narrow.
    """
    if lines == 1:
        return [method]
    name, bracket, rest = method.partition(" (")
    return [name, *([f"({rest}"] if bracket else []), *[""] * lines][:lines]


def search_notes(table: pd.DataFrame) -> list[str]:
    """Return each different note of a table of searches once, after the methods that have it."""
    noted = table[table["note"] != ""]
    return [
        f"{', '.join(own['method'].unique())}: {note}"
        for note, own in noted.groupby("note", sort=False)
    ]

"""Results and costs of searches beside the published ones; accuracy against cost."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from untrained.report import plotting
from untrained.report.inputs import Inputs, is_untimed
from untrained.report.published import (
    PAPER,
    TRAINING_FREE,
    WEIGHT_SHARING,
    published,
    published_searches,
    search_title,
)
from untrained.report.scores import image_label, proxy_label
from untrained.report.search_results import in_full, method_of, search_results, seen
from untrained.report.search_tables import (
    QUOTED,
    narrow_search_layout,
    search_layout,
    search_notes,
    search_table,
)
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.tables import terminal_table, with_spread
from untrained.search import parse_algorithm
from untrained.search.spelling import PROXY, Search


def make(inputs: Inputs, options: Options) -> pd.DataFrame:
    """Summarise the results and the costs of every search."""
    results, reasons = search_results(inputs)
    # no published search kept within a constraint
    published = {} if inputs.constraint else published_searches(inputs.name)
    summary = search_table(
        results,
        inputs.splits,
        published,
        methods=() if inputs.constraint else TRAINING_FREE,
        quoted=[name for name in WEIGHT_SHARING if any(key[0] == name for key in published)],
        reasons=reasons,
    )
    summary["note"] = with_leaks(inputs, summary)
    if sampled := sample_of(inputs, options):
        _set_apart(summary, drawing_from_scored(inputs), sampled)
    if (proxy := options.get("search_proxy", PROXY)) != PROXY:  # which published searches read
        _set_apart(summary, picked_by(inputs, proxy), f"by {proxy_label(proxy)}")
    key = ["method", "dataset", "split"]
    means = results.groupby(key, as_index=False, sort=False)[["seconds", "evaluations"]].mean()
    return summary.merge(means, on=key, how="left")


def _set_apart(summary: pd.DataFrame, methods: set[str], why: str) -> None:
    """Note why rows of methods differ from the published ones by more than se accounts for."""
    own = summary["method"].map(in_full).isin(methods) & summary["difference_in_se"].notna()
    notes = summary.loc[own, "note"]
    summary.loc[own, "note"] = notes.where(notes == "", notes + "; ") + why
    summary.loc[own, "difference_in_se"] = np.nan


def sample_of(inputs: Inputs, options: Options) -> str:
    """Return which part of the space has the scores that searches read; empty for all of it.

    Args:
        inputs: the space.
        options: `architectures`, the number that a run has scored, or `all`; and `searched`, the
            scores that searches read: `live`, those of the run, or `shipped`, which come along.
    """
    scored, size = options.get("architectures", "all"), len(inputs.space)
    come_along = options.get("searched", "live") == "shipped" and inputs.space.scores
    if come_along or scored == "all" or int(scored) >= size:
        return ""
    return f"drawn from a sample of {int(scored):,} of {size:,}"


def picked_by(inputs: Inputs, proxy: str) -> set[str]:
    """Return the methods in which the proxy of all searches picks architectures."""
    return _methods(inputs, lambda search: search.proxy_of(proxy) == proxy)


def drawing_from_scored(inputs: Inputs) -> set[str]:
    """Return the methods that find nothing but architectures with scores."""
    return _methods(inputs, lambda search: search.finds_only_scored)


def _methods(inputs: Inputs, holds: Callable[[Search], bool]) -> set[str]:
    """Return the methods of those searches for which something holds."""
    return {
        method_of(*one, inputs.searched_on)
        for one in inputs.traces
        if holds(parse_algorithm(one[0]))
    }


def with_leaks(inputs: Inputs, summary: pd.DataFrame) -> list[str]:
    """Return the notes of a summary; searches that see test accuracies get one more."""
    leaking = {
        method_of(*search, inputs.searched_on)
        for search, (split, _) in seen(inputs.traces, inputs.benchmark).items()
        if split != "x-valid"
    }
    leak = "sees test accuracies: the table has no others"
    return [
        "; ".join(filter(None, [note, leak if in_full(method) in leaking else ""]))
        for method, note in zip(summary["method"], summary["note"], strict=True)
    ]


def times_table(summary: pd.DataFrame, dataset: str, space: str) -> pd.DataFrame:
    """Return the test accuracy on a data set and the cost of searches, ours and published.

    Left out are weight sharing (three of its six methods have such low accuracies that the others
    would be indistinguishable), methods that are the first runs of another, and searches without a
    cost in seconds.

    Returns:
        `method`, `spent`, `unit`, `mean`, `std`, `source` (`ours` or `published`). The unit is
        `seconds`, or `evaluations` (trainings) where the seconds of some search are unknown.
        Published searches that train are then left out, as their number of trainings is unknown.
    """
    known = published("searches")
    known = known[(known["space"] == space) & (known["source"] == PAPER)]
    if "where" in summary:
        known = known.iloc[:0]
    complete = summary[summary["method"].map(in_full) == summary["method"]]
    ours, theirs = (
        table[(table["dataset"] == dataset) & (table["split"] == "test")]
        for table in (complete, known)
    )
    unit = "evaluations" if is_untimed(ours).any() else "seconds"
    trains = ~theirs["method"].isin(TRAINING_FREE)
    theirs = theirs.assign(evaluations=np.where(trains, np.nan, 0.0))
    ours = ours[(ours["seconds"] > 0) | is_untimed(ours)]
    theirs = theirs[(theirs["seconds"] > 0) & theirs[unit].notna()]
    both = pd.concat([ours.assign(source="ours"), theirs.assign(source="published")])
    both = both.assign(spent=both[unit].astype(float), unit=unit)
    return both[["method", "spent", "unit", "mean", "std", "source"]].reset_index(drop=True)


#: Costs that differ by less than this part are equal.
_EQUAL = 0.02


@plotting.style()
def accuracy_against_time(table: pd.DataFrame, *, title: str = "") -> "plotting.Figure":
    """Draw the accuracy of searches against their cost (Mellor et al. 2021, Fig. 7).

    On the logarithmic panel each search stands at its own cost. Methods of one cost, up to 2 %,
    have a panel with a categorical axis, on which they stand side by side, and so have methods
    without a cost.
    """
    table = table[table["spent"].notna() & table["mean"].notna()]
    if table.empty:
        return plotting.nothing_drawn("no search has a cost and an accuracy")
    methods = list(table["method"].unique())
    unit = str(table["unit"].iloc[0])
    groups, alone = _by_cost(table)
    shown = [("spend nothing", groups.pop(0.0))] if 0.0 in groups else []
    shown += [("", alone)] if len(alone) else []
    for cost, own in groups.items():
        spent = f"{float(f'{cost:.2g}'):,.0f} {'s' if unit == 'seconds' else unit}"
        shown.append((f"about {spent} each", own))
    widths = [0.7 + 0.5 * own["method"].nunique() if label else 5.0 for label, own in shown]
    size = (max(6.5, sum(widths) + 1), 6.4)
    figure, (panels,) = plotting.panels(1, len(shown), size, sharey=True, width_ratios=widths)
    for axes, (label, own) in zip(panels, shown, strict=True):
        names = list(own["method"].unique())
        for row in own.to_dict("records"):
            aside = 0.16 if row["source"] == "published" else -0.16
            x = names.index(row["method"]) + aside if label else row["spent"]
            _searched(axes, x, row, plotting.look(methods.index(row["method"]), 8))
        if label:
            lines = [name.replace(" (", "\n(") for name in names]
            axes.set_xticks(range(len(names)), lines, rotation=60, ha="right", fontsize=12)
            axes.set(xlim=(-0.6, len(names) - 0.4), title=label)
        else:
            axes.set(title="each at its own cost")
            axes.set_xmargin(0.12)
            plotting.spent_axis(axes, unit, "search time")
        plotting.faint_grid(axes)
    panels[0].set_ylabel("accuracy (%)")
    figure.suptitle(title, fontsize=14)
    keys = plotting.keys(methods, 8, linestyle="none")
    keys = [key for key in keys if key.get_label() in set(alone["method"])]
    for source, fill in (("ours", "full"), ("published", "none")):
        if (table["source"] == source).any():
            keys.append(plotting.source_key(source, fill))
    plotting.legend_below(figure, keys, 4)
    return figure


def _by_cost(table: pd.DataFrame) -> tuple[dict[float, pd.DataFrame], pd.DataFrame]:
    """Return the rows of each cost that several methods share, by their mean cost, and the others.

    Methods without a cost are a group of their own, at 0.
    """
    free, priced = table[~(table["spent"] > 0)], table[table["spent"] > 0]
    groups = {0.0: free} if len(free) else {}
    alone = []
    order = priced.sort_values("spent", kind="stable")["spent"]
    cluster = (order > order.shift(fill_value=-1.0) * (1 + _EQUAL)).cumsum()
    for _, own in priced.groupby(cluster):
        if own["method"].nunique() > 1:
            groups[float(own["spent"].mean())] = own
        else:
            alone.append(own)
    return groups, pd.concat(alone) if alone else table.iloc[:0]


def _searched(axes: "plotting.Axes", x: float, row: dict[Any, Any], look: dict[str, Any]) -> None:
    axes.errorbar(
        x,
        row["mean"],
        yerr=None if np.isnan(row["std"]) else row["std"],
        capsize=3,
        elinewidth=1.3,
        markeredgewidth=1.6,
        linestyle="none",
        fillstyle="full" if row["source"] == "ours" else "none",
        **look,
    )


def _drawn(inputs: Inputs) -> tuple[pd.DataFrame, str]:
    """Return the table that is drawn, and the label of the main data set."""
    summary = inputs.table("searches")
    dataset = inputs.main(summary["dataset"])
    return times_table(summary, dataset, inputs.name), image_label(dataset)


def draw(inputs: Inputs, _: Options) -> "plotting.Figure":
    """Draw accuracy against cost on the main data set."""
    table, label = _drawn(inputs)
    summary = inputs.table("searches")
    title = f"{label} test: mean ± standard deviation, {summary['runs'].max():.0f} runs"
    title += f"\nwithin {summary['where'].iloc[0]}" if "where" in summary else ""
    return accuracy_against_time(table, title=title)


def _more(inputs: Inputs) -> str:
    summary = inputs.table("searches")
    text = (
        "`evaluations`: number of trainings of a run, as their times are unknown; `time`: the "
        "simulated time of a run that trains nothing."
        if is_untimed(summary).any()
        else "`time`: the simulated time of a run."
    )
    main = image_label(inputs.main(summary["dataset"]))
    text += f" Searches without another data set in their name score on {main}."
    if (title := search_title(inputs.name)) and "where" not in summary:
        text += f" Published: {title} of the NASWOT paper."
    if (summary["note"] == QUOTED).any():
        text += (
            " Rows `published, not run` are those on weight sharing, from Dong and Yang 2020 "
            "(three runs each)."
        )
    return text


def _more_of_time(inputs: Inputs) -> str:
    drawn, _ = _drawn(inputs)
    if not is_untimed(inputs.table("searches")).any():
        text = "Our times are simulated with `searches.seconds_per_score`"
        measured = "; the paper's were measured on a 1080 Ti."
        return text + (measured if (drawn["source"] == "published").any() else ".")
    text = "The benchmark has no training times, so evaluations are counted."
    if ((drawn["spent"] == 0) & drawn["mean"].notna()).any():
        text += " Searches that train nothing have a panel of their own."
    known = {method for method, *_ in published_searches(inputs.name)}
    if known - {*TRAINING_FREE, *WEIGHT_SHARING}:
        text += (
            " Published searches that train are left out, as the number of their trainings is "
            "unknown."
        )
    return text


def _show(inputs: Inputs) -> list[Any]:
    summary = inputs.table("searches")
    # only the page shows searches on other data sets
    summary = summary[~summary["method"].str.contains(" on ", regex=False)]
    within = inputs.within("searches")
    paper = not within and search_title(inputs.name)
    title = f"{paper}: accuracy in %, ours and the paper's" if paper else "Searches: accuracy in %"
    return [
        *within,
        terminal_table(narrow_search_layout(summary), title=title),
        "se: standard error of the mean over runs. Neither it nor ± accounts for the choice of the "
        "sample of architectures.",
        *(f"- {note}" for note in search_notes(summary)),
    ]


def _metrics(inputs: Inputs) -> dict[str, float]:
    ran = inputs.table("searches").dropna(subset=["mean"])
    names = ran["method"] + "/" + ran["dataset"] + "/" + ran["split"]
    return dict(zip(names, ran["mean"], strict=True))


def _sentences(inputs: Inputs) -> list[str]:
    """Say which search that spends a budget finds the most accurate architectures."""
    summary = inputs.table("searches")
    dataset = inputs.main(summary["dataset"])
    own = summary[(summary["dataset"] == dataset) & (summary["split"] == "test")]
    own = own[own["mean"].notna() & (own["evaluations"] > 0)]
    own = own[own["method"].map(in_full) == own["method"]]
    if own.empty:
        return []
    row = max(own.to_dict("records"), key=lambda row: float(row["mean"]))
    within = f" within `{row['where']}`" if "where" in row else ""
    return [
        f"Of the {len(own)} searches that spend a budget, {row['method']} finds the most accurate "
        f"{inputs.space.words.members}{within}: {with_spread(row['mean'], row['std'])} % on the "
        f"test images of {image_label(dataset)}, mean and standard deviation over "
        f"{row['runs']:.0f} runs."
    ]


SECTION = Section(
    name="searches",
    reads=("benchmark", "searches"),
    tables=(
        Table(
            "searches",
            make,
            "Searches",
            "Mean and standard deviation of accuracy over runs; in brackets the published results "
            "and the difference in joint standard errors (se). Searches on the main data set are "
            "evaluated on all data sets, others (`searched on`, `scored on`) only on their own. "
            "Searches that choose by scores alone draw from the scored architectures, and searches "
            "with a `fitness` or a `pool` move among them. Where these are a sample of the space, "
            "such rows also differ from the paper's by the choice of the sample, for which se does "
            "not account: they say so in its place. Searches that read no scores draw from all "
            "architectures.",
            lambda table, _: search_layout(table),
            below=search_notes,
            more=_more,
        ),
    ),
    figures=(
        Figure(
            "time",
            draw,
            "Accuracy against search cost (the NASWOT paper's Fig. 7), mean and standard deviation "
            "over the runs. Methods of one cost stand side by side on a panel of their own.",
            more=_more_of_time,
        ),
    ),
    options=("architectures", "searched", "search_proxy"),
    show=_show,
    sentences=_sentences,
    metrics=_metrics,
)

"""Results and costs of searches beside the published ones; accuracy against cost."""

from typing import Any

import numpy as np
import numpy.typing as npt
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
from untrained.report.scores import Floats, image_label
from untrained.report.search_results import in_full, method_of, search_results, seen
from untrained.report.search_tables import (
    QUOTED,
    narrow_search_layout,
    search_layout,
    search_notes,
    search_table,
)
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.tables import terminal_table


def make(inputs: Inputs, _: Options) -> pd.DataFrame:
    """Summarise the results and the costs of every search."""
    results, reasons = search_results(inputs)
    published = published_searches(inputs.name)
    summary = search_table(
        results,
        inputs.splits,
        published,
        quoted=[name for name in WEIGHT_SHARING if any(key[0] == name for key in published)],
        reasons=reasons,
    )
    summary["note"] = with_leaks(inputs, summary)
    key = ["method", "dataset", "split"]
    means = results.groupby(key, as_index=False, sort=False)[["seconds", "evaluations"]].mean()
    return summary.merge(means, on=key, how="left")


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


#: Points between two searches of equal cost, and at most between the first and the last of them.
_STEP, _WIDEST = 8.0, 56.0


@plotting.style()
def accuracy_against_time(table: pd.DataFrame, *, title: str = "") -> "plotting.Figure":
    """Draw the accuracy of searches against their cost (Mellor et al. 2021, Fig. 7).

    Methods of equal cost, up to 2 %, stand side by side around a dotted line at that cost, so that
    their error bars do not overlap. Searches without a cost stand at the left edge.
    """
    table = table[table["spent"].notna() & table["mean"].notna()]
    if table.empty:
        return plotting.nothing_drawn("no search has a cost and an accuracy")
    methods = table["method"].unique()
    # the legend has a line for every method and for both sources
    height = max(5, plotting.LEGEND_LINE * (len(methods) + 3))
    figure, ((axes,),) = plotting.panels(1, 1, (10, height))
    for place, method in enumerate(methods):
        for row in table[table["method"] == method].to_dict("records"):
            _timed_point(figure, axes, table, row, plotting.look(place, 8))
    for spent in _shared(table["spent"].to_numpy(dtype=np.float64)):
        axes.axvline(spent, color="0.6", linestyle=":", linewidth=1, zorder=0)
    keys = plotting.keys(methods, 8, linestyle="none")
    for source, fill in (("ours", "full"), ("published", "none")):
        if (table["source"] == source).any():
            keys.append(plotting.source_key(source, fill))
    axes.set(ylabel="accuracy (%)", title=title)
    axes.set_xmargin(0.12)  # room for searches beside the last one
    unit = str(table["unit"].iloc[0])
    plotting.spent_axis(axes, unit, "search time")
    if unit == "evaluations":
        # keeps searches of one equal budget from filling the axis; those without evaluations stand
        # below one evaluation
        axes.set_xlim(0.3, 2 * max(table["spent"].max(), 5))
    plotting.faint_grid(axes)
    figure.legend(handles=keys, loc="outside right upper", handletextpad=0.1)
    return figure


def _timed_point(
    figure: "plotting.Figure",
    axes: "plotting.Axes",
    table: pd.DataFrame,
    row: dict[Any, Any],
    look: dict[str, Any],
) -> None:
    from matplotlib.transforms import ScaledTranslation

    equal = table[_equal(table["spent"].to_numpy(dtype=np.float64), row["spent"])]
    equal = equal.sort_values(["method", "source"])
    order = list(zip(equal["method"], equal["source"], strict=True))
    place = order.index((row["method"], row["source"]))
    free = not row["spent"] > 0
    step = min(_STEP, _WIDEST / max(len(order) - 1, 1)) * (place - (len(order) - 1) / 2)
    beside = ScaledTranslation(step / 72, 0, figure.dpi_scale_trans)
    axes.errorbar(
        plotting.FREE + plotting.FREE_STEP * place if free else row["spent"],
        row["mean"],
        yerr=None if np.isnan(row["std"]) else row["std"],
        capsize=3,
        elinewidth=1.3,
        markeredgewidth=1.6,
        linestyle="none",
        fillstyle="full" if row["source"] == "ours" else "none",
        transform=axes.get_yaxis_transform() if free else axes.transData + beside,
        **look,
    )
    if not free:  # limits are not computed from shifted artists
        spread = np.nan_to_num(row["std"])
        ends = row["mean"] - spread, row["mean"] + spread
        axes.update_datalim([(row["spent"], end) for end in ends])
        axes.autoscale_view()


def _equal(spent: Floats, one: float) -> npt.NDArray[np.bool_]:
    """Return which costs equal `one` up to 2 %."""
    return np.isclose(spent, one, rtol=0.02)


def _shared(spent: Floats) -> list[float]:
    """Return each positive cost that two or more methods share, up to 2 %, once."""
    found: list[float] = []
    for one in np.unique(spent[spent > 0]):
        own = spent[_equal(spent, one)]
        if len(own) > 1 and not _equal(np.array(found), one).any():
            found.append(float(own.mean()))
    return found


def _drawn(inputs: Inputs) -> tuple[pd.DataFrame, str]:
    """Return the table that is drawn, and the label of the main data set."""
    summary = inputs.table("searches")
    dataset = inputs.main(summary["dataset"])
    return times_table(summary, dataset, inputs.name), image_label(dataset)


def draw(inputs: Inputs, _: Options) -> "plotting.Figure":
    """Draw accuracy against cost on the main data set."""
    table, label = _drawn(inputs)
    return accuracy_against_time(table, title=f"{label} test")


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
    if title := search_title(inputs.name):
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
        text += " Searches that train nothing stand at the left edge."
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
    title = f"{search_title(inputs.name) or 'Searches'}: accuracy in %, ours and the paper's"
    return [
        terminal_table(narrow_search_layout(summary), title=title),
        "se: standard error of the mean over runs. Neither it nor ± accounts for the choice of the "
        "sample of architectures.",
        *(f"- {note}" for note in search_notes(summary)),
    ]


def _metrics(inputs: Inputs) -> dict[str, float]:
    ran = inputs.table("searches").dropna(subset=["mean"])
    names = ran["method"] + "/" + ran["dataset"] + "/" + ran["split"]
    return dict(zip(names, ran["mean"], strict=True))


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
            "not account. Searches that read no scores draw from all architectures.",
            lambda table, _: search_layout(table),
            below=search_notes,
            more=_more,
        ),
    ),
    figures=(
        Figure(
            "time",
            draw,
            "Accuracy against search cost (the NASWOT paper's Fig. 7). Searches of equal cost "
            "stand side by side around a dotted line at that cost.",
            more=_more_of_time,
        ),
    ),
    show=_show,
    metrics=_metrics,
)

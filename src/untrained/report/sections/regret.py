"""Regret of searches, relative to the best architecture of the benchmark, over their cost."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrained.report import plotting
from untrained.report.inputs import Inputs
from untrained.report.scores import Floats, Indices, image_label
from untrained.report.search_results import (
    UNITS,
    columns_read,
    method_of,
    spending,
    untimed,
)
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.statistics import mean_interval

if TYPE_CHECKING:
    from matplotlib.artist import Artist

#: The columns of `regret_table`, in order.
COLUMNS = (
    *("method", "searched_on", "dataset", "spent", "unit", "runs"),
    *("regret", "regret_low", "regret_high", "trains"),
)

#: Number of costs at which a curve is evaluated, in equal steps of the logarithm; evaluations are
#: rounded to whole numbers.
TIMES = 150


def incumbents_at(trace: pd.DataFrame, spent: Floats, unit: str) -> Indices:
    """Return the incumbents (runs, times) of a search; each holds until the next one.

    Every run must have an incumbent at all of these costs, which are in a unit of `UNITS`.
    """
    ordered = trace.sort_values(["run", "step", "is_final"], kind="stable")
    return np.stack(
        [
            own["arch"].to_numpy(dtype=np.int64)[
                np.searchsorted(own[UNITS[unit]].to_numpy(np.float64), spent, side="right") - 1
            ]
            for _, own in ordered.groupby("run")
        ]
    )


def regret_table(inputs: Inputs, options: Options) -> pd.DataFrame:
    """Compute the mean regret of every search over its cost, with bootstrap intervals.

    The regret is the best final test accuracy in the benchmark minus that of the incumbent, which
    is the architecture with the highest fitness seen so far. So that every mean is over all runs, a
    curve starts where all runs have an incumbent. It ends at the highest cost of any search.
    Algorithms that spend no budget have one point at their end, on the main data set only.

    Returns:
        One row per search, data set of the report and cost with `COLUMNS`, searches on the main
        data set first: `searched_on` is the data set that the search saw, `spent` the cost in
        `unit`, the same for all, `regret` is in percent points and NaN where the benchmark lacks an
        accuracy, and `trains` tells whether the row belongs to a curve.
    """
    traces, truth, main = inputs.traces, inputs.benchmark, inputs.searched_on
    spends = spending(traces)
    unit = "evaluations" if untimed(traces, truth) else "seconds"
    run = {search: trace for search, trace in traces.items() if len(trace)}
    ends = [trace[UNITS[unit]].max() for (name, _), trace in run.items() if name in spends]
    tested = [name for name, split in inputs.splits if split == "test"]
    tables = [pd.DataFrame(columns=list(COLUMNS)).astype({"trains": bool})]
    for (algorithm, images), trace in sorted(run.items(), key=lambda item: item[0][1] != main):
        trains = algorithm in spends
        if images != main and not trains:
            continue
        curve = _curve(trace, float(max(ends)), unit) if trains else None
        for dataset in columns_read(images, main, tested):
            column = inputs.splits[dataset, "test"]
            spent, reached = curve or _end(trace, "/".join(column), unit)
            answers = truth.accuracies(*column)
            regret = np.nanmax(answers) - answers[reached]
            low, high = mean_interval(regret, **options)
            head = (method_of(algorithm, main, main), images, dataset, spent, unit, len(regret))
            figures = (regret.mean(axis=0), low, high, trains)
            tables.append(pd.DataFrame(dict(zip(COLUMNS, (*head, *figures), strict=True))))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def _curve(trace: pd.DataFrame, end: float, unit: str) -> tuple[Floats, Indices]:
    """Return the costs (times,) at which a curve is evaluated, and the incumbents there."""
    first = trace.groupby("run")[UNITS[unit]].min().max()
    times = np.geomspace(float(first), end, TIMES)
    # a budget may cover a single evaluation
    times = np.unique(times.round() if unit == "evaluations" else times)
    return times, incumbents_at(trace, times, unit)


def _end(trace: pd.DataFrame, target: str, unit: str) -> tuple[Floats, Indices]:
    """Return the mean final cost (1,) of a search, and the final choices of its runs (runs, 1)."""
    final = trace[trace["is_final"] & trace["target"].isin(["", target])]
    spent = final[UNITS[unit]].mean() if unit == "seconds" else 0.0
    return np.array([spent]), final[["arch"]].to_numpy(dtype=np.int64)


#: Line styles of curves whose colours repeat, and that of searches on a panel's own data set.
_LINES = ("-", "-.", ":")
_ELSEWHERE: Any = "--"
#: The look of searches that train nothing, besides their marker.
_POINT: dict[str, Any] = {"color": "0.35", "linestyle": "none"}


@plotting.style()
def regret_against_time(table: pd.DataFrame) -> "plotting.Figure":
    """Draw the regret of searches over their cost (after Mellor et al. 2021, Fig. 7).

    There is a panel per data set. Curves are step functions with their 95 % interval as a band;
    dashed ones are searches on the data set of the panel where the others searched on another.
    Searches that train nothing are grey markers at their final cost, those without a cost on a
    strip beside the panel. A regret of 0 lies below the logarithmic axis, unless all are 0.
    """
    table = table[table["regret"].notna()]
    if table.empty:
        return plotting.nothing_drawn("no search has a regret")
    datasets = table["dataset"].unique()
    curves = table.loc[table["trains"], "method"].unique()
    points = table.loc[~table["trains"], "method"].unique()
    free = list(table.loc[~table["trains"] & ~(table["spent"] > 0), "method"].unique())
    ratios = ([0.3 + 0.25 * len(free)] if free else []) + [4.6]
    # a single panel would be narrower than a legend of two columns
    size = (max(7.5, sum(ratios) * len(datasets) + 0.8), 5.6)
    figure, (every,) = plotting.panels(
        1, len(ratios) * len(datasets), size, width_ratios=ratios * len(datasets)
    )
    for dataset, group in zip(datasets, every.reshape(len(datasets), -1), strict=True):
        *strips, axes = group
        own = table[table["dataset"] == dataset]
        for place, method in enumerate(curves):
            _regret_curves(axes, own[own["method"] == method], table, place)
        for place, method in enumerate(points):
            at = free.index(method) if method in free else None
            on = axes if at is None else strips[0]
            _regret_points(on, own[own["method"] == method], place, at)
        plotting.spent_axis(axes, own["unit"].iloc[0], "simulated search time")
        axes.set_title(f"{image_label(dataset)}, {_runs(own)}")
        for strip in strips:
            strip.sharey(axes)
            strip.set(xlim=(-0.8, len(free) - 0.2), xticks=[], xlabel="no cost", facecolor="0.95")
            plotting.faint_grid(strip)
        if (own["regret"] > 0).any():
            axes.set_yscale("log")
            plotting.plain_steps(group[0].yaxis)
        plotting.faint_grid(axes)
        if strips:
            axes.tick_params(axis="y", which="both", labelleft=False)
            axes.autoscale_view()
    every[0].set_ylabel("regret (percent points of test accuracy)")
    if "where" in table:
        figure.suptitle(f"within {table['where'].iloc[0]}", fontsize=14)
    plotting.legend_below(figure, _keys(table, curves, points), 4)
    return figure


def _runs(own: pd.DataFrame) -> str:
    """Return the number of runs of each search in words."""
    fewest, most = own["runs"].min(), own["runs"].max()
    return f"{most} runs each" if fewest == most else f"{fewest} to {most} runs"


def _keys(table: pd.DataFrame, curves: Any, points: Any) -> "list[Artist]":  # noqa: ANN401
    """Return the entries of the legend."""
    from matplotlib.lines import Line2D

    found = [Line2D([], [], label=name, **_curve_look(place)) for place, name in enumerate(curves)]
    if (table["searched_on"] != table["searched_on"].iloc[0]).any():
        label = "searched on the panel's data set"
        found.append(Line2D([], [], color="0.4", linestyle=_ELSEWHERE, label=label))
    return [*found, *plotting.keys(points, 8, **_POINT)]


def _curve_look(place: int) -> dict[str, Any]:
    line = _LINES[place // len(plotting.COLOURS) % len(_LINES)]
    return {"color": plotting.colour(place), "linestyle": line, "linewidth": 1.8}


def _regret_curves(
    axes: "plotting.Axes", own: pd.DataFrame, table: pd.DataFrame, place: int
) -> None:
    for images, curve in own.groupby("searched_on", sort=False):
        line = _curve_look(place)
        if images != table["searched_on"].iloc[0]:
            line["linestyle"] = _ELSEWHERE
        low, high = curve["regret_low"], curve["regret_high"]
        axes.plot(curve["spent"], curve["regret"], drawstyle="steps-post", **line)
        axes.fill_between(
            curve["spent"], low, high, step="post", color=line["color"], alpha=0.2, linewidth=0
        )


def _regret_points(axes: "plotting.Axes", own: pd.DataFrame, place: int, at: int | None) -> None:
    """Draw the final regret of a search, at this place of the strip if it has no cost."""
    columns = ("spent", "regret", "regret_low", "regret_high")
    for spent, *ends in own[list(columns)].to_numpy(dtype=np.float64):
        value, low, high = (np.array([end]) for end in ends)
        axes.errorbar(
            spent if at is None else at,
            value,
            yerr=plotting.error_bars(value, low, high),
            capsize=3,
            **(plotting.look(place, 8) | _POINT),
        )


def _more(inputs: Inputs) -> str:
    if not inputs.within("regret"):
        return ""
    return f"The best is that of all {inputs.space.words.members}, within the constraint or not."


SECTION = Section(
    name="regret",
    reads=("benchmark", "searches"),
    options=("resamples", "seed"),
    tables=(Table("regret", regret_table, "Regret", on_page=False),),
    figures=(
        Figure(
            "regret",
            lambda inputs, _: regret_against_time(inputs.table("regret")),
            "Regret over {spent} (after the NASWOT paper's Fig. 7): the best test accuracy after "
            "the full training in the benchmark minus that of the incumbent, whatever accuracies "
            "the search saw. Mean over the runs with the 95 % bootstrap interval of the mean. A "
            "line starts where all of its runs have an incumbent. Markers: searches that train "
            "nothing, at their final cost, or on a strip of their own without a cost. `Optimal` "
            "knows the test accuracies of its sample.",
            more=_more,
        ),
    ),
)

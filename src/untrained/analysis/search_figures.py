"""The figures of searches: what they reach, at which cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from untrained.analysis.plotting import (
    COLOURS,
    LEGEND_LINE,
    colour,
    distinct,
    error_bars,
    faint_grid,
    legend_below,
    look,
    nothing_drawn,
    plain_steps,
    source_key,
    style,
)
from untrained.analysis.tables import DATASET_TITLES
from untrained.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


Floats = npt.NDArray[np.float64]

#: Where on the axis of what is spent, in parts of it, the first of those stands that spend nothing,
#: and how far from each other they stand.
_FREE, _FREE_STEP = 0.02, 0.03
#: Points of the page between those that spend the same, and between the first and the last.
_STEP, _WIDEST = 8.0, 56.0


def accuracy_against_time(table: "pd.DataFrame", *, title: str = "") -> Figure:
    """Draw accuracy against what a search spends (Mellor et al. 2021, Fig. 7).

    Methods that spend the same, up to 2 %, are set side by side around a dotted line at what they
    spend: their error bars could not be told apart otherwise. What spends nothing stands at the
    left edge. Without any search the figure says so.

    Args:
        table: columns `method`, `spent`, `unit` (`seconds` or `evaluations`, the same throughout),
            `mean` and `std` of the accuracy in percent, `source` (`ours` or `published`); rows
            without cost or accuracy are left out.
        title: the data set and split.

    Raises:
        ParameterError: another `source`.
    """
    unknown = sorted(set(table["source"]) - {"ours", "published"})
    if unknown:
        raise ParameterError(f"source {unknown[0]!r}: give 'ours' or 'published'")
    table = table[table["spent"].notna() & table["mean"].notna()]
    if table.empty:
        return nothing_drawn("no search has a cost and an accuracy")
    methods = distinct(table["method"])
    with style():
        # a line of the legend for every method and the two sources
        height = max(5, LEGEND_LINE * (len(methods) + 3))
        figure = Figure(figsize=(10, height), layout="constrained")
        axes = figure.subplots()
        keys: list[Line2D] = []
        for place, method in enumerate(methods):
            keys.append(Line2D([], [], linestyle="none", label=method, **look(place, 8)))
            for row in table[table["method"] == method].to_dict("records"):
                _timed_point(figure, axes, table, row, look(place, 8))
        for spent in _shared(table["spent"].to_numpy(dtype=np.float64)):
            axes.axvline(spent, color="0.6", linestyle=":", linewidth=1, zorder=0)
        for source, fill in (("ours", "full"), ("published", "none")):
            if (table["source"] == source).any():
                keys.append(source_key(source, fill))
        axes.set(ylabel="accuracy (%)", title=title)
        axes.set_xmargin(0.12)  # room for those beside the last
        unit = str(table["unit"].iloc[0])
        _spent_axis(axes, unit, "search time")
        if unit == "evaluations":
            # equal budgets alone would fill the whole axis, though they only stand side by side;
            # below one evaluation is the place of none
            axes.set_xlim(0.3, 2 * max(table["spent"].max(), 5))
        faint_grid(axes)
        figure.legend(handles=keys, loc="outside right upper", handletextpad=0.1)
    return figure


def _spent_axis(axes: "Axes", unit: str, time: str) -> None:
    """Name what is spent: evaluations, or seconds of `time`."""
    axes.set(xscale="log", xlabel=f"{time} (s)" if unit == "seconds" else unit)
    if unit == "evaluations":
        plain_steps(axes.xaxis)
        axes.xaxis.set_major_formatter(lambda count, _: f"{count:g}" if count >= 1 else "")


def _timed_point(
    figure: Figure,
    axes: "Axes",
    table: "pd.DataFrame",
    row: dict[Any, Any],
    own_look: dict[str, Any],
) -> None:
    equal = table[_equal(table["spent"].to_numpy(dtype=np.float64), row["spent"])]
    equal = equal.sort_values(["method", "source"])
    order = list(zip(equal["method"], equal["source"], strict=True))
    place = order.index((row["method"], row["source"]))
    free = not row["spent"] > 0
    step = min(_STEP, _WIDEST / max(len(order) - 1, 1)) * (place - (len(order) - 1) / 2)
    beside = ScaledTranslation(step / 72, 0, figure.dpi_scale_trans)
    axes.errorbar(
        _FREE + _FREE_STEP * place if free else row["spent"],
        row["mean"],
        yerr=None if np.isnan(row["std"]) else row["std"],
        capsize=3,
        elinewidth=1.3,
        markeredgewidth=1.6,
        linestyle="none",
        fillstyle="full" if row["source"] == "ours" else "none",
        transform=axes.get_yaxis_transform() if free else axes.transData + beside,
        **own_look,
    )
    if not free:  # the axes do not see through the shift
        spread = np.nan_to_num(row["std"])
        ends = row["mean"] - spread, row["mean"] + spread
        axes.update_datalim([(row["spent"], end) for end in ends])
        axes.autoscale_view()


def _equal(spent: Floats, one: float) -> npt.NDArray[np.bool_]:
    """Which of them are the same as `one`, up to 2 %."""
    return np.isclose(spent, one, rtol=0.02)


def _shared(spent: Floats) -> list[float]:
    """What two or more spend, each once; nothing is none of it."""
    found: list[float] = []
    for one in np.unique(spent[spent > 0]):
        own = spent[_equal(spent, one)]
        if len(own) > 1 and not _equal(np.array(found), one).any():
            found.append(float(own.mean()))
    return found


#: Of curves beyond the number of colours, and of searches on a panel's own data set.
_LINES = ("-", "-.", ":")
_ELSEWHERE: Any = "--"


def regret_against_time(table: "pd.DataFrame") -> Figure:
    """Draw the regret of searches over what they spend (after Mellor et al. 2021, Fig. 7).

    A panel per data set, with its own unit. Curves are step functions with a band, their 95 %
    interval; dashed ones are of searches on the data set of the panel where the others searched on
    another. Searches that train nothing are grey markers at their end, those without a cost at the
    left edge. A regret of 0 lies below the logarithmic axis, unless all are 0. Without any regret
    the figure says so: a sample of the space can be too small for every search.

    Args:
        table: as `regret.regret_table` returns it.
    """
    table = table[table["regret"].notna()]
    if table.empty:
        return nothing_drawn("no search has a regret")
    datasets = distinct(table["dataset"])
    curves = distinct(table.loc[table["trains"], "method"])
    points = distinct(table.loc[~table["trains"], "method"])
    with style():
        # a single panel alone would be narrower than a legend of two columns
        width = max(7.5, 4.6 * len(datasets) + 0.8)
        figure = Figure(figsize=(width, 5.6), layout="constrained")
        (panels,) = figure.subplots(1, len(datasets), squeeze=False)
        for axes, dataset in zip(panels, datasets, strict=True):
            own = table[table["dataset"] == dataset]
            for place, method in enumerate(curves):
                _regret_curves(axes, own[own["method"] == method], table, place)
            ends = own[~own["trains"]]
            free = distinct(ends.loc[~(ends["spent"] > 0), "method"])
            for place, method in enumerate(points):
                at = _FREE + _FREE_STEP * free.index(method) if method in free else 0
                _regret_points(axes, own[own["method"] == method], place, at)
            _spent_axis(axes, own["unit"].iloc[0], "simulated search time")
            if free:
                _leave_room(axes, _FREE_STEP * len(free))
            axes.set_title(DATASET_TITLES.get(dataset, dataset))
            if (own["regret"] > 0).any():
                axes.set_yscale("log")
                plain_steps(axes.yaxis)
            faint_grid(axes)
        panels[0].set_ylabel("regret (percent points of test accuracy)")
        keys = [Line2D([], [], label=name, **_curve_look(k)) for k, name in enumerate(curves)]
        if (table["searched_on"] != table["searched_on"].iloc[0]).any():
            label = "searched on the panel's data set"
            keys.append(Line2D([], [], color="0.4", linestyle=_ELSEWHERE, label=label))
        keys += [Line2D([], [], label=name, **_point_look(k)) for k, name in enumerate(points)]
        legend_below(figure, keys, 4)
    return figure


def _curve_look(place: int) -> dict[str, Any]:
    line = _LINES[place // len(COLOURS) % len(_LINES)]
    return {"color": colour(place), "linestyle": line, "linewidth": 1.8}


def _point_look(place: int) -> dict[str, Any]:
    return look(place, 8) | {"color": "0.35", "linestyle": "none"}


def _regret_curves(axes: "Axes", own: "pd.DataFrame", table: "pd.DataFrame", place: int) -> None:
    for images, curve in own.groupby("searched_on", sort=False):
        line = _curve_look(place)
        if images != table["searched_on"].iloc[0]:
            line["linestyle"] = _ELSEWHERE
        low, high = curve["regret_low"], curve["regret_high"]
        axes.plot(curve["spent"], curve["regret"], drawstyle="steps-post", **line)
        axes.fill_between(
            curve["spent"], low, high, step="post", color=line["color"], alpha=0.2, linewidth=0
        )


def _leave_room(axes: "Axes", part: float) -> None:
    """Widen a logarithmic axis at its left so that this part of it is empty."""
    left, right = axes.get_xlim()
    axes.set_xlim(left * (left / right) ** (part / (1 - part)), right)


def _regret_points(axes: "Axes", own: "pd.DataFrame", place: int, at: float) -> None:
    """Draw the ends of a search; one that spends nothing at this part of the axis."""
    columns = ("spent", "regret", "regret_low", "regret_high")
    for spent, *interval in own[list(columns)].to_numpy(dtype=np.float64):
        free = not spent > 0
        value, low, high = (np.array([end]) for end in interval)
        axes.errorbar(
            at if free else spent,
            value,
            yerr=error_bars(value, low, high),
            capsize=3,
            transform=axes.get_yaxis_transform() if free else axes.transData,
            **_point_look(place),
        )


#: Number of a trajectory to its title.
_TRAJECTORY = {"kappa": "condition number", "regions": "linear regions"}


def trajectory(table: "pd.DataFrame") -> Figure:
    """Draw the way of every pruning search by its two numbers (Chen et al. 2021, Fig. 3 B).

    A panel per method, a line per seed from the unpruned supernet (hollow) to what is left; a
    condition number that is undefined interrupts it. Below the title stands by how many percent
    each round changed the numbers, mean over the seeds.

    Args:
        table: as `prunings.trajectory_table` returns it.
    """
    if table.empty:
        return nothing_drawn("no pruning search was run")
    methods = distinct(table["method"])
    seeds = [int(seed) for seed in sorted(table["seed"].unique())]
    columns = min(len(methods), 3)
    rows = -(-len(methods) // columns)
    with style():
        figure = Figure(figsize=(4.9 * columns + 0.6, 5 * rows + 0.4), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, method in zip(panels.flat, methods, strict=False):
            _trajectories(axes, table[table["method"] == method], seeds)
        for axes in panels.flat[len(methods) :]:
            axes.set_axis_off()
        panels[0][0].set_yscale("log")
        plain_steps(panels[0][0].yaxis, (1, 1.5, 2, 3, 5, 7))
        for axes in panels[:, 0]:
            axes.set_ylabel(_TRAJECTORY["kappa"])
        keys = [
            Line2D([], [], label=f"seed {seed}", linewidth=1.5, **look(place, 7))
            for place, seed in enumerate(seeds)
        ]
        legend_below(figure, keys, 6)
    return figure


def _trajectories(axes: "Axes", own: "pd.DataFrame", seeds: Sequence[int]) -> None:
    for place, seed in enumerate(seeds):
        rounds = own[own["seed"] == seed]
        for shown, fill in ((rounds, None), (rounds.iloc[:1], "white")):
            axes.plot(
                shown["regions"],
                shown["kappa"],
                linewidth=1.5,
                markerfacecolor=fill,
                **look(place, 7),
            )
    changes = own.groupby("round")[[f"{name}_change" for name in _TRAJECTORY]].mean().iloc[1:]
    lines = [str(own["method"].iloc[0])]
    for name, title in _TRAJECTORY.items():
        steps = [
            "?" if np.isnan(step) else f"{100 * step:+.0f}" for step in changes[f"{name}_change"]
        ]
        lines.append(f"{title} {', '.join(steps)} %")
    axes.set_title("\n".join(lines), fontsize=12)
    axes.set_xlabel(_TRAJECTORY["regions"])
    axes.tick_params(labelbottom=True)
    faint_grid(axes)

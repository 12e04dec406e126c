"""Networks for devices: fronts found without labels, beside the best possible and controls."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from untrained.report import plotting
from untrained.report.device_results import (
    EVERY,
    LEVELS,
    NEEDS_OWN,
    device_table,
    level_table,
    parts_of,
    point_table,
    transfer_table,
)
from untrained.report.inputs import Inputs
from untrained.report.scores import image_label, proxy_label
from untrained.report.section import Figure, Section, Table
from untrained.report.tables import (
    intervals,
    laid_out,
    named,
    numbers,
    terminal_table,
)
from untrained.search.pareto import EVOLUTION, RANDOM
from untrained.spaces import SearchSpace


def method_label(score: str, algorithm: str, by: str, cost: str = "") -> str:
    """Return how tables and figures name a method."""
    if score == RANDOM:
        return "random choice"
    label = proxy_label(score)
    if algorithm == RANDOM:
        return f"{label}, random search"
    return f"{label}, by {proxy_label(by)}" if by not in ("", cost) else label


def _labels(table: pd.DataFrame) -> list[str]:
    columns = table[["score", "algorithm", "by", "cost"]]
    return [method_label(*row) for row in columns.itertuples(index=False, name=None)]


def _final(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the end."""
    last: pd.DataFrame = table[table["evaluations"] == table["evaluations"].max()]
    return last


def _searched(table: pd.DataFrame, score: str) -> pd.DataFrame:
    """Return the rows of the search by a score that saw the cost."""
    seen = (table["by"] == table["cost"]) & (table["algorithm"] == EVOLUTION)
    return table[seen & (table["score"] == score)]


def _wide(table: pd.DataFrame, texts: list[str]) -> pd.DataFrame:
    """Lay out a text of each row: a row per data set and cost, a column per method."""
    named = {
        "method": _labels(table),
        "text": texts,
        "data set": [*map(image_label, table["dataset"])],
    }
    own, keys = table.assign(**named), ["data set", "cost"]
    wide: pd.DataFrame = own.pivot(index=keys, columns="method", values="text").fillna("")
    wide = wide.reindex(pd.MultiIndex.from_frame(own[keys].drop_duplicates()))
    wide = wide[list(dict.fromkeys(own["method"]))]
    return wide.reset_index()


def device_layout(table: pd.DataFrame, *_: object) -> pd.DataFrame:
    """Lay out the accuracy that is lost: a row per cost, a column per method."""
    own = _final(table)
    return _wide(own, list(intervals("lost")(own)))


def volume_layout(table: pd.DataFrame, *_: object) -> pd.DataFrame:
    """Lay out the part of the best hypervolume: a row per cost, a column per method."""
    return _wide(table, list(intervals("hypervolume", digits=3)(table)))


def narrow_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out the accuracy that is lost without intervals, as a terminal has room for."""
    own = _final(table)
    return _wide(own, list(numbers("lost", 2)(own)))


#: A row per cost, method and level.
level_layout = laid_out(
    {
        "data set": named("dataset", image_label),
        "cost": "cost",
        "method": lambda table: _labels(table),
        "within": lambda table: [
            "" if np.isnan(limit) else f"{limit:.3g} {unit}"
            for limit, unit in zip(table["limit"], table["unit"], strict=True)
        ],
        "best possible": numbers("best", 2),
        "found": intervals("accuracy"),
        "answered": numbers("answered", 2),
    }
)


def transfer_layout(table: pd.DataFrame, *_: object) -> pd.DataFrame:
    """Lay out how well the fronts of other costs do: a row per cost."""
    rows = []
    table = table.assign(text=list(intervals("more")(table)))
    for (dataset, cost), own in table.groupby(["dataset", "cost"], sort=False):
        others, standing_in = own[own["tau"].notna()], own[own["tau"].isna()]
        row = {
            "data set": image_label(str(dataset)),
            "cost": str(cost),
            "own front loses": f"{own['own'].iloc[0]:.2f}",
        }
        if len(others):
            worst = others.sort_values("more", kind="stable").iloc[-1]
            least = others.sort_values("tau", kind="stable").iloc[0]
            row |= {
                "another's loses more": f"{others['more'].mean():.2f}",
                "the worst": f"{worst['text']} ({worst['by']})",
                "at the middle level": f"{others['middle'].mean():.2f}",
                f"over {NEEDS_OWN} more": f"{(others['more'] > NEEDS_OWN).sum()} of {len(others)}",
                "median τ": f"{others['tau'].median():.2f}",
                "least τ": f"{least['tau']:.2f} ({least['by']})",
            }
        for one in standing_in.to_dict("records"):
            row[f"by {proxy_label(str(one['by']))} more"] = str(one["text"])
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


#: How a figure names the best possible.
_BEST = "best possible (labels)"


def _look(number: int) -> dict[str, Any]:
    """Return a look that lets a curve below it be seen, such as that of equal ranks."""
    return {"color": plotting.colour(number), "linestyle": ("-", "--", ":", "-.")[number % 4]}


@plotting.style()
def front_figure(points: pd.DataFrame, table: pd.DataFrame, score: str) -> "plotting.Figure":
    """Draw fronts of six costs: the best possible, that of the score, and that of each control.

    They are spread evenly over all costs in the order of what the score loses, so that the best and
    the worst are among them.
    """
    if points.empty:
        return plotting.nothing_drawn("no device was searched for")
    dataset = points["dataset"].iloc[0]
    points, own = points[points["dataset"] == dataset], _final(table[table["dataset"] == dataset])
    own = own[
        (own["score"] == score) & (own["by"] == own["cost"]) & (own["algorithm"] == EVOLUTION)
    ]
    ordered = own.sort_values("lost", kind="stable")["cost"].tolist()
    places = np.unique(np.linspace(0, len(ordered) - 1, 6).round().astype(int))
    columns = min(3, len(places))
    rows = -(-len(places) // columns)
    figure, panels = plotting.panels(rows, columns, (4.3 * columns + 0.6, 3.5 * rows + 1.0))
    drawn = points[points["algorithm"] == EVOLUTION]
    methods = list(dict.fromkeys(drawn["score"]))
    for axes, place in zip(panels.flat, places, strict=False):
        cost = ordered[place]
        mine = drawn[drawn["cost"] == cost]
        best = mine.drop_duplicates("limit")
        axes.plot(best["limit"], best["best"], drawstyle="steps-post", color="0", linewidth=1.8)
        for number, method in enumerate(methods):
            curve = mine[mine["score"] == method]
            look = _look(number)
            axes.plot(
                curve["limit"], curve["accuracy"], linewidth=1.5, drawstyle="steps-post", **look
            )
            axes.fill_between(
                curve["limit"], curve["accuracy_low"], curve["accuracy_high"],
                step="post", color=look["color"], alpha=0.2, linewidth=0,
            )  # fmt: skip
        lost = own.loc[own["cost"] == cost, "lost"].iloc[0]
        axes.set_title(f"{cost}: {lost:.2f} points lost", fontsize=12)
        axes.set(xscale="log", xlabel=mine["unit"].iloc[0])
        few = mine["limit"].max() < 100 * mine["limit"].min()
        plotting.plain_steps(axes.xaxis, (1, 2, 5) if few else (1,))
        plotting.faint_grid(axes)
    for axes in panels.flat[len(places) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel(f"test accuracy (%)\n{image_label(dataset)}", fontsize=12)
    runs, evaluations = own[["runs", "evaluations"]].iloc[0]
    figure.suptitle(
        f"{image_label(dataset)}: median of {runs} runs of {evaluations} evaluations, and 95 % of "
        "them",
        fontsize=14,
    )
    from matplotlib.lines import Line2D

    keys = [Line2D([], [], color="0", label=_BEST)]
    keys += [
        Line2D([], [], label=f"found by {proxy_label(method)}", **_look(number))
        for number, method in enumerate(methods)
    ]
    plotting.legend_below(figure, keys, 2)
    return figure


@plotting.style()
def progress_figure(table: pd.DataFrame) -> "plotting.Figure":
    """Draw what is lost and the hypervolume over evaluations, means over all latencies."""
    own = table[table["cost"] == EVERY]
    if own.empty:
        return plotting.nothing_drawn("no latency was searched for")
    own = own[own["dataset"] == own["dataset"].iloc[0]]
    own = own.assign(method=_labels(own.assign(cost="")))
    methods = list(dict.fromkeys(own["method"]))
    figure, ((left, right),) = plotting.panels(1, 2, (11, 4.8))
    for axes, name in ((left, "lost"), (right, "hypervolume")):
        for number, method in enumerate(methods):
            curve = own[own["method"] == method].sort_values("evaluations")
            look = plotting.look(number, 5) | _look(number)
            axes.plot(curve["evaluations"], curve[name], linewidth=1.5, **look)
            axes.fill_between(
                curve["evaluations"], curve[f"{name}_low"], curve[f"{name}_high"],
                color=look["color"], alpha=0.2, linewidth=0,
            )  # fmt: skip
        axes.set(xscale="log", xlabel="evaluations")
        plotting.plain_steps(axes.xaxis)
        plotting.faint_grid(axes)
    devices, runs = own["front"].iloc[0], own["runs"].iloc[0]
    left.set_ylabel("test accuracy lost (points)")
    right.set_ylabel("part of the best hypervolume")
    figure.suptitle(
        f"{image_label(own['dataset'].iloc[0])}: mean of {devices} latencies, {runs} runs",
        fontsize=14,
    )
    plotting.legend_below(figure, plotting.keys(methods, 6), 2)
    return figure


def _score(table: pd.DataFrame) -> str:
    return str(table["score"].iloc[0])


def _sentences(inputs: Inputs) -> list[str]:
    """Say what was found for the device on which the score loses a middling accuracy."""
    table, levels = inputs.table("devices"), inputs.table("device_levels")
    dataset, score = table["dataset"].iloc[0], _score(table)
    table, levels = table[table["dataset"] == dataset], levels[levels["dataset"] == dataset]
    own = _searched(_final(table), score).sort_values("lost", kind="stable")
    middle = own.iloc[(len(own) - 1) // 2]
    at = _searched(levels[levels["cost"] == middle["cost"]], score)
    row = at[at["level"] == LEVELS[len(LEVELS) // 2]]
    (found,), (metric, device, _) = intervals("accuracy")(row), parts_of(str(middle["cost"]))
    limit, unit, best = row[["limit", "unit", "best"]].iloc[0]
    members, seconds = inputs.space.words.members, float(middle["seconds"])
    spent = "by" if np.isnan(seconds) else f"in {seconds:.0f} s of"
    said = [
        f"For device {device} the label-free search found, {spent} "
        f"scoring {middle['evaluations']} {members}, one with {found} % at {limit:.3g} {unit} "
        f"(mean over {middle['runs']} runs); the best possible at that {metric} is "
        f"{best:.2f} %. Of all devices in the order of what is lost, it is in the middle."
    ]
    every = _final(table[table["cost"] == EVERY])
    if len(every):
        pairs = zip(_labels(every), intervals("lost")(every), strict=True)
        said.append(
            f"Points of {image_label(dataset)} test accuracy lost at five latencies, mean over "
            f"{every['front'].iloc[0]} devices: {'; '.join(map(': '.join, pairs))}."
        )
    return said


def _notes(table: pd.DataFrame) -> list[str]:
    """Say on how many devices each control does as well."""
    notes = []
    for dataset, own in _final(table[table["cost"] != EVERY]).groupby("dataset", sort=False):
        wide = own.assign(method=_labels(own)).pivot(index="cost", columns="method", values="lost")
        name, *others = dict.fromkeys(_labels(own))
        as_well = [f"{other} {(wide[other] <= wide[name]).sum()}" for other in others]
        notes.append(
            f"{image_label(str(dataset))}: at how many of {len(wide)} costs no more is lost than "
            f"with {name}: {', '.join(as_well)}"
        )
    return notes


def _transfer_notes(table: pd.DataFrame) -> list[str]:
    """Say how often a device needs a search of its own."""
    notes = []
    latencies = table[table["cost"].str.startswith("latency") & table["tau"].notna()]
    latencies = latencies[latencies["by"].str.startswith("latency")]
    for dataset, own in latencies.groupby("dataset", sort=False):
        over, middle = own["more"] > NEEDS_OWN, own["middle"] > NEEDS_OWN
        notes.append(
            f"{image_label(str(dataset))}: in {int(over.sum())} of {len(own)} pairs of devices the "
            f"front of another loses over {NEEDS_OWN} points more than the own one (in "
            f"{int((own['more_low'] > 0).sum())} the interval is above 0, in "
            f"{int((own['more_high'] < 0).sum())} below), at the middle level in "
            f"{int(middle.sum())}"
        )
    return notes


def _show(inputs: Inputs) -> list[Any]:
    table = inputs.table("devices")
    title = "Networks for devices: points of test accuracy lost at five levels of the cost"
    return ["", terminal_table(narrow_layout(table), title=title), *_notes(table)]


def _metrics(inputs: Inputs) -> dict[str, float]:
    table = inputs.table("devices")
    own = _final(table[table["cost"] == EVERY])
    names = (
        "devices/" + own["dataset"] + "/" + pd.Series(_labels(own), index=own.index, dtype="str")
    )
    return dict(zip(names, own["lost"], strict=True))


def applies(space: SearchSpace, parameters: Mapping[str, Any]) -> bool:
    """Return whether latencies and scores of the whole space come along, and costs are named."""
    return bool(space.devices and space.scores and parameters["devices"]["costs"])


SECTION = Section(
    name="devices",
    reads=("benchmark", "devices", "devices_table"),
    options=("resamples", "seed"),
    applies=applies,
    tables=(
        Table(
            "devices",
            device_table,
            "Networks for devices: accuracy lost",
            "Points of test accuracy by which what was found is behind the best possible: mean "
            "over five levels of the cost (the 10, 30, 50, 70 and 90 % quantiles of the costs of "
            "the best possible front) and over the runs, with the 95 % bootstrap interval over the "
            "runs. No search sees an accuracy: at a level the member of its front with the highest "
            "score counts, and a guess where it has none. Equal scores are in random order, "
            "unless they are of an ensemble. `random choice`: a random number as the "
            "score. A method `by` something sees that instead of the cost. `every latency` is the "
            "mean over the devices, and beside it is their number.",
            device_layout,
            notes=_notes,
        ),
        Table(
            "device_hypervolumes",
            lambda inputs, _: _final(inputs.table("devices")),
            "Networks for devices: hypervolumes",
            "What was found has this part of the hypervolume of the best possible front, with the "
            "test accuracies that no search sees: mean over the runs with its 95 % "
            "bootstrap interval. The reference point is the highest cost of any architecture and "
            "the accuracy of a guess.",
            volume_layout,
            on_page=False,
        ),
        Table(
            "device_levels",
            level_table,
            "Networks for devices: accuracy at each level",
            "Test accuracy of what was found within a limit of the cost, mean over the runs with "
            "its 95 % bootstrap interval; `answered`: the part of the runs whose front has a "
            "member within the limit.",
            level_layout,
            on_page=False,
        ),
        Table(
            "device_points",
            point_table,
            "Networks for devices: fronts",
            on_page=False,
        ),
        Table(
            "device_transfer",
            transfer_table,
            "Does a device need a search of its own?",
            "What the front that was found for another cost loses more than the own one, in points "
            "of test accuracy at the five levels: mean over the others, the worst with its 95 % "
            "bootstrap interval over pairs of runs, and for how many it is more than half a point. "
            "τ: Kendall's tau of the costs of all {members}.",
            transfer_layout,
            notes=_transfer_notes,
        ),
    ),
    figures=(
        Figure(
            "device_fronts",
            lambda inputs, _: front_figure(
                inputs.table("device_points"),
                inputs.table("devices"),
                _score(inputs.table("devices")),
            ),
            "Test accuracy within a limit of the cost: the best possible, and the {members} that a "
            "label-free search and searches by controls answer with, median of the runs with 95 % "
            "of them as a band. The six costs are spread over all in the order of what the score "
            "loses, from the best to the worst.",
        ),
        Figure(
            "device_progress",
            lambda inputs, _: progress_figure(inputs.table("devices")),
            "What searches for devices lose, and the part of the best possible hypervolume that "
            "they find, over their evaluations: mean over all latencies and runs, with the 95 % "
            "bootstrap interval over the runs. The reference point is the highest latency of any "
            "architecture and the accuracy of a guess.",
        ),
    ),
    show=_show,
    metrics=_metrics,
    sentences=_sentences,
)

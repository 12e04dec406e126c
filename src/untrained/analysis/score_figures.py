"""The figures of what scores say, two of them the NASWOT paper's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from untrained.analysis.correlations import Correlation
from untrained.analysis.plotting import (
    COLOURS,
    LEGEND_LINE,
    Floats,
    colour,
    distinct,
    error_bars,
    faint_grid,
    legend_below,
    look,
    nothing_drawn,
    source_key,
    style,
)
from untrained.analysis.preferences import Words
from untrained.analysis.tables import DATASET_TITLES, with_interval
from untrained.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Beyond this many points a vector file would be slow to open.
_RASTERISE_ABOVE = 2000
#: Matplotlib's own size of a marker.
_POINT = 6


@dataclass(frozen=True)
class ScorePanel:
    """One panel of `score_against_accuracy`.

    Attributes:
        title: the data set.
        scores: shape (n,), NaN or infinite where undefined.
        accuracy: shape (n,), percent.
        correlation: that of the subset which the figure names.
    """

    title: str
    scores: Floats
    accuracy: Floats
    correlation: Correlation


def score_against_accuracy(
    panels: Sequence[ScorePanel], *, subset: str, score: str = "score"
) -> Figure:
    """Draw accuracy against score, one panel per data set (Mellor et al. 2021, Fig. 3).

    Architectures whose score is undefined stand as dashes along the left edge.

    Args:
        panels: at least one.
        subset: the architectures that the correlations are about.
        score: label of the horizontal axes.

    Raises:
        ParameterError: no panels, or unequal numbers of scores and accuracies.
    """
    if not panels:
        raise ParameterError("0 panels: give at least one data set")
    with style():
        figure = Figure(figsize=(3.9 * len(panels), 4.6), layout="constrained")
        rows = figure.subplots(1, len(panels), squeeze=False)
        for axes, panel in zip(rows[0], panels, strict=True):
            _score_panel(axes, panel)
            axes.set_xlabel(score)
        rows[0][0].set_ylabel("accuracy (%)")
        figure.suptitle(f"architectures: {subset}", fontsize=13)
    return figure


def _score_panel(axes: "Axes", panel: ScorePanel) -> None:
    if len(panel.scores) != len(panel.accuracy):
        raise ParameterError(
            f"{panel.title}: {len(panel.scores)} scores and {len(panel.accuracy)} accuracies"
        )
    finite = np.isfinite(panel.scores)
    # The more points, the fainter and smaller each: density stays visible.
    crowd = max(int(finite.sum()), 1)
    alpha = float(np.clip(12 / np.sqrt(crowd), 0.1, 0.8))
    axes.scatter(
        panel.scores[finite],
        panel.accuracy[finite],
        s=12 if crowd <= _RASTERISE_ABOVE else 5,
        color=COLOURS[0],
        alpha=alpha,
        linewidths=0,
        rasterized=crowd > _RASTERISE_ABOVE,
    )
    lost = panel.accuracy[~finite]
    if len(lost):
        axes.plot(
            np.full(len(lost), 0.015),
            lost,
            linestyle="none",
            marker="_",
            markersize=11,
            markeredgewidth=1.2,
            color=COLOURS[1],
            alpha=0.6,
            transform=axes.get_yaxis_transform(),
            label=f"undefined ({len(lost)})",
        )
        # Above the lowest row, where the cells without a path from input to output lie.
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.08), handletextpad=0.2, fontsize=12)
        axes.margins(x=0.1)
    own = panel.correlation
    tau = with_interval(own.tau, own.tau_low, own.tau_high) or "undefined"
    axes.set_title(f"{panel.title}\nτ = {tau}")
    axes.locator_params(axis="x", nbins=4)


def kernel_matrices(
    good: Sequence[tuple[str, Floats]],
    bad: Sequence[tuple[str, Floats]],
    *,
    members: str = "cells",
) -> Figure:
    """Draw the kernels of good architectures above those of bad ones (Mellor et al. 2021, Fig. 1).

    Each kernel is divided by sqrt(K_ii K_jj), so that its diagonal is 1 and all share one colour
    bar: the nearer to the identity, the better the network tells its images apart.

    Args:
        good: (title, kernel of shape (N, N)) of each architecture with a high accuracy.
        bad: the same for a low accuracy.
        members: what architectures are called.

    Returns:
        The figure; without any kernel it says so.

    Raises:
        ParameterError: a matrix that is not square or has no positive diagonal.
    """
    if not good and not bad:
        return nothing_drawn(f"none of the scored {members} has a kernel")
    rows = [
        (name, [(title, _unit_diagonal(title, kernel)) for title, kernel in cells])
        for name, cells in (("good", good), ("bad", bad))
        if cells
    ]
    columns = max(len(cells) for _, cells in rows)
    low = min(float(kernel.min()) for _, cells in rows for _, kernel in cells)
    with style():
        figure = Figure(figsize=(2.9 * columns + 1.2, 3.4 * len(rows) + 0.1), layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for line, (name, cells) in zip(grid, rows, strict=True):
            for axes, (title, kernel) in zip(line, cells, strict=False):
                axes.set_axis_on()
                image = axes.imshow(
                    kernel, vmin=min(low, 1 - 1e-6), vmax=1, cmap="viridis", interpolation="nearest"
                )
                axes.set(xticks=[], yticks=[])
                axes.set_title(title, fontsize=13)
                axes.spines[:].set_visible(False)
            line[0].set_ylabel(f"{name} {members}")
        figure.colorbar(image, ax=grid, shrink=0.8, label="normalised kernel $K_H$")
    return figure


def _unit_diagonal(title: str, kernel: Floats) -> Floats:
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or not kernel.size:
        raise ParameterError(f"{title}: kernel of shape {kernel.shape}, give a square matrix")
    diagonal = np.diagonal(kernel)
    if not (diagonal > 0).all():
        raise ParameterError(f"{title}: {diagonal.min()} on the diagonal, all have to be positive")
    root = np.sqrt(diagonal)
    unit: Floats = kernel / np.outer(root, root)
    return unit


def tau_against_seeds(table: "pd.DataFrame") -> Figure:
    """Draw Kendall's tau against the number of seeds, one panel per data set of the images.

    A line is the mean over the sets of seeds of one proxy, its band the extremes, and the bar at
    all seeds the bootstrap interval over architectures.

    Args:
        table: as `seed_tables.seed_table` returns it, of one benchmark column per data set of the
            images.

    Raises:
        ParameterError: no rows, or two columns for one data set.
    """
    if table.empty:
        raise ParameterError("0 rows: nothing to draw")
    twice = table[table.duplicated(["proxy", "images", "seeds"])]
    if len(twice):
        raise ParameterError(f"two accuracies for {twice['images'].iloc[0]}: keep one split")
    images = distinct(table["images"])
    proxies = distinct(table["proxy"])
    with style():
        figure = Figure(figsize=(3.9 * len(images) + 0.8, 4.6), layout="constrained")
        (row,) = figure.subplots(1, len(images), squeeze=False, sharey=True)
        most = int(table["seeds"].max())
        # proxies that rank alike stand side by side, about a marker apart
        step = min(0.025 * most, 0.4 / len(proxies))
        for axes, name in zip(row, images, strict=True):
            for place, proxy in enumerate(proxies):
                own = table[(table["images"] == name) & (table["proxy"] == proxy)]
                _seed_line(axes, own, place, step * (place - (len(proxies) - 1) / 2))
            axes.set(title=name, xlabel="seeds")
            axes.set_xlim(0.5, most + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        row[0].set_ylabel("Kendall's τ")
        keys = [Line2D([], [], label=name, **look(k, _POINT)) for k, name in enumerate(proxies)]
        legend_below(figure, keys, 3)
    return figure


def _seed_line(axes: "Axes", own: "pd.DataFrame", place: int, shift: float) -> None:
    seeds, own_colour = own["seeds"] + shift, colour(place)
    extremes = own["tau_min"], own["tau_max"]
    axes.fill_between(seeds, *extremes, color=own_colour, alpha=0.2, linewidth=0)
    axes.vlines(seeds, own["tau_low"], own["tau_high"], color=own_colour, linewidth=1.3)
    axes.plot(seeds, own["tau"], **look(place, _POINT))


#: Experiment to the title of its panel.
_ABLATIONS = {
    "minibatch": "(a) other minibatches",
    "noise": "(b) other N(0, 1) images",
    "initialisation": "(c) other initialisations",
}


def ablations(scores: "pd.DataFrame", variances: "pd.DataFrame") -> Figure:
    """Draw what moves a score besides the architecture (Mellor et al. 2021, Fig. 5).

    Four panels show every repeat of each cell, at the middle of its bin of accuracy; where the
    batch size varies, each score is divided by the smallest one at that size, as in the paper. The
    fifth shows the shares of the variance of a score with their intervals.

    Args:
        scores: columns `experiment`, `batch_size`, `bin_low`, `bin_high` (percent) and `score`,
            NaN where undefined; all five experiments.
        variances: of `variances.variance_table`.

    Raises:
        ParameterError: an experiment has no scores.
    """
    for experiment in (*_ABLATIONS, "batch-size", "variance"):
        for table in (scores, variances):
            if not (table["experiment"] == experiment).any():
                raise ParameterError(f"no scores of the experiment {experiment!r}: make them first")
    middle = (scores["bin_low"] + scores["bin_high"]) / 2
    scores = scores.assign(accuracy=middle).dropna(subset=["accuracy", "score"])
    with style():
        figure = Figure(figsize=(13, 8), layout="constrained")
        # apart, so that the long labels of the last panel push none of the first row's aside
        top, bottom = figure.subfigures(2, 1, squeeze=False)[:, 0]
        panels = dict(zip(_ABLATIONS, top.subplots(1, 3), strict=True))
        panels["size"], shares = bottom.subplots(1, 2, width_ratios=[1, 1.4])
        for place, (experiment, title) in enumerate(_ABLATIONS.items()):
            own = scores[scores["experiment"] == experiment]
            _repeats(panels[experiment], own["accuracy"], own["score"], place)
            panels[experiment].set(title=title, ylabel="" if place else "score")
        sizes = scores[scores["experiment"] == "batch-size"]
        for place, (size, own) in enumerate(sizes.groupby("batch_size")):
            relative = own["score"] / own["score"].min()
            _repeats(panels["size"], own["accuracy"], relative, place, label=str(size))
        panels["size"].set(title="(d) other batch sizes", ylabel="score / smallest at that size")
        panels["size"].legend(
            title="images", loc="lower right", handletextpad=0.1, fontsize=12, title_fontsize=12
        )
        for axes in panels.values():
            axes.set_xlabel("CIFAR-100 accuracy (%)")
        _shares(shares, variances[variances["experiment"] == "variance"])
    return figure


def _repeats(
    axes: "Axes",
    accuracy: "pd.Series[float]",
    scores: "pd.Series[float]",
    place: int,
    label: str | None = None,
) -> None:
    axes.plot(
        accuracy,
        scores,
        linestyle="none",
        alpha=0.5,
        markeredgewidth=0,
        label=label,
        **look(place, 6),
    )


def _shares(axes: "Axes", variances: "pd.DataFrame") -> None:
    rows = variances.iloc[::-1]  # the first component on top
    percent = 100 * rows[["share", "share_low", "share_high"]].to_numpy(dtype=np.float64)
    axes.barh(rows["component"], percent[:, 0], color=COLOURS[0], height=0.6)
    axes.errorbar(
        percent[:, 0],
        rows["component"],
        xerr=error_bars(*percent.T),
        linestyle="none",
        color="black",
        capsize=4,
        elinewidth=1.3,
    )
    for name, (share, _, high) in zip(rows["component"], percent, strict=True):
        if np.isfinite(share):
            text = f"{share:.2f} %"
            place = (max(share, high), name)
            axes.annotate(text, place, (8, 0), textcoords="offset points", va="center")
    left = int((variances["architectures"] - variances["undefined"]).iloc[0])
    axes.set(xlabel="share of the variance of a score (%)", xlim=(0, 124), xticks=range(0, 101, 20))
    axes.set_title(f"(e) {left} random architectures")


def preferences(table: "pd.DataFrame", words: Words) -> Figure:
    """Draw what the best architectures are made of (Chen et al. 2021, Fig. 2 D).

    A panel per data set of the images; for each option the share of every proxy side by side
    with its 95 % interval, and hollow the published one.

    Args:
        table: as `preferences.preference_table` returns it.
        words: for what is counted.

    Raises:
        ParameterError: no rows.
    """
    if table.empty:
        raise ParameterError("0 rows: nothing to draw")
    images = distinct(table["images"])
    proxies = distinct(table["proxy"])
    options = distinct(table["option"])
    with style():
        figure = Figure(figsize=(11, 4.2 * len(images) + 0.8), layout="constrained")
        rows = figure.subplots(len(images), 1, squeeze=False)[:, 0]
        for axes, name in zip(rows, images, strict=True):
            for place, proxy in enumerate(proxies):
                own = table[(table["images"] == name) & (table["proxy"] == proxy)]
                shift = 0.8 * ((place + 0.5) / len(proxies) - 0.5)
                at = np.array([options.index(one) for one in own["option"]]) + shift
                _preferred(axes, at, own, place)
            axes.set(title=name, ylabel=f"share of {words.places} (%)")
            axes.set_xlim(-0.5, len(options) - 0.5)
            axes.set_ylim(bottom=0)
            axes.set_xticks(range(len(options)), options)
            if all(option.isdecimal() for option in options):
                axes.set_xlabel(words.options)  # bare numbers don't say what they are
            faint_grid(axes, axis="y")
        keys = [
            Line2D([], [], linestyle="none", label=proxy, **look(place, 8))
            for place, proxy in enumerate(proxies)
        ]
        if table["paper_share"].notna().any():
            keys.append(source_key("published", "none"))
        legend_below(figure, keys, 4)
    return figure


def _preferred(axes: "Axes", at: Floats, own: "pd.DataFrame", place: int) -> None:
    percent = 100 * own[["share", "share_low", "share_high"]].to_numpy(dtype=np.float64)
    settings: dict[str, Any] = look(place, 8) | {"linestyle": "none"}
    axes.errorbar(at, percent[:, 0], yerr=error_bars(*percent.T), capsize=3, **settings)
    published = 100 * own["paper_share"].to_numpy(dtype=np.float64)
    axes.plot(at, published, fillstyle="none", markeredgewidth=1.6, **settings)


def proxies(table: "pd.DataFrame") -> Figure:
    """Draw the tau of scores and of their controls side by side (Mellor et al. 2021, Fig. 4).

    A group of bars per space and data set of the images, with 95 % intervals; hollow the published
    figure, of whichever architectures it is. Groups are broken into rows of six.

    Args:
        table: as `proxy_comparisons.proxy_table` returns it, of one space or several.
    """
    if table["tau"].isna().all():
        return nothing_drawn("no score has a correlation")
    names = distinct(table["proxy"])
    groups = list(dict.fromkeys(zip(table["space"], table["images"], strict=True)))
    columns = min(len(groups), 6)
    rows = -(-len(groups) // columns)
    with style():
        # the longest names take 3.2 inches of the legend
        width = max(7.5, 1.4 + columns * (0.6 + 0.3 * len(names)))
        across = min(len(names) + 1, int(width // 3.2))
        height = 4.4 * rows + LEGEND_LINE * (1 + len(names) // across)
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = figure.subplots(rows, 1, squeeze=False, sharey=True)[:, 0]
        for number, axes in enumerate(panels):
            shown = groups[number * columns : (number + 1) * columns]
            for place, group in enumerate(shown):
                own = table[(table["space"] == group[0]) & (table["images"] == group[1])]
                _proxy_bars(axes, place, own, names)
            titles = [f"{space}\n{DATASET_TITLES.get(images, images)}" for space, images in shown]
            axes.set_xticks(range(len(shown)), titles)
            axes.set(ylabel="Kendall's τ", xlim=(-0.5, columns - 0.5))
            axes.axhline(0, color="0.4", linewidth=0.8)
            faint_grid(axes, axis="y")
            axes.set_axisbelow(True)
        keys = [
            Patch(label=name, facecolor=colour(place), **_hatched(place))
            for place, name in enumerate(names)
        ]
        if table["published_tau"].notna().any():
            keys.append(Patch(label="published", facecolor="none", edgecolor="0.4", linewidth=1.6))
        legend_below(figure, keys, across)
    return figure


def _hatched(place: int) -> dict[str, Any]:
    """Bars beyond the number of colours."""
    return {"hatch": "//", "edgecolor": "white"} if place >= len(COLOURS) else {}


def _proxy_bars(axes: "Axes", place: int, own: "pd.DataFrame", names: Sequence[str]) -> None:
    """The bars of one space and data set: ours filled, the published ones hollow at their right."""
    slot = 0.86 / len(names)
    for row in own.to_dict("records"):
        number = names.index(row["proxy"])
        left = place - 0.43 + number * slot
        own_colour = colour(number)
        tau, *ends = (np.array([row[name]]) for name in ("tau", "low", "high"))
        axes.bar(
            left,
            tau,
            0.6 * slot,
            align="edge",
            color=own_colour,
            yerr=error_bars(tau, *ends),
            error_kw={"capsize": 2.5, "elinewidth": 1.3, "ecolor": "0.5"},
            **_hatched(number),
        )
        axes.bar(
            left + 0.63 * slot,
            row["published_tau"],
            0.28 * slot,
            align="edge",
            facecolor="none",
            edgecolor=own_colour,
            linewidth=1.6,
        )


#: What is drawn of a kernel to the title of its panel.
_KERNEL_EVOLUTION = {
    "change": "relative change of the kernel",
    "correlation": "correlation with the initial kernel",
}


def kernel_evolution(curves: "pd.DataFrame") -> Figure:
    """Draw how far the tangent kernel moves over a training (after Mok et al. 2022).

    Left its relative change, right its correlation with the kernel before training; a line per
    cell, coloured by test accuracy. What is undefined interrupts a line.

    Args:
        curves: as `evolutions.curve_table` returns it.
    """
    return _evolution(curves, _KERNEL_EVOLUTION)


def score_evolution(curves: "pd.DataFrame", proxies: Sequence[str]) -> Figure:
    """Draw scores over a training, a panel per proxy (Mellor et al. 2021, Fig. 6).

    Args:
        curves: as `evolutions.curve_table` returns it.
        proxies: in the order of the panels.
    """
    # a spelling with its variant is too wide for a title
    return _evolution(curves, {name: "\n".join(name.split("-", 1)) for name in proxies})


def _evolution(curves: "pd.DataFrame", titles: dict[str, str]) -> Figure:
    """A panel per quantity of `titles`, on two data sets or more one figure row for each."""
    shown = curves[curves["quantity"].isin(titles) & curves["median"].notna()]
    if shown.empty:
        return nothing_drawn("nothing was followed over a training")
    datasets = distinct(shown["dataset"])
    columns = min(len(titles), 3)
    rows = -(-len(titles) // columns)
    known = shown["accuracy"].dropna()
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(low, max(high, low + 1e-6)), "viridis")
    with style():
        size = (4.8 * columns + 1, 4.4 * rows * len(datasets))
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(rows * len(datasets), columns, squeeze=False)
        places = [(dataset, name) for dataset in datasets for name in titles]
        panels = grid.reshape(len(datasets), -1)
        for axes in panels[:, len(titles) :].flat:
            axes.set_axis_off()
        for axes, (dataset, name) in zip(panels[:, : len(titles)].flat, places, strict=True):
            own = curves[(curves["dataset"] == dataset) & (curves["quantity"] == name)]
            for _, line in own.groupby("arch"):
                colour = scale.to_rgba(line["accuracy"].iloc[0])
                axes.plot(line["epochs"], line["median"], color=colour, marker="o", markersize=5)
            # the best and the worst condition numbers, say, are decades apart
            if own["median"].min() > 0 and own["median"].max() > 30 * own["median"].min():
                axes.set_yscale("log")
            title = titles[name]
            axes.set_title(f"{dataset}: {title}" if len(datasets) > 1 else title, fontsize=12)
            axes.set_xlabel("epochs of training")
            faint_grid(axes)
        figure.colorbar(scale, ax=grid, label="test accuracy (%)", shrink=0.9)
    return figure

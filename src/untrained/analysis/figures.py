"""The figures of a report, three of them the NASWOT paper's, with byte-stable output.

Figures are built without pyplot, so they work without a display and leave no state behind.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from untrained.analysis.correlations import Correlation
from untrained.analysis.tables import DATASET_TITLES, with_interval
from untrained.errors import ParameterError
from untrained.files import atomic

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]

# Okabe and Ito, "Color Universal Design", 2008: told apart with any colour vision. Yellow is left
# out: it is too faint on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = ("o", "s", "^", "D", "v", "<", ">", "p", "h")

# Everything that a user's matplotlibrc might change and that the bytes of a figure depend on.
_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 14,
    "axes.titlesize": 14,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "savefig.dpi": 150,
    "savefig.facecolor": "white",
    "svg.hashsalt": "untrained",
    "svg.fonttype": "path",
}

#: Beyond this many points a vector file would be slow to open.
_RASTERISE_ABOVE = 2000

_METADATA: dict[str, dict[str, None]] = {
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
}


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
    with _style():
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
        color=_COLOURS[0],
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
            color=_COLOURS[1],
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
    good: Sequence[tuple[str, Floats]], bad: Sequence[tuple[str, Floats]]
) -> Figure:
    """Draw the kernels of good cells above those of bad ones (Mellor et al. 2021, Fig. 1).

    Each kernel is divided by sqrt(K_ii K_jj), so that its diagonal is 1 and all share one colour
    bar: the nearer to the identity, the better the network tells its images apart.

    Args:
        good: (title, kernel of shape (N, N)) of each cell with a high accuracy.
        bad: the same for a low accuracy.

    Raises:
        ParameterError: no cells, or a matrix that is not square or has no positive diagonal.
    """
    if not good and not bad:
        raise ParameterError("0 kernels: give at least one")
    rows = [
        (name, [(title, _unit_diagonal(title, kernel)) for title, kernel in cells])
        for name, cells in (("good", good), ("bad", bad))
        if cells
    ]
    columns = max(len(cells) for _, cells in rows)
    low = min(float(kernel.min()) for _, cells in rows for _, kernel in cells)
    with _style():
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
            line[0].set_ylabel(f"{name} cells")
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


def accuracy_against_time(table: "pd.DataFrame", *, title: str = "") -> Figure:
    """Draw accuracy against the time of a search (Mellor et al. 2021, Fig. 7).

    Methods whose times are equal are set side by side, at most a third of a decade off.

    Args:
        table: columns `method`, `seconds` (rows without a positive time are left out), `mean` and
            `std` of the accuracy in percent, `source` (`ours` or `published`).
        title: the data set and split.

    Raises:
        ParameterError: another `source`, or no row with a time and an accuracy.
    """
    unknown = sorted(set(table["source"]) - {"ours", "published"})
    if unknown:
        raise ParameterError(f"source {unknown[0]!r}: give 'ours' or 'published'")
    table = table[(table["seconds"] > 0) & table["mean"].notna()]
    if table.empty:
        raise ParameterError("no search with a time and an accuracy: nothing to draw")
    methods = list(dict.fromkeys(table["method"]))
    with _style():
        # a line of the legend, of methods and of two sources, takes 0.3 inches
        figure = Figure(figsize=(10, max(5, 0.3 * (len(methods) + 3))), layout="constrained")
        axes = figure.subplots()
        keys: list[Line2D] = []
        for place, method in enumerate(methods):
            look: dict[str, Any] = {
                "color": _COLOURS[place % len(_COLOURS)],
                "marker": _MARKERS[place % len(_MARKERS)],
                "markersize": 8,
            }
            keys.append(Line2D([], [], linestyle="none", label=method, **look))
            for row in table[table["method"] == method].to_dict("records"):
                _timed_point(axes, table, row, look)
        for source, fill in (("ours", "full"), ("published", "none")):
            if (table["source"] == source).any():
                keys.append(_key(source, fill))
        axes.set(xscale="log", xlabel="search time (s)", ylabel="accuracy (%)", title=title)
        axes.grid(visible=True, alpha=0.25, linewidth=0.8)
        figure.legend(handles=keys, loc="outside right upper", handletextpad=0.1)
    return figure


def _timed_point(
    axes: "Axes", table: "pd.DataFrame", row: dict[Any, Any], look: dict[str, Any]
) -> None:
    equal = table[np.isclose(table["seconds"], row["seconds"], rtol=0.02)]
    equal = equal.sort_values(["method", "source"])
    order = list(zip(equal["method"], equal["source"], strict=True))
    place = order.index((row["method"], row["source"])) - (len(order) - 1) / 2
    axes.errorbar(
        row["seconds"] * 10 ** (place * 0.66 / max(len(order), 6)),
        row["mean"],
        yerr=None if np.isnan(row["std"]) else row["std"],
        capsize=3,
        elinewidth=1.3,
        markeredgewidth=1.6,
        linestyle="none",
        fillstyle="full" if row["source"] == "ours" else "none",
        **look,
    )


def _key(label: str, fill: Any) -> Line2D:  # noqa: ANN401
    return Line2D(
        [], [], linestyle="none", marker="o", markersize=9, color="0.4", fillstyle=fill, label=label
    )


#: Of curves beyond the number of colours, and of searches on a panel's own data set.
_LINES = ("-", "-.", ":")
_ELSEWHERE: Any = "--"


def regret_against_time(table: "pd.DataFrame") -> Figure:
    """Draw the regret of searches over simulated time (after Mellor et al. 2021, Fig. 7).

    A panel per data set. Curves are step functions with a band, their 95 % interval; dashed ones
    are of searches on the data set of the panel where the others searched on another. Searches
    that train nothing are grey markers at their end, those without a cost at the left edge. A
    regret of 0 lies below the logarithmic axis, unless all are 0. Without any regret the figure
    says so: a sample of the space can be too small for every search.

    Args:
        table: as `regret.regret_table` returns it.
    """
    table = table[table["regret"].notna()]
    if table.empty:
        return _nothing("no search has a regret")
    datasets = list(dict.fromkeys(table["dataset"]))
    curves = list(dict.fromkeys(table.loc[table["trains"], "method"]))
    points = list(dict.fromkeys(table.loc[~table["trains"], "method"]))
    keys: list[Line2D] = []
    with _style():
        figure = Figure(figsize=(4.6 * len(datasets) + 0.8, 5.6), layout="constrained")
        (panels,) = figure.subplots(1, len(datasets), squeeze=False)
        for axes, dataset in zip(panels, datasets, strict=True):
            own = table[table["dataset"] == dataset]
            for place, method in enumerate(curves):
                _regret_curves(axes, own[own["method"] == method], table, place)
            for place, method in enumerate(points):
                _regret_points(axes, own[own["method"] == method], place)
            axes.set(xscale="log", xlabel="simulated search time (s)")
            axes.set_title(DATASET_TITLES.get(dataset, dataset))
            if (own["regret"] > 0).any():
                axes.set_yscale("log")
                # Few decades: steps between them are named as well, as plain numbers.
                axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axes.yaxis.set_major_formatter("{x:g}")
                axes.yaxis.set_minor_formatter(NullFormatter())
            axes.grid(visible=True, alpha=0.25, linewidth=0.8)
        panels[0].set_ylabel("regret (percent points of test accuracy)")
        keys += [Line2D([], [], label=name, **_curve_look(k)) for k, name in enumerate(curves)]
        if (table["searched_on"] != table["searched_on"].iloc[0]).any():
            label = "searched on the panel's data set"
            keys.append(Line2D([], [], color="0.4", linestyle=_ELSEWHERE, label=label))
        keys += [Line2D([], [], label=name, **_point_look(k)) for k, name in enumerate(points)]
        figure.legend(handles=keys, loc="outside lower center", ncols=min(len(keys), 4))
    return figure


def _nothing(why: str) -> Figure:
    with _style():
        figure = Figure(figsize=(5.4, 2), layout="constrained")
        axes = figure.subplots()
        axes.set_axis_off()
        axes.text(0.5, 0.5, why, ha="center", va="center")
    return figure


def _curve_look(place: int) -> dict[str, Any]:
    line = _LINES[place // len(_COLOURS) % len(_LINES)]
    return {"color": _COLOURS[place % len(_COLOURS)], "linestyle": line, "linewidth": 1.8}


def _point_look(place: int) -> dict[str, Any]:
    marker = _MARKERS[place % len(_MARKERS)]
    return {"color": "0.35", "marker": marker, "markersize": 8, "linestyle": "none"}


def _regret_curves(axes: "Axes", own: "pd.DataFrame", table: "pd.DataFrame", place: int) -> None:
    for images, curve in own.groupby("searched_on", sort=False):
        look = _curve_look(place)
        if images != table["searched_on"].iloc[0]:
            look["linestyle"] = _ELSEWHERE
        low, high = curve["regret_low"], curve["regret_high"]
        axes.plot(curve["seconds"], curve["regret"], drawstyle="steps-post", **look)
        axes.fill_between(
            curve["seconds"], low, high, step="post", color=look["color"], alpha=0.2, linewidth=0
        )


def _regret_points(axes: "Axes", own: "pd.DataFrame", place: int) -> None:
    for row in own.to_dict("records"):
        free = not row["seconds"] > 0
        axes.errorbar(
            0.02 if free else row["seconds"],
            row["regret"],
            # The mean may lie outside its percentile interval by rounding.
            yerr=np.maximum(
                [[row["regret"] - row["regret_low"]], [row["regret_high"] - row["regret"]]], 0
            ),
            capsize=3,
            transform=axes.get_yaxis_transform() if free else axes.transData,
            **_point_look(place),
        )


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
    images = list(dict.fromkeys(table["images"]))
    proxies = list(dict.fromkeys(table["proxy"]))
    with _style():
        figure = Figure(figsize=(3.9 * len(images) + 0.8, 4.6), layout="constrained")
        (row,) = figure.subplots(1, len(images), squeeze=False, sharey=True)
        for axes, name in zip(row, images, strict=True):
            for place, proxy in enumerate(proxies):
                own = table[(table["images"] == name) & (table["proxy"] == proxy)]
                # Proxies that rank alike stand side by side.
                _seed_line(axes, own, place, 0.08 * (place - (len(proxies) - 1) / 2))
            axes.set(title=name, xlabel="seeds")
            axes.set_xlim(0.5, table["seeds"].max() + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        row[0].set_ylabel("Kendall's τ")
        keys = [
            Line2D([], [], color=_COLOURS[place % len(_COLOURS)], label=proxy,
                   marker=_MARKERS[place % len(_MARKERS)])
            for place, proxy in enumerate(proxies)
        ]  # fmt: skip
        figure.legend(handles=keys, loc="outside lower center", ncols=min(len(keys), 3))
    return figure


def _seed_line(axes: "Axes", own: "pd.DataFrame", place: int, shift: float) -> None:
    colour = _COLOURS[place % len(_COLOURS)]
    seeds = own["seeds"] + shift
    axes.fill_between(seeds, own["tau_min"], own["tau_max"], color=colour, alpha=0.2, linewidth=0)
    axes.vlines(seeds, own["tau_low"], own["tau_high"], color=colour, linewidth=1.3)
    axes.plot(seeds, own["tau"], color=colour, marker=_MARKERS[place % len(_MARKERS)])


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
    with _style():
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
        marker=_MARKERS[place % len(_MARKERS)],
        markersize=6,
        color=_COLOURS[place % len(_COLOURS)],
        alpha=0.5,
        markeredgewidth=0,
        label=label,
    )


def _shares(axes: "Axes", variances: "pd.DataFrame") -> None:
    rows = variances.iloc[::-1]  # the first component on top
    percent = 100 * rows[["share", "share_low", "share_high"]].to_numpy(dtype=np.float64)
    axes.barh(rows["component"], percent[:, 0], color=_COLOURS[0], height=0.6)
    # The estimate of a small share may lie outside its percentile interval.
    reach = np.maximum([percent[:, 0] - percent[:, 1], percent[:, 2] - percent[:, 0]], 0)
    axes.errorbar(
        percent[:, 0],
        rows["component"],
        xerr=np.nan_to_num(reach),
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


def preferences(table: "pd.DataFrame") -> Figure:
    """Draw what the best architectures are made of (Chen et al. 2021, Fig. 2 D).

    A panel per data set of the images; for each operation the share of every proxy side by side
    with its 95 % interval, and hollow the published one.

    Args:
        table: as `preferences.preference_table` returns it.

    Raises:
        ParameterError: no rows.
    """
    if table.empty:
        raise ParameterError("0 rows: nothing to draw")
    images = list(dict.fromkeys(table["images"]))
    proxies = list(dict.fromkeys(table["proxy"]))
    operations = list(dict.fromkeys(table["operation"]))
    with _style():
        figure = Figure(figsize=(11, 4.2 * len(images) + 0.8), layout="constrained")
        rows = figure.subplots(len(images), 1, squeeze=False)[:, 0]
        for axes, name in zip(rows, images, strict=True):
            for place, proxy in enumerate(proxies):
                own = table[(table["images"] == name) & (table["proxy"] == proxy)]
                shift = 0.8 * ((place + 0.5) / len(proxies) - 0.5)
                at = np.array([operations.index(one) for one in own["operation"]]) + shift
                _preferred(axes, at, own, place)
            axes.set(title=name, ylabel="share of edges (%)", xlim=(-0.5, len(operations) - 0.5))
            axes.set_ylim(bottom=0)
            axes.set_xticks(range(len(operations)), operations)
            axes.grid(visible=True, axis="y", alpha=0.25, linewidth=0.8)
        keys = [
            Line2D([], [], linestyle="none", label=proxy, **_preferred_look(place))
            for place, proxy in enumerate(proxies)
        ]
        if table["paper_share"].notna().any():
            keys.append(_key("published", "none"))
        figure.legend(handles=keys, loc="outside lower center", ncols=min(len(keys), 4))
    return figure


def _preferred_look(place: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[place % len(_COLOURS)],
        "marker": _MARKERS[place % len(_MARKERS)],
        "markersize": 8,
    }


def _preferred(axes: "Axes", at: Floats, own: "pd.DataFrame", place: int) -> None:
    percent = 100 * own[["share", "share_low", "share_high"]].to_numpy(dtype=np.float64)
    # The share of the sample may lie outside its percentile interval.
    reach = np.maximum([percent[:, 0] - percent[:, 1], percent[:, 2] - percent[:, 0]], 0)
    look = _preferred_look(place)
    axes.errorbar(at, percent[:, 0], yerr=np.nan_to_num(reach), linestyle="none", capsize=3, **look)
    published = 100 * own["paper_share"].to_numpy(dtype=np.float64)
    axes.plot(at, published, linestyle="none", fillstyle="none", markeredgewidth=1.6, **look)


def proxies(table: "pd.DataFrame") -> Figure:
    """Draw the tau of scores and of their controls side by side (Mellor et al. 2021, Fig. 4).

    A group of bars per space and data set of the images, with 95 % intervals; hollow the published
    figure, of whichever architectures it is. Groups are broken into rows of six.

    Args:
        table: as `proxy_comparisons.proxy_table` returns it, of one space or several.
    """
    if table["tau"].isna().all():
        return _nothing("no score has a correlation")
    names = list(dict.fromkeys(table["proxy"]))
    groups = list(dict.fromkeys(zip(table["space"], table["images"], strict=True)))
    columns = min(len(groups), 6)
    rows = -(-len(groups) // columns)
    with _style():
        # the longest names take 3.2 inches of the legend, and each of its lines 0.3
        width = max(7.5, 1.4 + columns * (0.6 + 0.3 * len(names)))
        across = min(len(names) + 1, int(width // 3.2))
        height = 4.4 * rows + 0.3 * (1 + len(names) // across)
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
            axes.grid(visible=True, axis="y", alpha=0.25, linewidth=0.8)
            axes.set_axisbelow(True)
        keys = [
            Patch(label=name, facecolor=_COLOURS[place % len(_COLOURS)], **_hatched(place))
            for place, name in enumerate(names)
        ]
        if table["published_tau"].notna().any():
            keys.append(Patch(label="published", facecolor="none", edgecolor="0.4", linewidth=1.6))
        figure.legend(handles=keys, loc="outside lower center", ncols=across)
    return figure


def _hatched(place: int) -> dict[str, Any]:
    """Bars beyond the number of colours."""
    return {"hatch": "//", "edgecolor": "white"} if place >= len(_COLOURS) else {}


def _proxy_bars(axes: "Axes", place: int, own: "pd.DataFrame", names: Sequence[str]) -> None:
    """The bars of one space and data set: ours filled, the published ones hollow at their right."""
    slot = 0.86 / len(names)
    for row in own.to_dict("records"):
        number = names.index(row["proxy"])
        left = place - 0.43 + number * slot
        colour = _COLOURS[number % len(_COLOURS)]
        # the estimate may lie outside its percentile interval
        reach = np.maximum([[row["tau"] - row["low"]], [row["high"] - row["tau"]]], 0)
        axes.bar(
            left,
            row["tau"],
            0.6 * slot,
            align="edge",
            color=colour,
            yerr=np.nan_to_num(reach),
            error_kw={"capsize": 2.5, "elinewidth": 1.3, "ecolor": "0.5"},
            **_hatched(number),
        )
        axes.bar(
            left + 0.63 * slot,
            row["published_tau"],
            0.28 * slot,
            align="edge",
            facecolor="none",
            edgecolor=colour,
            linewidth=1.6,
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
        return _nothing("no pruning search was run")
    methods = list(dict.fromkeys(table["method"]))
    seeds = [int(seed) for seed in sorted(table["seed"].unique())]
    columns = min(len(methods), 3)
    rows = -(-len(methods) // columns)
    with _style():
        figure = Figure(figsize=(4.9 * columns + 0.6, 5 * rows + 0.4), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, method in zip(panels.flat, methods, strict=False):
            _trajectories(axes, table[table["method"] == method], seeds)
        for axes in panels.flat[len(methods) :]:
            axes.set_axis_off()
        # Few decades: steps between them are named as well, as plain numbers.
        panels[0][0].set_yscale("log")
        panels[0][0].yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        panels[0][0].yaxis.set_major_formatter("{x:g}")
        panels[0][0].yaxis.set_minor_formatter(NullFormatter())
        for axes in panels[:, 0]:
            axes.set_ylabel(_TRAJECTORY["kappa"])
        keys = [
            Line2D([], [], label=f"seed {seed}", **_trajectory_look(place))
            for place, seed in enumerate(seeds)
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=min(len(keys), 6))
    return figure


def _trajectory_look(place: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[place % len(_COLOURS)],
        "marker": _MARKERS[place % len(_MARKERS)],
        "markersize": 7,
        "linewidth": 1.5,
    }


def _trajectories(axes: "Axes", own: "pd.DataFrame", seeds: Sequence[int]) -> None:
    for place, seed in enumerate(seeds):
        look, rounds = _trajectory_look(place), own[own["seed"] == seed]
        axes.plot(rounds["regions"], rounds["kappa"], **look)
        first = rounds.iloc[:1]
        axes.plot(first["regions"], first["kappa"], **look, markerfacecolor="white")
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
    axes.grid(visible=True, alpha=0.25, linewidth=0.8)


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
        return _nothing("nothing was followed over a training")
    datasets = list(dict.fromkeys(shown["dataset"]))
    columns = min(len(titles), 3)
    rows = -(-len(titles) // columns)
    known = shown["accuracy"].dropna()
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    scale = mpl.cm.ScalarMappable(mpl.colors.Normalize(low, max(high, low + 1e-6)), "viridis")
    with _style():
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
            axes.grid(visible=True, alpha=0.25, linewidth=0.8)
        figure.colorbar(scale, ax=grid, label="test accuracy (%)", shrink=0.9)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the same figure gives the same bytes.

    Args:
        figure: any figure of this module.
        path: its suffix, `.svg` or `.png`, chooses the format.

    Raises:
        ParameterError: another suffix.
        UntrainedError: the file can't be written.
    """
    if path.suffix not in _METADATA:
        raise ParameterError(f"{path}: figures are written as .svg or .png")
    with _style(), atomic(path) as part:
        figure.savefig(part, format=path.suffix[1:], metadata=_METADATA[path.suffix])


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield

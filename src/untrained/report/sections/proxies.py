"""Kendall's tau of scores and of their controls, after Mellor et al. 2021, Fig. 4."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from untrained.report import plotting
from untrained.report.inputs import Inputs
from untrained.report.published import published, published_key, sources
from untrained.report.scores import ALL_SAMPLED, FINITE_ONLY, image_label, proxy_label
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.tables import intervals, joined, laid_out, named, numbers
from untrained.spaces import get_space

#: The columns of `proxy_table`, in order.
COLUMNS = (
    *("space", "images", "dataset", "split", "proxy", "tau", "low", "high", "n", "undefined"),
    *("published_tau", "source"),
)


def proxy_table(inputs: Inputs, _: Options) -> pd.DataFrame:
    """Return Kendall's tau-b between every proxy or control and test accuracy.

    All are over the same architectures, with undefined scores ranked last. Published ones may be
    over other architectures and may drop undefined scores.

    Returns:
        One row per data set of the images and proxy with `COLUMNS`, controls last: `low` and
        `high` are the ends of the 95 % bootstrap interval, `undefined` counts architectures without
        a score, and `published_tau` is NaN and its `source` empty where there is none.
    """
    table, space = inputs.table("correlations"), inputs.name
    own = table[(table["subset"] == ALL_SAMPLED) & table["split"].str.endswith("test")]
    places = list(own["images"].unique())
    own = own.assign(place=own["images"].map(places.index), control=own["seeds"] == 0)
    own = own.sort_values(["place", "control"], kind="stable").assign(space=space)
    renamed = {"tau_low": "low", "tau_high": "high", "excluded": "undefined"}
    found = own.rename(columns=renamed).assign(key=own["proxy"].map(published_key).astype("str"))
    found = found.merge(_published(space), how="left")
    return found.fillna({"source": ""})[list(COLUMNS)]


def _published(space: str) -> pd.DataFrame:
    """Return one published tau over all architectures of a space for each proxy and target.

    Printed figures are preferred to recomputed ones, and those that drop undefined scores, as the
    paper does, to those that rank them last.
    """
    known = published("correlations").dropna(subset=["tau"])
    known = known[(known["space"] == space) & known["subset"].isin([FINITE_ONLY, ALL_SAMPLED])]
    order = [*sources("printed"), *sources("recomputed")]
    known = known.assign(order=known["source"].map(order.index))
    known = known.sort_values(["order", "subset"], ascending=[True, False], kind="stable")
    keys = ["images", "dataset", "split", "proxy"]
    known = known.drop_duplicates(keys)[[*keys, "tau", "source"]]
    return known.rename(columns={"proxy": "key", "tau": "published_tau"})


#: A row per proxy or control.
proxy_layout = laid_out(
    {
        "space": named("space", lambda name: get_space(name).label),
        "scored on": "images",
        "accuracy": joined("dataset", "split"),
        "score": named("proxy", proxy_label),
        "n": "n",
        "undefined": "undefined",
        "τ": intervals("tau", "low", "high"),
        "published τ": numbers("published_tau", 3),
        "source": "source",
    }
)


@plotting.style()
def proxies(table: pd.DataFrame) -> "plotting.Figure":
    """Draw the tau of scores and of their controls side by side (Mellor et al. 2021, Fig. 4).

    There is a group of bars with 95 % intervals per space and data set of the images, six groups
    per row. Published figures are hollow; they may be over other architectures.
    """
    from matplotlib.patches import Patch

    if table["tau"].isna().all():
        return plotting.nothing_drawn("no score has a correlation")
    names = list(table["proxy"].unique())
    groups = list(dict.fromkeys(zip(table["space"], table["images"], strict=True)))
    counts = table.groupby(["space", "images"])["n"].max()
    columns = min(len(groups), 6)
    rows = -(-len(groups) // columns)
    # the longest names take 3.2 inches of the legend
    width = max(7.5, 1.4 + columns * (0.6 + 0.3 * len(names)))
    across = min(len(names) + 1, int(width // 3.2))
    height = 4.4 * rows + plotting.LEGEND_LINE * (1 + len(names) // across)
    figure, panels = plotting.panels(rows, 1, (width, height), sharey=True)
    for number, axes in enumerate(panels[:, 0]):
        shown = groups[number * columns : (number + 1) * columns]
        for place, group in enumerate(shown):
            own = table[(table["space"] == group[0]) & (table["images"] == group[1])]
            _proxy_bars(axes, place, own, names)
        titles = [
            f"{get_space(space).label}\n{image_label(images)}, n = {counts[space, images]}"
            for space, images in shown
        ]
        axes.set_xticks(range(len(shown)), titles)
        axes.set(ylabel="Kendall's τ", xlim=(-0.5, columns - 0.5))
        axes.axhline(0, color="0.4", linewidth=0.8)
        plotting.faint_grid(axes, axis="y")
        axes.set_axisbelow(True)
    keys = [
        Patch(label=proxy_label(name), facecolor=plotting.colour(place), **_hatched(place))
        for place, name in enumerate(names)
    ]
    if table["published_tau"].notna().any():
        keys.append(Patch(label="published", facecolor="none", edgecolor="0.4", linewidth=1.6))
    plotting.legend_below(figure, keys, across)
    return figure


def _hatched(place: int) -> dict[str, Any]:
    """Return the hatching of bars whose colour is already used."""
    return {"hatch": "//", "edgecolor": "white"} if place >= len(plotting.COLOURS) else {}


def _proxy_bars(axes: "plotting.Axes", place: int, own: pd.DataFrame, names: Sequence[str]) -> None:
    """Draw the bars of one group: ours filled, to their right the published ones hollow."""
    slot = 0.86 / len(names)
    for row in own.to_dict("records"):
        number = names.index(row["proxy"])
        left = place - 0.43 + number * slot
        colour = plotting.colour(number)
        tau, *ends = (np.array([row[name]]) for name in ("tau", "low", "high"))
        axes.bar(
            left,
            tau,
            0.6 * slot,
            align="edge",
            color=colour,
            yerr=plotting.error_bars(tau, *ends),
            error_kw={"capsize": 2.5, "elinewidth": 1.3, "ecolor": "0.5"},
            **_hatched(number),
        )
        hollow: dict[str, Any] = {"facecolor": "none", "edgecolor": colour, "linewidth": 1.6}
        axes.bar(left + 0.63 * slot, row["published_tau"], 0.28 * slot, align="edge", **hollow)


SECTION = Section(
    name="proxies",
    needs=("correlations",),
    tables=(
        Table(
            "proxies",
            proxy_table,
            "Scores and their controls",
            "Kendall's tau-b of scores and of their controls with test accuracy, after the NASWOT "
            "paper's Fig. 4, with 95 % bootstrap intervals. All are over the same architectures, "
            "with undefined scores ranked last. Published figures are over other samples or over "
            "the whole space.",
            proxy_layout,
            on_page=False,
        ),
    ),
    figures=(
        Figure(
            "proxies",
            lambda inputs, _: proxies(inputs.table("proxies")),
            "Kendall's tau-b of scores and of their controls with test accuracy (the NASWOT "
            "paper's Fig. 4), with 95 % bootstrap intervals, over the same architectures and with "
            "undefined scores ranked last. Published figures are hollow; they are over other "
            "samples or over the whole space, and the table `proxies` names their sources.",
            joint=True,
        ),
    ),
)

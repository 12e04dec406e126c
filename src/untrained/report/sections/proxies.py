"""Scores beside each other and beside their controls, after Mellor et al. 2021, Fig. 4."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrained.errors import ParameterError
from untrained.report import plotting
from untrained.report.correlations import ALL_SAMPLED, FINITE_ONLY
from untrained.report.inputs import Inputs
from untrained.report.published import published, published_key, sources
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.tables import text_of, with_interval
from untrained.report.targets import image_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawn

#: The columns of `proxy_table`, in order.
COLUMNS = (
    *("space", "images", "dataset", "split", "proxy", "tau", "low", "high", "n", "undefined"),
    *("published_tau", "source"),
)


def make(inputs: Inputs, options: Options) -> tuple[pd.DataFrame, ...]:
    """Set the taus of all scored architectures side by side."""
    del options
    return (proxy_table(inputs.table("correlations"), space=inputs.name),)


def proxy_table(table: pd.DataFrame, *, space: str) -> pd.DataFrame:
    """Kendall's tau-b of every proxy and control with the test accuracy.

    All are about the same architectures: those with an undefined score are ranked last. Published
    figures drop them where they are said to; they stand beside ours whether they are of the same
    architectures or not.

    Args:
        table: of `correlations.correlation_table`, with the subset `ALL_SAMPLED`.
        space: the search space that it is about.

    Returns:
        One row per data set of the images and proxy with `COLUMNS`, controls last: `low` and
        `high` are the ends of the 95 % bootstrap interval, `undefined` counts architectures without
        a score, and
        `published_tau` is NaN and its `source` empty where there is none.

    Raises:
        ParameterError: two rows for one proxy, data set and split.
    """
    chosen = (table["subset"] == ALL_SAMPLED) & table["split"].str.endswith("test")
    own = table[chosen]
    keys = ["images", "dataset", "split", "proxy"]
    if (twice := own.duplicated(keys)).any():
        row = own[twice].iloc[0]
        raise ParameterError(
            f"two correlations of {row['proxy']} on {row['images']} with {row['split']}: keep one"
        )
    places = list(dict.fromkeys(own["images"]))
    own = own.assign(place=own["images"].map(places.index), control=own["seeds"] == 0)
    own = own.sort_values(["place", "control"], kind="stable")
    renamed = {"tau_low": "low", "tau_high": "high", "excluded": "undefined"}
    found = own.rename(columns=renamed).assign(space=space).reset_index(drop=True)
    known = _published(space)
    named = zip(*(own[key] for key in keys), strict=True)
    beside = [known.get((*head, published_key(proxy)), (np.nan, "")) for *head, proxy in named]
    found["published_tau"] = [tau for tau, _ in beside]
    found["source"] = [source for _, source in beside]
    return found[list(COLUMNS)]


def _published(space: str) -> dict[tuple[str, ...], tuple[float, str]]:
    """(images, dataset, split, proxy) to the tau of all architectures and its source.

    What was printed goes before what was computed from it, and what drops undefined scores, as the
    paper does, before what ranks them last.
    """
    known = published("correlations").dropna(subset=["tau"])
    known = known[(known["space"] == space) & known["subset"].isin([FINITE_ONLY, ALL_SAMPLED])]
    order = [*sources("printed"), *sources("recomputed")]
    rows = sorted(
        known.to_dict("records"),
        key=lambda row: (order.index(row["source"]), row["subset"] == ALL_SAMPLED),
    )
    found: dict[tuple[str, ...], tuple[float, str]] = {}
    for row in rows:
        key = (row["images"], row["dataset"], row["split"], row["proxy"])
        found.setdefault(key, (row["tau"], row["source"]))
    return found


def proxy_layout(table: pd.DataFrame, *, digits: int = 2) -> pd.DataFrame:
    """Lay out the scores of a space beside each other.

    Args:
        table: as `proxy_comparisons.proxy_table` returns it.
        digits: decimals of each coefficient.
    """
    layout = pd.DataFrame({"space": table["space"], "scored on": table["images"]})
    layout["accuracy"] = table["dataset"] + " " + table["split"]
    layout["score"] = table["proxy"]
    layout["n"] = table["n"].astype(str)
    layout["undefined"] = table["undefined"].astype(str)
    cells = zip(table["tau"], table["low"], table["high"], strict=True)
    layout["τ"] = [with_interval(*cell, digits=digits) for cell in cells]
    layout["published τ"] = [text_of(value, digits + 1) for value in table["published_tau"]]
    layout["source"] = table["source"]
    return layout


def proxies(table: "pd.DataFrame") -> "Drawn":
    """Draw the tau of scores and of their controls side by side (Mellor et al. 2021, Fig. 4).

    A group of bars per space and data set of the images, with 95 % intervals; hollow the published
    figure, of whichever architectures it is. Groups are broken into rows of six.

    Args:
        table: as `proxy_comparisons.proxy_table` returns it, of one space or several.
    """
    if table["tau"].isna().all():
        return plotting.nothing_drawn("no score has a correlation")
    names = plotting.distinct(table["proxy"])
    groups = list(dict.fromkeys(zip(table["space"], table["images"], strict=True)))
    columns = min(len(groups), 6)
    rows = -(-len(groups) // columns)
    with plotting.style():
        # the longest names take 3.2 inches of the legend
        width = max(7.5, 1.4 + columns * (0.6 + 0.3 * len(names)))
        across = min(len(names) + 1, int(width // 3.2))
        height = 4.4 * rows + plotting.LEGEND_LINE * (1 + len(names) // across)
        figure = plotting.Figure(figsize=(width, height), layout="constrained")
        panels = figure.subplots(rows, 1, squeeze=False, sharey=True)[:, 0]
        for number, axes in enumerate(panels):
            shown = groups[number * columns : (number + 1) * columns]
            for place, group in enumerate(shown):
                own = table[(table["space"] == group[0]) & (table["images"] == group[1])]
                _proxy_bars(axes, place, own, names)
            titles = [f"{space}\n{image_label(images)}" for space, images in shown]
            axes.set_xticks(range(len(shown)), titles)
            axes.set(ylabel="Kendall's τ", xlim=(-0.5, columns - 0.5))
            axes.axhline(0, color="0.4", linewidth=0.8)
            plotting.faint_grid(axes, axis="y")
            axes.set_axisbelow(True)
        keys = [
            plotting.Patch(label=name, facecolor=plotting.colour(place), **_hatched(place))
            for place, name in enumerate(names)
        ]
        if table["published_tau"].notna().any():
            keys.append(
                plotting.Patch(label="published", facecolor="none", edgecolor="0.4", linewidth=1.6)
            )
        plotting.legend_below(figure, keys, across)
    return figure


def _hatched(place: int) -> dict[str, Any]:
    """Bars beyond the number of colours."""
    return {"hatch": "//", "edgecolor": "white"} if place >= len(plotting.COLOURS) else {}


def _proxy_bars(axes: "Axes", place: int, own: "pd.DataFrame", names: Sequence[str]) -> None:
    """The bars of one space and data set: ours filled, the published ones hollow at their right."""
    slot = 0.86 / len(names)
    for row in own.to_dict("records"):
        number = names.index(row["proxy"])
        left = place - 0.43 + number * slot
        own_colour = plotting.colour(number)
        tau, *ends = (np.array([row[name]]) for name in ("tau", "low", "high"))
        axes.bar(
            left,
            tau,
            0.6 * slot,
            align="edge",
            color=own_colour,
            yerr=plotting.error_bars(tau, *ends),
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


SECTION = Section(
    name="proxies",
    title="Scores and their controls",
    reads=("benchmark", "scores"),
    make=make,
    tables=(
        Table(
            "proxies",
            "Scores and their controls",
            "Kendall's tau-b of scores and of their controls with test accuracy, after the NASWOT "
            "paper's Fig. 4, with 95 % bootstrap intervals. All are about the same architectures, "
            "those with an undefined score ranked last. Published figures are of other samples, or "
            "of the whole space.",
            lambda table, _: proxy_layout(table),
            on_page=False,
        ),
    ),
    figures=(
        Figure(
            "proxies",
            lambda inputs, _: proxies(inputs.table("proxies")),
            "Kendall's tau-b of scores and of their controls with test accuracy (the NASWOT "
            "paper's Fig. 4), with 95 % bootstrap intervals; all are about the same architectures, "
            "of which those with an undefined score are ranked last. Hollow: published, of other "
            "samples or of the whole space; the table `proxies` says by whom.",
            joint=True,
        ),
    ),
)

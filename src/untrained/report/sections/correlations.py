"""How well scores rank architectures, beside the published figures; score against accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrained.errors import MissingDataError, ParameterError
from untrained.report import plotting
from untrained.report.correlations import ALL_SAMPLED, FINITE_ONLY, Correlation, correlation_table
from untrained.report.inputs import Inputs
from untrained.report.published import published_rank, with_published
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.summed_ranks import SUMMED_RANKS, with_summed_ranks
from untrained.report.tables import terminal_table, text_of, with_interval
from untrained.report.targets import (
    TWELVE_EPOCHS,
    main_of,
    subsets_of,
    target_of,
    targets_of,
    twelve_epochs,
)
from untrained.scoring.request import parse_reading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawn

Floats = np.typing.NDArray[np.float64]


def make(inputs: Inputs, options: Options) -> tuple[pd.DataFrame, ...]:
    """Correlate every proxy and control with every accuracy of the benchmark."""
    truth, scores = inputs.benchmark, inputs.scores
    table = with_summed_ranks(scores)
    sampled = np.unique(table["arch"].to_numpy(dtype=np.int64))
    images = image_sets(table)
    known: dict[str, pd.Series[float] | dict[str, pd.Series[float]]] = {**controls(inputs, sampled)}
    if truth.short_runs:
        known[TWELVE_EPOCHS] = twelve_epochs(images, truth.accuracies, sampled, inputs.splits)
    found = correlation_table(
        table,
        truth.accuracies,
        subsets_of(sampled, inputs.space.representatives),
        targets_of(images, inputs.splits),
        controls=known,
        lower=lower_is_better(scores),
        **options,
    )
    return (found,)


def image_sets(scores: pd.DataFrame) -> list[str]:
    """The data sets whose images were scored."""
    return [str(name) for name in scores["dataset"].unique()]


def controls(
    inputs: Inputs, sampled: "np.typing.NDArray[np.int64]"
) -> "dict[str, pd.Series[float]]":
    """Parameters and FLOPs of the sampled architectures, where the benchmark has them."""
    costs = inputs.benchmark.costs(main_of(inputs.benchmark.networks)).loc[sampled]
    found = {name: costs[name].astype(float) for name in ("parameters", "flops")}
    return {name: values for name, values in found.items() if not values.isna().any()}


def lower_is_better(scores: pd.DataFrame) -> list[str]:
    """The proxies of a table of scores of which the lower score is better."""
    names = [str(name) for name in scores["proxy"].unique()]
    return [name for name in names if parse_reading(name).direction == "lower"]


def proxy_drawn(scores: pd.DataFrame, proxy: str | None) -> str:
    """The proxy asked for; else the first scored one of those with published figures, or of all."""
    scored = sorted(str(name) for name in scores["proxy"].unique())
    return proxy or min(scored, key=published_rank)


def correlation_layout(
    table: pd.DataFrame, *, digits: int = 3, narrow: bool = False
) -> pd.DataFrame:
    """Lay out a correlation table with its intervals.

    Args:
        table: as `correlations.correlation_table` returns it, with or without the columns that
            `published.with_published` adds.
        digits: decimals of each coefficient.
        narrow: leave out what does not fit into 100 columns of a terminal.
    """
    layout = pd.DataFrame({"proxy": table["proxy"]})
    if not narrow:
        layout["scored on"] = table["images"]
    layout["accuracy"] = table["dataset"] + " " + table["split"]
    layout["subset"] = table["subset"]
    layout["n"] = table["n"].astype(str)
    layout["undefined"] = table["excluded"].astype(str)
    if not narrow:
        layout["seeds"] = ["" if seeds == 0 else str(seeds) for seeds in table["seeds"]]
    coefficients = {"tau": "Kendall's τ"} | ({} if narrow else {"rho": "Spearman's ρ"})
    for name, title in coefficients.items():
        cells = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        layout[title] = [with_interval(*cell, digits=digits) for cell in cells]
    wide = {"tau_seed_std": "std of τ over seeds", "recomputed_tau": "recomputed"}
    for name, title in ({"paper_tau": "paper"} | ({} if narrow else wide)).items():
        if name in table:
            layout[title] = [text_of(value, digits) for value in table[name]]
    return layout


def score_notes(table: pd.DataFrame) -> list[str]:
    """What has to be said of the proxies of a table of scores: which were read on test labels.

    Args:
        table: with a column `proxy`.
    """
    from untrained.scoring.request import shows_test

    return [
        f"{proxy}: read on test images with their labels, as the released code does; its figures "
        "are no prediction"
        for proxy in table["proxy"].unique()
        if shows_test(proxy)
    ]


#: Beyond this many points a vector file would be slow to open.
_RASTERISE_ABOVE = 2000


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
) -> "Drawn":
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
    with plotting.style():
        figure = plotting.Figure(figsize=(3.9 * len(panels), 4.6), layout="constrained")
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
        color=plotting.COLOURS[0],
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
            color=plotting.COLOURS[1],
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


def draw(inputs: Inputs, options: Options) -> "Drawn":
    """Draw score, mean over the seeds, against test accuracy; a panel per data set."""
    from untrained.search.pool import scores_of

    table, correlations = inputs.scores, inputs.table("correlations")
    proxy = proxy_drawn(table, options.get("proxy"))
    panels = []
    for images in image_sets(table):
        _, trained, split = target_of(images, "test", inputs.splits)
        sampled, values = scores_of(table, proxy, images)
        rows = correlations[
            (correlations["proxy"] == proxy)
            & (correlations["images"] == images)
            & (correlations["split"] == split)
            & (correlations["subset"] == ALL_SAMPLED)
        ]
        if rows.empty:
            raise MissingDataError(
                f"the table of correlations lacks {proxy} on {images}: `snakemake report` makes it"
            )
        row = rows.iloc[0]
        found = Correlation(**{name: row[name] for name in Correlation.__dataclass_fields__})
        accuracy = inputs.benchmark.accuracies(trained, split)[sampled]
        panels.append(ScorePanel(images, values.mean(axis=0), accuracy, found))
    return score_against_accuracy(panels, subset=ALL_SAMPLED, score=f"{proxy} score")


def _more(inputs: Inputs) -> str:
    if SUMMED_RANKS not in set(inputs.table("correlations")["proxy"]):
        return ""
    return (
        f"`{SUMMED_RANKS}` is the sum of the ranks by `ntk_condition_number` and `linear_regions` "
        "under each seed, higher for better, over the architectures for which both are defined."
    )


def _show(inputs: Inputs) -> list[Any]:
    table = with_published(inputs.table("correlations"), space=inputs.name)
    comparable = table[table["subset"] == FINITE_ONLY]  # what the paper gives
    title = "Score against accuracy, with 95 % intervals"
    rendered = terminal_table(correlation_layout(comparable, narrow=True), title=title)
    return [rendered, *(f"- {note}" for note in score_notes(comparable))]


def _metrics(inputs: Inputs) -> dict[str, float]:
    table = inputs.table("correlations")
    every = table[table["subset"] == ALL_SAMPLED]
    names = "tau/" + every["proxy"] + "/" + every["images"] + "/" + every["split"]
    return dict(zip(names, every["tau"], strict=True))


SECTION = Section(
    name="correlations",
    title="Rank correlations",
    reads=("benchmark", "scores"),
    options=("resamples", "seed"),
    make=make,
    tables=(
        Table(
            "correlations",
            "Rank correlations",
            "Kendall's tau-b and Spearman's rho between score and accuracy after the full "
            "training, with 95 % bootstrap intervals over architectures. A score is the mean over "
            "the seeds. `naswot` counts rectifiers between input and output once; "
            "`naswot-released` counts as the authors' code does. Undefined scores rank last, "
            "except in the subset of finite ones. `canonical`: one architecture of each class that "
            "computes the same function. `top 10 %`: the most accurate tenth of those scored, for "
            "each accuracy its own. `recomputed` figures are those of the whole space. Tau is that "
            "of the score as it is: negative where lower is better.",
            lambda table, space: correlation_layout(with_published(table, space=space)),
            notes=score_notes,
            more=_more,
        ),
    ),
    figures=(
        Figure(
            "scores",
            draw,
            "Score against test accuracy after the full training (the NASWOT paper's Fig. 3).",
            options=("proxy",),
        ),
    ),
    draws_files=True,
    show=_show,
    metrics=_metrics,
)

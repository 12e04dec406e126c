"""Rank correlations of scores and accuracies beside the published ones; their scatter plot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.errors import MissingDataError
from untrained.images.sets import image_set
from untrained.proxies import PROXIES
from untrained.proxies.ensembles import RULES
from untrained.report import plotting
from untrained.report.inputs import Inputs
from untrained.report.published import published_rank, with_published
from untrained.report.scores import (
    ALL_SAMPLED,
    CANONICAL,
    FINITE_ONLY,
    TOP_TENTH,
    Floats,
    Indices,
    accuracy_label,
    controls,
    image_label,
    image_sets,
    lower_is_better,
    mean_scores,
    most_accurate,
    proxy_drawn,
    proxy_label,
    scores_by_seed,
    short_accuracies,
    standing_in,
    target_of,
    targets_of,
    undefined_last,
    with_accuracy,
)
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.statistics import correlation
from untrained.report.tables import (
    Columns,
    intervals,
    joined,
    lay_out,
    named,
    numbers,
    terminal_table,
    with_interval,
)
from untrained.scoring.ensembles import ensembles_of
from untrained.scoring.request import is_ensemble, name_of

#: The columns of `correlation_table`, in order.
COLUMNS = (
    *("proxy", "images", "dataset", "split", "subset", "seeds", "n", "excluded"),
    *("tau", "tau_low", "tau_high", "rho", "rho_low", "rho_high", "tau_seed_std"),
)

#: With more points than this, a vector file would be slow to open.
_RASTERISE_ABOVE = 2000


def subsets_of(sampled: Indices, representatives: Indices) -> dict[str, Indices]:
    """Return the members of the subsets for which correlations are computed.

    A class of equal architectures (`representatives`) is represented by its scored member with the
    lowest index. Two subsets are selected further in `correlation_table`.
    """
    _, first = np.unique(representatives[sampled], return_index=True)
    canonical = sampled[np.sort(first)]
    return {ALL_SAMPLED: sampled, CANONICAL: canonical, FINITE_ONLY: sampled, TOP_TENTH: sampled}


def correlation_table(inputs: Inputs, options: Options) -> pd.DataFrame:
    """Correlate every proxy and control with every accuracy of the benchmark on every subset.

    The score of an architecture is the mean over its seeds, undefined if the score of any seed is.
    Tau is computed from the unchanged score, so it is negative for a good proxy whose lower scores
    are better. `FINITE_ONLY` drops undefined scores, all other subsets rank them last; `TOP_TENTH`
    keeps the most accurate tenth for each target. Controls are treated like proxies without seeds.
    A control that is also scored as a proxy is left out.

    Returns:
        One row per (target, subset, proxy) with `COLUMNS`: `seeds` is 0 for controls, `excluded`
        counts the undefined architectures of the subset, `tau_seed_std` is the standard deviation
        (ddof 1) of the tau of each seed alone, NaN below two seeds.
    """
    truth = inputs.benchmark
    scores = inputs.scores
    lower = lower_is_better(scores["proxy"])
    sampled = np.unique(scores["arch"].to_numpy(dtype=np.int64))
    subsets = subsets_of(sampled, inputs.space.representatives)
    short = short_accuracies(inputs, sampled)
    rows = []
    for images, dataset, split in targets_of(image_sets(scores), inputs.splits):
        known = controls(inputs, sampled)
        if images in short:
            known[f"accuracy after {truth.short_epochs} epochs"] = short[images]
        scored = scores_by_seed(scores, images)
        beside = {name: one.to_frame() for name, one in known.items() if name not in scored}
        answers = truth.accuracies(dataset, split)
        for subset, members in subsets.items():
            for proxy, by_seed in (scored | beside).items():
                chosen = by_seed[by_seed.index.isin(members)]
                found = _figures(chosen, answers, subset, options, lower=proxy in lower)
                seeds = by_seed.shape[1] if proxy in scored else 0
                head = (proxy, images, dataset, split, subset, seeds)
                rows.append(dict(zip(COLUMNS[:6], head, strict=True)) | found)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _figures(
    by_seed: pd.DataFrame, answers: Floats, subset: str, options: Options, *, lower: bool
) -> dict[str, float]:
    """Compute the figures of one row, from `n` on."""
    from untrained.report.ranks import coefficients, dense_ranks

    values, truth = with_accuracy(by_seed, answers)
    if subset == TOP_TENTH:
        kept = most_accurate(truth)
        values, truth = values[kept], truth[kept]
    undefined = np.isnan(values).any(axis=1)
    if subset == FINITE_ONLY:
        values, truth = values[~undefined], truth[~undefined]
    mean = undefined_last(values.mean(axis=1), lower=lower)
    ranks = dense_ranks(truth)
    single = [
        coefficients(dense_ranks(undefined_last(column, lower=lower)), ranks)[0]
        for column in values.T
    ]
    spread = float(np.std(single, ddof=1)) if len(single) > 1 else float("nan")
    found = correlation(mean, truth, resamples=options["resamples"], seed=options["seed"])
    return found._asdict() | {"excluded": int(undefined.sum()), "tau_seed_std": spread}


def correlation_layout(
    table: pd.DataFrame, *, brief: bool = False, narrow: bool = False
) -> pd.DataFrame:
    """Lay out a table of correlations `with_published` ones; brief for pages, narrow for shells."""
    columns: Columns = {
        "proxy": named("proxy", proxy_label),
        "scored on": "images",
        "accuracy": joined("dataset", "split"),
        "subset": "subset",
        "n": "n",
        "undefined": "excluded",
        "seeds": named("seeds", lambda count: str(count or "")),
        "Kendall's τ": intervals("tau", digits=3),
        "Spearman's ρ": intervals("rho", digits=3),
        "paper": numbers("paper_tau", 3),
        "std of τ over seeds": numbers("tau_seed_std", 3),
        "recomputed": numbers("recomputed_tau", 3),
    }
    wide = ("seeds", "Spearman's ρ", "std of τ over seeds", "recomputed")
    left_out = (*wide, *(["scored on"] if narrow else [])) if brief or narrow else ()
    return lay_out(table, columns, but=left_out)


def score_notes(table: pd.DataFrame) -> list[str]:
    """Return a note for each proxy of a table that was computed with test labels."""
    from untrained.scoring.request import shows_test

    return [
        f"{proxy_label(proxy)}: read on test images with their labels, as the released code does; "
        "its figures are no prediction"
        for proxy in table["proxy"].unique()
        if shows_test(proxy)
    ]


@dataclass(frozen=True)
class ScorePanel:
    """One panel of `score_against_accuracy`.

    Attributes:
        images: the images that were scored, and which ones they stand in for.
        accuracy_label: data set, split and epochs of the accuracies.
        scores: (n,), NaN or infinite where undefined.
        accuracy: (n,), percent.
        tau: Kendall's tau over all of them with its interval, as text.
        top_tau: the same over the most accurate tenth.
    """

    images: str
    accuracy_label: str
    scores: Floats
    accuracy: Floats
    tau: str
    top_tau: str


@plotting.style()
def score_against_accuracy(
    panels: Sequence[ScorePanel], *, score: str = "score", members: str = "architectures"
) -> "plotting.Figure":
    """Draw accuracy against score, one panel per data set (Mellor et al. 2021, Fig. 3).

    Architectures with an undefined score are dashes along the left edge. Below each panel the most
    accurate tenth is enlarged.
    """
    size = (4.6 * len(panels) + 0.4, 7.6)
    figure, rows = plotting.panels(2, len(panels), size, height_ratios=[3, 2])
    for axes, top, panel in zip(*rows, panels, strict=True):
        _score_panel(axes, panel, f"{panel.images}\nall {len(panel.accuracy)} {members}")
        _top_panel(top, panel)
        axes.indicate_inset(_around(top), inset_ax=top, edgecolor="0.5")
        top.set_xlabel(score)
    return figure


def _score_panel(axes: "plotting.Axes", panel: ScorePanel, title: str) -> None:
    finite = np.isfinite(panel.scores)
    _points(axes, panel, finite)
    lost = panel.accuracy[~finite]
    if len(lost):
        _rug(axes, lost)
        # above the lowest row, which holds the cells without a path from input to output
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.08), handletextpad=0.2, fontsize=12)
        axes.margins(x=0.1)
    axes.set_title(f"{title}\nτ = {panel.tau}")
    axes.set_ylabel(panel.accuracy_label, fontsize=12)
    axes.locator_params(axis="x", nbins=4)


def _top_panel(axes: "plotting.Axes", panel: ScorePanel) -> None:
    kept = most_accurate(panel.accuracy)
    finite = np.isfinite(panel.scores)
    _points(axes, panel, kept & finite)
    if (kept & ~finite).any():
        _rug(axes, panel.accuracy[kept & ~finite])
    axes.set_title(f"top 10 %, n = {kept.sum()}\nτ = {panel.top_tau}", fontsize=12)
    axes.locator_params(nbins=4)


def _around(axes: "plotting.Axes") -> tuple[float, float, float, float]:
    """Return what a panel shows, as (x, y, width, height)."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    return left, low, right - left, high - low


def _points(axes: "plotting.Axes", panel: ScorePanel, shown: npt.NDArray[np.bool_]) -> None:
    # more points are drawn fainter and smaller, so that their density stays visible
    crowd = max(int(shown.sum()), 1)
    axes.scatter(
        panel.scores[shown],
        panel.accuracy[shown],
        s=12 if crowd <= _RASTERISE_ABOVE else 5,
        color=plotting.COLOURS[0],
        alpha=float(np.clip(12 / np.sqrt(crowd), 0.1, 0.8)),
        linewidths=0,
        rasterized=crowd > _RASTERISE_ABOVE,
    )


def _rug(axes: "plotting.Axes", accuracy: Floats) -> None:
    """Draw undefined scores as dashes along the left edge."""
    axes.plot(
        np.full(len(accuracy), 0.015),
        accuracy,
        linestyle="none",
        marker="_",
        markersize=11,
        markeredgewidth=1.2,
        color=plotting.COLOURS[1],
        alpha=0.6,
        transform=axes.get_yaxis_transform(),
        label=f"undefined ({len(accuracy)})",
    )


def draw(inputs: Inputs, options: Options) -> "plotting.Figure":
    """Draw test accuracy against the mean score over the seeds, a panel per data set."""
    table, correlations = inputs.scores, inputs.table("correlations")
    proxy = proxy_drawn(table, options.get("proxy"))
    known = correlations.set_index(["proxy", "images", "split", "subset"])
    panels = []
    for images in image_sets(table):
        _, trained, split = target_of(images, "test", inputs.splits)
        scores = mean_scores(table, proxy, images)
        taus = []
        for subset in (ALL_SAMPLED, TOP_TENTH):
            key: Any = (proxy, images, split, subset)
            if key not in known.index:
                raise MissingDataError(
                    f"the table of correlations lacks {proxy} on {images}: `snakemake report` "
                    "makes it"
                )
            row = known.loc[key]
            tau = with_interval(row["tau"], row["tau_low"], row["tau_high"])
            taus.append(tau or "undefined")
        accuracy = inputs.benchmark.accuracies(trained, split)[scores.index]
        trained_on = ~np.isnan(accuracy)
        panels.append(
            ScorePanel(
                f"images of {standing_in(images)}",
                accuracy_label(inputs, images, "test"),
                np.asarray(scores)[trained_on],
                accuracy[trained_on],
                *taus,
            )
        )
    members = inputs.space.words.members
    return score_against_accuracy(panels, score=f"{proxy_label(proxy)} score", members=members)


def _more(inputs: Inputs) -> str:
    table = inputs.table("correlations")
    names = [str(name) for name in table["proxy"].unique()]
    proxies = dict.fromkeys(table["proxy"][table["seeds"] > 0])
    scored = dict.fromkeys(name if is_ensemble(name) else name_of(name) for name in proxies)
    told = [
        f"`{proxy_label(name)}`: {PROXIES.load(name).summary}."
        for name in scored
        if not is_ensemble(name)
    ]
    if any(name.endswith("-released") for name in names):
        told.append("Variants `released` compute what the authors' code does.")
    ensembles = ensembles_of(filter(is_ensemble, scored))
    told += [f"`{one.name}` is {one.formula}." for one in ensembles if one.name]
    rules = dict.fromkeys(one.rule for one in ensembles)
    told += [f"`{rule}` is the {RULES[rule].summary}." for rule in rules]
    if ensembles:
        told.append(
            "Ranks are those by the members under each seed, from 1, the worst, to n, over the "
            "architectures for which all members are defined; the others have no score."
        )
    return " ".join(told)


def _show(inputs: Inputs) -> list[Any]:
    table = with_published(inputs.table("correlations"), space=inputs.name)
    comparable = table[table["subset"] == FINITE_ONLY]  # the subset that the paper reports
    title = "Score against accuracy, with 95 % intervals"
    rendered = terminal_table(correlation_layout(comparable, narrow=True), title=title)
    return [rendered, *(f"- {note}" for note in score_notes(comparable))]


def _metrics(inputs: Inputs) -> dict[str, float]:
    table = inputs.table("correlations")
    every = table[table["subset"] == ALL_SAMPLED]
    names = "tau/" + every["proxy"] + "/" + every["images"] + "/" + every["split"]
    scores = inputs.scores.groupby(["proxy", "dataset"], sort=False)["score"].mean().reset_index()
    means = "score/" + scores["proxy"] + "/" + scores["dataset"]
    return dict(zip([*means, *names], [*scores["score"], *every["tau"]], strict=True))


def _sentences(inputs: Inputs) -> list[str]:
    """Say how the score and the best control agree with accuracy, and among the best networks."""
    table = inputs.table("correlations")
    scored = table[(table["seeds"] > 0) & table["split"].str.endswith("test")]
    if scored.empty:
        return []
    proxy = min(sorted(scored["proxy"].unique()), key=published_rank)
    images = inputs.main(scored["images"].unique())
    own = table[(table["images"] == images) & table["split"].str.endswith("test")]
    every, best = (own[own["subset"] == subset] for subset in (ALL_SAMPLED, TOP_TENTH))
    members = inputs.space.words.members
    said = []
    for row in every[every["proxy"] == proxy].to_dict("records"):
        seeds = f"mean over {row['seeds']} seeds" if row["seeds"] > 1 else "one seed"
        said.append(
            f"Over all {row['n']} scored {members}, `{proxy_label(proxy)}` ({seeds}) has Kendall's "
            f"tau {_interval(row)} with the {_accuracy(row)}."
        )
    controls = every[(every["seeds"] == 0) & every["tau"].notna()]
    if len(controls):
        row = max(controls.to_dict("records"), key=lambda row: abs(row["tau"]))
        said.append(f"The best control there is `{row['proxy']}`, with {_interval(row)}.")
    known = best[(best["proxy"] == proxy) & best["tau"].notna()]
    for row in known.to_dict("records"):
        unclear = row["tau_low"] <= 0 <= row["tau_high"]
        said.append(
            f"Among the most accurate tenth, {row['n']} {members}, the tau of "
            f"`{proxy_label(proxy)}` is {_interval(row)}"
            + (", which can't be told from 0." if unclear else ".")
        )
    return said


def _interval(row: Mapping[Any, Any]) -> str:
    text = with_interval(row["tau"], row["tau_low"], row["tau_high"], 3)
    return text or "that is undefined"


def _accuracy(row: Mapping[Any, Any]) -> str:
    measured = image_label(image_set(row["images"]).measured_as)
    return f"{measured} test accuracy (95 % bootstrap intervals)"


SECTION = Section(
    name="correlations",
    reads=("benchmark", "scores"),
    options=("resamples", "seed", "proxy"),
    tables=(
        Table(
            "correlations",
            correlation_table,
            "Rank correlations",
            "Kendall's tau-b and Spearman's rho between score and accuracy after the full "
            "training, with 95 % bootstrap intervals over architectures. A score is the mean over "
            "the seeds. Undefined scores rank last, except in the subset `finite only`. "
            "`canonical`: one architecture of each class that computes the same function. `top 10 "
            "%`: the most accurate tenth of the scored architectures, chosen for each accuracy. "
            "`recomputed`: of the whole space, from published data. Tau is that of the unchanged "
            "score, so it is negative where lower is better.",
            lambda table, space: correlation_layout(with_published(table, space=space)),
            notes=score_notes,
            more=_more,
            brief=lambda table, space: correlation_layout(
                with_published(table, space=space), brief=True
            ),
        ),
    ),
    figures=(
        Figure(
            "scores",
            draw,
            "Score against test accuracy after the full training (the NASWOT paper's Fig. 3), with "
            "Kendall's tau over all scored {members}. Below: the most accurate tenth, with its own "
            "tau.",
        ),
    ),
    show=_show,
    metrics=_metrics,
    sentences=_sentences,
)

"""The options in the best architectures of each score (TE-NAS's Fig. 2 D)."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from untrained.errors import ParameterError
from untrained.report import plotting
from untrained.report.inputs import Inputs
from untrained.report.options import check_best
from untrained.report.published import published
from untrained.report.scores import (
    ALL_SAMPLED,
    Floats,
    Indices,
    controls,
    image_label,
    image_sets,
    lower_is_better,
    proxy_label,
    scores_by_seed,
    target_of,
    undefined_last,
)
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.statistics import interval, resample_counts
from untrained.report.tables import with_interval
from untrained.spaces.base import Words

#: The columns of `preference_table`, in order.
COLUMNS = (
    *("proxy", "images", "fraction", "architectures", "best", "option"),
    *("share", "share_low", "share_high", "paper_share"),
)

#: Name of the rows on the architectures with the best accuracy.
ACCURACY: Final = "accuracy"

#: Resamples that are counted together; more would need much memory on a whole space.
_AT_ONCE = 64


def kept_among_best(values: Floats, counts: Indices, fraction: float) -> Indices:
    """Return how often each architecture is among the best of each resample.

    The best are those that less than `fraction` of the resample surpass, so ties at the border are
    all included.

    Args:
        values: (n,) higher is better; -inf is never among the best.
        counts: (resamples, n) how often each occurs in each resample.
        fraction: above 0, at most 1.

    Returns:
        (resamples, n) counts, 0 for architectures that are not among the best.
    """
    order = np.argsort(-values, kind="stable")
    ranked = -values[order]
    drawn = counts[:, order]
    before = np.cumsum(drawn, axis=1) - drawn
    surpassing = before[:, np.searchsorted(ranked, ranked, side="left")]
    # a floating-point product may miss a whole number by rounding
    border = fraction * drawn.sum(axis=1, keepdims=True) - 1e-9
    kept = np.zeros_like(counts)
    kept[:, order] = np.where((surpassing < border) & (ranked < np.inf), drawn, 0)
    return kept


def preference_table(inputs: Inputs, options: Options) -> pd.DataFrame:
    """Compute the share of each option in the decisions of the best architectures by a score.

    The score of an architecture is the mean over its seeds. If it is undefined for any seed, the
    architecture counts towards the total but is not among the best. Intervals are 95 % percentile
    bootstrap intervals over the scored architectures; the best are chosen within each resample.

    Returns:
        One row per target, proxy and option with `COLUMNS`: of the
        `architectures`, the `best` ones (including ties) have the option in this `share` of their
        decisions; `paper_share` is the published one. The last proxies of each target are
        `ACCURACY` and `ALL_SAMPLED`, for which all architectures count as the best.

    Raises:
        ParameterError: the fraction of the `best` is not above 0 and at most 1, or the
            architectures of the space are not made of the same choices.
    """
    from untrained.search.choices import choices_of

    space, best, resamples = inputs.space, options["best"], options["resamples"]
    if not space.ordered or not space.option_order:
        raise ParameterError(
            f"{inputs.name} is not made of the same choices everywhere: there is nothing to count"
        )
    check_best(best)
    known = published("preferences")
    known = known[known["space"] == inputs.name].set_index(["proxy", "images", "option"])
    decisions = choices_of(space).codes
    shares = np.stack([(decisions == k).mean(axis=1) for k in range(len(space.option_order))], 1)
    scores = inputs.scores
    rows = []
    for images in image_sets(scores):
        answers = inputs.benchmark.accuracies(*target_of(images, "test", inputs.splits)[1:])
        tables = scores_by_seed(scores, images)
        sampled = np.unique(np.concatenate([table.index for table in tables.values()]))
        counts = resample_counts(len(sampled), resamples=resamples, seed=options["seed"])
        candidates = _candidates(tables, controls(inputs, sampled), sampled)
        candidates |= {
            ACCURACY: undefined_last(answers[sampled]),
            ALL_SAMPLED: np.zeros(len(sampled)),
        }
        for proxy, values in candidates.items():
            kept = kept_among_best(values, np.ones((1, len(sampled)), np.int64), best)
            draws = [
                _shares(kept_among_best(values, some, best), shares[sampled])
                for some in np.array_split(counts, -(-resamples // _AT_ONCE))
            ]
            figures = (_shares(kept, shares[sampled])[0], *interval(np.concatenate(draws)))
            names = space.option_order
            paper = [known["percent"].get((proxy, images, name), np.nan) / 100 for name in names]
            head = (proxy, images, best, len(sampled), int(kept.sum()))
            rows += [(*head, *cells) for cells in zip(names, *figures, paper, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _candidates(
    tables: Mapping[str, pd.DataFrame], known: "Mapping[str, pd.Series[float]]", sampled: Indices
) -> dict[str, Floats]:
    """Return values by which the best are chosen: higher is better, undefined lowest."""
    lower = lower_is_better(tables)
    series = {name: table.mean(axis=1, skipna=False) for name, table in tables.items()}
    size = {name: costs for name, costs in known.items() if name == "parameters"}
    every = series | size | series
    return {
        name: undefined_last((-1 if name in lower else 1) * own.reindex(sampled).to_numpy(float))
        for name, own in every.items()
    }


def _shares(kept: Indices, used: Floats) -> Floats:
    """Return the mean share of each option (resamples, options) over those kept (resamples, n)."""
    with np.errstate(invalid="ignore"):  # 0 / 0: nothing is defined
        shares: Floats = (kept @ used) / kept.sum(axis=1, keepdims=True)
    return shares


def preference_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out the shares of options in percent, with a row per proxy and a column per option."""
    rows = []
    for (proxy, images), own in table.groupby(["proxy", "images"], sort=False):
        first = own.iloc[0]
        row = {"proxy": proxy_label(str(proxy)), "scored on": images}
        row["best"] = f"{first['best']} of {first['architectures']}"
        percent = 100 * own[["share", "share_low", "share_high", "paper_share"]]
        for option, (share, low, high, paper) in zip(
            own["option"], percent.to_numpy(), strict=True
        ):
            beside = "" if pd.isna(paper) else f" (published {paper:.1f})"
            row[option] = with_interval(share, low, high, 1) + beside
        rows.append(row)
    return pd.DataFrame(rows)


@plotting.style()
def preferences(table: pd.DataFrame, words: Words) -> "plotting.Figure":
    """Draw the options in the best architectures (Chen et al. 2021, Fig. 2 D).

    A panel per data set of the images shows for each option the share by every proxy with its 95 %
    interval; published shares are hollow.
    """
    images, proxies = table["images"].unique(), table["proxy"].unique()
    options = list(table["option"].unique())
    figure, rows = plotting.panels(len(images), 1, (11, 4.2 * len(images) + 0.8))
    for axes, name in zip(rows[:, 0], images, strict=True):
        for place, proxy in enumerate(proxies):
            own = table[(table["images"] == name) & (table["proxy"] == proxy)]
            shift = 0.8 * ((place + 0.5) / len(proxies) - 0.5)
            at = np.array([options.index(one) for one in own["option"]]) + shift
            _preferred(axes, at, own, place)
        own = table[table["images"] == name].iloc[0]
        title = f"{image_label(name)}: the best {own['best']} of {own['architectures']}"
        axes.set(title=title, ylabel=f"share of {words.places} (%)")
        axes.set_xlim(-0.5, len(options) - 0.5)
        axes.set_ylim(bottom=0)
        axes.set_xticks(range(len(options)), options)
        if all(option.isdecimal() for option in options):
            axes.set_xlabel(words.options)  # numbers alone need an explanation
        plotting.faint_grid(axes, axis="y")
    keys = plotting.keys(map(proxy_label, proxies), 8, linestyle="none")
    if table["paper_share"].notna().any():
        keys.append(plotting.source_key("published", "none"))
    plotting.legend_below(figure, keys, 4)
    return figure


def _preferred(axes: "plotting.Axes", at: Floats, own: pd.DataFrame, place: int) -> None:
    percent = 100 * own[["share", "share_low", "share_high"]].to_numpy(dtype=np.float64)
    settings: dict[str, Any] = plotting.look(place, 8) | {"linestyle": "none"}
    axes.errorbar(at, percent[:, 0], yerr=plotting.error_bars(*percent.T), capsize=3, **settings)
    published = 100 * own["paper_share"].to_numpy(dtype=np.float64)
    axes.plot(at, published, fillstyle="none", markeredgewidth=1.6, **settings)


def _more(inputs: Inputs) -> str:
    found = inputs.table("preferences")
    text = f"The best are {100 * float(found['fraction'].iloc[0]):g} % of the scored ones."
    if found["paper_share"].notna().any():
        text += (
            " Published: TE-NAS's Fig. 2 (D), which does not state the number of architectures and "
            "whose shares do not sum to 100 %."
        )
    return text


SECTION = Section(
    name="preferences",
    reads=("benchmark", "scores"),
    options=("resamples", "seed", "best"),
    applies=lambda space, _: space.ordered,
    tables=(
        Table(
            "preferences",
            preference_table,
            "{options} that scores prefer",
            "The {options} at the {places} of the {members} with the best scores, in percent of "
            "these {places}, with 95 % bootstrap intervals over the scored {members}. Ties are all "
            "included. `accuracy`: the best by test accuracy. `all sampled`: all scored {members}.",
            lambda table, _: preference_layout(table),
            more=_more,
        ),
    ),
    figures=(
        Figure(
            "preferences",
            lambda inputs, _: preferences(inputs.table("preferences"), inputs.space.words),
            "The {options} of the best {members} by each score (TE-NAS's Fig. 2 D), with 95 % "
            "bootstrap intervals. Published shares are hollow.",
        ),
    ),
)

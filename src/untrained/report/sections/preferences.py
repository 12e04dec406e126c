"""What the best architectures of a score are made of (TE-NAS's Fig. 2 D)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.errors import ParameterError, unknown_name
from untrained.report import plotting
from untrained.report.correlations import ALL_SAMPLED, scores_by_seed, undefined_last
from untrained.report.inputs import Inputs
from untrained.report.published import published
from untrained.report.resampling import interval, resample_counts
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.sections.correlations import controls, image_sets, lower_is_better
from untrained.report.summed_ranks import with_summed_ranks
from untrained.report.tables import with_interval
from untrained.report.targets import target_of
from untrained.spaces.base import Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawn

#: The columns of `preference_table`, in order.
COLUMNS = (
    *("proxy", "images", "fraction", "architectures", "best", "option"),
    *("share", "share_low", "share_high", "paper_share"),
)


#: The row of what the truly best use.
ACCURACY: Final = "accuracy"


#: Resamples that are counted together: more need much memory on a whole space.
_AT_ONCE = 64

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def make(inputs: Inputs, options: Options) -> tuple[pd.DataFrame, ...]:
    """Count the options of the best by every score."""
    from untrained.search.choices import Ordered, choices_of

    space = inputs.space
    if not space.ordered or not isinstance(space, Ordered):
        raise ParameterError(
            f"{inputs.name} is not made of the same choices everywhere: there is nothing to count"
        )
    table = with_summed_ranks(inputs.scores)
    sampled = np.unique(table["arch"].to_numpy(dtype=np.int64))
    found = preference_table(
        table,
        inputs.benchmark.accuracies,
        [target_of(name, "test", inputs.splits) for name in image_sets(table)],
        choices_of(space).codes,
        space.option_order,
        space=inputs.name,
        controls={"parameters": controls(inputs, sampled)["parameters"]},
        lower=lower_is_better(inputs.scores),
        fraction=options.get("best", 0.1),
        **{name: value for name, value in options.items() if name != "best"},
    )
    return (found,)


def kept_among_best(values: Floats, counts: Integers, fraction: float) -> Integers:
    """How many times each architecture is among the best of each resample.

    The best are those that less than `fraction` of the resample surpass: equals at the border are
    all in.

    Args:
        values: (n,) higher is better; -inf is never among the best.
        counts: (resamples, n) how many times each is in each resample.
        fraction: above 0, at most 1.

    Returns:
        (resamples, n) counts, 0 for those that are not.
    """
    order = np.argsort(-values, kind="stable")
    ranked = -values[order]
    drawn = counts[:, order]
    before = np.cumsum(drawn, axis=1) - drawn
    surpassing = before[:, np.searchsorted(ranked, ranked, side="left")]
    # A product of binary fractions may miss a whole number by a rounding.
    border = fraction * drawn.sum(axis=1, keepdims=True) - 1e-9
    kept = np.zeros_like(counts)
    kept[:, order] = np.where((surpassing < border) & (ranked < np.inf), drawn, 0)
    return kept


def preference_table(
    scores: pd.DataFrame,
    accuracy: Callable[[str, str], Floats],
    targets: Sequence[tuple[str, str, str]],
    decisions: Integers,
    options: Sequence[str],
    *,
    space: str = "nasbench201",
    controls: Mapping[str, "pd.Series[float]"] | None = None,
    lower: Collection[str] = (),
    fraction: float = 0.1,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """The share of each option over the decisions of the architectures that a score prefers.

    On NAS-Bench-201 that is of operations over edges, in the size space of widths over layers.

    The score of an architecture is the mean over its seeds; where that of any is undefined, it is
    not among the best, but it is one of those that a fraction is taken of. Intervals are 95 %
    percentile bootstrap intervals: scored architectures are drawn with replacement, and the best of
    each resample are its own.

    Args:
        scores: as `correlations.correlation_table` takes them.
        accuracy: likewise.
        targets: (data set of the images, data set of the benchmark, split), one for each data set
            of the images: what the truly best are taken by, in the rows `accuracy`.
        decisions: (n, decisions) number of the option that each takes by architecture index.
        options: their names.
        space: that the published shares are looked up for.
        controls: name to a series by architecture index, higher is better, as if it were a proxy;
            where a proxy of that name is scored, it is that.
        lower: proxies of which the lower score is better.
        fraction: of the architectures that count as the best, above 0 and at most 1.
        resamples: of every interval.
        seed: of the resampling.

    Returns:
        One row per target, proxy and option with `COLUMNS`: of so many `architectures`, the
        `best` ones (more than the fraction, where several are equal) have the option at this
        `share` of their decisions; `paper_share` is the published one. The last proxy of each
        target is `correlations.ALL_SAMPLED`, of which all are the best.

    Raises:
        UnknownNameError: no scores on the image data set of a target.
        MissingDataError: some architectures lack the scores of some seeds.
        ParameterError: a fraction out of range, no resamples, or two scores for one architecture,
            proxy, data set and seed.
    """
    if not 0 < fraction <= 1:
        raise ParameterError(f"fraction {fraction} of the best: give more than 0 and at most 1")
    known = published("preferences")
    known = known[known["space"] == space]
    shares_known = known.set_index(["proxy", "images", "option"])["percent"] / 100
    images_scored = [str(name) for name in scores["dataset"].unique()]
    used = np.stack([(decisions == number).mean(axis=1) for number in range(len(options))], axis=1)
    rows = []
    for images, *column in targets:
        if images not in images_scored:
            raise unknown_name("scored data set", images, images_scored)
        own = scores[scores["dataset"] == images]
        sampled = np.unique(own["arch"].to_numpy(dtype=np.int64))
        candidates = {
            name: _upwards(table.mean(axis=1, skipna=False).reindex(sampled), lower=name in lower)
            for name, table in scores_by_seed(own).items()
        }
        for name, series in (controls or {}).items():
            if name not in candidates:
                candidates[name] = _upwards(series.reindex(sampled))
        answers: Floats = np.asarray(accuracy(*column), dtype=np.float64)
        candidates[ACCURACY] = _upwards(pd.Series(answers).reindex(sampled))
        candidates[ALL_SAMPLED] = np.zeros(len(sampled))
        counts = resample_counts(len(sampled), resamples=resamples, seed=seed)
        for proxy, values in candidates.items():
            kept = kept_among_best(values, np.ones((1, len(sampled)), np.int64), fraction)
            shares = _shares(kept, used[sampled])[0]
            draws = [
                _shares(kept_among_best(values, some, fraction), used[sampled])
                for some in np.array_split(counts, -(-resamples // _AT_ONCE))
            ]
            low, high = interval(np.concatenate(draws))
            head = (proxy, images, fraction, len(sampled), int(kept.sum()))
            for place, option in enumerate(options):
                paper = shares_known.get((proxy, images, option), np.nan)
                figures = (shares[place], low[place], high[place], paper)
                rows.append((*head, option, *figures))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _upwards(scores: "pd.Series[float]", *, lower: bool = False) -> Floats:
    """Scores with the better higher, what is undefined lowest."""
    values: Floats = np.asarray(scores, dtype=np.float64)
    return undefined_last(-values if lower else values)


def _shares(kept: Integers, used: Floats) -> Floats:
    """Mean share of each option (resamples, options) of those kept (resamples, n)."""
    with np.errstate(invalid="ignore"):  # 0 / 0: nothing is defined
        shares: Floats = (kept @ used) / kept.sum(axis=1, keepdims=True)
    return shares


def preference_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out the shares of options in percent, a row per proxy and a column per option.

    Args:
        table: as `preferences.preference_table` returns it.
    """
    rows = []
    for (proxy, images), own in table.groupby(["proxy", "images"], sort=False):
        first = own.iloc[0]
        row = {"proxy": proxy, "scored on": images}
        row["best"] = f"{first['best']} of {first['architectures']}"
        columns = ("share", "share_low", "share_high", "paper_share")
        percent = zip(*(100 * own[name] for name in columns), strict=True)
        for option, (share, low, high, paper) in zip(own["option"], percent, strict=True):
            beside = "" if pd.isna(paper) else f" (published {paper:.1f})"
            row[option] = with_interval(share, low, high, 1) + beside
        rows.append(row)
    return pd.DataFrame(rows)


def preferences(table: "pd.DataFrame", words: Words) -> "Drawn":
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
    images = plotting.distinct(table["images"])
    proxies = plotting.distinct(table["proxy"])
    options = plotting.distinct(table["option"])
    with plotting.style():
        figure = plotting.Figure(figsize=(11, 4.2 * len(images) + 0.8), layout="constrained")
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
            plotting.faint_grid(axes, axis="y")
        keys = [
            plotting.Line2D([], [], linestyle="none", label=proxy, **plotting.look(place, 8))
            for place, proxy in enumerate(proxies)
        ]
        if table["paper_share"].notna().any():
            keys.append(plotting.source_key("published", "none"))
        plotting.legend_below(figure, keys, 4)
    return figure


def _preferred(axes: "Axes", at: Floats, own: "pd.DataFrame", place: int) -> None:
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
            " Published: TE-NAS's Fig. 2 (D), which does not say of how many architectures; its "
            "shares do not sum to 100 %."
        )
    return text


SECTION = Section(
    name="preferences",
    title="What scores prefer",
    reads=("benchmark", "scores"),
    options=("resamples", "seed", "best"),
    applies=lambda space, _: space.ordered,
    make=make,
    tables=(
        Table(
            "preferences",
            "{options} that scores prefer",
            "The {options} at the {places} of the {members} with the best scores, in percent of "
            "these {places}, with 95 % bootstrap intervals over what was scored. Ties are all "
            "included. `accuracy` takes the truly best by test accuracy, `all sampled` every "
            "scored one.",
            lambda table, _: preference_layout(table),
            more=_more,
        ),
    ),
    figures=(
        Figure(
            "preferences",
            lambda inputs, _: preferences(inputs.table("preferences"), inputs.space.words),
            "The {options} of the best {members} by each score (TE-NAS's Fig. 2 D), with 95 % "
            "bootstrap intervals. Hollow, where there are any: published.",
        ),
    ),
)

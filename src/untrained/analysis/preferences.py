"""What the best architectures of a score are made of (TE-NAS's Fig. 2 D)."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.analysis.correlations import ALL_SAMPLED, scores_by_seed, undefined_last
from untrained.analysis.published import published
from untrained.analysis.resampling import interval, resample_counts
from untrained.errors import ParameterError, unknown_name

#: The columns of `preference_table`, in order.
COLUMNS = (
    *("proxy", "images", "fraction", "architectures", "best", "option"),
    *("share", "share_low", "share_high", "paper_share"),
)
#: The row of what the truly best use.
ACCURACY: Final = "accuracy"


@dataclass(frozen=True)
class Words:
    """What a report calls the parts of the architectures of a space, in the plural.

    Attributes:
        members: the architectures.
        options: what is counted.
        places: what takes one option each.
    """

    members: str = "architectures"
    options: str = "options"
    places: str = "decisions"


_WORDS = {
    "nasbench101": Words(members="cells"),
    "nasbench201": Words("cells", "operations", "edges"),
    "natsbench_size": Words("networks", "widths", "layers"),
}

#: Resamples that are counted together: more need much memory on a whole space.
_AT_ONCE = 64

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def words_of(space: str) -> Words:
    """What a report calls the parts of a space; general words where it has none of its own."""
    return _WORDS.get(space, Words())


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

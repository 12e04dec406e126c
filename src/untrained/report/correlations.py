"""How well a score ranks architectures: Kendall's tau-b and Spearman's rho with their intervals."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.errors import MissingDataError, ParameterError, unknown_name

#: Every scored architecture; undefined scores are ranked last, all equal.
ALL_SAMPLED = "all sampled"
#: One architecture of each class that computes the same function; undefined ranked last.
CANONICAL = "canonical"
#: The only subset from which architectures with an undefined score are dropped.
FINITE_ONLY = "finite only"
#: The tenth with the highest accuracy in the column that is correlated; undefined ranked last.
TOP_TENTH = "top 10 %"

#: The columns of `correlation_table`, in order.
COLUMNS = (
    *("proxy", "images", "dataset", "split", "subset", "seeds", "n", "excluded"),
    *("tau", "tau_low", "tau_high", "rho", "rho_low", "rho_high", "tau_seed_std"),
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """Rank correlation of scores and accuracies, with 95 % percentile bootstrap intervals.

    All but `n` are NaN where the correlation is undefined: fewer than three architectures, or a
    constant vector.

    Attributes:
        tau: Kendall's tau-b.
        tau_low: lower end of its interval.
        tau_high: upper end of its interval.
        rho: Spearman's rho.
        rho_low: lower end of its interval.
        rho_high: upper end of its interval.
        n: number of architectures.
    """

    tau: float
    tau_low: float
    tau_high: float
    rho: float
    rho_low: float
    rho_high: float
    n: int


def correlation(
    scores: npt.ArrayLike, accuracy: npt.ArrayLike, *, resamples: int = 1000, seed: int
) -> Correlation:
    """Correlate the ranks of scores and accuracies.

    The interval is the percentile bootstrap over architectures (Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993, section 13.3): pairs are drawn with replacement, and both
    coefficients are computed anew from each resample, its own ties included.

    Args:
        scores: shape (n,), higher is better; infinite values rank as they compare.
        accuracy: shape (n,).
        resamples: number of bootstrap resamples.
        seed: seed of the resampling; equal `n` and `seed` give equal resamples, so intervals of
            several scores on the same architectures are paired.

    Raises:
        ParameterError: unequal shapes, NaN among the values, or no resamples.
    """
    from untrained.report.ranks import coefficients, dense_ranks, resampled_coefficients

    x, y = _vector("scores", scores), _vector("accuracies", accuracy)
    if len(x) != len(y):
        raise ParameterError(f"{len(x)} scores and {len(y)} accuracies: give one for each other")
    if resamples < 1:
        raise ParameterError(f"resamples = {resamples}: give at least 1")
    x_rank, y_rank = dense_ranks(x), dense_ranks(y)
    tau, rho = coefficients(x_rank, y_rank)
    if np.isnan(tau):
        return Correlation(*(float("nan"),) * 6, n=len(x))
    draws = resampled_coefficients(
        x_rank, y_rank, resamples=resamples, generator=np.random.default_rng(seed)
    )
    # A small sample can be constant by chance of the draw: such a resample says nothing. If all
    # are, the interval stays undefined.
    draws = draws[~np.isnan(draws).any(axis=1)]
    low, high = (
        np.quantile(draws, [0.025, 0.975], axis=0) if len(draws) else np.full((2, 2), np.nan)
    )
    return Correlation(
        tau, float(low[0]), float(high[0]), rho, float(low[1]), float(high[1]), n=len(x)
    )


def correlation_table(
    scores: pd.DataFrame,
    accuracy: Callable[[str, str], Floats],
    subsets: Mapping[str, npt.ArrayLike],
    targets: Sequence[tuple[str, str, str]],
    *,
    controls: Mapping[str, "pd.Series[float] | Mapping[str, pd.Series[float]]"] | None = None,
    lower: Collection[str] = (),
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Correlate every proxy with every target on every subset.

    The score of an architecture is the mean over its seeds; it is undefined if that of any seed
    is (status other than `ok`, or not finite).

    Args:
        scores: columns `arch`, `proxy`, `dataset` (of the images scored on), `seed`, `score`
            (as it is, so tau is negative of a good one whose lower scores are better), `status`;
            one row per architecture, proxy, data set and seed.
        accuracy: (benchmark data set, split) to accuracies by architecture index; architectures
            whose accuracy is NaN are left out.
        subsets: name to architecture indices, of which those that were scored count. In
            `FINITE_ONLY` undefined scores are dropped, in all others ranked last; of `TOP_TENTH`
            the most accurate tenth is taken, for each target its own.
        targets: (data set of the images, data set of the benchmark, split).
        controls: name to a series by architecture index (`parameters`, `flops`), or to one for
            each data set of images, correlated as if it were a proxy without seeds; where a proxy
            of that name is scored, it is that.
        lower: proxies of which the lower score is better; to rank last is to be highest there.
        resamples: bootstrap resamples per row.
        seed: seed of the resampling, the same for each row.

    Returns:
        One row per (target, subset, proxy) with `COLUMNS`: `seeds` is 0 for controls, `excluded`
        counts the undefined architectures of the subset, `tau_seed_std` is the standard deviation
        (ddof 1) of the tau of each seed alone, NaN below two seeds.

    Raises:
        UnknownNameError: no scores on the image data set of a target.
        MissingDataError: some architectures lack the scores of some seeds.
        ParameterError: two scores for one architecture, proxy, data set and seed.
    """
    images_scored = [str(name) for name in scores["dataset"].unique()]
    rows = []
    for images, dataset, split in targets:
        if images not in images_scored:
            raise unknown_name("scored data set", images, images_scored)
        candidates = scores_by_seed(scores[scores["dataset"] == images])
        beside = {name: one for name, one in (controls or {}).items() if name not in candidates}
        for name, control in beside.items():
            series = control[images] if isinstance(control, Mapping) else control
            candidates[name] = series.to_frame()
        answers = np.asarray(accuracy(dataset, split), dtype=np.float64)
        for subset, members in subsets.items():
            for proxy, by_seed in candidates.items():
                chosen = by_seed[by_seed.index.isin(np.asarray(members))]
                figures = _figures(chosen, answers, subset, resamples, seed, lower=proxy in lower)
                seeds = 0 if proxy in beside else by_seed.shape[1]
                names = (proxy, images, dataset, split, subset, seeds)
                rows.append(dict(zip(COLUMNS[:6], names, strict=True)) | figures)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def scores_by_seed(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Lay out the scores on one image data set by proxy.

    Args:
        scores: as `correlation_table` takes them, of one `dataset`.

    Returns:
        Proxy to its scores with a row per architecture and a column per seed, both in ascending
        order, NaN where undefined.

    Raises:
        MissingDataError: some architectures lack the scores of some seeds.
        ParameterError: two scores for one architecture, proxy and seed.
    """
    defined = (scores["status"] == "ok") & np.isfinite(scores["score"].astype("float64"))
    scores = scores.assign(score=scores["score"].astype("float64").where(defined))
    tables = {}
    for proxy, own in scores.groupby("proxy", sort=True):
        twice = own.duplicated(["arch", "seed"])
        if twice.any():
            arch, seed = own.loc[twice, ["arch", "seed"]].iloc[0]
            raise ParameterError(
                f"two scores of {proxy} for architecture {arch} and seed {seed}: keep one"
            )
        seeds = sorted(own["seed"].unique())
        lacking = own.groupby("arch").size() < len(seeds)
        if lacking.any():
            raise MissingDataError(
                f"{lacking.sum()} architectures lack {proxy} for some of the seeds "
                f"{', '.join(str(seed) for seed in seeds)}: score them or leave a seed out"
            )
        tables[str(proxy)] = own.set_index(["arch", "seed"])["score"].unstack("seed")
    return tables


def with_accuracy(by_seed: pd.DataFrame, answers: Floats) -> tuple[Floats, Floats]:
    """Scores (m, seeds), NaN where undefined, and accuracies (m,) of what the benchmark answers.

    Args:
        by_seed: one of `scores_by_seed`.
        answers: accuracies by architecture index; architectures with NaN are left out.

    Raises:
        ParameterError: a score of an architecture that the benchmark does not have.
    """
    index = by_seed.index.to_numpy(dtype=np.int64)
    if len(index) and not 0 <= index.min() <= index.max() < len(answers):
        raise ParameterError(
            f"architecture {index.max() if index.min() >= 0 else index.min()} has no accuracy: "
            f"the benchmark ends at {len(answers) - 1}"
        )
    answered = ~np.isnan(answers[index])
    values = by_seed.to_numpy(dtype=np.float64)[answered]
    return np.where(np.isfinite(values), values, np.nan), answers[index][answered]


def undefined_last(scores: Floats, *, lower: bool = False) -> Floats:
    """Scores with what is undefined (NaN) below all others, or above where lower is better."""
    return np.where(np.isnan(scores), np.inf if lower else -np.inf, scores)


def _figures(
    by_seed: pd.DataFrame,
    answers: Floats,
    subset: str,
    resamples: int,
    seed: int,
    *,
    lower: bool,
) -> dict[str, float]:
    """Compute the figures of one row, from `n` on."""
    from untrained.report.ranks import coefficients, dense_ranks

    values, truth = with_accuracy(by_seed, answers)
    if subset == TOP_TENTH:
        kept = _most_accurate_tenth(truth)
        values, truth = values[kept], truth[kept]
    undefined = np.isnan(values).any(axis=1)
    if subset == FINITE_ONLY:
        values, truth = values[~undefined], truth[~undefined]
    mean = values.mean(axis=1)
    result: dict[str, Any] = asdict(
        correlation(undefined_last(mean, lower=lower), truth, resamples=resamples, seed=seed)
    )
    truth_rank = dense_ranks(truth)
    single = [
        coefficients(dense_ranks(undefined_last(column, lower=lower)), truth_rank)[0]
        for column in values.T
    ]
    spread = float(np.std(single, ddof=1)) if len(single) > 1 else float("nan")
    return result | {"excluded": int(undefined.sum()), "tau_seed_std": spread}


def _most_accurate_tenth(accuracy: Floats) -> npt.NDArray[np.bool_]:
    """Those that fewer than a tenth of all surpass: equals at the border are all in."""
    surpassing = len(accuracy) - np.searchsorted(np.sort(accuracy), accuracy, side="right")
    kept: npt.NDArray[np.bool_] = 10 * surpassing < len(accuracy)
    return kept


def _vector(name: str, values: npt.ArrayLike) -> Floats:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise ParameterError(f"{name} of shape {vector.shape}: give a vector")
    undefined = int(np.isnan(vector).sum())
    if undefined:
        raise ParameterError(
            f"{undefined} of {len(vector)} {name} are NaN: drop them or rank them last"
        )
    return vector

"""What the tables of scores share: which scores, accuracies and controls they are about."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.errors import MissingDataError, ParameterError, UnknownNameError
from untrained.images.sets import image_set
from untrained.proxies import PROXIES
from untrained.report.published import published_rank
from untrained.scoring.request import name_of, parse_reading

if TYPE_CHECKING:
    from untrained.report.inputs import Inputs, Splits

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
#: (data set of the benchmark, split) to percent by architecture index, NaN where unknown.
Accuracy = Callable[[str, str], Floats]
#: (data set of the images, data set of the benchmark, split).
Target = tuple[str, str, str]

#: Every scored architecture; undefined scores are ranked last, all equal.
ALL_SAMPLED: Final = "all sampled"
#: One architecture of each class that computes the same function; undefined ranked last.
CANONICAL: Final = "canonical"
#: The only subset from which architectures with an undefined score are dropped.
FINITE_ONLY: Final = "finite only"
#: The tenth with the highest accuracy in the column that is correlated; undefined ranked last.
TOP_TENTH: Final = "top 10 %"

#: TE-NAS's score, which is derived from two others: lower is better of the first of them.
SUMMED_RANKS: Final = "tenas"
CONDITION_NUMBER: Final = "ntk_condition_number"
REGIONS: Final = "linear_regions"


def proxy_label(proxy: str) -> str:
    """Return what tables and figures call a spelled proxy: its label in place of its name.

    What is no proxy, such as a control, keeps its name.
    """
    name = name_of(proxy)
    try:
        return PROXIES.load(name).label + proxy.removeprefix(name)
    except UnknownNameError:
        return proxy


def image_label(dataset: str) -> str:
    """Return what tables and figures call a data set."""
    try:
        return image_set(dataset).label
    except UnknownNameError:  # the benchmark's own, of which there are no images here
        return dataset


def image_sets(scores: pd.DataFrame) -> list[str]:
    """Return the data sets whose images were scored."""
    return [str(name) for name in scores["dataset"].unique()]


def lower_is_better(proxies: Iterable[str]) -> set[str]:
    """Return those of some proxies of which the lower score is better."""
    known = {str(name) for name in proxies} - {SUMMED_RANKS}
    return {name for name in known if parse_reading(name).direction == "lower"}


def proxy_drawn(scores: pd.DataFrame, proxy: str | None) -> str:
    """Return the proxy asked for; else the first scored one with published figures, or of all."""
    return proxy or min(sorted(map(str, scores["proxy"].unique())), key=published_rank)


def target_of(images: str, split: str, splits: "Splits") -> Target:
    """Return the target of scores on some images for the split `val` or `test` of reports.

    Scores on images that the benchmark does not know are held against what they stand for.

    Raises:
        MissingDataError: the benchmark has no such accuracies.
    """
    pair = image_set(images).measured_as, split
    if pair not in splits:
        raise MissingDataError(
            f"the benchmark has no {split} accuracies of {pair[0]}: "
            f"there is {', '.join(map(' '.join, splits)) or 'none at all'}"
        )
    return images, *splits[pair]


def targets_of(images: Iterable[str], splits: "Splits") -> list[Target]:
    """Return validation and test of each data set of images, where the benchmark has them."""
    return [
        target_of(name, split, splits)
        for name in images
        for split in ("val", "test")
        if (image_set(name).measured_as, split) in splits
    ]


def controls(inputs: "Inputs", sampled: Indices) -> "dict[str, pd.Series[float]]":
    """Return parameters and FLOPs of the sampled architectures, where the benchmark has them."""
    costs = inputs.benchmark.costs(inputs.main(inputs.benchmark.networks)).loc[sampled]
    found = {name: costs[name].astype(float) for name in ("parameters", "flops")}
    return {name: values for name, values in found.items() if not values.isna().any()}


def scores_by_seed(scores: pd.DataFrame, images: str) -> dict[str, pd.DataFrame]:
    """Lay out the scores on one data set of images by proxy.

    Scores have the columns `arch`, `proxy`, `dataset`, `seed`, `score`, `status`.

    Returns:
        Proxy to its scores with a row per architecture and a column per seed, both in ascending
        order, NaN where undefined (status other than `ok`, or not finite).

    Raises:
        MissingDataError: some architectures lack the scores of some seeds.
        ParameterError: two scores for one architecture, proxy and seed.
    """
    scores = scores[scores["dataset"] == images]
    values = scores["score"].astype("float64")
    scores = scores.assign(score=values.where((scores["status"] == "ok") & np.isfinite(values)))
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
                f"{', '.join(map(str, seeds))}: score them or leave a seed out"
            )
        tables[str(proxy)] = own.pivot(index="arch", columns="seed", values="score")
    return tables


def with_accuracy(by_seed: pd.DataFrame, answers: Floats) -> tuple[Floats, Floats]:
    """Return scores (m, seeds) and accuracies (m,) of the architectures with an accuracy.

    Raises:
        ParameterError: a score of an architecture that the benchmark does not have.
    """
    index = by_seed.index.to_numpy(dtype=np.int64)
    if len(index) and not 0 <= index.min() <= index.max() < len(answers):
        raise ParameterError(
            f"architecture {index.max() if index.min() >= 0 else index.min()} has no accuracy: "
            f"the benchmark ends at {len(answers) - 1}"
        )
    known = ~np.isnan(answers[index])
    return by_seed.to_numpy(dtype=np.float64)[known], answers[index][known]


def undefined_last(scores: Floats, *, lower: bool = False) -> Floats:
    """Replace what is undefined (NaN) by less than all others, or more where lower is better."""
    return np.where(np.isnan(scores), np.inf if lower else -np.inf, scores)


def with_summed_ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """Add TE-NAS's score: the sum of the ranks by condition number and by linear regions.

    Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours, ICLR 2021 (arXiv
    2102.11535). On each data set and under each seed, the architectures for which both are defined
    are ranked from 1, the worst, to the best; equal scores share their mean rank. Higher is better;
    an architecture that lacks one of the two is `undefined`. Rows follow for the data sets and
    seeds that have both.
    """
    if not {CONDITION_NUMBER, REGIONS} <= set(scores["proxy"]):
        return scores
    found = [scores]
    pair = scores[scores["proxy"].isin([CONDITION_NUMBER, REGIONS])]
    for images in sorted(image_sets(pair)):
        tables = scores_by_seed(pair, images)
        if len(tables) == 2:
            kappa, regions = tables[CONDITION_NUMBER].align(tables[REGIONS], join="inner")
            both = kappa.notna() & regions.notna()
            summed = (-kappa).where(both).rank() + regions.where(both).rank()
            rows = summed.melt(value_name="score", ignore_index=False).reset_index()
            rows["status"] = np.where(rows["score"].isna(), "undefined", "ok")
            rows = rows.assign(proxy=SUMMED_RANKS, dataset=images)
            found += [rows[list(scores.columns)]] * (len(rows) > 0)
    return pd.concat(found, ignore_index=True) if len(found) > 1 else scores


def mean_scores(scores: pd.DataFrame, proxy: str, images: str) -> "pd.Series[float]":
    """Return the mean score over the seeds by architecture index, NaN where one is undefined.

    Raises:
        MissingDataError: there are no such scores.
    """
    from untrained.search.pool import scores_of

    sampled, values = scores_of(scores, proxy, images)
    return pd.Series(values.mean(axis=0), index=sampled)


def short_accuracies(inputs: "Inputs", sampled: Indices) -> "Mapping[str, pd.Series[float]]":
    """Return what searches see of a short training, by data set of the images that were scored.

    It is that of the first of `SHORT_SEEDS`; data sets of which the table lacks it are left out.
    """
    from untrained.benchmarks.benchmark import SHORT_SEEDS

    truth, found = inputs.benchmark, {}
    for images in image_sets(inputs.scores):
        pair = image_set(images).measured_as, "val"
        if pair in inputs.splits:
            group = (*inputs.splits[pair], truth.short_epochs, SHORT_SEEDS[0])
            if group in truth.measures:
                found[images] = pd.Series(truth.accuracies(*group)[sampled], index=sampled)
    return found

"""Scores, accuracies and controls as the tables of scores need them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.errors import MissingDataError, ParameterError, UnknownNameError
from untrained.images.sets import image_set
from untrained.proxies import PROXIES
from untrained.proxies.ensembles import Ensemble
from untrained.report.published import published_rank
from untrained.scoring.ensembles import parse_proxy
from untrained.scoring.request import is_ensemble, name_of

if TYPE_CHECKING:
    from untrained.report.inputs import Inputs, Splits

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
#: Maps (data set of the benchmark, split) to percent by architecture index, NaN where unknown.
Accuracy = Callable[[str, str], Floats]
#: (data set of the images, data set of the benchmark, split).
Target = tuple[str, str, str]

#: Every scored architecture; undefined scores are ranked last and tie.
ALL_SAMPLED: Final = "all sampled"
#: One architecture of each class that computes the same function; undefined ranked last.
CANONICAL: Final = "canonical"
#: Architectures with a defined score; all other subsets rank undefined scores last.
FINITE_ONLY: Final = "finite only"
#: The tenth with the highest accuracy in the correlated column; undefined ranked last.
TOP_TENTH: Final = "top 10 %"


def proxy_label(proxy: str) -> str:
    """Return the label of a proxy with its variant and settings, for tables and figures.

    Names that are not a proxy, such as those of controls, are returned unchanged. An ensemble has
    the labels of its members.
    """
    if is_ensemble(proxy):
        parsed = parse_proxy(proxy)
        if not isinstance(parsed, Ensemble) or parsed.name:
            return proxy
        return replace(parsed, members=tuple(map(proxy_label, parsed.members))).spelling
    name = name_of(proxy)
    try:
        return PROXIES.load(name).label + proxy.removeprefix(name)
    except UnknownNameError:
        return proxy


def image_label(dataset: str) -> str:
    """Return the label of a data set for tables and figures."""
    try:
        return image_set(dataset).label
    except UnknownNameError:  # a data set of the benchmark without an image set
        return dataset


def image_sets(scores: pd.DataFrame) -> list[str]:
    """Return the data sets whose images were scored."""
    return [str(name) for name in scores["dataset"].unique()]


def lower_is_better(proxies: Iterable[str]) -> set[str]:
    """Return those of the given proxies for which a lower score is better."""
    known = {str(name) for name in proxies}
    return {name for name in known if parse_proxy(name).direction == "lower"}


def proxy_drawn(scores: pd.DataFrame, proxy: str | None) -> str:
    """Return the given proxy, else the first scored one, preferably with published figures.

    Raises:
        ParameterError: nothing is scored.
    """
    if scores.empty:
        raise ParameterError("the scores have no rows: score some architectures")
    return proxy or min(sorted(map(str, scores["proxy"].unique())), key=published_rank)


def target_of(images: str, split: str, splits: "Splits") -> Target:
    """Return the accuracies that scores on some images are compared with.

    Images that the benchmark does not have are compared with the data set that they represent.

    Args:
        images: data set of the images.
        split: `val` or `test` of reports.
        splits: columns of the benchmark; see `Splits`.

    Raises:
        MissingDataError: the benchmark lacks these accuracies.
    """
    pair = image_set(images).measured_as, split
    if pair not in splits:
        raise MissingDataError(
            f"the benchmark has no {split} accuracies of {pair[0]}: "
            f"there is {', '.join(map(' '.join, splits)) or 'none at all'}"
        )
    return images, *splits[pair]


def targets_of(images: Iterable[str], splits: "Splits") -> list[Target]:
    """Return the validation and test targets of each data set of images that exist."""
    return [
        target_of(name, split, splits)
        for name in images
        for split in ("val", "test")
        if (image_set(name).measured_as, split) in splits
    ]


def accuracy_label(inputs: "Inputs", images: str, split: str) -> str:
    """Return how figures name the accuracies that scores on some images are compared with.

    Args:
        inputs: those of the report.
        images: data set of the images.
        split: `val` or `test` of reports.
    """
    said = {"val": "validation", "test": "test"}[split]
    measured = image_label(image_set(images).measured_as)
    return f"{measured} {said} accuracy, {inputs.benchmark.full_epochs} epochs (%)"


def standing_in(images: str) -> str:
    """Return the label of a data set, and which one it stands in for if it does."""
    measured = image_set(images).measured_as
    beside = f", accuracies of {image_label(measured)}" if measured != images else ""
    return image_label(images) + beside


def most_accurate(accuracy: Floats) -> npt.NDArray[np.bool_]:
    """Return which of the accuracies (n,) are those of `TOP_TENTH`.

    They are those that fewer than a tenth surpass, so ties at the border are all included.
    """
    surpassing = len(accuracy) - np.searchsorted(np.sort(accuracy), accuracy, side="right")
    found: npt.NDArray[np.bool_] = 10 * surpassing < len(accuracy)
    return found


def controls(inputs: "Inputs", sampled: Indices) -> "dict[str, pd.Series[float]]":
    """Return parameters and FLOPs of the sampled architectures, each if the benchmark has all."""
    costs = inputs.benchmark.costs(inputs.main(inputs.benchmark.networks)).reindex(sampled)
    found = {name: costs[name].astype(float) for name in ("parameters", "flops")}
    return {name: values for name, values in found.items() if not values.isna().any()}


def scores_by_seed(scores: pd.DataFrame, images: str) -> dict[str, pd.DataFrame]:
    """Pivot the scores on one data set of images, for each proxy.

    Scores have the columns `arch`, `proxy`, `dataset`, `seed`, `score`, `status`.

    Returns:
        Proxy to its scores with a row per architecture and a column per seed, both in ascending
        order, NaN where undefined (status other than `ok`, or not finite).

    Raises:
        MissingDataError: an architecture lacks the score of a seed.
        ParameterError: an architecture has two scores for one proxy and seed.
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
        ParameterError: the benchmark lacks a scored architecture.
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
    """Replace undefined scores (NaN) by -inf, or by inf where a lower score is better."""
    return np.where(np.isnan(scores), np.inf if lower else -np.inf, scores)


def mean_scores(scores: pd.DataFrame, proxy: str, images: str) -> "pd.Series[float]":
    """Return the mean score over the seeds by architecture index, NaN where one is undefined.

    Raises:
        MissingDataError: the proxy was not scored on these images.
    """
    from untrained.search.pool import scores_of

    sampled, values = scores_of(scores, proxy, images)
    return pd.Series(values.mean(axis=0), index=sampled)


def short_accuracies(inputs: "Inputs", sampled: Indices) -> "Mapping[str, pd.Series[float]]":
    """Return the short-training validation accuracies that searches see, by scored data set.

    They are those of the first of `SHORT_SEEDS`; data sets without them are left out.
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

"""Which architectures, accuracies and images the tables of scores are about."""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.errors import MissingDataError, UnknownNameError
from untrained.images.sets import image_set
from untrained.report.correlations import ALL_SAMPLED, CANONICAL, FINITE_ONLY, TOP_TENTH
from untrained.report.published import NASBENCH201_SPLITS, Splits

Floats = npt.NDArray[np.float64]


Indices = npt.NDArray[np.int64]


Accuracy = Callable[[str, str], Floats]


def image_label(dataset: str) -> str:
    """What tables and figures call a data set."""
    try:
        return image_set(dataset).label
    except UnknownNameError:  # the benchmark's own, of which there are no images here
        return dataset


def subsets_of(sampled: Indices, representatives: Indices) -> dict[str, Indices]:
    """The subsets that every correlation is given for.

    Args:
        sampled: (m,) sorted indices of the scored architectures.
        representatives: (n,) index of each architecture's class in the whole space.

    Returns:
        All; one per class (the one with the lowest index that was scored); and all again twice,
        of which `correlation_table` drops the undefined, and takes the most accurate tenth.
    """
    _, first = np.unique(representatives[sampled], return_index=True)
    canonical = sampled[np.sort(first)]
    return {ALL_SAMPLED: sampled, CANONICAL: canonical, FINITE_ONLY: sampled, TOP_TENTH: sampled}


def target_of(images: str, split: str, splits: Splits = NASBENCH201_SPLITS) -> tuple[str, str, str]:
    """(images scored on, benchmark data set, its split) for the split `val` or `test`.

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


def targets_of(
    images: list[str], splits: Splits = NASBENCH201_SPLITS
) -> list[tuple[str, str, str]]:
    """Validation and test of each data set, where the benchmark has them; see `target_of`."""
    return [
        target_of(name, split, splits)
        for name in images
        for split in ("val", "test")
        if (image_set(name).measured_as, split) in splits
    ]


#: What searches see of a training: the control of scores that are read after training.
TWELVE_EPOCHS = "accuracy after 12 epochs"


def twelve_epochs(
    images: list[str],
    accuracies: Callable[..., Floats],
    architectures: Indices,
    splits: Splits = NASBENCH201_SPLITS,
) -> dict[str, "pd.Series[float]"]:
    """Validation accuracies after 12 epochs (training seed 777), by data set of images.

    Args:
        images: data sets that were scored on.
        accuracies: those of the benchmark: (data set, split, epochs, seed) to (n,) percent.
        architectures: (m,) indices that are asked for.
        splits: of the benchmark.
    """
    found = {}
    for name in images:
        _, dataset, split = target_of(name, "val", splits)
        known = accuracies(dataset, split, epochs=12, seed="777")
        found[name] = pd.Series(known[architectures], index=architectures)
    return found


def main_of(datasets: Iterable[str]) -> str:
    """CIFAR-10 where it is among them, else the first of one or more."""
    return min(datasets, key=lambda name: name != "cifar10")


def by_accuracy(sampled: Indices, scores: Floats, accuracy: Floats) -> Indices:
    """The architectures with a finite score and an accuracy, the least accurate first.

    Args:
        sampled: (m,) indices in the space.
        scores: (m,) their scores, NaN where undefined.
        accuracy: (n,) percent by index in the space, NaN where unknown.
    """
    defined = sampled[np.isfinite(scores) & np.isfinite(accuracy[sampled])]
    return defined[np.argsort(accuracy[defined], kind="stable")]

"""Gathers what the figures of the report are drawn from."""

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from untrained.analysis import score_figures
from untrained.analysis.correlations import ALL_SAMPLED, Correlation
from untrained.analysis.evolutions import MEASURED
from untrained.analysis.published import splits_of
from untrained.analysis.score_figures import ScorePanel, score_against_accuracy, tau_against_seeds
from untrained.analysis.summaries import by_accuracy, main_of, target_of
from untrained.benchmarks.benchmark import Benchmark
from untrained.errors import MissingDataError, ParameterError
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.kernels import kernels_of
from untrained.search.pool import scores_of
from untrained.spaces import get_space

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    Titled = list[tuple[str, np.ndarray]]


def proxy_drawn(table: "pd.DataFrame", proxy: str | None) -> str:
    """The proxy asked for; else the main one where it is scored, else the first that is."""
    scored = sorted(str(name) for name in table["proxy"].unique())
    return proxy or ("naswot" if "naswot" in scored else scored[0])


def images_drawn(table: "pd.DataFrame") -> str:
    """The data set whose kernels are drawn: CIFAR-10 where it is scored, else the first."""
    return main_of(str(name) for name in table["dataset"].unique())


def scores(
    table: "pd.DataFrame", truth: Benchmark, correlations: "pd.DataFrame", proxy: str
) -> "Figure":
    """Score, mean over the seeds, against test accuracy; a panel per data set."""
    panels = []
    splits = splits_of(truth.finals)
    for images in (str(name) for name in table["dataset"].unique()):
        _, trained, split = target_of(images, "test", splits)
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
        accuracy = truth.accuracies(trained, split)[sampled]
        panels.append(ScorePanel(images, values.mean(axis=0), accuracy, found))
    return score_against_accuracy(panels, subset=ALL_SAMPLED, score=f"{proxy} score")


def seeds(table: "pd.DataFrame") -> "Figure":
    """Tau on the test accuracy against the number of seeds; a panel per data set."""
    return tau_against_seeds(table[table["split"].str.endswith("test")])


def score_evolution(curves: "pd.DataFrame") -> "Figure":
    """The scores of every proxy over a training, NASWOT's first."""
    proxies = [str(name) for name in curves["quantity"].unique() if name not in MEASURED]
    return score_figures.score_evolution(curves, sorted(proxies, key=lambda name: name != "naswot"))


def kernels(
    space: str,
    table: "pd.DataFrame",
    truth: Benchmark,
    settings: MinibatchSettings,
    proxy: str,
    count: int,
) -> "tuple[Titled, Titled]":
    """The kernels of the most and the least accurate, titled with accuracy and score.

    The networks see the images of `settings`, on which `table` must have scores. Architectures
    without a kernel are passed over, as costs and some other scores exist without one; there may
    be fewer than `count`, or none.

    Raises:
        ParameterError: a `count` below 1.
    """
    if count < 1:
        raise ParameterError(f"{count} kernels: give at least 1")
    sampled, values = scores_of(table, proxy, settings.dataset)
    mean = dict(zip(sampled.tolist(), values.mean(axis=0), strict=True))
    _, trained, split = target_of(settings.dataset, "test", splits_of(truth.finals))
    accuracy = truth.accuracies(trained, split)
    searched = get_space(space)
    found = []
    worst_first = by_accuracy(sampled, values.mean(axis=0), accuracy).tolist()
    for indices in (worst_first[::-1], worst_first):
        drawn = islice(kernels_of(searched, indices, settings, seed=0), count)
        found.append(
            [
                (f"{accuracy[index]:.1f} %, score {mean[index]:.0f}", kernel)
                for index, kernel in drawn
            ]
        )
    return found[0], found[1]

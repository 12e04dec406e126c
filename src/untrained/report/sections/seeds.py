"""How the rank correlation grows with the seeds that a score is the mean of."""

from collections.abc import Callable, Collection, Sequence
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.errors import ParameterError, unknown_name
from untrained.report import plotting
from untrained.report.correlations import (
    ALL_SAMPLED,
    scores_by_seed,
    undefined_last,
    with_accuracy,
)
from untrained.report.inputs import Inputs
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.sections.correlations import image_sets, lower_is_better
from untrained.report.summed_ranks import with_summed_ranks
from untrained.report.tables import text_of
from untrained.report.targets import targets_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawn

#: The columns of `seed_table`, in order.
COLUMNS = (
    *("proxy", "images", "dataset", "split", "n", "seeds", "sets"),
    *("tau", "tau_min", "tau_max", "tau_low", "tau_high", "rho_disjoint"),
)


#: Up to ten seeds all sets of them are taken; beyond, this many of each size.
MOST_SETS = 256

Floats = npt.NDArray[np.float64]
#: Matplotlib's own size of a marker.
_POINT = 6


def make(inputs: Inputs, options: Options) -> tuple[pd.DataFrame, ...]:
    """Correlate the means of all sets of seeds, with the intervals of the table `correlations`."""
    del options
    table = with_summed_ranks(inputs.scores)
    found = seed_table(
        table,
        inputs.benchmark.accuracies,
        targets_of(image_sets(table), inputs.splits),
        inputs.table("correlations"),
        lower=lower_is_better(inputs.scores),
    )
    return (found,)


def seed_table(
    scores: pd.DataFrame,
    accuracy: Callable[[str, str], Floats],
    targets: Sequence[tuple[str, str, str]],
    correlations: pd.DataFrame,
    *,
    lower: Collection[str] = (),
) -> pd.DataFrame:
    """Correlate the mean over k seeds with every target, for k from 1 to the number of seeds.

    All scored architectures count; a mean is undefined, and ranked last, if the score of any of
    its seeds is.

    Args:
        scores: as `correlations.correlation_table` takes them.
        accuracy: likewise.
        targets: likewise.
        correlations: what that function made of the same scores and targets, for its intervals.
        lower: likewise.

    Returns:
        One row per target, proxy and number of `seeds` with `COLUMNS`. `sets` counts the sets of
        that many seeds, of which there are at most `MOST_SETS`; `tau` is the mean of Kendall's
        tau-b over them, `tau_min` and `tau_max` are its extremes. `tau_low` and `tau_high` are the
        bootstrap interval of the mean over all seeds, NaN for fewer. `rho_disjoint` is Spearman's
        rho between the mean scores of two sets without a common seed, averaged over all such
        pairs; NaN where there is none.

    Raises:
        UnknownNameError: no scores on the image data set of a target.
        MissingDataError: some architectures lack the scores of some seeds.
        ParameterError: two scores for one architecture, proxy, data set and seed, or a score of an
            architecture that the benchmark does not have.
    """
    from untrained.report.ranks import coefficients, dense_ranks

    images_scored = [str(name) for name in scores["dataset"].unique()]
    rows = []
    for images, dataset, split in targets:
        if images not in images_scored:
            raise unknown_name("scored data set", images, images_scored)
        answers = np.asarray(accuracy(dataset, split), dtype=np.float64)
        for proxy, by_seed in scores_by_seed(scores[scores["dataset"] == images]).items():
            values, truth = with_accuracy(by_seed, answers)
            truth_rank = dense_ranks(truth)
            for size in range(1, values.shape[1] + 1):
                sets = _sets(values.shape[1], size)
                means = np.stack(
                    [
                        undefined_last(values[:, own].mean(axis=1), lower=proxy in lower)
                        for own in sets
                    ]
                )
                taus = [coefficients(dense_ranks(mean), truth_rank)[0] for mean in means]
                figures = (np.mean(taus), np.min(taus), np.max(taus), _rho_disjoint(sets, means))
                rows.append((proxy, images, dataset, split, len(truth), size, len(sets), *figures))
    columns = [name for name in COLUMNS if name not in ("tau_low", "tau_high")]
    table = pd.DataFrame(rows, columns=columns)
    # The interval is that of all seeds: it meets the rows with as many.
    keys = ["proxy", "images", "dataset", "split", "seeds"]
    intervals = correlations.loc[
        correlations["subset"] == ALL_SAMPLED, [*keys, "tau_low", "tau_high"]
    ]
    return table.merge(intervals, on=keys, how="left")[list(COLUMNS)]


def _sets(seeds: int, size: int) -> list[list[int]]:
    """Sets of `size` of so many seeds: all, or `MOST_SETS` different ones at random."""
    if comb(seeds, size) <= MOST_SETS:
        return [list(own) for own in combinations(range(seeds), size)]
    generator = np.random.default_rng(0)
    drawn: set[tuple[int, ...]] = set()
    while len(drawn) < MOST_SETS:
        drawn.add(tuple(sorted(generator.choice(seeds, size, replace=False).tolist())))
    return [list(own) for own in sorted(drawn)]


def _rho_disjoint(sets: list[list[int]], means: Floats) -> float:
    """Mean of Spearman's rho over pairs of disjoint sets with the mean scores (sets, n)."""
    disjoint = [
        pair for pair in combinations(range(len(sets)), 2)
        if set(sets[pair[0]]).isdisjoint(sets[pair[1]])
    ]  # fmt: skip
    if not disjoint or means.shape[1] < 3:
        return float("nan")
    from scipy import stats

    with np.errstate(invalid="ignore"):  # 0 / 0: a constant vector
        rho = np.corrcoef(stats.rankdata(means, axis=1))
    return float(np.mean([rho[pair] for pair in disjoint]))


def seed_layout(table: pd.DataFrame, *, digits: int = 3) -> pd.DataFrame:
    """Lay out a seed table.

    Args:
        table: as `seed_tables.seed_table` returns it.
        digits: decimals of each coefficient.
    """
    layout = pd.DataFrame({"proxy": table["proxy"], "scored on": table["images"]})
    layout["accuracy"] = table["dataset"] + " " + table["split"]
    layout["n"] = table["n"].astype(str)
    layout["seeds"] = table["seeds"].astype(str)
    layout["sets"] = table["sets"].astype(str)
    titles = {
        "tau": "mean τ",
        "tau_min": "smallest τ",
        "tau_max": "largest τ",
        "tau_low": "95 % low",
        "tau_high": "95 % high",
        "rho_disjoint": "ρ of two sets",
    }
    for name, title in titles.items():
        layout[title] = [text_of(value, digits) for value in table[name]]
    return layout


def tau_against_seeds(table: "pd.DataFrame") -> "Drawn":
    """Draw Kendall's tau against the number of seeds, one panel per data set of the images.

    A line is the mean over the sets of seeds of one proxy, its band the extremes, and the bar at
    all seeds the bootstrap interval over architectures.

    Args:
        table: as `seed_tables.seed_table` returns it, of one benchmark column per data set of the
            images.

    Raises:
        ParameterError: no rows, or two columns for one data set.
    """
    if table.empty:
        raise ParameterError("0 rows: nothing to draw")
    twice = table[table.duplicated(["proxy", "images", "seeds"])]
    if len(twice):
        raise ParameterError(f"two accuracies for {twice['images'].iloc[0]}: keep one split")
    images = plotting.distinct(table["images"])
    proxies = plotting.distinct(table["proxy"])
    with plotting.style():
        figure = plotting.Figure(figsize=(3.9 * len(images) + 0.8, 4.6), layout="constrained")
        (row,) = figure.subplots(1, len(images), squeeze=False, sharey=True)
        most = int(table["seeds"].max())
        # proxies that rank alike stand side by side, about a marker apart
        step = min(0.025 * most, 0.4 / len(proxies))
        for axes, name in zip(row, images, strict=True):
            for place, proxy in enumerate(proxies):
                own = table[(table["images"] == name) & (table["proxy"] == proxy)]
                _seed_line(axes, own, place, step * (place - (len(proxies) - 1) / 2))
            axes.set(title=name, xlabel="seeds")
            axes.set_xlim(0.5, most + 0.5)
            axes.xaxis.set_major_locator(plotting.MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
        row[0].set_ylabel("Kendall's τ")
        keys = [
            plotting.Line2D([], [], label=name, **plotting.look(k, _POINT))
            for k, name in enumerate(proxies)
        ]
        plotting.legend_below(figure, keys, 3)
    return figure


def _seed_line(axes: "Axes", own: "pd.DataFrame", place: int, shift: float) -> None:
    seeds, own_colour = own["seeds"] + shift, plotting.colour(place)
    extremes = own["tau_min"], own["tau_max"]
    axes.fill_between(seeds, *extremes, color=own_colour, alpha=0.2, linewidth=0)
    axes.vlines(seeds, own["tau_low"], own["tau_high"], color=own_colour, linewidth=1.3)
    axes.plot(seeds, own["tau"], **plotting.look(place, _POINT))


def draw(inputs: Inputs, options: Options) -> "Drawn":
    """Draw tau on the test accuracy against the number of seeds; a panel per data set."""
    del options
    table = inputs.table("seeds")
    return tau_against_seeds(table[table["split"].str.endswith("test")])


SECTION = Section(
    name="seeds",
    title="Means over seeds",
    reads=("benchmark", "scores"),
    make=make,
    tables=(
        Table(
            "seeds",
            "Means over seeds",
            "Kendall's tau-b on all scored architectures when the score is the mean over some of "
            "the seeds: the mean, the smallest and the largest over all sets of so many, and the "
            "95 % bootstrap interval of all seeds. The last column is Spearman's rho between the "
            "mean scores of two sets without a common seed, averaged over all such pairs: how "
            "alike they rank.",
            lambda table, _: seed_layout(table),
        ),
    ),
    figures=(
        Figure(
            "seeds",
            draw,
            "Kendall's tau on the test accuracy against the number of seeds: the mean over the "
            "sets of so many seeds. Bands: the smallest and the largest. Bars: 95 % bootstrap "
            "intervals of all seeds.",
        ),
    ),
)

"""Rank correlation against the number of seeds over which a score is averaged."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from untrained.report import plotting
from untrained.report.inputs import Inputs
from untrained.report.scores import (
    ALL_SAMPLED,
    Floats,
    image_label,
    image_sets,
    lower_is_better,
    proxy_label,
    scores_by_seed,
    targets_of,
    undefined_last,
    with_accuracy,
)
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.tables import joined, laid_out, named, numbers

#: The columns of `seed_table`, in order.
COLUMNS = (
    *("proxy", "images", "dataset", "split", "n", "seeds", "sets"),
    *("tau", "tau_min", "tau_max", "tau_low", "tau_high", "rho_disjoint"),
)

#: Largest number of sets of each size; up to ten seeds these are all sets.
MOST_SETS = 256

#: Size of markers, which is Matplotlib's default.
_POINT = 6


def seed_table(inputs: Inputs, _: Options) -> pd.DataFrame:
    """Correlate the mean over k seeds with every target, for k from 1 to the number of seeds.

    All scored architectures count; a mean is undefined, and ranked last, if the score of any of its
    seeds is. Intervals are taken from the table `correlations`.

    Returns:
        One row per target, proxy and number of `seeds` with `COLUMNS`. `sets` counts the sets of
        that many seeds, at most `MOST_SETS`; `tau` is the mean of Kendall's
        tau-b over them, `tau_min` and `tau_max` are its extremes. `tau_low` and `tau_high` are the
        bootstrap interval of the mean over all seeds, NaN for fewer. `rho_disjoint` is Spearman's
        rho between the mean scores of two sets without a common seed, averaged over all such
        pairs; NaN where there is none.
    """
    scores = inputs.scores
    lower = lower_is_better(scores["proxy"])
    rows = []
    for images, dataset, split in targets_of(image_sets(scores), inputs.splits):
        answers = inputs.benchmark.accuracies(dataset, split)
        for proxy, by_seed in scores_by_seed(scores, images).items():
            values, truth = with_accuracy(by_seed, answers)
            for size in range(1, values.shape[1] + 1):
                head = (proxy, images, dataset, split, len(truth), size)
                rows.append((*head, *_figures(values, truth, size, lower=proxy in lower)))
    columns = [name for name in COLUMNS if name not in ("tau_low", "tau_high")]
    table = pd.DataFrame(rows, columns=columns)
    # the intervals are those of all seeds, so they join only rows with as many
    keys = ["proxy", "images", "dataset", "split", "seeds"]
    known = inputs.table("correlations")
    known = known.loc[known["subset"] == ALL_SAMPLED, [*keys, "tau_low", "tau_high"]]
    return table.merge(known, on=keys, how="left")[list(COLUMNS)]


def _figures(values: Floats, truth: Floats, size: int, *, lower: bool) -> tuple[float, ...]:
    """Compute the figures of one row from scores (n, seeds) and accuracies (n,)."""
    from untrained.report.ranks import coefficients, dense_ranks

    sets = _sets(values.shape[1], size)
    means = np.stack([undefined_last(values[:, own].mean(axis=1), lower=lower) for own in sets])
    taus = [coefficients(dense_ranks(mean), dense_ranks(truth))[0] for mean in means]
    spread = float(np.mean(taus)), min(taus), max(taus)
    return len(sets), *spread, _rho_disjoint(sets, means)


def _sets(seeds: int, size: int) -> list[list[int]]:
    """Return all sets of `size` seeds, or `MOST_SETS` different random ones if there are more."""
    if comb(seeds, size) <= MOST_SETS:
        return [list(own) for own in combinations(range(seeds), size)]
    generator = np.random.default_rng(0)
    drawn: set[tuple[int, ...]] = set()
    while len(drawn) < MOST_SETS:
        drawn.add(tuple(sorted(generator.choice(seeds, size, replace=False).tolist())))
    return [list(own) for own in sorted(drawn)]


def _rho_disjoint(sets: list[list[int]], means: Floats) -> float:
    """Return Spearman's rho of mean scores (sets, n), averaged over pairs of disjoint sets."""
    disjoint = [
        (one, other)
        for one, other in combinations(range(len(sets)), 2)
        if set(sets[one]).isdisjoint(sets[other])
    ]
    if not disjoint or means.shape[1] < 3:
        return float("nan")
    with np.errstate(invalid="ignore"):  # 0 / 0: a constant vector
        rho = np.corrcoef(pd.DataFrame(means).rank(axis=1))
    return float(np.mean([rho[pair] for pair in disjoint]))


#: One row per proxy, accuracy and number of seeds.
seed_layout = laid_out(
    {
        "proxy": named("proxy", proxy_label),
        "scored on": "images",
        "accuracy": joined("dataset", "split"),
        "n": "n",
        "seeds": "seeds",
        "sets": "sets",
        "mean τ": numbers("tau", 3),
        "smallest τ": numbers("tau_min", 3),
        "largest τ": numbers("tau_max", 3),
        "95 % low": numbers("tau_low", 3),
        "95 % high": numbers("tau_high", 3),
        "ρ of two sets": numbers("rho_disjoint", 3),
    }
)


@plotting.style()
def tau_against_seeds(table: pd.DataFrame) -> "plotting.Figure":
    """Draw Kendall's tau against the number of seeds, one panel per data set of the images.

    A line is the mean over the sets of seeds of one proxy and its band the extremes; the bar at all
    seeds is the bootstrap interval over architectures.
    """
    from matplotlib.ticker import MaxNLocator

    images, proxies = table["images"].unique(), table["proxy"].unique()
    figure, (row,) = plotting.panels(1, len(images), (3.9 * len(images) + 0.8, 4.6), sharey=True)
    most = int(table["seeds"].max())
    # proxies with equal values stand side by side, about one marker apart
    step = min(0.025 * most, 0.4 / len(proxies))
    for axes, name in zip(row, images, strict=True):
        for place, proxy in enumerate(proxies):
            own = table[(table["images"] == name) & (table["proxy"] == proxy)]
            _seed_line(axes, own, place, step * (place - (len(proxies) - 1) / 2))
        count = table.loc[table["images"] == name, "n"].max()
        axes.set(title=f"{image_label(name)}, n = {count}", xlabel="seeds")
        axes.set_xlim(0.5, most + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    row[0].set_ylabel("Kendall's τ")
    plotting.legend_below(figure, plotting.keys(map(proxy_label, proxies), _POINT), 3)
    return figure


def _seed_line(axes: "plotting.Axes", own: pd.DataFrame, place: int, shift: float) -> None:
    seeds, own_colour = own["seeds"] + shift, plotting.colour(place)
    extremes = own["tau_min"], own["tau_max"]
    axes.fill_between(seeds, *extremes, color=own_colour, alpha=0.2, linewidth=0)
    axes.vlines(seeds, own["tau_low"], own["tau_high"], color=own_colour, linewidth=1.3)
    axes.plot(seeds, own["tau"], **plotting.look(place, _POINT))


def draw(inputs: Inputs, _: Options) -> "plotting.Figure":
    """Draw tau with test accuracy against the number of seeds, a panel per data set."""
    table = inputs.table("seeds")
    return tau_against_seeds(table[table["split"].str.endswith("test")])


SECTION = Section(
    name="seeds",
    reads=("benchmark", "scores"),
    needs=("correlations",),
    tables=(
        Table(
            "seeds",
            seed_table,
            "Means over seeds",
            "Kendall's tau-b over all scored architectures when the score is the mean over some of "
            "the seeds: the mean, the smallest and the largest over all sets of this many seeds, "
            "and the 95 % bootstrap interval of all seeds. The last column is Spearman's rho "
            "between the mean scores of two sets without a common seed, averaged over all such "
            "pairs.",
            seed_layout,
        ),
    ),
    figures=(
        Figure(
            "seeds",
            draw,
            "Kendall's tau with test accuracy against the number of seeds: the mean over all sets "
            "of this many seeds. Bands: the smallest and the largest. Bars: 95 % bootstrap "
            "intervals of all seeds.",
        ),
    ),
)

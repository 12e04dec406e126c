"""Variance components of a score: architecture, minibatch, initialisation."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from untrained.errors import ParameterError, quoted
from untrained.report import plotting
from untrained.report.inputs import Inputs
from untrained.report.scores import Floats, image_label
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.statistics import interval
from untrained.report.tables import intervals, laid_out, numbers

#: The components of variance, in the order of every table. A minibatch affects the scores of
#: all architectures; an initialisation affects only its own architecture.
COMPONENTS = (
    "architecture",
    "minibatch",
    "architecture × minibatch",
    "initialisation",
    "residual",
)

#: The columns of `variance_table`, in order.
COLUMNS = (
    *("experiment", "dataset", "batch_size", "architectures", "undefined"),
    *("minibatches", "initialisations", "component", "std", "share", "share_low", "share_high"),
)


class VarianceSplit(NamedTuple):
    """The components of the variance of a single score, in the order of `COMPONENTS`.

    Attributes:
        variances: (5,), in squared units of the score; an estimate may be below 0. NaN where the
            design cannot identify the component.
        shares: (5,), of the sum of the components, with negative ones set to 0; also NaN where
            all scores are equal.
        low: (5,), lower ends of the 95 % percentile bootstrap intervals of the shares.
        high: (5,), upper ends.
    """

    variances: Floats
    shares: Floats
    low: Floats
    high: Floats


def variance_components(scores: Floats) -> Floats:
    """Estimate the components of variance of a balanced design by the analysis of variance.

    The model is y_abk = mu + A_a + B_b + (AB)_ab + W_k(a) + E_abk with independent random effects:
    architectures are crossed with minibatches, initialisations are nested in architectures. Each
    mean square is set equal to its expectation (Searle, Casella and McCulloch, "Variance
    Components", 1992, chapter 4).

    Args:
        scores: (architectures, minibatches, initialisations), two architectures or more and two
            scores or more of each. With one minibatch the components minibatch, interaction and
            residual are not identifiable; with one initialisation those of initialisation and
            residual are not: the interaction then contains the residual, and the architecture the
            effect of its weights.

    Returns:
        (5,), in the order of `COMPONENTS`; NaN where not identifiable, else unbiased and therefore
        possibly below 0.
    """
    n, m, w = scores.shape
    mean = scores.mean()
    by_arch = scores.mean(axis=(1, 2))
    by_batch = scores.mean(axis=(0, 2))
    by_both = scores.mean(axis=2)
    by_weights = scores.mean(axis=1)
    interaction = by_both - by_arch[:, None] - by_batch + mean
    rest = scores - by_both[:, :, None] - by_weights[:, None, :] + by_arch[:, None, None]
    # without degrees of freedom the sum of squares is 0, so the other estimates ignore it
    a = m * w * np.square(by_arch - mean).sum() / (n - 1)
    b = n * w * np.square(by_batch - mean).sum() / max(m - 1, 1)
    ab = w * np.square(interaction).sum() / ((n - 1) * max(m - 1, 1))
    k = m * np.square(by_weights - by_arch[:, None]).sum() / (n * max(w - 1, 1))
    e = np.square(rest).sum() / (n * max((m - 1) * (w - 1), 1))
    found = [(a - ab - k + e) / (m * w), (b - ab) / (n * w), (ab - e) / w, (k - e) / m, e]
    return np.where(_told_apart(m, w), found, np.nan)


def _told_apart(minibatches: int, initialisations: int) -> tuple[bool, ...]:
    """Return which of `COMPONENTS` a design identifies."""
    several, nested = minibatches > 1, initialisations > 1
    return True, several, several, nested, several and nested


def _shares(variances: Floats) -> Floats:
    positive = np.maximum(variances, 0)  # NaN stays NaN
    total = float(np.nansum(positive))
    return np.divide(positive, total if total > 0 else np.nan, dtype=np.float64)


def split_variance(scores: Floats, *, resamples: int = 1000, seed: int = 0) -> VarianceSplit:
    """Split the variance of a single score, with bootstrap intervals over the architectures.

    All scores are finite. Minibatches and initialisations are too few to be resampled.
    """
    variances = variance_components(scores)
    generator = np.random.default_rng(seed)
    draws = np.empty((resamples, len(COMPONENTS)))
    for row in draws:
        drawn = generator.integers(len(scores), size=len(scores))
        row[:] = _shares(variance_components(scores[drawn]))
    # a resample that is one architecture repeated can be constant and has no shares then
    low, high = interval(draws[~np.isnan(draws[:, 0])])
    return VarianceSplit(variances, _shares(variances), low, high)


def variance_table(scores: pd.DataFrame, *, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Split the variance of the scores of each experiment and batch size.

    Returns:
        One row per experiment, batch size and identifiable component with `COLUMNS`:
        `architectures` counts the scored ones, of which `undefined` were dropped; `std` is the
        square root of the component, 0 where its estimate is below 0. Numbers are NaN where fewer
        than two architectures remain.

    Raises:
        ParameterError: a score is missing or repeated, or there are only one minibatch and one
            initialisation.
    """
    rows = []
    keys = ["experiment", "dataset", "batch_size"]
    for (experiment, dataset, size), own in scores.groupby(keys, sort=True):
        values = _design(own, f"{experiment} at batch size {size}")
        n, m, w = values.shape
        defined = values[np.isfinite(values).all(axis=(1, 2))]
        split = VarianceSplit(*(np.full(len(COMPONENTS), np.nan),) * 4)
        if len(defined) > 1:
            split = split_variance(defined, resamples=resamples, seed=seed)
        head = (experiment, dataset, size, n, n - len(defined), m, w)
        std = np.sqrt(np.maximum(split.variances, 0))
        rows += [
            (*head, component, *row)
            for component, known, *row in zip(
                COMPONENTS, _told_apart(m, w), std, *split[1:], strict=True
            )
            if known
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _design(own: pd.DataFrame, what: str) -> Floats:
    """Return scores (architectures, minibatches, initialisations), NaN where undefined."""
    axes = ["arch", "minibatch_seed", "weight_seed"]
    shape = tuple(own[axis].nunique() for axis in axes)
    if len(own) != np.prod(shape) or own.duplicated(axes).any() or shape[1:] == (1, 1):
        raise ParameterError(
            f"{what}: {len(own)} scores of {shape[0]} architectures, {shape[1]} minibatches and "
            f"{shape[2]} initialisations: one of each is needed, and several of an architecture, "
            "so make the scores again"
        )
    ordered = own.sort_values(axes)
    values = ordered["score"].astype("float64").where(ordered["status"] == "ok")
    return np.asarray(values, dtype=np.float64).reshape(shape)


#: The components of variance with the intervals of their shares.
variance_layout = laid_out(
    {
        "experiment": "experiment",
        "images": "dataset",
        "batch size": "batch_size",
        "architectures": "architectures",
        "undefined": "undefined",
        "minibatches": "minibatches",
        "initialisations": "initialisations",
        "component": "component",
        "std": numbers("std", 2),
        "share (%)": intervals("share", scale=100),
    }
)


#: Experiment to the title of its panel.
_ABLATIONS = {
    "minibatch": "(a) other minibatches",
    "noise": "(b) other N(0, 1) images",
    "initialisation": "(c) other initialisations",
}


@plotting.style()
def ablations(
    scores: pd.DataFrame, variances: pd.DataFrame, *, ablated_by: str
) -> "plotting.Figure":
    """Draw repeated scores and their variance components (Mellor et al. 2021, Fig. 5).

    Four panels show every repeat of each cell at the middle of its bin of accuracy (on the data set
    `ablated_by`). Where the batch size varies, each score is divided by the smallest one at that
    size, as in the paper. The fifth panel shows the shares of variance with their intervals.
    Experiments that are missing have no panel.

    Raises:
        ParameterError: an experiment of the table has no scores.
    """
    from matplotlib.figure import Figure as Canvas

    for experiment in variances["experiment"].unique():
        if experiment not in set(scores["experiment"]):
            raise ParameterError(
                f"no scores of the experiment {quoted(experiment)}: make them first"
            )
    middle = (scores["bin_low"] + scores["bin_high"]) / 2
    scores = scores.assign(accuracy=middle).dropna(subset=["accuracy", "score"])
    figure = Canvas(figsize=(13, 8), layout="constrained")
    # two subfigures, so that the long labels of the last panel do not shift the first row
    top, bottom = figure.subfigures(2, 1, squeeze=False)[:, 0]
    panels = dict(zip(_ABLATIONS, top.subplots(1, 3), strict=True))
    panels["size"], shares = bottom.subplots(1, 2, width_ratios=[1, 1.4])
    for place, (experiment, title) in enumerate(_ABLATIONS.items()):
        own = scores[scores["experiment"] == experiment]
        _repeats(panels[experiment], own["accuracy"], own["score"], place)
        panels[experiment].set(title=title, ylabel="" if place else "score", visible=len(own) > 0)
    sizes = scores[scores["experiment"] == "batch-size"]
    for place, (size, own) in enumerate(sizes.groupby("batch_size")):
        relative = own["score"] / own["score"].min()
        _repeats(panels["size"], own["accuracy"], relative, place, label=str(size))
    panels["size"].set(title="(d) other batch sizes", ylabel="score / smallest at that size")
    if len(sizes):
        panels["size"].legend(
            title="images", loc="lower right", handletextpad=0.1, fontsize=12, title_fontsize=12
        )
    panels["size"].set_visible(len(sizes) > 0)
    for axes in panels.values():
        axes.set_xlabel(f"{ablated_by} accuracy (%)")
    repeated = scores[scores["experiment"] != "variance"]
    shown = ", ".join(map(image_label, scores["dataset"].unique()))
    if len(repeated):
        count = repeated["arch"].nunique()
        figure.suptitle(f"(a) to (d): {count} architectures; images of {shown}", fontsize=14)
    split = variances[variances["experiment"] == "variance"]
    shares.set_visible(len(split) > 0)
    if len(split):
        _draw_shares(shares, split)
    return figure


def _repeats(
    axes: "plotting.Axes",
    accuracy: "pd.Series[float]",
    scores: "pd.Series[float]",
    place: int,
    label: str | None = None,
) -> None:
    look = plotting.look(place, 6) | {"linestyle": "none", "markeredgewidth": 0, "alpha": 0.5}
    axes.plot(accuracy, scores, label=label, **look)


def _draw_shares(axes: "plotting.Axes", variances: pd.DataFrame) -> None:
    rows = variances.iloc[::-1]  # the first component on top
    percent = 100 * rows[["share", "share_low", "share_high"]].to_numpy(dtype=np.float64)
    axes.barh(rows["component"], percent[:, 0], color=plotting.COLOURS[0], height=0.6)
    axes.errorbar(
        percent[:, 0],
        rows["component"],
        xerr=plotting.error_bars(*percent.T),
        linestyle="none",
        color="black",
        capsize=4,
        elinewidth=1.3,
    )
    for name, (share, _, high) in zip(rows["component"], percent, strict=True):
        if np.isfinite(share):
            text = f"{share:.2f} %"
            place = (max(share, high), name)
            axes.annotate(text, place, (8, 0), textcoords="offset points", va="center")
    left = int((variances["architectures"] - variances["undefined"]).iloc[0])
    axes.set(xlabel="share of the variance of a score (%)", xlim=(0, 124), xticks=range(0, 101, 20))
    axes.set_title(f"(e) {left} random architectures")


def draw(inputs: Inputs, _: Options) -> "plotting.Figure":
    """Draw repeated scores and their variance components."""
    scores, variances = inputs.joined("ablations"), inputs.table("ablations")
    return ablations(scores, variances, ablated_by=_ablated_by(inputs))


def _ablated_by(inputs: Inputs) -> str:
    """Return the label of the data set by whose accuracies the cells are chosen."""
    facts = inputs.space.benchmark
    return image_label(facts.ablated_by[0]) if facts and facts.ablated_by else ""


SECTION = Section(
    name="ablations",
    reads=("ablations",),
    options=("resamples", "seed"),
    applies=lambda space, _: bool(space.ablations),
    tables=(
        Table(
            "ablations",
            lambda inputs, options: variance_table(inputs.joined("ablations"), **options),
            "Ablations: variance components of a score",
            "Components of the variance of a single score by the analysis of variance, as standard "
            "deviations and as shares with 95 % bootstrap intervals over architectures. The "
            "experiment `variance` crosses minibatches with initialisations on random "
            "architectures. The other experiments vary one factor on ten cells, one from each of "
            "ten equally wide bins of test accuracy between 50 % and the best, so their shares are "
            "not those of the space; with one initialisation its effect is part of the "
            "architecture's, and the residual is part of the interaction. Architectures with an "
            "undefined score are dropped.",
            variance_layout,
            more=lambda inputs: f"The accuracies of the bins are those of {_ablated_by(inputs)}.",
        ),
    ),
    figures=(
        Figure(
            "ablations",
            draw,
            "Repeated scores of ten cells of different accuracy with one factor varied (the NASWOT "
            "paper's Fig. 5), and the variance components of a single score of random cells.",
        ),
    ),
)

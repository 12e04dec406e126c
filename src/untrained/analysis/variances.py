"""What the variance of a score is made of: architecture, minibatch, initialisation."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.errors import ParameterError

Floats = npt.NDArray[np.float64]

#: The components of variance, in the order of every table. A minibatch shifts the scores of all
#: architectures; weights are an architecture's own, so an initialisation shifts only its scores.
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


@dataclass(frozen=True)
class VarianceSplit:
    """The components of the variance of a single score, in the order of `COMPONENTS`.

    Attributes:
        variances: (5,), in squared units of the score; an estimate may be below 0. NaN where the
            design can't tell the component from the others.
        shares: (5,), of the sum of the components, those below 0 taken as 0; NaN likewise, and
            where all scores are equal.
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
        scores: (architectures, minibatches, initialisations). With one minibatch there is no
            telling minibatch, interaction and residual from the others; with one initialisation
            none for initialisation and residual: the interaction has the residual in it, and the
            architecture the effect of its weights.

    Returns:
        (5,), in the order of `COMPONENTS`; NaN for what can't be told apart, else unbiased and
        therefore possibly below 0.

    Raises:
        ParameterError: fewer than two architectures, or one score of each.
    """
    if scores.ndim != 3 or len(scores) < 2 or scores[0].size < 2:
        raise ParameterError(
            f"scores of shape {scores.shape}: give (architectures, minibatches, initialisations) "
            "with two architectures or more and two scores or more of each"
        )
    n, m, w = scores.shape
    mean = scores.mean()
    by_arch = scores.mean(axis=(1, 2))
    by_batch = scores.mean(axis=(0, 2))
    by_both = scores.mean(axis=2)
    by_weights = scores.mean(axis=1)
    interaction = by_both - by_arch[:, None] - by_batch + mean
    rest = scores - by_both[:, :, None] - by_weights[:, None, :] + by_arch[:, None, None]
    # Without degrees of freedom the sum of squares is 0, which leaves the component out of the
    # estimates of the others, as it has to be.
    a = m * w * np.square(by_arch - mean).sum() / (n - 1)
    b = n * w * np.square(by_batch - mean).sum() / max(m - 1, 1)
    ab = w * np.square(interaction).sum() / ((n - 1) * max(m - 1, 1))
    k = m * np.square(by_weights - by_arch[:, None]).sum() / (n * max(w - 1, 1))
    e = np.square(rest).sum() / (n * max((m - 1) * (w - 1), 1))
    found = [(a - ab - k + e) / (m * w), (b - ab) / (n * w), (ab - e) / w, (k - e) / m, e]
    return np.where(_told_apart(m, w), found, np.nan)


def _told_apart(minibatches: int, initialisations: int) -> tuple[bool, ...]:
    """Which of `COMPONENTS` a design can estimate."""
    several, nested = minibatches > 1, initialisations > 1
    return True, several, several, nested, several and nested


def _shares(variances: Floats) -> Floats:
    positive = np.maximum(variances, 0)  # NaN stays NaN
    total = float(np.nansum(positive))
    return np.divide(positive, total if total > 0 else np.nan, dtype=np.float64)


def split_variance(scores: Floats, *, resamples: int = 1000, seed: int = 0) -> VarianceSplit:
    """Split the variance of a single score, with bootstrap intervals over the architectures.

    Args:
        scores: as in `variance_components`, all finite.
        resamples: of the architectures, drawn with replacement; minibatches and initialisations
            are too few to resample.
        seed: of the resampling.

    Raises:
        ParameterError: as in `variance_components`, a score that is not finite, or no resamples.
    """
    variances = variance_components(scores)
    undefined = int((~np.isfinite(scores)).sum())
    if undefined:
        raise ParameterError(f"{undefined} of {scores.size} scores are not finite: drop them")
    if resamples < 1:
        raise ParameterError(f"resamples = {resamples}: give at least 1")
    generator = np.random.default_rng(seed)
    draws = np.empty((resamples, len(COMPONENTS)))
    for row in draws:
        drawn = generator.integers(len(scores), size=len(scores))
        row[:] = _shares(variance_components(scores[drawn]))
    # A resample of one architecture alone can be constant: such a one says nothing.
    draws = draws[~np.isnan(draws[:, 0])]
    low, high = (
        np.quantile(draws, [0.025, 0.975], axis=0)
        if len(draws)
        else np.full((2, len(COMPONENTS)), np.nan)
    )
    return VarianceSplit(variances, _shares(variances), low, high)


def variance_table(scores: pd.DataFrame, *, resamples: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Split the variance of the scores of each experiment and batch size.

    Args:
        scores: columns `experiment`, `dataset`, `batch_size`, `arch`, `minibatch_seed`,
            `weight_seed`, `score`, `status`; in each experiment every architecture has the same
            seeds. An architecture with an undefined score is dropped.
        resamples: bootstrap resamples of every interval.
        seed: of the resampling.

    Returns:
        One row per experiment, batch size and component that the design can tell apart, with
        `COLUMNS`: `architectures` were scored, of which `undefined` were dropped; `std` is the
        root of the component, 0 where its estimate is below 0. Figures are NaN where fewer than
        two architectures are left.

    Raises:
        ParameterError: a score is missing, or there twice; one minibatch and one initialisation.
    """
    keys = ["experiment", "dataset", "batch_size"]
    rows = []
    for (experiment, dataset, size), own in scores.groupby(keys, sort=True):
        values = _design(own, f"{experiment} at batch size {size}")
        n, m, w = values.shape
        defined = values[np.isfinite(values).all(axis=(1, 2))]
        nothing = np.full(len(COMPONENTS), np.nan)
        split = VarianceSplit(nothing, nothing, nothing, nothing)
        if len(defined) > 1:
            split = split_variance(defined, resamples=resamples, seed=seed)
        head = (experiment, dataset, size, n, n - len(defined), m, w)
        figures = (np.sqrt(np.maximum(split.variances, 0)), split.shares, split.low, split.high)
        rows += [
            (*head, component, *row)
            for component, known, *row in zip(COMPONENTS, _told_apart(m, w), *figures, strict=True)
            if known
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _design(own: pd.DataFrame, what: str) -> Floats:
    """(architectures, minibatches, initialisations), NaN where undefined."""
    axes = ["arch", "minibatch_seed", "weight_seed"]
    shape = tuple(own[axis].nunique() for axis in axes)
    if len(own) != np.prod(shape) or own.duplicated(axes).any():
        raise ParameterError(
            f"{what}: {len(own)} scores of {shape[0]} architectures, {shape[1]} minibatches and "
            f"{shape[2]} initialisations: one of each is needed, so make the scores again"
        )
    ordered = own.sort_values(axes)
    values = ordered["score"].astype("float64").where(ordered["status"] == "ok")
    return np.asarray(values, dtype=np.float64).reshape(shape)

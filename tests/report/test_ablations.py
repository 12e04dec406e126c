import itertools

import numpy as np
import pandas as pd
import pytest

from untrained.errors import ParameterError
from untrained.report.sections.ablations import (
    COLUMNS,
    COMPONENTS,
    split_variance,
    variance_components,
    variance_table,
)


def simulated(variances, n, m, w, seed=0):
    """Scores with known components, in the order of `COMPONENTS`."""
    generator = np.random.default_rng(seed)
    shapes = [(n, 1, 1), (1, m, 1), (n, m, 1), (n, 1, w), (n, m, w)]
    effects = [
        np.sqrt(variance) * generator.normal(size=shape)
        for variance, shape in zip(variances, shapes, strict=True)
    ]
    return 1500 + sum(effects)


def explicit_components(y):
    """Sums of squares, term by term, and expected mean squares solved one after the other."""
    n, m, w = y.shape

    def average(architectures, minibatches, initialisations):
        cells = list(itertools.product(architectures, minibatches, initialisations))
        return sum(y[cell] for cell in cells) / len(cells)

    every_a, every_b, every_k = range(n), range(m), range(w)
    mean = average(every_a, every_b, every_k)
    squares = dict.fromkeys(COMPONENTS, 0.0)
    for a, b, k in itertools.product(every_a, every_b, every_k):
        arch = average([a], every_b, every_k)
        batch = average(every_a, [b], every_k)
        both = average([a], [b], every_k)
        weights = average([a], every_b, [k])
        squares["architecture"] += (arch - mean) ** 2
        squares["minibatch"] += (batch - mean) ** 2
        squares["architecture × minibatch"] += (both - arch - batch + mean) ** 2
        squares["initialisation"] += (weights - arch) ** 2
        squares["residual"] += (y[a, b, k] - both - weights + arch) ** 2
    freedom = {
        "architecture": n - 1,
        "minibatch": m - 1,
        "architecture × minibatch": (n - 1) * (m - 1),
        "initialisation": n * (w - 1),
        "residual": n * (m - 1) * (w - 1),
    }
    assert sum(freedom.values()) == n * m * w - 1
    assert sum(squares.values()) == pytest.approx(sum((value - mean) ** 2 for value in y.flat))
    square = {name: squares[name] / freedom[name] if freedom[name] else 0 for name in COMPONENTS}
    residual = square["residual"]
    interaction = (square["architecture × minibatch"] - residual) / w
    initialisation = (square["initialisation"] - residual) / m
    batch = (square["minibatch"] - residual - w * interaction) / (n * w)
    arch = square["architecture"] - residual - w * interaction - m * initialisation
    found = [arch / (m * w), batch, interaction, initialisation, residual]
    return [
        value if freedom[name] else np.nan for name, value in zip(COMPONENTS, found, strict=True)
    ]


@pytest.mark.parametrize("shape", [(4, 3, 2), (5, 2, 4), (4, 3, 1), (4, 1, 3), (2, 2, 2)])
def test_components_are_those_of_explicit_sums_of_squares(shape):
    y = simulated((9, 4, 2, 1, 0.5), *shape)
    np.testing.assert_allclose(variance_components(y), explicit_components(y), rtol=1e-9)


def test_estimates_are_unbiased():
    """The mean over many simulated designs, within four standard errors."""
    truth = np.array([100.0, 9, 4, 16, 1])
    found = np.array(
        [variance_components(simulated(truth, 12, 3, 3, seed)) for seed in range(2000)]
    )
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - truth) < 4 * error).all()


@pytest.mark.parametrize("alone", range(len(COMPONENTS)))
def test_a_component_alone_is_found_alone(alone):
    variances = np.eye(len(COMPONENTS))[alone] * 25
    # without any residual the others are 0, or shrink with the number of architectures
    shares = split_variance(simulated(variances, 400, 4, 4), resamples=1).shares
    assert shares[alone] > 0.98
    assert np.nansum(shares) == pytest.approx(1)


def test_with_one_initialisation_the_rest_is_in_the_interaction():
    found = variance_components(simulated((100, 9, 4, 16, 1), 3000, 30, 1))
    assert found[[0, 2]] == pytest.approx([116, 5], rel=0.1)
    assert np.isnan(found[3:]).all()


def test_with_one_minibatch_there_is_architecture_and_initialisation():
    found = variance_components(simulated((100, 9, 4, 16, 1), 3000, 1, 10))
    assert found[[0, 3]] == pytest.approx([104, 17], rel=0.1)
    assert np.isnan(found[[1, 2, 4]]).all()


def test_the_interval_covers_the_truth():
    """In about 95 of 100 simulations, a few less because there are but three minibatches."""
    truth, covered = (100.0, 0, 9, 9, 4), 0
    share = truth[0] / sum(truth)
    for seed in range(100):
        split = split_variance(simulated(truth, 80, 3, 3, seed), resamples=200, seed=seed)
        assert split.low[0] <= split.high[0]
        covered += split.low[0] <= share <= split.high[0]
    assert covered >= 85


def test_a_shift_or_a_factor_moves_no_share():
    y = simulated((9, 4, 2, 1, 0.5), 20, 3, 3)
    first, second = (split_variance(scores, resamples=50) for scores in (y, 3 * y - 900))
    for name in ("shares", "low", "high"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-6)


def test_negative_estimates_are_kept_and_have_no_share():
    y = np.zeros((2, 2, 2))
    y[0, 0], y[0, 1] = (1, -1), (-1, 1)  # architectures differ less than chance would have it
    split = split_variance(y, resamples=20)
    assert split.variances.min() < 0
    assert split.shares.min() == 0
    assert split.shares.sum() == pytest.approx(1)


def test_constant_scores_have_no_shares():
    split = split_variance(np.full((3, 2, 2), 7.0), resamples=10)
    assert (split.variances == 0).all()
    assert np.isnan([split.shares, split.low, split.high]).all()


def tidy(y, experiment="variance", size=128):
    rows = [
        (experiment, "cifar100", size, 10 * a, b, k, y[a, b, k], "ok")
        for a, b, k in np.ndindex(y.shape)
    ]
    names = ["experiment", "dataset", "batch_size", "arch", "minibatch_seed", "weight_seed"]
    return pd.DataFrame(rows, columns=[*names, "score", "status"])


def test_the_table_has_a_row_per_experiment_size_and_component():
    crossed = simulated((9, 4, 2, 1, 0.5), 6, 3, 2)
    parts = [
        tidy(crossed),
        tidy(crossed[:, :, :1], "batch-size", 32),
        tidy(crossed[:, :, :1], "batch-size", 64),
        tidy(crossed[:, :1], "initialisation"),
    ]
    shuffled = pd.concat(parts).sample(frac=1, random_state=0)
    table = variance_table(shuffled, resamples=50)
    assert tuple(table.columns) == COLUMNS
    counts = table.groupby(["experiment", "batch_size"]).size().to_dict()
    expected = {("batch-size", 32): 3, ("batch-size", 64): 3}
    assert counts == expected | {("initialisation", 128): 2, ("variance", 128): 5}
    whole = table[table["experiment"] == "variance"]
    assert whole["component"].to_list() == list(COMPONENTS)
    split = split_variance(crossed, resamples=50)
    assert whole["share"].to_numpy() == pytest.approx(split.shares)
    assert whole["std"].to_numpy() ** 2 == pytest.approx(np.maximum(split.variances, 0))
    assert whole[["architectures", "undefined"]].drop_duplicates().to_numpy().tolist() == [[6, 0]]
    assert (table.groupby(["experiment", "batch_size"])["share"].sum().round(9) == 1).all()


def test_architectures_with_an_undefined_score_are_dropped_and_counted():
    y = simulated((9, 4, 2, 1, 0.5), 6, 3, 2)
    scores = tidy(y)
    lost = (scores["arch"] == 20) & (scores["minibatch_seed"] == 1)
    scores.loc[lost, ["score", "status"]] = [np.nan, "disconnected"]
    table = variance_table(scores, resamples=20)
    assert set(table["undefined"]) == {1}
    assert set(table["architectures"]) == {6}
    kept = split_variance(np.delete(y, 2, axis=0), resamples=20)
    assert table["share"].to_numpy() == pytest.approx(kept.shares)


def test_too_few_defined_architectures_leave_the_figures_undefined():
    scores = tidy(simulated((9, 4, 2, 1, 0.5), 2, 2, 2))
    scores.loc[scores["arch"] == 0, "status"] = "singular"
    table = variance_table(scores, resamples=20)
    assert len(table) == 5
    assert table[["std", "share", "share_low", "share_high"]].isna().all(axis=None)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t[1:],
        lambda t: pd.concat([t, t[:1]]),
        lambda t: t[(t["minibatch_seed"] == 0) & (t["weight_seed"] == 0)],
    ],
)
def test_an_unbalanced_design_is_refused(spoil):
    with pytest.raises(
        ParameterError, match=r"variance at batch size 128: .* make the scores again"
    ):
        variance_table(spoil(tidy(simulated((9, 4, 2, 1, 0.5), 3, 2, 2))), resamples=20)

import numpy as np
import pandas as pd
import pytest

from untrained.errors import ParameterError
from untrained.report.sections.preferences import COLUMNS, kept_among_best, preference_table

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
TARGETS = [("cifar100", "cifar100", "x-test")]
N = 60
EDGES = np.random.default_rng(1).integers(5, size=(N, 6))


def accuracies(dataset, split):
    return np.random.default_rng(7).normal(70, 3, N)


def rows(proxy, values, seed=0, dataset="cifar100"):
    arch = np.flatnonzero(np.arange(N) % 5 != 2)  # some are not scored
    status = np.where(np.isnan(values[arch]), "singular", "ok")
    columns = {"arch": arch, "proxy": proxy, "dataset": dataset, "seed": seed}
    return pd.DataFrame(columns | {"score": values[arch], "status": status})


def scores():
    generator = np.random.default_rng(3)
    kappa = generator.uniform(10, 900, N)
    kappa[[0, 8]] = np.nan
    kappa[1] = 1.0  # the best, but for its other seed
    lost = np.where(np.arange(N) == 1, np.nan, 9.0)
    tables = [rows("ntk_condition_number", kappa + seed * lost, seed) for seed in (0, 1)]
    tables[0].loc[tables[0]["arch"] == 1, ["score", "status"]] = 1.0, "ok"
    tables += [rows("linear_regions", generator.integers(1, 9, N) + 0.0, seed) for seed in (0, 1)]
    return pd.concat(tables, ignore_index=True)


def slow_best(values, fraction):
    """Positions of the defined values that fewer than a fraction surpass."""
    return [
        place
        for place, value in enumerate(values)
        if not np.isnan(value) and sum(other > value for other in values) < fraction * len(values)
    ]


def slow_shares(chosen):
    used = [operation for cell in chosen for operation in EDGES[cell]]
    return [used.count(number) / len(used) for number in range(5)]


def made(**settings):
    settings = {"lower": ["ntk_condition_number"], "resamples": 50} | settings
    return table_of(scores(), TARGETS, **settings)


def table_of(scores, targets, controls=None, **settings):
    used = {name: (number == EDGES).mean(axis=1) for number, name in enumerate(OPERATIONS)}
    settings |= {"space": "nasbench201", "controls": controls or {}}
    return preference_table(scores, accuracies, targets, used, **settings)


def test_a_control_that_is_scored_is_the_score():
    control = {"linear_regions": pd.Series(np.arange(float(N)))}
    pd.testing.assert_frame_equal(made(controls=control), made())


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.3, 1.0])
def test_shares_are_counted_over_the_edges_of_the_best(fraction):
    parameters = pd.Series(np.random.default_rng(2).integers(1, 6, N) + 0.0)
    table = made(best=fraction, controls={"parameters": parameters})
    assert tuple(table.columns) == COLUMNS
    sampled = np.flatnonzero(np.arange(N) % 5 != 2)
    mean = scores().groupby(["proxy", "arch"])["score"].agg(lambda own: own.mean(skipna=False))
    expected = {
        "linear_regions": mean["linear_regions"].to_numpy(),
        "ntk_condition_number": -mean["ntk_condition_number"].to_numpy(),
        "parameters": parameters[sampled].to_numpy(),
        "accuracy": accuracies("cifar100", "x-test")[sampled],
        "all sampled": np.zeros(len(sampled)),
    }
    assert list(dict.fromkeys(table["proxy"])) == list(expected)
    for proxy, values in expected.items():
        chosen = sampled[slow_best(values, fraction)]
        own = table[table["proxy"] == proxy]
        assert own["option"].tolist() == list(OPERATIONS)
        assert own["share"].tolist() == pytest.approx(slow_shares(chosen))
        assert set(own["best"]) == {len(chosen)}
        assert set(own["architectures"]) == {len(sampled)}
        assert own["share"].sum() == pytest.approx(1)


def test_a_fraction_that_is_a_whole_number_of_architectures_keeps_as_many():
    assert 0.28 * 25 > 7  # by rounding
    kept = kept_among_best(np.arange(25.0), np.ones((1, 25), np.int64), 0.28)
    assert np.flatnonzero(kept[0]).tolist() == [18, 19, 20, 21, 22, 23, 24]


def test_the_best_of_a_resample_are_its_own():
    generator = np.random.default_rng(5)
    values = generator.integers(1, 8, 30) + 0.0
    values[[3, 9]] = -np.inf
    draws = generator.integers(30, size=(20, 30))
    counts = np.stack([np.bincount(drawn, minlength=30) for drawn in draws])
    for fraction in (0.1, 0.3, 1.0):
        kept = kept_among_best(values, counts, fraction)
        for drawn, found in zip(draws, kept, strict=True):
            own = np.where(np.isinf(values[drawn]), np.nan, values[drawn])
            expected = drawn[slow_best(own, fraction)]
            assert found.tolist() == np.bincount(expected, minlength=30).tolist()


def test_intervals_are_the_quantiles_of_the_resamples():
    table = made(resamples=130, seed=4)
    sampled = np.flatnonzero(np.arange(N) % 5 != 2)
    counts = np.random.default_rng(4).multinomial(
        len(sampled), np.full(len(sampled), 1 / len(sampled)), size=130
    )
    truth = accuracies("cifar100", "x-test")
    draws = []
    for times in counts:
        drawn = np.repeat(sampled, times)
        draws.append(slow_shares(drawn[slow_best(truth[drawn], 0.1)]))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    own = table[table["proxy"] == "accuracy"]
    assert own["share_low"].tolist() == pytest.approx(low.tolist())
    assert own["share_high"].tolist() == pytest.approx(high.tolist())


def test_the_published_shares_are_beside_the_proxies_on_the_papers_images():
    table = made().set_index(["proxy", "option"])["paper_share"]
    assert table["ntk_condition_number", "nor_conv_3x3"] == pytest.approx(0.306)
    assert table["linear_regions", "none"] == pytest.approx(0.091)
    assert table["accuracy"].isna().all()
    images = [("cifar10", "cifar10", "ori-test")]
    elsewhere = table_of(scores().assign(dataset="cifar10"), images, resamples=2)
    assert elsewhere["paper_share"].isna().all()


def test_where_nothing_is_defined_no_share_is():
    lost = rows("naswot", np.full(N, np.nan))
    table = table_of(lost, TARGETS, resamples=3)
    own = table[table["proxy"] == "naswot"]
    assert own[["share", "share_low", "share_high"]].isna().all(axis=None)
    assert set(own["best"]) == {0}


def test_faults_are_named():
    for fraction in (0, -0.1, 1.1, float("nan")):
        with pytest.raises(ParameterError, match=r"fraction .* of the best: give more than 0"):
            made(best=fraction)

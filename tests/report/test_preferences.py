import numpy as np
import pandas as pd
import pytest
from tests.report import SPLITS, fed

from untrained.errors import ParameterError
from untrained.proxies.ensembles import ENSEMBLES
from untrained.report.sections.preferences import COLUMNS, kept_among_best, preference_table
from untrained.scoring.ensembles import with_ensembles
from untrained.search.choices import choices_of
from untrained.spaces import get_space

SPACE = get_space("nasbench201")
OPERATIONS = SPACE.option_order
SPLIT = {("cifar100", "test"): ("cifar100", "x-test")}
N = len(SPACE)
EDGES = choices_of(SPACE).codes
SAMPLED = np.sort(np.random.default_rng(1).choice(N, 48, replace=False))


def accuracies(dataset, split):
    return np.random.default_rng(7).normal(70, 3, N)


PARAMETERS = np.random.default_rng(2).integers(1, 6, N) + 0.0


def rows(proxy, values, seed=0, dataset="cifar100"):
    status = np.where(np.isnan(values), "singular", "ok")
    columns = {"arch": SAMPLED, "proxy": proxy, "dataset": dataset, "seed": seed}
    return pd.DataFrame(columns | {"score": values, "status": status})


def scores():
    generator = np.random.default_rng(3)
    kappa = generator.uniform(10, 900, 48)
    kappa[[0, 8]] = np.nan
    kappa[1] = 1.0  # the best, but for its other seed
    lost = np.where(np.arange(48) == 1, np.nan, 9.0)
    tables = [rows("ntk_condition_number", kappa + seed * lost, seed) for seed in (0, 1)]
    tables[0].loc[1, ["score", "status"]] = 1.0, "ok"
    tables += [rows("linear_regions", generator.integers(1, 9, 48) + 0.0, seed) for seed in (0, 1)]
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


def made(scores, accuracy=accuracies, splits=SPLIT, parameters=PARAMETERS, **options):
    inputs = fed(accuracy, splits=splits, costs={"parameters": parameters}, scores=scores)
    return preference_table(inputs, {"best": 0.1, "resamples": 50, "seed": 0} | options)


def test_a_control_that_is_scored_is_the_score():
    both = pd.concat([scores(), rows("parameters", np.arange(48.0))])
    pd.testing.assert_frame_equal(made(both), made(both, parameters=PARAMETERS[::-1]))


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.3, 1.0])
def test_shares_are_counted_over_the_edges_of_the_best(fraction):
    table = made(with_ensembles(scores(), [ENSEMBLES["tenas"]]), best=fraction)
    assert tuple(table.columns) == COLUMNS
    summed = with_ensembles(scores(), [ENSEMBLES["tenas"]])
    mean = summed.groupby(["proxy", "arch"])["score"].agg(lambda own: own.mean(skipna=False))
    expected = {
        "linear_regions": mean["linear_regions"].to_numpy(),
        "ntk_condition_number": -mean["ntk_condition_number"].to_numpy(),
        "tenas": mean["tenas"].to_numpy(),
        "parameters": PARAMETERS[SAMPLED],
        "accuracy": accuracies("cifar100", "x-test")[SAMPLED],
        "all sampled": np.zeros(48),
    }
    assert list(dict.fromkeys(table["proxy"])) == list(expected)
    for proxy, values in expected.items():
        chosen = SAMPLED[slow_best(values, fraction)]
        own = table[table["proxy"] == proxy]
        assert own["option"].tolist() == list(OPERATIONS)
        assert own["share"].tolist() == pytest.approx(slow_shares(chosen))
        assert set(own["best"]) == {len(chosen)}
        assert set(own["architectures"]) == {48}
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
    table = made(scores(), resamples=130, seed=4)
    counts = np.random.default_rng(4).multinomial(48, np.full(48, 1 / 48), size=130)
    truth = accuracies("cifar100", "x-test")
    draws = []
    for times in counts:
        drawn = np.repeat(SAMPLED, times)
        draws.append(slow_shares(drawn[slow_best(truth[drawn], 0.1)]))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    own = table[table["proxy"] == "accuracy"]
    assert own["share_low"].tolist() == pytest.approx(low.tolist())
    assert own["share_high"].tolist() == pytest.approx(high.tolist())


def test_the_published_shares_are_beside_the_proxies_on_the_papers_images():
    table = made(scores()).set_index(["proxy", "option"])["paper_share"]
    assert table["ntk_condition_number", "nor_conv_3x3"] == pytest.approx(0.306)
    assert table["linear_regions", "none"] == pytest.approx(0.091)
    assert table["accuracy"].isna().all()
    elsewhere = made(scores().assign(dataset="cifar10"), splits=SPLITS)
    assert elsewhere["paper_share"].isna().all()


def test_where_nothing_is_defined_no_share_is():
    table = made(rows("naswot", np.full(48, np.nan)))
    own = table[table["proxy"] == "naswot"]
    assert own[["share", "share_low", "share_high"]].isna().all(axis=None)
    assert set(own["best"]) == {0}


def test_a_benchmark_may_lack_the_number_of_parameters():
    table = made(scores(), parameters=np.full(N, np.nan))
    assert set(made(scores())["proxy"]) - set(table["proxy"]) == {"parameters"}


def test_faults_are_named():
    for fraction in (0, -0.1, 1.1, float("nan")):
        with pytest.raises(ParameterError, match=r"fraction .* of the best: give more than 0"):
            made(with_ensembles(scores(), [ENSEMBLES["tenas"]]), best=fraction)

"""Ensembles by their spelling, and their rows in tables of scores."""

import itertools

import numpy as np
import pandas as pd
import pytest

from untrained import score_space
from untrained.errors import MissingDataError, ParameterError, UnknownNameError
from untrained.proxies.ensembles import ENSEMBLES, Ensemble, combined
from untrained.scoring.ensembles import ensembles_of, parse_proxy, readings_of, with_ensembles
from untrained.scoring.request import is_ensemble, shows_test
from untrained.scoring.shards import merge_shards

KAPPA, REGIONS = "ntk_condition_number", "linear_regions"
TENAS = [ENSEMBLES["tenas"]]


def rows(proxy, values, dataset="cifar100", seed=0, status="ok"):
    columns = {"arch": range(len(values)), "proxy": proxy, "dataset": dataset, "seed": seed}
    return pd.DataFrame(columns | {"score": values, "status": status})


def added(scores, ensembles=TENAS):
    known = with_ensembles(scores, ensembles)
    own = known[known["proxy"] == str(ensembles[0])]
    return own.set_index(["dataset", "seed", "arch"])["score"]


def rank(value, values):
    """From 1, the smallest, with the mean rank of equals."""
    return sum(other < value for other in values) + (sum(v == value for v in values) + 1) / 2


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("log(parameters,jacobian_covariance)", "log(jacobian_covariance,parameters)"),
        ("vote( naswot , naswot-released,lga:64@1 )", "vote(lga:64@1,naswot,naswot-released)"),
        ("sum(naswot-corrected,synflow-logsynflow)", "sum(naswot,synflow-logsynflow)"),
        ("tenas", "tenas"),
        ("sum(ntk_condition_number,linear_regions)", "tenas"),
    ],
)
def test_spellings(spelling, canonical):
    parsed = parse_proxy(spelling)
    assert isinstance(parsed, Ensemble)
    assert str(parsed) == canonical
    assert parse_proxy(canonical) == parsed
    assert parsed.direction == "higher"


def test_a_proxy_is_a_reading():
    assert str(parse_proxy("naswot@1")) == "naswot@1"
    assert not is_ensemble("naswot@1")


@pytest.mark.parametrize(
    ("spelling", "error", "message"),
    [
        ("lag(naswot,parameters)", UnknownNameError, "did you mean 'log'"),
        ("log(naswot,paramters)", UnknownNameError, "did you mean 'parameters'"),
        ("log(naswot,parameters", ParameterError, "ends with a bracket"),
        ("log(naswot,parameters)@1", ParameterError, "ends with a bracket"),
        ("log(naswot)", ParameterError, "2 to 16 proxies"),
        ("log()", ParameterError, "2 to 16 proxies"),
        ("log(naswot,)", ParameterError, "2 to 16 proxies"),
        ("(naswot,parameters)", UnknownNameError, "rule of an ensemble"),
        ("log(naswot,naswot-corrected)", ParameterError, "has naswot twice"),
        ("log(naswot,tenas)", ParameterError, "'tenas' is an ensemble"),
        ("log(naswot,sum(flops,parameters))", ParameterError, "is an ensemble"),
        ("log(naswot,validation_accuracy)", ParameterError, "read after training"),
        (f"log({','.join(['naswot'] * 17)})", ParameterError, "2 to 16 proxies"),
    ],
)
def test_wrong_spellings_get_one_line(spelling, error, message):
    with pytest.raises(error, match=message) as caught:
        parse_proxy(spelling)
    assert "\n" not in str(caught.value)


def test_what_is_scored_for_proxies_and_ensembles():
    named = ["naswot", "log(parameters,naswot)", "tenas", "sum(naswot,flops)", "tenas"]
    assert list(map(str, readings_of(named))) == ["naswot", "parameters", REGIONS, KAPPA, "flops"]
    assert list(map(str, ensembles_of(named))) == [
        *("log(naswot,parameters)", "tenas", "sum(flops,naswot)"),
    ]


def test_an_ensemble_shows_test_labels_if_a_member_does():
    assert shows_test("log(lga-released@1,parameters)")
    assert not shows_test("log(lga@1,parameters)")


def test_the_sum_of_ranks_is_that_of_the_pairs_that_both_have():
    generator = np.random.default_rng(0)
    tables, expected = [], {}
    for dataset, seed in itertools.product(["cifar10", "cifar100"], [0, 3]):
        kappa = generator.integers(1, 12, 20).astype(float)
        regions = generator.integers(1, 6, 20).astype(float)
        kappa[[2, 5]] = np.nan, np.inf
        regions[7] = np.nan
        tables += [rows(KAPPA, kappa, dataset, seed), rows(REGIONS, regions, dataset, seed)]
        both = [arch for arch in range(20) if arch not in (2, 5, 7)]
        for arch in range(20):
            expected[dataset, seed, arch] = np.nan
        for arch in both:
            expected[dataset, seed, arch] = rank(-kappa[arch], -kappa[both]) + rank(
                regions[arch], regions[both]
            )
    scores = pd.concat([*tables, rows("naswot", np.arange(20.0))], ignore_index=True)
    found = added(scores.sample(frac=1, random_state=0))
    assert found.to_dict() == pytest.approx(expected, nan_ok=True)


def test_a_lower_score_of_a_member_may_be_better():
    scores = pd.concat([rows(KAPPA, [900.0, 50.0, 100.0]), rows(REGIONS, [30.0, 800.0, 400.0])])
    assert added(scores).tolist() == [2, 6, 4]


def test_a_status_makes_a_score_undefined_whatever_its_number():
    kappa = rows(KAPPA, [9.0, 5.0, 7.0])
    kappa.loc[1, "status"] = "singular"
    known = with_ensembles(pd.concat([kappa, rows(REGIONS, [1.0, 2.0, 3.0])]), TENAS)
    own = known[known["proxy"] == "tenas"]
    assert own["status"].tolist() == ["ok", "undefined", "ok"]
    assert own["score"].fillna(0).tolist() == [2, 0, 4]


def test_the_pool_is_what_all_members_have_scored():
    ensemble = parse_proxy("log(flops,naswot)")
    some = rows("naswot", [4.0, 2.0, 9.0]).assign(arch=[0, 2, 3])
    found = added(pd.concat([rows("flops", np.arange(5.0)), some]), [ensemble])
    expected = combined("log", [[0.0, 2.0, 3.0], [4.0, 2.0, 9.0]])
    assert found.droplevel([0, 1]).to_dict() == dict(zip([0, 2, 3], expected, strict=True))


@pytest.mark.parametrize(
    "scores",
    [
        pd.concat([rows(KAPPA, [9.0, 5.0]), rows(REGIONS, [1.0, 2.0], "cifar10")]),
        pd.concat([rows(KAPPA, [9.0, 5.0]), rows(REGIONS, [1.0, 2.0], seed=1)]),
    ],
)
def test_without_both_under_one_seed_the_scores_are_as_they_were(scores):
    assert with_ensembles(scores, TENAS).equals(scores)


def test_a_member_that_is_not_scored_is_named():
    with pytest.raises(
        MissingDataError, match=r"^tenas needs scores of linear_regions: score them"
    ):
        with_ensembles(rows(KAPPA, [9.0, 5.0]), TENAS)


def test_the_scores_that_were_there_stay_first_and_rows_are_made_anew():
    scores = pd.concat([rows(KAPPA, [9.0, 5.0]), rows(REGIONS, [1.0, 2.0])], ignore_index=True)
    known = with_ensembles(scores, TENAS)
    assert list(known.columns) == list(scores.columns)
    assert known.iloc[:4].equals(scores)
    assert len(known) == 6
    assert with_ensembles(known, TENAS).equals(known)


def test_seconds_are_those_of_all_members():
    kappa = rows(KAPPA, [9.0, 5.0]).assign(seconds=[1.0, 2.0])
    regions = rows(REGIONS, [1.0, 2.0]).assign(seconds=[0.5, np.nan])
    known = with_ensembles(pd.concat([kappa, regions]), TENAS)
    found = known.loc[known["proxy"] == "tenas", "seconds"]
    assert found.tolist() == pytest.approx([1.5, np.nan], nan_ok=True)


def test_two_scores_for_one_architecture_are_named():
    kappa = rows(KAPPA, [9.0, 5.0])
    scores = pd.concat([kappa, kappa.iloc[1:], rows(REGIONS, [1.0, 2.0])])
    with pytest.raises(
        ParameterError, match=r"two scores of ntk_condition_number for arch.* 1 and"
    ):
        with_ensembles(scores, TENAS)


def test_a_space_is_scored_by_ensembles_and_shards_of_it_are_not():
    named = "log(flops,parameters)"
    table = score_space("nasbench201", ["parameters", named], architectures=12)
    wide = table.pivot(index="arch", columns="proxy", values="score")
    expected = combined("log", wide[["flops", "parameters"]].to_numpy().T)
    assert wide[named].tolist() == pytest.approx(expected.tolist())
    shards = [
        score_space("nasbench201", ["parameters", "flops"], architectures=12, shard=one, shards=2)
        for one in (0, 1)
    ]
    merged = merge_shards(shards, [named])
    assert merged[merged["proxy"] == named]["score"].tolist() == pytest.approx(expected.tolist())
    with pytest.raises(ParameterError, match="score flops and parameters and name it to"):
        score_space("nasbench201", [named], architectures=12, shard=0, shards=2)

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tests.report import SPLITS

from untrained.errors import MissingDataError, ParameterError
from untrained.report.inputs import splits_of
from untrained.report.scores import (
    controls,
    proxy_label,
    short_accuracies,
    target_of,
    targets_of,
    with_ensembles,
)

DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
KAPPA, REGIONS = "ntk_condition_number", "linear_regions"


def rows(proxy, values, dataset="cifar100", seed=0, status="ok"):
    columns = {"arch": range(len(values)), "proxy": proxy, "dataset": dataset, "seed": seed}
    return pd.DataFrame(columns | {"score": values, "status": status})


def added(scores):
    known = with_ensembles(scores)
    return known[known["proxy"] == "tenas"].set_index(["dataset", "seed", "arch"])["score"]


def rank(value, values):
    """From 1, the smallest, with the mean rank of equals."""
    return sum(other < value for other in values) + (sum(v == value for v in values) + 1) / 2


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


def test_higher_is_better():
    scores = pd.concat([rows(KAPPA, [900.0, 50.0, 100.0]), rows(REGIONS, [30.0, 800.0, 400.0])])
    assert added(scores).tolist() == [2, 6, 4]


def test_a_status_makes_a_score_undefined_whatever_its_number():
    kappa = rows(KAPPA, [9.0, 5.0, 7.0])
    kappa.loc[1, "status"] = "singular"
    known = with_ensembles(pd.concat([kappa, rows(REGIONS, [1.0, 2.0, 3.0])]))
    own = known[known["proxy"] == "tenas"]
    assert own["status"].tolist() == ["ok", "undefined", "ok"]
    assert own["score"].fillna(0).tolist() == [2, 0, 4]


@pytest.mark.parametrize(
    "scores",
    [
        rows(KAPPA, [9.0, 5.0]),
        pd.concat([rows(KAPPA, [9.0, 5.0]), rows(REGIONS, [1.0, 2.0], "cifar10")]),
        pd.concat([rows(KAPPA, [9.0, 5.0]), rows(REGIONS, [1.0, 2.0], seed=1)]),
    ],
)
def test_without_both_the_scores_are_as_they_were(scores):
    assert with_ensembles(scores).equals(scores)


def test_the_scores_that_were_there_stay_first():
    scores = pd.concat([rows(KAPPA, [9.0, 5.0]), rows(REGIONS, [1.0, 2.0])], ignore_index=True)
    known = with_ensembles(scores)
    assert list(known.columns) == list(scores.columns)
    assert known.iloc[:4].equals(scores)
    assert len(known) == 6


def test_two_scores_for_one_architecture_are_named():
    kappa = rows(KAPPA, [9.0, 5.0])
    scores = pd.concat([kappa, kappa.iloc[1:], rows(REGIONS, [1.0, 2.0])])
    with pytest.raises(
        ParameterError, match=r"two scores of ntk_condition_number for arch.* 1 and"
    ):
        with_ensembles(scores)


def test_scores_are_held_against_validation_and_test_of_their_data_set():
    assert targets_of(["ImageNet16-120", "cifar10", "noise"], SPLITS) == [
        ("ImageNet16-120", "ImageNet16-120", "x-valid"),
        ("ImageNet16-120", "ImageNet16-120", "x-test"),
        ("cifar10", "cifar10-valid", "x-valid"),
        ("cifar10", "cifar10", "ori-test"),
        ("noise", "cifar10-valid", "x-valid"),
        ("noise", "cifar10", "ori-test"),
    ]


def test_what_a_benchmark_lacks_is_not_read():
    """NAS-Bench-101 has one training set; a published table of the size space, test only."""
    one = {("cifar10", "x-valid"), ("cifar10", "ori-test")}
    assert dict(splits_of(one, DATASETS)) == {
        ("cifar10", "val"): ("cifar10", "x-valid"),
        ("cifar10", "test"): ("cifar10", "ori-test"),
    }
    both = one | {("cifar10-valid", "x-valid")}
    assert splits_of(both, DATASETS)["cifar10", "val"] == ("cifar10-valid", "x-valid")
    tests = splits_of([("cifar100", "x-test"), ("cifar10", "ori-test")], DATASETS)
    assert targets_of(["cifar10", "cifar100", "ImageNet16-120"], tests) == [
        ("cifar10", "cifar10", "ori-test"),
        ("cifar100", "cifar100", "x-test"),
    ]
    with pytest.raises(MissingDataError, match="no val accuracies of cifar100: there is cifar10"):
        target_of("cifar100", "val", tests)


def test_images_that_the_benchmark_lacks_are_held_against_what_they_stand_for():
    of_nds = splits_of([("ImageNet", "ori-test")], ["ImageNet"])
    assert targets_of(["imagenette"], of_nds) == [("imagenette", "ImageNet", "ori-test")]
    imagenet = ("ImageNet16-120", "x-test")
    assert target_of("TinyImageNet16-120", "test", SPLITS) == ("TinyImageNet16-120", *imagenet)


def test_short_trainings_are_those_of_the_space_where_the_benchmark_has_them():
    """Not those of another length, of another seed, or of images without a split."""
    measures = {
        ("cifar10-valid", "x-valid", 5, "777"): np.array([70.0, 71.0, 72.0]),
        ("cifar100", "x-valid", 12, "777"): np.zeros(3),
        ("ImageNet16-120", "x-valid", 5, "mean"): np.zeros(3),
    }
    truth = SimpleNamespace(
        short_epochs=5, measures=measures, accuracies=lambda *group: measures[group]
    )
    images = [*DATASETS, "imagenette"]
    inputs = SimpleNamespace(
        benchmark=truth, splits=SPLITS, scores=pd.DataFrame({"dataset": images})
    )
    found = short_accuracies(inputs, np.array([0, 2]))
    assert {name: dict(own) for name, own in found.items()} == {"cifar10": {0: 70.0, 2: 72.0}}


def test_a_label_takes_the_place_of_a_proxys_name(monkeypatch):
    from untrained.proxies.naswot import Naswot

    monkeypatch.setattr(Naswot, "label", "NASWOT")
    names = ["naswot", "naswot-released", "naswot:64@0.5", "tenas", "accuracy after 5 epochs"]
    assert [proxy_label(name) for name in names] == [
        *("NASWOT", "NASWOT-released", "NASWOT:64@0.5", "tenas", "accuracy after 5 epochs"),
    ]


def test_a_control_that_an_architecture_lacks_is_none():
    costs = pd.DataFrame({"parameters": [10, 20], "flops": [5.0, np.nan]}, index=[0, 1])
    benchmark = SimpleNamespace(networks=["cifar10"], costs=lambda _network: costs)
    inputs = SimpleNamespace(benchmark=benchmark, main=lambda names: names[0])
    assert list(controls(inputs, np.array([0]))) == ["parameters", "flops"]
    assert list(controls(inputs, np.array([0, 1]))) == ["parameters"]

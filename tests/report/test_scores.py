from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tests.report import SPLITS

from untrained.errors import MissingDataError
from untrained.report.inputs import splits_of
from untrained.report.scores import (
    controls,
    proxy_label,
    short_accuracies,
    target_of,
    targets_of,
)

DATASETS = ("cifar10", "cifar100", "ImageNet16-120")


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
    names.append("log(naswot-released,synflow@1)")
    assert [proxy_label(name) for name in names] == [
        *("NASWOT", "NASWOT-released", "NASWOT:64@0.5", "tenas", "accuracy after 5 epochs"),
        "log(NASWOT-released,synflow@1)",
    ]


def test_a_control_that_an_architecture_lacks_is_none():
    costs = pd.DataFrame({"parameters": [10, 20], "flops": [5.0, np.nan]}, index=[0, 1])
    benchmark = SimpleNamespace(networks=["cifar10"], costs=lambda _network: costs)
    inputs = SimpleNamespace(benchmark=benchmark, main=lambda names: names[0])
    assert list(controls(inputs, np.array([0]))) == ["parameters", "flops"]
    assert list(controls(inputs, np.array([0, 1]))) == ["parameters"]

"""`untrained prune` on noise, by the number that takes little time."""

import json

import pandas as pd
import pytest

FAST = ("--dataset", "noise", "--criterion", "regions", "--repeats", 1, "--workers", 1)


@pytest.fixture(scope="module")
def spelled():
    from untrained.spaces import get_space

    return get_space("nasbench201")


def test_one_operation_is_left_on_every_edge(untrained, spelled, benchmark_table):
    code, out, err = untrained("prune", "nasbench201", *FAST, "--out", "trace", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert spelled.parse(found["spelling"]).index == found["architecture"]
    assert "none" not in found["spelling"]
    test = found["accuracy"]["cifar10/ori-test"]
    assert test == benchmark_table.accuracy(found["architecture"], "cifar10", "ori-test")
    trace = pd.read_parquet("trace")
    assert trace.groupby("round")["pruned"].sum().tolist() == [6, 6, 6, 0]
    assert all("supernets/s" in line for line in err.splitlines())


def test_what_people_read(untrained):
    code, out, _ = untrained("prune", "nasbench201", *FAST)
    assert code == 0
    assert out.count("6 of ") == 3
    assert out.count("  accuracy  ") == 6


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nasbench20"], "did you mean 'nasbench201'"),
        (["darts"], "unknown space of a pruning search 'darts'"),
        (["nasbench201", "--criterion", "kapa"], "did you mean 'kappa'"),
        (["nasbench201", "--variant", "relased"], "did you mean 'released'"),
        (["nasbench201", "--repeats", 0], "0 repeats: 1 or more"),
        (["nasbench201", "--batch-size", 1], "batch size 1 is too small"),
        (["nasbench201", "--workers", 0], "0 workers: 1 or more"),
        (["nasbench201", "--dataset", "cifar"], "unknown data set"),
        (["nasbench201", "--split", "tset"], "did you mean 'test'"),
        (["nasbench201", "--seed", -1], "negative"),
    ],
)
def test_mistakes_write_nothing(refused, arguments, said):
    refused(["prune", *arguments], said)

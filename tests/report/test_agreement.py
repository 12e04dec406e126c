"""Tables of scores that others made, and how far they agree with ours."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr

from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.report.agreement import agreement, paired, read_others
from untrained.spaces import get_space

SPACE = get_space("nasbench201")
#: NASLib's numbers of cells 0 to 2, and their spelling in another notation.
CELLS = [SPACE[index].spelling for index in (0, 1462, 6111)]


def naslib(index):
    """The six numbers by NASLib's order of edges and operations."""
    names = ["skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3"]
    nodes = [
        [entry.split("~")[0] for entry in node.strip("|").split("|")]
        for node in SPACE[index].spelling.split("+")
    ]
    edges = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    return str(tuple(names.index(nodes[target - 1][source]) for source, target in edges))


def test_naslibs_json_is_read():
    content = {
        "cifar10": {
            naslib(1462): {"nwot": {"score": 3.5, "time": 0.1}, "val_accuracy": 80.25, "id": "x"},
            naslib(0): {"nwot": {"score": float("nan")}, "flops": {"score": None}},
        },
        "ImageNet16-120": {naslib(6111): {"nwot": {"score": 1}}},
    }
    table = read_others(json.dumps(content), "zc.json", SPACE, "cifar10")
    assert table.fillna(-1).values.tolist() == [
        [1462, "nwot", "cifar10", 3.5],
        [1462, "val_accuracy", "cifar10", 80.25],
        [0, "nwot", "cifar10", -1],
        [6111, "nwot", "ImageNet16-120", 1.0],
    ]
    assert table.attrs["unknown"] == 0


def test_data_sets_that_the_space_does_not_know_keep_their_names():
    content = {name: {naslib(7): {"nwot": 2}} for name in ("ninapro", "cifar-10")}
    table = read_others(json.dumps(content), "zc.json", SPACE, "cifar100")
    assert table.values.tolist() == [[7, "nwot", "ninapro", 2.0], [7, "nwot", "cifar10", 2.0]]


def test_a_data_set_may_be_left_out():
    table = read_others(json.dumps({naslib(7): {"jacov": 2}}), "x.json", SPACE, "cifar100")
    assert table.values.tolist() == [[7, "jacov", "cifar100", 2.0]]


def test_csv_is_read_with_a_column_for_each_proxy_and_quoted_spellings():
    text = f'nwot,arch,note,jacov\n1.5,"{CELLS[1]}",good,\n\n-2,0,bad,1e3\n'
    table = read_others(text, "scores.csv", SPACE, "cifar10")
    assert table.fillna(-1).values.tolist() == [
        *([1462, "nwot", "cifar10", 1.5], [1462, "jacov", "cifar10", -1]),
        *([0, "nwot", "cifar10", -2.0], [0, "jacov", "cifar10", 1000.0]),
    ]


def test_cells_of_csv_may_have_spaces_and_data_sets_other_spellings():
    table = read_others("arch, dataset, proxy, score\n 5, CIFAR-10, nwot,1.0\n", "x.csv", SPACE, "")
    assert table.values.tolist() == [[5, "nwot", "cifar10", 1.0]]


def test_csv_of_our_own_tables_is_read():
    text = "arch,proxy,dataset,seed,score,status\n3,naswot,cifar100,0,7.5,ok\n"
    table = read_others(text, "scores.csv", SPACE, "cifar10")
    assert table.values.tolist() == [[3, "naswot", "cifar100", 7.5]]


def test_architectures_that_are_unknown_are_counted():
    text = f"cell,nwot\n{CELLS[0]},1\nnonsense,2\n15625,3\n"
    table = read_others(text, "scores.csv", SPACE, "cifar10")
    assert len(table) == 1
    assert table.attrs["unknown"] == 2
    assert "nonsense" in table.attrs["example"]


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("x.json", "{", DamagedFileError, "x.json is no JSON"),
        ("x.json", "[" * 100_000, DamagedFileError, "x.json is no JSON"),
        ("x.json", "[1]", DamagedFileError, "no mapping of architectures: it should be"),
        ("x.json", "{}", DamagedFileError, "no mapping of architectures"),
        ("x.json", '{"cifar10": 3}', DamagedFileError, "has '3' in the place of scores"),
        ("x.json", '{"cifar10": {"0": [1]}}', DamagedFileError, "in the place of scores"),
        (
            *("x.json", '{"cifar10": {"0": {"nwot": 1}, "0": {"nwot": 2}, "1": {"nwot": 3}}}'),
            *(DamagedFileError, "x.json has the key '0' twice: keep one"),
        ),
        (
            *("x.json", '{"0": {"nwot": {"score": 1, "score": 1}}}'),
            *(DamagedFileError, "x.json has the key 'score' twice"),
        ),
        ("x.json", '{"a": {"nwot": 1}}', MissingDataError, "no score of an architecture of nasb"),
        ("x.csv", "", DamagedFileError, "is no table of scores"),
        ("x.csv", "arch\n1\n", DamagedFileError, "is no table of scores"),
        ("x.csv", "arch,a,a\n1,2,3\n", DamagedFileError, "is no table of scores"),
        ("x.csv", "arch,a\n1,2,3\n", DamagedFileError, "has 3 values in line 2, and 2 columns"),
        ("x.csv", 'arch,a\n1,"2\n', DamagedFileError, "is no CSV"),
        ("x.csv", "arch,a\nx,2\n", MissingDataError, "no score of an architecture"),
        ("x.csv", "arch,a\n1,b\n", MissingDataError, "it has none at all"),
        ("x.csv", "arch,a\n1,2\n1,2\n", DamagedFileError, "two scores of a on cifar10 for |"),
    ],
)
def test_bad_files_get_one_line(name, text, error, message):
    with pytest.raises(error) as caught:
        read_others(text, name, SPACE, "cifar10")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def ours(**proxies):
    tables = [
        pd.DataFrame(
            {"arch": range(len(scores)), "proxy": proxy, "dataset": "cifar10", "seed": seed}
            | {"score": np.asarray(scores) + seed, "status": "ok"}
        )
        for proxy, scores in proxies.items()
        for seed in (0, 1)
    ]
    return pd.concat(tables, ignore_index=True)


def test_agreement_is_that_of_scipy_over_what_both_have():
    rng = np.random.default_rng(0)
    mine, yours = rng.normal(size=60), rng.normal(size=70).round(1)
    mine[5], yours[[7, 8]] = (
        np.nan,
        np.nan,
    )
    yours[9] = mine[9] + 0.5  # the mean over two seeds
    theirs = pd.DataFrame({"arch": range(70), "proxy": "nwot", "dataset": "cifar10"})
    theirs["score"] = yours
    table = agreement(theirs, ours(naswot=mine), {"nwot": "naswot"}, resamples=200)
    (row,) = table.to_dict("records")
    both = [one for one in range(60) if one not in (5, 7, 8)]
    assert row["n"] == len(both)
    assert (row["undefined_theirs"], row["undefined_ours"]) == (2, 1)
    assert row["tau"] == pytest.approx(kendalltau(mine[both], yours[both]).statistic)
    assert row["rho"] == pytest.approx(spearmanr(mine[both], yours[both]).statistic)
    assert row["equal"] == pytest.approx(1 / len(both))
    assert row["tau_low"] < row["tau"] < row["tau_high"]


def test_scores_are_equal_but_for_rounding():
    scale = np.array([1e-3, 1.0, 1e4])
    for share, equal in ((1e-7, 1.0), (1e-4, 0.0)):
        theirs = pd.DataFrame({"arch": range(3), "proxy": "nwot", "dataset": "cifar10"})
        theirs["score"] = scale * (1 + share)
        mine = ours(naswot=scale)
        found = agreement(theirs, mine[mine["seed"] == 0], {"nwot": "naswot"}, resamples=2)
        assert found["equal"].tolist() == [equal]


def test_names_are_paired_by_themselves_and_by_aliases():
    scored = ["naswot", "parameters", "jacobian_covariance", "synflow"]
    found = paired(["nwot", "params", "jacov", "synflow", "id"], scored)
    assert found == {
        "nwot": "naswot",
        "params": "parameters",
        "jacov": "jacobian_covariance",
        "synflow": "synflow",
    }
    assert paired(["a"], scored, {"a": "naswot-corrected"}) == {"a": "naswot"}
    for pairs, message in (
        ({"b": "naswot"}, "they have no b: they have a"),
        ({"a": "flops"}, "flops is not scored here: naswot, "),
        (None, "no score is in both: they have a, scored here are naswot, "),
    ):
        with pytest.raises(ParameterError, match=message):
            paired(["a"], scored, pairs)


def test_scores_on_other_data_sets_are_no_agreement():
    theirs = pd.DataFrame({"arch": [0], "proxy": ["nwot"], "dataset": ["cifar100"], "score": [1.0]})
    with pytest.raises(MissingDataError, match="on cifar100, and ours are on cifar10"):
        agreement(theirs, ours(naswot=[1.0]), {"nwot": "naswot"})

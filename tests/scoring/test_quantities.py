"""Quantities of architectures, and constraints on them, against slow evaluations."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from untrained import devices, get_space, quantity_values, score
from untrained.errors import MissingDataError, ParameterError, UnknownNameError
from untrained.scoring.constraints import parse_constraint
from untrained.scoring.quantities import Costs, parse_quantity


@pytest.fixture(autouse=True)
def empty(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_measured_quantities_are_those_of_the_table():
    table = devices("nasbench201")
    for spelled, (metric, device, dataset) in {
        "latency[raspi4]": ("latency", "raspi4", "cifar10"),
        "energy[fpga/ImageNet16-120]": ("energy", "fpga", "ImageNet16-120"),
        "latency[pixel2]": ("latency", "pixel2", "cifar"),
    }.items():
        found = quantity_values("nasbench201", spelled)
        np.testing.assert_array_equal(found, table.columns[metric, device, dataset])
    found = quantity_values("nasbench201", "latency[raspi4]", dataset="TinyImageNet16-120")
    np.testing.assert_array_equal(found, table.columns["latency", "raspi4", "ImageNet16-120"])


def test_scores_at_hand_are_means_over_seeds():
    rows = [(7, 0, 1.0), (7, 1, 4.0), (9, 0, np.nan), (9, 1, 2.0), (11, 0, np.inf)]
    table = pd.DataFrame(rows, columns=["arch", "seed", "score"])
    table = table.assign(proxy="naswot", dataset="cifar10", status="ok")
    found = quantity_values("nasbench201", "naswot", scores=table)
    assert found[[7, 9]].tolist() == [2.5, 2.0]
    assert np.flatnonzero(np.isfinite(found)).tolist() == [7, 9]
    with pytest.raises(MissingDataError, match="no cached scores of naswot on cifar100"):
        quantity_values("nasbench201", "naswot", scores=table, dataset="cifar100")


@pytest.mark.parametrize("spelled", ["parameters", "flops-live", "memory"])
@pytest.mark.parametrize("space", ["nasbench101", "natsbench_size", "darts"])
def test_counts_of_a_graph_are_the_scores_of_its_network(space, spelled):
    space = get_space(space)
    chosen = [0, len(space) - 1]
    found = Costs(space, "cifar10").values(parse_quantity(spelled), chosen)
    slow = [score(space, one, proxy=spelled, batch_size=2).score for one in chosen]
    assert found.tolist() == slow
    # a stage of cells of DARTS needs the same memory whatever the operations are
    assert len(set(slow)) == 1 + ((space.name, spelled) != ("darts", "memory"))


def test_counts_of_all_networks_are_those_that_come_along():
    stored = quantity_values("nasbench201", "flops")
    none = pd.DataFrame(columns=["arch", "seed", "score", "proxy", "dataset", "status"])
    chosen = [5, 1462, 7001]
    counted = Costs(get_space("nasbench201"), "cifar10", none)
    found = counted.values(parse_quantity("flops"), chosen)
    assert counted.column(parse_quantity("flops")) is None
    assert np.float32(found).tolist() == stored[chosen].tolist()  # stored in 32 bits


@pytest.mark.parametrize(
    ("spelled", "kind", "said"),
    [
        ("latency", ParameterError, r"latency\[DEVICE\]; `untrained list devices`"),
        ("weight[raspi4]", ParameterError, r"no quantity: write latency\[DEVICE\]"),
        ("latency[raspi4", ParameterError, "no quantity"),
        ("latency[]", ParameterError, "no quantity"),
        ("latency[raspi4/]", ParameterError, "no quantity"),
        ("beauty", UnknownNameError, r"unknown proxy 'beauty'.*latency\[DEVICE\]"),
        ("log(naswot,parameters)", ParameterError, "is an ensemble"),
        ("latency[rasp4]", UnknownNameError, "did you mean 'raspi4'"),
        ("latency[raspi4/mnist]", UnknownNameError, "'mnist'.*known: ImageNet16-120"),
        ("latency[pixel2/cifar10]", UnknownNameError, "'cifar10': did you mean 'cifar'"),
        ("epe_nas:9", MissingDataError, "no cached scores of epe_nas:9"),
    ],
)
def test_what_is_no_quantity_is_one_line(spelled, kind, said):
    with pytest.raises(kind, match=said) as error:
        quantity_values("nasbench201", spelled)
    assert "\n" not in str(error.value)


CONDITIONS = {
    "latency[raspi4] <= 10 ms": lambda of: of["latency[raspi4]"] <= 10,
    "latency[raspi4]<0.01s": lambda of: of["latency[raspi4]"] < 10,
    "energy[edgegpu] >= 20000 uJ": lambda of: of["energy[edgegpu]"] >= 20,
    "energy[edgegpu] > 0.02 J": lambda of: of["energy[edgegpu]"] > 20,
    "parameters <= 1e6": lambda of: of["parameters"] <= 1_000_000,
    "flops-live >= .1 G, parameters < 900 K": lambda of: (
        of["flops-live"] >= 1e8 and of["parameters"] < 900_000
    ),
    "latency[edgetpu] > 0": lambda of: not np.isnan(of["latency[edgetpu]"]),
    "latency[edgetpu] <= 1, latency[edgetpu] >= 1": lambda of: of["latency[edgetpu]"] == 1,
}


@pytest.mark.parametrize("spelled", CONDITIONS)
def test_a_constraint_holds_where_all_its_conditions_do(spelled):
    constraint = parse_constraint(spelled)
    indices = np.arange(0, 15625, 7)
    names = {one.spelling for one in constraint.quantities}
    columns = {name: quantity_values("nasbench201", name) for name in names}
    costs = Costs(get_space("nasbench201"), "cifar10")
    found = constraint.holds(costs, indices)
    slow = [
        bool(CONDITIONS[spelled]({name: own[one] for name, own in columns.items()}))
        for one in indices
    ]
    assert found.tolist() == slow
    assert "=" in spelled.rpartition(",")[2] or 0 < sum(slow) < len(slow)
    assert parse_constraint(str(constraint)) == constraint


def test_conditions_are_read_in_the_unit_of_their_quantity():
    found = parse_constraint("memory <= 2 MiB, memory > 3 KB, naswot >= -1.5e3")
    assert [one.bound for one in found.conditions] == [2 * 2**20, 3000, -1500]
    assert str(found) == "memory <= 2 MiB, memory > 3 KB, naswot >= -1.5e3"
    assert str(parse_constraint("memory < 0.0 kB, flops > 3k")) == "memory < 0.0 KB, flops > 3 K"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("params < 1e6", "parameters < 1e6"), ("nwot-released:64@1 > 3", "naswot-released:64@1 > 3")],
)
def test_proxies_may_have_the_names_that_other_tools_give_them(theirs, ours):
    assert parse_constraint(theirs) == parse_constraint(ours)


@pytest.mark.parametrize(
    ("quantity", "sizes"),
    [
        ("latency[raspi4]", {"us": 1e-3, "ms": 1, "s": 1000}),
        ("energy[edgegpu]", {"uJ": 1e-3, "mJ": 1, "J": 1000}),
        ("memory", {"bytes": 1, "B": 1, "KB": 1000, "MB": 10**6, "GB": 10**9}),
        ("memory", {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}),
        ("flops", {"": 1, "K": 1000, "M": 10**6, "G": 10**9}),
    ],
)
def test_every_unit_has_its_size(quantity, sizes):
    for unit, size in sizes.items():
        (found,) = parse_constraint(f"{quantity} <= 3 {unit}").conditions
        assert found.bound == pytest.approx(3 * size, rel=1e-15)


@pytest.mark.parametrize(
    ("spelled", "said"),
    [
        ("", "a condition is empty"),
        ("flops <= 1,", "a condition is empty"),
        ("flops", "'flops' is no condition"),
        ("<= 3", "'<= 3' is no condition"),
        ("flops = 3", "asks for equality: take <= or >="),
        ("flops != 3", "excludes a value: take < or >"),
        ("1 <= flops <= 3", "two comparisons"),
        ("flops <= many", "'many' is no number"),
        ("flops <= nan", "'nan' is no number"),
        ("flops <= 1e999", "'1e999' is too large"),
        ("latency[raspi4] <= 1e308 s", "'1e308 s' is too large"),
        ("flops >= 1e-400", "'1e-400' is too small"),
        ("latency[raspi4] >= 1e-323 us", "is too small"),
        ("min(flops)<3", r"'min\(flops\)' has the direction of an objective.*: write flops$"),
        ("flops <= 1,000", "comma within a number.*write 1000 for 1,000"),
        ("flops <= 1,000,000, memory > 1", "comma within a number"),
        ("latency[raspi4] <= 1,5 ms", "comma within a number.*1.5 for 1,5"),
        ("latency[raspi4] <= 1 Ms", "has no unit 'Ms'"),
        ("memory <= 1 mB", "has no unit 'mB'"),
        ("latency[raspi4] <= 1 k", "has no unit 'K'"),
        ("flops <= 1.2.3", "is no number"),
        ("flops <=", "'' is no number"),
        ("10 ms >= latency[raspi4]", "is no number"),
        ("flops <= 1 ms", "flops has no unit 'ms': take K, M, G, or none"),
        ("latency[raspi4] <= 1 M", r"latency\[raspi4\] has no unit 'M': take us, ms, s$"),
        ("log(naswot,flops) > 1", "is an ensemble"),
        (3, "the constraint 3 is no text"),
    ],
)
def test_what_is_no_constraint_is_one_line(spelled, said):
    with pytest.raises(ParameterError, match=said) as error:
        parse_constraint(spelled)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["1.001 M", "0.057M", "128.002 M", "1.1K", "3.3 G"])
def test_a_bound_with_a_unit_is_the_number_that_is_meant(text):
    """A product of two decimals is rounded once: 1.001 M is 1,001,000, and no less."""
    (condition,) = parse_constraint(f"parameters <= {text}").conditions
    sizes = {"K": 1000, "M": 10**6, "G": 10**9}
    assert condition.bound == float(Decimal(text[:-1]) * sizes[text[-1]])


def test_what_reads_weights_is_not_counted():
    assert not parse_quantity("l2_norm").counted
    assert parse_quantity("flops-live").counted

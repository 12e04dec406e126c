"""`Benchmark`: the bundled values, look-ups against a plain table, and messages."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from untrained.benchmarks import Benchmark
from untrained.benchmarks import table as module
from untrained.benchmarks.table import COSTS, write_table
from untrained.errors import (
    ArchitectureError,
    DamagedFileError,
    MissingDataError,
    UnknownNameError,
)
from untrained.files import BUNDLED
from untrained.spaces import SPACES
from untrained.spaces.base import BenchmarkFacts, SearchSpace

TABLE = BUNDLED / "nasbench201.parquet"


def rows(*, seeds=("mean", "trial0"), archs=(0, 1, 2)):
    made = [
        {
            "arch": arch,
            "dataset": dataset,
            "split": "x-valid",
            "epochs": epochs,
            "seed": seed,
            "accuracy": 10.0 * arch + epochs / 100,
            "train_seconds": 100.0 + arch,
            "valid_seconds": None if epochs == 200 else 2.5,
            "parameters": 1000 + arch if seed == "mean" and epochs == 200 else None,
            "flops": 2000.0 + arch if seed == "mean" else None,
            "latency_seconds": 0.01 * epochs,
        }
        for dataset in ("cifar100", "cifar10-valid")
        for epochs in (12, 200)
        for seed in seeds
        for arch in archs
        if (arch, seed) != (2, "trial0")
    ]
    return pd.DataFrame(made)


class Toy(SearchSpace):
    """A space of three architectures that a table of this module is of."""

    name = "toy"
    summary = "nothing but a table"
    benchmark = BenchmarkFacts()

    def __len__(self):
        return 3

    def spelling(self, index):
        return str(index)

    def tabulated(self, table):
        return None  # as many as the table says

    def network(self, architecture, num_classes, skeleton=None):
        raise NotImplementedError


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(SPACES.builtin, "toy", f"{__name__}:Toy")


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    write_table(rows(), tmp_path / "toy.parquet")
    return Benchmark.load("toy", tmp_path)


@pytest.fixture(scope="module")
def bundled() -> Benchmark:
    return Benchmark.load("nasbench201", Path("no/such/folder"))


@pytest.mark.parametrize("part", [1, 5, 1000])
def test_a_table_is_read_in_parts_of_any_size(tmp_path, monkeypatch, part):
    """Row by row: the first value of a cost is that of the longest mean run that has one."""
    monkeypatch.setattr(module, "_PART", part)
    table = rows(archs=(7, 3, 0)).sample(frac=1, random_state=1)
    table.loc[(table["arch"] == 3) & (table["epochs"] == 200), "flops"] = None
    write_table(table, tmp_path / "toy.parquet")
    found = Benchmark.load("toy", tmp_path)
    assert len(found) == 8
    for dataset in ("cifar100", "cifar10-valid"):
        for index in range(8):
            own = table[(table["dataset"] == dataset) & (table["arch"] == index)]
            for epochs in (12, 200):
                for seed in ("mean", "trial0"):
                    row = own[(own["epochs"] == epochs) & (own["seed"] == seed)]
                    measures = found.measures[dataset, "x-valid", epochs, seed]
                    for name, values in measures.items():
                        expected = float(row[name].iloc[0]) if len(row) else np.nan
                        np.testing.assert_equal(values[index], expected)
                        assert not values.flags.writeable
            order = own.sort_values(["seed", "epochs"], ascending=[True, False])
            for name in COSTS:
                known = order[name].dropna()
                expected = float(known.iloc[0]) if len(known) else np.nan
                np.testing.assert_equal(found.networks[dataset][name][index], expected)


@pytest.mark.parametrize(
    ("dataset", "split", "best", "arch"),
    [
        ("cifar10-valid", "x-valid", 91.607, None),
        ("cifar100", "x-valid", 73.493, None),
        ("ImageNet16-120", "x-valid", 46.733, None),
        ("cifar10", "ori-test", 94.3733, {6111, 13714}),
        ("cifar100", "x-test", 73.5133, {9930}),
        ("ImageNet16-120", "x-test", 47.3111, {857}),
    ],
)
def test_best_mean_accuracies_are_the_published_ones(bundled, dataset, split, best, arch):
    values = bundled.accuracies(dataset, split)
    assert values.max() == pytest.approx(best, abs=5e-4)
    if arch is not None:
        assert set(np.flatnonzero(values > values.max() - 1e-6)) == arch


def test_largest_cell_has_its_published_accuracies_and_the_most_parameters(bundled):
    # The cell of six 3x3 convolutions.
    assert bundled.accuracies("cifar10", "ori-test")[1462] == pytest.approx(93.76, abs=5e-3)
    assert bundled.accuracies("cifar100", "x-test")[1462] == pytest.approx(71.11, abs=5e-3)
    assert bundled.accuracies("ImageNet16-120", "x-test")[1462] == pytest.approx(41.44, abs=5e-3)
    assert bundled.costs("cifar10")["parameters"].idxmax() == 1462


def test_all_architectures_are_in_every_bundled_group(bundled):
    missing = {
        group: int(np.isnan(values["accuracy"]).sum())
        for group, values in bundled.measures.items()
        if group[3] != "trial2"
    }
    assert len(bundled) == 15_625
    assert len(missing) == 18
    assert set(missing.values()) == {0}
    # 7,456 architectures were trained twice only.
    third = bundled.accuracies("cifar100", "x-valid", seed="trial2")
    assert np.isnan(third).sum() == 7_456


def test_bundled_costs_are_there_for_every_data_set(bundled):
    for dataset in ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"):
        costs = bundled.costs(dataset)
        assert costs["parameters"].dtype == np.int64
        assert costs.shape == (15_625, 3)
        assert not costs.isna().any().any()
    # The classifier alone differs: 64 inputs and a bias for each further class.
    difference = bundled.costs("cifar100") - bundled.costs("cifar10")
    assert set(difference["parameters"]) == {90 * 65}


def test_bundled_means_are_means_of_the_trials(bundled):
    trials = [bundled.accuracies("cifar100", "x-valid", seed=f"trial{i}") for i in range(3)]
    mean = bundled.accuracies("cifar100", "x-valid")
    assert np.abs(np.nanmean(trials, axis=0) - mean).max() < 1e-6


def test_twelve_epochs_take_twelve_of_two_hundred(bundled):
    short = bundled.train_seconds(7, "cifar10-valid", "x-valid", 12, "777")
    long = bundled.train_seconds(7, "cifar10-valid", "x-valid")
    assert short == pytest.approx(long * 12 / 200)
    assert 0.5 < bundled.valid_seconds(7, "cifar10-valid", "x-valid", 12, "777") < 6


def test_bundled_table_is_small():
    assert TABLE.stat().st_size < 3_000_000


def test_an_index_may_be_a_number_of_numpy(bundled):
    for several in (np.int64(7), [np.int64(7)], np.array([7])):
        assert bundled.accuracy(several).index.tolist() == [7]


def test_lookups_equal_the_plain_table(benchmark):
    table = rows()
    for row in table.itertuples(index=False):
        group = (row.dataset, row.split, row.epochs, row.seed)
        assert benchmark.accuracies(*group)[row.arch] == row.accuracy
        assert benchmark.train_seconds(row.arch, *group) == row.train_seconds
        if row.epochs == 12:
            assert benchmark.valid_seconds(row.arch, *group) == 2.5
    assert len(benchmark) == 3
    assert np.isnan(benchmark.accuracies("cifar100", "x-valid", seed="trial0")[2])


def test_costs_prefer_the_rows_of_long_mean_runs(benchmark):
    costs = benchmark.costs("cifar100")
    assert costs.index.name == "arch"
    assert list(costs["parameters"]) == [1000, 1001, 1002]
    assert list(costs["flops"]) == [2000, 2001, 2002]
    assert list(costs["latency_seconds"]) == [2.0, 2.0, 2.0]


def test_unknown_costs_are_nan(tmp_path):
    table = rows()
    table.loc[table["arch"] == 1, ["parameters", "flops"]] = None
    write_table(table, tmp_path / "toy.parquet")
    costs = Benchmark.load("toy", tmp_path).costs("cifar100")
    assert np.isnan(costs["parameters"][1])
    assert costs["parameters"][0] == 1000


def test_arrays_are_read_only(benchmark):
    with pytest.raises(ValueError, match="read-only"):
        benchmark.accuracies("cifar100", "x-valid")[0] = 99


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (("svhn", "x-valid"), "dataset 'svhn' in toy: there is cifar10-valid, cifar100"),
        (("cifar100", "test"), "split 'test' of cifar100 in toy: there is x-valid"),
        (("cifar100", "x-valid", 90), "epochs 90 of cifar100/x-valid in toy: there is 12, 200"),
        (("cifar100", "x-valid", 12, "777"), "seed '777' of .* there is mean, trial0"),
    ],
)
def test_missing_group_says_what_exists(benchmark, group, message):
    with pytest.raises(MissingDataError, match=f"^no accuracy for {message}$"):
        benchmark.accuracies(*group)


def test_missing_data_set_of_costs_says_what_exists(benchmark):
    with pytest.raises(
        MissingDataError, match=r"no .* for dataset 'svhn' in toy: there is cifar10"
    ):
        benchmark.costs("svhn")


def test_missing_value_says_what_exists(benchmark):
    message = r"architecture 2 for cifar100/x-valid/200/trial0 .*cifar100/x-valid/12/mean, "
    with pytest.raises(MissingDataError, match=message):
        benchmark.train_seconds(2, "cifar100", "x-valid", seed="trial0")
    with pytest.raises(MissingDataError, match=r"no valid_seconds of architecture 0 .*x-valid/12"):
        benchmark.valid_seconds(0, "cifar100", "x-valid")


@pytest.mark.parametrize("arch", [-1, 3, np.int64(3)])
def test_index_outside_the_space(benchmark, arch):
    with pytest.raises(ArchitectureError, match="indices run from 0 to 2"):
        benchmark.train_seconds(arch, "cifar100", "x-valid")


def test_fetched_table_is_preferred_and_may_cover_fewer_architectures(tmp_path):
    write_table(rows(), tmp_path / "nasbench201.parquet")
    benchmark = Benchmark.load(folder=tmp_path)
    assert benchmark.accuracies("cifar100", "x-valid")[2] == 22.0
    assert len(benchmark) == 15_625


def test_unknown_space(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'nasbench201'"):
        Benchmark.load("nasbench2001", tmp_path)


def test_no_such_file(tmp_path):
    with pytest.raises(MissingDataError, match="does not exist"):
        Benchmark.read(tmp_path / "toy.parquet", "toy")


def test_damaged_file(tmp_path):
    path = tmp_path / "nasbench201.parquet"
    path.write_bytes(TABLE.read_bytes()[:-100])
    with pytest.raises(DamagedFileError, match="damaged"):
        Benchmark.load(folder=tmp_path)


COLUMNS = [("cifar10", "ori-test"), ("cifar10-valid", "x-valid"), ("cifar100", "x-test")]


def with_known(*known):
    """A table of 12 architectures; of each column those that are known."""
    measures = {}
    for column, indices in zip(COLUMNS, known, strict=False):
        values = np.full(12, np.nan)
        values[list(indices)] = 50.0
        measures[*column, 200, "mean"] = {"accuracy": values}
        measures[*column, 12, "777"] = {"accuracy": np.full(12, 40.0)}  # is no full training
    return Benchmark("nasbench201", measures, {})


def slowly_known(known):
    """Architecture by architecture, column by column."""
    most = max(len(indices) for indices in known)
    return [
        arch
        for arch in range(12)
        if all(arch in indices for indices in known if len(indices) >= most / 2)
    ]


def test_known_are_those_with_every_accuracy_that_is_not_of_few():
    rng = np.random.default_rng(0)
    passed_over = alone = 0
    for _ in range(300):
        known = [
            set(rng.choice(12, size, replace=False).tolist())
            for size in rng.integers(1, 13, rng.integers(1, 4))
        ]
        expected = slowly_known(known)
        if not expected:
            with pytest.raises(MissingDataError, match="no architecture of nasbench201 has all"):
                _ = with_known(*known).known
            continue
        assert with_known(*known).known.tolist() == expected
        passed_over += min(map(len, known)) < max(map(len, known)) / 2
        alone += len(expected) < min(map(len, known))
    assert min(passed_over, alone) > 20  # both rules decide something


def test_one_missing_value_is_not_known_and_drops_no_column():
    whole = range(12)
    assert with_known(whole, [*range(5), *range(6, 12)]).known.tolist() == [
        *range(5),
        *range(6, 12),
    ]
    assert with_known(whole, range(6)).known.tolist() == list(range(6))
    assert with_known(whole, range(5)).known.tolist() == list(whole)
    short = Benchmark("nasbench201", {("cifar10", "ori-test", 12, "777"): {}}, {})
    with pytest.raises(MissingDataError, match="no accuracies after the 200 epochs of nasbench201"):
        _ = short.known

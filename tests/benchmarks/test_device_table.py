"""The tables of latencies and energies on devices."""

import numpy as np
import pandas as pd
import pytest

from untrained import cached_scores, devices
from untrained.benchmarks.devices import UNITS, DeviceTable
from untrained.errors import DamagedFileError, MissingDataError, ParameterError, UnknownNameError

PUBLISHED = "nasbench201_hardware.parquet"


@pytest.fixture(scope="module")
def bundled():
    return devices("nasbench201")


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write a table for a space, in an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def write(**changes):
        rows = {"arch": [0, 1], "dataset": "cifar10", "device": "abacus", "metric": "latency"}
        table = pd.DataFrame(rows | {"value": [2.5, 0.5]} | changes)
        target = tmp_path / "own.parquet"
        table.drop(columns=[name for name in table if name.startswith("no_")]).to_parquet(target)
        return target

    return write


def test_the_bundled_table_has_all_cells_on_29_devices(bundled):
    assert len(bundled) == 15625
    assert len(bundled.devices) == 29
    energetic = [one for one in bundled.devices if "energy" in bundled.metrics(one)]
    assert energetic == ["edgegpu", "eyeriss", "fpga"]
    assert all("latency" in bundled.metrics(one) for one in bundled.devices)
    whole = {key for key, values in bundled.columns.items() if not np.isnan(values).any()}
    lacking = {device for _, device, _ in set(bundled.columns) - whole}
    assert lacking == {"edgetpu"}
    assert np.isfinite(bundled.values("latency", "edgetpu")).sum() == 10_926


def test_bundled_values_are_the_published_ones_rounded(bundled, real_benchmarks):
    table = pd.read_parquet(real_benchmarks / PUBLISHED)
    table = table[~table["source"].astype(str).str.contains("360")]
    keys = ["metric", "device", "dataset"]
    seen = set()
    for key, rows in table.groupby(keys, observed=True):
        if key[0] not in UNITS:
            continue
        seen.add(key)
        exact = rows.set_index("arch_index")["value"].sort_index().replace(-1, np.nan)
        np.testing.assert_allclose(bundled.columns[key], exact, rtol=5e-4)
    assert seen == set(bundled.columns)


def test_latencies_far_below_a_millisecond_are_those_of_disconnected_cells(bundled):
    table = cached_scores("nasbench201")
    live = table[table["proxy"] == "parameters-live"].set_index("arch")["score"].sort_index()
    for device in ("pixel3", "raspi4"):
        values = bundled.values("latency", device, "cifar10")
        tiny = values < 1
        assert 250 < tiny.sum() < (live == 0).sum() == 341
        assert (live[tiny] == 0).all()


def test_a_device_with_one_data_set_answers_for_all(bundled):
    first = bundled.values("latency", "pixel2")
    assert first is bundled.values("latency", "pixel2", "ImageNet16-120")
    assert bundled.datasets("latency", "pixel2") == ("cifar",)


def test_without_a_data_set_the_first_of_the_space_is_taken(bundled):
    chosen = bundled.values("latency", "raspi4")
    assert chosen is bundled.columns["latency", "raspi4", "cifar10"]
    assert chosen is not bundled.values("latency", "raspi4", "cifar100")
    with pytest.raises(ValueError, match="read-only"):
        chosen[0] = 0


@pytest.mark.parametrize(
    ("asked", "kind", "message"),
    [
        (("latency", "rasp4"), UnknownNameError, "did you mean 'raspi4'.*samsung_a50"),
        (("energy", "raspi4"), MissingDataError, r"energy\[raspi4\].*there is latency\[raspi4\]"),
        (("latency", "raspi4", "cifar"), UnknownNameError, "'cifar10'.*ImageNet16-120"),
    ],
)
def test_what_is_not_known_is_said(bundled, asked, kind, message):
    with pytest.raises(kind, match=message):
        bundled.values(*asked)


def test_a_table_of_ones_own_stands_beside_the_bundled_one(written, bundled):
    table = devices("nasbench201", written())
    assert set(table.devices) == {*bundled.devices, "abacus"}
    own = table.values("latency", "abacus")
    assert own[:2].tolist() == [2.5, 0.5]
    assert np.isnan(own[2:]).all()
    replaced = devices("nasbench201", written(device="raspi4")).values("latency", "raspi4")
    assert replaced[:2].tolist() == [2.5, 0.5]


def test_a_table_at_its_place_is_read_without_being_named(written, tmp_path):
    target = tmp_path / "data" / "devices" / "nasbench101.parquet"
    target.parent.mkdir(parents=True)
    written().rename(target)
    assert devices("nasbench101").devices == ("abacus",)


def test_names_and_missing_values_of_published_tables_are_read(written):
    path = written(arch_index=[3, 4], no_arch=0, metric="energy_mJ", value=[-1.0, 4.0])
    table = pd.read_parquet(path).drop(columns="arch")
    table.astype({"device": "category"}).to_parquet(path)
    read = DeviceTable.load("nasbench201", path).values("energy", "abacus")
    assert np.flatnonzero(np.isfinite(read)).tolist() == [4]


@pytest.mark.parametrize("kind", ["str", "category"])
def test_a_quantity_by_two_names_is_one_quantity(written, kind):
    path = written(metric=["energy", "energy_mJ"])
    pd.read_parquet(path).astype({"metric": kind}).to_parquet(path)
    assert devices("nasbench201", path).values("energy", "abacus")[:2].tolist() == [2.5, 0.5]
    path = written(metric=["energy", "energy_mJ"], arch=1)
    pd.read_parquet(path).astype({"metric": kind}).to_parquet(path)
    with pytest.raises(DamagedFileError, match=r"1 has energy\[abacus\] on cifar10 twice"):
        devices("nasbench201", path)


def test_only_rows_of_the_space_are_read(written):
    path = written(space=["nasbench201", "darts"], arch=[7, 10**15])
    values = devices("nasbench201", path).values("latency", "abacus")
    assert np.flatnonzero(np.isfinite(values)).tolist() == [7]
    with pytest.raises(UnknownNameError, match="unknown device of nasbench201 'abacus'"):
        devices("nasbench201", written(space="darts")).values("latency", "abacus")
    with pytest.raises(MissingDataError, match="no latencies of natsbench_size are known"):
        devices("natsbench_size", path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": [0, 15625]}, "architecture 15625, there are 0 to 15624"),
        ({"arch": [0, -1]}, "architecture -1"),
        ({"arch": [1, 1]}, r"architecture 1 has latency\[abacus\] on cifar10 twice"),
        ({"value": [1.0, -2.0]}, "value -2 is not"),
        ({"value": [1.0, np.inf]}, "value inf"),
        ({"value": ["fast", "slow"]}, "column value holds"),
        ({"device": [None, "abacus"]}, "column device has nulls"),
        ({"device": [1, 2]}, "column device holds int64"),
        ({"arch": [0, 0.5]}, "architecture 0.5"),
        ({"metric": "beauty"}, "no latency or energy"),
    ],
)
def test_what_is_no_table_of_devices_is_refused(written, changes, message):
    path = written(**changes)
    with pytest.raises(DamagedFileError, match=message) as error:
        devices("nasbench201", path)
    assert str(path) in str(error.value)


def test_a_file_of_another_kind_is_not_to_be_deleted(tmp_path):
    (tmp_path / "notes.md").write_text("Notes")
    with pytest.raises(DamagedFileError, match=r"notes.md is no table of devices: name a parquet"):
        devices("nasbench201", tmp_path / "notes.md")


def test_a_table_without_a_column_is_refused(written):
    path = written()
    pd.read_parquet(path).drop(columns="device").to_parquet(path)
    with pytest.raises(DamagedFileError, match=r"lacks device, and has arch, dataset"):
        devices("nasbench201", path)


@pytest.mark.parametrize("space", ["nasbench101", "natsbench_size"])
def test_a_space_without_a_table_names_the_remedy(written, space):
    with pytest.raises(MissingDataError, match=f"`untrained measure {space}/"):
        devices(space)


def test_a_space_with_too_many_architectures_is_refused():
    with pytest.raises(ParameterError, match=r"darts has 1.*at most 10,000,000"):
        devices("darts")


def test_the_summary_has_a_row_per_column(bundled):
    table = bundled.summary()
    assert len(table) == len(bundled.columns) == 50
    row = table[(table["device"] == "fpga") & (table["metric"] == "energy")].iloc[1]
    assert row["dataset"] == "cifar10"
    assert row["unit"] == "mJ"
    assert row["architectures"] == 15625
    assert row["least"] < row["median"] < row["greatest"]

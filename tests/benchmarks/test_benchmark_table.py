"""The schema: what is written reads back, and impossible tables are refused."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from untrained.benchmarks import table as module
from untrained.benchmarks.table import (
    COLUMNS,
    KEYS,
    check_table,
    read_groups,
    read_table,
    write_table,
)
from untrained.errors import DamagedFileError
from untrained.files import BUNDLED, write_parquet


def table(**changes):
    columns = {
        "arch": [1, 0],
        "dataset": ["cifar10"] * 2,
        "split": ["ori-test"] * 2,
        "epochs": [200] * 2,
        "seed": ["mean"] * 2,
        "accuracy": [90.5, 0.1 + 0.2],
        "train_seconds": [1.5, None],
        "valid_seconds": [None, np.nan],
        "parameters": [None, 2**40 + 1],
        "flops": [1e7, 2e7],
        "latency_seconds": [0.01, 0.02],
    }
    return pd.DataFrame(columns | changes)


def test_written_table_is_sorted_and_exact(tmp_path):
    write_table(table(), tmp_path / "one.parquet")
    read = pq.read_table(tmp_path / "one.parquet")
    assert {name: str(read.schema.field(name).type) for name in read.column_names} == {
        **COLUMNS,
        "accuracy": "double",
        "train_seconds": "double",
        "valid_seconds": "double",
        "flops": "double",
        "latency_seconds": "double",
    }
    assert read["arch"].to_pylist() == [0, 1]
    assert read["accuracy"].to_pylist() == [0.1 + 0.2, 90.5]
    assert read["train_seconds"].to_pylist() == [None, 1.5]
    assert read["valid_seconds"].null_count == 2


def test_same_rows_give_the_same_bytes(tmp_path):
    write_table(table(), tmp_path / "one.parquet")
    write_table(table().iloc[::-1], tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_bundled_table_is_sorted():
    read = read_table(BUNDLED / "nasbench201.parquet", "nasbench201")
    keys = read[["dataset", "split", "epochs", "seed", "arch"]]
    # ASCII order of the columns that are text is that of Python.
    plain = keys.assign(
        **{name: keys[name].astype(object) for name in ("dataset", "split", "seed")}
    )
    assert plain.sort_values(list(plain.columns)).index.equals(plain.index)


@pytest.mark.parametrize("rows", [7, 10_000])
def test_a_table_is_read_part_by_part(tmp_path, monkeypatch, rows):
    whole = pd.read_parquet(BUNDLED / "nasbench201.parquet").sample(50, random_state=0)
    write_table(whole, tmp_path / "some.parquet")
    monkeypatch.setattr(module, "_PART", rows)
    expected = pd.read_parquet(tmp_path / "some.parquet")
    read = read_table(tmp_path / "some.parquet", "nasbench201")
    pd.testing.assert_frame_equal(read, expected, check_dtype=False)
    found = [
        dict(zip(KEYS, group, strict=True)) | {name: values[place] for name, values in part.items()}
        for group, part in read_groups(tmp_path / "some.parquet", "nasbench201")
        for place in range(len(part["arch"]))
    ]
    again = pd.DataFrame(found).sort_values([*KEYS, "arch"], ignore_index=True)[list(COLUMNS)]
    plain = expected.sort_values([*KEYS, "arch"], ignore_index=True)
    pd.testing.assert_frame_equal(again, plain, check_dtype=False)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_row_that_is_there_twice_is_noticed_in_another_part(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(module, "_PART", rows)
    path = tmp_path / "nasbench201.parquet"
    seeds = ["mean", "0", "1", "2", "mean"]
    five = pd.concat([table()[:1]] * 5).assign(seed=seeds, arch=[4, 5, 4, 4, 4])
    write_parquet(five, path)
    for read in (read_table, check_table):
        with pytest.raises(DamagedFileError, match="architecture 4 has cifar10/ori-test/200/mean"):
            read(path, "nasbench201")
    write_parquet(five.assign(arch=[4, 5, 4, 4, 3]), path)
    check_table(path, "nasbench201")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accuracy": [100.1, 50.0]}, "accuracy 100.1 is not in 0..100"),
        ({"accuracy": [50.0, -0.5]}, "accuracy -0.5 is not in 0..100"),
        ({"accuracy": [50.0, None]}, "column accuracy has nulls"),
        ({"seed": ["mean", None]}, "column seed has nulls"),
        ({"accuracy": ["50", "60"]}, "column accuracy holds"),
        ({"dataset": [1, 2]}, "column dataset holds"),
        ({"arch": [-1, 0]}, "arch -1 is not a finite number from 0 up"),
        ({"arch": [15_625, 0]}, "architecture 15625 is beyond the last, 15624"),
        ({"arch": [3, 3]}, "architecture 3 has cifar10/ori-test/200/mean twice"),
        ({"train_seconds": [np.inf, 1.0]}, "train_seconds inf is not"),
        ({"flops": [-5.0, 1.0]}, "flops -5 is not"),
        ({"extra": [1, 2]}, "its columns are .*extra, not arch"),
    ],
)
def test_impossible_tables_are_refused(tmp_path, changes, message):
    path = tmp_path / "nasbench201.parquet"
    write_parquet(table(**changes), path)
    with pytest.raises(
        DamagedFileError, match=f"is not a benchmark table of nasbench201: {message}"
    ):
        read_table(path, "nasbench201")


def test_empty_and_missing_columns_are_refused(tmp_path):
    path = tmp_path / "nasbench201.parquet"
    write_parquet(table().drop(columns="seed"), path)
    with pytest.raises(DamagedFileError, match="its columns are"):
        read_table(path, "nasbench201")
    write_table(table().iloc[:0], path)
    with pytest.raises(DamagedFileError, match="no rows"):
        read_table(path, "nasbench201")

"""Official files of NAS-Bench-101, written here by their documented layout, and read."""

import base64
import hashlib
import json
import struct

import numpy as np
import pandas as pd
import pytest

from untrained.benchmarks import Benchmark, fetch_benchmark, nasbench101, table
from untrained.benchmarks.nasbench101 import convert_nasbench101
from untrained.benchmarks.tfrecords import training_of
from untrained.errors import DamagedFileError, ParameterError
from untrained.files import BUNDLED
from untrained.spaces.nasbench101 import NasBench101

from .training_records import (
    CELLS,
    HASHES,
    PARAMETERS,
    double,
    every,
    framed,
    masked,
    metrics,
    record,
    save,
    slow_crc32c,
    text,
    values_of,
    varint,
)


@pytest.fixture(autouse=True)
def few_cells(monkeypatch):
    monkeypatch.setattr(NasBench101, "__len__", lambda self: CELLS)
    counts = b"".join(struct.pack("<q", count) for count in PARAMETERS)
    hashes = bytes.fromhex("".join(sorted(HASHES)))
    for name, content in (("module hashes", hashes), ("numbers of parameters", counts)):
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setitem(nasbench101.CHECKSUMS, name, digest)


def test_the_slow_checksum_is_the_published_one():
    assert slow_crc32c(b"123456789") == 0xE3069283


def test_evaluations_may_be_written_in_any_way():
    """As a rule they have no path and their fields are in order, which is read at once."""
    expected = training_of(record(1, 108, 2))
    assert expected == (HASHES[1], 108, *values_of(1, 108, 2)[1:3], *values_of(1, 108, 2)[::3])
    assert training_of(record(1, 108, 2, path=b"")) == expected
    fields = [
        double(number, value) for number, value in enumerate((108, 1082, 0.9, 0.225, 0.1125), 1)
    ]
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [1, 0, 2, 4, 3]):
        last = text(1, b"".join(fields[place] for place in order))
        assert len(last) == 2 + 45
        message = text(1, b"") * 2 + last + varint(2 << 3) + varint(9)
        found = training_of(encoded(message))
        assert found == (HASHES[0], 108, 0.225, 0.1125, 1082, 9)


@pytest.mark.parametrize("lengths", [(108,), (4, 12, 36, 108)])
def test_every_training_arrives(tmp_path, lengths):
    source, target = save(every(lengths), tmp_path), tmp_path / "made.parquet"
    calls = []
    fetch_benchmark("nasbench101", target, source, progress=lambda *both: calls.append(both))
    assert calls[-1] == (source.stat().st_size,) * 2
    found = Benchmark.read(target, "nasbench101")
    assert len(found.measures) == 2 * 4 * len(lengths)
    ranks = {module_hash: rank for rank, module_hash in enumerate(sorted(HASHES))}
    for epochs in lengths:
        for cell, module_hash in enumerate(HASHES):
            index = ranks[module_hash]
            trials = [values_of(cell, epochs, trial) for trial in range(3)]
            for split, place in (("x-valid", 1), ("ori-test", 2)):
                for trial, values in enumerate(trials):
                    where = ("cifar10", split, epochs, f"trial{trial}")
                    assert found.accuracies(*where)[index] == pytest.approx(100 * values[place])
                    assert found.train_seconds(index, *where) == values[0]
                where = ("cifar10", split, epochs)
                mean = np.mean([values[place] for values in trials])
                assert found.accuracies(*where)[index] == pytest.approx(100 * mean)
                assert found.train_seconds(index, *where) == np.mean(
                    [values[0] for values in trials]
                )
            assert found.costs("cifar10")["parameters"][index] == 1_000_000 + cell
    assert found.finals == [("cifar10", "ori-test"), ("cifar10", "x-valid")]


def damaged(change, tmp_path):
    """What the converter says of a file that `change` has made of the bytes of a good one."""
    source, target = save(every(), tmp_path), tmp_path / "made.parquet"
    target.write_bytes(b"before")
    source.write_bytes(change(source.read_bytes()))
    with pytest.raises(DamagedFileError) as caught:
        convert_nasbench101(source, target)
    assert target.read_bytes() == b"before"
    assert "\n" not in str(caught.value)
    return str(caught.value)


def flipped(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "record 14 of .* is incomplete or altered"),
        (lambda data: data[: len(data) // 2], "record 7 of .* is incomplete or altered"),
        (lambda data: data + b"\0" * 5, "record 15 of .* has no valid length"),
        (lambda data: flipped(data, 0), "record 0 of .* has no valid length"),
        (lambda data: flipped(data, 9), "record 0 of .* has no valid length"),
        (lambda data: flipped(data, 40), "record 0 of .* is incomplete or altered"),
        (lambda data: flipped(data, len(data) - 2), "record 14 of .* is incomplete or altered"),
        (lambda data: b"", "other than 3 trainings of 0 cell"),
        (lambda data: b"PK\3\4" + data, "record 0 of .* has no valid length"),
    ],
)  # fmt: skip
def test_damage_is_noticed(tmp_path, change, message):
    import re

    assert re.search(message, damaged(change, tmp_path))


def test_a_record_of_a_gigabyte_is_not_read(tmp_path):
    length = struct.pack("<Q", 1 << 30)
    assert "no valid length" in damaged(lambda _: length + masked(length), tmp_path)


def changed(**fields):
    """A record whose JSON has other entries."""
    row = json.loads(record(0, 108, 0))
    for place, value in fields.items():
        row[int(place[1:])] = value
    return json.dumps(row).encode()


def encoded(message):
    return changed(_4=base64.b64encode(message).decode())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"\xff", "record 0 of"),
        (b"[" * 100_000, "record 0 of"),
        (b"{}", "not enough values"),
        (changed(_0="0" * 31), "is not a module hash"),
        (changed(_0=HASHES[0].upper()), "is not a module hash"),
        (changed(_0=7), "7 is not a module hash"),
        (changed(_1=50), "50 epochs instead of one of 4, 12, 36, 108"),
        (changed(_1=36), "the last evaluation is after 108 epochs instead of 36"),
        (changed(_4="?"), "record 0 of"),
        (changed(_4=3), "record 0 of"),
        (encoded(metrics(108, 9, 0.5, 0.5, 1000)[:-3]), "record 0 of"),
        (encoded(b"\x0f"), "unknown type 7"),
        (encoded(b"\xff" * 30), "more than ten bytes"),
        (encoded(b"\x0a\x7f"), "ends too early"),
        (encoded(metrics(108, 9, 0.5, 0.5, 1000, points=2)), "2 evaluations instead of 3"),
        (encoded(metrics(108, 9, 0.5, 0.5, 1000, field=4)), "0 evaluations instead of 3"),
        (encoded(metrics(54, 9, 0.5, 0.5, 1000)), "after 54 epochs instead of 108"),
        (encoded(metrics(108, 9, 1.5, 0.5, 1000)), "accuracies 1.5 and 0.5 are not in 0..1"),
        (encoded(metrics(108, 9, 0.5, float("nan"), 1000)), "are not in 0..1"),
        (encoded(metrics(108, -9, 0.5, 0.5, 1000)), "-9 seconds of training"),
        (encoded(metrics(108, 9, 0.5, 0.5, 0)), "0 parameters"),
        (encoded(metrics(108, 9, 0.5, 0.5, 1 << 64)), "record 0 of"),
        (encoded(b"\x0a\x03\x08\x01" * 3), "record 0 of"),
        (encoded(b"\x08\x01" * 3), "record 0 of"),
    ],
)
def test_what_is_no_training_is_refused(tmp_path, wrong, message):
    said = damaged(lambda _: b"".join(map(framed, [wrong, *every()])), tmp_path)
    assert message in said


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (every()[:-1], "other than 3 trainings of 1 cell"),
        ([*every(), record(2, 108, 0)], "other than 3 trainings of 1 cell(s) for 108"),
        ([one for one in every() if HASHES[1].encode() not in one], "has other module hashes"),
        ([*every(), *[changed(_0="a" * 32)] * 3], "other module hashes"),
        (every((4, 12)), "other than 3 trainings of 5 cell(s) for 108"),
        ([*every((4,))[:-1], *every()], "for 4 epochs"),
    ],
)
def test_a_wrong_number_of_cells_or_trainings_is_noticed(tmp_path, records, message):
    assert message in damaged(lambda _: b"".join(map(framed, records)), tmp_path)


def test_one_cell_has_one_number_of_parameters(tmp_path):
    message = metrics(108, *values_of(0, 108, 0)[:3], parameters=999)
    wrong = [encoded(message), *every()[1:]]
    said = damaged(lambda _: b"".join(map(framed, wrong)), tmp_path)
    assert "its cell has another number of parameters elsewhere" in said


def foreign(place):
    """Records in which another hash stands in the place of that of a cell."""
    return [one.replace(HASHES[place].encode(), b"0" * 32) for one in every()]


def said_of(source, tmp_path):
    """What the converter says of other cells than the space's."""
    target = tmp_path / "made.parquet"
    with pytest.raises(DamagedFileError) as caught:
        convert_nasbench101(source, target)
    assert not target.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_cells_of_another_space_are_noticed(tmp_path):
    published = tables(tmp_path, module_hash=["0" * 32, *sorted(HASHES)[1:]])
    for source in (save(foreign(2), tmp_path), published):
        assert "has other module hashes than NAS-Bench-101" in said_of(source, tmp_path)


def test_parameters_of_other_networks_are_noticed(tmp_path):
    more = tables(tmp_path, params=[*PARAMETERS[:4], PARAMETERS[4] + 1])
    assert "has other numbers of parameters" in said_of(more, tmp_path)
    records = []
    for trial in range(3):
        message = metrics(108, *values_of(0, 108, trial)[:3], parameters=999)
        records.append(encoded(message))
    records += [one for one in every() if HASHES[0].encode() not in one]
    assert "has other numbers of parameters" in said_of(save(records, tmp_path), tmp_path)


def test_checksums_are_those_of_the_published_cells(real_benchmarks, monkeypatch):
    monkeypatch.undo()
    published = pd.read_parquet(real_benchmarks / "nasbench101.parquet").sort_values("module_hash")
    hashes, counts = hashlib.sha256(), hashlib.sha256()
    for module_hash, count in zip(published["module_hash"], published["params"], strict=True):
        hashes.update(bytes.fromhex(module_hash))
        counts.update(struct.pack("<q", count))
    assert [*nasbench101.CHECKSUMS.values()] == [hashes.hexdigest(), counts.hexdigest()]


def test_other_files_are_named(tmp_path):
    with pytest.raises(ParameterError, match=r"made\.txt is neither nasbench_only108\.tfrecord"):
        convert_nasbench101(tmp_path / "made.txt", tmp_path / "made.parquet")


def tables(tmp_path, **changes):
    cells = pd.DataFrame(
        {
            "index": range(CELLS),
            "module_hash": sorted(HASHES),
            "params": PARAMETERS,
            "test_acc108_mean": np.linspace(0.1, 0.9, CELLS),
        }
    ).assign(**changes)
    cells.to_parquet(tmp_path / "nasbench101.parquet")
    return tmp_path / "nasbench101.parquet"


def test_tables_are_converted(tmp_path):
    source, target = tables(tmp_path), tmp_path / "made.parquet"
    convert_nasbench101(source, target)
    found = Benchmark.read(target, "nasbench101")
    assert found.accuracies("cifar10", "ori-test")[4] == pytest.approx(90)
    assert found.costs("cifar10")["parameters"].tolist() == PARAMETERS
    assert set(found.measures) == {("cifar10", "ori-test", 108, "mean")}


def test_a_mirror_gives_what_the_file_gives(tmp_path):
    source = tables(tmp_path)
    # trainings of some cells, which are published beside the table, are not read either way
    pd.DataFrame({"index": [0], "epochs": [4]}).to_parquet(tmp_path / "nasbench101_epochs.parquet")
    made = [tmp_path / name / "nasbench101.parquet" for name in ("file", "folder", "address")]
    fetch_benchmark("nasbench101", made[0], source)
    fetch_benchmark("nasbench101", made[1], mirror=str(tmp_path))
    fetch_benchmark("nasbench101", made[2], mirror=tmp_path.as_uri())
    assert len({path.read_bytes() for path in made}) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": range(1, CELLS + 1)}, "indices do not count its cells"),
        ({"module_hash": sorted(HASHES)[::-1]}, "other module hashes"),
        ({"module_hash": [HASHES[0]] * CELLS}, "other module hashes"),
        ({"module_hash": ["g" * 32, *sorted(HASHES)[1:]]}, "other digits than 32 of 0-9 and a-f"),
        ({"module_hash": ["0" * 10_000, *sorted(HASHES)[1:]]}, "other digits than 32"),
        ({"module_hash": [*map(bytes.fromhex, sorted(HASHES))]}, "is not the published table"),
        ({"module_hash": [None, *sorted(HASHES)[1:]]}, "is not the published table"),
        ({"module_hash": range(CELLS)}, "is not the published table"),
        ({"params": ["1"] * CELLS}, "other numbers of parameters"),
        ({"params": pd.array([*PARAMETERS[1:], None], dtype="Int64")}, "not the published table"),
        ({"test_acc108_mean": 90.0}, r"accuracies are not in 0\.\.1"),
        ({"test_acc108_mean": ["a"] * CELLS}, "could not convert"),
        ({"test_acc108_mean": [0.5, float("nan"), 0.5, 0.5, 0.5]}, r"not in 0\.\.1"),
        ({"test_acc108_mean": pd.array([0.5, None, 0.5, 0.5, 0.5], dtype="Float64")},
         "is not the published table"),
    ],
)  # fmt: skip
def test_odd_tables_are_refused(tmp_path, changes, message):
    with pytest.raises(DamagedFileError, match=message) as caught:
        convert_nasbench101(tables(tmp_path, **changes), tmp_path / "made.parquet")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "made.parquet").exists()


def test_groups_are_written_as_the_whole_table_is(tmp_path):
    where = {"dataset": "cifar10", "split": "ori-test", "epochs": 108}
    groups = [
        {**where, "seed": seed, "arch": np.arange(3), "accuracy": np.arange(3.0) + place}
        for place, seed in enumerate(("mean", "trial0"))
    ]
    table.write_groups(groups, tmp_path / "groups.parquet")
    rows = pd.concat([pd.DataFrame(group) for group in groups]).reindex(columns=[*table.COLUMNS])
    table.write_table(rows[::-1], tmp_path / "whole.parquet")
    found, expected = (
        table.read_table(tmp_path / f"{name}.parquet", "nasbench101")
        for name in ("groups", "whole")
    )
    pd.testing.assert_frame_equal(found, expected)


def test_the_bundled_cells_are_those_of_the_published_table(real_benchmarks, monkeypatch):
    monkeypatch.setattr(NasBench101, "__len__", lambda self: 423_624)
    published = pd.read_parquet(real_benchmarks / "nasbench101.parquet")
    bundled = table.read_table(BUNDLED / "nasbench101.parquet", "nasbench101")
    assert len(bundled) == 10_000
    rows = published.iloc[bundled["arch"]]
    assert np.allclose(bundled["accuracy"], 100 * rows["test_acc108_mean"], rtol=1e-12, atol=0)
    assert np.array_equal(bundled["parameters"], rows["params"])
    assert set(bundled["seed"]) == {"mean"}
    # a fair sample: its mean lies where that of 10,000 does
    error = 100 * published["test_acc108_mean"].std() / 100
    away = bundled["accuracy"].mean() - 100 * published["test_acc108_mean"].mean()
    assert abs(away) < 4 * error

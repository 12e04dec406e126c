"""The converter on small folders in the documented layout, whole and damaged."""

import bz2
import os
import pickle
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch
from nas_201_api import ArchResults

from untrained.benchmarks import Benchmark, fetch_benchmark
from untrained.benchmarks import natsbench_size as converter
from untrained.benchmarks.natsbench_size import convert
from untrained.benchmarks.table import COLUMNS, read_table
from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.spaces import get_space
from untrained.spaces.natsbench_size import NatsBenchSize

from .official_files import SPLITS, run_of

SPACE = get_space("natsbench_size")
SPELLINGS = [SPACE[index].spelling for index in range(len(SPACE))]
EPOCHS = {"01": 1, "12": 12, "90": 90}


def results_of(index, epochs, rng, kind):
    config = {"name": "infer.shape.tiny", "channels": SPELLINGS[index], "class_num": 10}
    config["genotype"] = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+..."
    results = ArchResults(index, SPELLINGS[index])
    for dataset in SPLITS:
        for seed in (777, 888, 999) if epochs == 90 else (777,):
            run = run_of(dataset, seed, index, epochs, rng, kind, config)
            results.update(dataset, seed, run)
    return results


def content_of(index, kind=float):
    rng = np.random.default_rng(index)
    return OrderedDict(
        (key, results_of(index, epochs, rng, kind).state_dict()) for key, epochs in EPOCHS.items()
    )


def name_of(index):
    return f"{index:06d}.pickle.pbz2"


def packed(content):
    return bz2.compress(pickle.dumps(content, 4))


def write(path, content):
    path.write_bytes(packed(content))


INDICES = (0, 5, 32_767)


@pytest.fixture(scope="module")
def contents():
    return {index: content_of(index) for index in INDICES}


@pytest.fixture(scope="module")
def files(contents):
    """The bytes of each file by its name."""
    meta = {"meta_archs": SPELLINGS, "evaluated_indexes": set(INDICES)}
    made = {name_of(index): packed(content) for index, content in contents.items()}
    return {"meta.pickle.pbz2": packed(meta)} | made


@pytest.fixture
def folder(tmp_path, files):
    made = tmp_path / "NATS-sss-v1_0-50262-simple"
    made.mkdir()
    for name, content in files.items():
        (made / name).write_bytes(content)
    return made


@pytest.fixture
def refused(tmp_path):
    def run(source, match, error=DamagedFileError):
        target = tmp_path / "refused" / "table.parquet"
        with pytest.raises(error, match=match) as caught:
            convert(source, target)
        assert "\n" not in str(caught.value)
        assert not target.parent.exists()

    return run


def expected_rows(contents):
    """What the authors' package answers, schedule by schedule."""
    for index, content in contents.items():
        for key, epochs in EPOCHS.items():
            results = ArchResults.create_from_state_dict(content[key])
            for dataset, splits in SPLITS.items():
                runs = results.query(dataset)
                for split in splits:
                    measured = []
                    for seed, run in runs.items():
                        evaluated = run.get_eval(split)
                        per_pass = evaluated["all_time"] / epochs if split == "x-valid" else np.nan
                        values = (evaluated["accuracy"], run.get_train()["all_time"], per_pass)
                        measured.append(values)
                        yield index, dataset, split, epochs, str(seed), *values, *[np.nan] * 3
                    costs = (
                        round((0.073306 + index / 1e3) * 1e6),
                        round((7.78305 + index) * 1e6),
                        (0.03 + index / 1e3) / 2,
                    )
                    means = np.mean(measured, axis=0)
                    yield index, dataset, split, epochs, "mean", *means, *costs


@pytest.mark.parametrize("kind", [float, np.float64])
def test_rows_are_what_the_package_answers(tmp_path, folder, contents, kind):
    if kind is not float:
        contents = {index: content_of(index, kind) for index in INDICES}
        for index, content in contents.items():
            write(folder / name_of(index), content)
    steps = []
    target = tmp_path / "table.parquet"
    convert(folder, target, lambda *numbers: steps.append(numbers))
    keys = ["arch", "dataset", "split", "epochs", "seed"]
    found = read_table(target, "natsbench_size").sort_values(keys, ignore_index=True)
    expected = pd.DataFrame(expected_rows(contents), columns=list(COLUMNS))
    expected = expected.sort_values(keys, ignore_index=True)
    assert len(expected) == 3 * 9 * (2 + 2 + 4)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=0, atol=1e-9)
    assert len(steps) == 3
    assert steps[-1] == (sum((folder / name_of(i)).stat().st_size for i in INDICES),) * 2


def test_the_command_of_fetching_takes_the_folder(tmp_path, folder):
    target = tmp_path / "natsbench_size.parquet"
    fetch_benchmark("natsbench_size", target, folder)
    benchmark = Benchmark.load("natsbench_size", tmp_path)
    assert 5 <= benchmark.accuracies("cifar100", "x-test", 90)[5] <= 95
    copied = tmp_path / "copy.parquet"
    fetch_benchmark("natsbench_size", copied, target)
    assert copied.read_bytes() == target.read_bytes()


def test_other_files_are_named(tmp_path, refused):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", r"meta\.pickle\.pbz2 does not exist: name", MissingDataError)
    (tmp_path / "file.tar").write_bytes(b"archive")
    refused(tmp_path / "file.tar", r"neither the official folder NATS-sss.*unpack", ParameterError)


def test_missing_and_renamed_files_are_named(folder, refused):
    (folder / name_of(5)).rename(folder / name_of(6))
    refused(folder, r"lacks 000005\.pickle\.pbz2 \(1 of 3 files are missing\)")
    write(folder / name_of(5), content_of(6))
    refused(
        folder,
        r"^000005\.pickle\.pbz2 has the runs of architecture \[6, '8:8:8:8:56'\], "
        r"instead of \[5, '8:8:8:8:48'\]",
    )


def test_a_folder_in_the_place_of_a_file(folder, refused):
    (folder / name_of(5)).unlink()
    (folder / name_of(5)).mkdir()
    refused(folder, r"lacks 000005")


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ([], "is not NATS-Bench's"),
        ({"meta_archs": SPELLINGS}, "is not NATS-Bench's .'evaluated_indexes'"),
        ({"meta_archs": "8", "evaluated_indexes": [0]}, "lists 1 architectures: the"),
        ({"meta_archs": [8] * 32_768, "evaluated_indexes": [0]}, "has 8 as architecture 0"),
        ({"meta_archs": SPELLINGS, "evaluated_indexes": 3}, "not iterable"),
        ({"meta_archs": SPELLINGS, "evaluated_indexes": ["3"]}, "is not NATS-Bench's"),
        (
            {"meta_archs": SPELLINGS, "evaluated_indexes": []},
            r"lists the architectures \[\] to \[\]",
        ),
        (
            {"meta_archs": SPELLINGS, "evaluated_indexes": [32768]},
            r"lists the architectures \[32768\]",
        ),
        ({"meta_archs": SPELLINGS, "evaluated_indexes": [-1]}, r"lists the architectures \[-1\]"),
        ({"meta_archs": SPELLINGS[:9], "evaluated_indexes": [0]}, "lists 9 architectures: the"),
        (
            {"meta_archs": [*SPELLINGS[1::-1], *SPELLINGS[2:]], "evaluated_indexes": [0]},
            "has '8:8:8:8:16' as architecture 0, which is '8:8:8:8:8' in the space",
        ),
        (
            {"meta_archs": [*SPELLINGS, "8:8:8:8:8"], "evaluated_indexes": [0]},
            "lists 32769 architectures",
        ),
    ],
)
def test_a_meta_file_of_another_content(folder, refused, meta, message):
    write(folder / "meta.pickle.pbz2", meta)
    refused(folder, rf"^meta\.pickle\.pbz2 .*{message}")


def last_run(content):
    return list(content["90"]["all_results"].values())[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("12"), "no runs of 12 epochs"),
        (lambda c: c.update({"90": "a file"}), "no runs of 90 epochs"),
        (lambda c: c["01"].update(arch_index=4), r"runs of architectures \[\(4, '8:8:8:8:48'\), "),
        (lambda c: c["90"].update(arch_str="8:8:8:8:56"), "8:48'.*8:56'.* in one place"),
        (lambda c: c["90"].update(all_results={}, dataset_seed={}), "has no runs of 90 epochs"),
        (lambda c: last_run(c).update(epochs=12), "has 12 epochs instead of 90"),
        (lambda c: last_run(c)["eval_acc1es"].update({"x-test@89": 100.5}), "100.5 is not in 0"),
        (lambda c: last_run(c)["eval_acc1es"].update({"x-test@89": float("nan")}), "nan is not"),
        (lambda c: last_run(c)["eval_acc1es"].update({"x-test@89": "high"}), "not supported"),
        (lambda c: c["90"]["all_results"].update({("cifar10", 777): "text"}), "dictionary update"),
    ],
)
def test_wrong_contents_are_refused(folder, refused, change, message):
    content = content_of(5)
    change(content)
    write(folder / name_of(5), content)
    refused(folder, rf"^000005\.pickle\.pbz2 has unreadable results \(.*{message}")


def test_a_file_that_holds_no_dict(folder, refused):
    write(folder / name_of(5), [1, 2])
    refused(folder, "unreadable results")


def test_damaged_compression_is_refused(folder, refused):
    path = folder / name_of(5)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(folder, r"^000005\.pickle\.pbz2 is not a complete bzip2 file")
    path.write_bytes(b"")
    refused(folder, "is not a complete bzip2 file")
    path.write_bytes(b"<html>Not found</html>")
    refused(folder, "is not a complete bzip2 file")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(flipped))
    refused(folder, "is not a complete bzip2 file")
    path.write_bytes(bz2.compress(pickle.dumps(content_of(5))[:-50]))
    refused(folder, r"000005\.pickle\.pbz2 is not a complete pickle")


def test_bombs_are_not_decompressed(folder, refused, monkeypatch):
    bomb = bz2.compress(bytes(50_000_000))
    assert len(bomb) < 1000
    (folder / name_of(5)).write_bytes(bomb)
    seen = []
    monkeypatch.setattr(converter, "unpickle", lambda *arguments: seen.append(arguments))
    with pytest.raises(DamagedFileError, match="holds more than 16 MB, more than the runs of any"):
        converter._load(folder / name_of(5))
    assert not seen


class Command:
    def __reduce__(self):
        return os.system, ("touch hacked",)


def test_forbidden_globals_are_named_and_not_called(tmp_path, folder, refused, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value, name in ((Command(), "posix.system"), (torch.ones(2), "torch")):
        content = content_of(5)
        last_run(content)["net_state_dict"] = value
        write(folder / name_of(5), content)
        refused(folder, rf"^000005\.pickle\.pbz2 names the forbidden global '{name}")
    assert not (tmp_path / "hacked").exists()


def means(size=32_768):
    rng = np.random.default_rng(0)
    table = {"arch_index": np.arange(size, dtype=np.int32), "arch_str": SPELLINGS[:size]}
    for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
        table[f"params_{dataset}"] = rng.integers(10_000, 700_000, size)
        table[f"test_acc90_{dataset}"] = rng.uniform(10, 95, size)
    return pd.DataFrame(table)


@pytest.mark.parametrize("as_mirror", [False, True])
def test_a_table_of_means_is_converted(tmp_path, as_mirror):
    table = means()
    source = tmp_path / "natsbench_size.parquet"
    table.sample(frac=1, random_state=0).to_parquet(source)
    target = tmp_path / "made" / "natsbench_size.parquet"
    if as_mirror:
        fetch_benchmark("natsbench_size", target, mirror=str(tmp_path))
    else:
        fetch_benchmark("natsbench_size", target, source)
    assert list(target.parent.iterdir()) == [target]
    benchmark = Benchmark.load("natsbench_size", target.parent)
    splits = {"cifar10": "ori-test", "cifar100": "x-test", "ImageNet16-120": "x-test"}
    assert set(benchmark.measures) == {(one, splits[one], 90, "mean") for one in splits}
    for dataset, split in splits.items():
        found = benchmark.accuracies(dataset, split, 90)
        assert np.array_equal(found, table[f"test_acc90_{dataset}"])
        costs = benchmark.costs(dataset)
        assert np.array_equal(costs["parameters"], table[f"params_{dataset}"])
        assert costs["flops"].isna().all()


def changed(column, value):
    table = means(50)
    table[column] = table[column].astype(object if isinstance(value, str) else float)
    table.loc[7, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (means(50).drop(columns="arch_str"), "it lacks arch_str"),
        (means(0), "lists 0 architectures: the space has 50"),
        (means(50)[1:], "has 49 rows that are not architectures 0 to 48"),
        (changed("arch_index", 8), "has 50 rows that are not architectures 0 to 49"),
        (changed("arch_str", "8:8:8:8:8"), "has '8:8:8:8:8' as architecture 7, which is"),
        (changed("test_acc90_cifar100", 100.5), "has 100.5 as test_acc90_cifar100: not in 0..100"),
        (changed("test_acc90_cifar100", np.nan), "has nan as test_acc90_cifar100"),
        (changed("params_cifar10", -1), "has -1.0 as params_cifar10: not in 0..inf"),
        (changed("params_cifar10", np.inf), "has inf as params_cifar10"),
    ],
)
def test_other_tables_are_refused(tmp_path, monkeypatch, table, message):
    monkeypatch.setattr(NatsBenchSize, "__len__", lambda self: 50)
    source, target = tmp_path / "means.parquet", tmp_path / "table.parquet"
    table.to_parquet(source)
    with pytest.raises(DamagedFileError, match=message) as caught:
        convert(source, target)
    assert "\n" not in str(caught.value)
    assert not target.exists()


def test_columns_without_numbers_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(NatsBenchSize, "__len__", lambda self: 50)
    table = means(50)
    table["params_cifar10"] = "many"
    table.to_parquet(tmp_path / "means.parquet")
    with pytest.raises(DamagedFileError, match="has something else than numbers"):
        convert(tmp_path / "means.parquet", tmp_path / "table.parquet")


def test_truncated_tables_are_refused(tmp_path):
    means(50).to_parquet(tmp_path / "means.parquet")
    whole = (tmp_path / "means.parquet").read_bytes()
    (tmp_path / "means.parquet").write_bytes(whole[:-9])
    with pytest.raises(DamagedFileError, match="is damaged"):
        convert(tmp_path / "means.parquet", tmp_path / "table.parquet")


def test_the_real_means(tmp_path, real_benchmarks):
    target = tmp_path / "natsbench_size.parquet"
    fetch_benchmark("natsbench_size", target, mirror=str(real_benchmarks))
    benchmark = Benchmark.load("natsbench_size", tmp_path)
    best = {"cifar10": 93.65, "cifar100": 71.34, "ImageNet16-120": 47.40}
    for dataset, accuracy in best.items():
        split = "ori-test" if dataset == "cifar10" else "x-test"
        assert benchmark.accuracies(dataset, split, 90).max() == pytest.approx(accuracy, abs=0.005)


def test_nothing_is_bundled(tmp_path):
    with pytest.raises(MissingDataError, match=r"^the table of natsbench_size is not bundled"):
        fetch_benchmark("natsbench_size", tmp_path / "table.parquet")

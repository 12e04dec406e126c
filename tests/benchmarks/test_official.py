"""The converter against the package of the benchmark's authors, and its use of memory."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from nas_201_api import NASBench201API

from untrained.benchmarks.nasbench201 import convert_nasbench201
from untrained.benchmarks.table import COLUMNS
from untrained.errors import DamagedFileError, UntrainedError
from untrained.spaces.nasbench201 import NasBench201

from .official_files import SPELLINGS, SPLITS, convert, official_content, results_of, save

pytestmark = pytest.mark.usefixtures("few_cells")
ANSWERS = {"x-valid": "valid", "x-test": "test"}


def answer_name(dataset, split):
    """What the package calls a split in its answers."""
    if split == "ori-test" and dataset in ("cifar100", "ImageNet16-120"):
        return "valtest"
    return ANSWERS.get(split, "test")


def expected_rows(content):
    """What the package itself answers, run by run."""
    api = NASBench201API(content, verbose=False)
    for arch in content["evaluated_indexes"]:
        for epochs in (12, 200):
            results = api.query_meta_info_by_index(arch, hp=str(epochs))
            for dataset in results.get_dataset_names():
                costs = api.get_cost_info(arch, dataset, hp=str(epochs))
                for split in SPLITS[dataset]:
                    for seed in (*results.get_dataset_seeds(dataset), False):
                        info = api.get_more_info(arch, dataset, hp=str(epochs), is_random=seed)
                        name = answer_name(dataset, split)
                        is_mean = seed is False
                        yield {
                            "arch": arch,
                            "dataset": dataset,
                            "split": split,
                            "epochs": epochs,
                            "seed": "mean" if is_mean else str(seed),
                            "accuracy": info[f"{name}-accuracy"],
                            "train_seconds": info["train-all-time"],
                            "valid_seconds": info["valid-per-time"] if name == "valid" else None,
                            "parameters": round(costs["params"] * 1e6) if is_mean else None,
                            "flops": round(costs["flops"] * 1e6) if is_mean else None,
                            "latency_seconds": costs["latency"] if is_mean else None,
                        }


def assert_same(path, content, tolerance=1e-12):
    keys = ["arch", "dataset", "split", "epochs", "seed"]
    found = pd.read_parquet(path).sort_values(keys, ignore_index=True)
    expected = pd.DataFrame(expected_rows(content))[list(COLUMNS)]
    expected = expected.sort_values(keys, ignore_index=True)
    assert len(expected) > 0
    pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("kind", "legacy"), [(float, False), (float, True), (np.float64, True), (np.float32, False)]
)
def test_rows_are_what_the_package_answers(tmp_path, kind, legacy):
    content = official_content((1, 7), kind=kind)
    # Float32 rounds the division by the number of epochs, here before and there after the mean.
    tolerance = 1e-12 if kind is not np.float32 else 1e-5
    assert_same(convert(save(content, tmp_path, legacy=legacy)), content, tolerance)


def test_means_alone_carry_costs_and_seeds_differ(tmp_path):
    table = pd.read_parquet(convert(save(official_content(), tmp_path)))
    assert set(table["seed"]) == {"mean", "777", "888", "999"}
    assert set(table["epochs"]) == {12, 200}
    assert table.groupby("seed")["flops"].count()["mean"] == (table["seed"] == "mean").sum()
    assert table.loc[table["seed"] != "mean", "parameters"].isna().all()


def test_short_runs_of_one_data_set_only(tmp_path):
    # The older official file has 12 epochs for `cifar10-valid` alone.
    content = official_content()
    rng = np.random.default_rng(1)
    for index, pair in content["arch2infos"].items():
        pair["less"] = results_of(index, 12, rng, datasets=["cifar10-valid"]).state_dict()
    path = convert(save(content, tmp_path))
    assert_same(path, content)
    table = pd.read_parquet(path)
    assert set(table.loc[table["epochs"] == 12, "dataset"]) == {"cifar10-valid"}


def test_files_without_times_or_latency(tmp_path):
    content = official_content((3,))
    for part in content["arch2infos"][3].values():
        for run in part["all_results"].values():
            run.update(train_times=None, eval_times={}, latency=None)
    path = convert(save(content, tmp_path))
    table = pd.read_parquet(path)
    assert table[["train_seconds", "valid_seconds", "latency_seconds"]].isna().all().all()
    content_rows = pd.DataFrame(
        {"accuracy": run["eval_acc1es"]["x-test@199"]}
        for (dataset, _), run in content["arch2infos"][3]["full"]["all_results"].items()
        if dataset == "cifar100"
    )
    long = table.query("dataset == 'cifar100' and split == 'x-test' and epochs == 200")
    found = long[long["seed"] != "mean"]
    assert sorted(found["accuracy"]) == sorted(content_rows["accuracy"])


def test_splits_evaluated_after_the_last_epoch_only(tmp_path):
    content = official_content((3,))
    for run in content["arch2infos"][3]["full"]["all_results"].values():
        run["eval_times"] = {}
        for key in [key for key in run["eval_acc1es"] if not key.endswith("@199")]:
            del run["eval_acc1es"][key]
            del run["eval_losses"][key]
    table = pd.read_parquet(convert(save(content, tmp_path)))
    splits = table.query("epochs == 200").groupby("dataset")["split"].unique()
    assert {name: set(found) for name, found in splits.items()} == {
        name: set(expected) for name, expected in SPLITS.items()
    }


def test_tensors_and_long_texts_are_skipped(tmp_path):
    content = official_content((0, 1))
    for pair in content["arch2infos"].values():
        for run in pair["full"]["all_results"].values():
            run["net_state_dict"] = {"weight": torch.ones(3), "note": "é" * 700_000}
            run["arch_config"]["array"] = np.arange(5)
    for legacy in (False, True):
        convert(save(content, tmp_path, legacy=legacy))
    assert pd.read_parquet(tmp_path / "converted.parquet")["arch"].nunique() == 2


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
@pytest.mark.parametrize("last", [True, False])
def test_either_end_of_either_checksum_will_do(tmp_path, algorithm, last):
    path = save(official_content((1,)), tmp_path, algorithm=algorithm, last=last)
    assert convert(path).is_file()


def test_progress_ends_at_the_size_of_the_file(tmp_path):
    calls = []
    path = save(official_content(), tmp_path)
    convert(path, progress=lambda done, total: calls.append((done, total)))
    assert len(calls) == 5
    assert calls == sorted(calls)
    assert calls[-1] == (path.stat().st_size, path.stat().st_size)


def test_spellings_must_agree(tmp_path, monkeypatch):
    path = save(official_content(), tmp_path)
    swapped = [*SPELLINGS[:3], SPELLINGS[4], SPELLINGS[3], *SPELLINGS[5:]]
    monkeypatch.setattr(NasBench201, "spelling", lambda self, index: swapped[index])
    with pytest.raises(DamagedFileError, match=r"as architecture 3, which is .* in the space"):
        convert(path)
    for size in (24, 26):
        monkeypatch.setattr(NasBench201, "__len__", lambda self, size=size: size)
        with pytest.raises(DamagedFileError, match=f"25 architectures: the space has {size}"):
            convert(path)


def test_file_that_cannot_be_written(tmp_path):
    path = save(official_content((1,)), tmp_path)
    with pytest.raises(UntrainedError, match="cannot write"):
        convert_nasbench201(path, path / "folder" / "table.parquet")


GROWTH = r"""
import re, sys
from pathlib import Path
import hashlib, nas_201_api, pandas, pyarrow.compute, pyarrow.parquet
from untrained.benchmarks.nasbench201 import convert_nasbench201
from untrained.spaces.nasbench201 import NasBench201
NasBench201.spelling = lambda self, index: f"architecture {index}"
def peak():
    # Not the maximum that getrusage knows: a process inherits that of the one that started it.
    return int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
for source in map(Path, sys.argv[1:]):
    before, (number,) = peak(), map(int, re.findall(r"^\d+", source.parent.name))
    NasBench201.__len__ = lambda self: number
    convert_nasbench201(source, source.with_suffix(".parquet"))
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_memory_stays_below_twice_the_file(tmp_path):
    """After a first file, for which libraries take some 20 MB."""
    # NumPy scalars take the most memory for their size in the file.
    content = official_content((0,), kind=np.float64)
    sources = []
    for count in (1, 12):
        (folder := tmp_path / f"{count} architectures").mkdir()
        sources.append(save(large(content, count), folder))
    size = sources[-1].stat().st_size
    assert size > 10e6
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", GROWTH, *map(str, sources)]
    run = subprocess.run(command, check=True, capture_output=True, env=environment)
    assert int(run.stdout) * 1024 < 2 * size
    table = pd.read_parquet(sources[-1].with_suffix(".parquet"), columns=["arch"])
    assert table["arch"].nunique() == 12


def large(content, count):
    """So many architectures; copies, so that nothing is shared."""
    one = content["arch2infos"][0]
    infos = {}
    for index in range(count):
        infos[index] = copy_of(one)
        for part in infos[index].values():
            part["arch_index"] = index
    names = [f"architecture {index}" for index in range(count)]
    return {"meta_archs": names, "arch2infos": infos, "evaluated_indexes": list(range(count))}


def copy_of(value):
    # Unlike copy.deepcopy, also copies texts and NumPy scalars.
    return pickle.loads(pickle.dumps(value, 2))

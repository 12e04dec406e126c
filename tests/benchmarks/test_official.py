"""The converter against the package of the benchmark's authors, and against hostile files."""

import io
import os
import pickle
import subprocess
import sys
import zipfile
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from nas_201_api import NASBench201API

from untrained.benchmarks import convert_nasbench201
from untrained.benchmarks.table import COLUMNS
from untrained.errors import DamagedFileError, MissingDataError, UntrainedError

from .official_files import SPELLINGS, SPLITS, name_it, official_content, results_of, save

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


def convert(path, **settings):
    target = path.parent / "converted.parquet"
    convert_nasbench201(path, target, **settings)
    return target


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", [float, np.float64, np.float32])
def test_rows_are_what_the_package_answers(tmp_path, legacy, kind):
    content = official_content(kind=kind)
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
            run["net_state_dict"] = {"weight": torch.ones(3), "note": "é" * 3_000_000}
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


def test_spellings_must_agree(tmp_path):
    path = save(official_content(), tmp_path)
    convert(path, spellings=SPELLINGS)
    convert(path, spellings=[*SPELLINGS, "more"])
    swapped = [*SPELLINGS[:3], SPELLINGS[4], SPELLINGS[3], *SPELLINGS[5:]]
    with pytest.raises(DamagedFileError, match=r"as architecture 3, which is .* in the space"):
        convert(path, spellings=swapped)
    with pytest.raises(DamagedFileError, match="lists 25 architectures: the space has 24"):
        convert(path, spellings=SPELLINGS[:24])


def refused(path, match, error=DamagedFileError):
    target = path.parent / "refused" / "table.parquet"
    with pytest.raises(error, match=match) as caught:
        convert_nasbench201(path, target)
    assert "\n" not in str(caught.value)
    assert not target.parent.exists()


def test_missing_file(tmp_path):
    refused(tmp_path / "NAS-Bench-201-v1_1-096897.pth", "does not exist", MissingDataError)


def test_renamed_files_are_refused(tmp_path):
    path = save(official_content((1,)), tmp_path)
    refused(path.rename(tmp_path / "bench.pth"), "is not the name of an official")
    other = path.with_name("NAS-Bench-201-v9_9-abcdef.pth")
    refused((tmp_path / "bench.pth").rename(other), "begins or ends with abcdef")


@pytest.mark.parametrize("name", ["v1_0-e61699", "v1_1-096897"])
def test_official_names_promise_a_size(tmp_path, name):
    path = tmp_path / f"NAS-Bench-201-{name}.pth"
    path.write_bytes(b"short")
    refused(path, "GB instead of")
    with path.open("r+b") as file:
        file.truncate(7 * 10**9)  # sparse
    refused(path, "has 7 GB instead of")


@pytest.mark.parametrize("legacy", [False, True])
def test_truncated_files_are_refused(tmp_path, legacy):
    whole = save(official_content((1,)), tmp_path, legacy=legacy).read_bytes()
    for length in (0, 1, 3, 100, len(whole) // 2, len(whole) - 30):
        refused(name_it(whole[:length], tmp_path), "is not a complete PyTorch file")
    cut = save(official_content((1,)), tmp_path, legacy=legacy)
    cut.write_bytes(whole[:-1])
    refused(cut, "begins or ends with")


class Command:
    def __reduce__(self):
        return os.system, ("touch hacked",)


@pytest.mark.parametrize("legacy", [False, True])
def test_forbidden_globals_are_named_and_not_called(tmp_path, monkeypatch, legacy):
    monkeypatch.chdir(tmp_path)
    content = official_content((1,))
    content["arch2infos"][1]["full"]["arch_str"] = Command()
    refused(save(content, tmp_path, legacy=legacy), r"forbidden global 'posix.system'")
    assert not (tmp_path / "hacked").exists()


def legacy_file(body, tmp_path):
    """A file of the older format around a hand-made pickle."""
    head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
    return name_it(b"".join([*head, body, pickle.dumps([], 2)]), tmp_path)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x80\x02X\xff\xff\xff\xffshort", "it ends in the middle"),
        (b"\x80\x02\x8b\xff\xff\xff\x7fshort", "it ends in the middle"),
        (b"\x80\x02Nr\xff\xff\xff\xff.", "a memo out of order"),
        (b"\x80\x02Nr\xff\xff\xff\xff" + b"." * 20, "a memo out of order"),
        (b"\x80\x02Nq\x05" + b"." * 20, "a memo out of order"),
        (b"\x80\x02h\x05" + b"." * 20, "index out of range"),
        (b"\x80\x02j\x05\x00\x00\x00.", "index out of range"),
        (b"\x80\x02j\x05\x00\x00\x00" + b"." * 20, "index out of range"),
        (b"\x80\x02K\x01R.", "."),
        (b"\x80\x02K\x01)R.", "a call of something else"),
        (b"\x80\x02K\x01K\x02K\x03s.", "items outside of a dict"),
        (b"\x80\x02}]K\x03s.", "unhashable"),
        (b"\x80\x02\x82\x01.", "opcode 0x82"),
        (b"\x80\x02i", "opcode 0x69"),
        (b"\x80\x02c" + b"a" * 300, "a name without an end"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "not iterable"),
        (b"\x80\x02cnumpy\ndtype\nK\x01\x85R.", "NumPy type without a name"),
        (b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00zz\x85R.", "not understood"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-8\x86R.", "encoding"),
        (
            b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x01\x00\x00\x00O\x85R"
            b"c_codecs\nencode\nX\x08\x00\x00\x00aaaaaaaaX\x06\x00\x00\x00latin1\x86R\x86R.",
            "a scalar of type object",
        ),
    ],
)
def test_malformed_pickles_are_refused(tmp_path, body, reason):
    refused(legacy_file(body, tmp_path), f"is not a complete PyTorch file of data .*{reason}")


@pytest.mark.parametrize("legacy", [False, True])
def test_any_damage_is_one_line_or_none(tmp_path, legacy):
    content = official_content((1,), datasets=["cifar10"], seeds=[777])
    path = save(content, tmp_path, legacy=legacy)
    whole = path.read_bytes()
    path.unlink()
    rng = np.random.default_rng(7)
    refusals = []
    for _ in range(150):
        damaged = bytearray(whole)
        # Where names and structure are dense: numbers in between hardly differ from each other.
        for place in rng.integers(0, 3000, size=rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        path = name_it(bytes(damaged), tmp_path)
        try:
            convert(path)
        except DamagedFileError as error:
            refusals.append(str(error))
        path.unlink()
    assert len(refusals) > 75
    assert not [message for message in refusals if "\n" in message]


def test_file_that_is_no_pickle(tmp_path):
    refused(name_it(b"<html>Not found</html>", tmp_path), "is not a complete PyTorch file")
    refused(name_it(pickle.dumps({"a": 1}, 2), tmp_path), "no magic number")
    refused(legacy_file(b"\x80\x02}.", tmp_path), "lacks meta_archs, arch2infos")


def archive(entries, tmp_path, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in entries:
            file.writestr(name, content)
    return name_it(buffer.getvalue(), tmp_path)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "a\\evil"])
def test_archives_with_path_tricks_are_refused(tmp_path, name):
    pickled = pickle.dumps({}, 2)
    refused(archive([("a/data.pkl", pickled), (name, b"")], tmp_path), "has the unsafe entry")


def test_odd_archives_are_refused(tmp_path):
    pickled = pickle.dumps({}, 2)
    refused(archive([("data.pkl", pickled)], tmp_path), "0 pickles")
    refused(archive([("a/data.pkl", pickled), ("b/data.pkl", pickled)], tmp_path), "2 pickles")
    refused(archive([("a/data.pkl", pickled)], tmp_path, zipfile.ZIP_DEFLATED), "compressed")
    whole = archive([("a/data.pkl", pickled)], tmp_path).read_bytes()
    # A directory said to be longer than it is moves all entries before the start of the file.
    end = whole.index(b"PK\x05\x06")
    moved = whole[: end + 16] + (2**31).to_bytes(4, "little") + whole[end + 20 :]
    refused(name_it(moved, tmp_path), "outside of the archive")
    damaged = bytearray(archive([("a/data.pkl", b"\x80\x02}K\x01K\x02s.")], tmp_path).read_bytes())
    damaged[damaged.index(b"K\x01K\x02") + 1] = 9
    refused(name_it(bytes(damaged), tmp_path), "CRC")


def changed(change):
    content = official_content((1, 2))
    change(content)
    return content


def drop_runs(content):
    for part in content["arch2infos"][2].values():
        part["all_results"] = {}
        part["dataset_seed"] = {}


def swap(content):
    infos = content["arch2infos"]
    infos[1], infos[2] = infos[2], infos[1]


def last_run(content):
    return list(content["arch2infos"][2]["full"]["all_results"].values())[-1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("evaluated_indexes"), "lacks meta_archs, arch2infos, evaluated_indexes"),
        (lambda c: c.update(arch2infos={}), "has no architectures"),
        (lambda c: c.update(meta_archs=None), "has no architectures"),
        (lambda c: c.update(meta_archs=SPELLINGS[:2]), "other results under architecture 2"),
        (lambda c: c.update(evaluated_indexes=[1, 2, 3]), "lacks architectures that it lists"),
        (lambda c: c["arch2infos"].update({5: {"full": 1}}), "other results under architecture 5"),
        (swap, "has other results under architecture 1"),
        (lambda c: c["arch2infos"][2]["full"].update(arch_index=15_625), "architecture 15625"),
        (lambda c: c["arch2infos"][2]["less"].update(arch_index=3), "runs of architecture 3 among"),
        (lambda c: c["arch2infos"][2].update(less=7), "architecture None .*invalid type"),
        (lambda c: c["arch2infos"][2].update(full={"arch_index": 2}), "no runs of 200 epochs"),
        (drop_runs, r"architecture 2 \(no runs of 12 epochs\)"),
        (lambda c: last_run(c).update(epochs=90), "has 90 epochs instead of 200"),
        (lambda c: last_run(c)["eval_acc1es"].update({"x-test@199": 100.5}), "100.5 is not in 0"),
        (lambda c: last_run(c)["eval_acc1es"].update({"x-test@199": "high"}), "architecture 2"),
        (lambda c: last_run(c)["eval_acc1es"].update({"x-test@199": float("nan")}), "nan is not"),
        (lambda c: last_run(c).update(train_acc1es=torch.ones(2)), "architecture 2"),
    ],
)
def test_wrong_structures_are_refused(tmp_path, change, message):
    refused(save(changed(change), tmp_path), message)


def test_shared_data_is_refused_not_misread(tmp_path):
    # Reading lets go of an architecture's containers, so a later one must not refer to them.
    content = official_content((1, 2))
    first, second = (content["arch2infos"][index]["full"]["all_results"] for index in (1, 2))
    second["cifar10", 777]["arch_config"] = first["cifar10", 777]["arch_config"]
    refused(save(content, tmp_path), "architectures share data")


def test_file_that_cannot_be_written(tmp_path):
    path = save(official_content((1,)), tmp_path)
    with pytest.raises(UntrainedError, match="cannot write"):
        convert_nasbench201(path, path / "folder" / "table.parquet")


PEAK = r"""
import re, sys
from pathlib import Path
import hashlib, nas_201_api, pandas, pyarrow.compute, pyarrow.parquet
from untrained.benchmarks import convert_nasbench201
if len(sys.argv) > 1:
    convert_nasbench201(Path(sys.argv[1]), Path(sys.argv[2]))
# Not the maximum that getrusage knows: a process inherits that of the one that started it.
print(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@cache
def peak_bytes(*arguments):
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, check=True, capture_output=True, env=environment)
    return int(run.stdout) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_memory_stays_below_twice_the_file(tmp_path):
    # NumPy scalars take the most memory for their size in the file.
    megabytes = 33
    content = official_content((0,), kind=np.float64)
    source = save(large(content, megabytes * 10**6), tmp_path)
    size = source.stat().st_size
    assert size > 0.9 * megabytes * 10**6
    growth = peak_bytes(source, tmp_path / "table.parquet") - peak_bytes()
    assert growth < 2 * size
    assert len(pd.read_parquet(tmp_path / "table.parquet", columns=["arch"])) > 500


def large(content, size):
    """As many architectures as fill `size` bytes; copies, so that nothing is shared."""
    one = content["arch2infos"][0]
    count = size // len(pickle.dumps(one, 2))
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

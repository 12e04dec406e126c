"""The converter against renamed, truncated, hostile and otherwise wrong files."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from untrained.errors import DamagedFileError

from .official_files import SPELLINGS, convert, name_it, official_content, refused, save

pytestmark = pytest.mark.usefixtures("few_cells")


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
        (b"\x80\x02K\x01)R.", "it calls something that is not a function"),
        (b"\x80\x02K\x01K\x02K\x03s.", "items outside of a dict"),
        (b"\x80\x02}]K\x03s.", "unhashable"),
        (b"\x80\x02\x82\x01.", "opcode 0x82"),
        (b"\x80\x02i", "opcode 0x69"),
        (b"\x80\x02c" + b"a" * 300, "a name without an end"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "not iterable"),
        (b"\x80\x02cnumpy\ndtype\nK\x01\x85R.", "array type 1"),
        (b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00zz\x85R.", "not understood"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00utf-8\x86R.", "encoding"),
        (
            b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x01\x00\x00\x00O\x85R"
            b"c_codecs\nencode\nX\x08\x00\x00\x00aaaaaaaaX\x06\x00\x00\x00latin1\x86R\x86R.",
            "array type 'O'",
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
    refused(legacy_file(b"\x80\x02}.", tmp_path), "lacks what NAS-Bench-201 has .'meta_archs'")


def archive(entries, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in entries:
            file.writestr(name, content)
    return name_it(buffer.getvalue(), tmp_path)


def test_odd_archives_are_refused(tmp_path):
    pickled = pickle.dumps({}, 2)
    refused(archive([("data.pkl", pickled)], tmp_path), "values to unpack")
    refused(
        archive([("a/data.pkl", pickled), ("b/data.pkl", pickled)], tmp_path), "values to unpack"
    )
    whole = archive([("a/data.pkl", pickled)], tmp_path).read_bytes()
    # A directory said to be longer than it is moves all entries before the start of the file.
    end = whole.index(b"PK\x05\x06")
    moved = whole[: end + 16] + (2**31).to_bytes(4, "little") + whole[end + 20 :]
    refused(name_it(moved, tmp_path), "is not a complete PyTorch file")
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
        (lambda c: c.pop("evaluated_indexes"), "lacks what NAS-Bench-201 has .'evaluated_indexes'"),
        (lambda c: c.update(arch2infos={}), "lacks architectures that it lists"),
        (lambda c: c.update(meta_archs=None), "lacks what NAS-Bench-201 has"),
        (lambda c: c.update(meta_archs=SPELLINGS[:2]), "lists 2 architectures: the space has 25"),
        (lambda c: c.update(evaluated_indexes=[1, 2, 3]), "lacks architectures that it lists"),
        (lambda c: c["arch2infos"].update({5: {"full": 1}}), "lacks what .* .'index'"),
        (swap, "has other results under architecture 1"),
        (lambda c: c["arch2infos"][2]["full"].update(arch_index=25), "no architecture 25"),
        (
            lambda c: c["arch2infos"][2]["less"].update(arch_index=3),
            "runs of architectures .* in one place",
        ),
        (lambda c: c["arch2infos"][2].update(less=7), "no runs of 12 epochs"),
        (lambda c: c["arch2infos"][2].update(full={"arch_index": 2}), "unreadable results"),
        (drop_runs, "architecture 2 has no runs of 12 epochs"),
        (lambda c: last_run(c).update(epochs=90), "has 90 epochs instead of 200"),
        (lambda c: last_run(c)["eval_acc1es"].update({"x-test@199": 100.5}), "100.5 is not in 0"),
        (lambda c: last_run(c)["eval_acc1es"].update({"x-test@199": "high"}), "unreadable results"),
        (lambda c: last_run(c)["eval_acc1es"].update({"x-test@199": float("nan")}), "nan is not"),
        (lambda c: last_run(c).update(train_acc1es=torch.ones(2)), "unreadable results"),
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

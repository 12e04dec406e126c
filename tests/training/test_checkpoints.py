"""Checkpoints: what is written comes back, and nothing else is taken for one."""

import os
import pickle
import zipfile
from dataclasses import asdict

import pytest
import torch

from untrained.errors import DamagedFileError, ParameterError, UntrainedError
from untrained.training.checkpoints import read_checkpoint, write_checkpoint
from untrained.training.loop import train

from .conftest import RECIPE, copied, examples, network, same

SETTINGS = {"genotype": "Genotype(...)", "seed": 3, "cutout": 16, "crop_flip": True, "rate": 0.1}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The bytes of a checkpoint after two epochs, and its state."""
    steps = train(network(), examples(12), RECIPE, 3, CPU)
    next(steps)
    state = next(steps)
    path = tmp_path_factory.mktemp("trained") / "folder/one.pt"
    write_checkpoint(path, SETTINGS, state)
    return path.read_bytes(), state


@pytest.fixture
def written(trained, tmp_path):
    """A checkpoint of one's own to change, and its state."""
    content, state = trained
    path = tmp_path / "folder/one.pt"
    path.parent.mkdir()
    path.write_bytes(content)
    return path, state


def test_what_is_written_comes_back(written):
    path, state = written
    found = read_checkpoint(path, SETTINGS)
    assert found.epochs == state.epochs
    assert same(dict(found.network), dict(state.network))
    assert same(dict(found.optimiser), dict(state.optimiser))


def test_a_training_from_a_file_is_the_uninterrupted_one(written, few):
    path, _ = written
    *_, whole = train(network(), few, RECIPE, 3, CPU)
    expected = copied(dict(whole.network)), copied(dict(whole.optimiser))
    begun = read_checkpoint(path, SETTINGS)
    *_, last = train(network(seed=1), few, RECIPE, 3, CPU, begun=begun)
    assert same((dict(last.network), dict(last.optimiser)), expected)


def test_where_there_is_none_there_is_no_state(tmp_path):
    assert read_checkpoint(tmp_path / "none.pt", SETTINGS) is None


def test_no_more_than_tensors_numbers_and_strings_are_written(written):
    kinds = set()

    def walk(value):
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(name), walk(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                walk(inner)
        else:
            kinds.add(type(value))

    walk(torch.load(written[0], weights_only=True))
    assert kinds <= {torch.Tensor, str, int, float, bool, type(None)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"genotype": "another"}, r"of a training with genotype Genotype\(...\), not another: del"),
        ({"seed": 4}, "of a training with seed 3, not 4: delete it or name another --checkpoint$"),
        ({"crop_flip": False}, "with crop_flip True, not False"),
        ({"rate": 0.2}, "with rate 0.1, not 0.2"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(written, changed, message):
    with pytest.raises(ParameterError, match=message):
        read_checkpoint(written[0], SETTINGS | changed)


def refused(path):
    before = path.read_bytes()
    with pytest.raises(DamagedFileError, match="is no checkpoint of a training or is damaged") as e:
        read_checkpoint(path, SETTINGS)
    assert "\n" not in str(e.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9, 0.999])
def test_a_part_of_a_checkpoint_is_refused(written, share):
    content = written[0].read_bytes()
    written[0].write_bytes(content[: int(share * len(content))])
    refused(written[0])


def test_a_changed_bit_of_a_tensor_is_found(written):
    path, _ = written
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
        content = bytearray(path.read_bytes())
        data = archive.read(largest)
    content[content.index(data) + len(data) // 2] ^= 1
    path.write_bytes(content)
    refused(path)


class Runs:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.pt"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Runs()))
    else:
        torch.save({"format": Runs()}, path)
    refused(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"format": "untrained training 0"}, {"settings": 3}, {"settings": {}}, {"epochs": [3]},
        {"epochs": [{"epoch": 1}]}, {"network": None}, {"optimiser": []},
    ],
)  # fmt: skip
def test_other_content_is_refused(written, change):
    path, _ = written
    torch.save(torch.load(path, weights_only=True) | change, path)
    refused(path)


def test_epochs_that_are_missing_are_noticed(written):
    path, state = written
    content = torch.load(path, weights_only=True)
    torch.save(content | {"epochs": [asdict(state.epochs[1])]}, path)
    refused(path)


def test_no_list_is_a_checkpoint(tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    refused(tmp_path / "list.pt")


def test_a_checkpoint_is_replaced_in_one_piece(written, monkeypatch):
    path, state = written
    before = path.read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(UntrainedError, match=r"cannot write .*one\.pt: No space left on device"):
        write_checkpoint(path, SETTINGS, state)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]

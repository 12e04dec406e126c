"""One flipped byte, a truncation and another file in the place of every kind of artifact.

Each is named on one line, or changes no number; it is never a number that differs.
"""

import random
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch

from cli.conftest import command
from untrained.errors import UntrainedError
from untrained.files import BUNDLED
from untrained.training.checkpoints import read_checkpoint, write_checkpoint
from untrained.training.loop import Epoch, State

SHARD = ["shard", "nasbench201", "--proxy", "parameters", "--dataset", "cifar10", "--seed", "0"]
SHARD += ["--architectures", "40", "--quiet"]
SEARCH = ["search", "random", "nasbench201", "--runs", "5", "--json", "--quiet"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One file of each kind, in a folder."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        assert command(*SHARD, "--out", "shard.parquet")[0] == 0
        assert command("merge", "shard.parquet", "--out", "scores.parquet")[0] == 0
        shutil.copy(BUNDLED / "nasbench201.parquet", "benchmark.parquet")
        Path("random/nasbench201/cifar10").mkdir(parents=True)
        trace = "random/nasbench201/cifar10/0.parquet"
        assert command(*SEARCH, "--out", trace)[0] == 0
        _interrupted(folder)
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (200, 16, 16, 3), np.uint8)
        np.savez(folder / "given.npz", x=images, y=np.arange(200) % 120)
        write_checkpoint(folder / "training.pt", {"seed": 0}, _state())
    return folder


def _interrupted(folder):
    """A ledger of a shard that was interrupted after half of its work."""
    from untrained.scoring import shards
    from untrained.scoring.ledger import Ledger

    add, most = Ledger.add, 20

    def stops(ledger, item, value):
        if len(ledger.done) == most:
            raise KeyboardInterrupt
        add(ledger, item, value)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Ledger, "add", stops)
        with pytest.raises(KeyboardInterrupt):
            shards.score_space(
                "nasbench201",
                ["parameters"],
                architectures=40,
                dataset="cifar10",
                ledger=folder / "ledger.sqlite",
            )
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _state():
    epoch = Epoch(1, 0.025, 0.0, 1.0, 50.0, None, 2.0)
    return State((epoch,), {"w": torch.arange(64.0)}, {"state": {}, "lr": 0.5})


def _checkpoint(path):
    found = read_checkpoint(path, {"seed": 0})
    return found and (found.epochs, found.network["w"].tolist(), found.optimiser)


def _merged(path):
    answer = command("merge", path, "--out", "again.parquet")
    return answer, Path("again.parquet").read_bytes() if answer[0] == 0 else b""


def _resumed(path):
    answer = command(*SHARD, "--ledger", path, "--out", "again.parquet")
    return answer, Path("again.parquet").read_bytes() if answer[0] == 0 else b""


def _images(path):
    answer = command("fetch", "TinyImageNet16-120", "--from", path, "--out", "tiny.npz", "--quiet")
    if answer[0]:
        return answer, None
    with np.load("tiny.npz") as file:
        return answer, {name: file[name].tolist() for name in file.files}


def _trace(path):
    shutil.rmtree("made", ignore_errors=True)
    options = ["--only", "tables", "--tables", "made", "--quiet"]
    answer = command("report", "section", "searches", "nasbench201", path, *options)
    return answer, sorted(one.read_bytes() for one in Path("made").rglob("*.csv"))


#: The file of each kind, and what reads it: (the answer of a command, the numbers that it makes).
KINDS = {
    "shard.parquet": _merged,
    "scores.parquet": _merged,
    "benchmark.parquet": lambda path: (command(*SEARCH, "--benchmark", path), None),
    "random/nasbench201/cifar10/0.parquet": _trace,
    "ledger.sqlite": _resumed,
    "given.npz": _images,
    "training.pt": lambda path: ((0, "", ""), _checkpoint(path)),
}


def flipped(content, place):
    changed = bytearray(content)
    changed[int(place * (len(content) - 1))] ^= 0x10
    return bytes(changed)


def truncated(content, place):
    return content[: int(place * (len(content) - 1))]


def foreign(content, place):
    return [b"", b'{"a": 1}\n', (BUNDLED / "README.md").read_bytes()][int(place * 2.99)]


@pytest.mark.parametrize("damage", [flipped, truncated, foreign])
@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_named_or_harmless(made, tmp_path, monkeypatch, kind, damage):
    folder = shutil.copytree(made, tmp_path / "run")
    monkeypatch.chdir(folder)
    read, path = KINDS[kind], Path(kind)
    content = path.read_bytes()
    right = read(path)
    assert right[0][0] == 0, right[0]
    draw = random.Random(f"{kind} {damage.__name__}")
    named = 0
    for place in (draw.uniform(0, 0.3), draw.uniform(0.3, 0.7), draw.uniform(0.7, 1)):
        shutil.rmtree(folder)
        shutil.copytree(made, folder)
        monkeypatch.chdir(folder)
        path.write_bytes(damage(content, place))
        try:
            (code, out, err), numbers = read(path)
        except UntrainedError as error:
            code, out, err, numbers = 2, "", f"untrained: {error}\n", None
        if code:
            assert (code, out) == (2, "")
            assert err.startswith("untrained: ")
            assert err.count("\n") == 1, err
            assert path.name in err or path.stem in err
            named += 1
        else:
            assert (out, numbers) == (right[0][1], right[1]), place
    if damage is not flipped:  # an empty ledger is a new one
        assert named == 3 - (damage is foreign and kind == "ledger.sqlite")

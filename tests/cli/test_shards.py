"""`untrained shard` and `untrained merge`: the score tables as promised."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from untrained import score
from untrained.scoring.columns import SCORE_COLUMNS
from untrained.scoring.ledger import Ledger, _checksum

from .conftest import command

pytestmark = pytest.mark.usefixtures("short_networks")

SMALL = ["--architectures", 6, "--batch-size", 8]
DEFAULTS = {"--proxy": "naswot", "--dataset": "cifar10", "--seed": 0, "--out": "made.parquet"}


def asked(*changes, **options):
    """The arguments of a small shard; `options` by their name without dashes."""
    chosen = DEFAULTS | {f"--{name}": value for name, value in options.items()}
    return ["shard", "nasbench201", *SMALL, *sum(chosen.items(), ()), *changes]


def made(untrained, *changes, **options):
    code, out, err = untrained(*asked(*changes, **options))
    assert (code, out) == (0, ""), err
    return pd.read_parquet(options.get("out", DEFAULTS["--out"]))


def test_the_contract(untrained, tmp_path):
    table = made(untrained, seed=3)
    assert list(table.columns) == SCORE_COLUMNS
    types = {field.name: str(field.type) for field in pq.read_schema(tmp_path / "made.parquet")}
    assert types == {
        "arch": "int32",
        "proxy": "large_string",
        "dataset": "large_string",
        "seed": "int64",
        "score": "double",
        "status": "large_string",
    }
    assert table["arch"].is_monotonic_increasing
    assert table["arch"].nunique() == 6
    constants = table[["proxy", "dataset", "seed"]].drop_duplicates().to_numpy().tolist()
    assert constants == [["naswot", "cifar10", 3]]
    assert (table["score"].isna() == (table["status"] != "ok")).all()


def test_scores_are_those_of_the_notebook(untrained):
    table = made(untrained, seed=1)
    for row in table.itertuples():
        alone = score("nasbench201", int(row.arch), seed=1, batch_size=8)
        assert row.status == alone.status
        assert alone.score is None or row.score == alone.score


def test_two_spellings_of_a_proxy_are_one(untrained):
    table = made(untrained, "--proxy", "naswot@0")
    assert len(table) == 6
    assert set(table["proxy"]) == {"naswot"}


def test_several_proxies_share_a_shard(untrained):
    both = made(untrained, "--proxy", "naswot-released")
    assert list(both["proxy"].unique()) == ["naswot", "naswot-released"]
    for proxy in ("naswot", "naswot-released"):
        alone = made(untrained, proxy=proxy, out="alone.parquet")
        own = both[both["proxy"] == proxy].reset_index(drop=True)
        pd.testing.assert_frame_equal(own, alone)


def test_shared_scores_are_those_of_the_class(untrained, space):
    table = made(untrained, "--architectures", 60, "--share", "--proxy", "naswot-released")
    for proxy, owners in (
        ("naswot", space.representatives),
        ("naswot-released", space.executed_representatives),
    ):
        own = table[table["proxy"] == proxy].set_index("arch")["score"]
        assert len(own) == 60
        borrowed = [index for index in own.index if owners[index] != index]
        assert borrowed
        for index in borrowed[:5]:
            its = score("nasbench201", int(owners[index]), proxy=proxy, batch_size=8).score
            assert its is None or own[index] == its


def test_an_undefined_score_is_null_and_says_why(untrained):
    """A sixteenth of the space and more has no connection from input to output."""
    table = made(untrained, "--architectures", 60, "--dataset", "noise")
    assert "disconnected" in set(table["status"])
    assert table.loc[table["status"] == "disconnected", "score"].isna().all()


def test_the_same_bytes_twice(untrained, tmp_path):
    for name in ("a", "b"):
        made(untrained, out=f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_merged_shards_are_the_whole(untrained, tmp_path):
    whole = made(untrained, "--sample-seed", 5, "--seconds", out="whole.parquet")
    assert list(whole.columns) == [*SCORE_COLUMNS, "seconds"]
    parts = [
        made(untrained, "--sample-seed", 5, "--shards", 4, "--shard", number, out=f"{number}")
        for number in range(4)
    ]
    assert sorted(len(part) for part in parts) == [1, 1, 2, 2]
    assert untrained("merge", *"3120", "--out", "merged") == (0, "", "")
    merged = pd.read_parquet(tmp_path / "merged")
    pd.testing.assert_frame_equal(merged, whole.drop(columns="seconds"))
    assert set(merged["arch"]) != set(made(untrained)["arch"])


def test_a_shard_without_architectures_keeps_its_types(untrained, tmp_path):
    full = made(untrained, out="full.parquet")
    empty = made(untrained, "--shards", 9, "--shard", 8, out="empty.parquet")
    assert empty.empty
    assert pq.read_schema("empty.parquet") == pq.read_schema("full.parquet")
    untrained("merge", "empty.parquet", "full.parquet", "--out", "merged.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet("merged.parquet"), full)
    assert pq.read_schema("merged.parquet") == pq.read_schema("full.parquet")


def test_noise_needs_no_split_of_its_own(untrained):
    noise = made(untrained, dataset="noise")
    pd.testing.assert_frame_equal(made(untrained, dataset="noise", split="train"), noise)


def test_progress_in_a_log_is_lines(untrained):
    code, out, err = untrained(*asked("--device", "cpu"))
    line = r"nasbench201/cifar10/naswot/seed0 on cpu: \d/6 architectures, [\d.]+ architectures/s"
    lines = err.splitlines()
    assert (code, out, len(lines)) == (0, "", 6)
    assert all(re.match(line, text) for text in lines)
    assert lines[-1].endswith(" 0 s left")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--shards", 2, "--shard", 2], "shard 2 of 2"),
        (["--shard", -1], "shard -1 of 1"),
        (["--architectures", "0"], "it has 1 to 15625"),
        (["--architectures", "15626"], "it has 1 to 15625"),
        (["--architectures", "many"], "'many': a number, or 'all'"),
        (["--device", "cuda:77"], "'cuda:77' is not here"),
        (["--device", "tpu"], "'tpu' is not here"),
        (["--engine", "fats"], "did you mean 'fast'"),
        (["--precision", "float23"], "did you mean 'float32'"),
        (["--proxy", "nawsot"], "did you mean 'naswot'"),
        (["--proxy", "naswot-relaesed"], "did you mean 'released'"),
        (["--dataset", "cifar1000"], "did you mean 'cifar100'"),
        (["--split", "tset"], "did you mean 'test'"),
        (["--split", "train"], "untrained fetch cifar10"),
        (["--batch-size", 1], "batch_size 1: a whole number, 2 or more"),
        (["--seed", -1], "seed -1 is negative"),
        (["--architectures", "٣"], "architectures is '٣': a number, or 'all'"),
        (["--augmentation", "flip"], "did you mean 'crop-flip'"),
        (["--sampling", "balance"], "did you mean 'balanced'"),
    ],
)
def test_mistakes_write_nothing(refused, changes, said):
    refused(asked(*changes), said)


def test_a_folder_that_cannot_be_written(untrained, tmp_path):
    (tmp_path / "folder").mkdir()
    code, _, err = untrained(*asked(out="folder"))
    assert code == 2
    assert "file 'folder' is a directory" in err
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.fixture
def shards(untrained):
    for number in range(2):
        made(untrained, "--shards", 2, "--shard", number, out=f"{number}.parquet")


@pytest.mark.usefixtures("shards")
def test_duplicates_are_refused(refused):
    said = "the shards score {'proxy': 'naswot', 'dataset': 'cifar10', 'seed': 0, 'arch':"
    refused(["merge", "0.parquet", "1.parquet", "1.parquet", "--out", "merged"], said)


@pytest.mark.usefixtures("shards")
@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-9], bytes.swapcase])
def test_a_damaged_shard_is_named(refused, tmp_path, damage):
    shard = tmp_path / "1.parquet"
    shard.write_bytes(damage(shard.read_bytes()))
    err = refused(["merge", "0.parquet", "1.parquet", "--out", "merged"], "1.parquet is damaged")
    assert "0.parquet" not in err
    assert "delete it" in err
    assert "link" not in err


@pytest.mark.usefixtures("shards")
def test_a_damaged_shard_that_is_a_link_names_both(refused, tmp_path):
    """As Snakemake's output cache leaves them: without the link the damaged file is still there."""
    cached = tmp_path / "cached.parquet"
    cached.write_text("damage")
    (tmp_path / "1.parquet").unlink()
    (tmp_path / "1.parquet").symlink_to(cached)
    said = f"it is a link, delete {cached.resolve()} too"
    refused(["merge", "0.parquet", "1.parquet", "--out", "merged"], said)


@pytest.mark.usefixtures("shards")
def test_merge_takes_nothing_but_shards(refused, tmp_path):
    pd.DataFrame({"arch": [1]}).to_parquet(tmp_path / "other.parquet")
    refused(["merge", "0.parquet", "other.parquet", "--out", "merged"], "other.parquet is damaged")
    refused(["merge", "0.parquet", "no.parquet", "--out", "merged"], "no.parquet does not exist")


def test_a_shard_of_scores_after_training(untrained, few_steps):
    table = {}
    for names in (["lga@1", "lga", "naswot@0.5"], ["lga@1"], ["lga"]):
        options = [word for name in names for word in ("--proxy", name)]
        code, _, err = untrained(
            *("shard", "nasbench201", *options, "--dataset", "cifar10", "--seed", 0),
            *("--architectures", 2, "--batch-size", 8, "--out", "scores.parquet"),
        )
        assert code == 0, err
        found = pd.read_parquet("scores.parquet").set_index(["proxy", "arch"])["score"]
        assert set(found.index.levels[0]) == set(names)
        for key, value in found.items():
            assert value == pytest.approx(table.setdefault(key, value), rel=1e-9)
        assert re.search(r"architectures/s|s each", err)
        assert "steps" not in err
    assert len(table) == 6
    assert len(set(table.values())) == 6


WARNING = "warning: lga-released@1 reads the labels of test images"


def test_who_reads_test_labels_is_warned_once(untrained, test_images):
    code, _, err = untrained(
        *asked("--proxy", "lga", proxy="lga-released@1", split="train"), "--architectures", 2
    )
    assert code == 0, err
    assert err.splitlines()[0] == WARNING
    assert err.count("warning") == 1
    table = pd.read_parquet("made.parquet")
    assert set(table["proxy"]) == {"lga-released@1", "lga"}
    assert (table["status"] == "ok").all()


def test_test_images_have_to_be_fetched(refused):
    said = "cifar10.npz does not exist: run `untrained fetch cifar10`"
    assert refused(asked(proxy="lga-released@1"), said, after=1).startswith(WARNING)


def test_test_images_are_not_learned(refused, test_images):
    said = "cifar10 test is not for training: take sample, train, train-half, valid-half"
    refused(asked(proxy="lga-released@1", split="test"), said, after=1)


def test_a_shard_is_drawn_among_what_a_table_knows(untrained, tmp_path, refused):
    from untrained.benchmarks.table import read_table, write_table
    from untrained.files import BUNDLED

    table = read_table(BUNDLED / "nasbench201.parquet", "nasbench201")
    some = tmp_path / "some.parquet"
    write_table(table[table["arch"].isin([7, 1462, 9000])], some)
    asked = ["shard", "nasbench201", "--proxy", "parameters", "--dataset", "cifar10"]
    asked += ["--seed", 0, "--among", some]
    # first of all few: without the table, all would be those of the space
    assert untrained(*asked, "--architectures", 2, "--out", "two.parquet")[0] == 0
    assert set(pd.read_parquet("two.parquet")["arch"]) < {7, 1462, 9000}
    refused([*asked, "--architectures", 4, "--out", "o.parquet"], "1 to 3 of them with a known")
    assert untrained(*asked, "--architectures", "all", "--out", "all.parquet")[0] == 0
    assert pd.read_parquet("all.parquet")["arch"].tolist() == [7, 1462, 9000]


# --- interrupted shards

KEPT = ["--ledger", "ledger.sqlite", "--proxy", "lga", "--device", "cpu", "--batch-size", 4]

#: Runs the command and is killed as soon as two architectures are in the ledger.
DYING = """
import os, signal
from untrained import cli
from untrained.scoring.ledger import Ledger
from tests.short import shorten

shorten()
add = Ledger.add

def add_and_die(self, *given):
    add(self, *given)
    if len(self.done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

Ledger.add = add_and_die
cli.main()
"""


class Stopped(BaseException):
    pass


@pytest.fixture
def interrupted(untrained, monkeypatch):
    """Stop a shard after some architectures, of which nothing but the ledger is left."""

    def run(after=2):
        def add(self, *given):
            original(self, *given)
            if len(self.done) == after:
                raise Stopped

        original = Ledger.add
        with monkeypatch.context() as patched:
            patched.setattr(Ledger, "add", add)
            with pytest.raises(Stopped):
                untrained(*asked(*KEPT))
        assert not Path("made.parquet").exists()

    return run


def rows(statement="SELECT item, value FROM done ORDER BY item", *values):
    with contextlib.closing(sqlite3.connect("ledger.sqlite", isolation_level=None)) as ledger:
        return ledger.execute(statement, values).fetchall()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, short_networks):
    """The bytes of the shard that was not interrupted."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("whole"))
        made(command, *KEPT)
        assert rows() == []
        return Path("made.parquet").read_bytes()


def resumed(untrained, tmp_path, *changes):
    code, out, err = untrained(*asked(*KEPT, *changes))
    assert (code, out) == (0, ""), err
    return (tmp_path / "made.parquet").read_bytes(), err.splitlines()


def test_a_killed_shard_resumes_without_loss(untrained, tmp_path, whole, monkeypatch):
    dying = [sys.executable, "-c", DYING, *asked(*KEPT)]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}  # what pytest added as well
    died = subprocess.run(
        list(map(str, dying)), env=os.environ | path, check=False, capture_output=True, text=True
    )
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not Path("made.parquet").exists()
    left = {int(item.split()[0]) for item, _ in rows()}
    assert len(left) == 2
    scored = []
    from untrained.scoring import engine

    original = engine.subject_of
    monkeypatch.setattr(
        engine,
        "subject_of",
        lambda request, index, *rest: scored.append(index) or original(request, index, *rest),
    )
    content, said = resumed(untrained, tmp_path)
    assert content == whole
    assert said[0].endswith("/seed0 on cpu: 2 of 6 architectures were scored before")
    assert re.search(r": 4/4 architectures, .* 0 s left$", said[-1])
    assert set(scored) == set(pd.read_parquet("made.parquet")["arch"]) - left
    assert rows() == []


def test_what_the_ledger_has_is_not_scored_again(untrained, tmp_path, whole, interrupted):
    """Scores are taken from it to the last bit: another value comes out as it was put in."""
    interrupted()
    item, value = rows()[0]
    scores = json.loads(value)
    scores[1]["score"] = 0.1 + 0.2
    other = json.dumps(scores)
    ((key,),) = rows("SELECT key FROM done WHERE item = ?", item)
    row = other, _checksum(key, item, other), item
    rows("UPDATE done SET value = ?, checksum = ? WHERE item = ?", *row)
    assert resumed(untrained, tmp_path)[0] != whole
    table = pd.read_parquet("made.parquet").set_index(["proxy", "arch"])["score"]
    assert table["lga", int(item.split()[0])] == 0.1 + 0.2


@pytest.mark.parametrize("changed", ["code", "shard"])
def test_what_is_of_something_else_is_not_used(
    untrained, tmp_path, interrupted, monkeypatch, changed
):
    interrupted()
    left = rows()
    changes = ["--shards", 2] if changed == "shard" else []
    with monkeypatch.context() as patched:
        if changed == "code":
            patched.setattr("untrained.scoring.request.code_digest", lambda *modules: "changed")
        _, said = resumed(untrained, tmp_path, *changes)
    assert not any("scored before" in line for line in said)
    assert rows() == left
    assert "2 of 6 architectures" in resumed(untrained, tmp_path)[1][0]


@pytest.mark.parametrize("kept", ["another status", "one score of two"])
def test_what_is_no_score_is_damage(untrained, interrupted, kept):
    interrupted(1)
    ((item, value),) = rows()
    fewer = json.dumps(json.loads(value)[:1])
    damaged = fewer if kept == "one score of two" else value.replace('"ok"', '"fine"')
    rows("UPDATE done SET value = ? WHERE item = ?", damaged, item)
    code, _, err = untrained(*asked(*KEPT))
    assert code == 2
    assert "untrained: ledger ledger.sqlite is damaged: delete it" in err


def test_a_full_disk_while_the_table_is_written_loses_no_score(
    untrained, tmp_path, whole, monkeypatch
):
    with monkeypatch.context() as patched:
        patched.setattr("untrained.files.write_parquet", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            untrained(*asked(*KEPT))
    assert len(rows()) == 6
    assert resumed(untrained, tmp_path)[0] == whole


def test_a_ledger_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "ledger.sqlite").mkdir()
    refused(asked(*KEPT), "file 'ledger.sqlite' is a directory")


def test_a_network_file_system_is_said(untrained, tmp_path, monkeypatch):
    elsewhere = tmp_path / "local" / "ledger.sqlite"
    monkeypatch.setattr("untrained.scoring.ledger.local", lambda path: elsewhere)
    _, said = resumed(untrained, tmp_path)
    assert said[0] == f"ledger.sqlite is on a network file system: the ledger is {elsewhere}"
    assert elsewhere.is_file()


@pytest.mark.usefixtures("shards")
def test_shards_to_merge_may_be_listed_in_a_file(untrained, refused, tmp_path):
    (tmp_path / "list").write_text("1.parquet\n\n0.parquet\n")
    untrained("merge", "0.parquet", "1.parquet", "--out", "named")
    assert untrained("merge", "--list", "list", "--out", "listed") == (0, "", "")
    assert untrained("merge", "1.parquet", "--list", "one", "--out", "x")[0] == 2
    assert (tmp_path / "named").read_bytes() == (tmp_path / "listed").read_bytes()
    refused(["merge", "--list", "no", "--out", "merged"], "no does not exist")
    refused(["merge", "--out", "merged"], "no shards to merge")

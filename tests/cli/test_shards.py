"""`untrained shard` and `untrained merge`: the score tables as promised."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from untrained import score
from untrained.cli.shards import SCORE_COLUMNS

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


def test_shards_partition_the_sample(untrained, tmp_path):
    whole = made(untrained, out="whole.parquet")
    parts = [
        made(untrained, "--shards", 4, "--shard", number, out=f"{number}.parquet")
        for number in range(4)
    ]
    assert sorted(len(part) for part in parts) == [1, 1, 2, 2]
    assert all(part["arch"].is_monotonic_increasing for part in parts)
    # the order of the arguments is irrelevant
    for order, target in (("0123", "x"), ("3120", "y")):
        names = [f"{number}.parquet" for number in order]
        assert untrained("merge", *names, "--out", target) == (0, "", "")
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "x"), whole)


def test_a_shard_without_architectures_keeps_its_types(untrained, tmp_path):
    full = made(untrained, out="full.parquet")
    empty = made(untrained, "--shards", 9, "--shard", 8, out="empty.parquet")
    assert empty.empty
    assert pq.read_schema("empty.parquet") == pq.read_schema("full.parquet")
    untrained("merge", "empty.parquet", "full.parquet", "--out", "merged.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet("merged.parquet"), full)
    assert pq.read_schema("merged.parquet") == pq.read_schema("full.parquet")


def test_the_sample_follows_its_seed(untrained):
    first, second = (
        set(made(untrained, "--sample-seed", seed)["arch"].tolist()) for seed in (0, 1)
    )
    assert first != second


def test_noise_needs_no_split_of_its_own(untrained):
    noise = made(untrained, dataset="noise")
    pd.testing.assert_frame_equal(made(untrained, dataset="noise", split="train"), noise)


def test_released_variant_under_its_spelling(untrained):
    assert set(made(untrained, proxy="naswot-released")["proxy"]) == {"naswot-released"}


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
        (["--batch-size", 1], "minibatch size 1"),
        (["--seed", -1], "seed -1 is negative"),
        (["--augmentation", "flip"], "did you mean 'crop-flip'"),
        (["--sampling", "balance"], "did you mean 'balanced'"),
    ],
)
def test_mistakes_write_nothing(refused, changes, said):
    refused(asked(*changes), said)


def test_an_unknown_space(refused):
    refused(["shard", "nasbench", *asked()[2:]], "did you mean 'nasbench201'")


def test_a_folder_that_cannot_be_written(untrained, tmp_path):
    (tmp_path / "folder").mkdir()
    code, _, err = untrained(*asked(out="folder"))
    assert code == 2
    assert err.splitlines()[-1] == "untrained: cannot write folder: Is a directory"
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
    refused(["merge", "--out", "merged"], "Usage:")


def test_merging_sorts(untrained):
    """By proxy, data set, seed and architecture, whichever came first."""
    names = []
    for proxy in ("naswot-released", "naswot"):
        for dataset in ("noise", "cifar10"):
            for seed in (1, 0):
                names.append(f"{len(names)}.parquet")
                made(
                    untrained,
                    "--architectures",
                    2,
                    proxy=proxy,
                    dataset=dataset,
                    seed=seed,
                    out=names[-1],
                )
    untrained("merge", *names, "--out", "merged.parquet")
    table = pd.read_parquet("merged.parquet")
    keys = list(table[["proxy", "dataset", "seed", "arch"]].itertuples(index=False, name=None))
    assert len(keys) == 16
    assert keys == sorted(keys)


def test_seconds_are_kept_where_they_are_asked_for(untrained):
    timed = made(untrained, "--seconds", "--architectures", 2, out="timed.parquet")
    plain = made(untrained, "--architectures", 2, seed=1, out="plain.parquet")
    assert list(timed.columns) == [*SCORE_COLUMNS, "seconds"]
    assert (timed["seconds"] > 0).all()
    for names, known in ((["timed"], 2), (["timed", "plain"], 2)):
        untrained("merge", *(f"{name}.parquet" for name in names), "--out", "merged.parquet")
        merged = pd.read_parquet("merged.parquet")
        assert list(merged.columns) == [*SCORE_COLUMNS, "seconds"]
        assert merged["seconds"].notna().sum() == known
    untrained("merge", "plain.parquet", "--out", "merged.parquet")
    assert pd.read_parquet("merged.parquet").equals(plain)


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
        assert "architectures/s" in err
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

KEPT = ["--journal", "journals", "--proxy", "lga", "--device", "cpu"]

#: Runs the command and dies as soon as some architectures are in the journal.
DYING = """
import os, sys
from untrained import cli
from untrained.scoring.journal import Journal

add, after, number = Journal.add, int(sys.argv.pop(1)), int(sys.argv.pop(1))

def add_and_die(self, *given):
    add(self, *given)
    if len(self.done) == after:
        os.kill(os.getpid(), number)

Journal.add = add_and_die
cli.main()
"""


class Stopped(BaseException):
    pass


@pytest.fixture
def interrupted(untrained, monkeypatch):
    """Stop a shard after some architectures; the journal that it leaves, and nothing else."""

    def run(after=2):
        from untrained.scoring.journal import Journal

        def add(self, *given):
            original(self, *given)
            if len(self.done) == after:
                raise Stopped

        original = Journal.add
        with monkeypatch.context() as patched:
            patched.setattr(Journal, "add", add)
            with pytest.raises(Stopped):
                untrained(*asked(*KEPT))
        assert not Path("made.parquet").exists()
        return newest_journal()

    return run


def journals():
    return sorted(Path("journals").iterdir(), key=lambda path: path.stat().st_mtime_ns)


def newest_journal():
    return journals()[-1]


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


@pytest.fixture
def whole(untrained, tmp_path):
    """The bytes of the shard that was not interrupted."""
    made(untrained, *KEPT, out="whole.parquet")
    assert journals() == []
    return (tmp_path / "whole.parquet").read_bytes()


def resumed(untrained, tmp_path, *changes):
    code, out, err = untrained(*asked(*KEPT, *changes))
    assert (code, out) == (0, ""), err
    return (tmp_path / "made.parquet").read_bytes(), err.splitlines()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_shard_goes_on_without_loss(untrained, tmp_path, whole, monkeypatch, number):
    command = [sys.executable, "-c", DYING, 2, int(number), *asked(*KEPT)]
    died = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True)
    assert died.returncode == -number, died.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"journals", "whole.parquet"}
    (left,) = journals()
    settings, *rows = map(json.loads, lines_of(left))
    assert (settings["proxies"], settings["split"]) == (["naswot", "lga"], "sample")
    assert len(rows) == 2
    scored = []
    from untrained.scoring import engine

    original = engine.score_architecture
    monkeypatch.setattr(
        engine,
        "score_architecture",
        lambda space, index, *rest: scored.append(index) or original(space, index, *rest),
    )
    content, said = resumed(untrained, tmp_path)
    assert content == whole
    assert said[0].endswith("/seed0 on cpu: 2 of 6 architectures were scored before")
    assert re.search(r": 4/4 architectures, .* 0 s left$", said[-1])
    table = pd.read_parquet("made.parquet")
    assert set(scored) == set(table["arch"]) - {row["arch"] for row in rows}
    assert journals() == []


def test_what_the_journal_has_is_not_scored_again(untrained, tmp_path, whole, interrupted):
    """Scores are taken from it to the last bit: another value comes out as it was put in."""
    left = interrupted()
    lines = lines_of(left)
    row = json.loads(lines[1])
    row["scores"]["lga"]["score"] = 0.1 + 0.2
    left.write_bytes(lines[0] + json.dumps(row).encode() + b"\n" + lines[2])
    assert resumed(untrained, tmp_path)[0] != whole
    table = pd.read_parquet("made.parquet").set_index(["proxy", "arch"])["score"]
    assert table["lga", row["arch"]] == 0.1 + 0.2


@pytest.mark.parametrize("kept", [0.5, -1])
def test_a_torn_line_is_scored_again(untrained, tmp_path, whole, interrupted, kept):
    left = interrupted()
    first, one, two = lines_of(left)
    left.write_bytes(first + one + (two[: len(two) // 2] if kept > 0 else two[:kept]))
    content, said = resumed(untrained, tmp_path)
    assert "1 of 6 architectures" in said[0]
    assert content == whole


def test_interrupted_again_and_again(untrained, tmp_path, whole, interrupted):
    for after in (1, 2, 4):
        left = interrupted(after)
        assert len(lines_of(left)) == 1 + after
    assert resumed(untrained, tmp_path)[0] == whole


def test_all_were_scored_before(untrained, tmp_path, whole, interrupted):
    interrupted(6)
    content, said = resumed(untrained, tmp_path)
    assert content == whole
    assert len(said) == 1


def test_other_settings_have_another_journal(untrained, tmp_path, whole, interrupted):
    left = interrupted()
    content = lines_of(left)
    _, said = resumed(untrained, tmp_path, "--augmentation", "crop-flip", "--batch-size", 9)
    assert said[0] == f"{left} is of other scores of this shard (augmentation, batch_size): left"
    assert not any("scored before" in line for line in said)
    assert journals() == [left]
    assert lines_of(left) == content
    assert resumed(untrained, tmp_path)[0] == whole
    assert journals() == []


def test_other_code_has_another_journal(untrained, tmp_path, whole, interrupted, monkeypatch):
    left = interrupted()
    monkeypatch.setattr("untrained.scoring.journal.code_digest", lambda: "changed")
    content, said = resumed(untrained, tmp_path)
    assert said[0] == f"{left} is of other scores of this shard (code): left"
    assert content == whole
    assert journals() == [left]


def test_another_shard_is_not_mentioned(untrained, tmp_path, whole, interrupted):
    left = interrupted()
    _, said = resumed(untrained, tmp_path, "--seed", 1)
    assert not any(str(left) in line for line in said)


def test_mistakes_leave_no_journal(untrained, tmp_path):
    code, _, err = untrained(*asked(*KEPT, "--batch-size", 1))
    assert code == 2
    assert err.startswith("untrained: minibatch size 1")
    assert journals() == []


def test_a_journal_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "journals").write_text("a file")
    refused(asked(*KEPT), "untrained: cannot write journals/")

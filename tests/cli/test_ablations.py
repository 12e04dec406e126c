"""`untrained ablate`, and what the report makes of it."""

import re
import shutil
from itertools import pairwise

import pandas as pd
import pyarrow.parquet as pq
import pytest

from untrained import score
from untrained.scoring.ablations import EXPERIMENTS
from untrained.scoring.columns import ABLATION_COLUMNS

from .conftest import command

pytestmark = pytest.mark.usefixtures("short_networks")

SPACE = "nasbench201"
SMALL = {"repeats": 2, "batch_sizes": "4,6", "cells": 4, "minibatches": 2, "initialisations": 2}


def asked(*changes, out="made.parquet"):
    """Ask for small experiments, with the sizes of those that are named."""
    named = [after for word, after in pairwise(changes) if word == "--experiment"]
    known = [EXPERIMENTS[one] for one in named or EXPERIMENTS if one in EXPERIMENTS]
    used = {size for one in known for size in one.sizes}
    sizes = [(f"--{size.replace('_', '-')}", SMALL[size]) for size in SMALL if size in used]
    words = [word for pair in sizes for word in pair]
    return ["ablate", SPACE, "--batch-size", 6, *words, *changes, "--out", out]


REPORT = ["report", "section", "ablations", SPACE, "made.parquet", "--resamples", 20]
REPORT += ["--tables", ".", "--figures", "."]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, short_networks):
    """All experiments, their table and their figure; nothing may change in it."""
    folder = tmp_path_factory.mktemp("ablations")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        for arguments in (
            asked(),
            REPORT,
        ):
            code, out, err = command(*arguments)
            assert (code, out) == (0, ""), err
    return folder


def test_the_contract(finished):
    table = pd.read_parquet(finished / "made.parquet")
    types = {field.name: str(field.type) for field in pq.read_schema(finished / "made.parquet")}
    text = "large_string"
    expected = [text, text, "int32", "int32", "double", "double", "int64", "int64", "double", text]
    assert list(types.items()) == list(zip(ABLATION_COLUMNS, expected, strict=True))
    counts = {"minibatch": 20, "noise": 20, "initialisation": 20, "batch-size": 40, "variance": 16}
    assert table["experiment"].value_counts().to_dict() == counts
    keys = ["experiment", "batch_size", "arch", "minibatch_seed", "weight_seed"]
    assert table.equals(table.sort_values(keys, ignore_index=True))
    assert (table["score"].isna() == (table["status"] != "ok")).all()
    assert (table["bin_low"].isna() == (table["experiment"] == "variance")).all()


def test_scores_are_those_of_the_notebook(finished):
    table = pd.read_parquet(finished / "made.parquet")
    same = table[(table["minibatch_seed"] == table["weight_seed"]) & (table["batch_size"] == 6)]
    for row in same.groupby("experiment").head(2).itertuples():
        alone = score(SPACE, int(row.arch), dataset=row.dataset, seed=row.weight_seed, batch_size=6)
        assert row.score == alone.score


def test_the_same_bytes_when_repeated(untrained, finished, tmp_path):
    shutil.copy(finished / "made.parquet", "made.parquet")
    for arguments in (asked("--experiment", "noise", out="noise.parquet"), REPORT):
        assert untrained(*arguments)[0] == 0
    for suffix in ("parquet", "csv", "md", "tex"):
        name = f"ablations.{suffix}"
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()
    for name in ("ablations.svg", "ablations.png"):
        assert (tmp_path / name).read_bytes() == (finished / name).read_bytes()
    together = pd.read_parquet("made.parquet")
    alone = together[together["experiment"] == "noise"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_parquet("noise.parquet"), alone)


def test_progress_in_a_log_is_lines(untrained):
    code, out, err = untrained(*asked("--experiment", "variance", "--device", "cpu"))
    lines = err.splitlines()
    assert (code, out) == (0, "")
    line = r"nasbench201/variance/naswot on cpu: \d+/16 scores, [\d.]+ scores/s, \d+ s left"
    assert all(re.fullmatch(line, text) for text in lines)
    assert len(lines) == 10


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--experiment", "nosie"], "unknown experiment 'nosie': did you mean 'noise'"),
        (["--repeats", 1], "repeats is 1: a spread needs 2 or more"),
        (["--cells", 1], "cells is 1"),
        (["--cells", 15626], "it has 1 to 15625"),
        (["--batch-sizes", "32;64"], "--batch-sizes '32;64': whole numbers between commas"),
        (["--batch-sizes", "32,32"], "batch sizes are 32, 32"),
        (["--batch-sizes", ""], "--batch-sizes is empty"),
        (
            ["--batch-size", 1, "--experiment", "minibatch"],
            "batch_size 1: a whole number, 2 or more",
        ),
        (["--batch-sizes", "1025", "--experiment", "batch-size"], "1025 is too large"),
        (["--dataset", "cifar1000"], "did you mean 'cifar100'"),
        (["--split", "tset"], "did you mean 'test'"),
        (["--proxy", "nawsot"], "did you mean 'naswot'"),
        (["--seed", -1], "seed -1 is negative"),
        (["--device", "tpu"], "'tpu' is not here"),
        (["--precision", "float23"], "did you mean 'float32'"),
        (["--benchmark", "no.parquet"], "no.parquet does not exist"),
    ],
)
def test_mistakes_write_nothing(refused, changes, said):
    refused(asked(*changes), said)


def test_a_space_without_accuracies_to_choose_by(refused):
    said = "no ablations of nasbench101: it declares no `ablations`, or its benchmark no `abl"
    refused(["ablate", "nasbench101", *asked()[2:]], said)


def test_the_table_has_every_experiment(finished):
    table = pd.read_parquet(finished / "ablations.parquet")
    assert set(table["experiment"]) == set(EXPERIMENTS)
    assert set(table[table["experiment"] == "variance"]["architectures"]) == {4}
    assert "| variance | cifar100 | 6 | 4 |" in (finished / "ablations.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*REPORT[:4], "no.parquet"], "no.parquet does not exist"),
        ([*REPORT[:4], "ablations.png"], "ablations.png is damaged"),
        ([*REPORT[:3], "nasbench20", "made.parquet"], "did you mean 'nasbench201'"),
        ([*REPORT[:5], "--only", "figures"], "ablations.parquet does not"),
    ],
)
def test_mistakes_of_the_report_write_nothing(finished, tmp_path, refused, arguments, said):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    refused(arguments, said)

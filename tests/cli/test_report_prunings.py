"""`untrained report prunings` on a search that the command itself made."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from .conftest import command
from .test_report import run

SPACE = "nasbench201"
FAST = ("--dataset", "noise", "--criterion", "regions", "--repeats", 1, "--workers", 1)
TRACE = f"results/prunings/tenas/regions/{SPACE}/noise/seed0.parquet"


@pytest.fixture(scope="module")
def pruned(tmp_path_factory):
    """A folder with a trace and its tables, and what the search said; nothing may change in it."""
    folder = tmp_path_factory.mktemp("pruned")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        found = json.loads(run("prune", SPACE, *FAST, "--out", TRACE, "--json"))
        run("report", "section", "prunings", SPACE, "--only", "tables", TRACE)
    return folder, found


@pytest.fixture
def project(pruned, tmp_path, monkeypatch):
    """A copy of it to work in."""
    shutil.copytree(pruned[0] / "results", tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_table_is_of_the_cell_that_the_search_found(pruned, benchmark_table):
    folder, found = pruned
    table = pd.read_parquet(folder / f"results/tables/{SPACE}/prunings.parquet")
    own = table[table["method"] == "TE-NAS (regions, noise)"].set_index(["dataset", "split"])
    assert set(own["cells"]) == {str(found["architecture"])}
    assert own.loc[("cifar10", "val"), "mean"] == found["accuracy"]["cifar10-valid/x-valid"]
    test = own.loc[("cifar100", "test")]
    assert test["mean"] == found["accuracy"]["cifar100/x-test"]
    assert test["published_mean"] == 70.48
    control = table[table["method"] == "Random cell"].set_index(["dataset", "split"])
    every = benchmark_table.accuracies("cifar100", "x-test")
    assert control.loc[("cifar100", "test"), "mean"] == pytest.approx(every.mean())
    largest = table[table["method"] == "Most parameters"].iloc[0]
    assert largest["note"] == "cell 1462"  # every edge a 3x3 convolution


def test_every_format_is_there(pruned):
    for name in ("prunings", "trajectory"):
        for suffix in ("csv", "md", "parquet", "tex"):
            assert (pruned[0] / f"results/tables/{SPACE}/{name}.{suffix}").stat().st_size


def test_the_rounds_are_those_of_the_trace(pruned):
    folder, _ = pruned
    rounds = pd.read_parquet(folder / f"results/tables/{SPACE}/trajectory.parquet")
    trace = pd.read_parquet(folder / TRACE).drop_duplicates("round")
    assert rounds["regions"].tolist() == trace["regions"].tolist()
    assert rounds["kappa"].tolist() == trace["kappa"].tolist()


def test_seeds_are_a_mean_in_their_order(project):
    other = TRACE.replace("seed0", "seed10")
    third = TRACE.replace("seed0", "seed2")
    for path in (other, third):
        shutil.copy(TRACE, path)
    run("report", "section", "prunings", SPACE, "--only", "tables", other, TRACE, third)
    table = pd.read_parquet(project / f"results/tables/{SPACE}/prunings.parquet")
    own = table[table["images"] == "noise"]
    assert (own["runs"] == 3).all()
    assert own["difference_in_se"].notna().sum() == 1
    rounds = pd.read_parquet(project / f"results/tables/{SPACE}/trajectory.parquet")
    assert list(dict.fromkeys(rounds["seed"])) == [0, 2, 10]


def test_the_same_bytes_when_repeated(project):
    folder = project / f"results/tables/{SPACE}"
    out = f"results/figures/{SPACE}/trajectory.png"
    run("report", "section", "prunings", SPACE, "--only", "figures")
    before = {path: path.read_bytes() for path in (*folder.iterdir(), *Path(out).parent.iterdir())}
    run("report", "section", "prunings", SPACE, TRACE)
    assert {path: path.read_bytes() for path in before} == before
    assert {path.suffix for path in before} >= {".svg", ".png"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([SPACE, "a/b.parquet"], "traces lie at VARIANT/CRITERION/nasbench201/DATASET/seedN.par"),
        ([SPACE, TRACE.replace("seed0", "0of1")], "traces lie at VARIANT/CRITERION/"),
        ([SPACE, TRACE.replace(SPACE, "darts")], "traces lie at VARIANT/CRITERION/"),
        ([SPACE, TRACE.replace("tenas", "relased")], "did you mean 'released'"),
        ([SPACE, TRACE.replace("regions", "region")], "did you mean 'regions'"),
        ([SPACE, TRACE.replace("seed0", "seed7")], "seed7.parquet does not exist"),
        ([SPACE, TRACE, TRACE], "two traces of TE-NAS (regions, noise) and seed 0: give one"),
        ([SPACE, TRACE, "--benchmark", "x"], "x does not exist"),
        (["nasbench20", TRACE], "did you mean 'nasbench201'"),
        ([SPACE], "no files of prunings: name them"),
    ],
)
def test_mistakes_write_nothing(project, refused, arguments, said):
    refused(["report", "section", "prunings", *arguments], said)


def test_a_trace_without_its_end_is_named(project, refused):
    trace = pd.read_parquet(TRACE)
    trace[trace["round"] < 3].to_parquet(TRACE)
    refused(["report", "section", "prunings", SPACE, TRACE], "is left with")


def test_a_table_of_something_else_is_damaged(project, refused):
    pd.DataFrame({"arch": [1]}).to_parquet(TRACE)
    refused(["report", "section", "prunings", SPACE, TRACE], "seed0.parquet is damaged")


def test_the_figure_needs_its_table(project, refused):
    shutil.rmtree(project / "results/tables")
    refused(
        ["report", "section", "prunings", SPACE, "--only", "figures"],
        "trajectory.parquet does not exist",
    )
    assert command("report", "show", SPACE)[0] == 2

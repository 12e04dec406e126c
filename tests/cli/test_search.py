"""`untrained search` on small tables of real scores."""

import shutil

import numpy as np
import pandas as pd
import pytest

from untrained.search.pool import TRACE_COLUMNS

from .conftest import command

SIX_COLUMNS = 6  # validation and test of three data sets


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    """Twelve architectures, two seeds, on CIFAR-10."""
    folder = tmp_path_factory.mktemp("scores")
    shards = [folder / f"{seed}.parquet" for seed in (0, 1)]
    for seed, shard in enumerate(shards):
        command(
            *("shard", "nasbench201", "--proxy", "naswot", "--dataset", "cifar10"),
            *("--seed", seed, "--architectures", 12, "--batch-size", 8, "--out", shard),
        )
    command("merge", *shards, "--out", folder / "merged.parquet")
    return folder / "merged.parquet"


@pytest.fixture
def scored(merged, tmp_path):
    """Those scores, where the search looks for them."""
    target = tmp_path / "results/scores/nasbench201.parquet"
    target.parent.mkdir(parents=True)
    shutil.copy(merged, target)
    return pd.read_parquet(target)


def search(untrained, algorithm, *options):
    code, out, err = untrained("search", algorithm, "nasbench201", "--out", "trace", *options)
    assert (code, out) == (0, ""), err
    return pd.read_parquet("trace"), err


def test_the_best_scored_of_the_drawn_is_picked(untrained, scored):
    trace, err = search(untrained, "naswot-4", "--runs", 6, "--seconds-per-score", 0.5)
    assert list(trace.columns) == list(TRACE_COLUMNS)
    final = trace[trace["is_final"]]
    assert final["run"].tolist() == list(range(6))
    assert (final["step"] == 4).all()
    assert (final["simulated_seconds"] == 2.0).all()
    assert set(trace["arch"]) <= set(scored["arch"])
    for row in final.itertuples():
        own = scored[(scored["arch"] == row.arch) & (scored["seed"] == row.run % 2)]
        np.testing.assert_equal(row.fitness, own["score"].item())
    assert len(err.splitlines()) == SIX_COLUMNS
    assert all(line.startswith("naswot-4: ") for line in err.splitlines())
    assert all(line.endswith(" % over 6 runs") for line in err.splitlines())


@pytest.mark.usefixtures("scored")
def test_what_is_printed_is_the_mean_of_the_table(untrained, benchmark_table):
    trace, err = search(untrained, "naswot-3", "--runs", 5)
    picked = trace.loc[trace["is_final"], "arch"].to_numpy()
    reached = benchmark_table.accuracies("cifar10", "ori-test")[picked]
    expected = f"cifar10/ori-test {reached.mean():.2f} ± {reached.std(ddof=1):.2f} % over 5 runs"
    assert expected in err


def test_one_run_has_no_spread(untrained):
    _, err = search(untrained, "random", "--runs", 1)
    assert len(err.splitlines()) == SIX_COLUMNS
    assert "nan" not in err
    assert "±" not in err


def test_searches_without_scores_need_none(untrained):
    for algorithm in ("random", "optimal-10"):
        trace, _ = search(untrained, algorithm, "--runs", 4)
        assert trace["is_final"].sum() == 4 * (SIX_COLUMNS if "optimal" in algorithm else 1)


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize("algorithm", ["naswot-4", "random", "optimal-10"])
def test_the_same_bytes_twice_and_others_with_another_seed(untrained, tmp_path, algorithm):
    found = []
    for seed in (0, 0, 1):
        search(untrained, algorithm, "--runs", 4, "--seed", seed)
        found.append((tmp_path / "trace").read_bytes())
    assert found[0] == found[1] != found[2]


@pytest.mark.usefixtures("scored")
def test_a_pool_too_small_leaves_an_empty_trace(untrained):
    full, _ = search(untrained, "naswot-4", "--runs", 2)
    trace, err = search(untrained, "naswot-5", "--runs", 2)
    assert err == "12 architectures can't answer a search over 5\n"
    assert trace.empty
    assert trace.dtypes.to_dict() == full.dtypes.to_dict()


@pytest.mark.usefixtures("scored")
def test_nothing_is_written_where_nothing_is_asked(untrained, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    assert untrained("search", "naswot-3", "nasbench201", "--runs", 2)[0] == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_a_fetched_table_is_used(untrained):
    """And one that is damaged is not passed over for the bundled one."""
    untrained("fetch", "nasbench201")
    bundled, _ = search(untrained, "random", "--benchmark", "nowhere.parquet")
    fetched, _ = search(untrained, "random")
    pd.testing.assert_frame_equal(bundled, fetched)


@pytest.mark.usefixtures("scored")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["naswto-10", "nasbench201"], "did you mean 'naswot'"),
        (["naswot-x", "nasbench201"], "as in 'naswot-100'"),
        (["naswot-10", "nasbench20"], "did you mean 'nasbench201'"),
        (["naswot-10", "nasbench201", "--runs", 0], "0 runs: 1 or more"),
        (["naswot-4", "nasbench201", "--seed", -1], "seed -1 is negative"),
        (["random", "nasbench201", "--dataset", "cifar"], "unknown data set 'cifar'"),
        (["random", "nasbench201", "--seconds-per-score", -1], "-1.0: 0 or more"),
        (["random", "nasbench201", "--seconds-per-score", "nan"], "nan: 0 or more"),
        (["naswot-10", "nasbench201", "--proxy", "nawsot"], "did you mean 'naswot'"),
        (["naswot-10", "nasbench201", "--proxy", "naswot-released"], "`snakemake scores`"),
        (["naswot-10", "nasbench201", "--dataset", "cifar100"], "`snakemake scores`"),
        (["naswot-10", "nasbench201", "--scores", "no.parquet"], "`make run` or"),
        (["naswot-10", "nasbench201", "--scores", "other.parquet"], "other.parquet is damaged"),
        (
            ["random", "nasbench201", "--benchmark", "other.parquet"],
            "other.parquet is not a benchmark",
        ),
        (["random", "nasbench201", "--out", "/proc/nowhere/x"], "cannot write /proc/nowhere/x"),
    ],
)
def test_mistakes_write_nothing(refused, tmp_path, arguments, said):
    pd.DataFrame({"arch": [1]}).to_parquet(tmp_path / "other.parquet")
    refused(["search", *arguments], said)

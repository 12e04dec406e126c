"""NDS on the command line: fetched, compared, scored."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.benchmarks.nds_files import cell_entry, network_of, some_cells, some_stages, write

from untrained.errors import ParameterError
from untrained.files import write_parquet
from untrained.networks.nds import costs_of
from untrained.parameters import parse_parameters, read_parameters
from untrained.spaces import load_space


@pytest.fixture(autouse=True)
def fresh_spaces():
    """A space remembers what it has read, and these are read in several folders."""
    load_space.cache_clear()
    yield
    load_space.cache_clear()


@pytest.fixture
def entries():
    """One of each kind, with the costs of their networks."""
    made = {"nds_darts": some_cells(), "nds_resnet": some_stages()}
    for entry in [*made["nds_darts"], *made["nds_resnet"]]:
        costs = costs_of(network_of(entry["net"]), imagenet=False)
        entry |= {"params": costs.parameters, "flops": costs.flops}
    return made


@pytest.mark.parametrize(("space", "file"), [("nds_darts", "DARTS"), ("nds_resnet", "ResNet")])
def test_costs_are_compared_when_a_file_is_fetched(untrained, tmp_path, entries, space, file):
    entries = entries[space]
    write(tmp_path / f"nds_data/{file}.json", entries)
    code, out, err = untrained("fetch", space, "--from", "nds_data")
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        f"data/benchmarks/{space}.parquet",
        f"{space}: the costs of {len(entries)} networks are those of the file",
    ]
    entries[2]["flops"] += 1
    entries[3]["params"] += 1
    write(tmp_path / f"nds_data/{file}.json", entries)
    code, _, err = untrained("fetch", space, "--from", f"nds_data/{file}.json")
    assert code == 0
    (said,) = err.splitlines()[1:]
    counted = costs_of(network_of(entries[2]["net"]), imagenet=False).flops
    assert said == (
        f"warning: {space}: architecture 2 has {counted + 1:,} flops in the official file, its "
        f"network has {counted:,}; its scores may be of another network than the one that was "
        "trained"
    )


def test_the_file_of_another_kind_of_space(refused, tmp_path, entries):
    write(tmp_path / "DARTS.json", entries["nds_darts"])
    said = "DARTS.json, entry 0 is a network of two cells, those of nds_resnet have stages"
    refused(["fetch", "nds_resnet", "--from", "DARTS.json"], said)


def test_what_a_search_spends_is_no_time_where_there_is_none(untrained, tmp_path):
    entries = [cell_entry(errors=(50.0, 9.0 + number)) for number in range(4)]
    write(tmp_path / "DARTS.json", entries)
    untrained("fetch", "nds_darts", "--from", "DARTS.json")
    asked = ("--budget", "3evaluations", "--runs", 2, "--json")
    code, out, err = untrained("search", "rs", "nds_darts", *asked)
    found = json.loads(out)
    assert (code, found["evaluations"], found["seconds"]) == (0, 3, None), err
    code, _, err = untrained("search", "rs", "nds_darts", "--budget", "100s")
    assert code == 2
    assert "has no training times, give one in evaluations" in err


def test_failed_trainings_are_neither_searched_nor_missed(untrained, tmp_path):
    failed = cell_entry(width=16, errors=(50.0, float("inf")))
    trained = [cell_entry(errors=(50.0, 9.0 + number)) for number in range(3)]
    entries = [failed, *trained, failed]
    write(tmp_path / "DARTS.json", entries)
    untrained("fetch", "nds_darts", "--from", "DARTS.json")
    shared = ("--budget", "40evaluations", "--runs", 2, "--json")
    code, out, err = untrained("search", "rs", "nds_darts", *shared)
    found = json.loads(out)
    assert (code, found["evaluations"], found["best"]["architecture"]) == (0, 40, 1), err
    live = ("rs+fitness=parameters", "nds_darts", "--live", "--batch-size", 2, *shared)
    code, out, err = untrained("search", *live)
    found = json.loads(out)
    # the widest, of whose accuracy nothing is known
    assert (code, found["best"]["architecture"] in (0, 4)) == (0, True), err
    assert found["accuracy"]["cifar10/ori-test"]["mean"] is None


def test_scores_of_failed_trainings_start_no_search_and_are_in_no_pool(untrained, tmp_path):
    failed = cell_entry(width=16, errors=(50.0, float("inf")))
    trained = [cell_entry(errors=(50.0, 20.0 - number)) for number in range(8)]  # the last is best
    write(tmp_path / "DARTS.json", [failed, *trained, failed])
    untrained("fetch", "nds_darts", "--from", "DARTS.json")
    scored = {"arch": range(6), "proxy": "parameters", "dataset": "cifar10", "seed": 0}
    table = pd.DataFrame(scored | {"score": np.arange(6.0, 0, -1), "status": "ok"})
    write_parquet(table, tmp_path / "scores.parquet")
    shared = ("nds_darts", "--scores", "scores.parquet", "--budget", "30evaluations", "--runs", 9)
    for search in ("rs+init=parameters+scored=2+kept=1", "rs+pool=parameters"):
        code, _, err = untrained("search", search, *shared, "--out", "trace.parquet")
        assert code == 0, err
        found = set(pd.read_parquet("trace.parquet")["arch"])
        assert found
        assert found <= set(range(1, 9) if "init" in search else range(1, 6))


def test_a_budget_of_seconds_is_refused_before_anything_runs(untrained, tmp_path):
    write(tmp_path / "DARTS.json", [cell_entry() for _ in range(40)])
    untrained("fetch", "nds_darts", "--from", "DARTS.json")
    root = Path(__file__).parents[2]
    parameters = read_parameters(root / "params.yaml")
    parameters |= {"spaces": ["nds_darts"]}
    parameters["scores"]["architectures"] = 40
    parameters["training_curves"]["seeds"] = []
    parameters["searches"]["algorithms"] = ["rea", "random"]  # no product of choices for others
    with pytest.raises(ParameterError, match=r"searches\.budget: 12000s: .*nds_darts declares no"):
        parse_parameters(parameters)
    for changed in ({"budget": "57evaluations"}, {"algorithms": ["naswot-10", "random"]}):
        searches = parameters["searches"] | changed
        parse_parameters(parameters | {"searches": searches})


@pytest.mark.parametrize("proxy", ["naswot", "naswot-released"])
def test_networks_are_scored(untrained, tmp_path, proxy):
    entries = [
        cell_entry("Amoeba", width=4, aux=True),
        cell_entry("ENAS", width=4, errors=(50.0, 10.0, 8.0)),
        cell_entry(width=4, errors=(1.0, 2.0, float("nan"))),
    ]
    write(tmp_path / "Amoeba.json", entries)
    assert untrained("fetch", "nds_amoeba", "--from", "Amoeba.json")[0] == 0
    options = ("--proxy", proxy, "--batch-size", 8, "--seeds", 1, "--json")
    code, out, err = untrained("score", "nds_amoeba", 0, 1, 2, *options)
    assert code == 0, err
    results = json.loads(out)
    assert [result["status"] for result in results] == ["ok"] * 3
    assert [result["accuracy"] for result in results] == [
        {"cifar10/ori-test": 93.5},
        {"cifar10/ori-test": 92.0},
        {},
    ]
    assert results[0]["spelling"] == str(network_of(entries[0]["net"]))


def test_what_was_not_fetched_is_said(refused):
    refused(
        ["score", "nds_enas", 0],
        "run `untrained fetch nds_enas`, with --mirror FOLDER or --from ENAS.json",
    )
    refused(["fetch", "nds_enas", "--from", "nowhere"], "nowhere does not exist: name ENAS.json")


def test_a_table_of_other_architectures_than_the_list_is_refused(untrained, refused, tmp_path):
    entries = [cell_entry(errors=(50.0, 9.0 + number)) for number in range(4)]
    write(tmp_path / "DARTS.json", entries)
    assert untrained("fetch", "nds_darts", "--from", "DARTS.json")[0] == 0
    table = tmp_path / "data/benchmarks/nds_darts.parquet"
    copied = table.rename(tmp_path / "copied.parquet")
    write(tmp_path / "DARTS.json", entries[:3])
    assert untrained("fetch", "nds_darts", "--from", "DARTS.json")[0] == 0
    said = "the table has architecture 3, nds_darts has 0 to 2: `untrained fetch nds_darts` writes"
    shard = ["shard", "nds_darts", "--proxy", "parameters", "--dataset", "cifar10", "--seed", 0]
    refused([*shard, "--among", copied, "--out", "s.parquet"], said)
    searched = ["search", "rs", "nds_darts", "--budget", "2evaluations", "--runs", 1]
    refused([*searched, "--benchmark", copied], said)
    searched[1] = "rs+fitness=parameters"
    refused([*searched, "--benchmark", copied, "--live"], said)
    code, _, err = untrained(*shard, "--among", table, "--out", "s.parquet")
    assert code == 0, err

"""`untrained prune` on noise, by the number that takes little time."""

import json
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pandas as pd
import pytest

from untrained.cli import options
from untrained.errors import ParameterError
from untrained.search import measurements, pruning
from untrained.search.live import Live

FAST = ("--dataset", "noise", "--criterion", "regions", "--repeats", 1, "--workers", 1)


@pytest.fixture(scope="module")
def spelled():
    from untrained.spaces import get_space

    return get_space("nasbench201")


@pytest.fixture
def few_crops(monkeypatch):
    monkeypatch.setattr(measurements, "CROPS", 20)
    measurements._draw.cache_clear()
    yield
    measurements._draw.cache_clear()


@pytest.mark.usefixtures("few_crops")
def test_one_operation_is_left_on_every_edge(untrained, spelled, benchmark_table):
    code, out, err = untrained("prune", "nasbench201", *FAST, "--out", "trace", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert spelled.parse(found["spelling"]).index == found["architecture"]
    assert "none" not in found["spelling"]
    test = found["accuracy"]["cifar10/ori-test"]
    assert test == benchmark_table.accuracies("cifar10", "ori-test")[found["architecture"]]
    trace = pd.read_parquet("trace")
    assert trace.groupby("round")["pruned"].sum().tolist() == [6, 6, 6, 0]
    assert all("supernets/s" in line for line in err.splitlines())


@pytest.mark.usefixtures("quick_numbers")
def test_what_people_read(untrained, monkeypatch):
    monkeypatch.setattr(options, "training_of", lambda space: f"the training of {space}")
    code, out, _ = untrained("prune", "nasbench201", *FAST)
    assert code == 0
    assert out.count("6 of ") == 3
    assert out.count("  accuracy  ") == 6
    assert out.count(", the training of nasbench201\n") == 6


def test_the_length_of_a_training_is_that_of_the_benchmark():
    assert options.training_of("nasbench201") == "200 epochs"
    assert options.training_of("natsbench_size") == "90 epochs"
    assert options.training_of("nds_darts") == "full training"


def test_the_help_says_when_a_search_can_be_continued(untrained):
    _, out, _ = untrained("prune", "--help")
    assert "With --out or --ledger, the same command continues" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nasbench20"], "did you mean 'nasbench201'"),
        (["dart"], "did you mean 'darts'"),
        (["nasbench101"], "nasbench101 has no supernet to prune: known: darts, nasbench201"),
        (["darts", "--split", "tset"], "did you mean 'test'"),
        (["nasbench201", "--criterion", "kapa"], "did you mean 'kappa'"),
        (["nasbench201", "--variant", "relased"], "did you mean 'released'"),
        (["nasbench201", "--repeats", 0], "0 repeats: 1 or more"),
        (["nasbench201", "--batch-size", 1], "batch size 1 is too small"),
        (["nasbench201", "--workers", 0], "0 workers: 1 or more"),
        (["nasbench201", "--device", "cuda:9"], "device 'cuda:9' is not here: auto, cpu"),
        (["nasbench201", "--dataset", "cifar"], "unknown data set"),
        (["nasbench201", "--split", "tset"], "did you mean 'test'"),
        (["nasbench201", "--seed", -1], "negative"),
    ],
)
def test_mistakes_write_nothing(refused, arguments, said):
    refused(["prune", *arguments], said)


# --- the space of DARTS


@pytest.mark.usefixtures("few_crops", "quick_numbers")
def test_a_genotype_with_its_networks_and_how_to_train_it(untrained):
    from tests.networks.slow import benchmark_flops

    from untrained.networks.costs import count_parameters
    from untrained.networks.darts import IMAGENET, network_graph
    from untrained.networks.network import GraphNetwork
    from untrained.spaces.genotypes import parse_genotype

    code, out, err = untrained("prune", "darts", *FAST, "--out", "trace", "--json")
    assert code == 0, err
    found = json.loads(out)
    genotype = parse_genotype(found["spelling"])
    small, large = found["networks"]["CIFAR-10"], found["networks"]["ImageNet"]
    assert (small["cells"], small["channels"]) == (20, 36)
    assert (large["cells"], large["channels"]) == (14, 48)
    network = GraphNetwork(network_graph(genotype, 10))
    assert small["parameters"] == count_parameters(network)
    assert small["flops"] == benchmark_flops(network, (3, 32, 32))
    network = GraphNetwork(network_graph(genotype, 1000, IMAGENET))
    assert large["parameters"] == count_parameters(network)
    assert large["flops"] == benchmark_flops(network, (3, 224, 224))
    assert found["seconds"] > 0
    assert "accuracy" not in found
    program, command, spelled, *options = shlex.split(found["train"])
    assert (program, command, options) == ("untrained", "train", ["--drop-path", "0.3"])
    assert parse_genotype(spelled) == genotype
    trace = pd.read_parquet("trace")
    assert trace.groupby("round")["pruned"].sum().tolist() == [84, 84, 12, 0]


@pytest.mark.usefixtures("few_crops", "quick_numbers")
def test_what_people_read_of_a_genotype(untrained):
    from untrained.spaces.genotypes import parse_genotype

    code, out, _ = untrained("prune", "darts", *FAST)
    assert code == 0
    lines = out.splitlines()
    genotype = parse_genotype(lines[0])
    assert [line.split(";")[1] for line in lines if "round" in line] == [
        " 84 of 196 candidates pruned",
        " 84 of 112 candidates pruned",
        " 12 of 24 candidates pruned",
        " what is left",
    ]
    assert "multiply-adds; 20 cells, 36 channels" in out
    assert "multiply-adds; 14 cells, 48 channels" in out
    assert parse_genotype(shlex.split(lines[-1])[2]) == genotype


@pytest.mark.parametrize(
    ("dataset", "options"),
    [
        ("cifar10", " --dataset cifar10"),
        ("noise", ""),  # nothing to train on
        ("cifar100", " --dataset cifar100"),
        ("ImageNet16-120", " --dataset ImageNet16-120 --auxiliary-weight 0"),
    ],
)
def test_the_training_is_on_the_images_of_the_search(dataset, options):
    from untrained.search.supernets import pruned_space
    from untrained.spaces import get_space

    command = pruned_space("darts").training(get_space("darts").parse("DARTS_V2"), dataset)
    assert command.endswith(f"){chr(34)}{options} --drop-path 0.3")


# --- interrupted searches

SEARCH = ["prune", "nasbench201", *FAST, "--out", "trace"]


@pytest.mark.usefixtures("quick_numbers")
def test_an_interrupted_search_resumes(untrained, monkeypatch):
    from untrained.search import rounds

    plain = rounds.measure

    def until(space, settings, seed, keys, *masks):
        if keys[0] == 2:
            raise KeyboardInterrupt
        return plain(space, settings, seed, keys, *masks)

    with monkeypatch.context() as patched:
        patched.setattr(rounds, "measure", until)
        assert untrained(*SEARCH)[0] != 0
    (path,) = Path().iterdir()
    assert path.name == "trace.ledger"
    code, out, err = untrained(*SEARCH, "--json")
    assert code == 0, err
    assert err.splitlines()[0] == "continuing after round 2"
    assert "round 1" not in err
    assert "round 3" in err
    assert not path.exists()
    trace = Path("trace").read_bytes()
    Path("trace").unlink()
    code, again, err = untrained(*SEARCH, "--ledger", "shared", "--json")
    assert "continuing" not in err
    assert json.loads(again)["spelling"] == json.loads(out)["spelling"]
    assert Path("trace").read_bytes() == trace
    assert Path("shared").exists()


def test_a_killed_search_resumes(tmp_path, untrained, monkeypatch):
    fewer = "from untrained.search import measurements; measurements.CROPS = 300; "
    monkeypatch.setattr(measurements, "CROPS", 300)
    measurements._draw.cache_clear()
    asked = list(map(str, SEARCH))
    ledger = tmp_path / "trace.ledger"
    program = [sys.executable, "-c", f"{fewer}from untrained.cli import main; main()"]
    running = subprocess.Popen([*program, *asked], stdout=subprocess.DEVNULL, stderr=-3)
    while running.poll() is None and not rounds_in(ledger):
        time.sleep(0.01)
    running.kill()
    assert running.wait() == -signal.SIGKILL, "it was done before it was killed"
    kept = rounds_in(ledger)
    code, _, err = untrained(*asked)
    assert code == 0
    assert err.splitlines()[0] == f"continuing after round {kept}"
    resumed = Path("trace").read_bytes()
    assert untrained(*asked)[0] == 0
    assert Path("trace").read_bytes() == resumed
    measurements._draw.cache_clear()


def rounds_in(ledger):
    if not ledger.is_file():
        return 0
    with closing(sqlite3.connect(ledger)) as connection, suppress(sqlite3.OperationalError):
        return connection.execute("SELECT COUNT(*) FROM done").fetchone()[0]
    return 0


def test_a_folder_is_no_trace(refused, tmp_path):
    (tmp_path / "folder").mkdir()
    said = "file 'folder' is a directory"
    refused(["prune", "nasbench201", *FAST, "--out", "folder"], said)


def test_a_free_gpu_is_taken_by_default(untrained, monkeypatch):
    asked = []

    def prune(_space, settings, *_given, **_options):
        asked.append(settings.device)
        raise ParameterError("enough")

    monkeypatch.setattr(pruning, "prune", prune)
    untrained("prune", "nasbench201")
    assert asked == [Live().device] == ["auto"]

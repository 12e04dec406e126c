"""Latencies of this machine: the statistics, the table, and what happens to networks and files."""

import numpy as np
import pandas as pd
import pytest
import torch
from tests.imitation import imitated_gpu
from torch import nn

from untrained import devices, measure
from untrained.errors import DamagedFileError, ParameterError, UnknownNameError
from untrained.scoring import measuring
from untrained.scoring.measuring import MEASURED_TYPES, median_interval

QUICK = {"seconds": 0.02}


def wide(width):
    return lambda: nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten())


class Wrong(nn.Module):
    def forward(self, images):
        raise ValueError("no images of this kind")


@pytest.fixture
def timed(monkeypatch):
    """The candidates that were timed, which takes no time."""
    asked = []

    def times(candidate, *_):
        asked.append(candidate.name)
        return {"value": 2.0 + len(asked), "low": 2.0, "high": 9.0, "runs": 7}

    monkeypatch.setattr(measuring, "_timed", times)
    return asked


def test_the_interval_holds_the_median():
    """On this machine's clock, of which nothing more can be said: other programs take of it too."""
    found = measure({"thin": wide(2), "wide": wide(256)}, "3x64x64", **QUICK)
    assert list(found.columns) == list(MEASURED_TYPES)
    assert (found["low"] > 0).all()
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()
    assert (found["runs"] >= 6).all()
    assert found["dataset"].tolist() == ["3x64x64"] * 2
    assert found["arch"].tolist() == [-1, -1]


class Sleeper(nn.Module):
    """Moves a clock by the seconds that the next run takes."""

    def __init__(self, clock, durations):
        super().__init__()
        self.clock, self.durations = clock, durations

    def forward(self, images):
        self.clock[0] += next(self.durations)
        return images


@pytest.mark.parametrize("blocks", [6, 7, 9, 12])
def test_the_value_is_the_median_of_at_least_six_runs_in_milliseconds(monkeypatch, blocks):
    """By a clock that only the runs move: each takes 1 to 60 seconds."""
    assert measuring._BLOCKS == 6
    monkeypatch.setattr(measuring, "_BLOCKS", blocks)
    clock, durations = [0.0], iter(np.random.default_rng(0).exponential(10.0, 100) + 1)
    monkeypatch.setattr(measuring, "perf_counter", lambda: clock[0])
    seen = []
    monkeypatch.setattr(
        measuring, "median_interval", lambda times: seen.append(times) or median_interval(times)
    )
    found = measure({"slow": lambda: Sleeper(clock, durations)}, "3x4x4", seconds=0.5)
    row, (own,) = found.iloc[0], seen
    assert row["runs"] == len(own) == blocks
    assert 1000 < min(own) < max(own) < 100_000
    assert row["value"] == pytest.approx(np.median(own))
    assert (row["low"], row["high"]) == median_interval(own)


@pytest.mark.parametrize("count", [1, 5, 6, 11, 40])
def test_the_interval_covers_the_median_of_a_skewed_distribution(count):
    """An oracle that draws: the true median of an exponential distribution is log 2."""
    rng = np.random.default_rng(count)
    drawn = np.sort(rng.exponential(size=(4000, count)), axis=1)
    bounds = [median_interval(row) for row in drawn]
    covered = np.mean([low <= np.log(2) <= high for low, high in bounds])
    if count < 6:
        assert bounds[0] == (drawn[0, 0], drawn[0, -1])
    else:
        assert covered > 0.94
    if count == 40:  # one order statistic further inside would be too narrow
        places = [np.searchsorted(drawn[0], bounds[0][0]), np.searchsorted(drawn[0], bounds[0][1])]
        inside = np.mean([row[places[0] + 1] <= np.log(2) <= row[places[1] - 1] for row in drawn])
        assert inside < 0.95


def test_threads_gradients_and_the_network_are_as_they_were():
    seen = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, images):
            now = self.training, torch.is_grad_enabled(), torch.get_num_threads(), len(images)
            seen.append(now)
            return self.norm(images)

    network = Watching()
    before, threads = network.norm.running_mean.clone(), torch.get_num_threads()
    measure([network], "3x8x8", batch_size=3, **QUICK)
    assert set(seen) == {(False, False, 1, 3)}
    assert network.training
    assert torch.equal(network.norm.running_mean, before)
    assert torch.get_num_threads() == threads


def test_on_a_gpu_each_run_is_waited_for_and_the_card_is_named(monkeypatch):
    """By imitation: the processor's time of a launch is no latency."""
    ran, waited = [], []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.Conv2d(3, 2, 3)

        def forward(self, images):
            ran.append({str(one.device) for one in (images, *self.parameters())})
            return self.weights(images)

    with imitated_gpu(monkeypatch):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device.index}")
        monkeypatch.setattr(
            torch.cuda, "synchronize", lambda device: waited.append((str(device), len(ran)))
        )
        network = Watching()
        found = measure([network], "3x8x8", device="cuda", **QUICK)
        cell = measure([("nasbench201", 25)], device="cuda", name="mine", **QUICK)
    count = len(ran)
    assert count > found["runs"][0] >= 6  # some were to warm up
    assert waited[:count] == [("cuda:0", number + 1) for number in range(count)]
    assert ran == [{"cuda:0"}] * count
    assert len(waited) > count + cell["runs"][0]
    assert {str(one.device) for one in network.parameters()} == {"cpu"}
    described = found[["device", "machine", "threads", "batch_size"]].iloc[0]
    assert described.tolist() == ["card_0", "Card 0", 1, 1]
    assert cell["device"].tolist() == ["mine"]


def test_a_candidate_that_fails_has_a_reason_and_no_number(tmp_path):
    out = tmp_path / "mine.parquet"
    found = measure({"wrong": Wrong(), "right": wide(2)}, "3x8x8", out=out, **QUICK)
    assert found["value"].isna().tolist() == [True, False]
    assert found.attrs["failed"] == {"wrong": "failed: ValueError: no images of this kind"}
    assert pd.read_parquet(out)["candidate"].tolist() == ["right"]


def test_a_file_is_added_to_and_goes_on_where_it_ended(tmp_path, timed, monkeypatch):
    out, told = tmp_path / "mine.parquet", []
    chosen = [("nasbench201", 7), ("nasbench201", 5), ("natsbench_size", 5)]
    measure(chosen[:2], name="mine", out=out)
    found = measure(chosen, name="mine", out=out, tell=told.append)
    assert timed == ["nasbench201/7", "nasbench201/5", "natsbench_size/5"]
    assert told == [f"{out} has 2 of 3 measurements already"]
    assert found["value"].tolist() == [3.0, 4.0, 5.0]
    table = devices("nasbench201", out)
    assert table.values("latency", "mine")[[5, 7]].tolist() == [4.0, 3.0]
    monkeypatch.chdir(tmp_path)
    assert devices("natsbench_size", out).values("latency", "mine")[5] == 5.0


def test_what_another_process_adds_meanwhile_is_kept(tmp_path, timed, monkeypatch):
    out, times = tmp_path / "mine.parquet", measuring._timed

    def meanwhile(candidate, *rest):
        if candidate.name == "nasbench201/7":
            measure([("nasbench201", 9)], name="other", out=out)
        return times(candidate, *rest)

    monkeypatch.setattr(measuring, "_timed", meanwhile)
    measure([("nasbench201", 7), ("nasbench201", 5)], name="mine", out=out)
    assert sorted(pd.read_parquet(out)["arch"]) == [5, 7, 9]


def test_one_architecture_in_two_spellings_is_measured_once(tmp_path, timed):
    spelled = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    first = [f"nasbench201/{spelled}"]
    found = measure([*first, *first], out=tmp_path / "mine.parquet")
    assert len(timed) == 1
    assert found["value"].nunique() == 1
    assert found["candidate"].nunique() == 2


def test_an_interrupted_command_keeps_what_it_has(tmp_path, monkeypatch):
    def times(candidate, *_):
        if candidate.index == 6:
            raise KeyboardInterrupt
        return {"value": 1.0, "low": 1.0, "high": 1.0, "runs": 1}

    monkeypatch.setattr(measuring, "_timed", times)
    out = tmp_path / "mine.parquet"
    with pytest.raises(KeyboardInterrupt):
        measure([("nasbench201", one) for one in (5, 6, 7)], name="mine", out=out)
    assert pd.read_parquet(out)["arch"].tolist() == [5]
    assert [path.name for path in tmp_path.iterdir()] == ["mine.parquet"]


def test_names_of_devices_tell_what_differs(timed):
    names = [
        measure([("nasbench201", 5)], **asked)["device"][0]
        for asked in ({}, {"batch_size": 8}, {"name": "desk"})
    ]
    assert len(set(names)) == 3
    assert names[1] == f"{names[0]}_batch8"


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ({"threads": 0}, ParameterError, "threads 0: a whole number, 1 or more"),
        ({"threads": True}, ParameterError, "threads True: a whole number"),
        ({"batch_size": 2.5}, ParameterError, r"batch_size 2\.5: a whole number"),
        ({"seconds": "1"}, ParameterError, "seconds '1': give a number"),
        ({"name": 3}, ParameterError, "name 3 of the device"),
        ({"threads": 10**6}, ParameterError, "threads is 1000000: at most"),
        ({"batch_size": 0}, ParameterError, "batch_size 0"),
        ({"seconds": 0}, ParameterError, "seconds 0"),
        ({"seconds": float("nan")}, ParameterError, "seconds nan"),
        ({"device": "tpu"}, ParameterError, "device 'tpu' is not here"),
        ({"name": "a[b]"}, ParameterError, r"name 'a\[b\]' of the device"),
        ({"input": "32x32"}, ParameterError, "input '32x32'"),
        ({"dataset": "mnist"}, UnknownNameError, "unknown data set 'mnist'"),
    ],
)
def test_bad_settings_are_one_line(asked, kind, said, timed):
    with pytest.raises(kind, match=said) as error:
        measure([("nasbench201", 5)], **asked)
    assert "\n" not in str(error.value)
    assert not timed


def test_other_files_and_other_ways_of_measuring_are_refused(tmp_path, timed, monkeypatch):
    out = tmp_path / "mine.parquet"
    pd.DataFrame({"arch": [1]}).to_parquet(out)
    with pytest.raises(DamagedFileError, match="no table of measurements"):
        measure([("nasbench201", 5)], out=out)
    assert list(pd.read_parquet(out)) == ["arch"]
    out.unlink()
    measure([("nasbench201", 5)], name="mine", out=out)
    with pytest.raises(ParameterError, match=r"batch_size 1, and now it is 2.*another --name"):
        measure([("nasbench201", 5)], name="mine", batch_size=2, out=out)
    monkeypatch.setattr(measuring, "machine_of", lambda _: "another")
    with pytest.raises(ParameterError, match=r"has nasbench201/5 on mine with machine .*another"):
        measure([("nasbench201", 6)], name="mine", out=out)
    assert len(timed) == 1

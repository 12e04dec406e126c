"""Figures of a space that was trained on another data set than NAS-Bench-201's."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from tests.benchmarks.nds_files import cell_entry, write
from tests.report import RESAMPLED

from untrained.benchmarks.benchmark import Benchmark
from untrained.benchmarks.nds import convert_nds
from untrained.files import write_parquet
from untrained.report.inputs import Inputs
from untrained.report.scores import ALL_SAMPLED
from untrained.report.sections import correlations, kernels
from untrained.scoring import kernels as computed
from untrained.scoring.images import MinibatchSettings

SPACE, N = "nds_darts_in", 8


@pytest.fixture
def truth(tmp_path):
    entries = [cell_entry(errors=(50.0, 40.0 - number)) for number in range(N)]
    convert_nds(SPACE, write(tmp_path / "DARTS_in.json", entries), tmp_path / f"{SPACE}.parquet")
    return Benchmark.read(tmp_path / f"{SPACE}.parquet", SPACE)


@pytest.fixture
def table():
    return pd.DataFrame(
        {"arch": range(N), "proxy": "naswot", "dataset": "imagenette", "seed": 0,
         "score": np.arange(N) ** 2.0, "status": "ok"}
    )  # fmt: skip


def inputs(folder, table):
    write_parquet(table, folder / "scores.parquet")
    return Inputs(SPACE, folder / f"{SPACE}.parquet", folder / "scores.parquet", folder=folder)


def test_scores_are_held_against_what_the_networks_were_trained_on(truth, table, tmp_path):
    given = inputs(tmp_path, table)
    datasets = given.space.datasets
    space = SimpleNamespace(name=SPACE, datasets=datasets, representatives=np.arange(N))
    vars(given)["space"] = space  # the space itself needs the file of its networks
    found = correlations.correlation_table(given, RESAMPLED)
    tau = found.loc[found["subset"] == ALL_SAMPLED].set_index(["proxy", "images"])["tau"]
    assert tau["naswot", "imagenette"] == pytest.approx(1.0)
    write_parquet(found, tmp_path / "correlations.parquet")
    panel = correlations.draw(inputs(tmp_path, table), {"proxy": "naswot"}).axes[0]
    drawn = np.sort(panel.collections[0].get_offsets().data, axis=0)
    accuracies = [60.0 + number for number in range(N)]
    assert any(np.allclose(drawn[:, axis], accuracies) for axis in (0, 1))


def test_kernels_are_of_the_extremes_of_that_accuracy(truth, table, monkeypatch, tmp_path):
    def kernels_of(space, indices, settings, seed):
        # of the odd ones nothing connects input and output
        return ((index, np.full((2, 2), index)) for index in indices if index % 2 == 0)

    monkeypatch.setattr(computed, "kernels_of", kernels_of)
    given = inputs(tmp_path, table)
    settings = MinibatchSettings(dataset="imagenette", split="train", batch_size=2)
    scores = pd.Series(np.arange(N) ** 2.0, index=range(N))
    scores[1] = np.nan
    best, worst = kernels.kernels(given, settings, scores, 2)
    assert [(title, matrix[0, 0]) for title, matrix in (*best, *worst)] == [
        ("66.0 %, score 36", 6),
        ("64.0 %, score 16", 4),
        ("60.0 %, score 0", 0),
        ("62.0 %, score 4", 2),
    ]
    best, worst = kernels.kernels(given, settings, scores, 4)  # none is good and bad
    assert len({title for title, _ in (*best, *worst)}) == len(best) + len(worst) == 4

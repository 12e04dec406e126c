"""The engine against the published procedure, which the benchmarks time it by."""

import importlib.util
from pathlib import Path

import pytest
import torch

from untrained.networks.modes import modes_restored
from untrained.proxies import get_proxy
from untrained.scoring.engine import MinibatchSettings, score_architectures
from untrained.scoring.execution import Execution
from untrained.seeds import torch_seeded

SETTINGS = MinibatchSettings(batch_size=16)


def load_plain():
    path = Path(__file__).parents[2] / "benchmarks" / "plain.py"
    specification = importlib.util.spec_from_file_location("plain", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("engine", ["fast", "plain"])
@pytest.mark.parametrize("index", [1462, 45, 7777, 12_345])
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_the_engine_scores_as_the_published_procedure(space, index, engine):
    batch = SETTINGS.draw(0, torch.device("cpu"))
    with torch_seeded(0, "weights", index):
        network = space.network(space[index], batch.num_classes)
    with modes_restored(network):
        expected = load_plain().plain_score(network.train(), batch.images)
    how = Execution(engine=engine, precision="float32")
    proxy = get_proxy("naswot-released")
    (found,) = score_architectures(space, [index], proxy, SETTINGS, 0, how)
    assert found.score == pytest.approx(expected, rel=1e-5)

"""The engine against the published procedure, which the benchmarks time it by."""

import importlib.util
from pathlib import Path

import pytest
import torch
from tests.asking import score_architectures

from untrained.networks.modes import modes_restored
from untrained.proxies import get_proxy
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.seeds import torch_seeded
from untrained.spaces import get_space

SETTINGS = MinibatchSettings(batch_size=8)


def load_plain():
    path = Path(__file__).parents[2] / "benchmarks" / "plain.py"
    specification = importlib.util.spec_from_file_location("plain", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


#: Cells, and widths of every kind: equal, different, divisors of 128 and none.
CASES = [
    *(("nasbench201", spelled) for spelled in (1462, 45, 7777, 12_345)),
    *(("nasbench101", spelled) for spelled in (0, 132_099, 319_907)),
    *(("natsbench_size", spelled) for spelled in ("8:8:8:8:8", "24:40:48:56:24", "56:16:64:8:40")),
]


@pytest.mark.parametrize(("name", "spelled"), CASES)
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_the_engine_scores_as_the_published_procedure(name, spelled):
    space = get_space(name)
    index = space.parse(spelled).index
    batch = SETTINGS.draw(0, torch.device("cpu"))
    with torch_seeded(0, "weights", index):
        network = space.network(space[index], batch.num_classes)
    with modes_restored(network):
        expected = load_plain().plain_score(network.train(), batch.images)
    proxy = get_proxy("naswot-released")
    for engine in ("fast", "plain"):
        how = Execution(engine=engine, precision="float32")
        (found,) = score_architectures(space, [index], proxy, SETTINGS, 0, how)
        assert found.score == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variant", ["naswot", "naswot-released"])
@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("natsbench_size", ("48:24:40:56:8", "32:56:56:56:56")),
        ("nasbench101", (132_099, 319_907, "01|00:input,output")),
    ],
)
def test_a_plan_scores_as_the_module_under_hooks(name, spelled, variant):
    space = get_space(name)
    indices = [space.parse(one).index for one in spelled]

    def scored(engine, precision):
        how = Execution(engine=engine, precision=precision)
        return list(score_architectures(space, indices, variant, SETTINGS, 0, how))

    expected = scored("plain", "float32")
    for precision, tolerance in (("float32", 1e-5), ("bfloat16", 2e-3)):
        for one, other in zip(scored("fast", precision), expected, strict=True):
            assert one.status == other.status == "ok"
            assert one.score == pytest.approx(other.score, rel=tolerance)

"""The engine scores networks of DARTS and NDS by their plan as it does by hooks."""

import pytest
import torch
from tests.asking import score_architectures
from tests.benchmarks.nds_files import BOTTLENECK, cell_entry, staged_entry, write
from torch import nn

from untrained.benchmarks.nds import convert_nds
from untrained.networks.plans import draw
from untrained.proxies import get_proxy
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.seeds import torch_seeded
from untrained.spaces import get_space
from untrained.spaces.nds import Nds

SETTINGS = MinibatchSettings(batch_size=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fetched")
    cells = [cell_entry("DARTS", 4, 3), cell_entry("ENAS", 6, 3, aux=True)]
    stages = [staged_entry(), staged_entry("res_bottleneck_block", **BOTTLENECK)]
    for space, entries in (("nds_darts", cells), ("nds_resnet", stages)):
        convert_nds(space, write(folder / "given.json", entries), folder / f"{space}.parquet")
    return folder


def scores(space, indices, proxy, engine, precision="float32"):
    execution = Execution(engine=engine, precision=precision)
    return list(score_architectures(space, indices, get_proxy(proxy), SETTINGS, 0, execution))


@pytest.mark.parametrize("proxy", ["naswot", "naswot-released"])
@pytest.mark.parametrize("name", ["nds_darts", "nds_resnet"])
def test_plans_score_as_hooks_do(folder, name, proxy):
    space = Nds(name, folder)
    plain, fast, auto = (scores(space, [0, 1], proxy, e) for e in ("plain", "fast", "auto"))
    for hooked, planned, chosen in zip(plain, fast, auto, strict=True):
        assert hooked.status == planned.status == "ok"
        assert planned.score == pytest.approx(hooked.score, abs=2e-2)
        assert chosen.score == planned.score


@pytest.mark.parametrize("name", ["darts", "nds_darts", "nds_resnet"])
def test_a_plan_has_the_weights_of_the_module(folder, name):
    space = get_space("darts") if name == "darts" else Nds(name, folder)
    for index in (0, 1):
        with torch_seeded(3, "weights", index):
            drawn = draw(space.graph(space[index], 10)).weights
        with torch_seeded(3, "weights", index):
            module = space.network(space[index], 10)
        layers = [one.weight for one in module.connections.modules() if isinstance(one, nn.Conv2d)]
        kernels = [kernel for edge in drawn for kernel in edge.kernels]
        assert len(kernels) >= 11
        # the weights of an auxiliary head are drawn last
        assert all(map(torch.equal, kernels, layers))

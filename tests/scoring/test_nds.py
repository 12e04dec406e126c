"""The engine scores cells of DARTS and NDS by their plan as it does by hooks."""

import pytest
import torch
from tests.benchmarks.nds_files import cell_entry, staged_entry, write

from untrained.benchmarks.nds import convert_nds
from untrained.errors import ParameterError
from untrained.networks.darts import DartsNetwork
from untrained.proxies import get_proxy
from untrained.scoring.engine import MinibatchSettings, score_architectures
from untrained.scoring.execution import Execution
from untrained.seeds import torch_seeded
from untrained.spaces import get_space
from untrained.spaces.nds import Nds

SETTINGS = MinibatchSettings(batch_size=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fetched")
    cells = [cell_entry("DARTS", 4, 3), cell_entry("ENAS", 6, 3, aux=True)]
    for space, entries in (("nds_darts", cells), ("nds_resnet", [staged_entry()])):
        convert_nds(space, write(folder / "given.json", entries), folder / f"{space}.parquet")
    return folder


def scores(space, indices, proxy, engine, precision="float32"):
    execution = Execution(engine=engine, precision=precision)
    return list(score_architectures(space, indices, get_proxy(proxy), SETTINGS, 0, execution))


@pytest.mark.parametrize("proxy", ["naswot", "naswot-released"])
def test_plans_score_as_hooks_do(folder, proxy):
    space = Nds("nds_darts", folder)
    plain, fast, auto = (scores(space, [0, 1], proxy, e) for e in ("plain", "fast", "auto"))
    for hooked, planned, chosen in zip(plain, fast, auto, strict=True):
        assert hooked.status == planned.status == "ok"
        assert planned.score == pytest.approx(hooked.score, abs=2e-2)
        assert chosen.score == planned.score


def test_stages_of_blocks_have_no_plan(folder):
    space = Nds("nds_resnet", folder)
    assert space.planned is None
    plain, auto = (scores(space, [0], "naswot", engine) for engine in ("plain", "auto"))
    assert plain[0].score == auto[0].score
    with pytest.raises(ParameterError, match="no fast engine for naswot of a AnyNet"):
        scores(space, [0], "naswot", "fast")


@pytest.mark.parametrize("name", ["darts", "nds_darts"])
def test_a_plan_has_the_weights_of_the_module(folder, name):
    space = get_space("darts") if name == "darts" else Nds(name, folder)
    for index in (0, 1):
        made = []
        for build in (space.planned, lambda one: space.network(one, 10)):
            with torch_seeded(3, "weights", index):
                made.append(build(space[index]))
        planned, module = made
        assert isinstance(planned, DartsNetwork)
        shared = {k: v for k, v in planned.state_dict().items() if v.dim() == 4 and "aux" not in k}
        assert len(shared) > 20
        other = module.state_dict()
        assert all(torch.equal(value, other[key]) for key, value in shared.items())

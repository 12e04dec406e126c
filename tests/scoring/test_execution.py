import subprocess
import sys

import pytest
import torch
from tests.asking import score_architectures
from torch import nn

import untrained
from untrained.errors import ParameterError, UnknownNameError
from untrained.proxies import get_proxy
from untrained.scoring import execution
from untrained.scoring.execution import Execution, has_bfloat16_products, prepare_worker
from untrained.scoring.images import MinibatchSettings


@pytest.mark.parametrize("proxy", ["naswot", "naswot-released"])
def test_the_fast_engine_scores_as_the_module_does(space, proxy):
    indices = [1462, 0, 45, 10525, 13714]
    settings = MinibatchSettings(batch_size=16)
    plain, fast, rounded = (
        [
            score.score
            for score in score_architectures(space, indices, get_proxy(proxy), settings, 0, how)
        ]
        for how in (
            Execution(engine="plain", precision="float32"),
            Execution(engine="fast", precision="float32"),
            Execution(engine="fast", precision="bfloat16"),
        )
    )
    # a score moves by whole units between one cell and another
    assert fast == pytest.approx(plain, abs=0.02)
    assert rounded == pytest.approx(plain, abs=0.3)
    assert rounded != fast


@pytest.mark.parametrize("engine", ["plain", "fast"])
def test_what_has_no_score_has_none_by_either_engine(space, engine):
    how = Execution(engine=engine, precision="float32")
    none = space.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|").index
    for proxy, status in (("naswot", "disconnected"), ("naswot-released", "singular")):
        (found,) = score_architectures(
            space, [none], get_proxy(proxy), MinibatchSettings(batch_size=4), 0, how
        )
        assert (found.score, found.status) == (None, status)


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
@pytest.mark.parametrize("engine", ["auto", "plain", "fast"])
def test_a_benchmark_network_of_ones_own_is_left_as_it_was(space, engine, precision):
    network = space.network(space[45], 10).eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    parameters = list(network.parameters())
    found = untrained.score(network, batch_size=4, engine=engine, precision=precision)
    assert found.status == "ok"
    after = network.state_dict()
    for name, value in state.items():
        assert after[name].dtype == value.dtype, name
        assert torch.equal(after[name], value), name
    assert all(a is b for a, b in zip(parameters, network.parameters(), strict=True))
    assert not any(module.training for module in network.modules())


def test_a_network_that_is_not_finite_has_no_score(space):
    network = space.network(space[45], 10)
    nn.init.constant_(network.connections[0][0].weight, float("nan"))
    for engine in ("plain", "fast"):
        found = untrained.score(network, batch_size=4, engine=engine)
        assert (found.score, found.status) == (None, "non_finite")


def test_ones_own_network_has_no_fast_engine_but_any_precision():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3))
    message = "^no fast engine for naswot of a Sequential: take --engine auto$"
    with pytest.raises(ParameterError, match=message):
        untrained.score(network, batch_size=4, engine="fast")
    full = untrained.score(network, batch_size=4)
    rounded = untrained.score(network, batch_size=4, precision="bfloat16")
    assert rounded.score == pytest.approx(full.score, abs=0.3)
    assert rounded.score != full.score
    assert network[0].weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("precision", "supported", "planned", "expected"),
    [
        ("float32", True, True, torch.float32),
        ("bfloat16", False, False, torch.bfloat16),
        ("auto", True, True, torch.bfloat16),
        ("auto", True, False, torch.float32),
        ("auto", False, True, torch.float32),
    ],
)
def test_automatic_precision_is_the_devices(monkeypatch, precision, supported, planned, expected):
    monkeypatch.setattr(execution, "has_bfloat16_products", lambda _device: supported)
    assert Execution(precision=precision).dtype(planned=planned) == expected


def test_what_a_device_multiplies_is_asked_of_the_device(monkeypatch):
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert not has_bfloat16_products(torch.device("cpu"))
    assert has_bfloat16_products(torch.device("cuda:0"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "fsat"}, "^unknown engine 'fsat': did you mean 'fast'"),
        ({"precision": "float16"}, "^unknown precision 'float16': did you mean '"),
    ],
)
def test_unknown_settings_are_named(settings, message):
    with pytest.raises(UnknownNameError, match=message):
        Execution(**settings)


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_memory_is_kept_where_the_system_can(monkeypatch, platform):
    asked = []

    class Library:
        def __init__(self, _name):
            self.mallopt = lambda *setting: asked.append(setting)

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(execution.ctypes, "CDLL", Library)
    monkeypatch.setattr(execution, "threadpool_limits", lambda *_given, **_more: None)
    prepare_worker()
    assert bool(asked) == (platform == "linux")


def test_a_worker_has_one_thread():
    # in a process of its own, which the limits do not outlive
    code = (
        "from untrained.scoring.execution import prepare_worker\n"
        "import threadpoolctl, torch\n"
        "prepare_worker()\n"
        "print({one['num_threads'] for one in threadpoolctl.threadpool_info()})\n"
        "print(torch.get_num_threads())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["{1}", "1"]

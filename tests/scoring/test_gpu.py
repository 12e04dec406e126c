"""The paths of a GPU, by imitation (tests/imitation.py): no card is needed or measured."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.asking import score_by_all
from tests.imitation import imitated_gpu, in_guarded_process
from tests.scoring.test_own_networks import dropping
from tests.scoring.test_plain import load_plain
from torch import nn

import untrained
from untrained.float32 import exact_float32
from untrained.proxies import get_proxy, tangent_kernels
from untrained.scoring.engine import outcome_of
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.search import measurements
from untrained.search.measurements import Draw
from untrained.search.pruning import Pruning
from untrained.search.supernets import pruned_space
from untrained.seeds import torch_seeded

SETTINGS = {"batch_size": 4, "precision": "float32"}
#: Proxies of every kind, and one that is read after training.
EVERY = ["naswot", "grad_norm", "ntk_condition_number", "synflow", "jacobian_covariance", "lga"]
EVERY += ["linear_regions", "naswot@0.05"]


def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip


def drawn_there():
    network = small()
    with torch.no_grad():
        network[0].weight.copy_(torch.randn(network[0].weight.shape, device="cuda:0"))
    return network


def everything():
    """Score networks on the imitated GPU and on the CPU; gradients need the guard."""
    found = {"scores": {}, "dropout": {}, "waits": []}
    together, rows = [], tangent_kernels._rows_together
    tangent_kernels._rows_together = lambda *given: together.append(rows(*given)) or together[-1]
    # the loops of the CPU, which take seconds to compile, have tests of their own
    tangent_kernels._by_loops = lambda *_given: None
    with imitated_gpu(pytest.MonkeyPatch()) as gpu:
        there = torch.ones(2, 3).to("cuda:0")
        with pytest.raises(RuntimeError) as mixed:
            there + torch.ones(2, 3)
        gpu.waits = 0
        for read in (there.sum, there.sum().item, there.cpu):
            read()
            found["waits"].append(gpu.waits)
        found["mixed"] = str(mixed.value)
        for proxy in EVERY:
            settings = SETTINGS | ({"dataset": "cifar10"} if "@" in proxy else {})
            scores = [
                untrained.score(small(), proxy=proxy, device=device, **settings)
                for device in ("cuda:0", "cpu")
            ]
            found["scores"][proxy] = [one.score or one.status for one in scores]
        for proxy in ("naswot", "grad_norm", "naswot@0.05"):
            settings = SETTINGS | ({"dataset": "cifar10"} if "@" in proxy else {})
            made, network = [], dropping()
            for seed in (1, 2):
                torch.manual_seed(seed)
                gpu.generator.manual_seed(seed)
                state = gpu.generator.get_state()
                scored = untrained.score(network, proxy=proxy, device="cuda:0", **settings)
                made += [scored.score, torch.equal(gpu.generator.get_state(), state)]
            found["dropout"][proxy] = made
        # a factory that draws on the GPU, before a training
        made = []
        for seed in (1, 2):
            gpu.generator.manual_seed(seed)
            state = gpu.generator.get_state()
            settings = SETTINGS | {"dataset": "cifar10", "device": "cuda:0"}
            (scored,) = untrained.score_seeds(
                "tests.scoring.test_gpu:drawn_there", proxies=["naswot@0.05"], seeds=[0], **settings
            )
            made += [scored.scores[0].score, torch.equal(gpu.generator.get_state(), state)]
        found["dropout"]["drawn on the GPU"] = made
        batch = MinibatchSettings(batch_size=4).draw(0, torch.device("cuda:0"))
        how = Execution(torch.device("cuda:0"), "plain", "float32")
        last = get_proxy("grad_norm")
        found["second"] = [
            score_by_all(lambda _: dropping(), proxies, batch, how, 0)[-1].score
            for proxies in ([last], [get_proxy("naswot"), last])
        ]
        measurements.CROPS, space = 16, pruned_space("nasbench201")
        settings = Pruning(dataset="noise", repeats=1, batch_size=2)
        found["pruning"] = [
            Draw(space, replace(settings, device=one), 0, (0, 0)).numbers(space.full_mask())
            for one in ("cuda:0", "cpu")
        ]
        found["together"] = [one is not None for one in together]
        found |= {"rounded": gpu.rounded, "convolutions": gpu.called["aten.convolution"]}
        before = sum(gpu.called.values())
        untrained.score(small(), **SETTINGS)
        found["by default"] = sum(gpu.called.values()) - before
        network, images, plain = small(), torch.randn(4, 3, 8, 8), load_plain().plain_score
        found["plain"] = [plain(network.to(one), images.to(one)) for one in ("cpu", "cuda:0")]
    return found


@pytest.fixture(scope="module")
def imitated(guard):
    """What `everything` finds, in a process of its own with the guard."""
    return in_guarded_process(guard, "tests.scoring.test_gpu", "everything")


def test_scores_of_a_gpu_are_those_of_the_cpu(imitated):
    for proxy, (there, here) in imitated["scores"].items():
        assert there == pytest.approx(here, rel=1e-4), proxy


def test_a_supernet_is_measured_alike_on_a_gpu(imitated):
    there, here = imitated["pruning"]
    assert there == pytest.approx(here, rel=1e-3)


def test_what_runs_networks_takes_a_gpu_by_default(imitated):
    assert imitated["by default"] > 20
    functions = (untrained.rank, untrained.train, untrained.Pruning, untrained.Live)
    assert {signature(one).parameters["device"].default for one in functions} == {"auto"}
    assert signature(untrained.measure).parameters["device"].default == "cpu"


def test_gradients_of_images_are_taken_together_on_a_gpu(imitated):
    assert imitated["together"]
    assert all(imitated["together"])


def test_the_plain_procedure_runs_on_a_gpu(imitated):
    here, there = imitated["plain"]
    assert there == pytest.approx(here, rel=1e-6)


def test_no_float32_is_rounded_to_tf32(imitated):
    assert imitated["convolutions"] > 20
    assert imitated["rounded"] == 0


def test_what_dropout_draws_on_a_gpu_depends_on_the_seed_alone(imitated):
    for proxy, (first, kept, second, kept_too) in imitated["dropout"].items():
        assert first == second, proxy
        assert kept, proxy
        assert kept_too, proxy


def test_what_dropout_draws_does_not_depend_on_the_proxies_before(imitated):
    alone, second = imitated["second"]
    assert alone == second


BACKENDS = (torch.backends.cudnn, torch.backends.cuda.matmul)


def allowed():
    return tuple(one.allow_tf32 for one in BACKENDS)


@pytest.mark.parametrize("before", [(True, False), (True, True), (False, False)])
def test_tf32_is_off_in_a_block_and_then_as_it_was(before):
    def fails():
        with exact_float32():
            assert allowed() == (False, False)
            raise ValueError("mine")

    default = allowed()
    try:
        for backend, value in zip(BACKENDS, before, strict=True):
            backend.allow_tf32 = value
        with pytest.raises(ValueError, match="mine"):
            fails()
        assert allowed() == before
    finally:
        for backend, value in zip(BACKENDS, default, strict=True):
            backend.allow_tf32 = value


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="PyTorch before 2.9")
@pytest.mark.parametrize("word", ["highest", "high", "medium"])
def test_the_precision_of_products_can_be_read_in_a_block_and_afterwards(word):
    from torch.backends import mkldnn

    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(word)
        own = mkldnn.matmul.fp32_precision
        with exact_float32():
            assert torch.get_float32_matmul_precision() == "highest"
            assert mkldnn.matmul.fp32_precision == "ieee"
        assert (torch.get_float32_matmul_precision(), mkldnn.matmul.fp32_precision) == (word, own)
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="PyTorch before 2.9")
def test_newer_settings_of_tf32_are_kept_too():
    code = (
        "import torch\n"
        "from untrained.float32 import exact_float32\n"
        "from torch.backends import cuda, cudnn\n"
        "owners = (cudnn.conv, cudnn.rnn, cuda.matmul)\n"
        "owners[0].fp32_precision, owners[1].fp32_precision = 'ieee', 'tf32'\n"
        "before = [one.fp32_precision for one in owners]\n"
        "with exact_float32():\n"
        "    print([one.fp32_precision for one in owners], torch.backends.cudnn.allow_tf32)\n"
        "print([one.fp32_precision for one in owners] == before)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "['ieee', 'ieee', 'ieee'] False\nTrue\n"


def test_the_generator_of_a_gpu_is_seeded_and_restored(monkeypatch):
    with imitated_gpu(monkeypatch) as gpu:
        gpu.generator.manual_seed(3)
        state, drawn = gpu.generator.get_state(), []
        for seed in (0, 0, 1):
            with torch_seeded(seed, "dropped", device=torch.device("cuda:0")):
                drawn.append(torch.rand(3, device="cuda:0").cpu().tolist())
        assert drawn[0] == drawn[1] != drawn[2]
        assert torch.equal(gpu.generator.get_state(), state)


def test_an_imitated_gpu_refuses_to_mix_devices_and_counts_what_waits(imitated):
    assert "tensors on cuda:0 and on cpu" in imitated["mixed"]
    assert imitated["waits"] == [0, 1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "CUDA driver error: out of memory",
        "Triton Error [CUDA]: out of memory",
        "Unable to find a valid cuDNN algorithm to run convolution",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_lack_of_memory_is_an_outcome_whatever_library_of_cuda_says_so(text):
    def fails():
        raise RuntimeError(text)

    found = outcome_of(fails)
    assert (found.status, found.reason) == ("out_of_memory", text.splitlines()[0])


ROOT = Path(__file__).parents[2]


#: Measures in a process, since `benchmarks` is another package here.
BENCH = """
import json, sys, tempfile
from pathlib import Path
from benchmarks import gpu
assert sum(most for _, most in gpu.STEPS.values()) < gpu.MOST
gpu.STEPS |= {name: (gpu.STEPS[name][0], 0.5) for name in ("speed", "ceilings")}
sys.argv = ["gpu", "--step", "speed", "--step", "environment", "--step", "ceilings"]
gpu.main()
with tempfile.TemporaryDirectory() as folder:
    for step in ("ceilings", "randomness and memory"):
        gpu.write_step(step, Path(folder, step))
        print(Path(folder, step).read_text())
gpu.SIZE = 2  # two seconds for a batch, after the start
times = [5, 5, 6, 6, 8, 8, 10, 10, 12]
print(json.dumps([gpu.seconds_each(times, after) for after in (6, 0, 11)]))
with tempfile.TemporaryDirectory() as folder:  # a step that crashes, and what it started lives on
    script = Path(folder, "step")
    script.write_text("#!/bin/sh\\nsleep 1000 &\\necho lost >&2\\nexit 7\\n")
    script.chmod(0o700)
    sys.executable = str(script)
    print(json.dumps(gpu.run_step("speed", 500)))
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would measure, and write the page")
def test_the_benchmark_of_a_gpu_runs_without_one_and_goes_on_after_what_is_late():
    page = ROOT / "docs" / "performance.md"
    before = page.read_text()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [sys.executable, "-c", BENCH]
    # what lives on would keep the pipes open
    found = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment, timeout=300
    ).stdout
    assert found.startswith("no card: reduced form on the processor")
    for step in ("speed", "ceilings"):
        assert f"| {step} |  | stopped after 0.5 s |" in found
    assert "| environment | leased | cpu of" in found
    ceilings, randomness, seconds, crashed = map(json.loads, found.splitlines()[-4:])
    assert crashed == {"": "failed with code 7: lost"}
    assert re.fullmatch("[0-9.e-]+ TB/s", ceilings["copy"])
    assert randomness == {"dropout, three times": "the same"}
    assert seconds == [pytest.approx(1), pytest.approx(7 / 8), pytest.approx(np.nan, nan_ok=True)]
    assert page.read_text() == before

"""Architectures that are scored many at a time, against the same ones alone."""

import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from tests.asking import reading_of, request
from tests.imitation import imitated_gpu, in_guarded_process
from tests.scoring.test_gpu import small
from tests.scoring.test_own_networks import dropping

import untrained
from untrained.errors import ParameterError, PluginError
from untrained.networks import batched
from untrained.networks.batched import Kernels
from untrained.networks.graph import Builder, Convolution
from untrained.networks.plans import draw
from untrained.plugins import blamed
from untrained.proxies.base import UndefinedScore
from untrained.proxies.linear_regions import THIN_SKELETON, LinearRegions
from untrained.proxies.naswot import Naswot, log_determinant, log_determinants
from untrained.scoring import batches, engine, execution
from untrained.scoring.engine import executor_of, kind_of, score_work
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import OwnNetwork
from untrained.scoring.shards import score_space
from untrained.spaces import get_space
from untrained.spaces.base import NotApplicable
from untrained.spaces.nasbench201 import NasBench201

SPACE = get_space("nasbench201")
SETTINGS = MinibatchSettings("noise", batch_size=4, shape=(3, 12, 12))
NONE = SPACE.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|").index
SKIP = SPACE.parse("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|").index
DARTS = [get_space("darts").sample(np.random.default_rng(seed)).index for seed in (3, 4)]
BOTH = ["naswot", "naswot-released"]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(batches, "SIZE", 3)


def scored(work, how="batched", space=SPACE, images=SETTINGS, seed=0):
    """Return scores of (index, proxies) in order."""
    asked = request(space, [], images, seed, Execution(engine=how, precision="float32"))
    chosen = [(index, seed, list(map(reading_of, proxies))) for index, proxies in work]
    return list(score_work(asked, chosen))


def same(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert (one.status, one.reason) == (other.status, other.reason)
            assert one.score == pytest.approx(other.score, abs=2e-3)


def batches_run(monkeypatch):
    """Return the list to which the number of networks of every batch is added."""
    seen, run = [], batches.run
    monkeypatch.setattr(
        batches, "run", lambda batch, images: seen.append(batch.networks) or run(batch, images)
    )
    return seen


def test_scores_and_statuses_are_those_of_networks_alone(monkeypatch):
    seen = batches_run(monkeypatch)
    indices = [1462, 45, NONE, SKIP, 0, 15000, 10525]
    work = [(index, BOTH) for index in indices]
    expected = scored(work, "fast")
    assert not seen
    found = scored(work)
    assert seen == [3, 3, 1]
    same(found, expected)
    statuses = [[one.status for one in scores] for scores in found]
    assert statuses[2] == ["disconnected", "singular"]
    assert statuses[0] == ["ok", "ok"]
    assert all(one.seconds > 0 for scores in found for one in scores)


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("nasbench101", (132_099, "01|00:input,output", 5000, 319_907)),
        ("natsbench_size", ("24:40:48:56:24", "8:8:8:8:8")),
    ],
)
def test_other_spaces_are_scored_alike(name, spelled):
    space = get_space(name)
    work = [(space.parse(one).index, BOTH) for one in spelled]
    same(scored(work, space=space), scored(work, "plain", space=space))


GRADIENTS = ["grasp", "snip", "plain", "fisher-released", "grad_norm-naswot", "zico", "synflow"]
GRADIENTS += ["synflow-logsynflow", "epe_nas", "jacobian_covariance", "ntk_trace-all_train", "lga"]


@pytest.mark.parametrize(
    ("name", "spelled", "proxies"),
    [
        ("nasbench201", (1462, NONE, SKIP, 15000), GRADIENTS),
        ("nasbench101", ("01|00:input,output", 5000), GRADIENTS),
        ("natsbench_size", ("24:40:48:56:24", "8:8:8:8:8"), GRADIENTS),
        ("darts", DARTS, ["synflow"]),
    ],
)
def test_gradients_and_their_statuses_are_those_of_networks_alone(
    monkeypatch, name, spelled, proxies
):
    """In double precision: rounding moves units across zero, and gradients by as much as 1 %."""
    monkeypatch.setattr(Execution, "dtype", lambda _how, planned: torch.float64)
    space, made, seen = get_space(name), batches.Networks, []
    monkeypatch.setattr(
        batches,
        "Networks",
        lambda batch, *given: seen.append(batch.networks) or made(batch, *given),
    )
    work = [(space.parse(one).index, proxies) for one in spelled]
    expected = scored(work, "plain", space)
    assert not seen
    found = scored(work, space=space)
    assert seen == [2] * (len(spelled) // 2)
    for ours, theirs in zip(found, expected, strict=True):
        for proxy, one, other in zip(proxies, ours, theirs, strict=True):
            assert (one.status, one.reason) == (other.status, other.reason), proxy
            if one.status != "ok":
                continue
            within = 0.02 if proxy == "zico" else 1e-6  # it divides by rounding errors
            assert one.score == pytest.approx(other.score, rel=within, abs=1e-6), proxy
    if name == "nasbench201":
        statuses = {proxy: one.status for proxy, one in zip(proxies, found[1], strict=True)}
        assert statuses["snip"] == statuses["synflow"] == statuses["epe_nas"] == "disconnected"
        assert statuses["grad_norm-naswot"] == "ok"


def test_regions_and_their_statuses_are_those_of_networks_alone(monkeypatch):
    """In double precision: rounding moves units that are nearly constant across zero."""
    monkeypatch.setattr(Execution, "dtype", lambda _how, planned: torch.float64)
    seen, codes_of = [], batched.codes_of
    monkeypatch.setattr(
        batched,
        "codes_of",
        lambda batch, *given: seen.append(batch.networks) or codes_of(batch, *given),
    )
    images = MinibatchSettings(batch_size=8)
    work = [(index, ["linear_regions", "linear_regions-paper"]) for index in (1462, NONE, 45, 7)]
    expected = scored(work, "plain", images=images)
    assert not seen
    same(scored(work, images=images), expected)
    assert set(seen) == {1, 3}
    assert len({one.score for scores in expected for one in scores}) > 4


def test_a_network_without_codes_or_with_infinite_ones_has_no_regions():
    builder = Builder(1)
    stem = builder.edge(0, None, Convolution(1, 4, (3, 3)), normalised=True)
    bare = draw(builder.graph(builder.classified(stem, 4, 5, rectified=False)))
    good, bad = (draw(SPACE.graph(SPACE[45], 5, THIN_SKELETON)) for _ in range(2))
    next(weights for weights in bad.weights if weights.kernels).kernels[0].fill_(torch.inf)
    batch = batched.prepared([bare, bad, good], (1, 3, 3), [True] * 3)
    without, infinite, score = LinearRegions().score_codes(batch, torch.randn(9, 1, 3, 3))
    assert (without.status, infinite.status) == ("no_rectifiers", "non_finite")
    assert str(without) == "GraphNetwork applies no rectifier: it is one linear region"
    assert 1 <= score <= 9


def test_what_has_no_gradients_in_a_batch_is_scored_alone(monkeypatch):
    tried, work = [], [(index, ["grad_norm"]) for index in (1462, 45, 0)]
    expected = scored(work, "plain")

    def fails(batch, _device):
        tried.append(batch.networks)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(batches, "Networks", fails)
    same(scored(work), expected)
    assert tried == [2, 1, 1, 1]


def test_a_status_of_too_few_units_is_that_of_a_network_alone():
    """More images than units make every kernel singular."""
    images = replace(SETTINGS, batch_size=40, shape=(3, 4, 4))
    work = [(index, BOTH) for index in (SKIP, 0)]
    same(scored(work, images=images), scored(work, "fast", images=images))


def test_proxies_images_and_seeds_of_their_own(monkeypatch):
    seen = batches_run(monkeypatch)
    work = [(0, ["naswot"]), (1, BOTH), (2, ["naswot:3", "grad_norm"]), (3, ["naswot-released"])]
    work += [(4, ["naswot", "naswot:3", "synflow"])]
    found = scored(work, "auto")
    assert not seen, "a CPU runs one after the other"
    monkeypatch.setattr(engine, "kind_of", on_gpus)
    same(scored(work, "auto"), found)
    assert seen == [3, 2, 1]  # fewer images have batches of their own, and so have gradients


def test_each_seed_has_weights_and_images_of_its_own(monkeypatch):
    seen, images = batches_run(monkeypatch), MinibatchSettings(batch_size=4)
    work = [(index, seed, [reading_of("naswot")]) for index in (45, 7) for seed in (3, 4)]

    def made(how):
        asked = request(SPACE, [], images, 0, Execution(engine=how, precision="float32"))
        return list(score_work(asked, work))

    expected = made("fast")
    same(made("batched"), expected)
    assert seen == [2, 2]
    assert len({one.score for (one,) in expected}) == len(work)


def test_what_is_trained_is_in_no_batch(monkeypatch):
    monkeypatch.setattr(engine, "kind_of", on_gpus)
    asked, chosen = request(SPACE, [], SETTINGS, 0, Execution()), []
    for proxies in (["naswot@0.02"], ["naswot", "naswot@0.02", "naswot-released"]):
        chosen += engine._members(asked, [(5, 0, list(map(reading_of, proxies)))])
    assert [[one.name + one.variant for one in member.proxies] for member in chosen] == [
        ["naswotcorrected", "naswotreleased"]
    ]


def on_gpus(asked, proxy, *, trained):
    how = replace(asked.execution, device=torch.device("cuda:0"))
    return kind_of(replace(asked, execution=how), proxy, trained=trained)


def test_what_is_not_known_beforehand_is_scored_alone(monkeypatch):
    seen = batches_run(monkeypatch)
    asked = request(SPACE, [], SETTINGS, 0, Execution(engine="batched", precision="float32"))
    work = [(index, 0, [reading_of("naswot")]) for index in (45, -1)]
    found = score_work(asked, iter(work))
    assert next(found)[0].status == "ok"
    assert not seen


@dataclass(frozen=True)
class ReadsCodes(Naswot):
    """A proxy that reads codes, but no kernels."""

    name: ClassVar[str] = "reads_codes"
    score_kernels = None


def test_the_executor_follows_from_proxy_target_device_and_engine():
    asked = request(SPACE, [], SETTINGS, 0, Execution())
    gpu = torch.device("cuda:0")

    def chosen(*proxies, trained=False, target=SPACE, **how):
        """Return what runs one network, and how each proxy is read off many."""
        loss = how.pop("loss", None)
        own = replace(asked, target=target, execution=Execution(**how), loss=loss)
        read = [reading_of(one).proxy for one in proxies]
        kinds = [kind_of(own, proxy, trained=trained) for proxy in read]
        return executor_of(own, read, trained=trained), *kinds

    assert chosen("naswot") == chosen("naswot", engine="fast", device=gpu) == ("plan", None)
    assert chosen(*BOTH, device=gpu) == chosen(*BOTH, engine="batched") == (
        "plan", "kernels", "kernels",
    )  # fmt: skip
    mixed = "naswot", "grad_norm", "meco"
    assert chosen(*mixed, device=gpu) == ("module", "kernels", "gradients", None)
    assert chosen(*mixed) == ("module", None, None, None)
    assert chosen("linear_regions", device=gpu) == ("module", "codes")
    for one in ("snip", "linear_regions"):
        assert chosen(one, device=gpu, precision="bfloat16") == ("module", None)
    assert chosen("snip", device=gpu, loss=lambda *_: 0) == ("module", None)
    for how in ({"engine": "plain"}, {"trained": True}):
        assert chosen("naswot", "snip", device=gpu, **how) == ("module", None, None)
    own = OwnNetwork("own", lambda _classes: dropping())
    assert chosen("naswot", "snip", device=gpu, target=own) == ("module", None, None)


def of_another_package():
    """What a proxy of another package makes of an error of PyTorch."""
    with blamed("proxy", "mine.module:Mine"):
        raise MemoryError  # without a word that says so


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("limit", [2, 1])
def test_a_batch_is_halved_where_memory_runs_out(monkeypatch, limit, foreign):
    work = [(index, BOTH) for index in (1462, 45, 0, 15000, 10525, 7)]
    expected, tried, run = scored(work, "fast"), [], batches.run
    monkeypatch.setattr(batches, "SIZE", 4)

    def cramped(batch, images):
        tried.append(batch.networks)
        if batch.networks > limit:
            if foreign:
                of_another_package()
            raise RuntimeError("CUDA error: out of memory")
        return run(batch, images)

    monkeypatch.setattr(batches, "run", cramped)
    same(scored(work), expected)
    # later batches are no larger than what fitted
    assert tried == ([4, 2, 2, 2] if limit == 2 else [4, 2, 1, 1, 1, 1, 1, 1])


def test_what_fits_in_no_batch_is_scored_in_pieces(monkeypatch):
    work = [(index, BOTH) for index in (1462, 45)]
    expected = scored(work, "fast")

    def fails(_batch, _images):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(batches, "run", fails)
    same(scored(work), expected)

    def broken(_batch, _images):
        raise RuntimeError("something else")

    monkeypatch.setattr(batches, "run", broken)
    with pytest.raises(RuntimeError, match="something else"):
        scored(work)
    monkeypatch.setattr(engine, "kind_of", on_gpus)
    message = "one at a time, since many at once failed: RuntimeError: something else"
    with pytest.warns(UserWarning, match=message):
        same(scored(work, "auto"), expected)


@dataclass(frozen=True)
class Short(Naswot):
    """A proxy of another package that returns too few scores of kernels."""

    name: ClassVar[str] = "short"

    def score_kernels(self, found):
        return super().score_kernels(found)[1:]


def test_a_proxy_of_another_package_that_fails_on_kernels_reads_networks_alone(monkeypatch):
    work = [(index, [Short()]) for index in (1462, 45)]
    with pytest.raises(
        PluginError, match=r"^the proxy \S+:Short failed: ValueError: it returned 1"
    ):
        scored(work)
    monkeypatch.setattr(engine, "kind_of", on_gpus)
    with pytest.warns(UserWarning, match=r"many at once failed: .*:Short failed"):
        found = scored(work, "auto")
    same(found, scored([(index, ["naswot"]) for index in (1462, 45)], "fast"))


class Picky(NasBench201):
    """A space without the network of one cell."""

    def graph(self, architecture, num_classes, skeleton=None):
        if architecture.index == 45:
            raise NotApplicable("not this one")
        return super().graph(architecture, num_classes, skeleton)


def test_what_cannot_be_drawn_is_a_score_of_its_own(monkeypatch):
    seen, space = batches_run(monkeypatch), Picky()
    work = [(index, ["naswot"]) for index in (1462, 45, 0)]
    found = scored(work, space=space)
    assert [(one.status, one.reason) for (one,) in found] == [
        ("ok", ""), ("not_applicable", "not this one"), ("ok", ""),
    ]  # fmt: skip
    assert seen == [2]
    assert scored([(45, ["naswot"])], space=space)[0][0].status == "not_applicable"


@pytest.fixture
def drawn_elsewhere(monkeypatch):
    monkeypatch.setattr(batches, "WORTH_PROCESSES", 2)
    monkeypatch.setattr(batches, "processes_here", lambda _device: 1)


WORK = [(index, BOTH) for index in (1462, 45, 0, 15000, 10525, 7, 8)]


@pytest.mark.usefixtures("drawn_elsewhere")
def test_another_process_draws_the_same_weights_until_it_dies(monkeypatch):
    monkeypatch.setattr(batches, "SIZE", 1)
    expected, entered, here = scored(WORK, "fast"), [], []
    draw, enter = batches._draw, batches.Batches.__enter__
    monkeypatch.setattr(batches, "_draw", lambda *given: here.append(given[1]) or draw(*given))
    monkeypatch.setattr(batches.Batches, "__enter__", lambda own: entered.append(own) or enter(own))
    asked = request(SPACE, [], SETTINGS, 0, Execution(engine="batched", precision="float32"))
    work = [(index, 0, list(map(reading_of, proxies))) for index, proxies in WORK]
    made = score_work(asked, work)
    found = [next(made) for _ in range(3)]
    assert [one.indices for one in here] == [[1462]], "the first batch, while the other starts"
    (process,) = entered[0]._pool._processes
    os.kill(process, signal.SIGKILL)
    with pytest.warns(UserWarning, match="in one process, since others failed: BrokenProcessPool"):
        same([*found, *made], expected)
    assert 1 < len(here) < len(WORK) - 1  # two batches were asked for before


@pytest.mark.parametrize("free", [None, 0, 1 << 60])
def test_weights_are_handed_over_in_shared_memory_where_there_is_enough(monkeypatch, free):
    def usage(path):
        assert path == "/dev/shm"
        if free is None:
            raise FileNotFoundError(path)
        return SimpleNamespace(free=free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    monkeypatch.setattr(batches, "_space", SPACE)
    asked = batches.Asked([1462, 45], [False, True], 0, 10, None, (3, 12, 12), torch.bfloat16)
    drawn, expected = batches._draw_there(asked), batches._draw(SPACE, asked).batch
    future = Future()
    future.set_result(pickle.loads(pickle.dumps(drawn)))
    received = batches._received(future, torch.device("cpu")).batch
    assert expected.weights.dtype == torch.bfloat16
    for name in ("weights", "learned", "indices"):
        assert isinstance(getattr(drawn.batch, name), torch.Tensor if free else tuple)
        made, own = getattr(received, name), getattr(expected, name)
        assert made.dtype == own.dtype
        assert torch.equal(made, own)


@pytest.mark.usefixtures("drawn_elsewhere")
def test_no_more_is_drawn_ahead_than_there_is_memory_for(monkeypatch):
    class Pool:
        def __init__(self, *_):
            self.ahead = 0

        def submit(self, call, *given):
            made = Future()
            if given:
                self.ahead += 1
                most.append(self.ahead)
                draw = made.result = lambda: batches._draw(SPACE, *given)
                made.result = lambda: (setattr(self, "ahead", self.ahead - 1), draw())[1]
            return made

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(batches, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(batches, "processes_here", lambda _device: 5)
    monkeypatch.setattr(batches, "SIZE", 1)
    for room, expected in ((1 << 40, 6), (1, 1)):
        most = []
        monkeypatch.setattr(batches, "_AHEAD", room)
        scored(WORK)
        assert max(most) == expected


def test_a_process_that_draws_ends_with_its_parent_even_if_that_is_killed():
    code = (
        "import os, pickle, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from multiprocessing import get_context\n"
        "from untrained.scoring.batches import _start\n"
        "given = (1, get_context('spawn'), _start, (pickle.dumps(None),))\n"
        "with ProcessPoolExecutor(*given) as pool:\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 60).result()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        other = int(one.stdout.readline())
        one.kill()
        # the other process has this pipe, too, which can be read to its end when both have ended
        if not select.select([one.stdout], [], [], 20)[0]:
            os.kill(other, signal.SIGKILL)
            pytest.fail("it goes on")


@pytest.mark.usefixtures("drawn_elsewhere")
def test_a_space_that_no_other_process_can_have_is_drawn_here():
    space = NasBench201()
    space.own = lambda: None
    same(scored(WORK, space=space), scored(WORK, "fast"))


def test_only_what_does_nothing_but_score_on_a_gpu_starts_processes(monkeypatch):
    gpu = torch.device("cuda:0")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _own: range(16))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(execution, "only_scores", False)
    assert batches.processes_here(gpu) == 0
    monkeypatch.setattr(execution, "only_scores", True)
    assert batches.processes_here(gpu) == 7
    assert batches.processes_here(torch.device("cpu")) == 0
    monkeypatch.setattr(os, "sched_getaffinity", lambda _own: range(3))
    assert batches.processes_here(gpu) == 0


def test_a_shard_is_scored_in_batches(monkeypatch, tmp_path):
    seen = batches_run(monkeypatch)
    given = {"architectures": 7, "batch_size": 3, "precision": "float32", "device": "cpu"}
    found = score_space("nasbench201", BOTH, engine="batched", **given)
    assert seen
    expected = score_space("nasbench201", BOTH, engine="fast", **given)
    assert np.allclose(found["score"], expected["score"], atol=2e-3, equal_nan=True)
    assert list(found["status"]) == list(expected["status"])


def test_what_has_no_plan_has_no_batches():
    with pytest.raises(ParameterError, match=r"^no batched engine for .*take --engine auto$"):
        scored([(45, ["meco"])], images=MinibatchSettings(batch_size=4))
    with pytest.raises(ParameterError, match=r"^no batched engine for naswot after training"):
        untrained.score(
            small(), proxy="naswot@0.02", dataset="cifar10", engine="batched", batch_size=2
        )
    with pytest.raises(ParameterError, match=r"^no batched engine for naswot of a Seq"):
        untrained.score(torch.nn.Sequential(torch.nn.ReLU()), engine="batched", batch_size=2)


def gram(codes):
    """K_H of codes (N, f) of 0 and 1."""
    signs = 2.0 * codes - 1
    return (signs @ signs.T + codes.shape[1]) / 2


def test_log_determinants_are_those_of_eigenvalues_or_say_that_they_are_not_sure():
    rng, kernels, singular = np.random.default_rng(0), [], []
    for number in range(40):
        codes = rng.integers(0, 2, (16, int(rng.integers(5, 400))))
        if number % 4 == 0:
            codes[3] = codes[7]  # two images with the same codes
        kernels.append(gram(codes))
    values, sure = log_determinants(torch.from_numpy(np.stack(kernels)))
    for kernel, value, certain in zip(kernels, values.tolist(), sure.tolist(), strict=True):
        try:
            expected = log_determinant(kernel)
        except UndefinedScore:
            singular.append(kernel)
            assert not certain
            continue
        if certain:
            assert value == pytest.approx(expected, rel=1e-9)
    assert len(singular) >= 10
    assert sure.sum() >= 20


def test_what_is_not_sure_is_looked_at_again():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 2, (16, 10**6))
    near = codes.copy()
    near[3] = near[7]
    near[3, 0] = 1 - near[3, 0]  # one of a million units differs
    same_codes = codes.copy()
    same_codes[3] = same_codes[7]
    kernels = torch.from_numpy(np.stack([gram(one) for one in (codes, near, same_codes, codes)]))
    assert log_determinants(kernels)[1].tolist() == [True, True, False, True]
    finite = torch.tensor([True, True, True, False])
    found = Naswot().score_kernels(Kernels(kernels, finite, (True,) * 4))
    assert found[0] == pytest.approx(log_determinant(kernels[0].numpy()), rel=1e-12)
    assert found[1] == pytest.approx(log_determinant(kernels[1].numpy()), rel=1e-9)
    assert [one.status for one in found[2:]] == ["singular", "non_finite"]
    none = Naswot().score_kernels(Kernels(kernels[:1], finite[:1], (False,)))
    assert none[0].status == "disconnected"


def on_a_gpu():
    """Score a shard on an imitated GPU and on the CPU."""
    given = {"architectures": 3, "batch_size": 2, "precision": "float32"}
    with imitated_gpu(pytest.MonkeyPatch()) as gpu:
        there = score_space("nasbench201", BOTH, device="cuda:0", **given)
        said = {"waits": gpu.waits, "rounded": gpu.rounded}
        here = score_space("nasbench201", BOTH, device="cpu", **given)
    return said | {"there": there["score"].tolist(), "here": here["score"].tolist()}


def test_a_gpu_scores_in_batches_and_is_waited_for_once(guard):
    said = in_guarded_process(guard, "tests.scoring.test_batches", "on_a_gpu")
    assert said["there"] == pytest.approx(said["here"], abs=2e-3, nan_ok=True)
    # one batch, whose scores are read at once for each proxy, and its images and labels
    assert said["waits"] == len(BOTH) + 2
    assert said["rounded"] == 0

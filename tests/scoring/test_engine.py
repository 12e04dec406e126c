import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.asking import score_architectures, score_by_all, score_network, score_work
from torch import nn

from untrained.errors import PluginError
from untrained.images.minibatches import Minibatch
from untrained.networks.plans import draw
from untrained.proxies import UndefinedScore, get_proxy
from untrained.proxies.base import BaseProxy
from untrained.proxies.naswot import activation_kernel
from untrained.scoring.engine import run_proxies
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.kernels import kernels_of
from untrained.spaces import get_space

CPU = torch.device("cpu")
SETTINGS = MinibatchSettings(batch_size=6)
INDICES = [1462, 0, 45, 10525]


def scores(space, indices, seed=0, proxy="naswot", precision="auto"):
    how = Execution(precision=precision)
    found = score_architectures(space, indices, get_proxy(proxy), SETTINGS, seed, how)
    return [score.score for score in found]


@pytest.fixture(scope="module")
def expected(space):
    return dict(zip(INDICES, scores(space, INDICES), strict=True))


def test_a_score_does_not_depend_on_order_or_company(space, expected):
    assert None not in expected.values()
    assert len(set(expected.values())) == 4
    assert scores(space, INDICES[::-1]) == [expected[i] for i in INDICES[::-1]]
    assert scores(space, [45]) == [expected[45]]
    assert scores(space, [45, 45]) == [expected[45]] * 2


def test_a_score_does_not_depend_on_global_random_state_and_leaves_it(space, expected):
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 - the global state must not matter
    before = torch.get_rng_state()
    assert scores(space, [45]) == [expected[45]]
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_and_proxies_give_different_scores(space, expected):
    assert scores(space, [45], seed=1) != [expected[45]]
    assert scores(space, [45], proxy="naswot-released") != [expected[45]]


def test_a_seed_changes_images_and_weights(space):
    noise = MinibatchSettings("noise", batch_size=4)
    first, second = noise.draw(0, CPU), noise.draw(1, CPU)
    assert not torch.equal(first.images, second.images)
    weights = []

    def build(classes):
        weights.append(space.network(space[45], classes).connections[0][0].weight.detach().clone())
        return space.network(space[45], classes)

    for seed, key in ((0, 45), (0, 45), (1, 45), (0, 46)):
        score_network(build, get_proxy("naswot"), first, Execution(), seed, key)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])


def test_scores_are_the_same_in_another_process(space, expected):
    code = (
        "import json, torch; torch.set_num_threads(1)\n"
        "from tests.asking import score_architectures\n"
        "from untrained.scoring.execution import Execution\n"
        "from untrained.scoring.images import MinibatchSettings\n"
        "from untrained.spaces import get_space\n"
        "found = score_architectures(get_space('nasbench201'), [45, 0], 'naswot',"
        " MinibatchSettings(batch_size=6), 0, Execution())\n"
        "print(json.dumps([score.score for score in found]))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(printed) == [expected[45], expected[0]]


def test_architectures_are_scored_as_they_are_asked_for(space):
    found = score_architectures(space, [45, -1], get_proxy("naswot"), SETTINGS, 0, Execution())
    assert next(found).status == "ok"


def test_disconnected_cells_have_a_status_and_no_score(space):
    none = space.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    found = score_architectures(space, [none.index], get_proxy("naswot"), SETTINGS, 0, Execution())
    (score,) = found
    assert (score.score, score.status) == (None, "disconnected")
    assert score.reason == "no rectifier connects input and output"
    assert score.seconds > 0


def test_an_architecture_that_can_not_be_built_so_thin_has_a_status():
    space = get_space("nasbench101")
    three = "01111|00001|00001|00001|00000:input,conv3x3-bn-relu,conv1x1-bn-relu,maxpool3x3,output"
    one = "011|001|000:input,conv3x3-bn-relu,output"
    asked = [
        (space.parse(three).index, ["linear_regions", "naswot"]),
        (space.parse(one).index, ["linear_regions"]),
    ]
    (thin, whole), (other,) = score_work(space, asked, SETTINGS, 0, Execution())
    assert (thin.score, thin.status) == (None, "not_applicable")
    assert thin.reason == "3 vertices of the cell can't share 1 channels"
    assert whole.status == other.status == "ok"


def test_kernels_are_those_of_the_scores(space):
    none = space.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|").index
    kernels = list(kernels_of(space, [45, none, 1462], SETTINGS, 0))
    assert [index for index, _ in kernels] == [45, 1462], "a disconnected cell has no kernel"
    expected = scores(space, [45, 1462], precision="float32")
    for (_, kernel), score in zip(kernels, expected, strict=True):
        assert kernel.shape == (6, 6)
        # another memory layout adds in another order, so a few units flip
        assert np.linalg.slogdet(kernel)[1] == pytest.approx(score, rel=1e-4)


BATCH = Minibatch(torch.randn(4, 3, 8, 8), torch.zeros(4, dtype=torch.int64), 7)


@dataclasses.dataclass(frozen=True)
class Says:
    """A proxy that returns or raises what it is told."""

    outcome: object
    needs = frozenset()

    def __call__(self, network, minibatch, generator):
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome == "drawn":
            return torch.rand(1, generator=generator).item()
        return self.outcome


@pytest.mark.parametrize(
    ("outcome", "score", "status", "reason"),
    [
        (1.5, 1.5, "ok", ""),
        (0.0, 0.0, "ok", ""),
        (float("inf"), None, "non_finite", "the proxy returned inf"),
        (float("nan"), None, "non_finite", "the proxy returned nan"),
        (UndefinedScore("singular", "why"), None, "singular", "why"),
        (torch.OutOfMemoryError("CUDA out of memory.\nMore"), None, "out_of_memory",
         "CUDA out of memory."),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:116] err == 0. DefaultCPUAllocator: "
                      "not enough memory: you tried to allocate 1 bytes."), None, "out_of_memory",
         "[enforce fail at alloc_cpu.cpp:116] err == 0. DefaultCPUAllocator: not enough memory: "
         "you tried to allocate 1 bytes."),
    ],
)  # fmt: skip
def test_every_outcome_has_its_status(outcome, score, status, reason):
    found = score_network(lambda _: nn.Identity(), Says(outcome), BATCH, Execution(), 0)
    assert (found.score, found.status, found.reason) == (score, status, reason)


def test_what_really_does_not_fit_into_memory_is_a_status_too():
    def build(_classes):
        return nn.Linear(2**40, 2**20)  # 4 EiB

    found = score_network(build, get_proxy("naswot"), BATCH, Execution(), 0)
    assert (found.score, found.status) == (None, "out_of_memory")


class Cramped:
    """A plan for which a batch fits into memory only in so many pieces."""

    def __init__(self, network, needed):
        self.network, self.needed, self.tried = network, needed, []

    def rectifier_inputs(self, images, *, dead_branches, pieces=1):
        self.tried.append(pieces)
        for number, reading in enumerate(
            self.network.rectifier_inputs(images, dead_branches=dead_branches, pieces=pieces)
        ):
            if number == 5 and pieces < self.needed:
                raise RuntimeError("CUDA error: out of memory")
            yield reading


@pytest.mark.parametrize(("needed", "tried"), [(1, [1]), (2, [1, 4]), (16, [1, 4, 16])])
def test_what_does_not_fit_is_run_in_pieces_with_the_same_score(space, needed, tried):
    batch = MinibatchSettings(batch_size=16).draw(0, CPU)
    torch.manual_seed(0)
    cramped = Cramped(draw(space.graph(space[45], 10)), needed)
    (found,) = score_by_all(lambda _: cramped, [get_proxy("naswot")], batch, Execution(), 0)
    (whole,) = score_by_all(lambda _: cramped.network, [get_proxy("naswot")], batch, Execution(), 0)
    assert cramped.tried == tried
    assert (found.score, found.status) == (whole.score, "ok")


def test_what_fits_in_no_way_is_out_of_memory_for_every_proxy(space):
    batch = MinibatchSettings(batch_size=16).draw(0, CPU)
    cramped = Cramped(draw(space.graph(space[45], 10)), 1000)
    proxies = [get_proxy("naswot"), get_proxy("naswot-released")]
    found = score_by_all(lambda _: cramped, proxies, batch, Execution(), 0)
    assert cramped.tried == [1, 4, 16]
    assert [(score.score, score.status) for score in found] == [(None, "out_of_memory")] * 2


def test_other_errors_of_a_plan_are_bugs_and_propagate():
    class Broken:
        def rectifier_inputs(self, images, *, dead_branches, pieces=1):
            raise RuntimeError("not enough arguments")

    with pytest.raises(RuntimeError, match="not enough arguments"):
        score_by_all(lambda _: Broken(), [get_proxy("naswot")], BATCH, Execution(), 0)


@pytest.mark.parametrize("engine", ["plain", "fast"])
def test_proxies_that_share_a_pass_score_as_they_do_alone(space, engine):
    how = Execution(engine=engine)
    proxies = [get_proxy("naswot"), get_proxy("naswot-released")]
    none = space.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|").index
    dead = space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|").index
    indices = [*INDICES, none, dead]
    together = list(score_work(space, ((i, proxies) for i in indices), SETTINGS, 0, how))
    for place, proxy in enumerate(proxies):
        alone = score_architectures(space, indices, proxy, SETTINGS, 0, how)
        found = [(scores[place].score, scores[place].status) for scores in together]
        assert found == [(score.score, score.status) for score in alone]
    assert together[-1][0].status == "disconnected"
    assert together[-1][1].status == "ok"


@pytest.mark.parametrize("error", [RuntimeError("not enough memories"), KeyError("x")])
def test_other_errors_are_those_of_the_proxy(error):
    with pytest.raises(PluginError, match=r"^the proxy \S+:Says failed: ") as raised:
        score_network(lambda _: nn.Identity(), Says(error), BATCH, Execution(), 0)
    assert raised.value.__cause__ is error


def test_a_network_is_built_for_the_classes_and_put_into_training_mode():
    seen = []

    @dataclasses.dataclass(frozen=True)
    class Looks:
        needs = frozenset()

        def __call__(self, network, minibatch, generator):
            seen.append((network.training, network.out_features))
            return 0.0

    score_network(lambda classes: nn.Linear(2, classes).eval(), Looks(), BATCH, Execution(), 0)
    assert seen == [(True, 7)]


def test_the_proxys_generator_has_a_stream_of_its_own():
    drawn = [
        score_network(lambda _: nn.Identity(), Says("drawn"), BATCH, Execution(), *key).score
        for key in ((0, 1), (0, 1), (1, 1), (0, 2))
    ]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


def test_channels_last_does_not_change_the_kernel_by_more_than_rounding(space):
    batch = SETTINGS.draw(0, CPU)
    torch.manual_seed(0)
    network = space.network(space[45], 10)
    plain = activation_kernel(network, batch.images)
    last = activation_kernel(
        network.to(memory_format=torch.channels_last),
        batch.images.to(memory_format=torch.channels_last),
    )
    assert plain[0, 0] == last[0, 0]
    assert np.abs(plain - last).max() < 1e-3 * plain[0, 0]


def test_settings_look_into_the_folder_they_are_given(tmp_path):
    from untrained.errors import MissingDataError

    settings = MinibatchSettings(split="train", root=Path(tmp_path))
    with pytest.raises(MissingDataError, match=str(tmp_path)):
        settings.draw(0, CPU)


def spoil_weights(network, batch):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()


def spoil_gradients(network, batch):
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_weights,
        spoil_gradients,
        lambda network, batch: batch.images.zero_(),
        lambda network, batch: batch.labels.zero_(),
        lambda network, batch: network.eval(),
    ],
    ids=["weights", "gradients", "images", "labels", "mode"],
)
def test_what_a_proxy_of_another_package_changes_changes_no_other_score(spoil):
    class Spoils(BaseProxy):
        name, direction, summary = "spoils", "higher", "changes what it is given"

        def __call__(self, network, minibatch, generator):
            spoil(network, minibatch)
            return 0.0

    class Sums(BaseProxy):
        name, direction, summary = "sums", "higher", "sums what it is given"

        def __call__(self, network, minibatch, generator):
            given = [minibatch.images, minibatch.labels, *network.parameters()]
            left = [p.grad for p in network.parameters() if p.grad is not None]
            return sum(one.sum().item() for one in given + left) + network.training

    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(8, 2)).train()
    batch = Minibatch(torch.ones(3, 2, 2, 2), torch.ones(3, dtype=torch.int64), 2)
    (alone,) = run_proxies(network, [Sums()], batch, Execution(), 0)
    _, after = run_proxies(network, [Spoils(), Sums()], batch, Execution(), 0)
    assert alone.value == after.value

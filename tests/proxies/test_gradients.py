"""Scores by gradients, and the costs: when they are the same, and when they are undefined.

That they leave a network unchanged is tested of every proxy in `test_every_proxy`.
"""

import pytest
import torch
from tests.asking import score_module, score_work
from torch import nn
from torch.nn import functional

from untrained import score
from untrained.images.minibatches import Minibatch
from untrained.proxies import UndefinedScore, get_proxy
from untrained.proxies.gradients import layer_weights
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.spaces import get_space

pytestmark = pytest.mark.usefixtures("short_networks")

GRADIENTS = [
    *("grad_norm", "grad_norm-naswot", "synflow", "synflow-logsynflow", "jacobian_covariance"),
]
COSTS = ["parameters", "flops"]
EVERY = [*GRADIENTS, *COSTS]


class Functional(nn.Module):
    """A network with all that users may have: functions, dropout, modules in another mode."""

    def __init__(self, *, fails=False):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6, affine=False)
        self.second = nn.Conv2d(6, 6, 3, padding=1, groups=2, bias=False)
        self.frozen = nn.BatchNorm2d(6).eval()
        self.dropout = nn.Dropout(0.5)
        self.classifier = nn.Linear(6, 5)
        self.register_buffer("calls", torch.zeros(()))
        self.unused = nn.Linear(2, 2)
        self.fails = fails

    def forward(self, x):
        self.calls += 1
        x = functional.relu_(x)
        x = functional.relu(self.norm(self.first(x)))
        x = torch.relu(self.frozen(self.second(x)) + x)
        if self.fails:
            raise ValueError("mine")
        return self.classifier(self.dropout(x.mean((2, 3))))


def example(*, fails=False):
    torch.manual_seed(0)
    network = Functional(fails=fails)
    network.frozen.eval()
    return network


def batch(images=8, *, classes=5, size=6):
    generator = torch.Generator().manual_seed(1)
    shown = torch.randn(images, 3, size, size, generator=generator)
    return Minibatch(shown, torch.arange(images) % classes, classes)


def value(spelling, network, shown=None):
    return get_proxy(spelling)(network, shown or batch(), torch.Generator())


def status(spelling, network, shown=None):
    with pytest.raises(UndefinedScore) as caught:
        value(spelling, network, shown)
    return caught.value.status


@pytest.mark.parametrize("spelling", EVERY)
def test_scores_are_the_same_each_time_and_higher_is_better(spelling):
    first, second = (score("nasbench201", 8000, proxy=spelling, batch_size=8) for _ in "ab")
    assert first.status == "ok"
    assert first.score == second.score
    assert get_proxy(spelling).direction == "higher"
    other = score("nasbench201", 8000, proxy=spelling, batch_size=8, seed=1)
    assert (first.score == other.score) == (spelling in COSTS)


@pytest.mark.parametrize("spelling", EVERY)
def test_bfloat16_moves_a_score_by_rounding(spelling):
    network = example()
    network.dropout.p = 0.0
    shown = batch()
    exact, rounded = (
        score_module(network, get_proxy(spelling), shown, Execution(precision=precision), 0)
        for precision in ("float32", "bfloat16")
    )
    assert (exact.status, rounded.status) == ("ok", "ok")
    # the Jacobian's terms are as large as one over a small eigenvalue
    assert rounded.score == pytest.approx(exact.score, rel=0.05)
    assert (rounded.score == exact.score) == (spelling in COSTS)


@pytest.mark.parametrize("spelling", [*GRADIENTS[:4]])
def test_nothing_to_train_has_a_status(spelling):
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert status(spelling, pool, batch(classes=3)) == "no_parameters"
    network = example()
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    assert status(spelling, network) == "no_parameters"


def test_size_and_jacobian_need_no_parameters():
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    assert [value(name, pool) for name in COSTS] == [0, 0]
    assert value("jacobian_covariance", nn.Sequential(nn.ReLU(), nn.Flatten())) < 0


@pytest.mark.parametrize("spelling", ["grad_norm", "synflow", "synflow-logsynflow"])
def test_normalisations_are_no_layers(spelling):
    network = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert status(spelling, network, batch(classes=3)) == "no_parameters"


class Cut(nn.Module):
    """A network whose logits do not depend on the images, but on a parameter or on nothing."""

    def __init__(self, *, zeros):
        super().__init__()
        self.layer = nn.Linear(3, 5)
        self.bias = nn.Parameter(torch.zeros(5))
        self.zeros = zeros

    def forward(self, x):
        nothing = torch.zeros(len(x), 5, dtype=x.dtype)
        if self.zeros:
            return nothing + 0 * self.layer(x.mean((2, 3)))
        return nothing + self.bias


@pytest.mark.parametrize("zeros", [False, True])
def test_networks_that_are_cut_in_two(zeros):
    network = Cut(zeros=zeros)
    for spelling in ("synflow", "synflow-logsynflow", "jacobian_covariance"):
        assert status(spelling, network) == "disconnected"
    assert value("grad_norm", network) == 0
    assert (value("grad_norm-naswot", network) > 0) == (not zeros)


class Constant(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, x):
        return torch.zeros(len(x), 5, dtype=x.dtype)


def test_networks_without_a_graph():
    network = Constant()
    for spelling in ("synflow", "jacobian_covariance"):
        assert status(spelling, network) == "disconnected"
    for spelling in ("grad_norm", "grad_norm-naswot"):
        assert status(spelling, network) == "disconnected"


@pytest.mark.parametrize("index", [0, 7777])
def test_cells_of_a_space_that_are_cut_in_two(index):
    none = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    found = {
        name: score("nasbench201", none, proxy=name, batch_size=4, seed=index) for name in EVERY
    }
    assert {name for name, one in found.items() if one.status == "disconnected"} == {
        *("synflow", "synflow-logsynflow", "jacobian_covariance"),
    }
    assert found["grad_norm"].score == 0
    assert found["grad_norm-naswot"].score > 0


class Returns(nn.Module):
    def __init__(self, what):
        super().__init__()
        self.layer = nn.Linear(3, 5)
        self.what = what

    def forward(self, x):
        return self.what(self.layer(x.mean((2, 3))))


@pytest.mark.parametrize("spelling", GRADIENTS)
@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda logits: (logits, logits), "Returns returned tuple: one tensor of logits is needed"),
        (lambda _logits: None, "Returns returned NoneType: one tensor of logits is needed"),
        (lambda logits: logits[0], r"Returns returned \(5,\): one tensor"),
        (lambda logits: logits.sum(1), "Returns returned"),
    ],
)
def test_an_output_that_is_no_tensor_of_logits(spelling, what, said):
    with pytest.raises(UndefinedScore, match=f"^{said}") as caught:
        value(spelling, Returns(what))
    assert caught.value.status == "not_applicable"


@pytest.mark.parametrize("spelling", GRADIENTS)
@pytest.mark.parametrize(
    "what", [lambda x: (x, None), lambda x: {"logits": x, "loss": 0.5}, lambda x: [[x]]]
)
def test_the_only_tensor_of_an_output_has_the_logits(spelling, what):
    torch.manual_seed(0)
    plain, nested = Returns(lambda x: x), Returns(what)
    nested.load_state_dict(plain.state_dict())
    assert value(spelling, nested) == value(spelling, plain)


@pytest.mark.parametrize("spelling", GRADIENTS)
def test_what_is_not_finite_has_a_status(spelling):
    network = example()
    nn.init.constant_(network.first.weight, float("nan"))
    assert status(spelling, network) == "non_finite"


def test_shared_and_frozen_weights_are_there_once_and_not_at_all():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    network[2].weight.requires_grad_(False)
    assert list(layer_weights(network)) == ["0.weight"]


def test_both_variants_are_read_off_one_pass():
    space, settings = get_space("nasbench201"), MinibatchSettings(batch_size=8)
    proxies = [get_proxy(name) for name in EVERY]
    ((*together,),) = score_work(space, [(6111, proxies)], settings, 0, Execution())
    for proxy, found in zip(proxies, together, strict=True):
        alone = score("nasbench201", 6111, proxy=proxy, batch_size=8)
        assert (alone.score, alone.status) == (found.score, "ok"), proxy
    assert get_proxy("grad_norm").measurement == get_proxy("grad_norm-naswot").measurement
    assert get_proxy("synflow").measurement == get_proxy("synflow-logsynflow").measurement


def test_a_number_of_images_is_part_of_the_spelling():
    eight = score("nasbench201", 1462, proxy="jacobian_covariance", batch_size=8).score
    assert score("nasbench201", 1462, proxy="jacobian_covariance:8").score == eight

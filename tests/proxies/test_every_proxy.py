"""What holds of every proxy of the registry, whatever it measures."""

import copy
import math

import pytest
import torch
from tests.asking import score_module
from torch import nn

from untrained import score
from untrained.images.minibatches import Minibatch
from untrained.proxies import PROXIES, UndefinedScore, get_proxy
from untrained.proxies.redraws import redraw
from untrained.scoring.execution import Execution

from .test_gradients import Constant, Cut, batch, example, value

#: Have tests of their own of the same kind.
ELSEWHERE = ("ntk", "naswot", "linear_regions", "validation")


def spellings():
    for name in PROXIES.names():
        proxy = PROXIES.load(name)
        if proxy.__module__.rpartition(".")[2] not in ELSEWHERE:
            yield from (f"{name}-{variant}" for variant in proxy.variants)


EVERY = list(spellings())
#: Do not run the network at all, or not in the form that it is given.
COUNTED = ["parameters-trainable", "l2_norm-zero_cost"]


def found(spelling, network, shown):
    """Return the score, or the status of an undefined one."""
    generator = torch.Generator().manual_seed(3)
    try:
        return get_proxy(spelling)(network, shown, generator)
    except UndefinedScore as undefined:
        return undefined.status


@pytest.mark.parametrize("spelling", EVERY)
@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(spelling, fails):
    network, shown = example(fails=fails), batch()
    network.second.weight.requires_grad_(False)
    for number, parameter in enumerate(network.parameters()):
        parameter.grad = torch.full_like(parameter, number)
    before = copy.deepcopy(network.state_dict())
    own = [*network.parameters(), *network.buffers()]
    gradients = [parameter.grad.clone() for parameter in network.parameters()]
    modes = [module.training for module in network.modules()]
    given = shown.images.clone(), shown.labels.clone()
    random = torch.get_rng_state()
    if fails and spelling not in COUNTED and found(spelling, example(), shown) != "not_applicable":
        with pytest.raises(ValueError, match="mine"):
            found(spelling, network, shown)
    else:
        found(spelling, network, shown)
    assert torch.equal(torch.get_rng_state(), random)
    after = [*network.parameters(), *network.buffers()]
    assert [id(one) for one in after] == [id(one) for one in own]
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(network.parameters(), gradients, strict=True))
    assert [p.requires_grad for p in network.parameters()].count(False) == 1
    assert [module.training for module in network.modules()] == modes
    for module in network.modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks):
            assert not hooks
    assert torch.equal(shown.images, given[0])
    assert torch.equal(shown.labels, given[1])
    assert not shown.images.requires_grad
    assert torch.overrides._get_current_function_mode_stack() == []


@pytest.mark.parametrize("spelling", EVERY)
def test_the_callers_gradient_modes_and_random_state_change_nothing(spelling):
    network, shown = example(), batch()
    network.dropout.p = 0.0
    expected = found(spelling, network, shown)
    torch.rand(1)
    with torch.no_grad():
        assert found(spelling, network, shown) == expected
    with torch.inference_mode():  # the images are of inference mode too
        assert found(spelling, network, batch()) == expected


def unnormalised():
    return nn.Sequential(
        *(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)),
    )


def grouped():
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        *(nn.Conv2d(8, 8, 3, 2, 1, groups=4), nn.GroupNorm(2, 8), nn.ReLU6(inplace=True)),
        *(nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)),
    )


def shared():
    network = nn.Sequential(
        *(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
        *(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)),
    )
    network[4].weight = network[1].weight
    return network


def test_a_network_without_layers_is_one_that_a_proxy_says_it_takes():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    scored = [one for one in EVERY if not one.startswith("flops")]  # which refuses it otherwise
    lacking = {one for one in scored if found(one, network, batch(12)) == "no_parameters"}
    says = {one: get_proxy(one).applies_to for one in scored}
    assert {one for one in lacking if says[one].startswith("any network")} == set()
    layers = {one for one, text in says.items() if "convolution or linear layer" in text}
    assert layers - lacking == {"grad_norm-naswot"}


@pytest.mark.parametrize("spelling", EVERY)
@pytest.mark.parametrize("build", [unnormalised, grouped, shared])
def test_common_networks_have_a_finite_score(spelling, build):
    torch.manual_seed(0)
    score = found(spelling, build(), batch(12))
    if spelling == "flops-live":
        assert score == "not_applicable"
    elif "condition" in spelling:  # of a kernel that need not have full rank
        assert score == "singular" or math.isfinite(score)
    else:
        assert math.isfinite(score)


@pytest.mark.parametrize("spelling", EVERY)
@pytest.mark.parametrize("build", [Constant, lambda: Cut(zeros=True), lambda: nn.Flatten()])
def test_a_score_without_meaning_is_no_number(spelling, build):
    score = found(spelling, build(), batch(8, classes=3))
    assert isinstance(score, str) or math.isfinite(score)


@pytest.mark.parametrize("spelling", EVERY)
def test_scores_of_a_space_are_the_same_each_time(spelling, short_networks):
    first, second = (score("nasbench201", 8000, proxy=spelling, batch_size=8) for _ in "ab")
    assert (first.score, first.status) == (second.score, second.status)
    assert first.status in {"ok", "singular"}


@pytest.mark.parametrize("spelling", EVERY)
def test_a_network_in_double_precision_is_scored_in_it(spelling):
    network, shown = grouped().double(), batch(12)
    scored = score_module(network, get_proxy(spelling), shown, Execution(), 0)
    assert scored.status in {"ok", "singular"} or spelling == "flops-live"
    assert next(network.parameters()).dtype == torch.float64


def test_a_copy_is_redrawn_from_the_generator_alone():
    def drawn(seed, **options):
        network = grouped()
        nn.init.constant_(network[1].weight, 3)
        redraw(network.requires_grad_(False), torch.Generator().manual_seed(seed), **options)
        return network

    first, second = drawn(1), drawn(1)
    state = second.state_dict()
    assert all(torch.equal(one, state[name]) for name, one in first.state_dict().items())
    assert not torch.equal(drawn(2)[3].weight, first[3].weight)
    assert [bool(first[place].bias.any()) for place in (1, 3, 4, 6, 9)] == [False] * 5
    assert bool((first[1].weight == 1).all())
    wide = nn.Conv2d(32, 64, 3, groups=4).requires_grad_(False)
    for options, variance in (({}, 1), ({"fan_in": True}, 2 / (8 * 9))):
        redraw(wide, torch.Generator().manual_seed(0), **options)
        assert float(wide.weight.var()) == pytest.approx(variance, rel=0.05)


def test_labels_are_read_where_they_are_needed_only():
    network, shown = example(), batch()
    network.dropout.p = 0.0
    other = Minibatch(shown.images, shown.labels.flip(0).roll(1), shown.num_classes)
    for spelling in EVERY:
        if not get_proxy(spelling).needs & {"labels", "loss"}:
            assert found(spelling, network, shown) == found(spelling, network, other), spelling


def test_a_proxy_says_where_it_is_from():
    for spelling in EVERY:
        proxy = get_proxy(spelling)
        assert proxy.source or proxy.cost == "arithmetic", spelling
        assert not proxy.summary.endswith("."), spelling
    assert value("l2_norm", example()) > 0

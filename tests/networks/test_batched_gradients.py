"""Networks that are differentiated together against their modules, one by one, in double precision.

The modules' proxies have slow oracles of their own in `tests/proxies`.
"""

import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

import numpy as np
import pytest
import torch
from tests.imitation import imitated_gpu, in_guarded_process
from tests.networks.test_plans import (
    CELLS,
    NETWORKS,
    cells_of_nodes,
    images_of,
    random_graphs,
)
from tests.proxies.test_of_loss import slow_scores
from torch import nn

from untrained.images.minibatches import Minibatch
from untrained.networks import batched
from untrained.networks.batched_gradients import Networks
from untrained.networks.graph import Builder, Convolution
from untrained.networks.network import GraphNetwork
from untrained.networks.plans import PlannedNetwork, draw, weights_of
from untrained.proxies import PROXIES, UndefinedScore, get_proxy
from untrained.proxies.grad_norm import GradNorm
from untrained.proxies.loss_gradients import mean_loss
from untrained.scoring.execution import measures_many
from untrained.spaces.base import Skeleton

CPU = torch.device("cpu")
#: Both ways of normalising, and every selection of parameters.
KERNELS = [f"ntk_trace-{name}" for name in ("weights_train", "all_train", "all_eval")]
KERNELS += ["ntk_mean-weights_without_classifier_train"]
#: Divides by deviations that may be rounding errors.
ROUNDED = {"zico": 0.02}


def spellings():
    for name in PROXIES.names():
        kind = PROXIES.load(name)
        if measures_many(kind()) and not hasattr(kind, "kernels"):
            yield from (f"{name}-{variant}" for variant in kind.variants)
    yield from KERNELS


def whole(network):
    """Return a module's graph with all of its parameters."""
    return PlannedNetwork(network.graph, weights_of(network, whole=True))


def together(members, images, device=CPU):
    shape, dead = tuple(images.shape[1:]), [False] * len(members)
    return Networks(batched.prepared(members, shape, dead, logits=True), device)


def value(read):
    try:
        found = read()
    except UndefinedScore as undefined:
        found = undefined
    return (found.status, str(found)) if isinstance(found, UndefinedScore) else found


def value_alone(proxy, network, shown):
    return value(lambda: proxy(network, shown, torch.Generator()))


def values_together(proxy, networks, shown):
    """Yield values; None where the gradients are nothing but rounding errors."""
    for one in proxy.measure_many(networks, shown):
        rows = getattr(one, "rows", np.ones(1))
        if isinstance(one, UndefinedScore):
            yield one.status, str(one)
        else:
            yield (
                value(lambda one=one: proxy.read(one)) if not np.abs(rows).max() <= 1e-12 else None
            )


def same(found, expected, within=1e-9):
    if isinstance(found, float) and isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=within, abs_tol=within)
    return found in (None, expected)


def some_of(networks, count=3):
    """Return networks that take the same, small images, in their first state, and images."""
    drawn = list(islice(networks(), 2 * count))
    images = min((images for _, images in drawn), key=torch.numel)
    members = [one for one, taken in drawn if taken.shape == images.shape][:count]
    for module in (part for network in members for part in network.modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()  # whoever made some has run them
    return members, images


@pytest.mark.parametrize("networks", [one for one in NETWORKS if one is not cells_of_nodes])
def test_proxies_read_of_many_networks_what_they_read_of_each(networks):
    members, images = some_of(networks)
    shown = Minibatch(images, torch.arange(len(images)) % 2, 2)
    many = together(list(map(whole, members)), images)
    for spelling in spellings():
        proxy = get_proxy(spelling)
        found = list(values_together(proxy, many, shown))
        assert len(found) == len(members) > 2
        for place, (own, network) in enumerate(zip(found, members, strict=True)):
            expected = value_alone(proxy, network, shown)
            within = ROUNDED.get(proxy.name, 1e-9)
            assert same(own, expected, within), (spelling, place, own, expected)


def test_what_is_not_finite_is_so_for_its_network_alone():
    torch.manual_seed(0)
    graph = CELLS.graph(CELLS[1462], 3, Skeleton(3, 1))
    members = [GraphNetwork(graph).double() for _ in range(4)]
    next(members[1].parameters()).data.fill_(torch.inf)
    shown = Minibatch(images_of(), torch.tensor([0, 2, 1, 1]), 3)
    many = together(list(map(whole, members)), shown.images)
    for spelling in ("grad_norm", "synflow", "epe_nas", "ntk_condition_number-weights_train"):
        proxy = get_proxy(spelling)
        found = list(values_together(proxy, many, shown))
        assert [isinstance(one, float) for one in found] == [True, False, True, True], spelling
        for own, network in zip(found, members, strict=True):
            assert same(own, value_alone(proxy, network, shown)), spelling
    losses = [one.loss for one in GradNorm().measure_many(many, shown)]
    expected = [mean_loss(network, shown).item() for network in members]
    assert losses == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_what_is_added_at_once_goes_to_different_nodes():
    """So that the order of additions on a GPU, which is another each time, changes nothing."""
    builder, convolution = Builder(), Convolution(4, 4, (3, 3))
    stems = [builder.edge(0, None, Convolution(3, 4, (3, 3)), normalised=True) for _ in range(2)]
    both = builder.unit(stems[1], builder.unit(stems[0], None, convolution), convolution)
    graph = builder.graph(builder.classified(both, 4, 3, rectified=True))
    many, twice = together([draw(graph, whole=True)] * 2, images_of()), 0
    for pieces in (group for step in many.batch.steps for group in step.gathered):
        rows = [many.listed(one.rows) if one.rows else range(2) for one in pieces]
        assert all(len(set(one)) == len(one) for one in rows)
        twice += len(pieces) > len({one.buffer for one in pieces})
    assert twice == 1


def test_numbers_of_a_cell_are_those_of_loops_over_its_weights():
    torch.manual_seed(0)
    network = GraphNetwork(CELLS.graph(CELLS[6111], 3, Skeleton(3, 1))).double()
    shown = Minibatch(images_of(), torch.tensor([0, 2, 1, 1]), 3)
    many = together([whole(network)] * 2, shown.images)
    for spelling, expected in slow_scores(network, shown).items():
        if spelling != "l2_norm":
            assert (
                list(values_together(get_proxy(spelling), many, shown))
                == [pytest.approx(expected, rel=1e-9)] * 2
            )


def test_logits_are_in_the_order_of_the_networks():
    """Networks end in different steps, in another order than they are given in."""
    torch.manual_seed(0)
    skeletons = [Skeleton(3, cells) for cells in (3, 1, 2, 1)]
    members = [GraphNetwork(CELLS.graph(CELLS[1462], 3, one)).double() for one in skeletons]
    many, images = together(list(map(whole, members)), images_of()), images_of()
    for own, network in zip(
        many.logits(many.parameters(torch.float64), images), members, strict=True
    ):
        torch.testing.assert_close(own, network(images))


def test_drawn_networks_have_the_parameters_of_modules():
    graphs = [CELLS.graph(CELLS[index], 10) for index in (1462, 0, 45)]
    drawn, modules = [], []
    for graph in graphs:
        for made, make in ((drawn, lambda one: draw(one, whole=True)), (modules, GraphNetwork)):
            torch.manual_seed(7)
            made.append(make(graph))
    images = images_of(16)
    many = together(drawn, images)
    found = many.logits(many.parameters(torch.float64), images)
    for own, network in zip(found, modules, strict=True):
        torch.testing.assert_close(own, network.double()(images))


def test_nothing_stays_in_memory_that_is_not_read_any_more():
    members, images = some_of(random_graphs)
    many, seen = together(list(map(whole, members)), images), []
    gather = many._gathered
    many._gathered = lambda step, buffers: gather(step, seen.append(buffers) or buffers)
    many.logits(many.parameters(torch.float64), images)
    assert len(seen) > 5
    assert not seen[-1]


@dataclass(frozen=True)
class Doubled(GradNorm):
    """A proxy of another package, whose measurement of one network is its own."""

    name: ClassVar[str] = "doubled"

    def measure(self, network, minibatch, generator):
        return super().measure(network, replace(minibatch, images=2 * minibatch.images), generator)


@dataclass(frozen=True)
class Halved(GradNorm):
    """A proxy that reads what it inherits."""

    name: ClassVar[str] = "halved"

    def read(self, measured):
        return super().read(measured) / 2


def test_what_measures_one_network_in_its_own_way_does_not_measure_many():
    assert measures_many(GradNorm())
    assert measures_many(Halved())
    assert not measures_many(Doubled())
    assert not measures_many(get_proxy("naswot"))


def on_a_gpu():
    """Measure a batch on an imitated GPU, and say what that did."""
    graphs = [CELLS.graph(CELLS[index], 3, Skeleton(3, 1)) for index in (1462, 45)]
    networks = [draw(graph, whole=True) for graph in graphs]
    shown = Minibatch(images_of().float(), torch.tensor([0, 2, 1, 1]), 3)
    names = ["grad_norm", "synflow", "epe_nas", "zico", "ntk_trace-all_train"]
    proxies = [get_proxy(name) for name in names]
    many = together(networks, shown.images)
    expected = [list(values_together(proxy, many, shown)) for proxy in proxies]
    with imitated_gpu(pytest.MonkeyPatch()) as gpu:
        there = replace(shown, images=shown.images.to("cuda:0"), labels=shown.labels.to("cuda:0"))
        gpu.sent, waits = 0, []
        many = together(networks, there.images, torch.device("cuda:0"))
        sent, found = gpu.sent, []
        for proxy in proxies:
            gpu.waits = 0
            found.append(list(values_together(proxy, many, there)))
            waits.append(gpu.waits)
    return {
        "sent": sent,
        "waits": dict(zip(names, waits, strict=True)),
        "found": found,
        "expected": expected,
    }


def test_how_often_measurements_of_many_networks_wait_for_a_gpu(guard):
    said = in_guarded_process(guard, "tests.networks.test_batched_gradients", "on_a_gpu")
    assert said["sent"] == 3
    # for numbers and, where they are used, labels; two of each network by synflow
    assert said["waits"] == {
        "grad_norm": 1, "synflow": 4, "epe_nas": 2, "zico": 1, "ntk_trace-all_train": 2,
    }  # fmt: skip
    for own, expected in zip(said["found"], said["expected"], strict=True):
        assert own == pytest.approx(expected, rel=1e-5)

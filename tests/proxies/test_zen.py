"""Zen's score against hooks on modules."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from untrained import score
from untrained.proxies import get_proxy
from untrained.proxies.redraws import noise_like, redraw

from .test_every_proxy import grouped, shared, unnormalised
from .test_gradients import Constant, batch, status, value


def slow_score(network, shown, generator, *, released):
    """Of a network whose map before `AdaptiveAvgPool2d` is pooled."""
    network, maps, variances = copy.deepcopy(network), [], []
    redraw(network.requires_grad_(False), generator)

    def see_map(_layer, inputs):
        maps.append(inputs[0])

    def see_norm(_layer, inputs):
        channels = [inputs[0][:, one].double().flatten() for one in range(inputs[0].shape[1])]
        variances.append(np.mean([np.var(one.numpy()) for one in channels]))

    norms = [one for one in network.modules() if isinstance(one, nn.BatchNorm2d)]
    for layer in network.modules():
        if isinstance(layer, nn.AdaptiveAvgPool2d):
            layer.register_forward_pre_hook(see_map)
    handles = [layer.register_forward_pre_hook(see_norm) for layer in norms]
    x = noise_like(shown.images, generator)
    moved = x + 0.01 * noise_like(shown.images, generator)
    with torch.no_grad():
        network(x.clone())
        for handle in handles:
            handle.remove()
        network(moved.clone())
    sums = [float((one - other).double().abs().sum()) for one, other in zip(*maps, strict=True)]
    if released:
        variances = [float(one.running_var.mean()) for one in norms]
    return math.log(sum(sums) / len(sums)) + sum(math.log(math.sqrt(v)) for v in variances)


@pytest.mark.parametrize("build", [unnormalised, grouped, shared])
@pytest.mark.parametrize("variant", ["corrected", "released"])
def test_networks_of_ones_own(build, variant):
    torch.manual_seed(0)
    network, shown = build(), batch(6)
    expected = slow_score(
        network, shown, torch.Generator().manual_seed(2), released=variant == "released"
    )
    found = get_proxy("zen", variant)(network, shown, torch.Generator().manual_seed(2))
    assert found == pytest.approx(expected, rel=1e-5)


class OfFunctions(nn.Module):
    """The same map, pooled or flattened in many ways."""

    def __init__(self, pool):
        super().__init__()
        self.layer, self.head, self.pool = nn.Conv2d(3, 4, 3), nn.LazyLinear(5), pool

    def forward(self, x):
        return self.head(self.pool(self.layer(x)))


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: x.mean((2, 3)),
        lambda x: x.flatten(1),
        lambda x: x.reshape(len(x), -1),
        lambda x: functional.avg_pool2d(x, x.shape[-1])[:, :, 0, 0],
        lambda x: torch.mean(x, dim=(-2, -1)),
        lambda x: functional.adaptive_max_pool2d(input=x, output_size=1).flatten(1),
    ],
)
def test_a_map_is_found_before_any_pooling(pool):
    torch.manual_seed(0)
    network = OfFunctions(pool)
    network(batch().images)
    generator = torch.Generator().manual_seed(0)
    redraw(made := copy.deepcopy(network).requires_grad_(False), generator)
    x = noise_like(batch().images, generator)
    moved = x + 0.01 * noise_like(x, generator)
    change = (made.layer(x) - made.layer(moved)).abs().sum((1, 2, 3)).mean()
    found = get_proxy("zen")(network, batch(), torch.Generator().manual_seed(0))
    assert found == pytest.approx(math.log(float(change)), rel=1e-5)


def test_maps_that_are_pooled_inside_do_not_count():
    class Gated(OfFunctions):
        def forward(self, x):
            x = x * torch.sigmoid(x.mean((2, 3), keepdim=True))
            return super().forward(x)

    torch.manual_seed(0)
    network = Gated(lambda x: x.mean((2, 3)))
    network(batch().images)
    generator = torch.Generator().manual_seed(0)
    redraw(made := copy.deepcopy(network).requires_grad_(False), generator)
    x = noise_like(batch().images, generator)
    moved = x + 0.01 * noise_like(x, generator)
    one, other = (made.layer(y * torch.sigmoid(y.mean((2, 3), keepdim=True))) for y in (x, moved))
    expected = math.log(float((one - other).abs().sum((1, 2, 3)).mean()))
    found = get_proxy("zen")(network, batch(), torch.Generator().manual_seed(0))
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_normalisation_of_a_constant_is_left_out():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.norm = grouped(), nn.BatchNorm2d(3)
            self.runs = True

        def forward(self, x):
            if self.runs:
                self.norm(0 * x)
            return self.network(x)

    torch.manual_seed(0)
    network, found = Branch(), []
    for runs in (True, False):
        network.runs = runs
        found.append(get_proxy("zen")(network, batch(), torch.Generator().manual_seed(0)))
    assert found[0] == found[1]


def test_a_score_that_does_not_exist_has_a_status():
    assert status("zen", Constant()) == "not_applicable"
    assert status("zen", nn.Sequential(nn.Linear(6, 5))) == "not_applicable"
    network = grouped()
    network[1] = nn.BatchNorm2d(8, track_running_stats=False)
    assert status("zen-released", network) == "not_applicable"
    assert math.isfinite(value("zen", network))
    none = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    assert score("nasbench201", none, proxy="zen", batch_size=4).status == "disconnected"

"""MeCo against NumPy's correlation matrices."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from untrained.proxies import get_proxy
from untrained.proxies.base import Noted
from untrained.proxies.meco import least_eigenvalue
from untrained.spaces.base import Skeleton

from .test_every_proxy import grouped, shared, unnormalised
from .test_gradients import Constant, batch, example, status


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_channel_is_no_pattern(dtype):
    """Less its mean it has rounding errors."""
    channels = torch.randn(3, 9, 9, dtype=dtype)
    channels[1] = 0.1
    assert least_eigenvalue(channels) == 0.0


def slow_score(network, image, *, every):
    total = 0.0

    def add(_layer, _inputs, output):
        nonlocal total
        if output.ndim == 4:
            channels = output[0].detach().double().flatten(1).numpy()
            if (channels.std(axis=1) > 1e-12).all():
                values = np.linalg.eig(np.corrcoef(channels))[0].real if len(channels) > 1 else [1]
                total += min(values)

    network = copy.deepcopy(network)
    for module in network.modules():
        if every or isinstance(module, nn.Conv2d):
            module.register_forward_hook(add)
    network(image)
    return total


@pytest.mark.parametrize("build", [unnormalised, grouped, shared])
@pytest.mark.parametrize("variant", ["corrected", "released"])
def test_networks_of_ones_own(build, variant):
    torch.manual_seed(0)
    network = build()
    generator = torch.Generator().manual_seed(4)
    image = torch.randn(1, 3, 64, 64, generator=generator)
    expected = slow_score(network, image, every=variant == "released")
    found = get_proxy("meco", variant)(network, batch(), torch.Generator().manual_seed(4))
    assert found == pytest.approx(expected, rel=1e-5)
    assert not isinstance(found, Noted)


def test_cells_of_a_space(space):
    torch.manual_seed(0)
    network = space.network(space[6111], 10, Skeleton(4, 2))
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    expected = slow_score(network, image, every=False)
    found = get_proxy("meco")(network, batch(), torch.Generator().manual_seed(4))
    assert found == pytest.approx(expected, rel=1e-4)


def test_layers_on_no_path_are_left_out():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.dead = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
            self.runs = True

        def forward(self, x):
            if self.runs:
                self.dead(x)
            return self.used(x).mean((2, 3))

    network = Branches()
    found = {}
    for runs in (True, False):
        network.runs = runs
        found[runs] = {
            one: get_proxy("meco", one)(network, batch(), torch.Generator().manual_seed(0))
            for one in ("corrected", "released")
        }
    assert found[True]["corrected"] == found[False]["corrected"]
    assert found[True]["released"] > found[False]["released"]


def test_a_network_that_takes_images_of_one_size_has_a_remark():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 16, 5))
    found = get_proxy("meco")(network, batch(), torch.Generator())
    assert isinstance(found, Noted)
    assert found.note == "an image of 3x6x6, as the network takes none of 64x64"


def test_least_eigenvalues():
    torch.manual_seed(0)
    channels = torch.randn(3, 5, 5)
    assert least_eigenvalue(channels) == pytest.approx(
        np.linalg.eigvalsh(np.corrcoef(channels.flatten(1).numpy()))[0], rel=1e-5
    )
    assert least_eigenvalue(torch.cat([channels, channels[:1]])) == pytest.approx(0, abs=1e-12)
    assert least_eigenvalue(torch.randn(9, 3, 3)) == 0
    channels[1] = 2
    assert least_eigenvalue(channels) == 0
    channels[0, 0, 0] = float("inf")
    assert np.isnan(least_eigenvalue(channels))


def test_a_score_that_does_not_exist_has_a_status():
    assert status("meco", nn.Sequential(nn.Flatten(), nn.Linear(108, 5))) == "no_parameters"
    assert status("meco", Constant()) == "no_parameters"
    network = example()
    nn.init.constant_(network.first.weight, float("nan"))
    assert status("meco", network) == "non_finite"


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(108, 8), nn.BatchNorm1d(8), nn.Linear(8, 5)),
        nn.Sequential(nn.Conv2d(3, 8, 6), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 5)),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8)),
    ],
)
def test_batch_statistics_of_one_vector_have_a_status(network):
    assert status("meco", network) == "not_applicable"


def test_other_errors_of_a_network_are_its_own():
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        get_proxy("meco")(Fails(), batch(), torch.Generator())

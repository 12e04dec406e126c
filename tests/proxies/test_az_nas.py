"""The proxies of AZ-NAS against loops over positions, on maps that are read block by block."""

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from untrained import score
from untrained.networks.network import GraphNetwork
from untrained.proxies import get_proxy
from untrained.proxies.az_nas import entropy_of, largest_singular_value
from untrained.proxies.maps import blocks_of, maps_between_blocks
from untrained.proxies.redraws import noise_like, redraw
from untrained.spaces import get_space
from untrained.spaces.base import Skeleton

from .test_every_proxy import grouped, unnormalised
from .test_gradients import batch, status

NAMES = ("az_expressivity", "az_progressivity", "az_trainability")


def slow_entropy(features):
    """Of (N, C, H, W): the covariance over all positions, one at a time."""
    images, _, height, width = features.shape
    rows = [
        features[n, :, i, j] for n in range(images) for i in range(height) for j in range(width)
    ]
    mean = sum(rows) / len(rows)
    covariance = sum(np.outer(row - mean, row - mean) for row in rows) / len(rows)
    values = np.linalg.eigvals(covariance).real
    shares = values / values.sum()
    return -sum(share * np.log(share) for share in shares if share > 1e-15)


def test_products_of_half_precision_are_summed_in_another_type():
    features = 30 * torch.randn(40, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    half = features.half()
    assert entropy_of(half) == pytest.approx(entropy_of(half.double()), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_constant_map_has_no_entropy(dtype):
    """Less its mean it has rounding errors, which are no spectrum."""
    assert np.isnan(entropy_of(torch.full((5, 3, 7, 7), 0.1, dtype=dtype)))
    few = torch.full((5, 3, 7, 7), 0.1, dtype=dtype)
    few[0, 0, 0, 0] = 0.2
    assert entropy_of(few) >= 0


def test_a_map_or_a_gradient_that_is_not_finite_is_a_status():
    class Infinite(nn.Module):
        def forward(self, x):
            return x / 0

    class Hidden(nn.Module):
        def forward(self, x):
            return torch.nan_to_num(x, 0, 0, 0)

    network = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), Infinite(), Hidden(), nn.Conv2d(4, 4, 3)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
    )
    assert status("az_expressivity", network, batch(4)) == "non_finite"


@pytest.mark.parametrize(
    ("before", "after"), [((8, 8), (4, 4)), ((7, 7), (4, 4)), ((7, 8), (4, 4))]
)
def test_pixels_of_odd_sides_are_those_that_a_stride_reads(before, after):
    """Each pixel of the smaller map is one of the larger: its gradient arrives unchanged."""
    images = torch.randn(3, 2, *before, dtype=torch.float64, requires_grad=True)
    made = images[:, :, ::2, ::2] * 1
    assert made.shape[2:] == after
    found = largest_singular_value(images, made, torch.Generator().manual_seed(0))
    signs = 2.0 * torch.randint(0, 2, made.shape, generator=torch.Generator().manual_seed(0)) - 1
    whole = [min(one // 2, other) for one, other in zip(before, after, strict=True)]
    kept = signs[..., : whole[0], : whole[1]].movedim(1, -1).reshape(-1, 2).double()
    assert found == pytest.approx(float(np.linalg.norm(kept.T @ kept / len(kept), 2)))


def slow_singular_value(inwards, outwards):
    """Of two gradients (N, C, H, W), the first of which may have more pixels."""
    images, _, height, width = outwards.shape
    stride = inwards.shape[2] // height
    total = 0.0
    for n, i, j in itertools.product(range(images), range(height), range(width)):
        pixels = range(stride)
        patch = [inwards[n, :, i * stride + a, j * stride + b] for a in pixels for b in pixels]
        total = total + np.outer(np.concatenate(patch), outwards[n, :, i, j])
    return np.linalg.svd(total / (images * height * width))[1].max()


def slow_scores(parts, images, generator):
    """Of a network that is a list of blocks and ends in a head that is left out."""
    maps = [images]
    for part in parts:
        maps.append(part(maps[-1]))
    maps = maps[1:]
    entropies = [slow_entropy(one.detach().numpy()) for one in maps]
    terms = []
    for before, part in zip(maps, parts[1:], strict=False):
        given = before.detach().clone().requires_grad_()
        made = part(given)
        signs = 2.0 * torch.randint(0, 2, made.shape, generator=generator, dtype=made.dtype) - 1
        made.backward(signs)
        s = slow_singular_value(given.grad.numpy(), signs.numpy())
        terms.append(2 - s - 1 / (s + 1e-6))
    gains = [later - before for before, later in itertools.pairwise(entropies)]
    return sum(entropies), min(gains), sum(terms) / len(terms)


def of_strides():
    """Blocks with strides 1, 2 and 1."""
    return nn.Sequential(
        nn.Sequential(
            *(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)),
        ),
        *(nn.Conv2d(4, 6, 3, 2, 1, groups=2), nn.Conv2d(6, 5, 1)),
        *(nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4)),
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_networks_of_ones_own(seed):
    network, shown = of_strides().double(), batch(5, classes=4)
    shown.images.data = shown.images.double()
    generator = torch.Generator().manual_seed(seed)
    made = copy.deepcopy(network).requires_grad_(False)
    redraw(made, generator, fan_in=True)
    images = noise_like(shown.images, generator)
    # the convolution before the normalisation is the first block
    parts = [made[0][0], nn.Sequential(made[0][1], made[1]), made[2]]
    expected = slow_scores(parts, images, generator)
    for name, one in zip(NAMES, expected, strict=True):
        again = torch.Generator().manual_seed(seed)
        assert get_proxy(name)(network, shown, again) == pytest.approx(one, rel=1e-6), name


def test_maps_of_a_cell_network_are_the_outputs_of_stem_and_cells(space):
    network = space.network(space[6111], 10, Skeleton(3, 2))
    images = torch.randn(2, 3, 8, 8)
    with maps_between_blocks(network, 2) as maps:
        logits = network(images)
    assert [tuple(one.shape[1:]) for one in maps] == [
        *[(3, 8, 8)] * 3, *[(6, 4, 4)] * 3, *[(12, 2, 2)] * 3
    ]  # fmt: skip
    assert torch.equal(maps[0], network.connections[0](images))
    head = network.connections[-1](network.connections[-2](maps[-1]))
    assert torch.equal(network.classifier(head), logits)
    assert isinstance(network, GraphNetwork)
    assert not any(one._forward_pre_hooks for one in network.modules())


@pytest.mark.parametrize(("name", "cells"), [("nasbench101", 9), ("darts", 20)])
def test_other_spaces_have_cells(name, cells):
    space = get_space(name)
    graph = (
        space.graph(space[5], 10) if name != "darts" else space.graph(space.parse("DARTS_V2"), 10)
    )
    assert len(graph.cells) == cells + 1


def test_blocks_are_what_is_in_containers():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            return self.norm(self.layer(x))

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Sequential(Block(), nn.ReLU(), nn.ModuleList([Block(), Block()]))
            self.head = nn.Linear(3, 2)

    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Whole()

    network = Wrapper()
    expected = [network.inner.first[0], *network.inner.first[2]]
    assert blocks_of(network) == expected
    assert blocks_of(nn.Linear(2, 2)) == []
    assert len(blocks_of(grouped())) == 3


def test_a_map_is_kept_as_it_was_before_the_next_layer_overwrites_it():
    network = grouped()
    with maps_between_blocks(network, 4) as maps:
        network(batch(4).images)
    assert float(maps[1].detach().min()) < 0


def test_entropies_of_known_spectra():
    corners = torch.cat([torch.eye(5), -torch.eye(5)])[:, :, None, None]
    assert entropy_of(corners.double()) == pytest.approx(np.log(5))
    line = torch.randn(40, 1, 1, 1).double() * torch.ones(1, 5, 1, 1)
    assert entropy_of(line) == pytest.approx(0, abs=1e-6)
    assert np.isnan(entropy_of(torch.ones(2, 3, 4, 4)))
    features = torch.randn(3, 4, 2, 5).double()
    assert entropy_of(features) == pytest.approx(slow_entropy(features.numpy()))


def test_an_orthogonal_block_keeps_the_size_of_gradients():
    before = torch.randn(64, 4, 8, 8).double().requires_grad_()
    turn = torch.linalg.qr(torch.randn(4, 4).double())[0]
    after = torch.einsum("oc,nchw->nohw", turn, before)
    found = largest_singular_value(before, after, torch.Generator())
    assert found == pytest.approx(1, abs=0.1)
    assert largest_singular_value(before, before * 1, torch.Generator()) is None
    assert largest_singular_value(before, torch.ones(64, 4, 8, 8), torch.Generator()) == 0


def test_an_identity_has_no_trainability_and_a_cut_network_no_score():
    skip = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
    found = {name: score("nasbench201", skip, proxy=name, batch_size=4) for name in NAMES}
    assert [one.status for one in found.values()] == ["ok", "ok", "not_applicable"]
    assert "block 1 returns its input" in found["az_trainability"].reason
    none = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    for name in NAMES:
        assert score("nasbench201", none, proxy=name, batch_size=4).status == "disconnected"


def test_networks_without_blocks():
    for name in NAMES:
        flat = nn.Sequential(nn.Flatten(), nn.Linear(108, 5))
        assert status(name, flat) == "not_applicable"
        one = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        assert status(name, one) == "not_applicable"
        assert isinstance(get_proxy(name)(unnormalised(), batch(), torch.Generator()), float)


@pytest.mark.parametrize("other", [torch.float64, torch.float16, torch.bfloat16])
def test_maps_of_two_types(other):
    before = torch.randn(2, 3, 4, 4, requires_grad=True)
    for first, second in ((before, before.to(other)), (before.to(other), before)):
        shown = first.detach().requires_grad_()
        after = 3 * shown.to(second.dtype)
        found = largest_singular_value(shown, after, torch.Generator().manual_seed(1))
        signs = torch.randint(0, 2, after.shape, generator=torch.Generator().manual_seed(1))
        given = (2 * signs - 1).double().numpy()
        assert found == pytest.approx(slow_singular_value(3 * given, given), rel=1e-3)
        same = shown.to(second.dtype)
        assert largest_singular_value(shown, same, torch.Generator()) is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("other", [torch.float64, torch.float16])
def test_blocks_of_another_type_have_a_score(name, other):
    class Cast(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner.to(other)

        def forward(self, x):
            return self.inner(x.to(other))

    class Back(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x.float())

    blocks = [nn.Conv2d(3, 4, 3), Cast(nn.Conv2d(4, 4, 3)), Back(nn.Conv2d(4, 4, 1))]
    network = nn.Sequential(*blocks, nn.Flatten(), nn.LazyLinear(5))
    network(batch().images)
    assert np.isfinite(get_proxy(name)(network, batch(), torch.Generator().manual_seed(0)))

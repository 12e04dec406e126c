"""Linear regions against a set of tuples."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from untrained.images.minibatches import Minibatch, minibatch, random_crops
from untrained.proxies import UndefinedScore, get_proxy, setting_of
from untrained.proxies.linear_regions import (
    PASS,
    THIN_SKELETON,
    activation_patterns,
    count_distinct,
)


def thin(space, index):
    torch.manual_seed(index)
    return space.network(space[index], 10, THIN_SKELETON)


def crops(count):
    return random_crops(minibatch("cifar100", "sample", 0, 64), (1, 3, 3), count, 0)


def slow_patterns(network, images):
    """Return one tuple of signs per image, by hooks on the rectifiers."""
    seen = []
    handles = [
        module.register_forward_hook(lambda _m, x, _o: seen.append((x[0] > 0).flatten(1).tolist()))
        for module in network.modules()
        if isinstance(module, nn.ReLU)
    ]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    return [tuple(bit for part in parts for bit in part) for parts in zip(*seen, strict=True)]


@pytest.mark.parametrize("index", [1462, 7777, 45, 10525, 0])
def test_regions_are_a_set_of_tuples(space, index):
    images = crops(300).images
    expected = len(set(slow_patterns(thin(space, index), images)))
    batch = Minibatch(images, torch.zeros(300), 10)
    assert get_proxy("linear_regions")(thin(space, index), batch, torch.Generator()) == expected
    assert 1 < expected <= 300


def test_statistics_are_those_of_a_thousand_inputs(space):
    images = crops(2 * PASS).images
    network = thin(space, 1462)
    expected = [p for half in images.split(PASS) for p in slow_patterns(network, half)]
    patterns = activation_patterns(network, images)
    assert count_distinct(patterns) == len(set(expected))
    assert len(activation_patterns(network, images[: PASS + 1])) == PASS + 1


def test_patterns_are_eight_bits_to_a_byte(space):
    images = crops(20).images
    expected = slow_patterns(thin(space, 7777), images)
    packed = activation_patterns(thin(space, 7777), images)
    unpacked = np.unpackbits(packed, axis=1)[:, : len(expected[0])]
    assert unpacked.astype(bool).tolist() == [list(pattern) for pattern in expected]


def test_zero_is_not_positive():
    """Zeros occur after a pool over zeros, and where no edge leads to a node."""
    values = [0.0, -1.0, 2.0, 0.0, -0.0, -2.0, 1e-30, 0.0]
    images = torch.tensor([values, [-abs(value) for value in values]]).reshape(2, 1, 2, 4)
    bits = np.unpackbits(activation_patterns(nn.ReLU(), images), axis=1)
    assert bits.tolist() == [[int(value > 0) for value in values], [0] * 8]
    at_or_below = torch.tensor([0.0, -1.0, 0.0]).reshape(3, 1, 1, 1)
    assert count_distinct(activation_patterns(nn.ReLU(), at_or_below)) == 1


@pytest.mark.parametrize("width", [1, 3, 40])
def test_distinct_rows_are_counted_exactly(width):
    rows = np.random.default_rng(width).integers(0, 3, (500, width)).astype(np.uint8)
    assert count_distinct(rows) == len({tuple(row) for row in rows.tolist()})
    assert count_distinct(rows[:, ::2]) == len({tuple(row) for row in rows[:, ::2].tolist()})


def test_one_bit_among_many_is_enough():
    rows = np.zeros((2, 10_000), np.uint8)
    assert count_distinct(rows) == 1
    rows[1, 9_999] = 1
    assert count_distinct(rows) == 2


class Called(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Clamps(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(9, 6)

    def forward(self, x):
        return functional.relu_(self.layer(x.flatten(1)))


def test_rectifiers_as_functions_and_in_place_count():
    torch.manual_seed(0)
    network, images = Clamps(), torch.randn(200, 1, 3, 3)
    bits = (network.layer(images.flatten(1)) > 0).tolist()
    assert count_distinct(activation_patterns(network, images)) == len(set(map(tuple, bits)))


def status(network, images):
    with pytest.raises(UndefinedScore) as caught:
        activation_patterns(network, images)
    return caught.value.status


def test_what_has_no_regions_has_a_status(space):
    images = torch.randn(4, 1, 3, 3)
    assert status(nn.Sequential(nn.Flatten(), nn.Linear(9, 2)), images) == "no_rectifiers"
    network = thin(space, 7777)
    nn.init.constant_(network.classifier.bias, float("nan"))
    assert status(network, images) == "non_finite"


def test_outputs_in_a_container_have_to_be_finite():
    network = Called(lambda x: (torch.relu(x) * torch.nan, None))
    assert status(network, torch.randn(4, 2, 3, 3)) == "non_finite"


def test_rectifiers_without_a_row_for_each_image_are_no_regions():
    network = Called(lambda x: torch.relu(x.flatten(1).T).T)
    assert status(network, torch.randn(4, 2, 3, 3)) == "not_applicable"


def test_a_network_that_changes_is_refused():
    class Alternates(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return torch.relu(x) if self.calls == 1 else torch.relu(torch.relu(x[:, :, :1]))

    with pytest.raises(UndefinedScore, match=r"^the network applies other") as caught:
        activation_patterns(Alternates(), torch.randn(PASS + 1, 1, 3, 3))
    assert caught.value.status == "not_applicable"


def test_the_network_is_left_as_it_was(space):
    network = thin(space, 1462)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    first = activation_patterns(network, crops(50).images)
    assert np.array_equal(activation_patterns(network, crops(50).images), first)
    assert all(torch.equal(v, network.state_dict()[name]) for name, v in state.items())
    assert torch.overrides._get_current_function_mode_stack() == []


def test_the_thin_network_has_one_cell_and_no_stem(space):
    layers = [one for one in thin(space, 1462).modules() if isinstance(one, nn.Conv2d)]
    assert [layer.in_channels for layer in layers] == [1] * 6
    setting = setting_of(get_proxy("linear_regions"))
    assert (setting.skeleton, setting.images, setting.crop) == (THIN_SKELETON, 3000, (1, 3, 3))
    assert setting_of(get_proxy("linear_regions-paper")).images == 5000


def test_only_what_images_have_is_an_activation():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.layer = nn.Linear(9, 3)

        def forward(self, x):
            empty = x.flatten(1)[:, :0].relu()
            rectified = self.layer(x.flatten(1)).relu()
            return torch.cat([rectified * self.scale.relu(), empty], 1)

    images = torch.randn(6, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    network = Weighted()
    bits = (network.layer(images.flatten(1)) > 0).tolist()
    assert count_distinct(activation_patterns(network, images)) == len(set(map(tuple, bits)))

    class Scaled(nn.Module):
        def forward(self, x):
            return x.flatten(1) * torch.ones(9).relu()

    assert status(Scaled(), images) == "not_applicable"

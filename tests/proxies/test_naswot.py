"""NASWOT against a kernel counted pair by pair, with hooks and a graph search of the test's own."""

import numpy as np
import pytest
import torch
from tests.spaces.cell_rules import live_edges, singular_as_released
from torch import nn
from torch.nn import functional

from untrained import score
from untrained.images.minibatches import Minibatch, minibatch
from untrained.networks.network import ConnectionReLU
from untrained.proxies import UndefinedScore
from untrained.proxies.agreements import agreements_of, bits_of
from untrained.proxies.naswot import KernelCounter, Naswot, activation_kernel
from untrained.proxies.rectifiers import rectifier_modules
from untrained.spaces.base import Skeleton
from untrained.spaces.nasbench201 import EDGES

# all 3x3; convolutions beside dead branches; a node without input; skips and pools; few edges
CELLS = [1462, 0, 10525, 45, 13714, *(int(i) for i in np.random.default_rng(5).integers(15_625, size=7))]  # fmt: skip  # noqa: E501


@pytest.fixture(scope="module")
def batch():
    return minibatch("cifar10", "sample", 0, 32)


def made(space, index, classes=10):
    torch.manual_seed(index)
    return space.network(space[index], classes)


def weights_of_rectifiers(network, operations, variant):
    """Return how often each nn.ReLU of a benchmark network counts, by the graph of the cell."""
    counts = {module: 1 for module in network.modules() if isinstance(module, nn.ReLU)}
    live, edges = live_edges(operations), zip(EDGES, operations, strict=True)
    stage = 5 * [int(edge in live) for edge, name in edges if name.startswith("nor_conv")]
    on_path = [*stage, *(1, 1), *stage, *(1, 1), *stage]  # residual blocks have two
    wrapped = [one[0] for one in network.modules() if isinstance(one, ConnectionReLU)]
    for module, alive in zip(wrapped, on_path, strict=True):
        counts[module] = 2 if variant == "released" else alive
    return counts


def slow_kernel(network, images, operations, variant):
    """Return K[i, j], the units on which images i and j agree, pair by pair."""
    seen = []
    handles = [
        module.register_forward_hook(
            lambda _m, inputs, _o, count=count: seen.append((count, (inputs[0] > 0).flatten(1)))
        )
        for module, count in weights_of_rectifiers(network, operations, variant).items()
    ]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    codes = np.concatenate([bits.numpy() for count, bits in seen for _ in range(count)], axis=1)
    units = codes.shape[1]
    kernel = np.full((len(images), len(images)), float(units))
    for i in range(len(images)):
        for j in range(i):
            kernel[i, j] = kernel[j, i] = units - np.count_nonzero(codes[i] != codes[j])
    return kernel


@pytest.mark.parametrize("variant", ["corrected", "released"])
@pytest.mark.parametrize("index", CELLS)
def test_the_kernel_is_that_of_the_slow_count(space, all_operations, batch, index, variant):
    network, operations = made(space, index), all_operations[index]
    assert live_edges(operations)
    images = batch.images[:12, :, ::2, ::2]
    kernel = activation_kernel(network, images, variant)
    expected = slow_kernel(network, images, operations, variant)
    assert kernel.dtype == np.float64
    assert np.array_equal(kernel, expected)
    score = Naswot(variant)(network, Minibatch(images, batch.labels, 10), torch.Generator())
    sign, logarithm = np.linalg.slogdet(expected)
    assert sign == 1
    assert score == pytest.approx(logarithm, rel=1e-12)


def test_some_of_the_cells_have_dead_convolutions(all_operations):
    dead = [
        sum(name.startswith("nor_conv") for name in all_operations[index])
        - sum(name.startswith("nor_conv") for name in live_edges(all_operations[index]).values())
        for index in CELLS
    ]
    assert any(dead)


def network_of_layers():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), nn.Conv2d(8, 6, 3), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(6 * 16, 4)),
    ).double()


IMAGES = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 3, 8, 8)))


def test_the_kernel_does_not_depend_on_the_order_of_units():
    network = network_of_layers()
    expected = activation_kernel(network, IMAGES)
    order = torch.randperm(8)
    with torch.no_grad():
        for parameter in (*network[0].parameters(), *network[2].parameters()):
            parameter.copy_(parameter[order])
        network[3].weight.copy_(network[3].weight[:, order])
    assert np.array_equal(activation_kernel(network, IMAGES), expected)


def test_the_kernel_follows_the_order_of_images():
    network = network_of_layers()
    expected = activation_kernel(network, IMAGES)
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    assert not np.array_equal(expected, expected[order][:, order])
    permuted = activation_kernel(network, IMAGES[order])
    assert np.array_equal(permuted, expected[order][:, order])


def test_the_mode_of_batch_normalisation_matters():
    network = network_of_layers()
    training = activation_kernel(network, IMAGES)
    assert not np.array_equal(activation_kernel(network.eval(), IMAGES), training)


@pytest.mark.parametrize("shape", [(5, 7), (5, 3, 4), (5, 3, 4, 4), (5, 2, 3, 2, 2), (5, 1)])
def test_agreements_are_counted_in_any_shape(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values[0].flatten()[0] = 0  # a zero is not positive
    codes = (values > 0).flatten(1)
    expected = [[int((a == b).sum()) for b in codes] for a in codes]
    assert agreements_of(bits_of(values)).tolist() == expected
    if len(shape) == 4:
        last = values.to(memory_format=torch.channels_last)
        assert agreements_of(bits_of(last)).tolist() == expected


def test_counts_beyond_what_float32_holds_are_exact():
    bits = torch.ones(2, 2**24 + 3)
    bits[1, :5] = -1
    assert agreements_of(bits_of(bits)).tolist() == [[2**24 + 3, 2**24 - 2], [2**24 - 2, 2**24 + 3]]


class UsedTwice(nn.Module):
    def __init__(self, same):
        super().__init__()
        self.layer, self.relu, self.same = nn.Conv2d(3, 3, 1), nn.ReLU(), same

    def forward(self, x):
        self.first = self.layer(x)
        self.second = self.first if self.same else self.first - 0.5
        return self.relu(self.first) + self.relu(self.second)


@pytest.mark.parametrize("variant", ["corrected", "released"])
@pytest.mark.parametrize("same", [False, True])
def test_a_module_that_is_used_twice_counts_twice(same, variant):
    torch.manual_seed(0)
    network = UsedTwice(same)
    kernel = activation_kernel(network, torch.randn(5, 3, 4, 4), variant)
    codes = torch.cat([network.first, network.second], 1).flatten(1) > 0
    assert kernel.tolist() == [[float((a == b).sum()) for b in codes] for a in codes]


def test_a_tensor_that_changed_in_place_is_compared_anew():
    counter = KernelCounter(2)
    values = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    counter.add(values)
    values.neg_()
    counter.add(values - 0)
    counter.add(values)
    assert counter.kernel().tolist() == [[6, 3], [3, 6]]
    values.mul_(-0.0)
    counter.add(values)
    assert counter.kernel().tolist() == [[8, 5], [5, 8]]


@pytest.mark.parametrize(
    ("index", "calls"), [(1462, 189), *((i, None) for i in (0, 10525, 45, 13714, 7))]
)
def test_the_released_form_counts_modules_as_the_authors_code_does(
    space, all_operations, index, calls
):
    convolutions = sum(name.startswith("nor_conv") for name in all_operations[index])
    seen = []
    network = made(space, index)
    with torch.no_grad(), rectifier_modules(network, seen.append):
        network(torch.randn(2, 3, 8, 8))
    assert len(seen) == 2 * 15 * convolutions + 8 + 1
    assert calls in (None, len(seen))


@pytest.mark.parametrize(("convolutions", "calls"), [(1, 39), (2, 69), (3, 99)])
def test_released_counts_of_cells_with_few_convolutions(space, all_operations, convolutions, calls):
    index = next(
        i
        for i, cell in enumerate(all_operations)
        if sum(name.startswith("nor_conv") for name in cell) == convolutions
    )
    counter = []
    network = made(space, index)
    with torch.no_grad(), rectifier_modules(network, counter.append):
        network(torch.randn(2, 3, 8, 8))
    assert len(counter) == calls


def status(network, images, variant="corrected"):
    batch = Minibatch(images, torch.zeros(len(images), dtype=torch.int64), 10)
    try:
        score = Naswot(variant)(network, batch, torch.Generator())
    except UndefinedScore as undefined:
        return undefined.status
    assert np.isfinite(score)
    return "ok"


def test_disconnected_cells_have_no_score(space, all_operations, batch):
    # one cell a stage instead of five: which cells have a score does not depend on their number
    images, small = functional.avg_pool2d(batch.images[:4], 2), Skeleton(16, 1)
    disconnected = [index for index, cell in enumerate(all_operations) if not live_edges(cell)]
    assert len(disconnected) == 341
    found = {"singular": set(), "ok": set()}
    for index in disconnected[::4]:
        torch.manual_seed(index)
        network = space.network(space[index], 1, small)
        assert status(network, images[:2]) == "disconnected"
        found[status(network, images, "released")].add(index)
    singular = {index for index in disconnected if singular_as_released(all_operations[index])}
    assert len(singular) == 201
    assert found["singular"] == singular & set(disconnected[::4])


@pytest.mark.parametrize("index", [0, 1462, 10525])
def test_signs_are_the_codes_of_networks_with_rectifiers_alone(index):
    plain, signs = (
        score("nasbench201", index, proxy=proxy, batch_size=4)
        for proxy in ("naswot", "naswot-signs")
    )
    assert (plain.score, plain.status) == (signs.score, signs.status)


def test_connected_cells_have_a_score(space, all_operations, batch):
    connected = [i for i, cell in enumerate(all_operations) if live_edges(cell)]
    for index in np.random.default_rng(2).choice(connected, 8, replace=False):
        network = made(space, int(index))
        assert status(network, batch.images[:8]) == "ok"
        assert status(network, batch.images[:8], "released") == "ok"


@pytest.mark.parametrize("variant", ["corrected", "released"])
def test_too_few_units_make_the_kernel_singular(variant):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2).double(), nn.ReLU())
    assert status(network, IMAGES, variant) == "singular"
    # equal images have equal codes, however many units there are
    assert status(network_of_layers(), IMAGES[[0, 1, 1]], variant) == "singular"


@pytest.mark.parametrize("variant", ["corrected", "released"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_output_that_is_not_finite_has_no_score(variant, value):
    network = network_of_layers()
    torch.nn.init.constant_(network[-1].bias, value)
    assert status(network, IMAGES, variant) == "non_finite"


def test_outputs_may_be_nested():
    class Nested(nn.Module):
        def __init__(self, scale):
            super().__init__()
            self.layers, self.scale = network_of_layers(), scale

        def forward(self, x):
            value = self.layers(x)
            return {"logits": value, "more": (value * self.scale, [value])}

    assert status(Nested(1), IMAGES) == "ok"
    assert status(Nested(float("nan")), IMAGES) == "non_finite"


@pytest.mark.parametrize("variant", ["corrected", "released"])
def test_a_network_without_rectifiers_has_no_score(variant):
    network = nn.Sequential(nn.Flatten(), nn.Tanh())
    assert status(network, IMAGES, variant) == "no_rectifiers"


class Breaks(nn.Module):
    """A module that fails at a given call."""

    def __init__(self, at):
        super().__init__()
        self.left = at

    def forward(self, x):
        self.left -= 1
        if self.left == 0:
            raise ValueError("mine")
        return x


class Remembers(nn.Module):
    """A module that replaces its buffer by a new tensor at every call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(4, dtype=torch.float64))

    def forward(self, x):
        self.mean = self.mean * 0.9 + x.mean(0).detach()
        return x


@pytest.mark.parametrize("variant", ["corrected", "released"])
@pytest.mark.parametrize("breaks", [0, 1, 2])
def test_the_network_is_left_as_it_was(variant, breaks):
    network = nn.Sequential(network_of_layers(), Remembers(), Breaks(breaks))
    network[0][0].weight.requires_grad_(False)
    network[0](IMAGES).sum().backward()
    network[0][2].eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    buffer = network[1].mean
    gradients = [p.grad.clone() for p in network.parameters() if p.requires_grad]
    modes = [module.training for module in network.modules()]
    if breaks and not (variant == "released" and breaks == 2):
        with pytest.raises(ValueError, match="mine"):
            activation_kernel(network, IMAGES, variant)
    else:
        first = activation_kernel(network, IMAGES, variant)
        assert np.array_equal(activation_kernel(network[:2], IMAGES, variant), first)
    after = network.state_dict()
    assert state.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in state.items())
    assert network[1].mean is buffer
    assert [p.requires_grad for p in network.parameters()] == [False, *[True] * 7]
    kept = [p.grad for p in network.parameters() if p.requires_grad]
    assert all(torch.equal(a, b) for a, b in zip(gradients, kept, strict=True))
    assert network[0][0].weight.grad is None
    assert [module.training for module in network.modules()] == modes
    for module in network.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert torch.overrides._get_current_function_mode_stack() == []
    assert torch.is_grad_enabled()

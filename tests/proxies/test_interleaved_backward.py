"""Backward passes by our loops against PyTorch's, one output after the other, in float64."""

import copy
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from untrained.networks.supernets import Supernet, darts_graph, nasbench201_graph
from untrained.proxies import interleaved_backward
from untrained.proxies.interleaved_backward import Recording, _Memory
from untrained.spaces import get_space
from untrained.spaces.base import Skeleton

from .test_tangent_kernels import Own


class Layers(nn.Module):
    """A network of layers of images between a first layer and a classifier."""

    def __init__(self, apply, *modules, channels=3, classify=True):
        super().__init__()
        self.stem = nn.Conv2d(2, channels, 3, padding=1, bias=False)
        self.inner = nn.ModuleList(modules)
        self.apply_inner = apply
        with torch.no_grad():
            made = apply(self.inner, torch.zeros(2, channels, 7, 6)).shape[1]
        self.classifier = nn.Linear(made, 4) if classify else nn.Identity()

    def forward(self, x):
        return self.classifier(self.apply_inner(self.inner, self.stem(x)).mean((2, 3)))


def drawn(network, images=5, side=(7, 6), channels=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator) - 0.4)
    return network, torch.randn(images, channels, *side, generator=generator)


def gradient_rows(network, images, parameters):
    with Recording() as recording:
        outputs = network(images).sum(1)
    return recording.gradients(outputs, parameters)


def gram(rows, images):
    total = np.zeros((images, images))
    for row in rows:
        flat = row.numpy().astype(np.float64)
        total += flat @ flat.T
    return total


def slow_grams(network, images, parameters):
    """Return for each parameter inner products of its gradients, made image by image."""
    rows = [
        torch.autograd.grad(one, parameters, retain_graph=True, materialize_grads=True)
        for one in network(images).sum(1)
    ]
    for found in zip(*rows, strict=True):
        flat = [gradient.flatten().numpy() for gradient in found]
        yield np.array([[a @ b for b in flat] for a in flat])


def check(network, images, layout=torch.contiguous_format, skip=()):
    """Compare the Gram matrix of each parameter alone, and of all together."""
    shown = images.to(memory_format=layout)
    network = network.to(memory_format=layout)
    named = {name: p for name, p in network.named_parameters() if name not in skip}
    found = {name: gradient_rows(network, shown, [one]) for name, one in named.items()}
    together = gradient_rows(network, shown, list(named.values()))
    exact = network.double()
    parameters = [exact.get_parameter(name) for name in named]
    total = 0
    for name, expected in zip(named, slow_grams(exact, images.double(), parameters), strict=True):
        total = total + expected
        made = gram(found[name], len(images))
        atol = 1e-5 * max(np.abs(expected).max(), 1e-3)
        np.testing.assert_allclose(made, expected, rtol=1e-4, atol=atol, err_msg=name)
    atol = 1e-5 * np.abs(total).max()
    np.testing.assert_allclose(gram(together, len(images)), total, rtol=1e-4, atol=atol)


def in_turn(modules, x):
    for module in modules:
        x = module(x)
    return x


def convolution(inputs, outputs, size, stride=1, padding=0):
    return nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "stride", "padding"),
    [
        (3, 3, 3, 1, 1),
        (4, 6, 3, 1, 1),
        (5, 7, 3, 1, 1),
        (9, 2, 3, 1, 0),
        (1, 1, 3, 1, 1),
        (8, 5, 1, 1, 0),
        (3, 4, 5, 1, 2),
        (3, 4, 3, 1, 3),  # more zeros than a window has pixels
        (3, 4, 1, 1, 1),
        (3, 6, 3, 2, 1),
        (4, 3, 2, 2, 0),
        (4, 3, 1, 2, 0),  # pixels that no window reads
        (4, 25, 3, 1, 1),  # more channels than fit the first-level cache
        (3, 33, 3, 2, 1),
        (3, 3, 4, 3, 1),
        (3, 3, 5, 3, 2),
    ],
)
def test_convolutions(inputs, outputs, size, stride, padding, normalised):
    modules = [convolution(inputs, outputs, size, stride, padding)]
    modules += [nn.BatchNorm2d(outputs)] if normalised else []
    modules += [nn.ReLU(), convolution(outputs, 2, 1)]
    check(*drawn(Layers(in_turn, *modules, channels=inputs)))


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "stride", "padding", "dilation", "groups"),
    [
        (4, 4, 3, 1, 1, 1, 4),  # one filter per channel, as in the cells of DARTS
        (4, 4, 3, 1, 2, 2, 4),
        (4, 4, 5, 2, 4, 2, 4),
        (2, 2, 5, 2, 2, 1, 2),
        (3, 3, 3, 2, 2, 3, 3),
        (3, 3, 3, 3, 2, 2, 3),
        (1, 1, 5, 1, 4, 2, 1),
        (3, 1, 3, 1, 2, 2, 1),
        (2, 4, 3, 1, 2, 1, 2),
        (6, 4, 3, 1, 1, 1, 2),
        (10, 14, 3, 2, 1, 1, 2),
        (6, 6, 3, 3, 1, 1, 3),
    ],
)
def test_groups_and_dilations(inputs, outputs, size, stride, padding, dilation, groups, normalised):
    inner = nn.Conv2d(inputs, outputs, size, stride, padding, dilation, groups, bias=False)
    modules = [inner, *([nn.BatchNorm2d(outputs)] if normalised else [])]
    modules += [nn.ReLU(), convolution(outputs, 2, 1)]
    check(*drawn(Layers(in_turn, *modules, channels=inputs)))


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, 1, 1), (2, 2, 0), (3, 2, 1), ((1, 2), 1, 0), (5, 3, 2)]
)
def test_maximum_pools(size, stride, padding, ceil_mode):
    def apply(modules, x):
        y = modules[0](x)
        return modules[1](modules[2](y) / 3) + modules[2](x) + modules[2](2 * y)

    pool = nn.MaxPool2d(size, stride, padding, ceil_mode=ceil_mode)
    check(*drawn(Layers(apply, convolution(3, 3, 3, 1, 1), convolution(3, 3, 3, 1, 1), pool)))


@pytest.mark.parametrize(
    "apply",
    [
        lambda m, x: m[0](x[:, :, 1:, 1:]) + m[0](x)[:, :, :-1, :-1],
        lambda m, x: m[0](x[:, :, ::2, 1::3] / 2),
        lambda m, x: m[0](x)[:, 1:] + x[:, :2] * 2,
        lambda m, x: m[1](torch.cat([m[0](x), x[:, 1:2], functional.relu(x[:, 2:])], 1)),
        lambda m, x: m[1](torch.cat([x, torch.ones(len(x), 2, *x.shape[2:])], dim=1)) + m[0](x[:]),
        lambda m, x: functional.relu(torch.cat([x, x], 1) / 2)[:, 2:5] + m[0](x),
    ],
)
def test_parts_and_concatenations(apply):
    check(*drawn(Layers(apply, convolution(3, 3, 3, 1, 1), convolution(5, 3, 3, 1, 1))))


def test_parts_of_an_image_and_of_a_batch(monkeypatch):
    """Large images are processed one by one and line by line; here small ones are too."""
    monkeypatch.setattr(interleaved_backward, "_PART", 1)
    network = Layers(in_turn, convolution(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU())
    check(*drawn(network, side=(5, 70)))


@pytest.mark.parametrize("images", [2, 16, 19])
def test_numbers_of_outputs(images):
    network = Layers(in_turn, nn.BatchNorm2d(3), nn.ReLU(), convolution(3, 4, 3, 2, 1))
    check(*drawn(network, images=images))


@pytest.mark.parametrize(
    "apply",
    [
        lambda m, x: m[1](functional.relu(m[0](x))),
        lambda m, x: functional.relu(m[0](x), inplace=True) + m[1](x),
        lambda m, x: m[0](x) + m[0](m[1](x)),  # one module is used twice
        lambda m, x: torch.add(m[0](x), m[1](x), alpha=-0.7) + x,
        lambda m, x: (m[0](x) + m[1](x) + x + x) / 3 - 0.5 * x,
        lambda m, x: m[0](x) + functional.relu(m[0](x)),
        lambda m, x: (lambda y: m[0][1](y) + y)(m[0][0](x)),  # read both normalised and unchanged
        lambda m, x: sum(f(functional.relu(x)) for f in m) + functional.relu(x),
        lambda m, x: m[1](functional.relu(functional.relu(x) - m[0](x))) + x * 2,
        lambda m, x: functional.relu(m[0](x) + 1 / 3),
        lambda m, x: m[0](x).add_(m[1](x), alpha=2).relu_(),
    ],
)
@pytest.mark.parametrize("affine", [False, True])
def test_sums_and_shared_nodes(apply, affine):
    modules = [
        nn.Sequential(convolution(3, 3, 3, 1, 1), nn.BatchNorm2d(3, affine=affine)),
        nn.Sequential(nn.ReLU(), convolution(3, 3, 1), nn.BatchNorm2d(3, affine=affine)),
    ]
    check(*drawn(Layers(apply, *modules)))


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [(3, 1, 1), (2, 2, 0), (3, 2, 1), (2, 1, 0), (5, 2, 2), (2, 3, 1)],
)
def test_average_pools(size, stride, padding, counted):
    def apply(modules, x):
        y = modules[0](x)
        return modules[1](modules[2](y)) + modules[2](x)

    pool = nn.AvgPool2d(size, stride, padding, count_include_pad=counted)
    block = nn.Sequential(convolution(3, 3, 3, 1, 1), nn.BatchNorm2d(3), nn.ReLU())
    check(*drawn(Layers(apply, block, convolution(3, 3, 3, 1, 1), pool)))


def test_pools_with_a_divisor_and_with_a_part_of_a_window():
    pools = [nn.AvgPool2d(3, 1, 1, divisor_override=4), nn.AvgPool2d(2, ceil_mode=True,
             count_include_pad=False)]  # fmt: skip
    check(*drawn(Layers(in_turn, *pools, nn.BatchNorm2d(3), convolution(3, 2, 1))))


@pytest.mark.parametrize(
    ("channels", "layout"), [(3, torch.channels_last), (4, torch.contiguous_format)]
)
def test_networks_of_the_space(space, channels, layout):
    for index in (1462, 10525, 7777):
        network = space.network(space[index], 10, Skeleton(channels, 1))
        check(*drawn(network, 4, (12, 12), 3, index), layout)


def test_a_supernet():
    network = Supernet(nasbench201_graph(10, Skeleton(3, 1, 3, stem=True)))
    mask = network.mask.copy()
    mask[[0, 1, 4], [1, 2, 3]] = False
    mask[2, :4] = False
    network.mask = mask
    check(*drawn(network, 4, (8, 8), 3))


def test_networks_of_nasbench101():
    space = get_space("nasbench101")
    for index in (5, 1000, 300000):
        network = space.network(space[index], 10, Skeleton(4, 1, 3))
        check(*drawn(network, 4, (12, 12), 3, index))


def test_a_supernet_of_darts():
    """All operations are live; PyTorch's own float32 gradients are as far from float64 ones."""
    network, images = drawn(Supernet(darts_graph(10, Skeleton(1, 1, 2))), 4, (16, 16), 3)
    found = gram(gradient_rows(network, images, list(network.parameters())), len(images))
    exact = copy.deepcopy(network).double()
    expected, rounded = (
        sum(slow_grams(one, shown, list(one.parameters())))
        for one, shown in ((exact, images.double()), (network, images))
    )
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() < max(1e-5 * scale, 4 * np.abs(rounded - expected).max())


def test_parameters_that_are_frozen_or_not_reached():
    network, images = drawn(Layers(in_turn, convolution(3, 4, 3, 1, 1), nn.BatchNorm2d(4)))
    network.inner[0].weight.requires_grad_(False)
    stranger = nn.Parameter(torch.ones(3))
    assert gradient_rows(network, images, [stranger]) == []
    assert len(gradient_rows(network, images, [stranger, network.stem.weight])) == 1
    check(*drawn(network), skip=["inner.0.weight"])


def test_nothing_is_left_to_follow():
    """The logits may be made of images alone, without a classifier."""
    network = Layers(in_turn, convolution(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU(),
                     classify=False)  # fmt: skip
    check(*drawn(network))


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(3, 3, 3, dilation=2, bias=False),
        nn.Conv2d(3, 3, 3),
        nn.Conv2d(3, 3, (1, 3), bias=False),
        nn.Conv2d(3, 3, 3, padding=(0, 1), bias=False),
        nn.ConvTranspose2d(3, 3, 3, bias=False),
        nn.BatchNorm2d(3).eval(),
        nn.FractionalMaxPool2d(2, 3),
        nn.AvgPool2d((1, 2)),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.Sigmoid(),
    ],
)
def test_other_operations_have_no_loop(module):
    network, images = drawn(Layers(in_turn, module, nn.ReLU(), convolution(3, 2, 1)))
    assert gradient_rows(network, images, list(network.parameters())) is None


@pytest.mark.parametrize(
    "apply",
    [
        lambda _, x: x * x,
        lambda _, x: x + functional.conv2d(x, torch.ones(1, 3, 1, 1)),
        lambda _, x: x + x.mean((2, 3), keepdim=True),
        lambda _, x: functional.conv2d(x, torch.ones(1, 3, 1, 1) * x.mean()),
        lambda _, x: x / x.detach().abs().sum().requires_grad_(),
        lambda _, x: functional.relu(x[:, [0, 2]]),
        lambda _, x: functional.relu(x[:, :, 2][:, :, None]),
        lambda _, x: functional.relu(x[::2]),
        lambda _, x: functional.relu(torch.cat([x, x], 2)),
    ],
)
def test_other_products_and_sums_have_no_loop(apply):
    network, images = drawn(Layers(apply))
    assert gradient_rows(network, images, list(network.parameters())) is None


def overwrite(x, value):
    with torch.no_grad():
        x[:, 0] = value


@pytest.mark.parametrize(
    "change",
    [
        lambda x: (functional.relu(x, inplace=True), x)[1],  # reads what was overwritten
        lambda x: (x.add_(1), torch.cat([x, x], 1))[1],
        lambda x: (overwrite(x, 2), x)[1],
        lambda x: (x.requires_grad and x.register_hook(lambda gradient: 2 * gradient), x)[1],
    ],
)
def test_what_changes_unseen_has_no_loop(change):
    network, images = drawn(Layers(lambda m, x: change(m[0](x)), convolution(3, 3, 1)))
    assert gradient_rows(network, images, list(network.parameters())) is None


def shortcut(m, x):
    first = m[0](x)
    short = first[:, :, ::2, ::2]
    return functional.avg_pool2d(functional.relu(first, inplace=True), 2, 2, ceil_mode=True) + short


@pytest.mark.parametrize(
    "change",
    [
        lambda m, x: (x := m[0](x), x[:, :2].add_(1))[0],
        lambda m, x: (x := m[0](x), x[:, :2].relu_())[0],
        lambda m, x: (x := m[0](x), functional.relu(x[:, :2], inplace=True))[0],
        lambda m, x: (x := m[0](x), x.detach().relu_())[0],
        lambda m, x: (x := m[0](x), x.view(x.shape).relu_())[0],
        lambda m, x: (x := m[0](x), x.data.add_(1))[0],
        lambda m, x: (x := m[0](x), y := x.flatten(2), x.add_(1), y.view(x.shape))[-1],
        shortcut,
    ],
)
def test_what_shares_its_memory_and_is_overwritten_has_no_loop(change):
    """A loop has the former numbers: it would go on with those."""
    network, images = drawn(Layers(change, convolution(3, 3, 3, 1, 1)), side=(6, 6))
    try:
        found = gradient_rows(network, images, list(network.parameters()))
    except RuntimeError:  # as PyTorch refuses
        found = None
    assert found is None


def test_a_head_that_vmap_can_not_run_has_no_loop():
    class Head(Layers):
        def forward(self, x):
            return Own.apply(super().forward(x))

    network, images = drawn(Head(in_turn, convolution(3, 3, 3, 1, 1)))
    assert gradient_rows(network, images, list(network.parameters())) is None


def test_activations_that_are_read_early_and_late():
    """A graph may lead from the outputs to several activations, some made of others."""

    class Levels(Layers):
        def forward(self, x):
            first = self.stem(x)
            second = self.inner[0](first)
            levels = [one.mean((2, 3)) for one in (second, first, self.inner[0](second))]
            return self.classifier(torch.cat(levels, 1))

    network = Levels(in_turn, convolution(3, 3, 3, 1, 1))
    network.classifier = nn.Linear(9, 4)
    check(*drawn(network))


def test_an_operation_of_ones_own_is_left_to_pytorch():
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, gradient):
            return 3 * ctx.saved_tensors[0] ** 2 * gradient

    check(*drawn(Layers(lambda m, x: Cube.apply(m[0](x)), convolution(3, 4, 3, 1, 1))))


def test_other_types_and_large_images_have_no_loop(monkeypatch):
    network, images = drawn(Layers(in_turn, nn.ReLU()))
    parameters = list(network.parameters())
    assert gradient_rows(network, images, parameters) is not None
    assert gradient_rows(lambda x: network(x).detach(), images, parameters) is None
    for name, numbers in (("_LARGE", 5 * 3 * 7 * 6), ("_MANY", 3 * 2 * 9)):
        monkeypatch.setattr(interleaved_backward, name, numbers * 16 * 4)
        assert gradient_rows(network, images, parameters) is not None
        monkeypatch.setattr(interleaved_backward, name, numbers * 16 * 4 - 1)
        assert gradient_rows(network, images, parameters) is None
        monkeypatch.undo()
    assert gradient_rows(network.double(), images.double(), parameters) is None


def test_images_that_are_parameters_have_no_loop():
    network, images = drawn(Layers(in_turn, nn.ReLU()))
    images.requires_grad_()
    assert gradient_rows(network, images, list(network.parameters())) is None


def test_a_parameter_of_a_layer_and_of_the_classifier_has_no_loop():
    network, images = drawn(Layers(in_turn, nn.BatchNorm2d(3), nn.ReLU(), classify=False))
    scale = network.inner[0].weight

    def scaled(x):
        return network(x) * scale

    assert gradient_rows(scaled, images, [scale]) is None
    assert gradient_rows(scaled, images, [network.stem.weight]) is not None


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.transpose(2, 3),
        lambda x: x[:, :1].expand(-1, 2, -1, -1),
    ],
)
def test_views_of_one_tensor_are_not_mistaken_for_each_other(view):
    """Two views may have the same memory and shape, but another order of their numbers."""

    class TwoViews(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(2, 3, 3, padding=1, bias=False)
            self.second = nn.Conv2d(2, 3, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x):
            return functional.relu(self.norm(self.first(x) + self.second(view(x)))).mean((2, 3))

    network, images = drawn(TwoViews(), side=(8, 8))
    parameters = list(network.parameters())
    found = gradient_rows(network, images, parameters)
    assert found is not None
    network, images = network.double(), images.double()
    expected = sum(slow_grams(network, images, list(network.parameters())))
    np.testing.assert_allclose(gram(found, len(images)), expected, atol=1e-5 * expected.max())


def test_activations_that_no_backward_pass_reads_are_not_kept():
    made = []

    def apply(inner, x):
        convolution, normalisation = inner
        total = normalisation(convolution(x)) + x
        made.append(weakref.ref(total))
        return functional.relu(total)

    network = Layers(apply, nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3))
    made.clear()  # the constructor applies the layers too
    recording = Recording()
    with recording:
        outputs = network(torch.randn(2, 2, 7, 6)).sum(1)
    assert made[0]() is None
    assert recording.gradients(outputs, list(network.parameters())) is not None


def test_the_gradients_of_a_cell_share_three_arrays(space, monkeypatch):
    """The output, the first node and the input; the second node's is written over."""
    original, arrays = _Memory.target, {}

    def target(*given):
        made = original(*given)
        arrays[id(made[0].base)] = made[0].base
        return made

    monkeypatch.setattr(_Memory, "target", target)
    network, images = drawn(space.network(space[1462], 10, Skeleton(3, 1, 1)), 4, (8, 8), 3)
    gradient_rows(network, images, list(network.parameters()))
    assert len(arrays) == 3

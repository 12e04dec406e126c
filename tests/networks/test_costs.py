"""Parameters and operations against the published ones of all cells."""

from collections import Counter

import numpy as np
import pytest
import torch
from tests.networks.own_networks import (
    Of,
    OwnRectifier,
    checkpointed,
    own_function,
    transformer,
)
from tests.networks.slow import benchmark_flops
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from untrained import rank
from untrained.networks.costs import count_flops, count_parameters, peak_memory
from untrained.networks.network import GraphNetwork
from untrained.spaces import get_space
from untrained.spaces.base import NotApplicable

DATASETS = [("cifar10", 10, 32), ("cifar100", 100, 32), ("ImageNet16-120", 120, 16)]


@pytest.fixture(scope="module")
def one_of_each(space, all_operations):
    """Return (1x1, 3x3 convolutions) of every cell, and the first cell with each such pair."""
    counts = [(c["nor_conv_1x1"], c["nor_conv_3x3"]) for c in map(Counter, all_operations)]
    first = {}
    for index, pair in enumerate(counts):
        first.setdefault(pair, index)
    return counts, first


@pytest.mark.parametrize(("dataset", "classes", "side"), DATASETS)
def test_costs_of_all_cells_are_the_published_ones(
    space, benchmark_table, one_of_each, dataset, classes, side
):
    counts, first = one_of_each
    assert len(first) == 28
    parameters, flops = {}, {}
    # the classifier and the size of the images are what differs between data sets
    for pair, index in list(first.items())[:: 1 if dataset == "cifar10" else 5]:
        network = space.network(space[index], classes)
        parameters[pair] = count_parameters(network)
        flops[pair] = benchmark_flops(network, (3, side, side))
    known = benchmark_table.costs(dataset)
    known = known[[pair in parameters for pair in counts]]
    chosen = [pair for pair in counts if pair in parameters]
    assert [parameters[pair] for pair in chosen] == known["parameters"].tolist()
    assert np.allclose([flops[pair] for pair in chosen], known["flops"], rtol=1e-9, atol=0)


def test_costs_of_graphs_are_the_published_ones(space, benchmark_table):
    """Of every ninth cell; all cells that have as many convolutions of each kind cost the same."""
    known = benchmark_table.costs("cifar10")[::9]
    graphs = [space.graph(space[index], 10) for index in range(0, len(space), 9)]
    assert [graph.parameters for graph in graphs] == known["parameters"].tolist()
    flops = [graph.flops((3, 32, 32)) for graph in graphs]
    assert np.allclose(flops, known["flops"], rtol=1e-9, atol=0)


@pytest.mark.parametrize(("dataset", "classes", "side"), DATASETS)
def test_costs_of_single_graphs_are_the_published_ones(
    space, benchmark_table, dataset, classes, side
):
    known = benchmark_table.costs(dataset)
    for index in np.random.default_rng(0).integers(len(space), size=20):
        graph = space.graph(space[int(index)], classes)
        assert graph.parameters == known["parameters"][index]
        assert graph.flops((3, side, side)) == pytest.approx(known["flops"][index], rel=1e-9)


def test_frozen_parameters_do_not_count():
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    assert count_parameters(network) == 3 * 4 + 4 + 4 * 2 + 2
    network[0].requires_grad_(False)
    assert count_parameters(network) == 4 * 2 + 2


def test_operations_are_those_of_convolutions_and_linear_layers_without_biases():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=4, bias=False),
        nn.Flatten(),
        nn.Linear(8 * 16, 5),
        nn.Linear(5, 2, bias=False),
    )
    expected = 3 * 8 * 9 * 16 + 8 * 2 * 9 * 16 + 8 * 16 * 5 + 5 * 2
    assert count_flops(network, (3, 8, 8)) == expected


def tokens(self, x):
    return self.head(functional.relu(self.linear(self.patch(x).flatten(2).transpose(1, 2))).mean(1))


def queried(self, x):
    """Attend from tokens to tokens in two heads of four channels."""
    q, k, v = self.three(self.patch(x).flatten(2).mT).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    return functional.scaled_dot_product_attention(q, k, v).mean((1, 2, 3))


def steps(self, x):
    """Read the rows of an image, one after the other."""
    return self.head(self.layers(x.permute(2, 0, 1, 3).flatten(2))[0][-1])


SPARSE = (torch.arange(5 * 192.0).reshape(5, 192) % 3 - 1).to_sparse()
STORED = 5 * 192 * 2 // 3
PATCHES = 3 * 8 * 16 * 4  # a convolution to 8 channels at 4 places
ATTENTION = 2 * 8 * 4 * 4  # two products of 8 channels between 4 tokens
BLOCK = 4 * (8 * 24 + 8 * 8 + 2 * 8 * 12) + ATTENTION
OWN = {
    "linear layers on tokens": (
        Of(tokens, patch=nn.Conv2d(3, 8, 4, 4), linear=nn.Linear(8, 6), head=nn.Linear(6, 5)),
        PATCHES + 4 * 8 * 6 + 6 * 5,
    ),
    "linear layers with channels last": (
        Of(lambda self, x: self.linear(x.permute(0, 2, 3, 1)), linear=nn.Linear(3, 7)),
        64 * 3 * 7,
    ),
    "one dimension": (
        Of(lambda self, x: self.layer(x.flatten(2)), layer=nn.Conv1d(3, 4, 3, padding=1)),
        3 * 4 * 3 * 64,
    ),
    "three dimensions": (
        Of(lambda self, x: self.layer(x[:, None]), layer=nn.Conv3d(1, 4, 3, padding=1)),
        4 * 27 * 3 * 64,
    ),
    "transposed": (nn.ConvTranspose2d(3, 4, 2, 2), 3 * 4 * 4 * 64),
    "groups": (nn.Conv2d(3, 6, 3, padding=1, groups=3), 6 * 9 * 64),
    "a convolution as a function": (
        Of(lambda self, x: functional.conv2d(x, self.w), w=nn.Parameter(torch.randn(4, 3, 3, 3))),
        4 * 3 * 9 * 36,
    ),
    "an Einstein sum": (
        Of(
            lambda self, x: torch.einsum("nchw,oc->nohw", x, self.w),
            w=nn.Parameter(torch.randn(5, 3)),
        ),
        5 * 3 * 64,
    ),
    "a product": (Of(lambda self, x: x.flatten(2) @ x.flatten(2).mT), 3 * 3 * 64),
    "attention as modules": (transformer(), PATCHES + 2 * BLOCK + 8 * 10),
    "attention as a function": (
        Of(queried, patch=nn.Conv2d(3, 8, 4, 4), three=nn.Linear(8, 24)),
        PATCHES + 4 * 8 * 24 + ATTENTION,
    ),
    **{
        kind.__name__: (
            Of(steps, layers=kind(24, 5, num_layers=2, bidirectional=True), head=nn.Linear(10, 4)),
            gates * 8 * (2 * 5 * (24 + 5) + 2 * 5 * (10 + 5)) + 10 * 4,
        )
        for kind, gates in ((nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4))
    },
    "a function of one's own": (own_function(OwnRectifier), 3 * 6 * 9 * 64 + 6 * 10),
    "checkpoints": (checkpointed(reentrant=False), 3 * 6 * 9 * 64 + 6 * 6 * 9 * 64 + 6 * 10),
    "reentrant checkpoints": (checkpointed(reentrant=True), 9 * 6 * 9 * 64 + 6 * 10),
    **{
        name: (Of(function, w=nn.Parameter(torch.randn(*shape))), expected)
        for name, function, shape, expected in (
            ("a matrix by a vector", lambda self, x: self.w @ x.flatten(), (5, 192), 5 * 192),
            ("a vector by a matrix", lambda self, x: x.flatten() @ self.w.T, (5, 192), 5 * 192),
            (
                "a sum with a matrix by a vector",
                lambda self, x: torch.addmv(self.w[:, 0], self.w, x.flatten()),
                (5, 192),
                5 * 192,
            ),
            (
                "a sum of products of a batch",
                lambda self, x: torch.addbmm(self.w[0], x[0], self.w),
                (3, 8, 8),
                3 * 8**3,
            ),
            ("a product of vectors", lambda self, x: x.flatten().dot(self.w), (192,), 192),
            ("of complex ones", lambda self, x: torch.vdot(self.w, x.flatten()), (192,), 192),
            ("an inner product", lambda self, x: torch.inner(x.flatten(1), self.w), (192,), 192),
            ("a tensor product", lambda self, x: torch.tensordot(x, self.w, 3), (3, 8, 8), 192),
            ("few distances", lambda self, x: torch.cdist(x.flatten(1), self.w), (7, 192), 7 * 192),
            (
                "many distances",
                lambda self, x: torch.cdist(x.flatten(1).expand(40, -1), self.w),
                (70, 192),
                40 * 70 * 192,
            ),
            (
                "distances within rows",
                lambda self, x: torch.pdist(x[0, 0] * self.w),
                (1,),
                8 * 7 // 2 * 8,
            ),
            (
                "a convolution of time",
                lambda self, x: torch.conv_tbc(x[0].permute(1, 2, 0), self.w, self.w[0, 0]),
                (3, 3, 4),
                (8 - 2) * 8 * 4 * 3 * 3,
            ),
        )
    },
    "a parameter that a module is given": (
        Of(
            lambda self, x: self.multiply((x.flatten(1), self.w)),
            multiply=Of(lambda _self, pair: pair[0] @ pair[1]),
            w=nn.Parameter(torch.randn(192, 5)),
        ),
        192 * 5,
    ),
    "a bilinear layer": (
        Of(lambda self, x: self.b(x[0, 0], x[0, 1, :, :6]), b=nn.Bilinear(8, 6, 10)),
        8 * 10 * 6 * (8 + 1),
    ),
    **{
        f"sparse: {name}": (Of(lambda self, x, f=function: f(x)), expected)
        for name, function, expected in (
            ("a product", lambda x: torch.sparse.mm(SPARSE, x.reshape(192, 1)), STORED),
            ("several columns", lambda x: SPARSE @ x.reshape(192, 1).expand(-1, 6), 6 * STORED),
            ("by rows", lambda x: SPARSE.to_sparse_csr() @ x.reshape(192, 1), STORED),
            ("a vector", lambda x: SPARSE @ x.flatten(), STORED),
            ("weights", lambda x: functional.linear(x.flatten(1), SPARSE.to_sparse_csr()), STORED),
        )
    },
    "half precision": (nn.Conv2d(3, 4, 3, padding=1).half(), 3 * 4 * 9 * 64),
    "double precision": (nn.Conv2d(3, 4, 3, padding=1).double(), 3 * 4 * 9 * 64),
    "no weights": (nn.ReLU(), 0),
}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", OWN)
def test_networks_of_ones_own(name, mode):
    network, expected = OWN[name]
    fused = torch.backends.mha.get_fastpath_enabled()
    with mode():
        assert count_flops(network, (3, 8, 8)) == expected
    assert torch.backends.mha.get_fastpath_enabled() == fused


@torch.library.custom_op("untrained_tests::product", mutates_args=())
def product_of_ones_own(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return a @ b


def weighed(function, *shape):
    return Of(function, w=nn.Parameter(torch.rand(*shape)))


def quantised():
    layers = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.ReLU(), nn.Linear(4, 2))
    return torch.ao.quantization.quantize_dynamic(layers)


USELESS = "uses its weights, but in no convolution or product of matrices"


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (quantised, "Sequential runs quantized.linear_dynamic, whose operations can't be counted"),
        (
            lambda: weighed(lambda self, x: product_of_ones_own(x.flatten(1), self.w), 192, 5),
            "runs untrained_tests.product, whose",
        ),
        (
            lambda: weighed(lambda self, x: torch.linalg.solve(self.w, x[0]) @ self.w, 8, 8),
            "runs aten._linalg_solve_ex, whose",
        ),
        (lambda: nn.BatchNorm2d(3), USELESS),
        (lambda: weighed(lambda self, x: (x * self.w).sum((1, 2, 3)), 3, 8, 8), USELESS),
    ],
)
def test_what_cannot_be_counted_is_refused_and_never_0(make, reason):
    network = make()
    with pytest.raises(NotApplicable, match=reason):
        count_flops(network, (3, 8, 8))
    found = rank([network, nn.ReLU()], "flops", (3, 8, 8), images="noise", seeds=1, batch_size=2)
    assert found["status"].tolist() == ["ok", "not_applicable"], "nothing is 0 of no weights"
    assert found["score"][0] == 0
    assert reason in found["reason"][1]


def test_norms_and_interpolations_are_no_products():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.utils.parametrizations.weight_norm(nn.Linear(192, 5))

        def forward(self, x):
            large = functional.interpolate(x, scale_factor=2, mode="bilinear")
            small = functional.adaptive_avg_pool2d(large, 8)
            return self.layer(functional.normalize(small.flatten(1)))

    assert count_flops(Plain(), (3, 8, 8)) == 192 * 5


def test_buffers_that_evaluation_changes_are_as_before():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 3)
            self.register_buffer("calls", torch.zeros(2))

        def forward(self, x):
            self.calls += 1
            return self.layer(x)

    network = Counts()
    count_flops(network, (3, 8, 8))
    assert network.calls.tolist() == [0, 0]


def test_operations_that_are_written_out_are_counted_the_same():
    """Every product of `transformer`, one after the other."""
    network = transformer().eval()
    total = 0

    def product(a, b):
        nonlocal total
        total += a.shape[:-1].numel() * a.shape[-1] * b.shape[-1]
        return a @ b

    with torch.no_grad():
        images = torch.randn(1, 3, 8, 8)
        pieces = images.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).flatten(3)
        x = product(pieces.flatten(1, 2), network.patch.weight.flatten(1).T) + network.patch.bias
        for block in network.blocks.layers:
            three = product(x, block.self_attn.in_proj_weight.T) + block.self_attn.in_proj_bias
            q, k, v = three.unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
            seen = product((product(q, k.mT) / 2).softmax(-1), v).transpose(1, 2).flatten(2)
            out = block.self_attn.out_proj
            x = block.norm1(x + product(seen, out.weight.T) + out.bias)
            hidden = functional.gelu(product(x, block.linear1.weight.T) + block.linear1.bias)
            x = block.norm2(x + product(hidden, block.linear2.weight.T) + block.linear2.bias)
        logits = product(x.mean(1), network.head.weight.T) + network.head.bias
        assert torch.allclose(logits, network(images), atol=1e-5)
    assert count_flops(network, (3, 8, 8)) == total


@pytest.mark.filterwarnings("ignore:.*spectral_norm.* is deprecated")
@pytest.mark.parametrize(
    ("compute", "layer"),
    [
        (parametrizations.spectral_norm, 0),
        (nn.utils.spectral_norm, 0),
        (parametrizations.orthogonal, 4),
    ],
)
def test_what_computes_weights_does_not_count(compute, layer):
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    )
    expected = 8 * 27 * 14**2 + 8 * 10
    assert count_flops(network, (3, 16, 16)) == expected
    compute(network[layer])
    before = {name: one.tolist() for name, one in network.state_dict().items()}
    assert count_flops(network, (3, 16, 16)) == expected
    assert {name: one.tolist() for name, one in network.state_dict().items()} == before


def test_a_layer_used_twice_counts_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1, bias=False)

        def forward(self, x):
            return self.layer(self.layer(x))

    assert count_flops(Twice(), (3, 4, 4)) == 2 * 9 * 16


class Fails(nn.Module):
    def forward(self, x):
        raise ValueError("mine")


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(fails):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.ReLU())
    network[2].eval()  # a module in the other mode
    if fails:
        network.append(Fails())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    if fails:
        with pytest.raises(ValueError, match="mine"):
            count_flops(network, (3, 8, 8))
    else:
        count_flops(network, (3, 8, 8))
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert [module.training for module in network] == [True, True, False, *[True] * (1 + fails)]
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


class Branches(nn.Module):
    """Two branches of which the first is kept while the second runs."""

    def __init__(self, inplace=False):
        super().__init__()
        self.wide, self.thin = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 2, 1)
        self.narrowing = nn.Conv2d(8, 2, 1)
        self.rectifier = nn.ReLU(inplace)

    def forward(self, images):
        first = self.thin(images)
        second = self.rectifier(self.wide(images))
        second = self.narrowing(second)
        return torch.cat([first, second], 1).view(len(images), -1)[:, :10]


@pytest.mark.parametrize(
    ("network", "channels"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 4, 1)), 3 + 8 + 4),
        (nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1)), 3 + 8 + 8),
        (nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(inplace=True)), 3 + 8),
        (nn.Sequential(nn.Flatten(), nn.Identity(), nn.Unflatten(1, (3, 36))), 3),
        (Branches(), 3 + 2 + 8 + 8),
        (Branches(inplace=True), 3 + 2 + 8 + 2),
        (Branches().half(), (3 + 2 + 8 + 8) / 2),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Dropout2d()), 3 + 3),
    ],
)
def test_peak_memory_is_that_of_the_tensors_alive(network, channels):
    before = {name: one.clone() for name, one in network.state_dict().items()}
    for _ in range(2):
        assert peak_memory(network, (3, 6, 6)) == 4 * 36 * channels
    assert network.training
    assert all(torch.equal(one, before[name]) for name, one in network.state_dict().items())


def test_memory_of_a_graph_is_at_most_what_pytorch_needs():
    space = get_space("nasbench201")
    for index in (5, 1462, 7001):
        graph = space.graph(space[index], 10)
        assert 4 * graph.memory((3, 32, 32)) <= peak_memory(GraphNetwork(graph), (3, 32, 32))

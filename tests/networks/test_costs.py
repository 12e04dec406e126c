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

from untrained.networks.costs import count_flops, count_parameters

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

"""The network of a genotype against a slow one, its costs against published and closed forms."""

import numpy as np
import pytest
import torch
from tests.networks.slow import Layers, benchmark_flops, part_of, shaken
from tests.networks.slow_cells import slow_features
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.networks.costs import count_parameters
from untrained.networks.darts import CIFAR10, IMAGENET, Skeleton, add_operation, network_graph
from untrained.networks.graph import Builder, FactorisedReduction
from untrained.networks.network import GraphNetwork
from untrained.spaces import get_space
from untrained.spaces.genotypes import OPERATIONS, Genotype, parse_genotype


def some(count, seed=0):
    rng, space = np.random.default_rng(seed), get_space("darts")
    return [parse_genotype(space.sample(rng).spelling) for _ in range(count)]


# --- costs


def test_parameters_are_the_published_ones():
    """The authors' code prints 3.349342 million, without the auxiliary head."""
    assert network_graph(parse_genotype("DARTS_V2"), 10).parameters == 3_349_342
    pc_darts = network_graph(parse_genotype("PC_DARTS_cifar"), 10)
    assert round(pc_darts.parameters / 1e6, 1) == 3.6  # Xu et al. 2020, table 1


def test_costs_on_imagenet_are_those_of_an_independent_implementation():
    """Both numbers are those of `pytorchcv.models.darts`; the paper prints 4.7 M and 574 M."""
    graph = network_graph(parse_genotype("DARTS_V2"), 1000, IMAGENET)
    assert graph.parameters == 4_718_752
    assert graph.flops((3, 224, 224)) == 529_912_552


def cell_costs(edges, channels, positions, *, reduces):
    """Return parameters and multiply-adds of the eight edges; `positions` are the output's."""
    parameters = flops = 0
    for operation, source in edges:
        size = int(operation[-1]) if "conv" in operation else 0
        halves = reduces and source < 2
        if operation.startswith("sep"):
            weights = 2 * (size**2 * channels + channels**2)
            norms = 2
        elif operation.startswith("dil"):
            weights, norms = size**2 * channels + channels**2, 1
        elif operation == "skip_connect" and halves:
            weights, norms = channels**2, 1
        else:
            weights = norms = 0
        parameters += weights + 2 * norms * channels
        flops += weights * positions
    return parameters, flops


def slow_costs(genotype, classes, cells, first, side, stem):
    """Return the costs by the description, layer by layer, as sums of products."""
    channels, at = first, side * side
    if stem == "cifar":
        parameters, flops = 27 * 3 * first + 2 * 3 * first, 27 * 3 * first * at
        inputs = [3 * first, 3 * first]
    else:
        half, at = first // 2, side * side // 64
        parameters = 27 * half + 2 * half + 9 * half * first + 2 * first + 9 * first**2 + 2 * first
        flops = 27 * half * 16 * at + 9 * half * first * 4 * at + 9 * first**2 * at
        inputs = [first, first]
    for position in range(cells):
        reduces = position in (cells // 3, 2 * cells // 3)
        before = at
        if reduces:
            channels, at = 2 * channels, at // 4
        for width in inputs:  # 1x1 convolutions at the resolution before the cell
            parameters += width * channels + 2 * channels
            flops += width * channels * before
        edges = genotype.reduce if reduces else genotype.normal
        own = cell_costs(edges, channels, at, reduces=reduces)
        # an edge between inner nodes of a reduction cell has the resolution after the cell
        parameters, flops = parameters + own[0], flops + own[1]
        inputs = [inputs[1], 4 * channels]
    last = 4 * channels * classes + classes
    return parameters + last, flops + last


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_costs_are_those_of_the_closed_form(stem):
    rng = np.random.default_rng(4)
    for genotype in [*some(6, seed=6), parse_genotype("DARTS_V1")]:
        cells, channels = int(rng.integers(3, 9)), 2 * int(rng.integers(1, 6))
        side = 32 if stem == "cifar" else 64
        graph = network_graph(genotype, 7, Skeleton(cells, channels, stem))
        expected = slow_costs(genotype, 7, cells, channels, side, stem)
        assert (graph.parameters, graph.flops((3, side, side))) == expected
        network = GraphNetwork(graph)
        assert (count_parameters(network), benchmark_flops(network, (3, side, side))) == expected


def test_the_auxiliary_head_is_no_part_of_the_costs_of_inference():
    genotype = parse_genotype("DARTS_V2")
    plain, both = (network_graph(genotype, 10, auxiliary=which) for which in (False, True))
    wide = 4 * 4 * 36
    head = wide * 128 + 2 * 128 + 128 * 768 * 4 + 2 * 768 + 768 * 10 + 10
    assert both.parameters - plain.parameters == head
    assert both.flops((3, 32, 32)) == plain.flops((3, 32, 32))


# --- what is computed


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("number", range(4))
def test_a_forward_pass_follows_the_definition(number, stem):
    genotype, skeleton = some(4, seed=8)[number], Skeleton(3 + number, 4, stem)
    network = shaken(GraphNetwork(network_graph(genotype, 5, skeleton)), number)
    side = 16 if stem == "cifar" else 64
    x = torch.randn(3, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        layers = Layers(network)
        expected = layers.classified(slow_features(layers, x, genotype, skeleton)[0])
        assert torch.allclose(network(x), expected, rtol=1e-8, atol=1e-8)


def test_the_random_genotypes_hold_every_operation_in_both_cells():
    for kind in ("normal", "reduce"):
        found = {operation for one in some(4, seed=8) for operation, _ in getattr(one, kind)}
        assert found == set(OPERATIONS)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("operation", ["none", *OPERATIONS])
def test_operations_keep_the_channels_and_divide_the_resolution(operation, stride):
    def add(builder, source):
        target = builder.node()
        add_operation(builder, operation, source, target, 4, stride)
        return target

    output = part_of(4, add)(torch.randn(2, 4, 8, 8, dtype=torch.float64))
    assert output.shape == (2, 4, 8 // stride, 8 // stride)
    assert bool(output.any()) == (operation != "none")


def test_an_operation_that_does_not_exist_is_a_bug():
    with pytest.raises(ValueError, match="conv_7x7"):
        add_operation(Builder(), "conv_7x7", 0, 1, 4, 1)


@pytest.mark.parametrize(("stem", "shown", "side"), [("cifar", 32, 32), ("imagenet", 64, 8)])
def test_stems_keep_or_divide_the_resolution(stem, shown, side):
    graph = network_graph(some(1)[0], 3, Skeleton(3, 4, stem))
    shapes = graph.shapes((3, shown, shown))
    assert [shapes[number] for number, node in enumerate(graph.nodes) if node.concatenated] == [
        (16, side, side),
        (32, side // 2, side // 2),
        (64, side // 4, side // 4),
    ]


def test_the_papers_reduce_after_a_third_and_two_thirds():
    assert Skeleton(20, 36, "cifar") == CIFAR10
    assert Skeleton(14, 48, "imagenet") == IMAGENET
    assert (CIFAR10.reductions, IMAGENET.reductions) == ((6, 13), (4, 9))


@pytest.mark.parametrize(
    ("settings", "message"),
    [((2, 4), "^2 cells: 3 or more"), ((3, 5), "^5 channels: an even number"), ((3, 0), "^0 ch")],
)
def test_a_skeleton_that_cannot_be_built_is_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        Skeleton(*settings)


def test_the_space_builds_the_network_of_the_papers():
    space = get_space("darts")
    network = space.network(space.parse("DARTS_V2"), 10)
    assert count_parameters(network) == 3_349_342
    assert all(module.training for module in network.modules())
    assert network.drop_path == 0


# --- the auxiliary head


def auxiliary_network(stem="cifar", cells=3, auxiliary=True):
    graph = network_graph(some(1)[0], 3, Skeleton(cells, 4, stem), auxiliary=auxiliary)
    return shaken(GraphNetwork(graph), 0)


def slow_head(layers, x, linear, stem):
    """Pool 8x8 positions on CIFAR-10 or 7x7 on ImageNet to 2x2, and classify them."""
    x = functional.avg_pool2d(x.clamp(min=0), 5, 3 if stem == "cifar" else 2)
    x = layers.normalised(layers.convolved(x, 128, 1)).clamp(min=0)
    assert x.shape[2:] == (2, 2)
    x = torch.einsum("nchw,kchw->nk", x, layers.left.pop(0).weight)[:, :, None, None]
    x = layers.normalised(x) if stem == "cifar" else x
    return x.clamp(min=0).flatten(1) @ linear.weight.T + linear.bias


@pytest.mark.parametrize(("stem", "side"), [("cifar", 32), ("imagenet", 224)])
def test_the_auxiliary_head_reads_the_second_reduction_cell(stem, side):
    network, skeleton = auxiliary_network(stem, 4), Skeleton(4, 4, stem)
    x = torch.randn(3, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        logits, found = network.logits_of_both(x)
        assert torch.equal(logits, network(x))
        layers = Layers(network)
        middle = slow_features(layers, x, some(1)[0], skeleton)[1]
        expected = slow_head(layers, middle, network.connections[-1][-1], stem)
    assert not layers.left
    assert torch.allclose(found, expected, rtol=1e-8, atol=1e-8)


def test_without_a_head_there_is_one_logit():
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    assert auxiliary_network(auxiliary=False).logits_of_both(x)[1] is None


@pytest.mark.parametrize("side", [16, 64])
def test_images_of_another_size_are_refused_by_the_head(side):
    said = f"^the auxiliary head does not take images of {side}x{side}: train without it$"
    with pytest.raises(ParameterError, match=said):
        auxiliary_network().logits_of_both(torch.randn(2, 3, side, side, dtype=torch.float64))


# --- dropped edges


def dropping(network, x, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        return network(x)


def test_dropped_edges_are_those_of_the_mask():
    """An image's edge is dropped or divided by the probability of keeping it."""
    normal = (("skip_connect", 0), ("sep_conv_3x3", 1)) * 4  # identities are never dropped
    reduce = (("skip_connect", 0), ("max_pool_3x3", 1), *normal[2:])
    genotype, skeleton = Genotype(normal, reduce), Skeleton(3, 4)
    network = shaken(GraphNetwork(network_graph(genotype, 5, skeleton)), 0)
    network.drop_path = 0.4
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    torch.manual_seed(1)
    kept = (torch.rand(3, 8, 3, 1, 1, 1) < 0.6).double() / 0.6
    layers = Layers(network)
    with torch.no_grad():
        expected = layers.classified(slow_features(layers, x, genotype, skeleton, kept)[0])
    assert torch.allclose(dropping(network, x, 1), expected, rtol=1e-8, atol=1e-8)


def test_masks_have_the_probability_and_the_mean_one():
    network = auxiliary_network(auxiliary=False)
    network.drop_path = 0.3
    torch.manual_seed(0)
    masks = network._kept(torch.empty(2000, 3, 8, 8))
    assert masks.shape == (3, 8, 2000, 1, 1, 1)
    assert set(masks.unique().tolist()) == {0.0, masks.max().item()}
    assert masks.max().item() == pytest.approx(1 / 0.7)
    assert (masks == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    # each edge of each image is drawn by itself
    assert abs(torch.corrcoef((masks.reshape(24, -1) == 0).float()).fill_diagonal_(0)).max() < 0.1


def test_edges_are_dropped_while_training_only_and_as_the_generator_says():
    network = auxiliary_network(auxiliary=False)
    x = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    plain = dropping(network, x, 0)
    network.drop_path = 0.5
    assert torch.equal(dropping(network, x, 1), dropping(network, x, 1))
    assert not torch.equal(dropping(network, x, 1), dropping(network, x, 2))
    assert not torch.equal(dropping(network, x, 1), plain)
    network.eval()
    assert torch.equal(dropping(network, x, 1), dropping(network, x, 2))


def factorised(inputs, outputs):
    return part_of(
        inputs,
        lambda builder, source: builder.edge(source, None, FactorisedReduction(inputs, outputs)),
    )


def test_a_factorised_reduction_reads_even_and_odd_pixels():
    network = factorised(1, 2)
    for row, column in np.ndindex(4, 4):
        x = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
        x[0, 0, row, column] = 1
        even, odd = (network(x)[0, :, row // 2, column // 2] != 0).tolist()
        assert (even, odd) == (row % 2 == column % 2 == 0, row % 2 == column % 2 == 1)


@pytest.mark.parametrize(("height", "width"), [(3, 3), (5, 4), (4, 7), (6, 6)])
def test_a_factorised_reduction_of_an_odd_size_reads_zeros_beyond_it(height, width):
    network = factorised(3, 4)
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    output = network(x)
    assert output.shape == (2, 4, -(-height // 2), -(-width // 2))
    assert torch.allclose(output, Layers(network).factorised(x, 4))

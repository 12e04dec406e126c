"""The network of a genotype against a slow one, its costs against published and closed forms."""

import numpy as np
import pytest
import torch
from tests.networks.slow import convolved, factorised, normalised, pooled, shaken
from torch import nn

from untrained.errors import ParameterError
from untrained.networks.costs import count_flops, count_parameters
from untrained.networks.darts import (
    CIFAR10,
    IMAGENET,
    Cell,
    DartsNetwork,
    FactorisedReduction,
    Skeleton,
    operation_module,
)
from untrained.spaces import get_space
from untrained.spaces.genotypes import OPERATIONS, Genotype, parse_genotype


def some(count, seed=0):
    rng, space = np.random.default_rng(seed), get_space("darts")
    return [parse_genotype(space.sample(rng).spelling) for _ in range(count)]


# --- costs


def test_parameters_are_the_published_ones():
    """The authors' code prints 3.349342 million, without the auxiliary head."""
    assert count_parameters(DartsNetwork(parse_genotype("DARTS_V2"), 10)) == 3_349_342
    pc_darts = count_parameters(DartsNetwork(parse_genotype("PC_DARTS_cifar"), 10))
    assert round(pc_darts / 1e6, 1) == 3.6  # Xu et al. 2020, table 1


def test_costs_on_imagenet_are_those_of_an_independent_implementation():
    """Both numbers are those of `pytorchcv.models.darts`; the paper prints 4.7 M and 574 M."""
    network = DartsNetwork(parse_genotype("DARTS_V2"), 1000, IMAGENET)
    assert count_parameters(network) == 4_718_752
    assert count_flops(network, (3, 224, 224)) == 529_912_552


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
        network = DartsNetwork(genotype, 7, Skeleton(cells, channels, stem))
        expected = slow_costs(genotype, 7, cells, channels, side, stem)
        assert (count_parameters(network), count_flops(network, (3, side, side))) == expected


def test_the_auxiliary_head_is_no_part_of_the_costs_of_inference():
    genotype = parse_genotype("DARTS_V2")
    plain, both = (DartsNetwork(genotype, 10, auxiliary=which) for which in (False, True))
    wide = 4 * 4 * 36
    head = wide * 128 + 2 * 128 + 128 * 768 * 4 + 2 * 768 + 768 * 10 + 10
    assert count_parameters(both) - count_parameters(plain) == head
    assert count_flops(both, (3, 32, 32)) == count_flops(plain, (3, 32, 32))


# --- what is computed


def slow_operation(x, operation, module, stride):
    kind, *_, last = operation.split("_")
    if operation == "skip_connect":
        return x if stride == 1 else factorised(x, module)
    if kind in ("max", "avg"):
        return pooled(x, kind, stride)
    for repeat in range(1 if kind == "dil" else 2):
        filters, mixing, norm = module[4 * repeat + 1 : 4 * repeat + 4]
        assert filters.groups == x.shape[1]
        assert (filters.kernel_size, filters.dilation) == (
            (int(last[0]),) * 2,
            (2 if kind == "dil" else 1,) * 2,
        )
        x = convolved(x.clamp(min=0), filters, stride if repeat == 0 else 1)
        x = normalised(convolved(x, mixing), norm)
    return x


def slow_cell(earlier, last, cell, edges, *, reduces):
    first, second = cell.preprocess
    if earlier.shape[-1] != last.shape[-1]:
        earlier = factorised(earlier, first)
    else:
        earlier = normalised(convolved(earlier.clamp(min=0), first[1]), first[2])
    nodes = [earlier, normalised(convolved(last.clamp(min=0), second[1]), second[2])]
    for node in range(4):
        total = 0
        for at in (2 * node, 2 * node + 1):
            operation, source = edges[at]
            stride = 2 if reduces and source < 2 else 1
            total = total + slow_operation(nodes[source], operation, cell.operations[at], stride)
        nodes.append(total)
    return torch.cat(nodes[2:], 1)


def slow_forward(network, x, genotype, cells):
    """Return the logits of the classifier, and the input of the auxiliary head."""
    if len(network.stem) == 1:
        earlier = last = network.stem[0](x)
    else:
        earlier = network.stem[0](x)
        last = network.stem[1](earlier)
    for position in range(cells):
        reduces = position in (cells // 3, 2 * cells // 3)
        edges = genotype.reduce if reduces else genotype.normal
        output = slow_cell(earlier, last, network.cells[position], edges, reduces=reduces)
        earlier, last = last, output
        if position == 2 * cells // 3:
            middle = output
    logits = last.mean((2, 3)) @ network.classifier.weight.T + network.classifier.bias
    return logits, middle


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
@pytest.mark.parametrize("number", range(4))
def test_a_forward_pass_follows_the_definition(number, stem):
    genotype = some(4, seed=8)[number]
    torch.manual_seed(number)
    cells = 3 + number
    network = shaken(DartsNetwork(genotype, 5, Skeleton(cells, 4, stem)))
    side = 16 if stem == "cifar" else 64
    x = torch.randn(3, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        expected, middle = slow_forward(network, x, genotype, cells)
        assert torch.allclose(network(x), expected, rtol=1e-8, atol=1e-8)
        assert torch.allclose(network._run(x)[1], middle, rtol=1e-8, atol=1e-8)


def test_the_random_genotypes_hold_every_operation_in_both_cells():
    for kind in ("normal", "reduce"):
        found = {operation for one in some(4, seed=8) for operation, _ in getattr(one, kind)}
        assert found == set(OPERATIONS)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("operation", ["none", *OPERATIONS])
def test_operations_keep_the_channels_and_divide_the_resolution(operation, stride):
    module = operation_module(operation, 4, stride)
    output = module(torch.randn(2, 4, 8, 8))
    assert output.shape == (2, 4, 8 // stride, 8 // stride)
    assert bool(output.any()) == (operation != "none")


def test_an_operation_that_does_not_exist_is_a_bug():
    with pytest.raises(ValueError, match="conv_7x7"):
        operation_module("conv_7x7", 4, 1)


@pytest.mark.parametrize(("stem", "shown", "side"), [("cifar", 32, 32), ("imagenet", 64, 8)])
def test_stems_keep_or_divide_the_resolution(stem, shown, side):
    network = DartsNetwork(some(1)[0], 3, Skeleton(3, 4, stem))
    shapes = []
    for cell in network.cells:
        cell.register_forward_hook(lambda _m, _i, output: shapes.append(tuple(output.shape)))
    network(torch.randn(2, 3, shown, shown))
    assert shapes == [
        (2, 16, side, side),
        (2, 32, side // 2, side // 2),
        (2, 64, side // 4, side // 4),
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


def test_both_logits_come_from_one_pass():
    genotype = parse_genotype("DARTS_V1")
    network = DartsNetwork(genotype, 6, Skeleton(4, 4), auxiliary=True)
    x = torch.randn(3, 3, 32, 32)
    logits, auxiliary = network.logits_of_both(x)
    assert logits.shape == auxiliary.shape == (3, 6)
    assert torch.equal(logits, network(x))
    # the auxiliary head reads the second reduction cell, here of four cells
    middle = network._run(x)[1]
    assert middle.shape == (3, 4 * 16, 8, 8)
    assert torch.equal(auxiliary, network.auxiliary(middle))
    auxiliary.sum().backward()
    assert network.cells[2].preprocess[0].parameters().__next__().grad is not None
    assert all(parameter.grad is None for parameter in network.cells[3].parameters())


def test_imagenet_s_head_takes_7x7_positions():
    network = DartsNetwork(some(1)[0], 3, Skeleton(3, 4, "imagenet"), auxiliary=True)
    assert network.logits_of_both(torch.randn(2, 3, 224, 224))[1].shape == (2, 3)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.auxiliary[6:])


def test_without_a_head_there_is_one_logit():
    network = DartsNetwork(some(1)[0], 3, Skeleton(3, 4))
    assert network.logits_of_both(torch.randn(2, 3, 16, 16))[1] is None


@pytest.mark.parametrize("side", [16, 64])
def test_images_of_another_size_are_refused_by_the_head(side):
    network = DartsNetwork(some(1)[0], 3, Skeleton(3, 4), auxiliary=True)
    said = f"reads 8 to 10 positions a side, and images of {side}x{side} leave {side // 4}x"
    with pytest.raises(ParameterError, match=said):
        network.logits_of_both(torch.randn(2, 3, side, side))


# --- dropped edges


def dropping(network, x, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        return network(x)


def test_dropped_edges_are_those_of_the_mask():
    """The masks divide an image whose edges are all kept by the probability, edge by edge."""
    genotype = Genotype((("skip_connect", 0), ("sep_conv_3x3", 1)) * 4, some(1)[0].reduce)
    cell = Cell(genotype, (4, 4), 4, reduces=False, after_reduction=False).double()
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64)
    kept = (torch.rand(8, 3, 1, 1, 1) < 0.5).double() / 0.5
    with torch.no_grad():
        nodes = [preprocess(x) for preprocess in cell.preprocess]
        expected = [
            # an identity is never dropped
            nodes[0] + cell.operations[at + 1](nodes[1]) * kept[at + 1]
            for at in (0, 2, 4, 6)
        ]
        assert torch.allclose(cell(x, x, kept), torch.cat(expected, 1))
        assert not torch.allclose(cell(x, x, None), torch.cat(expected, 1))


def test_masks_have_the_probability_and_the_mean_one():
    network = DartsNetwork(some(1)[0], 3, Skeleton(3, 4))
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
    network = DartsNetwork(parse_genotype("DARTS_V2"), 3, Skeleton(3, 4))
    x = torch.randn(4, 3, 16, 16)
    plain = dropping(network, x, 0)
    network.drop_path = 0.5
    assert torch.equal(dropping(network, x, 1), dropping(network, x, 1))
    assert not torch.equal(dropping(network, x, 1), dropping(network, x, 2))
    assert not torch.equal(dropping(network, x, 1), plain)
    network.eval()
    assert torch.equal(dropping(network, x, 1), dropping(network, x, 2))


def test_a_factorised_reduction_reads_even_and_odd_pixels():
    module = FactorisedReduction(1, 2).double()
    x = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    for row, column, reads in ((0, 0, 0), (1, 1, 1), (0, 1, None), (1, 0, None)):
        shown = x.clone()
        shown[0, 0, row, column] = 1
        with torch.no_grad():
            seen = [module.even(shown)[0, 0, 0, 0], module.odd(shown[:, :, 1:, 1:])[0, 0, 0, 0]]
            assert [bool(value) for value in seen] == [reads == 0, reads == 1]
        assert module(shown).shape == (2, 2, 2, 2)


@pytest.mark.parametrize(("height", "width"), [(3, 3), (5, 4), (4, 7), (6, 6)])
def test_a_factorised_reduction_of_an_odd_size_reads_zeros_beyond_it(height, width):
    module = FactorisedReduction(3, 4).double()
    x = torch.randn(2, 3, height, width, dtype=torch.float64)
    filled = torch.zeros(2, 3, height + height % 2, width + width % 2, dtype=torch.float64)
    filled[:, :, :height, :width] = x
    with torch.no_grad():
        output = module(x)
        assert output.shape == (2, 4, -(-height // 2), -(-width // 2))
        assert torch.allclose(output, factorised(filled, module))
        assert torch.equal(output, module.of_rectified(x.clamp(min=0)))

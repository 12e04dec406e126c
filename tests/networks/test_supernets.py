"""Supernets under masks, against networks of single operations and sums written out."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.networks import darts
from untrained.networks.nasbench201 import NasBench201Network
from untrained.networks.supernets import (
    DARTS_EDGES,
    DARTS_OPERATIONS,
    DartsSupernet,
    NasBench201Supernet,
)
from untrained.spaces import darts as darts_space
from untrained.spaces.base import Skeleton
from untrained.spaces.nasbench201 import EDGES, OPERATIONS

SMALL = Skeleton(channels=3, cells=1)
THIN = Skeleton(channels=1, cells=1, stages=1, stem=False)


def mask_of(operations):
    mask = np.zeros((len(EDGES), len(OPERATIONS)), bool)
    for edge, operation in enumerate(operations):
        mask[edge, OPERATIONS.index(operation)] = True
    return mask


def supernet(skeleton, seed=0):
    torch.manual_seed(seed)
    network = NasBench201Supernet(10, skeleton)
    for parameter in network.parameters():  # scales other than one, which would hide a mix-up
        torch.nn.init.uniform_(parameter, -1, 1)
    return network


def single(network, operations, skeleton):
    """Return the network of six operations, with the supernet's weights copied one by one."""
    found = NasBench201Network(
        operations,
        10,
        skeleton.channels,
        skeleton.cells,
        stages=skeleton.stages,
        stem=skeleton.stem,
    )
    found.stem.load_state_dict(network.stem.state_dict())
    found.head.load_state_dict(network.head.state_dict())
    found.classifier.load_state_dict(network.classifier.state_dict())
    for mine, its in zip(network.blocks, found.blocks, strict=True):
        if not hasattr(mine, "convolutions"):
            its.load_state_dict(mine.state_dict())
            continue
        for edge, operation in enumerate(operations):
            if "conv" in operation:
                own = mine.convolutions[edge][operation]
                its.operations[edge][1].load_state_dict(own[0].state_dict())
                its.operations[edge][2].load_state_dict(own[1].state_dict())
    return found


@pytest.mark.parametrize("skeleton", [SMALL, THIN])
@pytest.mark.parametrize("seed", range(6))
def test_one_live_operation_per_edge_is_the_single_network(skeleton, seed):
    rng = np.random.default_rng(seed)
    operations = tuple(OPERATIONS[i] for i in rng.integers(1, 5, size=6))
    network = supernet(skeleton)
    network.mask = mask_of(operations)
    images = torch.randn(4, 3 if skeleton.stem else 1, 8, 8)
    expected = single(network, operations, skeleton)(images)
    torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)


def plain_cell(cell, x, mask):
    """Compute each node as a sum over edges of weighted sums over all operations, none shared."""
    nodes = [x, 0, 0, 0]
    for edge, (source, target) in enumerate(EDGES):
        weights = np.exp(np.where(mask[edge], 0.0, -1000.0))
        weights /= weights.sum()
        for number, weight in enumerate(weights):
            value, name = nodes[source], OPERATIONS[number]
            if name == "skip_connect":
                output = value
            elif name == "avg_pool_3x3":
                output = functional.avg_pool2d(value, 3, 1, 1, count_include_pad=False)
            elif name != "none":
                output = cell.convolutions[edge][name](value.clamp(min=0))
            else:
                continue
            nodes[target] = nodes[target] + weight * output
    return nodes[3]


@pytest.mark.parametrize("seed", range(5))
def test_a_cell_is_the_softmax_over_its_live_operations(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((6, 5)) < 0.6
    mask[:, 0] = False
    mask[np.arange(6), rng.integers(1, 5, size=6)] = True
    cell = supernet(SMALL, seed).double().blocks[0]
    x = torch.randn(3, 3, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(cell(x, mask), plain_cell(cell, x, mask))


def test_dead_operations_have_no_gradient():
    network = supernet(SMALL)
    operations = ("nor_conv_3x3",) * 6
    network.mask = mask_of(operations)
    network(torch.randn(4, 3, 8, 8)).sum().backward()
    convolutions = network.blocks[0].convolutions[0]
    assert convolutions["nor_conv_3x3"][0].weight.grad is not None
    assert convolutions["nor_conv_1x1"][0].weight.grad is None


def test_at_first_all_but_none_live():
    mask = supernet(THIN).mask
    assert mask.shape == (6, 5)
    assert not mask[:, 0].any()
    assert mask[:, 1:].all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((6, 5), bool), "edge 0 has 'none' alive"),
        (np.ones((5, 5), bool), r"bool \(6, 5\)"),
        (np.ones((6, 5)), r"takes bool"),
    ],
)
def test_wrong_masks_are_refused_in_one_line(mask, message):
    network = supernet(THIN)
    with pytest.raises(ParameterError, match=message) as caught:
        network.mask = mask
    assert "\n" not in str(caught.value)


def test_a_mask_is_a_copy():
    network = supernet(THIN)
    mask = mask_of(("skip_connect",) * 6)
    network.mask = mask
    mask[:] = False
    assert network.mask.sum() == 6


# --- the space of DARTS

DARTS = Skeleton(channels=1, cells=1, stages=2)
DARTS_THIN = Skeleton(channels=1, cells=1, stages=2, stem=False)


def darts_supernet(skeleton, seed=0):
    torch.manual_seed(seed)
    network = DartsSupernet(10, skeleton).double()
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    return network


def darts_mask(seed, dead_edges=0):
    """Draw one live operation on each edge of both cells, and some dead edges of nodes."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((28, 8), bool)
    mask[np.arange(28), rng.integers(1, 8, size=28)] = True
    for cell in range(2):
        for node in range(2, 5 + 1):
            own = [e for e, (_, target) in enumerate(DARTS_EDGES) if target == node]
            mask[rng.permutation(own)[:dead_edges] + 14 * cell] = False
    return mask


def darts_operation(cell, edge, name, channels, stride):
    """Return an operation of the single network, with the supernet's weights and all rectifiers."""
    module = darts.operation_module(name, channels, stride).double()
    its = list(cell.operations[edge][name].parameters())
    for mine, other in zip(module.parameters(), its, strict=True):
        mine.data.copy_(other.data)
    return module


def plain_darts_cell(cell, earlier, last, mask, channels, *, reduces):
    """Compute every edge as a softmax over all operations, each with a rectifier or pooling."""
    nodes = [cell.preprocess[0](earlier), cell.preprocess[1](last)]
    edge = 0
    for node in range(2, 6):
        total = 0
        for source in range(node):
            live = mask[edge].sum()
            for number, name in enumerate(DARTS_OPERATIONS):
                if mask[edge, number]:
                    stride = 2 if reduces and source < 2 else 1
                    operation = darts_operation(cell, edge, name, channels, stride)
                    total = total + operation(nodes[source]) / live
            edge += 1
        nodes.append(total)
    return torch.cat(nodes[2:], 1)


def plain_darts(network, x, mask):
    stem = network.stem(x)
    normal = plain_darts_cell(network.normal, stem, stem, mask[:14], 1, reduces=False)
    reduced = plain_darts_cell(network.reduce, stem, normal, mask[14:], 2, reduces=True)
    pooled = network.head[0](reduced).clamp(min=0).mean((2, 3))
    return pooled @ network.classifier.weight.T + network.classifier.bias


@pytest.mark.parametrize("side", [8, 3])
@pytest.mark.parametrize("skeleton", [DARTS, DARTS_THIN])
@pytest.mark.parametrize("seed", range(4))
def test_one_live_operation_per_edge_is_the_single_darts_network(skeleton, seed, side):
    network = darts_supernet(skeleton, seed)
    network.mask = darts_mask(seed)
    x = torch.randn(5, 3 if skeleton.stem else 1, side, side, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), plain_darts(network, x, network.mask))


@pytest.mark.parametrize("seed", range(4))
def test_a_darts_supernet_is_the_mean_over_live_operations(seed):
    rng = np.random.default_rng(seed)
    mask = darts_mask(seed) | (rng.random((28, 8)) < 0.4)
    mask[:, 0] = False
    network = darts_supernet(DARTS, seed)
    network.mask = mask
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), plain_darts(network, x, mask))


def test_at_first_all_operations_of_darts_but_none_live():
    network = darts_supernet(DARTS_THIN)
    assert network.mask.shape == (28, 8)
    assert (network.mask.sum(axis=1) == 7).all()
    x = torch.randn(4, 1, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), plain_darts(network, x, network.mask))


@pytest.mark.parametrize("reduces", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_two_edges_per_node_are_the_cell_of_the_genotype(seed, reduces):
    """The cell of the genotype is another module, with another order of operations and edges."""
    rng, space = np.random.default_rng(seed), darts_space.Darts()
    genotype = darts_space.parse_genotype(space.sample(rng).spelling)
    edges = genotype.reduce if reduces else genotype.normal
    network = darts_supernet(Skeleton(channels=2, cells=1, stages=2), seed)
    mine = network.reduce if reduces else network.normal
    channels, inputs = (4, (2, 8)) if reduces else (2, (2, 2))
    single = darts.Cell(genotype, inputs, channels, reduces=reduces, after_reduction=False).double()
    single.preprocess.load_state_dict(mine.preprocess.state_dict())
    mask = np.zeros((14, 8), bool)
    for position, (name, source) in enumerate(edges):
        at = DARTS_EDGES.index((source, 2 + position // 2))
        mask[at, DARTS_OPERATIONS.index(name)] = True
        stride = 2 if reduces and source < 2 else 1
        single.operations[position] = darts_operation(mine, at, name, channels, stride)
    earlier, last = (torch.randn(3, width, 8, 8, dtype=torch.float64) for width in inputs)
    with torch.no_grad():
        torch.testing.assert_close(mine(earlier, last, mask), single(earlier, last))


@pytest.mark.parametrize("seed", range(3))
def test_an_edge_without_a_live_operation_is_not_there(seed):
    network = darts_supernet(DARTS, seed)
    network.mask = mask = darts_mask(seed, dead_edges=1)
    assert (~mask.any(axis=1)).sum() == 8
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), plain_darts(network, x, mask))


def test_what_leaves_a_node_of_darts_is_rectified_and_pooled_once(monkeypatch):
    network = darts_supernet(DARTS)
    counts = {"relu": 0, "max_pool2d": 0, "avg_pool2d": 0}
    for name in counts:
        plain = getattr(functional, name)

        def counted(*args, name=name, plain=plain, **kwargs):
            counts[name] += 1
            return plain(*args, **kwargs)

        monkeypatch.setattr(functional, name, counted)
    network(torch.randn(2, 3, 8, 8, dtype=torch.float64))
    # a cell has 5 nodes that others read, 2 inputs, 2 * 14 separable convolutions; then the head
    assert counts["relu"] == 2 * (5 + 2 + 28) + 1
    # no other node reads the last one
    assert counts["max_pool2d"] == counts["avg_pool2d"] == 2 * 5


def test_a_darts_supernet_has_as_many_parameters_as_its_parts():
    """A node has c channels; classifier and stem are those of ten classes."""

    def cell(inputs, c, reduces):
        total = sum(width * c + 2 * c for width in inputs)
        for source, _ in DARTS_EDGES:
            for size in (3, 5):
                total += 3 * (size**2 * c + c**2 + 2 * c)  # twice separable, once dilated
            total += c**2 + 2 * c if reduces and source < 2 else 0
        return total

    for channels in (1, 3):
        network = DartsSupernet(10, Skeleton(channels=channels, cells=1, stages=2))
        wide = 8 * channels
        expected = 27 * channels + 2 * channels
        expected += cell((channels, channels), channels, False)
        expected += cell((channels, 4 * channels), 2 * channels, True)
        expected += 2 * wide + 10 * wide + 10
        assert sum(p.numel() for p in network.parameters()) == expected


def lonely():
    mask = DartsSupernet.full_mask()
    mask[14 + 2 : 14 + 5] = False  # node 3 of the second cell
    return mask


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((28, 8), bool), "edge 0 has 'none' alive"),
        (np.zeros((14, 8), bool), r"DartsSupernet takes bool \(28, 8\)"),
        (lonely(), "node 3 of the reduction cell has no live operation"),
    ],
)
def test_wrong_masks_of_darts_are_refused_in_one_line(mask, message):
    with pytest.raises(ParameterError, match=message) as caught:
        darts_supernet(DARTS_THIN).mask = mask
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sizes", [(2, 2), (1, 3)])
def test_a_darts_supernet_has_two_cells(sizes):
    with pytest.raises(ParameterError, match="1 cell in each of 2 stages"):
        DartsSupernet(10, Skeleton(1, *sizes))

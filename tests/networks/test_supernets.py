"""Supernets under masks, against networks of single operations and sums written out."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.networks.nasbench201 import NasBench201Network
from untrained.networks.supernets import NasBench201Supernet
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
    for parameter in network.parameters():  # scales of one would hide that they are mixed up
        torch.nn.init.uniform_(parameter, -1, 1)
    return network


def single(network, operations, skeleton):
    """The network of six operations, with the supernet's weights copied one by one."""
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
    """Each node the sum over its edges of a weighted sum over all operations, none shared."""
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

"""The plan against the module: the same tensors are read, equally often."""

import numpy as np
import pytest
import torch
from tests.networks.rectifier_codes import (
    codes_of_plan,
    fingerprints,
    module_reads,
    plan_reads,
    shaken,
)
from torch import nn

from untrained.networks.fused import average_pool
from untrained.networks.nasbench201 import NasBench201Network
from untrained.networks.nasbench201_plan import compile_cell
from untrained.proxies.agreements import agreements_of
from untrained.seeds import torch_seeded
from untrained.spaces.cell_classes import live_edges


def small(operations, seed):
    """Return a network of one cell per stage in double precision, with non-neutral normalisations.

    Their biases are zero, as before training: the plan relies on that.
    """
    torch.manual_seed(seed)
    network = NasBench201Network(operations, 2, channels=3, cells=1)
    return shaken(network, seed, shifts=False)


IMAGES = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 8, 8)))


@pytest.mark.parametrize("dead_branches", [False, True])
def test_the_plan_reads_what_the_module_reads(all_operations, dead_branches):
    rng = np.random.default_rng(0)
    disconnected = [i for i, cell in enumerate(all_operations) if not live_edges(cell)]
    chosen = [*rng.choice(len(all_operations), 60, replace=False), *rng.choice(disconnected, 10)]
    for index in chosen:
        network = small(all_operations[index], int(index))
        expected = module_reads(network, IMAGES, dead_branches)
        found = plan_reads(network, IMAGES, dead_branches)
        assert len(found) == len(expected), index
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-7), index


def test_a_pass_with_dead_branches_tells_the_live_ones_too(all_operations):
    rng = np.random.default_rng(2)
    for index in rng.choice(len(all_operations), 40, replace=False):
        network = small(all_operations[index], int(index))
        live = fingerprints(codes_of_plan(network, IMAGES, True, "rectifiers"))
        expected = plan_reads(network, IMAGES, dead_branches=False)
        assert live == pytest.approx(expected, abs=1e-9), index


def test_weights_and_statistics_are_only_read(all_operations):
    network = small(all_operations[1462], 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plan_reads(network, IMAGES, dead_branches=True)
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_dead_edges_and_copies_are_not_executed():
    conv, skip, none = "nor_conv_3x3", "skip_connect", "none"
    # node 1 is a copy of the input, node 2 leads nowhere
    plan = compile_cell((skip, conv, none, none, conv, none))
    ((node, (edge,)),) = plan.nodes
    assert (node, edge.source, edge.operation) == (3, 0, conv)
    assert (plan.output, plan.readers) == (3, {0: 1})
    whole = compile_cell((skip, conv, none, none, conv, none), dead_branches=True)
    assert [node for node, _ in whole.nodes] == [2, 3]
    assert whole.readers == {0: 2}
    assert compile_cell((none,) * 6).output is None
    assert compile_cell((none, none, none, skip, none, none)).output == 0


@pytest.mark.parametrize("side", [2, 3, 8])
def test_pooling_leaves_the_padding_out(side):
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, side, side)))
    expected = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)(x)
    assert torch.allclose(average_pool(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("index", [0, 1462, 77, 5000])
def test_drawn_weights_are_those_that_the_module_draws(space, index):
    with torch_seeded(3, "weights", index):
        drawn = space.planned(space[index])
    with torch_seeded(3, "weights", index):
        module = space.network(space[index], 10)
    images = IMAGES.float()
    with torch.no_grad():
        own, modules = (
            [read.codes for read in network.rectifier_inputs(images, dead_branches=True)]
            for network in (drawn, module)
        )
    assert len(own) == len(modules) > 0
    assert all(torch.equal(a, b) for a, b in zip(own, modules, strict=True))


def test_weights_follow_the_type_of_the_images(space):
    network = space.planned(space[1462])
    assert list(network.rectifier_inputs(IMAGES.bfloat16(), dead_branches=False))
    assert network.stem.weight.dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("pieces", [2, 3, 16])
def test_a_batch_in_pieces_reads_the_same(space, dtype, pieces):
    images = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    torch.manual_seed(0)
    network = space.planned(space[45])
    with torch.no_grad():
        whole, cut = (
            list(network.rectifier_inputs(images, dead_branches=True, pieces=number))
            for number in (1, pieces)
        )
    assert len(whole) == len(cut) > 10
    for a, b in zip(whole, cut, strict=True):
        assert a[1:] == b[1:]
        different = (a.codes != b.codes).double().mean()
        # a convolution of fewer images may round differently
        assert different < {torch.bfloat16: 5e-2}.get(dtype, 2e-3)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_loops_read_what_double_precision_reads(space, precision):
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for index in (1462, 45, 7, 10525, 9930):
        torch.manual_seed(index)
        network = space.planned(space[index])
        with torch.no_grad():
            exact, loops = (
                list(network.rectifier_inputs(images.to(dtype), dead_branches=True))
                for dtype in (torch.float64, precision)
            )
        for a, b in zip(exact, loops, strict=True):
            assert (b.codes.dtype, a.codes.dtype) == (torch.uint8, torch.int8)
            assert a[1:] == b[1:]
            units = a.codes.shape[1]
            away = (agreements_of(a.codes) - agreements_of(b.codes)).abs().max() / units
            assert away < {torch.float32: 1e-3, torch.bfloat16: 6e-2}[precision]

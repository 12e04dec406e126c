"""The plan against the module: the same tensors are read, in the same order."""

import pytest
import torch
from tests.networks.rectifier_codes import codes_of_module, codes_of_plan, shaken

from untrained.networks.anynet import AnyNet
from untrained.proxies.agreements import agreements_of
from untrained.spaces.nds_networks import StagedNetwork

BOTTLENECK = "res_bottleneck_block"
#: Stages with and without a stride, of equal and different widths, so that there are shortcuts of
#: each kind; groups of 1, of as many as there are channels, and of 3 or 5 channels.
NETWORKS = [
    StagedNetwork("vanilla_block", (2, 1, 2), (8, 8, 13), (1, 2, 2)),
    StagedNetwork("res_basic_block", (2, 1, 2), (6, 6, 9), (1, 1, 2)),
    StagedNetwork("res_basic_block", (1, 2), (16, 16), (2, 1)),
    StagedNetwork(BOTTLENECK, (2, 1, 2), (12, 12, 20), (1, 1, 2), (0.5, 0.25, 2), (2, 1, 8)),
    StagedNetwork(BOTTLENECK, (1, 2), (10, 30), (2, 1), (1.5, 1), (5, 6)),
    StagedNetwork(BOTTLENECK, (2,), (9,), (1,), (1 / 3,), (3,)),
]


def images_of(count=3, side=16, seed=5):
    return torch.randn(
        *(count, 3, side, side),
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )


@pytest.mark.parametrize("dead_branches", [False, True])
@pytest.mark.parametrize("stem", ["cifar", "half", "quarter"])
@pytest.mark.parametrize("number", range(len(NETWORKS)))
def test_the_plan_reads_what_the_module_reads(number, stem, dead_branches):
    given = NETWORKS[number]
    network = shaken(AnyNet(given, 2, stem, 6 if number % 2 else given.widths[0]), number)
    expected = codes_of_module(network, images_of(), dead_branches)
    found = codes_of_plan(network, images_of(), dead_branches)
    each = 3 if given.block == BOTTLENECK else 2
    assert len(found) == len(expected) == 1 + each * sum(given.depths)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
        assert 0 < one.double().mean() < 1


@pytest.mark.parametrize("pieces", [2, 3])
@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_batch_in_pieces_reads_the_same(number, pieces):
    network = shaken(AnyNet(NETWORKS[number], 2, "quarter", 6), number)
    whole = codes_of_plan(network, images_of(6), False)
    cut = codes_of_plan(network, images_of(6), False, pieces=pieces)
    assert len(whole) > 8
    assert all(torch.equal(one, other) for one, other in zip(whole, cut, strict=True))


def test_weights_and_statistics_are_only_read():
    network = shaken(AnyNet(NETWORKS[3], 2, "quarter", 6), 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    codes_of_plan(network, images_of(), True)
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_what_is_not_finite_stays_so(dtype):
    network = AnyNet(StagedNetwork("vanilla_block", (2,), (16,), (1,)), 2, "half", 8)
    images = images_of(side=32).to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert all(one.finite for one in network.rectifier_inputs(images, dead_branches=False))
        # one channel; NaN must stay NaN when it is rectified
        network.blocks[0][0].weight[0] = torch.nan
        first, *later = network.rectifier_inputs(images, dead_branches=False)
    assert first.finite
    assert len(later) == 4
    assert not any(one.finite for one in later)


#: Stages as NDS draws them: widths that are no power of two, the last stage at 2x2 with some stems.
DRAWN = [
    StagedNetwork("vanilla_block", (1, 2, 1), (24, 40, 64), (1, 2, 2)),
    StagedNetwork("res_basic_block", (2, 1, 2), (16, 72, 152), (1, 2, 2)),
    StagedNetwork(BOTTLENECK, (2, 1, 2), (64, 128, 256), (1, 2, 2), (0.5, 0.25, 1), (4, 1, 16)),
]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("stem", ["half", "quarter"])
@pytest.mark.parametrize("number", range(len(DRAWN)))
def test_the_loops_read_what_double_precision_reads(number, stem, precision):
    torch.manual_seed(number)
    network = AnyNet(DRAWN[number], 2, stem, 12)
    images = images_of(8, 32).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        exact, found = (
            list(network.rectifier_inputs(images.to(dtype), dead_branches=True))
            for dtype in (torch.float64, precision)
        )
    assert len(exact) == len(found)
    packed = 0
    for a, b in zip(exact, found, strict=True):
        assert a[1:] == b[1:]
        packed += b.codes.dtype == torch.uint8
        away = (agreements_of(a.codes) - agreements_of(b.codes)).abs().max()
        assert away / a.codes.shape[1] < {torch.float32: 2e-3, torch.bfloat16: 0.06}[precision]
    assert packed

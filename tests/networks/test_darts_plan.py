"""The plan against the module: what its rectifiers read, counted as they count."""

import numpy as np
import pytest
import torch
from tests.benchmarks.nds_files import network_of, some_entries
from tests.networks.rectifier_codes import codes_of_module, codes_of_plan, shaken
from torch import nn

from untrained.networks.darts import DartsNetwork, Skeleton
from untrained.networks.nds import scored_network
from untrained.proxies.agreements import agreements_of
from untrained.spaces import get_space
from untrained.spaces.darts import parse_genotype
from untrained.spaces.nds_networks import OPERATIONS, CellNetwork, parse_network

CELLS = [network_of(entry["net"]) for entry in some_entries() if "genotype" in entry["net"]]


def random_cell(rng):
    """Any operations and inputs, `none` often, so that parts of a network are dead or constant."""
    nodes = int(rng.integers(1, 5))
    operations = (*OPERATIONS, *["none"] * 12, *["skip_connect"] * 3)
    edges = tuple(
        (str(rng.choice(operations)), int(rng.integers(0, 2 + position // 2)))
        for position in range(2 * nodes)
    )
    concat = sorted(rng.choice(np.arange(2, 2 + nodes), rng.integers(1, nodes + 1), replace=False))
    return edges, tuple(map(int, concat))


def random_network(rng):
    normal, reduce = random_cell(rng), random_cell(rng)
    return CellNetwork(
        2 * int(rng.integers(1, 4)), int(rng.integers(3, 6)), False, *normal, *reduce
    )


def images_for(imagenet, count=3):
    side = 32 if imagenet else 8
    torch.manual_seed(5)
    return torch.randn(count, 3, side, side, dtype=torch.float64)


def kernel_of(codes, images):
    """On how many units each two images agree, over all codes."""
    total = torch.zeros(len(images), len(images), dtype=torch.int64)
    for flat in codes:
        total += (flat[:, None] == flat[None]).sum(2)
    return total


def slow_kernel(network, images, dead_branches):
    return kernel_of(codes_of_module(network, images, dead_branches), images)


def planned_kernel(network, images, dead_branches, count=None, **settings):
    return kernel_of(codes_of_plan(network, images, dead_branches, count, **settings), images)


@pytest.mark.parametrize("dead_branches", [False, True])
@pytest.mark.parametrize("imagenet", [False, True])
@pytest.mark.parametrize("number", range(len(CELLS)))
def test_the_plan_reads_what_the_module_reads(number, imagenet, dead_branches):
    network = shaken(scored_network(CELLS[number], 2, imagenet=imagenet), number)
    images = images_for(imagenet)
    expected = slow_kernel(network, images, dead_branches)
    assert int(expected[0, 0]) > 1000
    assert torch.equal(planned_kernel(network, images, dead_branches), expected)


def test_dead_and_constant_parts_count_as_in_the_module():
    rng = np.random.default_rng(0)
    images, unlike = images_for(False), 0
    for number in range(60):
        # a shift makes something of zeros, which must not look like something of the images
        drawn = scored_network(random_network(rng), 2, imagenet=False)
        network = shaken(drawn, number, shifts=number % 2 == 0)
        live, everything = (slow_kernel(network, images, dead) for dead in (False, True))
        assert torch.equal(planned_kernel(network, images, False), live), number
        assert torch.equal(planned_kernel(network, images, True), everything), number
        # a pass with dead branches tells the live ones, too
        assert torch.equal(planned_kernel(network, images, True, "rectifiers"), live), number
        unlike += int(live[0, 0]) < int(everything[0, 0]) // 3
    assert unlike > 8  # networks with dead branches are among them


def test_genotypes_of_darts_have_plans():
    rng, space = np.random.default_rng(1), get_space("darts")
    images = images_for(False)
    for number in range(12):
        genotype = parse_genotype(space.sample(rng).spelling)
        network = shaken(DartsNetwork(genotype, 2, Skeleton(4, 4)), number)
        for dead_branches in (False, True):
            expected = slow_kernel(network, images, dead_branches)
            assert torch.equal(planned_kernel(network, images, dead_branches), expected)


def test_nothing_is_executed_that_no_rectifier_reads():
    """Neither the last cell's concatenation nor nodes that only it reads."""
    text = (
        "width=4 depth=3 auxiliary=0 normal=|sep_conv_3x3~0|sep_conv_3x3~1|+|conv_1x1~0|conv_1x1~1|"
        "@2,3 reduce=|conv_1x1~0|conv_1x1~1|+|conv_1x1~0|conv_3x3~1|@2,3"
    )
    network = scored_network(parse_network(text), 2, imagenet=False).double()
    calls = []
    plain = torch.nn.functional.conv2d

    def counted(*given):
        calls.append(given[1].shape)
        return plain(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("torch.nn.functional.conv2d", counted)
        list(network.rectifier_inputs(images_for(False), dead_branches=False))
    convolutions = sum(isinstance(one, nn.Conv2d) for one in network.modules())
    # the last cell reduces; its four edges end it
    assert len(calls) == convolutions - 4


@pytest.mark.parametrize("pieces", [2, 3])
def test_a_batch_in_pieces_reads_the_same(pieces):
    network = shaken(scored_network(CELLS[0], 2, imagenet=False), 0)
    images = images_for(False, 6)
    whole = planned_kernel(network, images, True)
    assert torch.equal(planned_kernel(network, images, True, pieces=pieces), whole)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_loops_read_what_double_precision_reads(precision):
    rng, space = np.random.default_rng(2), get_space("darts")
    genotypes = [parse_genotype(space.sample(rng).spelling) for _ in range(4)]
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    for genotype in genotypes:
        torch.manual_seed(0)
        network = DartsNetwork(genotype, 2, Skeleton(3, 12))
        with torch.no_grad():
            exact, found = (
                list(network.rectifier_inputs(images.to(dtype), dead_branches=True))
                for dtype in (torch.float64, precision)
            )
        assert len(exact) == len(found)
        for a, b in zip(exact, found, strict=True):
            assert a[1:] == b[1:]
            assert b.codes.dtype == torch.uint8
            away = (agreements_of(a.codes) - agreements_of(b.codes)).abs().max()
            assert away / a.codes.shape[1] < {torch.float32: 2e-3, torch.bfloat16: 6e-2}[precision]


def test_weights_and_statistics_are_only_read():
    network = shaken(scored_network(CELLS[0], 2, imagenet=False), 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    planned_kernel(network, images_for(False), True)
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_what_is_not_finite_stays_so():
    network = scored_network(CELLS[0], 2, imagenet=False).double()
    images = images_for(False)
    assert all(one.finite for one in network.rectifier_inputs(images, dead_branches=False))
    images[0, 0, 0, 0] = torch.inf
    *_, last = network.rectifier_inputs(images, dead_branches=False)
    assert not last.finite

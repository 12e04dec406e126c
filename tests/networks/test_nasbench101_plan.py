"""The plan against the module: the same tensors are read, equally often."""

import numpy as np
import pytest
import torch
from tests.networks.rectifier_codes import module_reads, plan_reads, shaken

from untrained.networks.nasbench101 import NasBench101Network
from untrained.proxies.agreements import agreements_of
from untrained.seeds import torch_seeded
from untrained.spaces import get_space
from untrained.spaces.base import Skeleton
from untrained.spaces.nasbench101 import parse_cell

SPACE = get_space("nasbench101")
IMAGES = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 3, 8, 8)))
#: Vertex 4 reads the input and three other vertices: more than the compiled loops add at once.
BUSY = (
    "010010|001010|000110|000010|000001|000000:input,conv1x1-bn-relu,maxpool3x3,"
    "conv1x1-bn-relu,conv3x3-bn-relu,output"
)
SMALL = ["01|00:input,output", "011|001|000:input,maxpool3x3,output"]


def small(cell, seed):
    """Return a network of one cell per stack in double precision, norms not neutral."""
    torch.manual_seed(seed)
    return shaken(NasBench101Network(cell, 2, Skeleton(7, 1)), seed)


def drawn_cells(count, seed=0):
    rng = np.random.default_rng(seed)
    cells = [SPACE.cell(int(index)) for index in rng.integers(len(SPACE), size=count)]
    return [*cells, *map(parse_cell, [BUSY, *SMALL])]


@pytest.mark.parametrize("dead_branches", [False, True])
def test_the_plan_reads_what_the_module_reads(dead_branches):
    for seed, cell in enumerate(drawn_cells(30)):
        network = small(cell, seed)
        expected = module_reads(network, IMAGES, dead_branches)
        found = plan_reads(network, IMAGES, dead_branches)
        assert len(found) == len(expected), cell
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-7), cell


@pytest.mark.parametrize("pieces", [2, 3])
def test_a_batch_in_pieces_reads_the_same(pieces):
    for seed, cell in enumerate(drawn_cells(12, seed=1)):
        network = small(cell, seed)
        found = plan_reads(network, IMAGES, True, pieces=pieces)
        assert found == pytest.approx(plan_reads(network, IMAGES, True), rel=1e-7, abs=1e-7), cell


def test_weights_and_statistics_are_only_read():
    network = small(parse_cell(BUSY), 0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plan_reads(network, IMAGES, dead_branches=True)
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_drawn_weights_are_those_that_the_module_draws():
    for cell in drawn_cells(6, seed=2):
        architecture = SPACE.parse(str(cell))
        with torch_seeded(3, "weights", architecture.index):
            drawn = SPACE.planned(architecture)
        with torch_seeded(3, "weights", architecture.index):
            module = SPACE.network(architecture, 10)
        images = IMAGES.float()
        with torch.no_grad():
            own, modules = (
                [read.codes for read in network.rectifier_inputs(images, dead_branches=True)]
                for network in (drawn, module)
            )
        assert len(own) == len(modules) > 0
        assert all(torch.equal(a, b) for a, b in zip(own, modules, strict=True))


def test_nothing_is_executed_for_the_logits_alone():
    # of the last cell only what rectifiers read is executed; a projection alone has no value
    nodes = SPACE.planned(SPACE.parse(SMALL[0])).graph()
    assert nodes[-1].rectifiers == 1
    assert not nodes[-1].edges
    for cell in drawn_cells(20, seed=3):
        graph = SPACE.planned(SPACE.parse(str(cell))).graph()
        assert all(node.edges or node.rectifiers for node in graph)


def test_a_network_without_a_stem_has_a_plan():
    torch.manual_seed(0)
    network = NasBench101Network(parse_cell(BUSY), 2, Skeleton(3, 2, 2, stem=False)).double()
    expected = module_reads(network, IMAGES, True)
    assert plan_reads(network, IMAGES, True) == pytest.approx(expected, rel=1e-7)


def test_what_is_not_finite_is_noticed_in_every_later_reading():
    # the last rectifier on the path from input to output does not read vertex 1
    cell = "0111|0001|0001|0000:input,conv1x1-bn-relu,conv1x1-bn-relu,output"
    network = SPACE.planned(SPACE.parse(cell))
    network.blocks[-1].projections[1].weight[0] = float("nan")
    reads = list(network.rectifier_inputs(IMAGES.float(), dead_branches=True))
    finite = [read.finite for read in reads]
    assert finite == sorted(finite, reverse=True)
    assert finite.count(False) in range(2, 6)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_loops_read_what_double_precision_reads(precision):
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    images = images.contiguous(memory_format=torch.channels_last)
    for seed, cell in enumerate(drawn_cells(6, seed=4)):
        torch.manual_seed(seed)
        network = SPACE.planned(SPACE.parse(str(cell)))
        with torch.no_grad():
            exact, loops = (
                list(network.rectifier_inputs(images.to(dtype), dead_branches=True))
                for dtype in (torch.float64, precision)
            )
        assert len(exact) == len(loops)
        for a, b in zip(exact, loops, strict=True):
            # only the loops make packed codes
            assert (b.codes.dtype, a.codes.dtype) == (torch.uint8, torch.int8)
            assert a[1:] == b[1:]
            units = a.codes.shape[1]
            away = (agreements_of(a.codes) - agreements_of(b.codes)).abs().max() / units
            assert away < {torch.float32: 2e-3, torch.bfloat16: 0.12}[precision]

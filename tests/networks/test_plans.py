"""Plans against their modules: rectifiers read the same; loops read what double precision does."""

import numpy as np
import pytest
import torch
from tests.benchmarks.nds_files import network_of, some_cells
from tests.networks.slow import shaken
from torch import nn

from untrained.networks.anynet import AnyNet
from untrained.networks.darts import DartsNetwork
from untrained.networks.darts import Skeleton as DartsSkeleton
from untrained.networks.nasbench101 import NasBench101Network
from untrained.networks.nasbench201 import NasBench201Network
from untrained.networks.nasbench201_plan import compile_cell
from untrained.networks.natsbench_size import NatsBenchSizeNetwork
from untrained.networks.nds import scored_network
from untrained.proxies.agreements import agreements_of, bits_of
from untrained.proxies.rectifiers import RectifierMode, rectifier_modules, rectifiers_on_path
from untrained.seeds import torch_seeded
from untrained.spaces import get_space
from untrained.spaces.base import Skeleton
from untrained.spaces.cell_classes import live_edges
from untrained.spaces.genotypes import parse_genotype
from untrained.spaces.nasbench101_cells import parse_cell
from untrained.spaces.nasbench201 import operations_of
from untrained.spaces.nds_networks import OPERATIONS, CellNetwork, StagedNetwork, parse_network

CELLS = get_space("nasbench201")
GRAPHS = get_space("nasbench101")
#: Vertex 4 reads the input and three other vertices: more than the compiled loops add at once.
BUSY = (
    "010010|001010|000110|000010|000001|000000:input,conv1x1-bn-relu,maxpool3x3,"
    "conv1x1-bn-relu,conv3x3-bn-relu,output"
)
SMALL = ["01|00:input,output", "011|001|000:input,maxpool3x3,output"]
BOTTLENECK = "res_bottleneck_block"
#: Stages with and without a stride, of equal and different widths, so that there are shortcuts of
#: each kind; groups of 1, of as many as there are channels, and of 3 or 5 channels.
STAGES = [
    StagedNetwork("vanilla_block", (2, 1, 2), (8, 8, 13), (1, 2, 2)),
    StagedNetwork("res_basic_block", (2, 1, 2), (6, 6, 9), (1, 1, 2)),
    StagedNetwork("res_basic_block", (1, 2), (16, 16), (2, 1)),
    StagedNetwork(BOTTLENECK, (2, 1, 2), (12, 12, 20), (1, 1, 2), (0.5, 0.25, 2), (2, 1, 8)),
    StagedNetwork(BOTTLENECK, (1, 2), (10, 30), (2, 1), (1.5, 1), (5, 6)),
    StagedNetwork(BOTTLENECK, (2,), (9,), (1,), (1 / 3,), (3,)),
]
TWO_CELLS = [network_of(entry["net"]) for entry in some_cells()]


def images_of(side=8, count=4):
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, 3, side, side, generator=generator, dtype=torch.float64)


def cells_of_edges(count=30):
    """Build networks of one cell per stage, a sixth of which have no path through a cell.

    Biases of their normalisations are zero, as before training: the plan relies on it.
    """
    rng = np.random.default_rng(0)
    cut = [i for i in range(len(CELLS)) if not live_edges(operations_of(CELLS[i].spelling))]
    for index in [*rng.choice(len(CELLS), count), *rng.choice(cut, count // 5)]:
        torch.manual_seed(index)
        operations = operations_of(CELLS[int(index)].spelling)
        network = NasBench201Network(operations, 2, channels=3, cells=1)
        yield shaken(network, shifts=False), images_of()


def graphs_of_vertices(count=15):
    rng = np.random.default_rng(0)
    drawn = [GRAPHS.cell(int(index)) for index in rng.integers(len(GRAPHS), size=count)]
    for seed, cell in enumerate([*map(parse_cell, [BUSY, *SMALL]), *drawn]):
        torch.manual_seed(seed)
        yield shaken(NasBench101Network(cell, 2, Skeleton(7, 1))), images_of()
    without_stem = NasBench101Network(parse_cell(BUSY), 2, Skeleton(3, 2, 2, stem=False))
    yield without_stem.double(), images_of()


def widths():
    for chosen in ((3, 3, 3, 3, 3), (2, 4, 3, 5, 4), (4, 4, 4, 3, 2), (2, 3, 5, 5, 5)):
        torch.manual_seed(sum(chosen))
        network = shaken(NatsBenchSizeNetwork(chosen, 2), shifts=False)
        # 5 rectifiers of each cell, 2 of each reduction, 1 of the head; wrappers count once more
        counts = [len(codes_of_module(network, images_of(), dead)) for dead in (False, True)]
        assert counts == [19 + 1, 2 * 19 + 1]
        yield network, images_of()


def stages():
    for number, given in enumerate(STAGES):
        for stem in ("cifar", "half", "quarter"):
            torch.manual_seed(number)
            network = AnyNet(given, 2, stem, 6 if number % 2 else given.widths[0])
            yield shaken(network), images_of(16)


def cells_of_nodes():
    """Build networks as in files of NDS, and of genotypes of DARTS."""
    for given in TWO_CELLS:
        for imagenet in (False, True):
            network = scored_network(given, 2, imagenet=imagenet)
            yield shaken(network, 0), images_of(32 if imagenet else 8)
    rng, space = np.random.default_rng(1), get_space("darts")
    for number in range(6):
        genotype = parse_genotype(space.sample(rng).spelling)
        yield shaken(DartsNetwork(genotype, 2, DartsSkeleton(4, 4)), number), images_of()


def random_cell(rng):
    """Draw any operations and inputs, `none` often, so that parts are dead or constant."""
    nodes = int(rng.integers(1, 5))
    operations = (*OPERATIONS, *["none"] * 12, *["skip_connect"] * 3)
    edges = tuple(
        (str(rng.choice(operations)), int(rng.integers(0, 2 + position // 2)))
        for position in range(2 * nodes)
    )
    concat = sorted(rng.choice(np.arange(2, 2 + nodes), rng.integers(1, nodes + 1), replace=False))
    return edges, tuple(map(int, concat))


def odd_cells(count=40):
    rng = np.random.default_rng(0)
    for number in range(count):
        normal, reduce = random_cell(rng), random_cell(rng)
        width, depth = 2 * int(rng.integers(1, 4)), int(rng.integers(3, 6))
        drawn = CellNetwork(width, depth, False, *normal, *reduce)
        # a shift turns zeros into numbers, which must not count as made of the images
        network = scored_network(drawn, 2, imagenet=False)
        yield shaken(network, number, shifts=number % 2 == 0), images_of(count=3)


NETWORKS = [cells_of_edges, graphs_of_vertices, widths, stages, cells_of_nodes, odd_cells]


def codes_of_module(network, images, dead_branches):
    """Return codes (N, f) of every rectifier that counts, in order."""
    seen = []
    with torch.no_grad():
        if dead_branches:
            with rectifier_modules(network, lambda x: seen.append(bits_of(x.clone()))):
                network(images)
            return seen
        wanted = rectifiers_on_path(network, images[:2])
        with RectifierMode(lambda x: seen.append(bits_of(x.clone()))):
            network(images)
    return [codes for codes, counts in zip(seen, wanted, strict=True) if counts]


def codes_of_plan(network, images, dead_branches, count, **settings):
    """Return the plan's codes, each repeated as its attribute `count` says."""
    with torch.no_grad():
        readings = network.rectifier_inputs(images, dead_branches=dead_branches, **settings)
        return [one.codes for one in readings for _ in range(getattr(one, count))]


def kernel_of(codes, images):
    """Return the number of units on which each two images agree, over all codes."""
    total = torch.zeros(len(images), len(images), dtype=torch.int64)
    for flat in codes:
        total += (flat[:, None] == flat[None]).sum(2)
    return total


@pytest.mark.parametrize("networks", NETWORKS)
def test_the_plan_reads_what_the_module_reads(networks):
    unlike = 0
    for number, (network, images) in enumerate(networks()):
        before = {name: value.clone() for name, value in network.state_dict().items()}
        live, everything = (
            kernel_of(codes_of_module(network, images, dead), images) for dead in (False, True)
        )
        network.load_state_dict(before)
        for dead_branches, count, expected in (
            (False, "rectifiers", live),
            (True, "modules", everything),
            (True, "rectifiers", live),  # such a pass marks the live ones too
        ):
            found = kernel_of(codes_of_plan(network, images, dead_branches, count), images)
            assert torch.equal(found, expected), (number, dead_branches, count)
        after = network.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())
        unlike += int(live[0, 0]) < int(everything[0, 0]) // 3
    if networks is odd_cells:
        assert unlike > 5  # some have dead branches


@pytest.mark.parametrize("pieces", [2, 3])
@pytest.mark.parametrize("networks", NETWORKS)
def test_a_batch_in_pieces_reads_the_same(networks, pieces):
    for _, (network, images) in zip(range(6), networks(), strict=False):
        whole, cut = (
            kernel_of(codes_of_plan(network, images, True, "modules", pieces=number), images)
            for number in (1, pieces)
        )
        assert torch.equal(whole, cut)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_batch_in_pieces_is_read_by_the_loops(dtype):
    images = images_of(32, 6).to(dtype)
    torch.manual_seed(0)
    network = CELLS.planned(CELLS[45])
    with torch.no_grad():
        whole, *others = (
            list(network.rectifier_inputs(images, dead_branches=True, pieces=number))
            for number in (1, 2, 16)
        )
    assert len(whole) > 10
    for cut in others:
        for a, b in zip(whole, cut, strict=True):
            assert a[1:] == b[1:]
            different = (a.codes != b.codes).double().mean()
            # a convolution of fewer images may round differently
            assert different < {torch.bfloat16: 5e-2}.get(dtype, 2e-3)


@pytest.mark.parametrize(
    ("space", "architectures"),
    [
        ("nasbench201", [0, 1462, 77, 5000]),
        ("nasbench101", [9, 260_000, BUSY, *SMALL]),
        ("natsbench_size", ["8:8:8:8:8", "64:8:8:24:24", "8:24:40:56:16", "56:40:40:8:64"]),
    ],
)
def test_drawn_weights_are_those_that_the_module_draws(space, architectures):
    found = get_space(space)
    images = images_of().float()
    for architecture in map(found.parse, architectures):
        with torch_seeded(3, "weights", architecture.index):
            drawn = found.planned(architecture)
        with torch_seeded(3, "weights", architecture.index):
            module = found.network(architecture, 10)
        with torch.no_grad():
            own, modules = (
                [read.codes for read in network.rectifier_inputs(images, dead_branches=True)]
                for network in (drawn, module)
            )
        assert len(own) == len(modules) > 0
        assert all(torch.equal(a, b) for a, b in zip(own, modules, strict=True))


#: Stages as NDS draws them: widths that are no power of two, the last stage at 2x2 with some stems.
DRAWN = [
    StagedNetwork("vanilla_block", (1, 2, 1), (24, 40, 64), (1, 2, 2)),
    StagedNetwork("res_basic_block", (2, 1, 2), (16, 72, 152), (1, 2, 2)),
    StagedNetwork(BOTTLENECK, (2, 1, 2), (64, 128, 256), (1, 2, 2), (0.5, 0.25, 1), (4, 1, 16)),
]


def wide_networks(kind):
    torch.manual_seed(0)
    rng = np.random.default_rng(2)
    if kind == "nasbench201":
        return [CELLS.planned(CELLS[index]) for index in (1462, 45, 7, 10525, 9930)]
    if kind == "nasbench101":
        drawn = rng.integers(len(GRAPHS), size=3)
        chosen = [GRAPHS.parse(one) for one in (*map(int, drawn), BUSY, *SMALL)]
        return list(map(GRAPHS.planned, chosen))
    if kind == "stages":
        return [AnyNet(given, 2, stem, 12) for given in DRAWN for stem in ("half", "quarter")]
    genotypes = [parse_genotype(get_space("darts").sample(rng).spelling) for _ in range(3)]
    return [DartsNetwork(genotype, 2, DartsSkeleton(3, 12)) for genotype in genotypes]


@pytest.mark.parametrize(
    ("kind", "away_in_bfloat16"),
    [("nasbench201", 0.06), ("nasbench101", 0.12), ("stages", 0.06), ("darts", 0.06)],
)
def test_the_loops_read_what_double_precision_reads(kind, away_in_bfloat16):
    images = images_of(32).contiguous(memory_format=torch.channels_last)
    for network in wide_networks(kind):
        with torch.no_grad():
            exact, single, half = (
                list(network.rectifier_inputs(images.to(dtype), dead_branches=True))
                for dtype in (torch.float64, torch.float32, torch.bfloat16)
            )
        for found, away in ((single, 2e-3), (half, away_in_bfloat16)):
            packed = [b.codes.dtype == torch.uint8 for b in found]  # only the loops pack
            assert any(packed) if kind == "stages" else all(packed)
            for a, b in zip(exact, found, strict=True):
                assert a[1:] == b[1:]
                apart = (agreements_of(a.codes) - agreements_of(b.codes)).abs().max()
                assert apart / a.codes.shape[1] < away


def test_weights_follow_the_type_of_the_images():
    network = CELLS.planned(CELLS[1462])
    assert list(network.rectifier_inputs(images_of().bfloat16(), dead_branches=False))
    assert network.stem.weight.dtype == torch.float32


# --- what is not finite


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_one_channel_that_is_not_finite_stays_so(dtype):
    network = AnyNet(StagedNetwork("vanilla_block", (2,), (16,), (1,)), 2, "half", 8)
    images = images_of(32).to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert all(one.finite for one in network.rectifier_inputs(images, dead_branches=False))
        # NaN must stay NaN when it is rectified
        network.blocks[0][0].weight[0] = torch.nan
        first, *later = network.rectifier_inputs(images, dead_branches=False)
    assert first.finite
    assert len(later) == 4
    assert not any(one.finite for one in later)


def test_what_is_not_finite_is_noticed_in_every_later_reading():
    # the last rectifier on the path from input to output does not read vertex 1
    cell = "0111|0001|0001|0000:input,conv1x1-bn-relu,conv1x1-bn-relu,output"
    network = GRAPHS.planned(GRAPHS.parse(cell))
    network.blocks[-1].projections[1].weight[0] = float("nan")
    reads = list(network.rectifier_inputs(images_of().float(), dead_branches=True))
    finite = [read.finite for read in reads]
    assert finite == sorted(finite, reverse=True)
    assert finite.count(False) in range(2, 6)


def test_images_that_are_not_finite_are_noticed():
    network, images = scored_network(TWO_CELLS[0], 2, imagenet=False).double(), images_of()
    assert all(one.finite for one in network.rectifier_inputs(images, dead_branches=False))
    images[0, 0, 0, 0] = torch.inf
    *_, last = network.rectifier_inputs(images, dead_branches=False)
    assert not last.finite


# --- what is executed


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


def test_nothing_is_executed_for_the_logits_alone():
    # of the last cell only what rectifiers read is executed; a projection alone has no value
    nodes = GRAPHS.planned(GRAPHS.parse(SMALL[0])).graph()
    assert nodes[-1].rectifiers == 1
    assert not nodes[-1].edges
    for index in np.random.default_rng(3).integers(len(GRAPHS), size=20):
        graph = GRAPHS.planned(GRAPHS[int(index)]).graph()
        assert all(node.edges or node.rectifiers for node in graph)


def test_nothing_is_executed_that_no_rectifier_reads(monkeypatch):
    """Neither the last cell's concatenation is executed nor nodes that only it reads."""
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

    monkeypatch.setattr("torch.nn.functional.conv2d", counted)
    list(network.rectifier_inputs(images_of(), dead_branches=False))
    convolutions = sum(isinstance(one, nn.Conv2d) for one in network.modules())
    # the last cell is a reduction cell; its last four edges are not executed
    assert len(calls) == convolutions - 4

"""Plans against their modules: rectifiers read the same; loops read what double precision does."""

from collections import Counter
from inspect import signature

import numpy as np
import pytest
import torch
from tests.benchmarks.nds_files import network_of, some_cells
from tests.networks.random_graphs import random_graph
from tests.networks.slow import shaken
from tests.spaces.cell_rules import live_edges
from torch.nn import functional

from untrained.networks import anynet, darts, nasbench101
from untrained.networks.graph import Builder, Convolution, Flatten, GlobalMean, Linear, Zero
from untrained.networks.nasbench201 import size_network
from untrained.networks.nds import scored_network
from untrained.networks.network import GraphNetwork
from untrained.networks.plans import draw, weights_of
from untrained.proxies.agreements import agreements_of, bits_of
from untrained.proxies.rectifiers import RectifierMode, activations_of, rectifier_modules
from untrained.seeds import torch_seeded
from untrained.spaces import get_space
from untrained.spaces.base import Skeleton
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


def images_of(height=8, width=None, count=4):
    generator = torch.Generator().manual_seed(5)
    shape = count, 3, height, width or height
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def module_of(graph, seed=0, *, shifts=True):
    torch.manual_seed(seed)
    return shaken(GraphNetwork(graph), shifts=shifts)


def cells_of_edges(count=200):
    """Build networks of one cell per stage, a sixth of which have no path through a cell.

    Only half of their normalisations shift: without shifts the plan leaves out more.
    """
    rng = np.random.default_rng(0)
    cut = [i for i in range(len(CELLS)) if not live_edges(operations_of(CELLS[i].spelling))]
    for index in map(int, [*rng.choice(len(CELLS), 5 * count // 6), *rng.choice(cut, count // 6)]):
        graph = CELLS.graph(CELLS[index], 2, Skeleton(3, 1))
        yield module_of(graph, index, shifts=index % 2 == 0), images_of(8, 12)


def graphs_of_vertices(count=100):
    rng = np.random.default_rng(0)
    drawn = [GRAPHS.cell(int(index)) for index in rng.integers(len(GRAPHS), size=count)]
    for seed, cell in enumerate([*map(parse_cell, [BUSY, *SMALL]), *drawn]):
        graph = nasbench101.network_graph(cell, 2, Skeleton(7, 1))
        yield module_of(graph, seed), images_of(9, 7)
    without_stem = nasbench101.network_graph(parse_cell(BUSY), 2, Skeleton(3, 2, 2, stem=False))
    yield GraphNetwork(without_stem).double(), images_of()


def widths(count=100):
    rng = np.random.default_rng(0)
    for number, chosen in enumerate(rng.integers(2, 6, (count, 5)).tolist()):
        network = module_of(size_network(chosen, 2), number, shifts=number % 2 == 0)
        # 5 rectifiers of each cell, 2 of each reduction, 1 of the head; wrappers count once more
        if number == 0:
            counts = [len(codes_of_module(network, images_of(), dead)) for dead in (False, True)]
            assert counts == [19 + 1, 2 * 19 + 1]
        yield network, images_of(4, 8)


def stages():
    for number, given in enumerate(STAGES):
        for stem in ("cifar", "half", "quarter"):
            width = 6 if number % 2 else given.widths[0]
            yield module_of(anynet.network_graph(given, 2, stem, width), number), images_of(16, 13)


def cells_of_nodes(count=20):
    """Build networks as in files of NDS, and of genotypes of DARTS."""
    for given in TWO_CELLS:
        for imagenet in (False, True):
            graph = scored_network(given, 2, imagenet=imagenet)
            yield module_of(graph), images_of(32 if imagenet else 8)
    rng, space = np.random.default_rng(1), get_space("darts")
    for number in range(count):
        genotype = parse_genotype(space.sample(rng).spelling)
        graph = darts.network_graph(genotype, 2, darts.Skeleton(4, 4))
        yield module_of(graph, number), images_of(7, 9)


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


def odd_cells(count=60):
    rng = np.random.default_rng(0)
    for number in range(count):
        normal, reduce = random_cell(rng), random_cell(rng)
        width, depth = 2 * int(rng.integers(1, 4)), int(rng.integers(3, 6))
        drawn = CellNetwork(width, depth, False, *normal, *reduce)
        # a shift turns zeros into numbers, which must not count as made of the images
        graph = scored_network(drawn, 2, imagenet=False)
        yield module_of(graph, number, shifts=number % 2 == 0), images_of(count=3)


def random_graphs(count=120):
    for number in range(count):
        yield module_of(random_graph(number), number, shifts=number % 2 == 0), images_of(7, 9)


def with_hidden_layers(seed, sides=(7, 9)):
    """Return a graph whose linear layers, one of them of zeros, are read by rectifiers."""
    builder = Builder()
    stem = builder.edge(0, None, Convolution(3, 4, (3, 3)), normalised=True)
    if seed % 2:
        hidden = builder.edge(stem, None, GlobalMean(), Linear(4, 6), rectified=True)
    else:
        hidden = builder.edge(stem, None, Flatten(), Linear(4 * sides[0] * sides[1], 6))
    builder.edge(builder.edge(stem, None, GlobalMean()), hidden, Linear(4, 6), rectified=True)
    wide = builder.edge(hidden, builder.node(rectified=True), Linear(6, 8))
    builder.edge(builder.edge(stem, None, Zero(), GlobalMean(), Linear(4, 8)), wide)
    logits = builder.edge(wide, None, Linear(8, 2), rectified=True)
    return builder.graph(logits, "normal" if seed % 3 else "uniform")


def hidden_layers(count=12):
    for number in range(count):
        graph = with_hidden_layers(number)
        yield module_of(graph, number, shifts=number % 4 > 1), images_of(7, 9)


NETWORKS = [
    *(cells_of_edges, graphs_of_vertices, widths, stages, cells_of_nodes, odd_cells, random_graphs),
    hidden_layers,
]


def codes_of_module(network, images, dead_branches):
    """Return codes (N, f) of every rectifier that counts, in order."""
    seen = []
    with torch.no_grad():
        if dead_branches:
            with rectifier_modules(network, lambda x: seen.append(bits_of(x.clone()))):
                network(images)
            return seen
        wanted = [one.on_path for one in activations_of(network, images[:2]).calls]
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
def test_the_plan_reads_what_the_module_reads(networks, request):
    """Some random networks of each family, or 200 with `--every-row`."""
    unlike = 0
    many = request.config.getoption("every_row") and signature(networks).parameters
    for number, (network, images) in enumerate(networks(200) if many else networks()):
        live, everything = (
            kernel_of(codes_of_module(network, images, dead), images) for dead in (False, True)
        )
        before = {name: value.clone() for name, value in network.state_dict().items()}
        for dead_branches, count, expected in (
            (False, "rectifiers", live),
            (True, "modules", everything),
            *[(True, "rectifiers", live)] * (number < 20),  # such a pass marks the live ones too
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
    for _, (network, images) in zip(range(4), networks(), strict=False):
        whole, cut = (
            kernel_of(codes_of_plan(network, images, True, "modules", pieces=number), images)
            for number in (1, pieces)
        )
        assert torch.equal(whole, cut)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_batch_in_pieces_is_read_by_the_loops(dtype):
    images = images_of(32, count=6).to(dtype)
    torch.manual_seed(0)
    network = draw(CELLS.graph(CELLS[45], 10))
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


def graphs_of(kind, count=10):
    rng = np.random.default_rng(1)
    if kind == "random":
        return [random_graph(seed) for seed in range(10 * count)]
    if kind == "hidden":
        return [with_hidden_layers(seed) for seed in range(6)]
    if kind == "nds":
        return [scored_network(given, 2, imagenet=True) for given in [*TWO_CELLS, *STAGES]]
    space = get_space(kind)
    small = kind == "darts"
    skeleton = darts.Skeleton(4, 4)
    return [
        darts.network_graph(parse_genotype(one.spelling), 2, skeleton) if small else
        space.graph(one, 10)
        for one in (space.sample(rng) for _ in range(count))
    ]  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["nasbench201", "nasbench101", "natsbench_size", "darts", "nds", "random", "hidden"]
)
def test_drawn_weights_are_those_that_the_module_draws(kind):
    for number, graph in enumerate(graphs_of(kind)):
        with torch_seeded(3, "weights", number):
            drawn = draw(graph)
        with torch_seeded(3, "weights", number):
            module = GraphNetwork(graph)
        for mine, its in zip(drawn.weights, weights_of(module), strict=False):
            assert len(mine.kernels) == len(its.kernels)
            assert all(map(torch.equal, mine.kernels, its.kernels))
        assert len(drawn.weights) == len(graph.executed)


#: Stages as NDS draws them: widths that are no power of two, the last stage at 2x2 with some stems.
DRAWN = [
    StagedNetwork("vanilla_block", (1, 2, 1), (24, 40, 64), (1, 2, 2)),
    StagedNetwork("res_basic_block", (2, 1, 2), (16, 72, 152), (1, 2, 2)),
    StagedNetwork(BOTTLENECK, (2, 1, 2), (64, 128, 256), (1, 2, 2), (0.5, 0.25, 1), (4, 1, 16)),
]


def wide_networks(kind):
    torch.manual_seed(0)
    rng = np.random.default_rng(2)
    match kind:
        case "nasbench201":
            graphs = [CELLS.graph(CELLS[index], 10) for index in (1462, 45, 7, 10525, 9930)]
        case "nasbench101":
            drawn = rng.integers(len(GRAPHS), size=3)
            chosen = [GRAPHS.parse(one) for one in (*map(int, drawn), BUSY, *SMALL)]
            graphs = [GRAPHS.graph(one, 10) for one in chosen]
        case "stages":
            stems = "half", "quarter"
            graphs = [anynet.network_graph(given, 2, stem, 12) for given in DRAWN for stem in stems]
        case "darts":
            genotypes = [parse_genotype(get_space("darts").sample(rng).spelling) for _ in range(3)]
            skeleton = darts.Skeleton(3, 12)
            graphs = [darts.network_graph(genotype, 2, skeleton) for genotype in genotypes]
        case "random":
            graphs = [random_graph(seed, (16, 32), (32, 32)) for seed in range(8)]
    return map(draw, graphs)


@pytest.mark.parametrize(
    ("kind", "away_in_bfloat16"),
    [
        ("nasbench201", 0.06),
        ("nasbench101", 0.12),
        ("stages", 0.06),
        ("darts", 0.06),
        ("random", 0.12),
    ],
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
            assert any(packed) if kind in ("stages", "random") else all(packed)
            for a, b in zip(exact, found, strict=True):
                assert a[1:] == b[1:]
                apart = (agreements_of(a.codes) - agreements_of(b.codes)).abs().max()
                assert apart / a.codes.shape[1] < away


def test_weights_follow_the_type_of_the_images():
    network = draw(CELLS.graph(CELLS[1462], 10))
    assert list(network.rectifier_inputs(images_of().bfloat16(), dead_branches=False))
    assert network.weights[0].kernels[0].dtype == torch.float32


# --- what is not finite


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_one_channel_that_is_not_finite_stays_so(dtype):
    given = StagedNetwork("vanilla_block", (2,), (16,), (1,))
    network = draw(anynet.network_graph(given, 2, "half", 8))
    images = images_of(32).to(dtype).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert all(one.finite for one in network.rectifier_inputs(images, dead_branches=False))
        # NaN must stay NaN when it is rectified
        network.weights[1].kernels[0][0] = torch.nan
        first, *later = network.rectifier_inputs(images, dead_branches=False)
    assert first.finite
    assert len(later) == 4
    assert not any(one.finite for one in later)


def test_what_is_not_finite_is_noticed_in_every_later_reading():
    # the last rectifier on the path from input to output does not read vertex 1
    cell = "0111|0001|0001|0000:input,conv1x1-bn-relu,conv1x1-bn-relu,output"
    network = draw(GRAPHS.graph(GRAPHS.parse(cell), 10))
    # the edges of the last cell are those of two vertices, three of its output, and two sums
    projection = network.weights[-10].kernels[0]
    assert projection.shape[-1] == 1
    projection[0] = float("nan")
    reads = list(network.rectifier_inputs(images_of().float(), dead_branches=True))
    finite = [read.finite for read in reads]
    assert finite == sorted(finite, reverse=True)
    assert finite.count(False) in range(2, 6)


def test_images_that_are_not_finite_are_noticed():
    network, images = draw(scored_network(TWO_CELLS[0], 2, imagenet=False)), images_of()
    assert all(one.finite for one in network.rectifier_inputs(images, dead_branches=False))
    images[0, 0, 0, 0] = torch.inf
    *_, last = network.rectifier_inputs(images, dead_branches=False)
    assert not last.finite


# --- what is executed


def executed(network, *, dead_branches=False, images=None):
    """Return the rectifiers of each reading, and how many convolutions have each width."""
    found, plain = Counter(), functional.conv2d

    def counted(x, kernel, *more):
        found[len(kernel)] += 1
        return plain(x, kernel, *more)

    images = images_of() if images is None else images
    with pytest.MonkeyPatch.context() as patched, torch.no_grad():
        patched.setattr(functional, "conv2d", counted)
        readings = list(network.rectifier_inputs(images, dead_branches=dead_branches))
    return [one.rectifiers for one in readings], found


def with_stem():
    builder = Builder()
    return builder, builder.edge(0, None, Convolution(3, 4, (3, 3)), normalised=True)


def classified(builder, node, channels):
    return builder.graph(builder.classified(node, channels, 2, rectified=True))


def test_a_copy_is_its_source_and_is_rectified_once():
    builder, stem = with_stem()
    copy = builder.edge(stem, None)
    output = builder.unit(stem, None, Convolution(4, 5, (3, 3)))
    builder.unit(copy, output, Convolution(4, 5, (3, 3)))
    assert executed(draw(classified(builder, output, 5))) == ([2, 1], {4: 1, 5: 2})


def test_parts_are_rectified_before_they_are_concatenated():
    builder, stem = with_stem()
    parts = [builder.edge(stem, None, Convolution(4, width, (1, 1))) for width in (5, 6)]
    whole = builder.node(concatenated=True)
    for part in parts:
        builder.edge(part, whole)
    output = builder.unit(whole, None, Convolution(11, 7, (1, 1)))
    builder.unit(parts[1], output, Convolution(6, 7, (1, 1)))
    graph = classified(builder, output, 7)
    assert executed(draw(graph)) == ([1, 2, 1], {4: 1, 5: 1, 6: 1, 7: 2})


def test_edges_of_zeros_are_left_out_unless_a_shift_was_learned():
    builder, stem = with_stem()
    output = builder.unit(stem, None, Convolution(4, 5, (3, 3)))
    builder.unit(builder.edge(stem, None, Zero()), output, Convolution(4, 5, (3, 3)))
    graph = classified(builder, output, 5)
    for network, count in ((draw(graph), 1), (module_of(graph, shifts=False), 1)):
        assert executed(network) == ([1, 1], {4: 1, 5: count})
    assert executed(module_of(graph)) == ([1, 0, 1], {4: 1, 5: 2})


def test_dead_branches_are_executed_only_for_their_rectifiers():
    builder, stem = with_stem()
    dead = builder.unit(stem, None, Convolution(4, 6, (3, 3)))
    builder.unit(dead, None, Convolution(6, 7, (3, 3)))
    network = draw(classified(builder, stem, 4))
    assert executed(network) == ([1], {4: 1})
    assert executed(network, dead_branches=True) == ([1, 0], {4: 1, 6: 1})


def test_nothing_is_executed_for_the_logits_alone():
    # a projection alone has no value; of three cells in three stacks no one has a convolution
    ((_, *others), found) = executed(draw(GRAPHS.graph(GRAPHS.parse(SMALL[0]), 10)))
    assert len(others) == 9
    assert sum(found.values()) == 1 + 9
    builder, stem = with_stem()
    last = builder.edge(stem, None, Convolution(4, 5, (3, 3)))
    graph = builder.graph(builder.classified(last, 5, 2, rectified=False))
    assert executed(draw(graph)) == ([], {})


def test_nothing_is_executed_that_no_rectifier_reads():
    """Neither the last cell's concatenation is executed nor nodes that only it reads."""
    text = (
        "width=4 depth=3 auxiliary=0 normal=|sep_conv_3x3~0|sep_conv_3x3~1|+|conv_1x1~0|conv_1x1~1|"
        "@2,3 reduce=|conv_1x1~0|conv_1x1~1|+|conv_1x1~0|conv_3x3~1|@2,3"
    )
    drawn = draw(scored_network(parse_network(text), 2, imagenet=False))
    _, found = executed(drawn)
    # the last cell is a reduction cell; its last four edges are not executed
    assert sum(found.values()) == sum(len(one.kernels) for one in drawn.weights) - 4

"""Supernets under masks, against networks of single operations and sums written out."""

from dataclasses import replace
from itertools import compress

import numpy as np
import pytest
import torch
from tests.networks.slow import Layers, pooled
from tests.networks.slow_cells import UNITS, slow_cell, slow_operation
from torch import nn
from torch.nn import functional

from untrained.errors import ParameterError
from untrained.networks.batched import prepared
from untrained.networks.batched_gradients import Networks
from untrained.networks.nasbench201 import around_cells, cell_of
from untrained.networks.network import GraphNetwork
from untrained.networks.plans import weights_of
from untrained.networks.supernets import (
    Supernet,
    darts_graph,
    masked,
    nasbench201_graph,
)
from untrained.proxies.linear_regions import (
    activation_patterns,
    count_distinct,
    patterns_of_many,
)
from untrained.proxies.tangent_kernels import tangent_kernel, tangent_kernels_of_many
from untrained.spaces import get_space
from untrained.spaces.base import Skeleton
from untrained.spaces.genotypes import SUPERNET_EDGES, SUPERNET_OPERATIONS, parse_genotype
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
    network = Supernet(nasbench201_graph(10, skeleton))
    for parameter in network.parameters():  # scales other than one, which would hide a mix-up
        torch.nn.init.uniform_(parameter, -1, 1)
    return network


def single(network, operations, skeleton):
    """Return the network of six operations, with the supernet's weights copied one by one."""
    found = GraphNetwork(around_cells(skeleton, 10, cell_of(operations)))
    stage = [name == own for own in operations for name in OPERATIONS[1:]] * skeleton.cells
    kept = [True] * skeleton.stem + stage + ([True] * 3 + stage) * (skeleton.stages - 1)
    mine = compress(network.connections, [*kept, True, True])
    pairs = [*zip(mine, found.connections, strict=True), (network.classifier, found.classifier)]
    with torch.no_grad():
        for one, other in pairs:
            for given, taken in zip(one.parameters(), other.parameters(), strict=True):
                taken.copy_(given)
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


def same_with_gradients(network, found, expected):
    """Check logits and the gradients of all parameters; what edges share changes neither."""
    torch.testing.assert_close(found, expected)
    weights, parameters = torch.randn_like(found), list(network.parameters())
    one, other = (
        torch.autograd.grad((logits * weights).sum(), parameters, materialize_grads=True)
        for logits in (found, expected)
    )
    torch.testing.assert_close(one, other)


def plain_cell(layers, x, mask):
    """Compute each node as a sum over edges of weighted sums over all operations, none shared."""
    nodes = [x, 0, 0, 0]
    for edge, (source, target) in enumerate(EDGES):
        weights = np.exp(np.where(mask[edge], 0.0, -1000.0))
        weights /= weights.sum()
        for name, weight in zip(OPERATIONS, weights, strict=True):
            value = nodes[source]
            if name == "avg_pool_3x3":
                value = pooled(value)
            elif name.startswith("nor_conv"):
                kernel = int(name[-1])
                value = layers.normalised(layers.convolved(value.clamp(min=0), 3, kernel))
            nodes[target] = nodes[target] + weight * value  # `none` has no weight
    return nodes[3]


@pytest.mark.parametrize("seed", range(5))
def test_a_cell_is_the_softmax_over_its_live_operations(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((6, 5)) < 0.6
    mask[:, 0] = False
    mask[np.arange(6), rng.integers(1, 5, size=6)] = True
    network = supernet(Skeleton(channels=3, cells=1, stages=1, stem=False), seed).double()
    network.mask = mask
    layers, x = Layers(network), torch.randn(3, 3, 6, 6, dtype=torch.float64)
    head = layers.normalised(plain_cell(layers, x, mask)).clamp(min=0)
    same_with_gradients(network, network(x), layers.classified(head))


def test_dead_operations_have_no_gradient():
    network = supernet(SMALL)
    operations = ("nor_conv_3x3",) * 6
    network.mask = mask_of(operations)
    network(torch.randn(4, 3, 8, 8)).sum().backward()
    _, dead, live, *_ = (one for one in network.modules() if isinstance(one, nn.Conv2d))
    assert (dead.kernel_size, dead.weight.grad) == ((1, 1), None)
    assert live.weight.grad is not None


def test_at_first_all_but_none_live():
    mask = supernet(THIN).mask
    assert mask.shape == (6, 5)
    assert not mask[:, 0].any()
    assert mask[:, 1:].all()


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((6, 5), bool), "edge 0 of a mask has operation 0 alive"),
        (np.ones((5, 5), bool), r"bool \(6, 5\)"),
        (np.ones((6, 5)), r"takes bool"),
    ],
)
def test_wrong_masks_are_refused_in_one_line(mask, message):
    network = supernet(THIN)
    with pytest.raises(ParameterError, match=message) as caught:
        network.mask = mask
    assert "\n" not in str(caught.value)


def test_edges_without_a_choice_are_added_to_the_mean_of_others():
    """The first edge of a graph, too: its place is no row of the mask."""
    graph = nasbench201_graph(10, Skeleton(4, 1))
    first, *others = graph.edges
    beside = replace(first, choice=(0, 0))  # of the images as well
    network = Supernet(graph).eval()
    added = Supernet(replace(graph, edges=(first, beside, *others))).eval()
    kept = [one for place, one in enumerate(added.connections) if place != 1]
    for mine, theirs in zip(kept, network.connections, strict=True):
        mine.load_state_dict(theirs.state_dict())
    added.classifier.load_state_dict(network.classifier.state_dict())
    with torch.no_grad():
        for parameter in added.connections[1].parameters():
            parameter.zero_()
    images = torch.randn(2, 3, 8, 8)
    assert torch.allclose(added(images), network(images), atol=1e-6)


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
    network = Supernet(darts_graph(10, skeleton)).double()
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
            own = [e for e, (_, target) in enumerate(SUPERNET_EDGES) if target == node]
            mask[rng.permutation(own)[:dead_edges] + 14 * cell] = False
    return mask


def layers_of(network, chosen):
    """Return the layers of stem, both cells and head, those of operations as chosen.

    Args:
        network: the supernet.
        chosen: (edge, name) of operations of each cell, in the order in which they are used.
    """
    layers = Layers(network)
    left, layers.left = layers.left, []

    def take(count):
        taken, left[:count] = left[:count], []
        return taken

    if network.graph.inputs == 3:
        layers.left += take(2)
    for reduces, own in enumerate(chosen):
        layers.left += take(4)  # what the inputs go through
        found = {}
        for edge, (source, _) in enumerate(SUPERNET_EDGES):
            for name in SUPERNET_OPERATIONS[1:]:
                count = sum(len(unit) + 1 for unit in UNITS.get(name, []))
                halves = name == "skip_connect" and reduces and source < 2
                found[edge, name] = take(3 if halves else count)
        layers.left += [layer for one in own for layer in found[one]]
    layers.left += left
    return layers


def plain_darts_cell(layers, earlier, last, mask, channels, *, reduces):
    """Compute every edge as the mean over its operations, each with a rectifier or pooling."""
    nodes = []
    for x in (earlier, last):
        x = layers.convolved(x.clamp(min=0), channels, 1)
        nodes.append(layers.normalised(x))
    for edge, (source, node) in enumerate(SUPERNET_EDGES):
        if node == len(nodes):
            nodes.append(0)
        stride = 2 if reduces and source < 2 else 1
        for name in np.array(SUPERNET_OPERATIONS)[mask[edge]]:
            term = slow_operation(layers, nodes[source], name, stride)
            nodes[node] = nodes[node] + term / mask[edge].sum()
    return torch.cat(nodes[2:], 1)


def slow_darts(network, x, chosen, cell, parts, channels=1):
    """Compute stem, both cells by `cell` of a part each, and head."""
    layers = layers_of(network, chosen)
    stem = layers.normalised(layers.convolved(x, channels, 3)) if network.graph.inputs == 3 else x
    normal = cell(layers, stem, stem, parts[0], channels, reduces=False)
    reduced = cell(layers, stem, normal, parts[1], 2 * channels, reduces=True)
    return layers.classified(layers.normalised(reduced).clamp(min=0))


def plain_darts(network, x, mask):
    cells = mask[:14], mask[14:]
    chosen = [[(edge, SUPERNET_OPERATIONS[at]) for edge, at in np.argwhere(cell)] for cell in cells]
    return slow_darts(network, x, chosen, plain_darts_cell, cells)


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
    same_with_gradients(network, network(x), plain_darts(network, x, mask))


def test_at_first_all_operations_of_darts_but_none_live():
    network = darts_supernet(DARTS_THIN)
    assert network.mask.shape == (28, 8)
    assert (network.mask.sum(axis=1) == 7).all()
    x = torch.randn(4, 1, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), plain_darts(network, x, network.mask))


@pytest.mark.parametrize("seed", range(4))
def test_two_edges_per_node_are_the_cells_of_the_genotype(seed):
    space = get_space("darts")
    genotype = parse_genotype(space.sample(np.random.default_rng(seed)).spelling)
    chosen, mask = [], np.zeros((28, 8), bool)
    for cell, edges in enumerate((genotype.normal, genotype.reduce)):
        own = [(source, 2 + place // 2) for place, (_, source) in enumerate(edges)]
        chosen.append([(SUPERNET_EDGES.index(e), n) for e, (n, _) in zip(own, edges, strict=True)])
        for edge, name in chosen[-1]:
            mask[14 * cell + edge, SUPERNET_OPERATIONS.index(name)] = True
    network = darts_supernet(Skeleton(channels=2, cells=1, stages=2), seed)
    network.mask = mask
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = slow_darts(network, x, chosen, slow_cell, (genotype, genotype), 2)
        torch.testing.assert_close(network(x), expected)


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
    # a cell has 5 nodes that others read, 2 * 14 separable convolutions; both read the stem, the
    # second the first, and the head the second
    assert counts["relu"] == 2 * (5 + 28) + 1 + 1 + 1
    # no other node reads the last one
    assert counts["max_pool2d"] == counts["avg_pool2d"] == 2 * 5


def test_a_darts_supernet_has_as_many_parameters_as_its_parts():
    """A node has c channels; classifier and stem are those of ten classes."""

    def cell(inputs, c, reduces):
        total = sum(width * c + 2 * c for width in inputs)
        for source, _ in SUPERNET_EDGES:
            for size in (3, 5):
                total += 3 * (size**2 * c + c**2 + 2 * c)  # twice separable, once dilated
            total += c**2 + 2 * c if reduces and source < 2 else 0
        return total

    for channels in (1, 3):
        network = Supernet(darts_graph(10, Skeleton(channels=channels, cells=1, stages=2)))
        wide = 8 * channels
        expected = 27 * channels + 2 * channels
        expected += cell((channels, channels), channels, False)
        expected += cell((channels, 4 * channels), 2 * channels, True)
        expected += 2 * wide + 10 * wide + 10
        assert sum(p.numel() for p in network.parameters()) == expected


def lonely():
    mask = np.ones((28, 8), bool)
    mask[:, 0] = False
    mask[14 + 2 : 14 + 5] = False  # node 3 of the second cell
    return mask


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((28, 8), bool), "edge 0 of a mask has operation 0 alive"),
        (np.zeros((14, 8), bool), r"takes bool \(28, 8\)"),
        (lonely(), "edges 16, 17, 18 of a mask, all inputs of one node, have no live"),
    ],
)
def test_wrong_masks_of_darts_are_refused_in_one_line(mask, message):
    with pytest.raises(ParameterError, match=message) as caught:
        darts_supernet(DARTS_THIN).mask = mask
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("sizes", [(2, 2), (1, 3)])
def test_a_darts_supernet_has_two_cells(sizes):
    with pytest.raises(ParameterError, match="1 cell in each of 2 stages"):
        darts_graph(10, Skeleton(1, *sizes))


def random_masks(operations, count, rng):
    """Draw masks with one to three live operations on each edge, and the whole one."""
    yield operations
    for _ in range(count):
        scores = rng.random(operations.shape) * operations
        kept = np.sort(scores, axis=1)[:, ::-1][:, 1:4]
        lowest = kept[np.arange(len(kept)), rng.integers(0, 3, len(kept))]
        yield operations & (scores > lowest[:, None])


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
def test_supernets_under_masks_are_measured_together_as_each(name):
    """In double precision, with weights that would hide no mix-up."""
    if name == "darts":
        whole, thin = darts_supernet(DARTS), darts_supernet(DARTS_THIN, 1)
    else:
        whole, thin = supernet(SMALL).double(), supernet(THIN, 1).double()
    masks = list(random_masks(whole.operations, 3, np.random.default_rng(0)))
    assert {int(one.sum(axis=1).max()) for one in masks[1:]} == {3}
    images, crops = (torch.randn(count, 3, 8, 8).double() for count in (3, 40))
    # a few images with some noise, so that masks differ in how many patterns there are
    crops = (crops[:8].repeat(5, 1, 1, 1) + 0.1 * crops)[:, : thin.graph.inputs, :3, :3]
    networks, batches = [], []
    for one, shown, logits in ((whole, images, True), (thin, crops, False)):
        weights = weights_of(one, whole=True)
        networks.append([masked(one, weights, mask) for mask in masks])
        shape = tuple(shown.shape[1:])
        batches.append(prepared(networks[-1], shape, [not logits] * len(masks), logits=logits))
    many = Networks(batches[0], torch.device("cpu"))
    logits = many.logits(many.parameters(torch.float64), images)
    kernels = tangent_kernels_of_many(many, images)
    patterns, counts = patterns_of_many(batches[1], crops), list[int]()
    for number, mask in enumerate(masks):
        whole.mask = thin.mask = mask
        torch.testing.assert_close(logits[number], whole(images))
        torch.testing.assert_close(kernels[number], tangent_kernel(whole, images))
        counts.append(count_distinct(activation_patterns(thin, crops)))
        assert count_distinct(patterns[number]) == counts[-1]
    assert len(set(counts)) > 2

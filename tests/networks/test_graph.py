"""The value of a network: what follows from it, and what it refuses."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from tests.networks.random_graphs import random_graph
from tests.networks.slow import benchmark_flops

from untrained.errors import ParameterError
from untrained.networks.costs import count_parameters
from untrained.networks.darts import Skeleton, network_graph
from untrained.networks.graph import Builder, Convolution, Edge, Graph, Linear, Node, Zero
from untrained.networks.network import GraphNetwork
from untrained.spaces import get_space
from untrained.spaces.genotypes import parse_genotype

CONVOLUTION = Convolution(3, 4, (3, 3))


def in_order(*pairs):
    return Graph((Node(),) * 5, tuple(Edge(*pair) for pair in pairs), 4)


def test_a_node_is_read_after_all_edges_into_it():
    in_order((0, 1), (0, 2), (1, 2), (2, 4))
    for pairs in (((0, 1), (1, 2), (0, 1)), ((0, 1), (1, 1)), ((0, 1), (1, 0))):
        with pytest.raises(ParameterError, match=f"^node {pairs[-1][1]} is read before its edges"):
            in_order(*pairs)


def test_every_node_that_is_read_has_edges():
    with pytest.raises(ParameterError, match=r"^node 3 is read without edges"):
        in_order((0, 1), (3, 4))


def test_only_nodes_as_they_are_can_be_concatenated():
    builder = Builder()
    whole = builder.node(concatenated=True)
    builder.edge(0, whole)
    builder.edge(0, whole, CONVOLUTION)
    with pytest.raises(ParameterError, match=f"^node {whole} concatenates changed nodes"):
        builder.graph(builder.classified(whole, 7, 2, rectified=False))


def test_equal_graphs_are_one_key():
    def built(index):
        space = get_space("nasbench101")
        return space.graph(space[index], 10)

    assert built(9) == built(9)
    assert len({built(9), built(9), built(8), replace(built(9), momentum=0.5)}) == 3
    with pytest.raises(FrozenInstanceError):
        built(9).output = 0


def with_branches():
    """Return a graph with a dead branch, constants, and their nodes."""
    builder = Builder()
    stem = builder.edge(0, None, CONVOLUTION, normalised=True)
    dead = builder.edge(stem, None)
    zero = builder.edge(stem, None, Zero())
    after = builder.edge(zero, None, normalised=True)
    output = builder.unit(after, None, Convolution(4, 4, (1, 1)))
    builder.edge(stem, output)
    builder.edge(dead, output, Zero())
    logits = builder.classified(output, 4, 2, rectified=False)
    return builder.graph(logits), (stem, dead, zero, after, output, logits)


def test_what_depends_on_the_images_and_what_the_logits_depend_on():
    graph, (stem, dead, zero, after, output, logits) = with_branches()
    assert graph.fed == {0, stem, dead, output, logits}
    assert graph.leading == {0, stem, zero, after, output, logits}
    live = [(edge.source, edge.target) for edge in graph.edges if graph.live(edge)]
    assert live == [(0, stem), (stem, output), (output, logits)]
    assert graph.order == (0, stem, dead, zero, after, output, logits)


def test_parts_are_concatenated_in_the_order_of_their_edges():
    builder = Builder()
    whole = builder.node(concatenated=True)
    for sign in (1, -1):
        builder.edge(builder.edge(0, None, Convolution(3, 3 + sign, (1, 1))), whole)
    graph = builder.graph(builder.classified(whole, 6, 2, rectified=False))
    assert graph.shapes((3, 5, 6))[whole] == (6, 5, 6)
    network = GraphNetwork(graph)
    seen = []
    network.connections[-1].register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    x = torch.randn(2, 3, 5, 6)
    network(x)
    parts = [network.connections[edge](x) for edge in (0, 2)]
    assert [part.shape[1] for part in parts] == [4, 2]
    assert torch.equal(seen[0], torch.cat(parts, 1))


def shapes_read(network, image):
    """Return what each edge of a network reads."""
    read = []
    for connection in network.connections:
        connection.register_forward_pre_hook(lambda _m, given: read.append(given[0].shape[1:]))
    network(torch.randn(2, *image))
    return [tuple(shape) for shape in read]


@pytest.mark.parametrize("sides", [(7, 9), (12, 6)])
def test_shapes_and_costs_are_those_of_the_module(sides):
    for seed in range(60):
        graph = random_graph(seed, sides=sides)
        network, image = GraphNetwork(graph), (3, *sides)
        assert graph.parameters == count_parameters(network)
        assert graph.flops(image) == benchmark_flops(network, image)
        shapes = graph.shapes(image)
        assert shapes_read(network, image) == [shapes[edge.source] for edge in graph.edges]


def with_two_outputs():
    skeleton = Skeleton(3, 4)
    made = (parse_genotype("DARTS_V2"), 5, skeleton)
    return [network_graph(*made, auxiliary=which) for which in (False, True)]


def test_a_forward_pass_leaves_out_the_edges_of_a_second_output():
    plain, both = with_two_outputs()
    assert both.executed == plain.executed == plain.edges
    assert len(both.edges) == len(plain.edges) + 3
    assert both.flops((3, 32, 32)) == plain.flops((3, 32, 32))
    head = 16 * 4 * 128 + 2 * 128 + 128 * 768 * 4 + 2 * 768 + 768 * 5 + 5
    assert both.parameters - plain.parameters == head
    assert both.shapes((3, 32, 32)) == plain.shapes((3, 32, 32))


def test_images_fit_a_second_output_or_not():
    plain, both = with_two_outputs()
    assert [size for size in range(4, 60) if both.takes((3, size, size))] == list(range(29, 41))
    assert plain.takes((3, 7, 5))


def test_images_of_another_size_do_not_fit_a_layer_of_all_pixels():
    graph = Graph((Node(), Node()), (Edge(0, 1, (Linear(12, 2),)),), 1)
    assert graph.takes((12,))
    assert not graph.takes((3, 2, 2))


def test_random_graphs_have_what_graphs_can_have():
    graphs = [random_graph(seed) for seed in range(60)]
    edges = [edge for graph in graphs for edge in graph.edges]
    kinds = {type(one).__name__ for edge in edges for one in edge.operations}
    assert kinds >= {"Convolution", "Pooling", "EvenPooling", "Zero", "FactorisedReduction"}
    assert kinds >= {"Slice", "GlobalMean", "Linear"}
    for of_nodes in ("concatenated", "rectified"):
        assert any(getattr(node, of_nodes) for graph in graphs for node in graph.nodes)
    terms = [np.bincount([edge.target for edge in graph.edges]).max() for graph in graphs]
    assert max(terms) > 3
    assert any(len(graph.fed) < len(graph.order) for graph in graphs)
    assert any(len(graph.leading) < len(graph.order) for graph in graphs)


@pytest.mark.parametrize("seed", range(40))
def test_bottlenecks_are_nodes_without_which_no_path_is_left(seed):
    graph = random_graph(seed)
    edges = [edge for edge in graph.executed if not edge.constant]

    def connected(without):
        reached = {0} - {without}
        for edge in edges:
            if edge.source in reached and edge.target != without:
                reached.add(edge.target)
        return graph.output in reached

    inner = set(graph.order) - {0, graph.output}
    expected = {node for node in inner if not connected(node)} if connected(None) else set()
    assert set(graph.bottlenecks) == expected
    assert [one for one in graph.order if one in expected] == list(graph.bottlenecks)


def test_cells_hand_on_their_outputs():
    space = get_space("nasbench201")
    for index in (1462, 1, 13714):
        graph = space.graph(space[index], 10)
        assert len(graph.cells) == 1 + 3 * 5 + 2
        shapes = graph.shapes((3, 32, 32))
        sides = [shapes[one] for one in graph.cells]
        assert sides == [(16, 32, 32)] * 6 + [(32, 16, 16)] * 6 + [(64, 8, 8)] * 6
    graph = network_graph(parse_genotype("DARTS_V2"), 10, Skeleton(5, 4))
    assert len(graph.cells) == 6


def slow_memory(graph, images):
    """The peak of the numbers of tensors, from the first to the last moment at which each is there.

    Every operation is a moment of its own. A node's tensor begins with the operation that makes it,
    or with the edge where nothing does.
    """
    shapes, moment, spans, begun = graph.shapes(images), 0, [], {0: 0}
    ended = {}
    for edge in graph.executed:
        operations = () if edge.constant else edge.operations
        shape, read = shapes[edge.source], None
        for number, operation in enumerate(operations):
            moment += 1
            shape = operation.shape(shape)
            last = number == len(operations) - 1
            if last and edge.target not in begun:
                begun[edge.target] = moment
                made = None
            else:
                made = [np.prod(shape), moment, moment]
                spans.append(made)
            if read is not None:
                read[2] = moment
            read = made
        if not operations:
            moment += 1
            begun.setdefault(edge.target, moment)
        ended[edge.source] = ended[edge.target] = moment
    ended[0] = moment
    spans += [[np.prod(shapes[node]), begun[node], ended[node]] for node in begun]
    return max(
        sum(size for size, first, last in spans if first <= now <= last)
        for now in range(1, moment + 1)
    )


@pytest.mark.parametrize("seed", range(20))
def test_memory_is_the_peak_over_all_moments(seed):
    graph = random_graph(seed)
    images = (graph.inputs, 9, 7)
    assert graph.memory(images) == slow_memory(graph, images)


@pytest.mark.parametrize("name", ["nasbench201", "nasbench101", "natsbench_size", "darts"])
def test_memory_of_networks_of_spaces(name):
    space = get_space(name)
    for index in np.random.default_rng(0).integers(min(len(space), 2**60), size=4):
        graph = space.graph(space[int(index)], 10)
        assert graph.memory((3, 32, 32)) == slow_memory(graph, (3, 32, 32))


def test_memory_of_a_small_network_by_hand():
    builder = Builder()
    wide = builder.edge(0, None, Convolution(3, 8, (3, 3)))  # 8 channels beside the images
    sums = builder.edge(wide, None, Convolution(8, 8, (1, 1)), normalised=True)
    builder.edge(wide, sums, Convolution(8, 8, (3, 3)), rectified=True)  # a second term
    graph = builder.graph(builder.classified(sums, 8, 2, rectified=True))
    pixels = 36
    assert graph.memory((3, 6, 6)) == (3 + 8 + 8 + 8) * pixels

"""The canonical form: what does not change it, and what does."""

from dataclasses import replace

import numpy as np
import pytest
from tests.networks.random_graphs import random_graph

from untrained.networks.graph import Builder, Convolution, Graph, Pooling, Zero
from untrained.networks.graph_forms import canonical_form

CONV, OTHER, POOL = Convolution(2, 2, (3, 3)), Convolution(2, 2, (1, 1)), Pooling("avg", 3)


def form_of(add, *, dead_branches=False):
    """Return the form of what `add` adds to a graph; it returns the node of the output."""
    builder = Builder(2)
    return canonical_form(builder.graph(add(builder)), dead_branches=dead_branches)


def rearranged(graph, rng):
    """Return a graph with its nodes renumbered, and with the terms of sums in another order."""
    renamed = [0, *(1 + rng.permutation(len(graph.nodes) - 1)).tolist()]
    places = {node: place for place, node in enumerate(graph.order)}

    def place(edge):
        concatenated = graph.nodes[edge.target].concatenated
        return places[edge.target], 0 if concatenated else rng.random()

    edges = [
        replace(edge, source=renamed[edge.source], target=renamed[edge.target])
        for edge in sorted(graph.executed, key=place)
    ]
    nodes = [graph.nodes[renamed.index(number)] for number in range(len(renamed))]
    return Graph(tuple(nodes), tuple(edges), renamed[graph.output], inputs=graph.inputs)


@pytest.mark.parametrize("dead_branches", [False, True])
def test_the_order_of_nodes_and_of_terms_does_not_matter(dead_branches):
    rng, forms = np.random.default_rng(0), set()
    for seed in range(60):
        graph = random_graph(seed, nodes=6, most_terms=3)
        form = canonical_form(graph, dead_branches=dead_branches)
        assert form == canonical_form(rearranged(graph, rng), dead_branches=dead_branches)
        forms.add(form)
    assert len(forms) > 45  # some small graphs are one


def in_a_row(*changes):
    """Return a function that adds edges one after the other."""

    def add(builder):
        node = 0
        for operations, settings in changes:
            node = builder.edge(node, None, *operations, **settings)
        return node

    return add


def both(first, second):
    """Return a function that adds a sum of two edges of the images."""

    def add(builder):
        target = builder.node()
        for operations in (first, second):
            builder.edge(0, target, *operations)
        return target

    return add


def test_identities_and_zeros_do_not_matter():
    plain = form_of(in_a_row(((CONV,), {})))
    assert plain == form_of(in_a_row(((), {}), ((CONV,), {}), ((), {})))
    assert plain == form_of(both((CONV,), (Zero(),)))
    assert form_of(both((CONV,), (POOL,))) == form_of(both((POOL,), (CONV,)))


@pytest.mark.parametrize(
    "other",
    [
        in_a_row(((OTHER,), {})),
        in_a_row(((CONV,), {"rectified": True})),
        in_a_row(((CONV,), {"normalised": True})),
        in_a_row(((CONV,), {}), ((CONV,), {})),
        both((CONV,), ()),
        both((CONV,), (CONV,)),
        lambda builder: builder.edge(0, builder.node(rectified=True), CONV),
    ],
)
def test_what_is_computed_matters(other):
    assert form_of(other) != form_of(in_a_row(((CONV,), {})))


@pytest.mark.parametrize(("operation", "equal"), [(CONV, False), (POOL, True)])
def test_only_weights_tell_whether_a_value_is_shared(operation, equal):
    def add(builder, *, shared):
        first = builder.edge(0, None, operation)
        second = first if shared else builder.edge(0, None, operation)
        output = builder.edge(first, None, CONV)
        return builder.edge(second, output, OTHER)

    forms = [form_of(lambda b, shared=shared: add(b, shared=shared)) for shared in (True, False)]
    assert (forms[0] == forms[1]) == equal


@pytest.mark.parametrize("parts", [(1, 0), (0, 1, 2), (0, 0)])
def test_the_parts_of_a_concatenation_keep_their_places(parts):
    def add(builder, order):
        made = [builder.edge(0, None, operation) for operation in (CONV, POOL, Zero())]
        whole = builder.node(concatenated=True)
        for place in order:
            builder.edge(made[place], whole)
        return whole

    assert form_of(lambda b: add(b, parts)) == form_of(lambda b: add(b, parts))
    assert form_of(lambda b: add(b, parts)) != form_of(lambda b: add(b, (0, 1)))
    if 2 in parts:
        assert form_of(lambda b: add(b, parts)) != form_of(lambda b: add(b, (2, 0, 1)))


def test_dead_branches_matter_where_they_are_asked_for():
    def add(builder, operation):
        dead = builder.edge(0, None, operation)
        output = builder.edge(0, None, CONV)
        return builder.edge(dead, output, Zero())

    first, second = (lambda b, one=one: add(b, one) for one in (CONV, OTHER))
    assert form_of(first) == form_of(second) == form_of(in_a_row(((CONV,), {})))
    assert form_of(first, dead_branches=True) != form_of(second, dead_branches=True)

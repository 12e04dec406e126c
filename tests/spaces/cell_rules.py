"""Rules for cells of NAS-Bench-201 that the package's own are compared with."""

from untrained.networks.graph_forms import canonical_form
from untrained.networks.nasbench201 import cell_graph
from untrained.spaces.nasbench201 import EDGES

CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")
PATHS = ([(0, 3)], [(0, 1), (1, 3)], [(0, 2), (2, 3)], [(0, 1), (1, 2), (2, 3)])


def live_edges(operations):
    """The edges on paths from the input to the output, with their operations."""
    given = dict(zip(EDGES, operations, strict=True))
    paths = [path for path in PATHS if all(given[edge] != "none" for edge in path)]
    return {edge: given[edge] for path in paths for edge in path}


def computed_function(operations):
    """The rule of `representatives`."""
    return canonical_form(cell_graph(operations))


def executed_function(operations):
    """The rule of `executed_representatives`."""
    return canonical_form(cell_graph(operations), dead_branches=True)


def isomorphic(operations):
    """`live_edges` up to an exchange of the inner nodes."""
    edges = live_edges(operations)
    key = tuple(sorted(edges.items()))
    if (1, 2) in edges:
        return key
    swap = {0: 0, 1: 2, 2: 1, 3: 3}
    swapped = {(swap[source], swap[target]): edges[source, target] for source, target in edges}
    return min(key, tuple(sorted(swapped.items())))


def path_tree(operations):
    """The key by which the NAS-Bench-201 paper (section 2) counts 6,466 unique topologies.

    Terms are sorted as text and nested sums are not flattened, so the count hangs on how the
    terms are written ("(source)@operation", "0" for the input, "#" for nothing).
    """
    by_edge = dict(zip(EDGES, operations, strict=True))
    nodes = ["0"]
    for target in (1, 2, 3):
        terms = []
        for source in range(target):
            operation = by_edge[source, target]
            if operation == "none" or nodes[source] == "#":
                terms.append("#")
            elif operation == "skip_connect":
                terms.append(nodes[source])
            else:
                terms.append(f"({nodes[source]})@{operation}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def singular_as_released(operations):
    """Whether the released NASWOT code gives this cell a log-determinant of minus infinity.

    So it is iff nothing reaches the output and no convolution reads a node that the input reaches:
    then no rectifier in a cell sees anything but zeros.
    """
    by_edge = dict(zip(EDGES, operations, strict=True))
    reached = {0}
    for source, target in EDGES:
        if source in reached and by_edge[source, target] != "none":
            reached.add(target)
    return 3 not in reached and not any(
        source in reached and operation in CONVOLUTIONS
        for (source, _), operation in by_edge.items()
    )

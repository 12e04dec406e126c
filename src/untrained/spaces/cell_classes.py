"""When do two NAS-Bench-201 cells count as one?  Four rules, from the finest to the coarsest.

Each function maps the six operations of a cell to a key; cells with equal keys are one class.

==========================  =======  ==============================================================
rule                        classes  two cells are one if they ...
==========================  =======  ==============================================================
`live_edges`                  9,445  differ only in edges that carry nothing to the output
`isomorphic`                  8,765  ... or by exchanging the inner nodes 1 and 2
`computed_function`           5,260  ... or by identities: a skip connection is its source, and a
                                     node whose sum is read through a skip is that sum. Weights
                                     that are shared stay shared.
`path_tree`                   6,466  write the same sum over paths, with dropped operations as a
                                     symbol of their own: the rule of the NAS-Bench-201 paper. It
                                     unshares weights, so it also merges cells that differ
==========================  =======  ==============================================================

9,445 is the list of NAS-Bench-Suite-Zero. `path_tree` is neither finer nor coarser than the
others: it keeps "plus nothing" apart and merges one shared convolution with two separate ones.
A fifth rule, `executed_function` (7,189 classes, finer than `computed_function`), also tells apart
what dead branches execute.
"""

from collections.abc import Callable
from itertools import permutations, product

#: (source, target) of each edge, in the order of the spelling.
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
_CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")

Edge = tuple[int, int]


def live_edges(operations: tuple[str, ...]) -> dict[Edge, str]:
    """The edges on a path from the input to the output, with their operations."""
    edges = {
        edge: operation
        for edge, operation in zip(EDGES, operations, strict=True)
        if operation != "none"
    }
    forward, backward = {0}, {3}
    for source, target in EDGES:  # sorted by target, so a source is settled before it is read
        if source in forward and (source, target) in edges:
            forward.add(target)
    for source, target in sorted(EDGES, reverse=True):
        if target in backward and (source, target) in edges:
            backward.add(source)
    live = forward & backward
    return {edge: edges[edge] for edge in edges if set(edge) <= live}


def isomorphic(operations: tuple[str, ...]) -> tuple[tuple[Edge, str], ...]:
    """`live_edges` up to an exchange of the inner nodes."""
    edges = live_edges(operations)
    key = tuple(sorted(edges.items()))
    if (1, 2) in edges:
        return key
    swap = {0: 0, 1: 2, 2: 1, 3: 3}
    swapped = {(swap[source], swap[target]): edges[source, target] for source, target in edges}
    return min(key, tuple(sorted(swapped.items())))


def computed_function(operations: tuple[str, ...]) -> str:
    """The cell's output as an expression: equal for cells that compute the same function.

    A value is a multiset of terms: the input, a pooled value, or a convolution of a value. Every
    convolution is named, since it has weights of its own; of all namings the least expression is
    taken. Names are exchanged only among convolutions with equal unnamed expressions.
    """
    return _least_expression(live_edges(operations), lambda edges, names: _value(edges, 3, names))


def executed_function(operations: tuple[str, ...]) -> str:
    """`computed_function` beside all convolutions that a forward pass executes, dead ones too."""
    edges = {
        edge: operation
        for edge, operation in zip(EDGES, operations, strict=True)
        if operation != "none"
    }

    def expression(edges: dict[Edge, str], names: dict[Edge, str]) -> str:
        executed = sorted(_term(edges, edge, names) for edge in names)
        return f"{_value(edges, 3, names)} beside {executed}"

    return _least_expression(edges, expression)


def _least_expression(
    edges: dict[Edge, str], expression: Callable[[dict[Edge, str], dict[Edge, str]], str]
) -> str:
    """The least of `expression(edges, names)` over all namings of the convolutions."""
    convolutions = [edge for edge, operation in edges.items() if operation in _CONVOLUTIONS]
    unnamed = dict.fromkeys(convolutions, "")
    groups: dict[str, list[Edge]] = {}
    for edge in convolutions:
        groups.setdefault(_term(edges, edge, unnamed), []).append(edge)
    ordered = [groups[expression] for expression in sorted(groups)]
    expressions = []
    for namings in product(*(permutations(group) for group in ordered)):
        flat = [edge for naming in namings for edge in naming]
        expressions.append(expression(edges, {edge: f"#{i}" for i, edge in enumerate(flat)}))
    return min(expressions)


def _terms(edges: dict[Edge, str], node: int, names: dict[Edge, str]) -> list[str]:
    if node == 0:
        return ["x"]
    terms = []
    for source in range(node):
        if (source, node) not in edges:
            continue
        if edges[source, node] == "skip_connect":
            terms += _terms(edges, source, names)
        else:
            terms.append(_term(edges, (source, node), names))
    return sorted(terms)


def _term(edges: dict[Edge, str], edge: Edge, names: dict[Edge, str]) -> str:
    return f"{edges[edge]}{names.get(edge, '')}({_value(edges, edge[0], names)})"


def _value(edges: dict[Edge, str], node: int, names: dict[Edge, str]) -> str:
    return "+".join(_terms(edges, node, names))


def path_tree(operations: tuple[str, ...]) -> str:
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


def singular_as_released(operations: tuple[str, ...]) -> bool:
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
        source in reached and operation in _CONVOLUTIONS
        for (source, _), operation in by_edge.items()
    )

"""Group equivalent cells of NAS-Bench-201 by three rules, each a key of a cell's six operations.

Cells with equal keys are in the same class:

- `live_edges` (9,445 classes): they differ only in edges that are on no path to the output;
- `computed_function` (5,260 classes): they compute the same function, where the inner nodes 1 and 2
  may be exchanged and skip connections are identities. Shared weights stay shared;
- `executed_function` (7,189 classes): they compute the same function, and their dead branches
  execute the same operations.

NAS-Bench-Suite-Zero lists 9,445 classes. The rule of the NAS-Bench-201 paper is in
`tests/spaces/cell_rules.py`; it does not keep weights shared, so it also merges different cells.
"""

from collections.abc import Callable
from itertools import permutations, product

#: (source, target) of each edge, in the order of the spelling.
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
_CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")

Edge = tuple[int, int]


def _edges(operations: tuple[str, ...]) -> dict[Edge, str]:
    pairs = zip(EDGES, operations, strict=True)
    return {edge: operation for edge, operation in pairs if operation != "none"}


def live_edges(operations: tuple[str, ...]) -> dict[Edge, str]:
    """Return the edges on paths from the input to the output, with their operations."""
    edges = _edges(operations)
    forward, backward = {0}, {3}
    for source, target in EDGES:  # sorted by target, so a source is settled before it is read
        if source in forward and (source, target) in edges:
            forward.add(target)
    for source, target in sorted(EDGES, reverse=True):
        if target in backward and (source, target) in edges:
            backward.add(source)
    live = forward & backward
    return {edge: edges[edge] for edge in edges if set(edge) <= live}


def computed_function(operations: tuple[str, ...]) -> str:
    """Return the cell's output as an expression, equal for cells that compute the same function.

    A value is a multiset of terms: the input, a pooled value, or a convolution of a value. Every
    convolution has a name, since it has its own weights; of all namings the least expression is
    taken. Names are exchanged only among convolutions with equal unnamed expressions.
    """
    return _least_expression(live_edges(operations), lambda edges, names: _value(edges, 3, names))


def executed_function(operations: tuple[str, ...]) -> str:
    """Return `computed_function` and all convolutions that are executed, including dead ones."""

    def expression(edges: dict[Edge, str], names: dict[Edge, str]) -> str:
        executed = sorted(_term(edges, edge, names) for edge in names)
        return f"{_value(edges, 3, names)} beside {executed}"

    return _least_expression(_edges(operations), expression)


def _least_expression(
    edges: dict[Edge, str], expression: Callable[[dict[Edge, str], dict[Edge, str]], str]
) -> str:
    """Return the least of `expression(edges, names)` over all namings of the convolutions."""
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

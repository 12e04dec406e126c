"""The canonical form of a graph: a text that is equal where graphs compute the same function.

Identities are contracted, zeros and dead branches are dropped, and the terms of a sum have no
order; the parts of a concatenation keep theirs. Every edge with weights has a name, by which its
readers refer to it, so shared weights stay shared. Of all namings the least text is taken.

Names are exchanged only among edges whose unnamed expressions are equal. All orders of those are
tried, so this is for cells rather than for whole networks.
"""

from collections import defaultdict
from functools import cache
from itertools import permutations, product

from untrained.networks.graph import Graph, Node, Operation

_PLAIN_SUM = Node()


def canonical_form(graph: Graph, *, dead_branches: bool = False) -> str:
    """Return the form of a graph.

    Args:
        graph: the graph.
        dead_branches: whether edges that are executed, but are on no path from the images to the
            output, are part of the form.
    """
    edges = graph.edges
    incoming: dict[int, list[int]] = defaultdict(list)
    functions: dict[int, str] = {}
    names: dict[int, str] = {}
    for place, edge in enumerate(graph.executed):
        counts = not edge.constant if dead_branches else graph.live(edge)
        if counts or graph.nodes[edge.target].concatenated:  # whose parts keep their places
            incoming[edge.target].append(place)
            functions[place] = _function(edge.operations, edge.rectified, edge.normalised)

    def value(node: int) -> str:
        kind = graph.nodes[node]
        if kind.concatenated:
            made = f"[{', '.join(value(edges[place].source) for place in incoming[node])}]"
        else:
            made = " + ".join(sorted(terms(node)))
        return f"max({made}, 0)" if kind.rectified else made

    def terms(node: int) -> list[str]:
        if node == 0:
            return ["images"]
        found = []
        for place in incoming[node]:
            source = edges[place].source
            if place in names:
                found.append(names[place])
            elif functions[place] or graph.nodes[source] != _PLAIN_SUM:
                found.append(written(place))
            else:
                found += terms(source)
        return found

    def written(place: int) -> str:
        return f"{functions[place]}({value(edges[place].source)})"

    alike: dict[str, list[int]] = defaultdict(list)
    for place in functions:
        if edges[place].normalised or edges[place].weighted:
            names[place] = written(place)  # so far the expression is the name
            alike[names[place]].append(place)
    forms = []
    for orders in product(*(permutations(alike[one]) for one in sorted(alike))):
        order = [place for own in orders for place in own]
        for number, place in enumerate(order):
            names[place] = f"#{number}"
        forms.append(f"{value(graph.output)}, where {[written(place) for place in order]}")
    return min(forms)


@cache
def _function(operations: tuple[Operation, ...], rectified: bool, normalised: bool) -> str:
    """Describe the function of an edge."""
    words = (*("rectify",) * rectified, *map(repr, operations), *("normalise",) * normalised)
    return " then ".join(words)

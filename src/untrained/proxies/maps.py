"""The maps that the blocks of a network hand on to each other."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from untrained.networks.graph import Graph
from untrained.proxies.gradients import LAYERS

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
CONVOLUTIONS = tuple(one for one in LAYERS if one is not nn.Linear)


@contextmanager
def maps_between_blocks(network: nn.Module, images: int) -> Iterator[list[Tensor]]:
    """Yield a list to which a forward pass adds maps (N, C, H, W) in order, from the first block.

    In a network of a graph they are the values of `Graph.cells`, or else of `Graph.bottlenecks`.
    Otherwise they are the outputs of blocks. Blocks are the modules with convolutions that the
    network consists of once containers (`nn.Sequential`, `nn.ModuleList`, `nn.ModuleDict`) are
    opened, and so is a single module that contains all others.

    Args:
        network: a network, whose hooks are removed when the block ends.
        images: N; outputs of another form are no maps.
    """
    maps: list[Tensor] = []

    def add(value: object) -> bool:
        fits = isinstance(value, Tensor) and value.ndim == 4 and len(value) == images
        if isinstance(value, Tensor) and fits:
            maps.append(value)
        return fits

    def note_input(_module: nn.Module, inputs: tuple[object, ...]) -> None:
        add(inputs[0])

    def note_output(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
        # what comes next may overwrite it
        return output.clone() if add(output) else None

    graph = getattr(network, "graph", None)
    if isinstance(graph, Graph):
        readers = {edge.source: place for place, edge in reversed(list(enumerate(graph.executed)))}
        connections = network.get_submodule("connections")
        wanted = [one for one in graph.cells or graph.bottlenecks if one in readers]
        handles = [
            connections.get_submodule(str(readers[one])).register_forward_pre_hook(note_input)
            for one in wanted
        ]
    else:
        handles = [one.register_forward_hook(note_output) for one in blocks_of(network)]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Return the blocks of a network of one's own; see `maps_between_blocks`."""
    found = _opened(network)
    while len(found) == 1 and (parts := _opened(found[0])):
        found = parts
    return found


def _opened(module: nn.Module) -> list[nn.Module]:
    """Return the parts of a module that have convolutions, with containers opened."""
    parts: list[nn.Module] = []
    for child in module.children():
        if any(isinstance(one, CONVOLUTIONS) for one in child.modules()):
            parts += _opened(child) if type(child) in _CONTAINERS else [child]
    return parts

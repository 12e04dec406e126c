"""The size space of NATS-Bench (Dong, Liu, Musial and Gabrys, TPAMI 2021).

The cell is fixed; an architecture is the widths (numbers of channels) of five layers, each one of
eight, which makes 8^5 = 32,768. An index is the widths read as a number to base 8.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from untrained.errors import ArchitectureError, quoted
from untrained.spaces import literals
from untrained.spaces.base import Architecture, BenchmarkFacts, Drawing, GraphSpace, Skeleton, Words

if TYPE_CHECKING:
    from untrained.networks.graph import Graph

#: Channels that a layer may have.
WIDTHS = tuple(range(8, 65, 8))
LAYERS = 5


def widths_of(spelling: str) -> tuple[int, ...]:
    """Return the widths of the five layers, first to last.

    Raises:
        ArchitectureError: no architecture is spelled so; the message names the wrong layer.
    """
    words = spelling.split(":")
    if len(words) != LAYERS:
        raise ArchitectureError(
            f"{quoted(spelling)} has {len(words)} widths: an architecture spells {LAYERS}, joined "
            "by ':', as in '8:16:32:48:64'"
        )
    known = {str(width): width for width in WIDTHS}
    for layer, word in enumerate(words, start=1):
        if word not in known:
            raise ArchitectureError(
                f"layer {layer} has the width {quoted(word)}: it has one of {', '.join(known)}"
            )
    return tuple(known[word] for word in words)


def spelling_of(widths: tuple[int, ...]) -> str:
    """Return the benchmark's notation of five widths."""
    return ":".join(map(str, widths))


class NatsBenchSize(GraphSpace):
    """All 32,768 architectures in the benchmark's own order, and their networks."""

    name = "natsbench_size"
    summary = "widths of five layers around a fixed cell (NATS-Bench; 32,768 networks)"
    datasets = ("cifar10", "cifar100", "ImageNet16-120")
    words = Words("networks", "widths", "layers")
    benchmark = BenchmarkFacts(
        full_epochs=90,
        short_epochs=12,
        has_times=True,
        converter="untrained.benchmarks.natsbench_size:convert",
    )
    ordered = True
    #: From narrow to wide, as the authors' searches number them.
    option_order = tuple(map(str, WIDTHS))

    def __len__(self) -> int:
        return int(len(WIDTHS) ** LAYERS)

    def spelling(self, index: int) -> str:
        """See `SearchSpace.spelling`."""
        places = np.unravel_index(index, (len(WIDTHS),) * LAYERS)
        return spelling_of(tuple(WIDTHS[int(place)] for place in places))

    def index_at(self, spelling: str) -> int:
        """See `SearchSpace.index_at`; a tuple or a list of the five widths will do too."""
        with suppress(ValueError):
            spelling = ":".join(map(str, literals.listed(literals.read(spelling)) or [spelling]))
        return self._index(widths_of(literals.close(spelling, ":")))

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Change the width of one layer.

        The benchmark's own evolution may draw the width that the layer had; this mutation does not.
        """
        widths = list(widths_of(architecture.spelling))
        layer = int(rng.integers(LAYERS))
        others = [width for width in WIDTHS if width != widths[layer]]
        widths[layer] = others[int(rng.integers(len(others)))]
        return self[self._index(widths)]

    def drawings(self, architecture: Architecture) -> tuple[Drawing, ...]:
        """Draw the layers as a chain; a layer has its number of channels."""
        widths = tuple(f"{width} channels" for width in widths_of(architecture.spelling))
        edges = tuple((layer, layer + 1, "") for layer in range(LAYERS + 1))
        return (Drawing(("images", *widths, "classes"), edges),)

    def graph(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "Graph":
        """Return the benchmark's network of these widths.

        See `GraphSpace.graph` and `untrained.networks.nasbench201`.

        Raises:
            ParameterError: a skeleton is given, which would replace the widths.
        """
        self.refuse_skeleton(skeleton)
        from untrained.networks.nasbench201 import size_network

        return size_network(widths_of(architecture.spelling), num_classes)

    @staticmethod
    def _index(widths: Sequence[int]) -> int:
        index = 0
        for width in widths:
            index = index * len(WIDTHS) + WIDTHS.index(width)
        return index

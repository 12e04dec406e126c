"""What search spaces share."""

from collections.abc import Sized
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from untrained.networks.plans import Planned


#: Up to this size a space is listed architecture by architecture where a table needs it. A larger
#: one is sampled, mutated and parsed, and its indices are names.
LISTED = 10_000_000


@dataclass(frozen=True, order=True)
class Architecture:
    """One architecture of a space.

    Attributes:
        space: name of the space.
        index: position in the space's own order.
        spelling: the space's own notation.
    """

    space: str
    index: int
    spelling: str

    def __str__(self) -> str:
        return self.spelling


@dataclass(frozen=True)
class Skeleton:
    """A network smaller than the benchmark's around the same cell.

    Attributes:
        channels: of the first stage; each stage has twice those of the one before.
        cells: per stage.
        stages: 1 to 3.
        stem: whether a convolution makes the first channels of images with three; without it the
            first cell reads images with `channels` channels.
    """

    channels: int
    cells: int
    stages: int = 3
    stem: bool = True

    def __str__(self) -> str:
        stem = "" if self.stem else ", no stem"
        return (
            f"{self.channels} channel(s), {self.cells} cell(s) in each of {self.stages} stage(s)"
            + stem
        )


class AllDistinct(Sized):
    """Of spaces in which no two architectures compute the same function, or execute the same."""

    def canonical(self, architecture: Architecture) -> Architecture:
        """The architecture itself."""
        return architecture

    @cached_property
    def representatives(self) -> NDArray[np.int64]:
        """(len,): each index itself."""
        return np.arange(len(self))

    @property
    def executed_representatives(self) -> NDArray[np.int64]:
        """See `representatives`."""
        return self.representatives


class SearchSpace(Protocol):
    """What a search, a proxy and a report need to know of a space."""

    @property
    def name(self) -> str:
        """The registered name."""
        ...

    @property
    def datasets(self) -> tuple[str, ...]:
        """The image sets whose training its benchmark has, which it may be scored on."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Architecture: ...

    def parse(self, text: str | int) -> Architecture:
        """The architecture with this index (as number or digits) or spelling.

        Raises:
            ArchitectureError: no such architecture; the message points at the wrong part.
        """
        ...

    def sample(self, rng: np.random.Generator) -> Architecture:
        """An architecture drawn uniformly."""
        ...

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """A neighbour of `architecture`, drawn uniformly; never the architecture itself."""
        ...

    def canonical(self, architecture: Architecture) -> Architecture:
        """The representative (lowest index) of the architectures that compute the same function."""
        ...

    @property
    def representatives(self) -> NDArray[np.int64]:
        """(len,): index of the canonical architecture of each architecture.

        Raises:
            ParameterError: the space is larger than `LISTED`.
        """
        ...

    @property
    def executed_representatives(self) -> NDArray[np.int64]:
        """(len,): lowest index of an architecture that executes the same, dead branches included.

        Finer than `representatives`, and raises where that does.
        """
        ...

    @property
    def planned(self) -> "Callable[[Architecture], Planned] | None":
        """Builds a faster equivalent of the network for its rectifiers; None without one.

        It draws the same weights as `network` from PyTorch's generator.
        """
        ...

    def network(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "nn.Module":
        """The architecture as a module in training mode, initialised as PyTorch does by default.

        Args:
            architecture: of this space.
            num_classes: outputs of the classifier.
            skeleton: around the cell; the benchmark's by default.
        """
        ...


def index_of(digits: str) -> int:
    """The number in decimal digits.

    Raises:
        ArchitectureError: it has more digits than any index.
    """
    from untrained.errors import ArchitectureError

    if len(digits) > 20:
        raise ArchitectureError(f"a number of {len(digits)} digits is no index: give one in range")
    return int(digits)


def draw_without_replacement(
    space: SearchSpace, count: int, seed: int, among: NDArray[np.int64] | None = None
) -> list[int]:
    """Sorted indices of `count` distinct architectures, the same for the same seed.

    Args:
        space: of the architectures.
        count: how many.
        seed: of the draw.
        among: (m,) indices that are drawn from; None for all.

    Raises:
        ParameterError: `count` is not in 1..m.
    """
    from untrained.errors import ParameterError
    from untrained.seeds import numpy_generator

    size = len(space) if among is None else len(among)
    if not 1 <= count <= size:
        known = "" if among is None else " with a known accuracy"
        raise ParameterError(
            f"{count} architectures asked of {space.name}: it has 1 to {size} of them{known}"
        )
    drawn = numpy_generator(seed, "sample of the space").choice(size, count, replace=False)
    return sorted(int(index) for index in (drawn if among is None else among[drawn]))

"""What search spaces share."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ArchitectureError, ParameterError

if TYPE_CHECKING:
    from torch import nn

    from untrained.networks.plans import Planned

#: Up to this size a space is listed architecture by architecture where a table needs it. A larger
#: one is sampled, mutated and parsed, and its indices are names.
LISTED = 10_000_000
#: Of an index; Python refuses to read numbers of thousands of digits.
_MOST_DIGITS = 20


class NotApplicable(Exception):  # noqa: N818 - an outcome, not an error
    """An architecture has no network with the skeleton that a proxy is read off."""


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


@dataclass(frozen=True)
class Words:
    """What a report calls the parts of the architectures of a space, in the plural.

    Attributes:
        members: the architectures.
        options: what is counted.
        places: what takes one option each.
    """

    members: str = "architectures"
    options: str = "options"
    places: str = "decisions"


@dataclass(frozen=True)
class BenchmarkFacts:
    """What is known of the benchmark table of a space before it is read.

    Attributes:
        full_epochs: of the full training, which reports are about; None for the longest training
            that the table has.
        short_epochs: of the short training that searches see; None if there is none.
        has_times: whether the table has training times.
        partial: whether a table may know some of the architectures only.
        bundled: the table that comes with the package of the space; None without one.
        bundled_sample: whether the bundled table knows a small sample of the space.
        converter: address of a function that makes a table of official files, a
            `untrained.benchmarks.fetch.Converter`; None if nothing is converted.
        fetch: address of the function that brings the table to where commands look for it; it
            takes (space, target, source, mirror, progress) as
            `untrained.benchmarks.fetch.fetch_table` does, which takes a table, converts official
            files or copies the bundled table.
        ablated_by: (data set, split) of the accuracy after which ablations choose architectures.
    """

    full_epochs: int | None = None
    short_epochs: int | None = None
    has_times: bool = False
    partial: bool = False
    bundled: Path | None = None
    bundled_sample: bool = False
    converter: str | None = None
    fetch: str = "untrained.benchmarks.fetch:fetch_table"
    ablated_by: tuple[str, str] | None = None


class SearchSpace(ABC):
    """What a search, a proxy and a report need to know of a space.

    One gives `name`, `summary`, `__len__`, `spelling` and `network`. Without more it is a space of
    architectures that all differ, which is scored on CIFAR-10, has no benchmark, and of which no
    architecture neighbours another.

    Attributes:
        name: the registered name.
        summary: which architectures it has, in one line without a full stop.
        datasets: the data sets whose trainings its benchmark has, which it may be scored on.
        words: what reports call its parts.
        benchmark: what is known of its benchmark; None without one.
        supernet: address of a function that returns what a pruning search needs to know of the
            space (`untrained.search.supernets.PrunedSpace`); None without a supernet.
        ablations: the experiments of `untrained.scoring.ablations` that make sense on it.
        ordered: whether all architectures make the same choices out of the same options, so that
            one can ask which options the best ones prefer.
        planned: builds a faster equivalent of the network for its rectifiers, which draws the same
            weights as `network` from PyTorch's generator; None without one.
    """

    name: str
    summary: str
    datasets: tuple[str, ...] = ("cifar10",)
    words = Words()
    benchmark: BenchmarkFacts | None = None
    supernet: str | None = None
    ablations: tuple[str, ...] = ()
    ordered = False
    planned: "Callable[[Architecture], Planned] | None" = None

    @property
    def label(self) -> str:
        """What tables and figures call it: its name, unless a space says otherwise."""
        return self.name

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def spelling(self, index: int) -> str:
        """The notation of an architecture; the index is in range."""

    @abstractmethod
    def network(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "nn.Module":
        """The architecture as a module in training mode, initialised as PyTorch does by default.

        Args:
            architecture: of this space.
            num_classes: outputs of the classifier.
            skeleton: around the cell; the benchmark's by default.

        Raises:
            NotApplicable: this architecture, unlike others, can't be built in the skeleton.
        """

    def __getitem__(self, index: int) -> Architecture:
        if not 0 <= index < len(self):
            raise ArchitectureError(
                f"index {index} is not in {self.name}: it has 0 to {len(self) - 1}"
            )
        return Architecture(self.name, int(index), self.spelling(index))

    def parse(self, text: str | int) -> Architecture:
        """The architecture with this index (as number or digits) or spelling.

        Raises:
            ArchitectureError: no such architecture; the message points at the wrong part.
        """
        stripped = str(text).strip()
        digits = stripped.removeprefix("-")
        if digits.isdecimal():
            if len(digits) > _MOST_DIGITS:
                raise ArchitectureError(
                    f"a number of {len(digits)} digits is no index: give one in range"
                )
            return self[int(stripped)]
        return self[self.index_at(stripped)]

    def index_at(self, spelling: str) -> int:
        """The index of the architecture that is spelled so, or is the same if spelled otherwise.

        Raises:
            ArchitectureError: there is none.
        """
        if spelling not in self._indices:
            raise ArchitectureError(
                f"{self.name} has no {spelling}: spell one of its {len(self)} architectures, or "
                f"give an index from 0 to {len(self) - 1}"
            )
        return self._indices[spelling]

    @cached_property
    def _indices(self) -> dict[str, int]:
        """Spelling to its lowest index."""
        indices: dict[str, int] = {}
        for index in range(len(self)):
            indices.setdefault(self.spelling(index), index)
        return indices

    def sample(self, rng: np.random.Generator) -> Architecture:
        """An architecture drawn uniformly."""
        return self[int(rng.integers(len(self)))]

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """A neighbour of `architecture`, drawn uniformly; never the architecture itself.

        Raises:
            ParameterError: no architecture neighbours another.
        """
        del architecture, rng
        raise ParameterError(
            f"no architecture of {self.name} neighbours another: take an algorithm that doesn't "
            "mutate, such as random, or another space"
        )

    def canonical(self, architecture: Architecture) -> Architecture:
        """The representative (lowest index) of the architectures that compute the same function."""
        return self[int(self.representatives[architecture.index])]

    @cached_property
    def representatives(self) -> NDArray[np.int64]:
        """(len,): index of the canonical architecture of each architecture.

        Raises:
            ParameterError: the space is larger than `LISTED`.
        """
        return np.arange(len(self))

    @property
    def executed_representatives(self) -> NDArray[np.int64]:
        """(len,): lowest index of an architecture that executes the same, dead branches included.

        Finer than `representatives`, and raises where that does.
        """
        return self.representatives

    def tabulated(self, table: Path) -> int | None:
        """How many architectures a benchmark table at this path may know; None if unknown."""
        del table
        return len(self) if len(self) <= LISTED else None

    def refuse_skeleton(self, skeleton: Skeleton | None) -> None:
        """Raise `ParameterError` where a skeleton is asked for that the space has no network of."""
        if skeleton is not None:
            raise ParameterError(
                f"{self.name} has no network of {skeleton}: take a variant that reads the "
                "benchmark's network, such as ntk_condition_number-weights_eval"
            )


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
    from untrained.seeds import numpy_generator

    size = len(space) if among is None else len(among)
    if not 1 <= count <= size:
        known = "" if among is None else " with a known accuracy"
        raise ParameterError(
            f"{count} architectures asked of {space.name}: it has 1 to {size} of them{known}"
        )
    drawn = numpy_generator(seed, "sample of the space").choice(size, count, replace=False)
    return sorted(int(index) for index in (drawn if among is None else among[drawn]))

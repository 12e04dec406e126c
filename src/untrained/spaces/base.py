"""The base class of search spaces, and the values that describe them."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ArchitectureError, ParameterError, quoted
from untrained.plugins import blamed
from untrained.seeds import LARGEST

if TYPE_CHECKING:
    from torch import nn

    from untrained.networks.graph import Graph

#: The largest number of architectures that are ever listed; larger spaces are only sampled, mutated
#: and parsed.
LISTED = 10_000_000
#: The most digits of an index; Python refuses to parse numbers of thousands of digits.
_MOST_DIGITS = 30

#: The experiments of `untrained.scoring.ablations`.
Experiment = Literal["minibatch", "noise", "initialisation", "batch-size", "variance"]


class NotApplicable(Exception):  # noqa: N818 - an outcome, not an error
    """Signals that an architecture cannot be built in the skeleton that a proxy needs."""


@dataclass(frozen=True, order=True)
class Architecture:
    """One architecture of a space.

    Attributes:
        space: the name of the space.
        index: the position in the space's order.
        spelling: the architecture in the space's notation.
    """

    space: str
    index: int
    spelling: str

    def __str__(self) -> str:
        return self.spelling


@dataclass(frozen=True)
class Drawing:
    """A small graph that shows an architecture, or a part of it, to people.

    Attributes:
        nodes: the label of each node; every edge leads to a later one.
        edges: (source, target, label) of each edge, the label empty where there is nothing to say.
        title: what it shows, where an architecture has several drawings.
    """

    nodes: tuple[str, ...]
    edges: tuple[tuple[int, int, str], ...]
    title: str = ""


@dataclass(frozen=True)
class Skeleton:
    """Describes a smaller network than the benchmark's, built of the same cell.

    Attributes:
        channels: the channels of the first stage; they double from stage to stage.
        cells: the number of cells of a stage.
        stages: the number of stages, 1 to 3.
        stem: whether a convolution reads images with three channels; without it, the first cell
            reads images with `channels` channels.
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
    """The plural nouns by which reports name the parts of a space.

    Attributes:
        members: the architectures.
        options: the options that architectures choose from.
        places: the parts of an architecture that take one option each.
    """

    members: str = "architectures"
    options: str = "options"
    places: str = "decisions"


@dataclass(frozen=True)
class BenchmarkFacts:
    """Facts about the benchmark table of a space that are known before it is read.

    Attributes:
        full_epochs: the epochs of the full training; None for the longest in the table.
        short_epochs: the epochs of the short training that searches read; None if there is none.
        has_times: whether the table has training times.
        partial: whether a table may lack some architectures.
        bundled: the path of the table that is bundled with the space's package; None without one.
        bundled_sample: whether the bundled table has only a small sample of the space.
        converter: address of a function that converts official files, a
            `untrained.benchmarks.fetch.Converter`; None without one.
        fetch: address of the function that writes the table; it takes (space, target, source,
            mirror, progress) as `untrained.benchmarks.fetch.fetch_table` does.
        ablated_by: the data set and split of the accuracy by which ablations choose architectures.
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
    """A set of architectures with an order, a notation, neighbours and networks.

    A space defines `name`, `summary`, `__len__`, `spelling` and `network`; a `GraphSpace` defines
    `graph` instead of `network`. By default its architectures all differ, are scored on CIFAR-10,
    have no benchmark and no neighbours.

    Attributes:
        name: the registered name.
        summary: a one-line description of its architectures, without a full stop.
        datasets: the data sets of its benchmark, on which it may be scored.
        words: the nouns by which reports name its parts.
        benchmark: facts about its benchmark; None without one.
        supernet: address of a function that returns a `untrained.search.supernets.PrunedSpace`,
            which a pruning search needs; None without a supernet.
        ablations: the experiments of `untrained.scoring.ablations` that apply to it.
        ordered: whether all architectures make the same decisions among the same options, so that
            reports can show which options the best ones prefer.
        scores: path of a table of scores that comes with the space's package; None without one.
        devices: path of a table of latencies and energies on devices that comes with the space's
            package, see `untrained.benchmarks.devices`; None without one.
        option_order: the words of its spellings that are options, in the order in which searches
            number them; other words follow in alphabetical order.
    """

    name: str
    summary: str
    datasets: tuple[str, ...] = ("cifar10",)
    words: Words = Words()
    benchmark: BenchmarkFacts | None = None
    supernet: str | None = None
    ablations: tuple[Experiment, ...] = ()
    ordered: bool = False
    option_order: tuple[str, ...] = ()
    scores: Path | None = None
    devices: Path | None = None

    @property
    def label(self) -> str:
        """The name in tables and figures, which is `name` by default."""
        return self.name

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def size(self) -> int:
        """The number of architectures, which is `len` unless that is more than `len` can count."""
        return len(self)

    def check_numbered(self) -> None:
        """Check that 64 bits number the architectures, as in tables and in `len`.

        Raises:
            ParameterError: there are more.
        """
        if self.size > LARGEST:
            raise ParameterError(
                f"{self.name} has {self.size:.2e} architectures, too many for tables: "
                f"`untrained score {self.name}` takes them one by one"
            )

    @abstractmethod
    def spelling(self, index: int) -> str:
        """Return the notation of an architecture, whose index is in range."""

    @abstractmethod
    def network(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "nn.Module":
        """Build the network in training mode, initialised as PyTorch does by default.

        Args:
            architecture: an architecture of this space.
            num_classes: the number of outputs of the classifier.
            skeleton: the skeleton around the cell; the benchmark's by default.

        Raises:
            NotApplicable: this architecture, unlike others, cannot be built in the skeleton.
        """

    def __getitem__(self, index: int) -> Architecture:
        if not 0 <= index < self.size:
            raise ArchitectureError(
                f"index {index} is not in {self.name}: it has 0 to {self.size - 1}"
            )
        try:
            spelled = self.spelling(index)
            if not isinstance(spelled, str):
                raise TypeError(f"spelling({index}) is {spelled!r}, which is no text")  # noqa: TRY301
        except Exception:
            with blamed("space", self):
                raise
        return Architecture(self.name, int(index), spelled)

    def parse(self, architecture: object) -> Architecture:
        """Return the architecture that an index, a spelling or another tool's notation names.

        Args:
            architecture: a number or its digits; a spelling; or what another tool writes, as text
                or as the Python object (docs/spaces.md). Only digits alone are an index: a tuple
                of digits never is.

        Raises:
            ArchitectureError: there is no such architecture; the message names what is wrong.
        """
        if isinstance(architecture, Architecture) and architecture.space != self.name:
            raise ArchitectureError(
                f"{quoted(architecture.spelling)} is of the space {architecture.space}: give an "
                f"architecture of {self.name}"
            )
        with suppress(ArchitectureError):
            # by the index, since a spelling may be that of several architectures
            if isinstance(architecture, Architecture) and self[architecture.index] == architecture:
                return architecture
        text = text_of(architecture)
        if re.fullmatch("-?[0-9]+", text):
            digits = text.removeprefix("-")
            if len(digits) > _MOST_DIGITS:
                raise ArchitectureError(
                    f"a number of {len(digits)} digits is not an index: give one in range"
                )
            return self[int(text)]
        return self[self.index_at(text)]

    def index_at(self, spelling: str) -> int:
        """Return the index of the architecture with a spelling, of which it may have several.

        Raises:
            ArchitectureError: no architecture has it.
        """
        if spelling not in self._indices:
            raise ArchitectureError(
                f"{self.name} has no {spelling}: spell one of its {len(self)} architectures, or "
                f"give an index from 0 to {len(self) - 1}"
            )
        return self._indices[spelling]

    @cached_property
    def _indices(self) -> dict[str, int]:
        """Map each spelling to its lowest index."""
        indices: dict[str, int] = {}
        with blamed("space", self):
            for index in range(len(self)):
                indices.setdefault(self.spelling(index), index)
        return indices

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw an architecture uniformly."""
        return self[int(rng.integers(len(self)))]

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Draw a neighbour of `architecture`, never the architecture itself.

        Raises:
            ParameterError: the architectures have no neighbours.
        """
        del architecture, rng
        raise ParameterError(
            f"no architecture of {self.name} neighbours another: take an algorithm that doesn't "
            "mutate, such as random, or another space"
        )

    def drawings(self, architecture: Architecture) -> tuple[Drawing, ...]:
        """Return the graphs that show an architecture to people; by default there are none."""
        del architecture
        return ()

    def canonical(self, architecture: Architecture) -> Architecture:
        """Return the architecture with the lowest index that computes the same function."""
        return self[int(self.representatives[architecture.index])]

    @cached_property
    def representatives(self) -> NDArray[np.int64]:
        """The index of the canonical architecture of each architecture, (len,).

        Raises:
            ParameterError: the space is larger than `LISTED`.
        """
        return np.arange(len(self))

    @property
    def executed_representatives(self) -> NDArray[np.int64]:
        """The lowest index of an architecture that executes the same operations, (len,).

        Operations of dead branches count, so the classes are finer than those of `representatives`.
        """
        return self.representatives

    def tabulated(self, table: Path) -> int | None:
        """Return how many architectures a benchmark table may have; None if it is not known."""
        del table
        return self.size if self.size <= LISTED else None

    def refuse_skeleton(self, skeleton: Skeleton | None) -> None:
        """Raise `ParameterError` for a skeleton; spaces without one call this."""
        if skeleton is not None:
            raise ParameterError(
                f"{self.name} has no network of {skeleton}: take a variant that reads the "
                "benchmark's network, such as ntk_condition_number-weights_eval"
            )


class GraphSpace(SearchSpace):
    """A space whose architectures are graphs, which modules, costs and the fast engine follow."""

    @abstractmethod
    def graph(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "Graph":
        """Return the network as a graph; arguments and errors as in `SearchSpace.network`."""

    def network(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> "nn.Module":
        """Build the module of the architecture's graph; see `SearchSpace.network`."""
        from untrained.networks.network import GraphNetwork

        return GraphNetwork(self.graph(architecture, num_classes, skeleton))


def text_of(architecture: object) -> str:
    """Return the text of an architecture: of an object, what Python prints."""
    if isinstance(architecture, Mapping):  # some print their class around the items
        architecture = dict(architecture)
    return str(architecture).strip()


def draw_without_replacement(
    space: SearchSpace, count: int, seed: int, among: NDArray[np.int64] | None = None
) -> list[int]:
    """Draw `count` distinct architectures, and return their sorted indices.

    Args:
        space: the space of the architectures.
        count: the number of architectures.
        seed: the seed of the draw; the same seed gives the same architectures.
        among: (m,) indices to draw from; None for all.

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

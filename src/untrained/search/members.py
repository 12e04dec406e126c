"""A part of a space as a space: the scored architectures only, or those within a constraint.

Most neighbours of an architecture are not in a small part, so the part has neighbours of its own.
Two members are neighbours if they differ in at most `radius` decisions, with the least radius at
which every member can be reached from every other. 200 random cells of NAS-Bench-201 have a radius
of about 3, 1,000 of about 2; the whole space has 1, which is the space's own mutation. Within a
constraint the space's own mutation is kept, and what is rejected is drawn again.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from untrained.errors import MissingDataError, ParameterError
from untrained.search.base import Searchable
from untrained.search.choices import Choices, choices_of
from untrained.seeds import numpy_generator
from untrained.spaces.base import Architecture, SearchSpace

Integers = NDArray[np.int64]


def part_of(space: Searchable, members: Integers) -> Searchable:
    """Return the part of a space with these sorted indices (n,), or the space if they are all.

    Raises:
        MissingDataError: there are fewer than two indices.
        ParameterError: the space is no product of independent choices.
    """
    if len(members) < 2:  # a mutant is never the architecture itself
        raise MissingDataError(
            f"{len(members)} architectures of {space.name} are scored by all its proxies, and "
            "the search needs 2 or more: raise scores.architectures of params.yaml and run "
            "`snakemake scores`"
        )
    return space if len(members) == len(space) else PartOfSpace(space, members)


def tell_of_part(
    space: SearchSpace, scored: Integers, proxies: Iterable[str], tell: Callable[[str], None]
) -> None:
    """Say that a search finds nothing but the scored architectures where these are a part."""
    if len(scored) < len(space):
        tell(
            f"{len(scored):,} of {len(space):,} {space.words.members} are scored by "
            f"{', '.join(proxies)}: the search finds no others"
        )


def members_of(space: Searchable) -> Integers:
    """Return the sorted indices of the architectures of a space, or of a part of one.

    Raises:
        ParameterError: the part is not listed.
    """
    if not isinstance(space, PartOfSpace | WithinConstraint):
        return np.arange(len(space))
    if space.members is None:
        raise ParameterError(f"the architectures of {space.name} within a constraint are unknown")
    return space.members


@dataclass(frozen=True, eq=False)
class PartOfSpace:
    """A part of a space; indices are those of the whole space.

    Attributes:
        whole: the space.
        members: (n,) sorted indices.
    """

    whole: Searchable
    members: Integers
    _neighbours: dict[int, Integers] = field(default_factory=dict, init=False, repr=False)

    @property
    def name(self) -> str:
        """The name of the whole space."""
        return self.whole.name

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, index: int) -> Architecture:
        """Return the first of the members that differ from this index in the fewest decisions.

        So the nearest member stands for the proposal of a policy or a density model.
        """
        place = int(np.searchsorted(self.members, index))
        if place < len(self.members) and self.members[place] == index:
            return self.whole[index]
        differing = (self._codes != self._choices.codes[index]).sum(axis=1)
        return self.whole[int(self.members[np.argmin(differing)])]

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw a member uniformly."""
        return self.whole[int(self.members[rng.integers(len(self.members))])]

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Draw a neighbour of a member uniformly."""
        place = int(np.searchsorted(self.members, architecture.index))
        if place not in self._neighbours:
            self._neighbours[place] = self._within(place, self.radius)
        near = self._neighbours[place]
        return self.whole[int(self.members[near[rng.integers(len(near))]])]

    @cached_property
    def radius(self) -> int:
        """The largest number of decisions in which neighbours differ."""
        radius = 1
        while not self._connected(radius):
            radius += 1
        return radius

    @cached_property
    def _choices(self) -> Choices:
        return choices_of(self.whole)

    @cached_property
    def _codes(self) -> Integers:
        return self._choices.codes[self.members]

    def _within(self, place: int, radius: int) -> Integers:
        differing = (self._codes != self._codes[place]).sum(axis=1)
        return np.flatnonzero((differing <= radius) & (differing > 0))

    def _connected(self, radius: int) -> bool:
        """Return whether every member can be reached from the first."""
        reached = np.zeros(len(self.members), dtype=bool)
        reached[0] = True
        waiting = [0]
        while waiting:
            near = self._within(waiting.pop(), radius)
            new = near[~reached[near]]
            reached[new] = True
            waiting.extend(new.tolist())
        return bool(reached.all())


def only(space: Searchable, members: Integers) -> "WithinConstraint":
    """Return a space, or a part of one, without all but these sorted indices (n,)."""
    return WithinConstraint(space, frozenset(members.tolist()).__contains__, members)


#: Draws that are rejected before a mutant may be one step further away, and before a sample fails.
_MUTANTS, _SAMPLES = 100, 10_000
#: The most steps of a walk from an architecture to a mutant.
_STEPS = 8


@dataclass(frozen=True, eq=False)
class WithinConstraint:
    """A space, or a part of one, without the architectures that a constraint rejects.

    Samples and mutants that are rejected are drawn again. So a mutant is a neighbour in the space,
    drawn among those that are allowed; where none of many is, it is a neighbour's neighbour, and so
    on, or else any architecture that is allowed.

    Attributes:
        whole: the space, or the part.
        allows: tells by its index whether an architecture is allowed.
        members: (n,) sorted indices of those that are allowed; None where they are not listed.
    """

    whole: Searchable
    allows: Callable[[int], bool]
    members: Integers | None = None

    @property
    def name(self) -> str:
        """The name of the whole space."""
        return self.whole.name

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, index: int) -> Architecture:
        """Return the architecture, or an allowed one near it, the same for the same index.

        That one stands for the proposal of a policy or a density model.
        """
        found = self.whole[index]
        if self.allows(found.index):
            return found
        rng = numpy_generator(0, "allowed in the place of", index)
        try:
            return self.mutate(found, rng)
        except ParameterError:  # no architecture neighbours another
            return self.sample(rng)

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw an architecture that is allowed, uniformly.

        Raises:
            ParameterError: all of many draws were rejected.
        """
        if self.members is not None:
            # as uniform as rejection is, where few are allowed too
            index = int(self.members[rng.integers(len(self.members))])
            return self.whole[index]
        for _ in range(_SAMPLES):
            drawn = self.whole.sample(rng)
            if self.allows(drawn.index):
                return drawn
        raise ParameterError(
            f"the constraint rejected {_SAMPLES:,} random architectures of {self.name} in a row: "
            "allow more"
        )

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Draw a neighbour that is allowed, never `architecture` itself; see the class."""
        for steps in range(1, _STEPS + 1):
            for _ in range(_MUTANTS):
                mutant = architecture
                for _ in range(steps):
                    mutant = self.whole.mutate(mutant, rng)
                if mutant.index != architecture.index and self.allows(mutant.index):
                    return mutant
        while (drawn := self.sample(rng)).index == architecture.index:
            pass
        return drawn

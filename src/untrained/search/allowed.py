"""The architectures of a space that a constraint allows, and the search among them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError
from untrained.scoring.constraints import Constraint
from untrained.scoring.quantities import Costs
from untrained.search.base import Searchable
from untrained.search.members import PartOfSpace, WithinConstraint, members_of, only
from untrained.seeds import numpy_generator

#: Architectures that are tried at most before a search that computes its quantities on demand.
_TRIED = 1000


@dataclass(frozen=True, eq=False)
class Allowed:
    """A constraint on the architectures of a space.

    Attributes:
        constraint: the constraint.
        costs: what its quantities are of the architectures.
    """

    constraint: Constraint
    costs: Costs

    @property
    def listed(self) -> bool:
        """Whether all quantities are stored, so that nothing has to be computed."""
        columns = (self.costs.column(one) for one in self.constraint.quantities)
        return all(one is not None for one in columns)

    def check(self) -> None:
        """Check before long work that all quantities can be had.

        Raises:
            UntrainedError: nothing is known of one of them.
        """
        _ = self.listed

    def __call__(self, index: int) -> bool:
        """Return whether the architecture with this index is allowed."""
        return bool(self.constraint.holds(self.costs, np.array([index]))[0])

    def among(self, space: str, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of some indices that are allowed.

        Raises:
            ParameterError: fewer than two are; the message says how near the others come.
        """
        found = indices[self.constraint.holds(self.costs, indices)]
        if len(found) < 2:
            count = "only one" if len(found) else "none"
            raise ParameterError(
                f"{count} of {len(indices):,} architectures of {space} satisfies "
                f"{str(self.constraint)!r}, and a search needs two: "
                f"{self.constraint.why_none(self.costs, indices)}"
            )
        return found

    def part_of(self, space: Searchable, *, listed: bool = False) -> Searchable:
        """Return the part of a space, or of a part of one, that is allowed.

        Args:
            space: the space, or the part.
            listed: whether all that are allowed are listed although their quantities are computed.
                Otherwise random architectures are tried until two are allowed, at most 1,000.

        Raises:
            ParameterError: fewer than two are; see `among`.
        """
        if listed or self.listed or isinstance(space, PartOfSpace) or len(space) <= _TRIED:
            return only(space, self.among(space.name, members_of(space)))
        rng, tried = numpy_generator(0, "allowed by a constraint"), dict[int, bool]()
        for _ in range(_TRIED):
            index = space.sample(rng).index
            tried[index] = tried[index] if index in tried else self(index)
            if sum(tried.values()) == 2:
                return WithinConstraint(space, self)
        return WithinConstraint(space, self, self.among(space.name, np.array(sorted(tried))))

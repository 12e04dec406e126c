"""The decisions of a proxy in a search: it picks the start, and which mutant is trained.

AREA (Mellor et al., ICML 2021, algorithm 2) starts evolution from the best-scored of a sample;
here every algorithm accepts such a start.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from untrained.errors import MissingDataError, ParameterError
from untrained.search.base import Searchable
from untrained.search.members import members_of
from untrained.search.pool import Pool, Seen
from untrained.spaces.base import Architecture


@dataclass(frozen=True, eq=False)
class Guide:
    """The decisions of a proxy in the runs of a search.

    Attributes:
        pool: the scores, higher is better; run r sees row r modulo the number of seeds.
        scored: number of architectures that are drawn from the pool, without replacement, and
            scored before the search starts; 0 for none.
        kept: number of the best-scored among them, from which the search starts.
        mutants: number of mutants that are drawn, of which the best-scored is trained.

    Raises:
        ParameterError: fewer than `scored` architectures have scores.
    """

    pool: Pool
    scored: int = 20
    kept: int = 10
    mutants: int = 1

    def __post_init__(self) -> None:
        if self.scored > len(self.pool.architectures):
            raise ParameterError(
                f"scored={self.scored}: {len(self.pool.architectures)} architectures have scores"
            )

    def seen_by(self, run: int) -> Seen:
        """Return the scores as the run of this number sees them."""
        return self.pool.of_run(run) if self.scored or self.mutants > 1 else Seen(np.empty(0))

    def start(
        self,
        space: Searchable,
        seen: Seen,
        rng: np.random.Generator,
        charge: Callable[[float], None],
    ) -> list[Architecture]:
        """Return the `kept` best-scored of `scored` architectures, the best one first.

        An undefined score loses to every other one; `charge` takes the seconds of the scores.
        """
        if not self.scored:
            return []
        drawn = rng.choice(len(self.pool.architectures), self.scored, replace=False)
        charge(self.pool.cost(drawn))
        scores = seen.values(drawn)
        best = drawn[np.argsort(-scores, kind="stable")[: self.kept]]
        return [space[int(index)] for index in self.pool.architectures[best]]

    def guided(self, space: Searchable, seen: Seen, charge: Callable[[float], None]) -> Searchable:
        """Return a space whose mutants are the best-scored of `mutants` mutants.

        Raises:
            MissingDataError: only a part of the possible mutants is scored.
        """
        if self.mutants == 1:
            return space
        members = members_of(space)
        if not np.array_equal(self.pool.architectures, members):
            raise MissingDataError(
                f"choosing among mutants needs the scores of all {len(members)} architectures, and "
                f"{len(self.pool.architectures)} have one: set scores.architectures of params.yaml "
                "to all and run `snakemake scores`"
            )
        position = {int(index): place for place, index in enumerate(members)}
        return _BestMutant(space, self.pool, seen, position, self.mutants, charge)


@dataclass(frozen=True, eq=False)
class _BestMutant:
    """A space whose mutants are the best-scored of several.

    Attributes:
        space: the space itself.
        pool: the pool of the scores, with their costs.
        seen: the scores as the run sees them.
        position: position in the pool of each index.
        mutants: number of mutants that are drawn for each.
        charge: takes the seconds of the scores.
    """

    space: Searchable
    pool: Pool
    seen: Seen
    position: Mapping[int, int]
    mutants: int
    charge: Callable[[float], None]

    @property
    def name(self) -> str:
        return self.space.name

    def __len__(self) -> int:
        return len(self.space)

    def __getitem__(self, index: int) -> Architecture:
        return self.space[index]

    def sample(self, rng: np.random.Generator) -> Architecture:
        return self.space.sample(rng)

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        drawn = [self.space.mutate(architecture, rng) for _ in range(self.mutants)]
        places = np.array([self.position[mutant.index] for mutant in drawn])
        self.charge(self.pool.cost(places))
        return drawn[int(np.argmax(self.seen.values(places)))]

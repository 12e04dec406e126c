"""Any search, guided by any proxy: where it starts, and which mutant it trains.

The architectures that NASWOT's AREA (Mellor et al., ICML 2021, algorithm 2) starts evolution from
are the best-scored of a sample; nothing in that is about evolution, so every algorithm takes such
a start.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from untrained.errors import MissingDataError, ParameterError
from untrained.search.base import Searchable
from untrained.search.pool import Pool
from untrained.spaces.base import Architecture


@dataclass(frozen=True, eq=False)
class Guide:
    """What a proxy decides.

    Attributes:
        pool: the scores, higher is better; run r sees row r modulo the number of seeds.
        scored: how many architectures are drawn from the pool, without replacement, and scored
            before the search starts; 0 for none.
        kept: how many of them the search starts from: the best-scored, the best one first.
        mutants: how many are drawn for each that is trained; the best-scored one is.
    """

    pool: Pool
    scored: int = 20
    kept: int = 10
    mutants: int = 1

    def __post_init__(self) -> None:
        if not min(self.scored, 1) <= self.kept <= self.scored:
            raise ParameterError(f"{self.kept} kept of {self.scored} scored: 1 to {self.scored}")
        if self.scored > len(self.pool.architectures):
            raise ParameterError(
                f"{self.scored} scored at the start: {len(self.pool.architectures)} have scores"
            )
        if self.mutants < 1:
            raise ParameterError(f"{self.mutants} mutants: 1 or more")

    def start(
        self,
        space: Searchable,
        run: int,
        rng: np.random.Generator,
        charge: Callable[[float], None],
    ) -> list[Architecture]:
        """The `kept` best of `scored` architectures; an undefined score loses to every other."""
        charge(self.scored * self.pool.seconds_per_score)
        drawn = rng.choice(len(self.pool.architectures), self.scored, replace=False)
        scores = _rankable(self.pool.scores[run % len(self.pool.scores), drawn])
        best = drawn[np.argsort(-scores, kind="stable")[: self.kept]]
        return [space[int(index)] for index in self.pool.architectures[best]]

    def guided(self, space: Searchable, run: int, charge: Callable[[float], None]) -> Searchable:
        """The space with the best-scored of `mutants` mutants for a mutant.

        Raises:
            MissingDataError: only a part of the space is scored.
        """
        if self.mutants == 1:
            return space
        if not np.array_equal(self.pool.architectures, np.arange(len(space))):
            raise MissingDataError(
                f"choosing among mutants needs the scores of all {len(space)} architectures, and "
                f"{len(self.pool.architectures)} have one: set scores.architectures of params.yaml "
                "to all and run `snakemake scores`"
            )
        scores = _rankable(self.pool.scores[run % len(self.pool.scores)])
        return _BestMutant(space, scores, self.mutants, self.pool.seconds_per_score, charge)


@dataclass(frozen=True, eq=False)
class _BestMutant:
    """A space whose mutants are the best-scored of several.

    Attributes:
        space: the space itself.
        scores: (n,) by index, higher is better.
        mutants: drawn for each.
        seconds_per_score: charged for each that is drawn.
        charge: takes the seconds.
    """

    space: Searchable
    scores: NDArray[np.float64]
    mutants: int
    seconds_per_score: float
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
        self.charge(self.mutants * self.seconds_per_score)
        drawn = [self.space.mutate(architecture, rng) for _ in range(self.mutants)]
        return max(drawn, key=lambda mutant: float(self.scores[mutant.index]))


def _rankable(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(scores), -np.inf, scores)

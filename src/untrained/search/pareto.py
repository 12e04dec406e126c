"""Searches for the architectures that no other one beats in all of several objectives.

NSGA-II (Deb, Pratap, Agarwal and Meyarivan, IEEE Transactions on Evolutionary Computation 6(2),
2002) on the samples and the mutants of a space, and random search, its control. Ranks and
hypervolumes are computed by moocore (López-Ibáñez et al.).

A run evaluates each architecture once. An ensemble ranks all that the run has evaluated, so that
every arrival may move the objective of all others, as in `untrained.search.pool.RankedSeen`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from untrained.proxies.ensembles import combined
from untrained.search.base import Searchable
from untrained.spaces.base import Architecture

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Returns the values (rows,) of an architecture, the better one higher, undefined if not finite.
Values = Callable[[Architecture], Sequence[float] | Floats]

#: A proposal that was evaluated before is mutated, or drawn, again, at most so many times in a row.
_PATIENCE = 1000


@dataclass(frozen=True)
class Aim:
    """An objective: the rows of an architecture's values that it is made of.

    Attributes:
        rows: the row of a single value, or those of the members of an ensemble.
        rule: the rule of the ensemble, a key of `untrained.proxies.ensembles.RULES`; empty for a
            single value.
        turned: whether less of it is wanted.
    """

    rows: tuple[int, ...]
    rule: str = ""
    turned: bool = False

    def losses(self, values: Floats) -> Floats:
        """Return the objective (n,) of values (rows, n), lower is better, NaN where undefined."""
        own = values[list(self.rows)]
        found: Floats = combined(self.rule, own) if self.rule else own[0]
        found = found if self.turned else -found
        return np.where(np.isfinite(found), found, np.nan)


@dataclass(eq=False)
class Evaluated:
    """What a run has evaluated, in order.

    Attributes:
        aims: the objectives.
        values: returns the values (rows,) of an architecture, the better one higher, NaN where
            undefined.
        most: the number of architectures after which the run ends.
        architectures: those evaluated.
    """

    aims: Sequence[Aim]
    values: Values
    most: int
    architectures: list[Architecture] = field(default_factory=list)
    _indices: set[int] = field(default_factory=set)
    _values: Floats = field(default_factory=lambda: np.empty((0, 0)))

    def __contains__(self, architecture: Architecture) -> bool:
        return architecture.index in self._indices

    def __len__(self) -> int:
        return len(self.architectures)

    @property
    def full(self) -> bool:
        """Whether the budget is spent."""
        return len(self) >= self.most

    def add(self, architecture: Architecture) -> int:
        """Evaluate an architecture that is new to the run, and return its place."""
        values = self.values(architecture)
        if not len(self):
            self._values = np.empty((self.most, len(values)))
        self._values[len(self)] = values
        self.architectures.append(architecture)
        self._indices.add(architecture.index)
        return len(self) - 1

    def losses(self, first: int | None = None) -> Floats:
        """Return the objectives (n, aims) of the first architectures evaluated, or of all.

        They are those of the time when these alone were evaluated; lower is better, NaN where
        undefined.
        """
        values = self._values[: len(self) if first is None else first].T
        return np.stack([aim.losses(values) for aim in self.aims], axis=1)

    def front(self, first: int | None = None) -> Integers:
        """Return the places (m,) of the non-dominated ones among the first evaluated, or all."""
        return non_dominated(self.losses(first))


#: Evaluates architectures of a space until the budget is spent or nothing new is found.
Searcher = Callable[[Searchable, Evaluated, np.random.Generator], None]


def sample(space: Searchable, seen: Evaluated, rng: np.random.Generator) -> None:
    """Evaluate random architectures, without replacement."""
    while not seen.full and (found := _new(lambda _: space.sample(rng), None, seen)) is not None:
        seen.add(found)


@dataclass(frozen=True)
class Nsga2:
    """Evolve a population by non-dominated ranks, and by crowding within a rank.

    A generation has as many children as there are members. A child is a mutant of the winner of a
    binary tournament, and is mutated again while it is one that was evaluated before. Where that
    leads nowhere, as in a constraint whose parts no mutation connects, it is a random architecture.
    Children and members compete for the places of the next generation, so that the best are never
    lost.

    Attributes:
        population: number of members.
    """

    population: int = 20

    def __call__(self, space: Searchable, seen: Evaluated, rng: np.random.Generator) -> None:
        """Evaluate until the budget is spent; see `Searcher`."""
        first = Evaluated((), lambda _: (), min(self.population, seen.most))
        sample(space, first, rng)
        alive = np.array([seen.add(one) for one in first.architectures], dtype=np.int64)
        while not seen.full and len(alive):
            alive = alive[ordered(seen.losses()[alive])][: self.population]
            children = []
            # the earlier of two is the better one
            for winner in rng.integers(len(alive), size=(len(alive), 2)).min(axis=1):
                parent = seen.architectures[alive[winner]]
                if seen.full:
                    return
                child = _new(lambda one: space.mutate(one, rng), parent, seen)
                if child is None:
                    child = _new(lambda _: space.sample(rng), None, seen)
                if child is None:
                    return
                children.append(seen.add(child))
            alive = np.concatenate([alive, np.array(children, dtype=np.int64)])


EVOLUTION, RANDOM = "nsga2", "random"
#: The algorithms by name.
SEARCHERS: Final[Mapping[str, Searcher]] = {EVOLUTION: Nsga2(), RANDOM: sample}


def _new(
    propose: Callable[[Any], Architecture], start: Architecture | None, seen: Evaluated
) -> Architecture | None:
    """Return the first of a chain of proposals that is new to the run, or None."""
    for _ in range(_PATIENCE):
        start = propose(start)
        if start not in seen:
            return start
    return None


def non_dominated(losses: Floats) -> Integers:
    """Return the places of the points that none dominates, in ascending order of the first loss.

    A point dominates another if it is no worse in any objective and better in one. Of equal points
    the first stays. Points with an undefined objective are no part of it.

    Args:
        losses: (n, objectives), lower is better, NaN where undefined.
    """
    import moocore

    defined = np.flatnonzero(np.isfinite(losses).all(axis=1))
    if not len(defined):
        return defined
    kept: Integers = defined[moocore.is_nondominated(losses[defined])]
    return kept[np.lexsort(losses[kept].T[::-1])]


def ordered(losses: Floats) -> Integers:
    """Return the places of all points (n, objectives), the best first, as NSGA-II ranks them.

    Points that none dominates come first, then those that only these dominate, and so on; among
    them those with the larger crowding distance, then the first. Undefined points come last.
    """
    import moocore

    defined = np.isfinite(losses).all(axis=1)
    ranks = np.full(len(losses), len(losses))
    crowding = np.zeros(len(losses))
    if defined.any():
        ranks[defined] = moocore.pareto_rank(losses[defined])
        for rank in range(ranks[defined].max() + 1):
            own = np.flatnonzero(ranks == rank)
            crowding[own] = crowding_distances(losses[own])
    return np.lexsort((-crowding, ranks))


def crowding_distances(losses: Floats) -> Floats:
    """Return the crowding distance (n,) of points (n, objectives), as Deb et al. 2002 define it.

    That is the sum over the objectives of the distance between the two neighbours of a point,
    divided by the range of the objective; infinite for the ends of an objective.
    """
    found = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        values = column[order]
        found[order[[0, -1]]] = np.inf
        if span := float(values[-1] - values[0]):
            found[order[1:-1]] += (values[2:] - values[:-2]) / span
    return found


def hypervolume(losses: Floats, reference: Floats) -> float:
    """Return the hypervolume that points dominate, up to a reference point.

    Args:
        losses: (n, objectives), lower is better; points with an undefined objective, or beyond the
            reference point, contribute nothing.
        reference: (objectives,).
    """
    import moocore

    there = losses[np.isfinite(losses).all(axis=1)]
    return float(moocore.hypervolume(there, ref=reference)) if len(there) else 0.0


def hypervolumes(
    runs: Iterable[Sequence[int] | Integers], losses: Floats, steps: Sequence[int] | Integers
) -> Floats:
    """Return the part of a table's hypervolume that runs have found after some evaluations.

    The reference point is the worst value of each objective in the table.

    Args:
        runs: the indices that each run evaluated, in order.
        losses: (n, objectives) of all architectures of the table, lower is better, NaN where
            undefined.
        steps: (m,) numbers of evaluations; a run that ended before keeps its last value.

    Returns:
        (runs, m) hypervolumes divided by that of the whole table; NaN if that is 0.
    """
    worst = np.nanmax(np.where(np.isfinite(losses), losses, np.nan), axis=0)
    whole = hypervolume(losses, worst) or np.nan
    found = [
        [hypervolume(losses[np.asarray(run)[:step]], worst) / whole for step in steps]
        for run in runs
    ]
    return np.array(found)


def searched(
    searcher: Searcher,
    space: Searchable,
    aims: Sequence[Aim],
    values: Values,
    evaluations: int,
    rngs: Iterable[np.random.Generator],
) -> Iterator[Evaluated]:
    """Yield what each run has evaluated, as it ends.

    Args:
        searcher: the algorithm.
        space: the space, or a part of one.
        aims: the objectives.
        values: see `Evaluated`.
        evaluations: the budget of a run.
        rngs: a generator of all random choices of each run.
    """
    # more than there are would be looked for in vain, a thousand times for each run
    members = getattr(space, "members", None)
    most = evaluations if members is None else min(evaluations, len(members))
    for rng in rngs:
        seen = Evaluated(aims, values, most)
        searcher(space, seen, rng)
        yield seen

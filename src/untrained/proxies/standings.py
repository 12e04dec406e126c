"""The scores of an ensemble in a pool that grows, as in a search: every arrival moves all ranks."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_jit: Callable[..., Any] = numba.njit(cache=True, nogil=True)


class Standings:
    """The scores of an ensemble in a pool, in which an architecture has a place by its arrival.

    Scores depend on what is in the pool, not on the order in which it came: they equal those of
    `untrained.proxies.ensembles.combined`. An arrival takes O(n) steps.
    """

    def __init__(self, members: int, *, multiplies: bool = False, votes: bool = False) -> None:
        """Begin without architectures; see `untrained.proxies.ensembles.Rule`."""
        self._members, self._multiplies, self._votes = members, multiplies, votes
        self._values: Floats = np.empty((members, 64))
        # doubled ranks of each member, or the balance of the votes
        self._state: Integers = np.zeros((1 if votes else members, 64), dtype=np.int64)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, values: npt.ArrayLike) -> int | None:
        """Add an architecture and return its place, or None if a member is undefined there.

        Args:
            values: (members,) scores, the better network higher; NaN or infinite if undefined.
        """
        own = np.asarray(values, dtype=np.float64)
        if not np.isfinite(own).all():
            return None
        if self._size == self._values.shape[1]:
            more = ((0, 0), (0, self._size))
            self._values, self._state = np.pad(self._values, more), np.pad(self._state, more)
        place = self._size
        self._values[:, place] = own
        (_vote if self._votes else _rank)(self._values, self._state, place)
        self._size += 1
        return place

    def key(self, place: int) -> float:
        """Return a number that orders the pool as the score does, without rounding if it can."""
        own = self._state[:, place]
        return float(own.astype(np.float64).prod() if self._multiplies else own.sum())

    def score(self, place: int) -> float:
        """Return the score of the architecture at a place in the pool of now."""
        return float(self._scored(np.array([self.key(place)]))[0])

    def scores(self) -> Floats:
        """Return the scores (n,) of all, by their places."""
        state = self._state[:, : self._size]
        keys = state.astype(np.float64).prod(axis=0) if self._multiplies else state.sum(axis=0)
        return self._scored(keys.astype(np.float64))

    def leader(self) -> int:
        """Return the place of the best, the first of equals; the pool must not be empty."""
        return int(_first_best(self._state, self._size, self._multiplies))

    def _scored(self, keys: Floats) -> Floats:
        if self._multiplies:
            found: Floats = np.log(keys) - self._members * np.log(2 * self._size)
            return found
        return keys if self._votes else keys / 2


class Standing(float):
    """The score of an architecture in a pool that grows, which compares as the ranks of now do.

    As a number in arithmetic it has the value of the moment in which it was made; `float()` gives
    that of now.
    """

    __slots__ = ("place", "standings")
    place: int
    standings: Standings

    def __new__(cls, standings: Standings, place: int) -> "Standing":
        """Take the score at a place in a pool."""
        made = super().__new__(cls, standings.score(place))
        made.standings, made.place = standings, place
        return made

    def __float__(self) -> float:
        return self.standings.score(self.place)

    def _pair(self, other: float) -> tuple[float, float]:
        if isinstance(other, Standing) and other.standings is self.standings:
            return self.standings.key(self.place), self.standings.key(other.place)
        return float(self), float(other)

    def __lt__(self, other: float) -> bool:
        mine, others = self._pair(other)
        return mine < others

    def __gt__(self, other: float) -> bool:
        mine, others = self._pair(other)
        return mine > others

    def __le__(self, other: float) -> bool:
        mine, others = self._pair(other)
        return mine <= others

    def __ge__(self, other: float) -> bool:
        mine, others = self._pair(other)
        return mine >= others

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, int | float):
            return NotImplemented
        mine, others = self._pair(other)
        return mine == others

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((id(self.standings), self.place))


@_jit  # pragma: no cover - machine code, which coverage does not see
def _rank(values: Floats, ranks: Integers, place: int) -> None:
    """Rank the values (members, ...) at `place` among those before it; ranks are doubled."""
    for member in range(len(values)):
        own, below, equal = values[member, place], 0, 0
        for other in range(place):
            if values[member, other] < own:
                below += 1
            elif values[member, other] == own:
                equal += 1
                ranks[member, other] += 1
            else:
                ranks[member, other] += 2
        ranks[member, place] = 2 * below + equal + 2


@_jit  # pragma: no cover - machine code, which coverage does not see
def _vote(values: Floats, balance: Integers, place: int) -> None:
    """Let the members vote on each pair of the values at `place` and those before it."""
    for other in range(place):
        votes = 0
        for member in range(len(values)):
            if values[member, place] > values[member, other]:
                votes += 1
            elif values[member, place] < values[member, other]:
                votes -= 1
        won = (votes > 0) - (votes < 0)
        balance[0, place] += won
        balance[0, other] -= won


@_jit  # pragma: no cover - machine code, which coverage does not see
def _first_best(state: Integers, size: int, multiplies: bool) -> int:
    best, found = -np.inf, 0
    for place in range(size):
        key = 1.0 if multiplies else 0.0
        for row in range(len(state)):
            if multiplies:
                key *= state[row, place]
            else:
                key += state[row, place]
        if key > best:
            best, found = key, place
    return found

"""The rounds of the pruning search, which measure candidates, rank them and prune some."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError
from untrained.scoring.ledger import Ledger, damaged
from untrained.scoring.progress import Track
from untrained.search.measurements import Numbers, Values, mean_of_finite, measure, relative_changes
from untrained.search.supernets import Candidate, PrunedSpace, candidates_of, crowded_nodes
from untrained.seeds import numpy_generator

if TYPE_CHECKING:
    import pandas as pd

    from untrained.networks.supernets import Mask
    from untrained.search.pruning import Pruning

Ranks = NDArray[np.int64]

_COLUMNS = {
    "round": "int64",
    "cell": "str",
    "edge": "str",
    "operation": "str",
    "kappa_change": "float64",
    "regions_change": "float64",
    "kappa_repeats": "int64",
    "kappa_rank": "int64",
    "regions_rank": "int64",
    "pruned": "bool",
    "kappa": "float64",
    "regions": "float64",
    "kappa_undefined": "int64",
}


def dense_ranks(values: Values, *, released: bool = False) -> Ranks:
    """Return ranks from 0, smallest value first; equal values share a rank, and NaN share the last.

    The released code sorts by three significant figures, and gives two neighbours in that order the
    same rank if they are equal before rounding. So equal values with another value between them may
    differ in rank, which `released` reproduces.
    """
    if not released:
        return np.unique(values, return_inverse=True)[1]
    ranks = np.zeros(len(values), np.int64)
    known = np.flatnonzero(~np.isnan(values))
    rank, previous = -1, np.nan
    for position in sorted(known, key=lambda one: float(f"{values[one]:.3g}")):
        rank += bool(values[position] != previous)
        ranks[position], previous = rank, values[position]
    ranks[np.isnan(values)] = rank + 1
    return ranks


@dataclass(frozen=True)
class Rounds:
    """The rounds of a pruning search.

    Attributes:
        space: the space that is searched.
        settings: settings of the search.
        seed: seed of everything random.
        map: the built-in `map`, or that of a pool of processes.
        track: reports progress.
        ledger: keeps the numbers of finished rounds.
    """

    space: PrunedSpace
    settings: "Pruning"
    seed: int
    map: Callable[..., Iterator[Numbers]]
    track: Track
    ledger: Ledger

    def run(self) -> "tuple[Mask, pd.DataFrame, float]":
        """Return the mask that is left, the trace, and the seconds of all rounds."""
        import pandas as pd

        mask, rounds, seconds = self.space.full_mask(), [], 0.0
        for number in count():
            # each group of candidates is ranked separately
            operations = candidates_of(mask)
            groups = [operations] if operations else crowded_nodes(self.space, mask)
            numbers, took = self._numbers(number, mask, list(chain(*groups)))
            seconds += took
            rows, chosen = self._round(number, mask, groups, numbers)
            rounds.append(rows)
            for candidate in chosen:
                mask = candidate.without(mask)
            if not groups:
                break
        trace = pd.concat(rounds, ignore_index=True)[list(_COLUMNS)].astype(_COLUMNS)
        return mask, trace, seconds

    def _numbers(
        self, number: int, mask: "Mask", candidates: list[Candidate]
    ) -> tuple[Values, float]:
        """Return the numbers (repeats, 1 + candidates, 2) of a round, and their seconds.

        Those of the unpruned supernet come first. A round in the ledger is not measured again.
        """
        shape, item = (self.settings.repeats, 1 + len(candidates), 2), f"round {number + 1}"
        if (done := self.ledger.done.get(item)) is not None:
            try:
                return np.array(done["numbers"], float).reshape(shape), float(done["seconds"])
            except (KeyError, TypeError, ValueError) as error:
                raise damaged(self.ledger.path) from error
        start, jobs = time.perf_counter(), []
        for repeat in range(self.settings.repeats):
            common = (self.space.name, self.settings, self.seed, (number, repeat))
            jobs.append((*common, mask, (True, True)))
            jobs += [(*common, one.without(mask), self.settings.reads) for one in candidates]
        measured = self.map(measure, *zip(*jobs, strict=True))
        numbers = np.array(list(self.track(measured, len(jobs), item, "supernets"))).reshape(shape)
        seconds = time.perf_counter() - start
        if candidates:
            plain = numbers.astype(object)
            plain[np.isnan(numbers)] = None  # JSON has no NaN
            self.ledger.add(item, {"numbers": plain.tolist(), "seconds": seconds})
        return numbers, seconds

    def _round(
        self, number: int, mask: "Mask", groups: list[list[Candidate]], numbers: Values
    ) -> "tuple[pd.DataFrame, set[Candidate]]":
        """Return the rows of a round and what it prunes; without candidates one row."""
        import pandas as pd

        candidates = list(chain(*groups))
        changes, repeats = relative_changes(numbers, released=self.settings.released)
        ranks = self._ranks(number, groups, changes)
        order = self._order(number, np.maximum(ranks, 0).sum(axis=1))
        chosen: set[Candidate] = set()
        for group in groups:
            members = set(group)
            chosen |= self._chosen([candidates[i] for i in order if candidates[i] in members], mask)
        edges = [self.space.edges[one.edge] for one in candidates]
        rows = {
            "cell": [self.space.cells[one.edge] for one in candidates],
            "edge": [f"{source}->{target}" for source, target in edges],
            "operation": [self.space.operations[one.operation] for one in candidates],
            "kappa_change": changes[:, 0],
            "regions_change": changes[:, 1],
            "kappa_repeats": repeats,
            "kappa_rank": ranks[:, 0],
            "regions_rank": ranks[:, 1],
            "pruned": [one in chosen for one in candidates],
        }
        left = {"cell": "", "edge": "", "operation": "", "pruned": False, "kappa_repeats": 0}
        left |= {"kappa_rank": -1, "regions_rank": -1}
        frame = pd.DataFrame(rows if candidates else [left])
        kappa, regions = mean_of_finite(numbers[:, 0])
        undefined = int(np.isnan(numbers[:, 0, 0]).sum())
        unpruned = {"kappa": kappa, "regions": regions, "kappa_undefined": undefined}
        return frame.assign(round=number + 1, **unpruned), chosen

    def _ranks(self, number: int, groups: list[list[Candidate]], changes: Values) -> Ranks:
        """Return ranks (n, 2) by kappa and regions within each group, 0 for what to prune first.

        They are -1 for a number that the criterion does not read.
        """
        ranks = np.full(changes.shape, -1)
        reads, size = self.settings.reads, len(changes)
        if size and reads[0] and np.isnan(changes[:, 0]).all():
            raise ParameterError(
                f"round {number + 1}: the tangent kernels of all {size} candidates are singular, "
                "so none has a condition number: take a smaller batch or the criterion regions"
            )
        ends = np.cumsum([len(group) for group in groups], dtype=int)
        for group in np.split(np.arange(size), ends[:-1]):
            for column, sign in enumerate((-1, 1)):
                if reads[column]:
                    own = sign * changes[group, column]
                    ranks[group, column] = dense_ranks(own, released=self.settings.released)
        return ranks

    def _order(self, number: int, sums: Ranks) -> Ranks:
        """Return positions by summed ranks, with ties at random, or in order if released."""
        ties = np.arange(len(sums))
        if not self.settings.released:
            ties = numpy_generator(self.seed, "pruning ties", number).permutation(len(sums))
        order: Ranks = np.lexsort((ties, sums))
        return order

    def _chosen(self, ordered: list[Candidate], mask: "Mask") -> set[Candidate]:
        """Return the first few of each edge but not all, or all but the last of a node."""
        live = mask.sum(axis=1)
        if live.max() == 1 and self.space.kept_inputs is not None:
            return set(ordered[: -self.space.kept_inputs])
        chosen: set[Candidate] = set()
        for edge in np.flatnonzero(live > 1):
            own = [candidate for candidate in ordered if candidate.edge == edge]
            chosen.update(own[: min(self.space.pruned_per_round, int(live[edge]) - 1)])
        return chosen

"""The runs of a search that spends a budget, and their trace.

The trace is that of `untrained.search.pool` with an empty `target`. Its `fitness` is the value that
the search saw, never the accuracy that the report reads.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from untrained.errors import ParameterError
from untrained.limits import DRAWN, RUNS, at_most
from untrained.plugins import blamed
from untrained.scoring.progress import Track
from untrained.search.allowed import Allowed
from untrained.search.base import BudgetedSearch, BudgetSpent, Searchable
from untrained.search.clock import Answer, Budget, CachedRanks, Clock
from untrained.search.guided import Guide
from untrained.search.pool import TRACE_COLUMNS, Seen
from untrained.search.spelling import Search
from untrained.seeds import numpy_generator
from untrained.spaces.base import Architecture, SearchSpace

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Task:
    """The settings that every search has, cached or live.

    Attributes:
        spelling: spelling of the search.
        search: the search that is spelled so.
        space: the space that is searched.
        dataset: the data set whose trainings and scores guide the search.
        budget: the budget of each run.
        runs: the numbers of the runs.
        seed: seed of all runs.
        track: reports progress.
        tell: takes messages for people.
        allowed: the constraint on architectures; None for none.
    """

    spelling: str
    search: Search
    space: SearchSpace
    dataset: str
    budget: Budget
    runs: range
    seed: int
    track: Track
    tell: Callable[[str], None]
    allowed: Allowed | None = None

    @property
    def title(self) -> str:
        """The title of its progress bar."""
        return f"{self.spelling}/{self.space.name}/{self.dataset}"


class Answers(Protocol):
    """What answers the evaluations of each run of a search, and knows their costs."""

    @property
    def longest(self) -> float:
        """The seconds that one answer may take; 0 if they are unknown."""
        ...

    @property
    def usual(self) -> float:
        """The mean of the seconds of the answers; 0 if they are unknown."""
        ...

    def of_run(self, run: int) -> Answer:
        """Return what answers the evaluations of the run of this number."""
        ...


def search_runs(
    algorithm: BudgetedSearch,
    space: Searchable,
    answers: Answers,
    budget: Budget,
    runs: Iterable[int],
    seed: int,
    guide: Guide | None = None,
) -> Iterator[tuple[int, Clock]]:
    """Run a search several times, and yield the number and the clock of each run as it ends.

    A run depends on the seed and its own number alone. Runs of the same number draw from the same
    stream, whatever the algorithm.

    Raises:
        ParameterError: the budget might not cover one evaluation, or covers too many.
        MissingDataError: the guide lacks scores.
    """
    longest = answers.longest
    scoring = guide.scored * float(np.max(guide.pool.seconds_per_score)) if guide else 0.0
    if budget.seconds < scoring + longest:
        first = f"the scores at the start take {scoring:g} s and " if scoring else ""
        raise ParameterError(
            f"budget {budget}: {first}one evaluation on {space.name} takes up to "
            f"{longest:{'.0f' if longest >= 1 else '.2g'}} s"
        )
    check_evaluations(algorithm, budget, answers.usual)
    return (
        (run, _run(algorithm, space, Clock(answers.of_run(run), budget), run, seed, guide))
        for run in runs
    )


def check_evaluations(algorithm: BudgetedSearch, budget: Budget, usual: float = 0.0) -> None:
    """Refuse a budget that would keep a run going for hours.

    Args:
        algorithm: the algorithm that spends it.
        budget: the budget of a run.
        usual: the seconds of an evaluation; 0 if they are unknown.

    Raises:
        ParameterError: a run would make more evaluations than the algorithm does in some minutes.
    """
    evaluations = min(budget.evaluations, budget.seconds / usual if usual else math.inf)
    if algorithm.most_evaluations < evaluations < math.inf:
        raise ParameterError(
            f"budget {budget}: a run of {algorithm.name} would make {evaluations:.2g} evaluations: "
            f"give less, for at most {algorithm.most_evaluations}"
        )


def check_draws(samples: int, runs: int) -> None:
    """Refuse samples that would not fit into memory.

    Raises:
        ParameterError: all runs together draw too many architectures.
    """
    if samples * runs > DRAWN:
        raise ParameterError(
            f"{samples} samples in each of {runs} runs: all together at most {DRAWN}"
        )


def _run(
    algorithm: BudgetedSearch,
    space: Searchable,
    clock: Clock,
    run: int,
    seed: int,
    guide: Guide | None,
) -> Clock:
    """Run a search until its clock has run out, and return the clock."""
    start: list[Architecture] = []
    with blamed("search algorithm", algorithm), suppress(BudgetSpent):
        if guide is not None:
            answer, draws = clock.answer, numpy_generator(seed, "scored start", run)
            # what picks by the ensemble that is the fitness ranks in the same pool
            if isinstance(answer, CachedRanks) and answer.pool is guide.pool:
                seen: Seen = answer.seen
            else:
                seen = guide.seen_by(run)
            start = guide.start(space, seen, draws, clock.charge)
            space = guide.guided(space, seen, clock.charge)
        algorithm(space, clock.evaluate, numpy_generator(seed, "search", run), start)
        raise ParameterError(
            f"{type(algorithm).__name__} returned before its budget was spent: it has to go on"
        )
    return clock


def trace_of(runs: Iterable[tuple[int, Clock]]) -> "pd.DataFrame":
    """Return the trace of finished runs; see `untrained.search.pool` for its columns.

    Raises:
        ParameterError: a run evaluated nothing within its budget.
    """
    import pandas as pd

    rows: list[tuple[object, ...]] = []
    for run, clock in runs:
        if not clock.incumbents:
            raise ParameterError(
                f"budget {clock.budget}: run {run} found nothing that fits into it, give more"
            )
        rows += [(run, "", *found, False) for found in clock.incumbents]
        last = clock.incumbents[-1]
        rows.append(
            (run, "", clock.evaluations, last.arch, clock.final_fitness, clock.seconds, True)
        )
    types = {"run": "int64", "step": "int64", "arch": "int64", "is_final": "bool"}
    trace = pd.DataFrame(rows, columns=list(TRACE_COLUMNS)).astype(types)
    # undefined scores have no value in any trace
    return trace.assign(fitness=trace["fitness"].astype("float64").replace(-np.inf, np.nan))


def shard_of_runs(runs: int, shard: int, shards: int) -> range:
    """Return the numbers of the runs of one shard.

    Raises:
        ParameterError: there are no runs or too many, or there is no such shard.
    """
    if runs < 1:
        raise ParameterError(f"{runs} runs: 1 or more")
    at_most(RUNS, runs=runs)
    if not 1 <= shards <= runs:
        raise ParameterError(f"{shards} shards of {runs} runs: 1 to {runs}")
    if not 0 <= shard < shards:
        raise ParameterError(
            f"shard {shard} of {shards}: shards are numbered from 0 to {shards - 1}"
        )
    return range(shard * runs // shards, (shard + 1) * runs // shards)

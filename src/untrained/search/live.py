"""Live searches: an architecture is scored when it is proposed, and the score is its fitness.

A score is charged the seconds that it took. What its run has scored before is free, but counts as
an evaluation. A score in the ledger (of an earlier run, or of a search that was interrupted) is
charged what it took then, so that a resumed search ends where it would have ended.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import ceil, inf
from typing import TYPE_CHECKING, cast

import numpy as np

from untrained.errors import ParameterError
from untrained.scoring.engine import Score, score_work
from untrained.scoring.execution import prepare_worker
from untrained.scoring.ledger import Ledger, opened
from untrained.scoring.request import ScoreRequest, Settings, parse_reading, requested
from untrained.search.base import BudgetedSearch, BudgetSpent
from untrained.search.clock import Answer
from untrained.search.runs import search_runs, trace_of
from untrained.search.task import Live, Task
from untrained.spaces.base import Architecture

if TYPE_CHECKING:
    import pandas as pd

#: Number of answers in a row that end a run if it had them all before. They spend no seconds, so
#: that a budget in seconds would never end a search that proposes nothing new.
PATIENCE = 10_000


def live_trace(task: Task, live: Live) -> "tuple[pd.DataFrame, dict[str, int]]":
    """The trace of a live search, and the numbers of scores that were made and resumed.

    Raises:
        ParameterError: the fitness of the search is no score, or more than the fitness is scored.
    """
    search, spelling, algorithm = task.search, task.spelling, task.search.algorithm
    if not isinstance(algorithm, BudgetedSearch) or not search.guidance.fitness:
        raise ParameterError(f"{spelling!r} --live: name what to score, as in rs+fitness=lga@1")
    if search.guidance.pool or search.starts_scored or search.guidance.mutants > 1:
        raise ParameterError(
            f"{spelling!r} --live: only the fitness is scored there, drop pool, init and mutants"
        )
    reading = parse_reading(search.guidance.fitness)
    settings = cast("Settings", asdict(live) | {"dataset": task.dataset})
    prepare_worker()
    with requested(task.space, [reading], range(live.seeds), settings) as request:
        # how many seeds there are changes no score
        key = replace(request, seeds=()).key(work="live scores") if live.ledger else {}
        with opened(live.ledger, key, task.tell) as ledger:
            resumed = len(ledger.done)
            if resumed:
                task.tell(f"continuing with {resumed} scores of {ledger.path}")
            scores = LiveScores(request, ledger, _progress(task))
            runs = search_runs(algorithm, task.space, scores, task.budget, task.runs, task.seed)
            trace = trace_of(runs)
    return trace, {"scored": scores.made, "resumed": resumed}


def _progress(task: Task) -> Callable[[float], None]:
    """Report each answer as an evaluation, or its seconds where those are what is spent."""
    counts = task.budget.evaluations < inf
    total = len(task.runs) * int(task.budget.evaluations if counts else ceil(task.budget.seconds))
    unit = "evaluations" if counts else "seconds"
    steps = iter(task.track(range(total), total, task.title, unit))
    next(steps)
    owed = 0.0

    def advance(seconds: float) -> None:
        nonlocal owed
        owed += 1 if counts else seconds
        while owed >= 1:
            owed -= 1
            next(steps, None)

    return advance


def unwatched(seconds: float) -> None:
    """Report nothing of an answer."""
    del seconds


@dataclass(eq=False)
class LiveScores:
    """Scores each architecture that is proposed; see `untrained.search.clock.Answers`.

    Attributes:
        request: a request of one proxy; run r scores with its seed r modulo their number.
        ledger: the finished scores, to which new ones are added.
        watch: takes the seconds of each answer.
        made: number of scores that were not in the ledger.
    """

    request: ScoreRequest
    ledger: Ledger
    watch: Callable[[float], None] = unwatched
    made: int = 0
    _asked: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def longest(self) -> float:
        """Unknown, which is 0."""
        return 0.0

    def of_run(self, run: int) -> Answer:
        """Score what the run of this number proposes; see `Answers`.

        The answer raises BudgetSpent after `PATIENCE` answers in a row that the run had before.
        """
        seed, heard, in_vain = self.request.seeds[run % len(self.request.seeds)], set[int](), 0
        direction = self.request.proxies[0].direction

        def answer(architecture: Architecture) -> tuple[float, float]:
            nonlocal in_vain
            score = self.score(architecture.index, seed)
            again = architecture.index in heard
            seconds = 0.0 if again else score.seconds
            in_vain = in_vain + 1 if again else 0
            if in_vain > PATIENCE:
                raise BudgetSpent
            heard.add(architecture.index)
            self.watch(seconds)
            if score.score is None:
                return -np.inf, seconds
            return score.score if direction == "higher" else -score.score, seconds

        return answer

    def score(self, index: int, seed: int) -> Score:
        """The score of an architecture, out of the ledger or made now."""
        item = f"{index} {seed}"
        if item not in self.ledger.done:
            made = self._make(index, seed)
            self.ledger.add(item, made)
            self.made += 1
            return made
        return self.ledger.read(item, Score)

    def _make(self, index: int, seed: int) -> Score:
        self._asked.append((index, seed))
        return next(self._scores)[0]

    @cached_property
    def _scores(self) -> Iterator[list[Score]]:
        """The scores of what is asked; images are read once for all scores of a seed."""
        asked = iter(self._asked.popleft, None)
        return score_work(self.request, ((*one, self.request.proxies) for one in asked))

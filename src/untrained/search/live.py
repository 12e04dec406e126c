"""Live searches: an architecture is scored when it is proposed, and the score is its fitness.

A score is charged the seconds that it took. A score that the run already made is free, but counts
as an evaluation. A score in the ledger (of an earlier run, or of a search that was interrupted) is
charged what it took when it was made, so that a resumed search ends like an uninterrupted one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import ceil, inf
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from untrained.errors import ParameterError
from untrained.files import IMAGES
from untrained.scoring.engine import Score, score_work
from untrained.scoring.execution import prepare_worker
from untrained.scoring.ledger import Ledger, opened
from untrained.scoring.request import ScoreRequest, Settings, parse_reading, requested
from untrained.search.base import BudgetedSearch, BudgetSpent
from untrained.search.clock import Answer
from untrained.search.runs import Task, search_runs, trace_of
from untrained.spaces.base import Architecture

if TYPE_CHECKING:
    import pandas as pd

#: A run ends after so many answers in a row that it already had. They cost no seconds, so a budget
#: in seconds would never end a search that proposes nothing new.
PATIENCE = 10_000


@dataclass(frozen=True)
class Live:
    """The settings of the scores of a live search.

    Attributes:
        split: split of the data set; `sample` is bundled.
        batch_size: number of images in the minibatch.
        augmentation: `none` or `crop-flip`.
        sampling: how images are drawn: `uniform`, or `balanced` by class.
        seeds: number of seeds; run r scores with seed r modulo this number.
        device: `auto`, which is a free GPU or else the CPU, or a device in PyTorch's notation.
        engine: `auto`, `plain` or `fast`; see `untrained.scoring.execution`.
        precision: `auto`, `float32` or `bfloat16`.
        ledger: file of finished scores, from which the search resumes; None for none.
        root: folder of the official files.

    Raises:
        ParameterError: the number of seeds is below 1.
    """

    split: str = "sample"
    batch_size: int = 128
    augmentation: str = "none"
    sampling: str = "uniform"
    seeds: int = 1
    device: str = "auto"
    engine: str = "auto"
    precision: str = "auto"
    ledger: Path | None = None
    root: Path = IMAGES

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ParameterError(f"{self.seeds} seeds of the scores: 1 or more")


def live_trace(task: Task, live: Live) -> "tuple[pd.DataFrame, dict[str, int]]":
    """Return the trace of a live search, and how many scores were made and how many resumed.

    Raises:
        ParameterError: the fitness of the search is no score, or more than the fitness is scored.
    """
    search, spelling, algorithm = task.search, task.spelling, task.search.algorithm
    if not isinstance(algorithm, BudgetedSearch) or not search.guidance.fitness:
        raise ParameterError(f"{spelling!r} live: name what to score, as in rs+fitness=lga@1")
    if search.guidance.pool or search.starts_scored or search.guidance.mutants > 1:
        raise ParameterError(
            f"{spelling!r} live: only the fitness is scored there, drop pool, init and mutants"
        )
    task.space.check_numbered()
    reading = parse_reading(search.guidance.fitness)
    how = asdict(live) | {"dataset": task.dataset}
    settings = cast("Settings", {name: how[name] for name in Settings.__annotations__})
    prepare_worker()
    with requested(task.space, [reading], range(live.seeds), settings) as request:
        # the number of seeds changes no score
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
    """Return what reports each answer: as an evaluation, or as seconds if the budget is seconds."""
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


@dataclass(eq=False)
class LiveScores:
    """Scores each architecture that is proposed; see `untrained.search.runs.Answers`.

    Attributes:
        request: a request of one proxy; run r scores with its seed r modulo their number.
        ledger: the finished scores, to which new ones are added.
        watch: takes the seconds of each answer.
        made: number of scores that were not in the ledger.
        longest: seconds that one answer may take; they are unknown, which is 0.
    """

    request: ScoreRequest
    ledger: Ledger
    watch: Callable[[float], None] = lambda _: None
    made: int = 0
    longest: float = 0.0
    _asked: deque[tuple[int, int]] = field(default_factory=deque)

    def of_run(self, run: int) -> Answer:
        """Return what scores the proposals of the run of this number.

        It raises BudgetSpent after `PATIENCE` answers in a row that the run already had.
        """
        seed, scored, repeated = self.request.seeds[run % len(self.request.seeds)], set[int](), 0
        sign = 1 if self.request.proxies[0].direction == "higher" else -1

        def answer(architecture: Architecture) -> tuple[float, float]:
            nonlocal repeated
            score = self.score(architecture.index, seed)
            again = architecture.index in scored
            seconds = 0.0 if again else score.seconds
            repeated = repeated + 1 if again else 0
            if repeated > PATIENCE:
                raise BudgetSpent
            scored.add(architecture.index)
            self.watch(seconds)
            return -np.inf if score.score is None else sign * score.score, seconds

        return answer

    def score(self, index: int, seed: int) -> Score:
        """Return the score of an architecture from the ledger, or make it.

        Images are read and drawn once for all scores of a seed.
        """
        item = f"{index} {seed}"
        if item in self.ledger.done:
            return self.ledger.read(item, Score)
        self._asked.append((index, seed))
        made = next(self._scores)[0]
        self.ledger.add(item, made)
        self.made += 1
        return made

    @cached_property
    def _scores(self) -> Iterator[list[Score]]:
        asked = iter(self._asked.popleft, None)
        return score_work(self.request, ((*one, self.request.proxies) for one in asked))

"""Live searches: an architecture is scored when it is proposed, and the score is its fitness.

A score takes the seconds that it was measured to take. One of an architecture that its run has
scored before takes none, but is an evaluation. One that is in the ledger (of an earlier run, or of
a search that was interrupted) takes what it took there, so that a search that is resumed ends
where it would have ended.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from math import ceil, inf
from typing import TYPE_CHECKING

import numpy as np

from untrained.errors import ParameterError
from untrained.images.sets import image_set
from untrained.proxies import Proxy, get_proxy, spelling_of
from untrained.scoring.devices import leased_device
from untrained.scoring.engine import MinibatchSettings, Score, score_architectures
from untrained.scoring.execution import Execution, prepare_worker
from untrained.scoring.journal import journal_settings
from untrained.scoring.ledger import Ledger, damaged, opened
from untrained.search.base import BudgetedSearch, BudgetSpent
from untrained.search.clock import Answer
from untrained.search.runs import search_runs, trace_of
from untrained.search.task import Live, Task
from untrained.spaces import SearchSpace
from untrained.spaces.base import Architecture

if TYPE_CHECKING:
    import pandas as pd

#: So many answers in a row that a run had been given before end it: a budget in seconds, which
#: they don't spend, would never end a search that proposes nothing new.
PATIENCE = 10_000


def live_trace(task: Task, live: Live) -> "tuple[pd.DataFrame, dict[str, int]]":
    """The trace of a live search, and how many scores were made and how many resumed.

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
    proxy = get_proxy(search.guidance.fitness)
    images = MinibatchSettings(
        task.dataset,
        image_set(task.dataset).split(live.split),
        live.batch_size,
        live.augmentation,
        live.sampling,
        live.root,
    )
    prepare_worker()
    with leased_device(live.device) as device:
        execution = Execution(device, live.engine, live.precision)
        key = _key(task.space, proxy, images, execution) if live.ledger else {}
        with opened(live.ledger, key) as ledger:
            resumed = len(ledger.done)
            if resumed:
                task.tell(f"continuing with {resumed} scores of {ledger.path}")
            scores = LiveScores(
                task.space, proxy, images, execution, ledger, live.seeds, _progress(task)
            )
            runs = search_runs(algorithm, task.space, scores, task.budget, task.runs, task.seed)
            trace = trace_of(runs)
    return trace, {"scored": scores.made, "resumed": resumed}


def _key(
    space: SearchSpace, proxy: Proxy, images: MinibatchSettings, execution: Execution
) -> dict[str, object]:
    """All that live scores depend on but for architecture and seed, for the ledger."""
    run = {
        "work": "live scores",
        "space": space.name,
        "engine": execution.engine,
        "precision": execution.precision,
        "device": execution.device.type,
        "type": str(execution.dtype(planned=True)),
    }
    return dict(journal_settings([spelling_of(proxy)], images, run))


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
        space: of the architectures.
        proxy: whose score it is; the better network is made the higher one.
        settings: of the minibatches.
        execution: how networks are run.
        ledger: what is scored already, to which scores are added.
        seeds: run r scores with seed r modulo so many.
        watch: called after each answer with the seconds that it took.
        made: scores that were not in the ledger.
    """

    space: SearchSpace
    proxy: Proxy
    settings: MinibatchSettings
    execution: Execution
    ledger: Ledger
    seeds: int = 1
    watch: Callable[[float], None] = unwatched
    made: int = 0
    _streams: dict[int, tuple[deque[int], Iterator[Score]]] = field(default_factory=dict)

    @property
    def longest(self) -> float:
        """Unknown, which is 0."""
        return 0.0

    def of_run(self, run: int) -> Answer:
        """Score what the run of this number asks for; see `Answers`.

        The answer raises BudgetSpent after `PATIENCE` answers in a row that the run had had.
        """
        seed, heard, in_vain = run % self.seeds, set[int](), 0

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
            return score.score if self.proxy.direction == "higher" else -score.score, seconds

        return answer

    def score(self, index: int, seed: int) -> Score:
        """The score of an architecture, out of the ledger or made now."""
        item = f"{index} {seed}"
        if item not in self.ledger.done:
            self.ledger.add(item, asdict(self._make(index, seed)))
            self.made += 1
        try:
            return Score(**self.ledger.done[item])
        except TypeError as error:
            raise damaged(self.ledger.path) from error

    def _make(self, index: int, seed: int) -> Score:
        """A new score; images are read and drawn once for all scores of a seed."""
        if seed not in self._streams:
            asked = deque[int]()
            indices = iter(asked.popleft, None)
            scores = score_architectures(
                self.space, indices, self.proxy, self.settings, seed, self.execution
            )
            self._streams[seed] = asked, scores
        asked, scores = self._streams[seed]
        asked.append(index)
        return next(scores)

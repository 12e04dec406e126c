"""Live searches: an architecture is scored when it is proposed, and the score is its fitness.

A score is charged the seconds that it took. A score that the run already made is free, but counts
as an evaluation. A score in the ledger (of an earlier run, or of a search that was interrupted) is
charged what it took when it was made, so that a resumed search ends like an uninterrupted one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from math import ceil, inf
from pathlib import Path
from typing import TYPE_CHECKING, cast

from untrained.errors import ParameterError, quoted
from untrained.files import IMAGES
from untrained.limits import SEEDS, at_most
from untrained.proxies.ensembles import Ensemble
from untrained.proxies.standings import Standing, Standings
from untrained.scoring.engine import Score, score_work
from untrained.scoring.ensembles import parse_proxy, readings_of
from untrained.scoring.execution import prepare_worker
from untrained.scoring.ledger import Ledger, opened
from untrained.scoring.request import Reading, ScoreRequest, Settings, requested
from untrained.search.base import BudgetedSearch, BudgetSpent
from untrained.search.clock import Answer, RankedAnswer
from untrained.search.runs import Task, search_runs, trace_of
from untrained.spaces.base import Architecture, SearchSpace

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
        at_most(SEEDS, score_seeds=self.seeds)


def live_trace(task: Task, live: Live) -> "tuple[pd.DataFrame, dict[str, int]]":
    """Return the trace of a live search, and how many scores were made and how many resumed.

    Raises:
        ParameterError: the fitness of the search is no score, or more than the fitness is scored.
    """
    search, spelling, algorithm = task.search, task.spelling, task.search.algorithm
    if not isinstance(algorithm, BudgetedSearch) or not search.guidance.fitness:
        raise ParameterError(f"{quoted(spelling)} live: name what to score, as in rs+fitness=lga@1")
    if search.guidance.pool or search.starts_scored or search.guidance.mutants > 1:
        raise ParameterError(
            f"{quoted(spelling)} live: only the fitness is scored there, drop pool, init and "
            "mutants"
        )
    task.space.check_numbered()
    fitness = parse_proxy(search.guidance.fitness)
    ensemble = fitness if isinstance(fitness, Ensemble) else None
    readings, watch = readings_of([search.guidance.fitness]), _progress(task)
    space = task.space if task.allowed is None else task.allowed.part_of(task.space)
    with live_scores(task.space, readings, task.dataset, live, task.tell) as scores:
        scores.watch, scores.ensemble = watch, ensemble
        runs = search_runs(algorithm, space, scores, task.budget, task.runs, task.seed)
        trace = trace_of(runs)
    return trace, scores.counts


@contextmanager
def live_scores(
    space: SearchSpace,
    readings: Iterable[Reading],
    dataset: str,
    live: Live,
    tell: Callable[[str], None],
) -> "Iterator[LiveScores]":
    """Yield what scores architectures of a space; its device is leased until the context ends.

    Args:
        space: the space.
        readings: the proxies.
        dataset: the data set of the images.
        live: the settings of the scores.
        tell: takes a message where scores of a ledger are resumed.
    """
    prepare_worker()
    settings = settings_of(live, dataset)
    with requested(space, readings, range(live.seeds), settings) as request:
        # the number of seeds changes no score
        key = replace(request, seeds=()).key(work="scores of a live search") if live.ledger else {}
        with opened(live.ledger, key, tell) as ledger:
            resumed = len(ledger.done)
            if resumed:
                tell(f"continuing with {resumed} scores of {ledger.path}")
            yield LiveScores(request, ledger, resumed=resumed)


def settings_of(live: Live, dataset: str) -> Settings:
    """Return how the scores of a live search are made."""
    how = asdict(live) | {"dataset": dataset}
    return cast("Settings", {name: how[name] for name in Settings.__annotations__})


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
class LiveRanks(RankedAnswer):
    """Answers of a run by an ensemble, whose members score what is proposed.

    Attributes:
        standings: the ranks of all that the run has scored.
        values: returns the scores of an architecture by the members, and their seconds.
    """

    standings: Standings
    values: Callable[[Architecture], tuple[list[float], float]]
    _fitness: dict[int, float] = field(default_factory=dict)
    _indices: list[int] = field(default_factory=list)

    def __call__(self, architecture: Architecture) -> tuple[float, float]:
        """Return fitness and cost; see `RankedAnswer`."""
        values, seconds = self.values(architecture)
        if architecture.index not in self._fitness:
            place = self.standings.add(values)
            if place is not None:
                self._indices.append(architecture.index)
            fitness = -inf if place is None else Standing(self.standings, place)
            self._fitness[architecture.index] = fitness
        return self._fitness[architecture.index], seconds

    def leader(self) -> tuple[int, float] | None:
        """Return the best; see `RankedAnswer`."""
        if not self._indices:
            return None
        place = self.standings.leader()
        return self._indices[place], self.standings.score(place)


@dataclass(eq=False)
class LiveScores:
    """Scores each architecture that is proposed; see `untrained.search.runs.Answers`.

    Attributes:
        request: a request of one proxy, or of the members of an ensemble in their order; run r
            scores with its seed r modulo their number.
        ledger: the finished scores, to which new ones are added.
        watch: takes the seconds of each answer.
        ensemble: the ensemble that is the fitness; None for a proxy.
        made: number of architectures whose scores were not in the ledger.
        resumed: number of scores that the ledger had.
        longest: seconds that one answer may take; they are unknown, which is 0.
        usual: the mean of the seconds, which is unknown as well.
    """

    request: ScoreRequest
    ledger: Ledger
    watch: Callable[[float], None] = lambda _: None
    ensemble: Ensemble | None = None
    made: int = 0
    resumed: int = 0
    longest: float = 0.0
    usual: float = 0.0
    _asked: deque[tuple[int, int]] = field(default_factory=deque)

    @property
    def counts(self) -> dict[str, int]:
        """How many scores were made, and how many resumed."""
        return {"scored": self.made, "resumed": self.resumed}

    def of_run(self, run: int) -> Answer:
        """Return what scores the proposals of the run of this number.

        It raises BudgetSpent after `PATIENCE` answers in a row that the run already had.
        """
        seed, scored, repeated = self.request.seeds[run % len(self.request.seeds)], set[int](), 0

        def values(architecture: Architecture) -> tuple[list[float], float]:
            nonlocal repeated
            found = self.score(architecture.index, seed)
            again = architecture.index in scored
            seconds = 0.0 if again else sum(one.seconds for one in found)
            repeated = repeated + 1 if again else 0
            if repeated > PATIENCE:
                raise BudgetSpent
            scored.add(architecture.index)
            self.watch(seconds)
            return self.oriented(found), seconds

        def answer(architecture: Architecture) -> tuple[float, float]:
            (fitness,), seconds = values(architecture)
            return fitness, seconds

        return answer if self.ensemble is None else LiveRanks(self.ensemble.standings(), values)

    def oriented(self, found: Iterable[Score]) -> list[float]:
        """Return scores by all proxies, the better network higher, -inf where undefined."""
        pairs = zip(self.request.proxies, found, strict=True)
        return [
            -inf if one.score is None else one.score * (1 if proxy.direction == "higher" else -1)
            for proxy, one in pairs
        ]

    def score(self, index: int, seed: int) -> list[Score]:
        """Return the scores of an architecture by all proxies from the ledger, or make them.

        Images are read and drawn once for all scores of a seed.
        """
        item = f"{index} {seed}"
        if item in self.ledger.done:
            return self.ledger.read(item, list[Score])
        self._asked.append((index, seed))
        made = next(self._scores)
        self.ledger.add(item, made)
        self.made += 1
        return made

    @cached_property
    def _scores(self) -> Iterator[list[Score]]:
        asked = iter(self._asked.popleft, None)
        return score_work(self.request, ((*one, self.request.proxies) for one in asked))

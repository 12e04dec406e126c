"""A proxy's score as the fitness of a search, made when an architecture is proposed.

A score takes the seconds that it was measured to take. One of an architecture that its run has
scored before takes none, but is an evaluation; one that is remembered from elsewhere (an earlier
run, a search that was interrupted) takes what it took there, so that a search that goes on ends
where it would have ended.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from untrained.errors import ParameterError
from untrained.scoring.engine import Score, score_architectures
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import Reading, ScoreRequest
from untrained.search.base import BudgetSpent
from untrained.search.remembered import Remembered
from untrained.spaces import SearchSpace
from untrained.spaces.base import Architecture

#: So many answers in a row that a run had heard before end it: a budget in seconds, which they
#: don't spend, would never end a search that proposes nothing new.
PATIENCE = 10_000


def unwatched(seconds: float) -> None:
    """Report nothing of an answer."""
    del seconds


@dataclass(eq=False)
class LiveScores:
    """What runs hear where each proposed architecture is scored; see `AnswersRuns`.

    Attributes:
        space: of the architectures.
        proxy: whose score it is; the better network is made the higher one.
        settings: of the minibatches.
        execution: how networks are run.
        remembered: what is scored already, to which scores are added.
        seeds: run r scores with seed r modulo so many.
        watch: called after each answer with the seconds that it took.
        made: scores that were not remembered.
    """

    space: SearchSpace
    proxy: Reading
    settings: MinibatchSettings
    execution: Execution
    remembered: Remembered
    seeds: int = 1
    watch: Callable[[float], None] = unwatched
    made: int = 0
    _streams: dict[int, tuple[deque[int], Iterator[list[Score]]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ParameterError(f"{self.seeds} seeds of the scores: 1 or more")

    @property
    def longest(self) -> float:
        """Nobody knows."""
        return 0.0

    def of_run(self, run: int) -> "LiveRun":
        """See `AnswersRuns`."""
        return LiveRun(self, run % self.seeds)

    def score(self, index: int, seed: int) -> Score:
        """The score of an architecture, remembered or made now."""
        known = self.remembered.scores.get((index, seed))
        if known is None:
            known = self._make(index, seed)
            self.remembered.add(index, seed, known)
            self.made += 1
        return known

    def _make(self, index: int, seed: int) -> Score:
        """A new score; images are read and drawn once for all scores of a seed."""
        if seed not in self._streams:
            asked = deque[int]()
            indices = iter(asked.popleft, None)
            request = ScoreRequest(
                self.space, (self.proxy,), self.settings, (seed,), self.execution
            )
            self._streams[seed] = asked, score_architectures(request, indices)
        asked, scores = self._streams[seed]
        asked.append(index)
        return next(scores)[0]


@dataclass(eq=False)
class LiveRun:
    """What one run hears; see `Answers`.

    Attributes:
        scores: of all runs.
        seed: of its scores.
        heard: the architectures that it asked for.
        in_vain: the last answers that it had heard before.
    """

    scores: LiveScores
    seed: int
    heard: set[int] = field(default_factory=set)
    in_vain: int = 0

    def answer(self, architecture: Architecture) -> tuple[float, float]:
        """See `Answers`.

        Raises:
            BudgetSpent: `PATIENCE` answers in a row were none that it hadn't heard.
        """
        score = self.scores.score(architecture.index, self.seed)
        seconds = 0.0 if architecture.index in self.heard else score.seconds
        self.in_vain = self.in_vain + 1 if architecture.index in self.heard else 0
        if self.in_vain > PATIENCE:
            raise BudgetSpent
        self.heard.add(architecture.index)
        self.scores.watch(seconds)
        if score.score is None:
            return -np.inf, seconds
        return score.score if self.scores.proxy.direction == "higher" else -score.score, seconds

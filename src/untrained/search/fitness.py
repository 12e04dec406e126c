"""A proxy's score as the fitness of a search, from cached scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from untrained.errors import MissingDataError, ParameterError
from untrained.search.clock import Trainings
from untrained.search.pool import Pool

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScoresAsFitness:
    """What runs hear where the fitness is a score; an undefined one loses to every other.

    Attributes:
        seeds: for each seed what is known of the whole space, NaN where nothing is scored; run r
            hears that of seed r modulo their number.
        longest: see `AnswersRuns`.
    """

    seeds: tuple[Trainings, ...]
    longest: float

    def of_run(self, run: int) -> Trainings:
        """See `AnswersRuns`."""
        return self.seeds[run % len(self.seeds)]


def scores_as_fitness(space: str, size: int, pool: Pool) -> ScoresAsFitness:
    """What runs hear of a pool.

    Args:
        space: its name.
        size: architectures of the space.
        pool: the scores, higher is better, and what they cost.

    Raises:
        ParameterError: a score costs nothing.
    """
    seconds = np.broadcast_to(pool.seconds_per_score, pool.architectures.shape)
    if not (seconds > 0).all():
        raise ParameterError(
            f"a score as fitness takes {np.nanmin(seconds):g} s in places, so that a budget would "
            "never end: give --seconds-per-score above 0"
        )
    spent = np.full(size, np.nan)
    spent[pool.architectures] = seconds

    def known(scores: Floats) -> Trainings:
        fitness = np.full(size, np.nan)
        fitness[pool.architectures] = np.where(np.isnan(scores), -np.inf, scores)
        return Trainings(space, fitness, spent)

    return ScoresAsFitness(tuple(known(scores) for scores in pool.scores), float(seconds.max()))


def seconds_of_scores(epochs: float, of_an_epoch: Floats, seconds_per_score: float) -> Floats:
    """Simulated seconds (n,) of scores after some epochs of training.

    The training is charged what the benchmark measured, so that it compares, on one machine, with
    the trainings whose accuracy a search would see instead.

    Args:
        epochs: of training.
        of_an_epoch: (n,) seconds, of each architecture.
        seconds_per_score: of reading the score.

    Raises:
        MissingDataError: the benchmark has no time of one of them.
    """
    unknown = int(np.isnan(of_an_epoch).sum())
    if unknown:
        raise MissingDataError(
            f"the benchmark has no training time of {unknown} of {len(of_an_epoch)} scored "
            "architectures: fetch the full table"
        )
    return epochs * of_an_epoch + seconds_per_score

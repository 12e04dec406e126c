"""A search from its spelling to the architecture that it found, for commands and notebooks."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from untrained.benchmarks.benchmark import Benchmark, Values
from untrained.errors import ParameterError
from untrained.images.sets import image_set
from untrained.scoring.progress import Track, quiet, untracked
from untrained.scoring.request import parse_reading
from untrained.search.cached import accuracies_of, cached_trace, loaded, tables_of
from untrained.search.clock import Budget, parse_budget
from untrained.search.runs import shard_of_runs
from untrained.search.spelling import Search, parse_algorithm
from untrained.search.task import Live, Task
from untrained.spaces import get_space
from untrained.spaces.base import Architecture

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What the runs of a search found.

    Attributes:
        search: what was run.
        budget: of each run that spends one.
        runs: how many were done.
        trace: of all runs; `untrained.search.pool` describes its columns.
        accuracies: column, as in "cifar10/ori-test", to the accuracy of every architecture of the
            space in percent; empty where no benchmark knows the space.
        architecture: the best of the answers of all runs by what the search itself saw; None where
            it has no answer that holds for all columns.
        fitness: of that architecture.
        timed: whether the seconds of the trace are those of real trainings.
        counts: of a live search: how many scores were made, and how many resumed.
    """

    search: Search
    budget: Budget
    runs: int
    trace: "pd.DataFrame"
    accuracies: dict[str, Values]
    architecture: Architecture | None
    fitness: float
    timed: bool = True
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def final(self) -> "pd.DataFrame":
        """The rows of the trace with the answers of the runs."""
        return self.trace[self.trace["is_final"]]

    def reached(self) -> dict[str, dict[str, float | None]]:
        """Mean and standard deviation (ddof 1) over the runs for each column, in percent.

        None stands for the spread of one run, and for a mean that lacks an accuracy.
        """
        found: dict[str, dict[str, float | None]] = {}
        for column, accuracy in self.accuracies.items():
            answers = self.final[self.final["target"].isin(["", column])]
            own = accuracy[answers["arch"].to_numpy()]
            if len(own) == 0:
                continue
            known = {"mean": own.mean(), "std": own.std(ddof=1) if len(own) > 1 else math.nan}
            found[column] = {
                name: None if math.isnan(value) else float(value) for name, value in known.items()
            }
        return found


def run_search(
    algorithm: str,
    space: str,
    *,
    dataset: str = "cifar10",
    budget: str = "12000s",
    proxy: str = "naswot",
    runs: int | None = None,
    shard: int = 0,
    shards: int = 1,
    seed: int = 0,
    epochs: int | None = None,
    training_seed: str | None = None,
    seconds_per_score: float | str = 0.3,
    benchmark: Path | None = None,
    scores: "Path | pd.DataFrame | None" = None,
    live: Live | None = None,
    track: Track = untracked,
    tell: Callable[[str], None] = quiet,
) -> SearchResult:
    """Search a space on cached scores and benchmarked trainings, or with scores made live.

    >>> from untrained import run_search
    >>> found = run_search("rea+population=5", "nasbench201", budget="8evaluations", runs=2)
    >>> found.architecture.index in found.trace["arch"].to_numpy()
    True

    Args:
        algorithm: how the search is spelled; see `untrained.search.spelling`.
        space: its name.
        dataset: whose trainings and scores guide the search.
        budget: of each run that spends one: `12000s` or `100evaluations`.
        proxy: whose scores the search reads where its spelling names none.
        runs: independent repetitions; default 500, or 1 for a live search.
        shard: which piece of the runs is done, from 0.
        shards: into how many pieces they are cut.
        seed: of all random choices.
        epochs: of the trainings that a search sees; default 12, or what the table has.
        training_seed: of those trainings; default 777, or what the table has.
        seconds_per_score: simulated cost of a score without its training, or `measured`: the
            seconds in the table of scores.
        benchmark: file of the benchmark table; by default the fetched or bundled one.
        scores: merged scores, or their file; by default that of the workflow.
        live: how to score what is proposed; None for cached scores.
        track: reports progress.
        tell: takes messages for people.

    Raises:
        UntrainedError: a name, a setting or a file that is not right, or scores that are missing.
    """
    search = parse_algorithm(algorithm)
    image_set(dataset)
    own = shard_of_runs(runs if runs is not None else 1 if live else 500, shard, shards)
    cost, allowed = _seconds_per_score(seconds_per_score), parse_budget(budget)
    searched = get_space(space)
    parse_reading(proxy)
    task = Task(algorithm, search, searched, dataset, allowed, own, seed, track, tell)
    if live is not None:
        from untrained.search.live import live_trace  # which imports PyTorch

        accuracies = {}
        if benchmark is not None or Benchmark.find(space):
            accuracies = accuracies_of(loaded(searched, benchmark))
        trace, counts = live_trace(task, live)
        return SearchResult(
            search, allowed, len(own), trace, accuracies, *_best(task, trace), counts=counts
        )
    tables = tables_of(task, epochs, training_seed, benchmark, scores, cost)
    trace = cached_trace(task, tables, proxy)
    timed = not search.sees_trainings or tables.trainings.timed
    known = tables.accuracies
    return SearchResult(search, allowed, len(own), trace, known, *_best(task, trace), timed)


def _seconds_per_score(given: float | str) -> float | None:
    """The seconds that a score costs; None for those that it took."""
    if given == "measured":
        return None
    try:
        seconds = float(given)
    except ValueError as error:
        raise ParameterError(
            f"--seconds-per-score {given!r}: seconds, 0 or more, or measured"
        ) from error
    if not 0 <= seconds < math.inf:
        raise ParameterError(f"--seconds-per-score {seconds}: 0 or more, or measured")
    return seconds


def _best(task: Task, trace: "pd.DataFrame") -> tuple[Architecture | None, float]:
    """The answer with the highest fitness; None where runs have none, or one for each column."""
    final = trace[trace["is_final"] & (trace["target"] == "")]
    fitness = final["fitness"].to_numpy()
    if np.isnan(fitness).all():
        return None, math.nan
    place = int(np.nanargmax(fitness))
    return task.space[int(final["arch"].to_numpy()[place])], float(fitness[place])

"""A search from its spelling to the architecture that it found, for commands and notebooks."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from untrained.benchmarks.benchmark import Benchmark, Values
from untrained.errors import ParameterError, quoted
from untrained.images.sets import image_set
from untrained.limits import SECONDS
from untrained.plugins import blamed
from untrained.scoring.constraints import Constraint, check_devices_read, parse_constraint
from untrained.scoring.ensembles import parse_proxy
from untrained.scoring.progress import Track, quiet, untracked
from untrained.scoring.quantities import Costs
from untrained.search.allowed import Allowed
from untrained.search.cached import Tables, accuracies_of, cached_trace, loaded
from untrained.search.clock import Budget, parse_budget
from untrained.search.runs import Task, check_draws, shard_of_runs
from untrained.search.spelling import PROXY, Search, parse_algorithm, unused
from untrained.spaces import SearchSpace, get_space
from untrained.spaces.base import Architecture

if TYPE_CHECKING:
    import pandas as pd

    from untrained.search.live import Live

#: The budget of a run, and the seconds that a score costs, where nothing else is said.
BUDGET, SECONDS_PER_SCORE = "12000s", 0.3


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The results of the runs of a search.

    Attributes:
        search: the search that was run.
        budget: the budget of each run.
        runs: number of runs.
        trace: the trace of all runs; `untrained.search.pool` describes its columns.
        accuracies: column, as in "cifar10/ori-test", to the accuracy of every architecture of the
            space in percent; empty if no benchmark knows the space.
        architecture: the answer of the run that saw the highest fitness; None if no answer holds
            for all columns.
        fitness: fitness of that architecture.
        timed: whether the seconds of the trace are those of real trainings.
        counts: numbers of the scores that a live search made and resumed; empty for other searches.
        where: the constraint on the architectures; None for none.
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
    where: str | None = None

    @property
    def final(self) -> "pd.DataFrame":
        """The rows of the trace with the answers of the runs."""
        return self.trace[self.trace["is_final"]]

    def reached(self) -> dict[str, dict[str, float | None]]:
        """Return the mean and standard deviation (ddof 1) over the runs by column, in percent.

        None stands for the deviation of a single run, and for a mean that lacks an accuracy.
        """
        found: dict[str, dict[str, float | None]] = {}
        for column, accuracy in self.accuracies.items():
            answers = self.final.loc[self.final["target"].isin(["", column]), "arch"].to_numpy()
            if not len(answers):
                continue
            own = accuracy[answers]
            known = {"mean": own.mean(), "std": own.std(ddof=1) if len(own) > 1 else math.nan}
            found[column] = {
                name: None if math.isnan(value) else float(value) for name, value in known.items()
            }
        return found


def run_search(
    algorithm: str,
    space: str | SearchSpace,
    *,
    dataset: str = "cifar10",
    budget: str | None = None,
    proxy: str | None = None,
    runs: int | None = None,
    shard: int = 0,
    shards: int = 1,
    seed: int = 0,
    epochs: int | None = None,
    training_seed: str | None = None,
    seconds_per_score: float | str | None = None,
    benchmark: Path | None = None,
    scores: "Path | pd.DataFrame | None" = None,
    live: "Live | None" = None,
    track: Track = untracked,
    tell: Callable[[str], None] = quiet,
    where: str | None = None,
    devices: Path | None = None,
) -> SearchResult:
    """Search a space on cached scores and benchmarked trainings, or with scores made live.

    >>> from untrained import run_search
    >>> found = run_search("rea+population=5", "nasbench201", budget="8evaluations", runs=2)
    >>> found.architecture.index in found.trace["arch"].to_numpy()
    True

    Args:
        algorithm: the spelling of the search; see `untrained.search.spelling`.
        space: the name of the space, or the space. One without a benchmark has to be searched live.
        dataset: the data set whose trainings and scores guide the search.
        budget: the budget of each run, as in `100evaluations`; default `12000s`.
        proxy: the proxy whose scores are read if the spelling names none; default `naswot`.
        runs: independent repetitions; default 500, or 1 for a live search.
        shard: number of the shard of the runs that is done, from 0.
        shards: number of shards.
        seed: seed of all random choices.
        epochs: epochs of the trainings that the search sees; default 12, or what the table has.
        training_seed: seed of those trainings; default 777, or what the table has.
        seconds_per_score: cost of a score without its training, 0.3 by default; `measured` for that
            of the table.
        benchmark: file of the benchmark table; by default the fetched or bundled one.
        scores: merged scores, or their file; by default that of the workflow.
        live: settings of the scores of a live search; None for cached scores.
        track: reports progress.
        tell: takes messages for people.
        where: the constraint that architectures satisfy which are drawn, mutated or proposed, as in
            `latency[raspi4] <= 10 ms, parameters <= 1e6`; see `untrained.scoring.constraints`.
        devices: a table of latencies and energies that the constraint reads, beside those that
            `untrained.devices` reads.

    Raises:
        UntrainedError: a name, a setting or a file is wrong, the search does not use what is given,
            or scores are missing.
    """
    own = shard_of_runs(runs if runs is not None else 1 if live else 500, shard, shards)
    search, allowed = parse_algorithm(algorithm), parse_budget(budget or BUDGET)
    cost = _seconds_per_score(SECONDS_PER_SCORE if seconds_per_score is None else seconds_per_score)
    read = PROXY if proxy is None else proxy
    parse_proxy(read), image_set(dataset)  # which raise an error for a wrong name
    constraint = None if where is None else parse_constraint(where)
    check_devices_read(devices, constraint.quantities if constraint else ())
    given = {
        "budget": budget,
        "proxy": proxy,
        "epochs": epochs,
        "training_seed": training_seed,
        "seconds_per_score": seconds_per_score,
        "scores": None if constraint and constraint.reads_scores else scores,
    }
    for name, value in given.items():
        if value is not None and not search.uses(name, read, live=live is not None):
            raise unused(name, value, algorithm, live=live is not None)
    searched = get_space(space)
    search.check_space(searched)
    check_draws(search.samples, own.stop)
    within = None
    if constraint is not None:
        within = allowed_by(constraint, searched, dataset, scores, devices, live)
    task = Task(algorithm, search, searched, dataset, allowed, own, seed, track, tell, within)
    counts: dict[str, int] = {}
    if live is None:
        tables = Tables(task, benchmark, epochs, training_seed, scores, cost)
        with blamed("space", searched):  # whose neighbours may be no architectures
            trace = cached_trace(tables, read)
        accuracies = tables.accuracies
        timed = not search.sees_trainings or tables.trainings.timed
    else:
        from untrained.search.live import live_trace  # which imports PyTorch

        known = benchmark is not None or Benchmark.find(searched.name)
        accuracies, timed = accuracies_of(loaded(searched, benchmark)) if known else {}, True
        with blamed("space", searched):
            trace, counts = live_trace(task, live)
    if within is not None:
        trace = trace.assign(where=str(within.constraint))
    best, fitness = _best(trace)
    architecture = None if best is None else searched[best]
    return SearchResult(
        *(search, allowed, len(own), trace, accuracies, architecture, fitness, timed, counts),
        where=None if within is None else str(within.constraint),
    )


def allowed_by(
    constraint: Constraint,
    space: SearchSpace,
    dataset: str,
    scores: "Path | pd.DataFrame | None",
    devices: Path | None,
    live: "Live | None",
) -> Allowed:
    """Return a constraint on the architectures of a space after a check of its quantities."""
    settings = None
    if live is not None:
        from untrained.search.live import settings_of

        settings = settings_of(live, dataset)
    found = Allowed(constraint, Costs(space, dataset, scores, devices, settings))
    found.check()
    return found


def _seconds_per_score(given: float | str) -> float | None:
    """Return the seconds that a score costs; None for those that it took."""
    if given == "measured":
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= SECONDS:
        raise ParameterError(
            f"seconds per score {quoted(given)}: a number, 0 to {SECONDS}, or measured"
        )
    return seconds


def _best(trace: "pd.DataFrame") -> tuple[int | None, float]:
    """Return the answer with the highest fitness that holds for all columns, and its fitness."""
    final = trace[trace["is_final"] & (trace["target"] == "") & trace["fitness"].notna()]
    if final.empty:
        return None, math.nan
    best = int(final["fitness"].to_numpy().argmax())
    return int(final["arch"].to_numpy()[best]), float(final["fitness"].to_numpy()[best])

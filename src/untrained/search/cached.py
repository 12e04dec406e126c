"""Searches on cached scores and benchmarked trainings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.benchmark import Benchmark, Values
from untrained.errors import DamagedFileError, MissingDataError, ParameterError, quoted
from untrained.files import SCORES, absent, read_parquet
from untrained.images.sets import image_set
from untrained.plugins import blamed
from untrained.proxies.ensembles import Ensemble
from untrained.scoring.columns import SCORE_TYPES
from untrained.scoring.ensembles import parse_proxy
from untrained.scoring.request import Reading, parse_reading
from untrained.scoring.shipped import cached_scores, shipped_stand_in
from untrained.search.base import SampledSearch, Searchable
from untrained.search.clock import (
    RankedScores,
    Trainings,
    epoch_seconds,
    scores_as_answers,
    trainings_of,
)
from untrained.search.members import PartOfSpace, members_of, part_of, tell_of_part
from untrained.search.pool import (
    Pool,
    can_answer,
    empty_trace,
    measured_seconds,
    scores_of,
    seconds_of_scores,
)
from untrained.search.runs import Task, search_runs, trace_of
from untrained.spaces import SearchSpace, table_of
from untrained.spaces.base import LISTED

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Tables:
    """The benchmark and the cached scores that a search reads.

    Attributes:
        task: the space that is searched, and on which data set.
        path: file of the benchmark table; None for the fetched or bundled one.
        epochs: epochs of the trainings that a search sees; None for those of `seen_in_searches`.
        training_seed: seed of those trainings; None for that of `seen_in_searches`.
        cached: the table of merged scores, or its file; None for that of the workflow.
        seconds_per_score: simulated cost of a score without its training; None for the seconds in
            the table of scores.

    Raises:
        ParameterError: the space has no benchmark, or is too large for any.
    """

    task: Task
    path: Path | None
    epochs: int | None
    training_seed: str | None
    cached: "Path | pd.DataFrame | None"
    seconds_per_score: float | None

    def __post_init__(self) -> None:
        space = self.task.space
        if (space.benchmark is None and self.path is None) or len(space) > LISTED:
            raise ParameterError(
                f"{space.name} has no benchmark to look trainings up in: search it live, by a "
                "proxy: `rs+fitness=naswot` with --live, or live=Live() in Python"
            )

    @cached_property
    def benchmark(self) -> Benchmark:
        """The table of all trainings."""
        return loaded(self.task.space, self.path)

    @cached_property
    def accuracies(self) -> dict[str, Values]:
        """The accuracies in percent by index, of each column."""
        return accuracies_of(self.benchmark)

    @cached_property
    def trainings(self) -> Trainings:
        """The trainings that a search sees."""
        return trainings_of(self.benchmark, *self._trained)

    def unscored(self) -> Pool:
        """Return all architectures with known accuracies, for searches that read no score."""
        return Pool(self.benchmark.known, None, self._accuracies_of(self.benchmark.known), 0.0)

    def scored(self, proxy: str) -> Pool:
        """Return the architectures with scores of a proxy or ensemble, the better network higher.

        Raises:
            MissingDataError: there are no such scores; the message names what makes them.
            DamagedFileError: the scores are not those of this space.
        """
        parsed = parse_proxy(proxy)
        if not isinstance(parsed, Ensemble):
            return self._scored(parsed, self._table([str(parsed)]))
        table = self._table(parsed.members)
        pools = [self._scored(parse_reading(name), table) for name in parsed.members]
        return Pool.of_ensemble(parsed, pools)

    def _scored(self, reading: Reading, table: "Path | pd.DataFrame") -> Pool:
        """Return the architectures with scores of a proxy in a table, or in its file."""
        proxy, source = str(reading), ""
        dataset, size = self.task.dataset, len(self.task.space)
        if isinstance(table, Path):
            if not table.is_file():
                raise MissingDataError(
                    f"{absent(table)}: `make run` or `snakemake scores` makes it"
                )
            source, path = f"{table}: ", table
            table = read_parquet(path, SCORE_TYPES)
            if self.seconds_per_score is None:  # the column `seconds`, which not every table has
                table = read_parquet(path)
        try:
            architectures, scores = scores_of(table, proxy, dataset, size)
        except DamagedFileError as error:
            raise DamagedFileError(f"{source}{error}") from error
        seconds: float | Values
        if self.seconds_per_score is None:
            seconds = measured_seconds(table, proxy, dataset)
        elif reading.epochs:
            of_an_epoch = epoch_seconds(self.benchmark, *self._trained)[architectures]
            seconds = seconds_of_scores(reading.epochs, of_an_epoch, self.seconds_per_score)
        else:
            seconds = self.seconds_per_score
        higher = scores if reading.direction == "higher" else -scores
        return Pool(architectures, higher, self._accuracies_of(architectures), seconds)

    def _table(self, proxies: Sequence[str]) -> "Path | pd.DataFrame":
        """Return the table of scores or its file.

        Where none is named, and the run has not scored all of some proxies, it is what comes along.
        """
        if self.cached is not None:
            return self.cached
        made, space = table_of(SCORES, self.task.space.name), self.task.space
        if not shipped_stand_in(space, made, proxies, self.task.dataset):
            return made
        lacks = f"lacks scores of {' or '.join(proxies)} on {self.task.dataset}"
        said = f"{made} {lacks if made.is_file() else 'does not exist'}"
        self.task.tell(f"{said}: reading the scores that come with untrained")
        return cached_scores(space)

    @property
    def _trained(self) -> tuple[str, int | None, str | None]:
        return image_set(self.task.dataset).measured_as, self.epochs, self.training_seed

    def _accuracies_of(self, architectures: NDArray[np.int64]) -> dict[str, Values]:
        return {name: values[architectures] for name, values in self.accuracies.items()}


def loaded(space: SearchSpace, path: Path | None) -> Benchmark:
    """Load the benchmark table of a space and check that it fits; see `Benchmark.load`."""
    table = Benchmark.load(space.name, path=path)
    table.check_within(len(space))
    return table


def accuracies_of(benchmark: Benchmark) -> dict[str, Values]:
    """Return the accuracies (n,) after the full training by column, as in "cifar10/ori-test"."""
    return {"/".join(column): benchmark.accuracies(*column) for column in benchmark.finals}


def cached_trace(tables: Tables, proxy: str) -> "pd.DataFrame":
    """Return the trace of a search that reads `proxy` if its spelling names none.

    The trace is empty if too few architectures are scored for what a run draws.
    """
    task, search = tables.task, tables.task.search
    pools = {name: tables.scored(name) for name in search.reads(proxy)}
    space: Searchable = task.space
    if search.moves_among_scored:
        members = reduce(np.intersect1d, (pool.architectures for pool in pools.values()))
        pools = {name: pool.within(members) for name, pool in pools.items()}
        space = part_of(task.space, members)
    read = search.proxy_of(proxy)
    pool = pools[read] if read else tables.unscored()
    size, picks = len(task.space), bool(search.drawn) or search.guidance.mutants > 1
    if task.allowed is not None and picks:
        whole = len(pool.architectures) == size
        pool = pool.within(task.allowed.among(space.name, pool.architectures))
        # all that are allowed are a whole of their own
        size = len(pool.architectures) if whole else size
    known = len(pool.architectures)
    if not can_answer(known, size, search.drawn):
        task.tell(
            f"{known} architectures have scores, a search over {search.drawn} needs "
            f"{3 * search.drawn}: raise scores.architectures of params.yaml and run "
            "`snakemake scores`"
        )
        return empty_trace()
    algorithm = search.algorithm
    if isinstance(algorithm, SampledSearch):
        with blamed("search algorithm", algorithm):
            trace = algorithm(pool, search.drawn, task.runs.stop, task.seed)
        trace = trace[trace["run"] >= task.runs.start].reset_index(drop=True)
    else:
        answers: Trainings | RankedScores
        if name := search.guidance.fitness:
            answers = _scores_as_fitness(task, name, pools[name])
        else:
            answers, space = tables.trainings, _trained_part(task, tables.trainings, space)
            if isinstance(space, PartOfSpace):  # what is scored there may lack a training
                pool = pool.within(space.members)
        if task.allowed is not None:
            space = task.allowed.part_of(space, listed=picks)
        guide = search.guide(pool)
        found = search_runs(algorithm, space, answers, task.budget, task.runs, task.seed, guide)
        trace = trace_of(task.track(found, len(task.runs), task.title, "runs"))
    if search.finds_only_scored:
        scored = next(iter(pools.values())).architectures
        tell_of_part(task.space, scored, search.reads(proxy), task.tell)
    return trace


def _scores_as_fitness(task: Task, proxy: str, pool: Pool) -> Trainings | RankedScores:
    """Return the scores of a proxy as fitness."""
    if not np.isfinite(pool.scores).any():
        raise MissingDataError(
            f"nothing has a fitness: all scores of {proxy} on {task.dataset} are undefined for the "
            f"{len(pool.architectures)} architectures that are searched, name another proxy"
        )
    if pool.ensemble is not None:
        return RankedScores(task.space.name, len(task.space), pool)
    return scores_as_answers(task.space.name, len(task.space), pool)


def _trained_part(task: Task, trainings: Trainings, space: Searchable) -> Searchable:
    """Return the part of `space` whose architectures all have a training."""
    if not trainings.timed and task.budget.seconds < np.inf:
        raise ParameterError(
            f"budget {task.budget}: the benchmark of {space.name} has no training times, give one "
            "in evaluations, as in 100evaluations"
        )
    lacking = int(np.isnan(trainings.accuracy).sum())
    facts = task.space.benchmark
    if lacking and facts is not None and facts.partial and not facts.bundled_sample:
        # trainings that failed, which no table has
        trained = np.flatnonzero(~np.isnan(trainings.accuracy))
        return part_of(task.space, np.intersect1d(trained, members_of(space)))
    if lacking and space is task.space:
        raise MissingDataError(
            f"the table of {space.name} lacks {lacking} of {len(trainings.accuracy)} trainings, "
            f"and {quoted(task.spelling)} moves in the whole space: fetch the whole table, or "
            "search by naswot-100"
        )
    return space

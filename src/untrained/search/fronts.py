"""A Pareto search from the spelling of its objectives to the fronts that its runs found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.benchmark import Benchmark
from untrained.errors import ParameterError, unknown_name
from untrained.images.sets import image_set
from untrained.limits import COUNT, at_most
from untrained.scoring.constraints import check_devices_read, parse_constraint
from untrained.scoring.progress import Track, quiet, untracked
from untrained.scoring.quantities import Costs
from untrained.scoring.shipped import scores_at_hand
from untrained.search.base import Searchable
from untrained.search.cached import accuracies_of, loaded
from untrained.search.members import members_of, part_of, tell_of_part
from untrained.search.objectives import CachedValues, Objective, Objectives, parse_objectives
from untrained.search.pareto import SEARCHERS, Evaluated, Values, hypervolumes, searched
from untrained.search.run import allowed_by
from untrained.search.runs import shard_of_runs
from untrained.seeds import check_seed, numpy_generator
from untrained.spaces import SearchSpace, get_space
from untrained.spaces.base import LISTED, Architecture

if TYPE_CHECKING:
    import pandas as pd

    from untrained.search.live import Live

Floats = NDArray[np.float64]
#: Runs all runs on a space, with what returns the values of each run.
AllRuns = Callable[[Searchable, Callable[[int], Values]], list[Evaluated]]


@dataclass(frozen=True, eq=False)
class ParetoResult:
    """What the runs of a Pareto search have evaluated, and their fronts.

    Attributes:
        space: the space that was searched.
        objectives: the objectives.
        runs: what each run has evaluated.
        accuracies: column, as in "cifar10/ori-test", to the accuracy of every architecture of the
            space in percent, which no search sees; empty if no benchmark knows the space.
        values: the values of all architectures that could have been evaluated; None where they are
            not known, as in a live search.
        counts: numbers of the scores that a live search made and resumed; empty for others.
    """

    space: SearchSpace
    objectives: tuple[Objective, ...]
    runs: list[Evaluated]
    accuracies: dict[str, Floats]
    values: CachedValues | None = None
    counts: dict[str, int] = field(default_factory=dict)

    @cached_property
    def trace(self) -> "pd.DataFrame":
        """All that was evaluated, one row per run and step.

        Returns:
            Columns `run`, `step` (evaluations so far), `arch` (index), `on_front` (whether nothing
            that the run evaluated dominates it) and one per objective, NaN where undefined. An
            ensemble is by ranks among all that the run evaluated.
        """
        import pandas as pd

        tables = []
        for number, seen in enumerate(self.runs):
            on_front = np.zeros(len(seen), dtype=bool)
            on_front[seen.front()] = True
            table = pd.DataFrame(
                {
                    "run": number,
                    "step": np.arange(1, len(seen) + 1),
                    "arch": [one.index for one in seen.architectures],
                    "on_front": on_front,
                }
            )
            losses = seen.losses()
            for place, one in enumerate(self.objectives):
                table[one.spelling] = losses[:, place] if one.lower else -losses[:, place]
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def front(self, run: int = 0) -> "pd.DataFrame":
        """Return the front that a run found, in ascending order of the last objective.

        Returns:
            Columns `arch`, `spelling`, one per objective and one per column of `accuracies`, which
            the search has not seen.
        """
        seen = self.runs[run]
        own = self.trace[(self.trace["run"] == run) & self.trace["on_front"]]
        spelled = {one.index: one.spelling for one in seen.architectures}
        last = self.objectives[-1]
        table = own.sort_values(last.spelling, ascending=last.lower, kind="stable")
        table = table.drop(columns=["run", "step", "on_front"]).reset_index(drop=True)
        table.insert(1, "spelling", [spelled[one] for one in table["arch"]])
        for column, accuracy in self.accuracies.items():
            table[column] = accuracy[table["arch"].to_numpy()]
        return table

    def hypervolumes(self, steps: Sequence[int] | None = None) -> Floats:
        """Return the part of the hypervolume that runs have found after some evaluations.

        The whole is that of all architectures that could have been evaluated, with ensembles by
        ranks among all of these; the reference point is the worst value of each objective there.

        Args:
            steps: (m,) numbers of evaluations; those of the longest run by default. A run that
                ended before keeps its last value.

        Returns:
            (runs, m).

        Raises:
            ParameterError: the whole is not known, as in a live search.
        """
        if self.values is None:
            raise ParameterError("the hypervolume of the whole is not known: costs are not stored")
        steps = [max(map(len, self.runs))] if steps is None else steps
        runs = [[one.index for one in seen.architectures] for seen in self.runs]
        return hypervolumes(runs, self.values.losses(self.runs[0].aims), steps)

    @cached_property
    def alike(self) -> list[Objective]:
        """The objectives without two values among all that could have been evaluated.

        With one of them there is no hypervolume. They are none where `values` is None.
        """
        if self.values is None:
            return []
        columns = self.values.losses(self.runs[0].aims).T
        pairs = zip(self.objectives, columns, strict=True)
        return [one for one, own in pairs if len(np.unique(own[np.isfinite(own)])) < 2]


def pareto(
    space: str | SearchSpace,
    objectives: Sequence[str],
    *,
    dataset: str = "cifar10",
    algorithm: str = "nsga2",
    evaluations: int = 500,
    runs: int = 1,
    seed: int = 0,
    benchmark: Path | None = None,
    scores: "Path | pd.DataFrame | None" = None,
    images: str | None = None,
    devices: Path | None = None,
    where: str | None = None,
    live: "Live | None" = None,
    track: Track = untracked,
    tell: Callable[[str], None] = quiet,
) -> ParetoResult:
    """Search for the architectures that no other one beats in all of several objectives.

    >>> from untrained import pareto
    >>> found = pareto("nasbench201", ["naswot", "latency[raspi4]"], evaluations=100)
    >>> found.front()["latency[raspi4]"].is_monotonic_increasing
    True

    Args:
        space: the name of the space, or the space.
        objectives: two or more; see `untrained.search.objectives`.
        dataset: the data set of the networks whose cost on a device counts.
        algorithm: `nsga2`, or `random`, which draws without replacement.
        evaluations: number of architectures that a run evaluates, each once.
        runs: independent repetitions; run r depends on the seed and r alone, and reads scores of
            seed r modulo their number.
        seed: seed of all random choices.
        benchmark: file of the benchmark table; by default the fetched or bundled one.
        scores: merged scores, or their file; by default those of the workflow, else those that
            come with the space.
        images: the data set of the images of the scores, `dataset` by default.
        devices: file of a table of devices beside those that `untrained.devices` reads.
        where: a constraint, within which the search moves; see `untrained.scoring.constraints`.
        live: settings of scores that are made when they are asked for; None for cached scores.
        track: reports progress.
        tell: takes messages for people.

    Raises:
        UntrainedError: a name is unknown, a number is out of range, or scores or latencies are
            missing.
    """
    searched_space = get_space(space)
    if algorithm not in SEARCHERS:
        raise unknown_name("algorithm of a Pareto search", algorithm, SEARCHERS)
    evaluations, runs = _whole("evaluations", evaluations, 1), _whole("runs", runs, 1)
    at_most(COUNT, evaluations=evaluations)
    shard_of_runs(runs, 0, 1)
    seed = _whole("seed", seed, 0)
    check_seed(seed)
    image_set(dataset), image_set(images or dataset)  # raise for unknown names
    parsed = parse_objectives(objectives)
    costs = Costs(searched_space, dataset, scores, devices)
    asked = Objectives(searched_space, parsed, costs)
    constraint = None if where is None else parse_constraint(where)
    quantities = (*asked.quantities, *(constraint.quantities if constraint else ()))
    check_devices_read(devices, quantities)
    scored = live is None and asked.readings
    if scores is not None and not scored and not any(one.reading for one in quantities):
        raise ParameterError(
            f"scores{f' {scores}' if isinstance(scores, Path) else ''}: no objective is read from "
            "them, leave them out"
        )
    asked.check()
    within = None
    if constraint is not None:
        within = allowed_by(constraint, searched_space, dataset, scores, devices, live)
    rngs = [numpy_generator(seed, "pareto search", run) for run in range(runs)]
    title = f"{algorithm}/{searched_space.name}"
    searcher = SEARCHERS[algorithm]

    def all_runs(among: Searchable, of_run: Callable[[int], Values]) -> list[Evaluated]:
        found = (
            next(searched(searcher, among, asked.aims, of_run(run), evaluations, [rng]))
            for run, rng in enumerate(rngs)
        )
        return [*track(found, runs, title, "runs")]

    accuracies = _accuracies(searched_space, benchmark)
    large = searched_space.size > LISTED
    if large and scored:
        raise ParameterError(f"{searched_space.name} is too large for cached scores: search live")
    if live is not None or large:
        whole: Searchable = searched_space
        whole = whole if within is None else within.part_of(whole)
        made, counts = _unlisted(asked, whole, live, images or dataset, all_runs, tell)
        return ParetoResult(searched_space, parsed, made, accuracies, None, counts)
    table = _scores(asked, scores, images or dataset)
    values = asked.cached(table, images or dataset)
    tell_of_part(searched_space, values.architectures, map(str, asked.readings), tell)
    among = asked.measured(part_of(searched_space, values.architectures))
    among = among if within is None else within.part_of(among)
    known = None
    if values.asked is None and getattr(among, "members", ()) is not None:
        known = replace(values, architectures=members_of(among))
    return ParetoResult(searched_space, parsed, all_runs(among, values.of_run), accuracies, known)


def _whole(name: str, value: object, least: int) -> int:
    """Return a whole number of `least` or more, or raise ParameterError."""
    if type(value) is int and value >= least:
        return value
    from untrained.scoring.arguments import whole  # that imports PyTorch, which takes a second

    return whole(name, value, least)


def _scores(asked: Objectives, path: "Path | pd.DataFrame | None", images: str) -> "pd.DataFrame":
    """Return a table of scores, an empty one where no objective needs any."""
    import pandas as pd

    from untrained.scoring.columns import SCORE_COLUMNS

    if not asked.readings:
        return pd.DataFrame(columns=SCORE_COLUMNS)
    if not isinstance(path, Path | None):
        return path
    return scores_at_hand(asked.space, path, [*map(str, asked.readings)], images)


def _accuracies(space: SearchSpace, path: Path | None) -> dict[str, Floats]:
    """Return the accuracies of all architectures by column, where a benchmark is at hand."""
    if path is None and (space.benchmark is None or Benchmark.find(space.name) is None):
        return {}
    return accuracies_of(loaded(space, path))


def _unlisted(
    asked: Objectives,
    among: Searchable,
    live: "Live | None",
    images: str,
    all_runs: "AllRuns",
    tell: Callable[[str], None],
) -> tuple[list[Evaluated], dict[str, int]]:
    """Return what runs evaluated without a table of all, and how many scores were made, resumed."""
    asked.space.check_numbered()
    if live is None:
        return all_runs(among, lambda _: lambda one: asked.costs_of(one.index)), {}
    if not asked.readings:
        raise ParameterError("live: no objective is a score, leave live out")
    from untrained.search.live import live_scores

    with live_scores(asked.space, asked.readings, images, live, tell) as scored:
        seeds = scored.request.seeds

        def of_run(run: int) -> Values:
            def values(architecture: Architecture) -> list[float]:
                found = scored.score(architecture.index, seeds[run % len(seeds)])
                return [*scored.oriented(found), *asked.costs_of(architecture.index)]

            return values

        made = all_runs(among, of_run)
    return made, scored.counts

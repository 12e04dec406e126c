"""The pool from which a search on cached values draws, and the trace of a search.

A trace has one row for each step at which the incumbent of a run changed, and one for the end of
the run (`is_final`), with the columns `run`, `target`, `step` (evaluations so far), `arch` (the
incumbent), `fitness`, `simulated_seconds` and `is_final`. `target` names the accuracy column for
which the answer of a run holds; it is empty if the answer holds for all columns.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import DamagedFileError, MissingDataError, PluginError
from untrained.proxies.ensembles import Ensemble, combined

if TYPE_CHECKING:
    import pandas as pd

    from untrained.proxies.standings import Standings

Floats = NDArray[np.float64]
TRACE_TYPES = {
    "run": "int64",
    "target": "str",
    "step": "int64",
    "arch": "int64",
    "fitness": "float64",
    "simulated_seconds": "float64",
    "is_final": "bool",
}
TRACE_COLUMNS = tuple(TRACE_TYPES)


@dataclass(frozen=True)
class Pool:
    """Architectures with their scores, accuracies and costs.

    Attributes:
        architectures: (n,) indices in the space.
        cached_scores: (seeds, n), the better network higher, NaN if undefined; None if no scores
            were read.
        accuracies: column, for example "cifar10-valid/x-valid", to (n,) percent.
        seconds_per_score: simulated cost of a score; or (n,), the cost by architecture.
        ensemble: the ensemble that scores; None for a proxy.
        members: (members, seeds, n) the scores by its members, as `cached_scores`; None for a
            proxy.
    """

    architectures: NDArray[np.int64]
    cached_scores: Floats | None
    accuracies: Mapping[str, Floats]
    seconds_per_score: float | Floats
    ensemble: Ensemble | None = None
    members: Floats | None = None

    @classmethod
    def of_ensemble(cls, ensemble: Ensemble, pools: "Sequence[Pool]") -> "Pool":
        """Return the architectures that all members of an ensemble have scored.

        Args:
            ensemble: the ensemble.
            pools: those of its members, in their order. A score costs as much as all theirs.

        Raises:
            MissingDataError: the members have scores of different numbers of seeds.
        """
        both = reduce(np.intersect1d, (one.architectures for one in pools))
        parts = [one.within(both) for one in pools]
        if len({len(one.scores) for one in parts}) > 1:
            told = ", ".join(
                f"{len(one.scores)} of {name}"
                for name, one in zip(ensemble.members, parts, strict=True)
            )
            raise MissingDataError(
                f"the members of {ensemble} are scored with different numbers of seeds ({told}): "
                "score all with the same"
            )
        members = np.stack([one.scores for one in parts])
        seconds = sum(one.seconds_per_score for one in parts)
        return cls(both, None, parts[0].accuracies, seconds, ensemble, members)

    def of_run(self, run: int) -> "Seen":
        """Return what a run learns of the scores, as it asks for them."""
        if self.ensemble is None or self.members is None:
            return Seen(self.scores[run % len(self.scores)])
        return RankedSeen(self.members[:, run % self.members.shape[1]], self.ensemble)

    @cached_property
    def _ranked(self) -> Floats | None:
        """The scores of an ensemble by its ranks in the whole pool."""
        if self.ensemble is None or self.members is None:
            return None
        rule = self.ensemble.rule
        return np.stack([combined(rule, one) for one in self.members.swapaxes(0, 1)])

    @property
    def scores(self) -> Floats:
        """(seeds, n) scores; run r sees row r modulo the number of seeds.

        Those of an ensemble are its ranks in the whole pool, which no run sees: see `of_run`.

        Raises:
            PluginError: no scores were read, because the algorithm declares that it reads none.
        """
        if self._ranked is not None:
            return self._ranked
        if self.cached_scores is None:
            raise PluginError(
                "the search algorithm reads scores but declares `reads_scores = False`: declare "
                "it True, so that the scores of a proxy are read"
            )
        return self.cached_scores

    def cost(self, positions: NDArray[np.int64]) -> float:
        """Return the simulated seconds of the scores at some positions."""
        if isinstance(self.seconds_per_score, np.ndarray):
            return float(self.seconds_per_score[positions].sum())
        return len(positions) * self.seconds_per_score

    def within(self, members: NDArray[np.int64]) -> "Pool":
        """Return the part of the pool with these architectures, all of which are in it."""
        kept = np.flatnonzero(np.isin(self.architectures, members))
        seconds = self.seconds_per_score
        return Pool(
            self.architectures[kept],
            None if self.cached_scores is None else self.cached_scores[:, kept],
            {name: values[kept] for name, values in self.accuracies.items()},
            seconds[kept] if isinstance(seconds, np.ndarray) else seconds,
            self.ensemble,
            None if self.members is None else self.members[..., kept],
        )


@dataclass(frozen=True, eq=False)
class Seen:
    """The scores of a pool as a run sees them.

    Attributes:
        scores: (n,) by position in the pool, the better network higher, NaN if undefined; or
            (members, n).
    """

    scores: Floats

    def fitness(self, position: int) -> float:
        """Return the score at a position, -inf if it is undefined."""
        found = float(self.scores[position])
        return -np.inf if np.isnan(found) else found

    def values(self, positions: NDArray[np.int64]) -> Floats:
        """Return the scores (m,) at some positions, all of them seen first; -inf if undefined."""
        seen = [self.fitness(one) for one in positions.tolist()]
        return np.array([float(one) for one in seen])


@dataclass(frozen=True, eq=False)
class RankedSeen(Seen):
    """The scores of an ensemble as a run sees them: by ranks among all that it has asked for.

    Attributes:
        ensemble: the ensemble.
    """

    ensemble: Ensemble
    _positions: list[int] = field(default_factory=list, init=False)
    _fitness: dict[int, float] = field(default_factory=dict, init=False)

    @cached_property
    def _standings(self) -> "Standings":
        return self.ensemble.standings()

    def fitness(self, position: int) -> float:
        """Return the score at a position, which compares as the ranks of now do."""
        from untrained.proxies.standings import Standing

        if position not in self._fitness:
            place = self._standings.add(self.scores[:, position])
            self._fitness[position] = -np.inf if place is None else Standing(self._standings, place)
            self._positions.extend([] if place is None else [position])
        return self._fitness[position]

    def leader(self) -> tuple[int, float] | None:
        """Return the position and the score of the best seen, the first of equals, if any."""
        if not self._positions:
            return None
        place = self._standings.leader()
        return self._positions[place], self._standings.score(place)


def can_answer(pool_size: int, space_size: int, samples: int) -> bool:
    """Return whether a search that draws `samples` from a pool represents the whole space.

    A part of the space must have three times as many architectures as a run draws. In a smaller
    part the runs share most of their candidates, and spread less than over the space.
    """
    return pool_size == space_size or 3 * samples <= pool_size


def draw(pool_size: int, samples: int, runs: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw positions (runs, samples) in the pool with replacement, as NASWOT's code does."""
    return rng.integers(pool_size, size=(runs, samples))


def best_of_sample_trace(
    pool: Pool,
    drawn: NDArray[np.int64],
    fitness: Floats,
    seconds: float | Floats,
    target: str = "",
) -> "pd.DataFrame":
    """Return the trace of runs that keep the best of their samples.

    Args:
        pool: the architectures.
        drawn: (runs, samples) positions in the pool.
        fitness: (runs, samples), higher is better; NaN loses to every number.
        seconds: simulated cost of one evaluation; or (n,), the cost by architecture.
        target: the accuracy column for which the answers hold; empty for all.
    """
    import pandas as pd

    values = np.where(np.isnan(fitness), -np.inf, fitness)
    best = np.maximum.accumulate(values, axis=1)
    improves = np.ones(values.shape, dtype=bool)
    improves[:, 1:] = best[:, 1:] > best[:, :-1]
    run, place = np.nonzero(improves)
    # the answer of a run is its last incumbent
    last = np.flatnonzero(np.diff(run, append=-1))
    rows = np.concatenate([np.arange(len(run)), last])
    is_final = np.arange(len(rows)) >= len(run)
    run, place = run[rows], place[rows]
    step = np.where(is_final, drawn.shape[1], place + 1)
    if isinstance(seconds, np.ndarray):
        spent = seconds[drawn].cumsum(axis=1)[run, step - 1]
    else:
        spent = step * seconds
    arch, seen = pool.architectures[drawn[run, place]], fitness[run, place]
    columns = (run, target, step, arch, seen, spent, is_final)
    trace = pd.DataFrame(dict(zip(TRACE_COLUMNS, columns, strict=True)))
    return trace.sort_values(["run", "step", "is_final"], kind="stable", ignore_index=True)


def best_of_ranked_trace(pool: Pool, drawn: NDArray[np.int64]) -> "pd.DataFrame":
    """Return the trace of runs that keep the best of their samples by an ensemble.

    The incumbent at a step is the best by the ranks among what the run has drawn until then.

    Args:
        pool: the architectures with their scores by an ensemble.
        drawn: (runs, samples) positions in the pool.
    """
    import pandas as pd

    rows: list[tuple[object, ...]] = []
    for run, positions in enumerate(drawn):
        seen, found, spent, last = pool.of_run(run), None, 0.0, None
        for step, position in enumerate(positions.tolist(), start=1):
            fitness, spent = seen.fitness(position), spent + pool.cost(np.array([position]))
            best = seen.leader() if isinstance(seen, RankedSeen) else None
            best = best or found or (position, fitness)
            if found is None or best[0] != found[0]:
                rows.append((run, "", step, pool.architectures[best[0]], best[1], spent, False))
            found, last = best, step
        if found is not None:
            rows.append((run, "", last, pool.architectures[found[0]], found[1], spent, True))
    trace = pd.DataFrame(rows, columns=list(TRACE_COLUMNS))
    return trace.assign(fitness=trace["fitness"].astype("float64").replace(-np.inf, np.nan))


def empty_trace() -> "pd.DataFrame":
    """Return the trace of a search that could not be run on its pool."""
    return best_of_sample_trace(
        Pool(np.arange(1), np.zeros((1, 1)), {}, 0.0),
        np.zeros((0, 1), dtype=np.int64),
        np.zeros((0, 1)),
        seconds=0.0,
    )


def seconds_of_scores(epochs: float, of_an_epoch: Floats, seconds_per_score: float) -> Floats:
    """Return the simulated seconds (n,) of scores after some epochs of training.

    The training is charged by the benchmark's seconds of an epoch, `of_an_epoch` (n,), which makes
    it comparable with the trainings whose accuracy a search would see instead.

    Raises:
        MissingDataError: the benchmark lacks the time of an architecture.
    """
    unknown = int(np.isnan(of_an_epoch).sum())
    if unknown:
        raise MissingDataError(
            f"the benchmark has no training time of {unknown} of {len(of_an_epoch)} scored "
            "architectures: fetch the full table"
        )
    return epochs * of_an_epoch + seconds_per_score


def measured_seconds(table: "pd.DataFrame", proxy: str, dataset: str) -> Floats:
    """Return the seconds (n,) that scores took when they were made, mean over the seeds.

    Arguments and order are those of `scores_of`; the table also has the column `seconds`.

    Raises:
        MissingDataError: the table lacks seconds.
    """
    if "seconds" not in table:
        raise MissingDataError(
            "the cached scores have no column `seconds`: give the cost of a score in seconds"
        )
    own = table[(table["proxy"] == proxy) & (table["dataset"] == dataset)]
    if unknown := int(own["seconds"].isna().sum()):
        raise MissingDataError(
            f"{unknown} of {len(own)} cached scores of {proxy} on {dataset} have no seconds: give "
            "the cost of a score in seconds"
        )
    return own.groupby("arch")["seconds"].mean().to_numpy(dtype=np.float64)


def scores_of(
    table: "pd.DataFrame", proxy: str, dataset: str, size: int | None = None
) -> tuple[NDArray[np.int64], Floats]:
    """Return the architectures and the (seeds, n) scores of a proxy on a data set.

    Undefined scores are NaN; an infinite score is undefined.

    Args:
        table: merged scores, with the columns `arch`, `proxy`, `dataset`, `seed`, `score`.
        proxy: spelling of the proxy in the table.
        dataset: data set of the images.
        size: number of architectures of the space, to check their indices; None for no check.

    Raises:
        MissingDataError: the table has no such scores; the message names the command for them.
        DamagedFileError: an architecture is scored twice with one seed, or is not in the space.
    """
    own = table[(table["proxy"] == proxy) & (table["dataset"] == dataset)]
    if own.empty:
        raise MissingDataError(
            f"no cached scores of {proxy} on {dataset}: add them to scores.proxies and datasets of "
            "params.yaml and run `snakemake scores`"
        )
    remedy = "delete them and run `snakemake scores`"
    if (twice := own.duplicated(["arch", "seed"])).any():
        first = own[twice].iloc[0]
        raise DamagedFileError(
            f"the cached scores of {proxy} on {dataset} have architecture {first['arch']}, seed "
            f"{first['seed']} twice: {remedy}"
        )
    if size is not None and not (inside := own["arch"].between(0, size - 1)).all():
        raise DamagedFileError(
            f"the cached scores of {proxy} on {dataset} have architecture "
            f"{own.loc[~inside, 'arch'].iloc[0]}, and the space has 0 to {size - 1}: {remedy}"
        )
    wide = own.pivot(index="seed", columns="arch", values="score")
    scores = wide.to_numpy(dtype=np.float64)
    return wide.columns.to_numpy(dtype=np.int64), np.where(np.isfinite(scores), scores, np.nan)

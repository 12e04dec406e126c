"""What was found for devices without labels, held to the best that is possible on them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from untrained.benchmarks.devices import UNITS
from untrained.errors import ParameterError
from untrained.images.sets import image_set
from untrained.report.inputs import Inputs
from untrained.report.scores import Floats, Indices
from untrained.report.section import Options
from untrained.report.statistics import mean_interval
from untrained.search.pareto import EVOLUTION, hypervolume, non_dominated

#: Latencies at which accuracies are compared, as quantiles of those of the best possible front.
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)

#: Points of accuracy from which a device is said to need a search of its own.
NEEDS_OWN = 0.5

#: Of a row over all latencies, in the place of a cost.
EVERY = "every latency"

METHOD = ("score", "algorithm", "by")
Method = tuple[str, str, str]

#: The columns of `device_table`, in order.
COLUMNS = (
    *("dataset", "cost", "unit", *METHOD, "front", "runs", "evaluations", "seconds"),
    *("lost", "lost_low", "lost_high"),
    *("hypervolume", "hypervolume_low", "hypervolume_high"),
)
#: The columns of `level_table`, in order.
LEVEL_COLUMNS = (
    *("dataset", "cost", "unit", *METHOD, "level", "limit", "best"),
    *("accuracy", "accuracy_low", "accuracy_high", "answered"),
)
#: The columns of `point_table`, in order.
POINT_COLUMNS = (
    *("dataset", "cost", "unit", "score", "algorithm", "limit", "best"),
    *("accuracy", "accuracy_low", "accuracy_high"),
)
#: The columns of `transfer_table`, in order.
TRANSFER_COLUMNS = (
    *("dataset", "cost", "by", "tau", "lost", "own", "more", "more_low", "more_high"),
    *("middle", "middle_low", "middle_high"),
)


@dataclass(frozen=True, eq=False)
class Device:
    """What is possible at a cost on a device.

    Attributes:
        cost: its spelling, as in "latency[raspi4]".
        values: (n,) the cost of each architecture, NaN where unknown.
        accuracy: (n,) test accuracy in percent.
        chance: the accuracy of a guess, in percent.
    """

    cost: str
    values: Floats
    accuracy: Floats
    chance: float

    @cached_property
    def front(self) -> Indices:
        """The best possible front, in ascending order of the cost."""
        return non_dominated(np.stack([self.values, -self.accuracy], axis=1))

    @cached_property
    def limits(self) -> Floats:
        """The costs (levels,) of `LEVELS`."""
        found: Floats = np.quantile(self.values[self.front], LEVELS, method="inverted_cdf")
        return found

    def best(self, limits: Floats) -> Floats:
        """Return the best accuracy (m,) that is possible within limits of the cost (m,)."""
        return self.picked(self.front, limits)

    def picked(self, front: Indices, limits: Floats) -> Floats:
        """Return the accuracy (m,) of what a front answers within limits of the cost (m,).

        That is the member with the highest score among those within the limit, as labels are not
        known; without any it is a guess.

        Args:
            front: its members, in ascending order of the score.
            limits: limits of the cost.
        """
        within = self.values[front][:, None] <= limits
        last = (within * np.arange(1, len(front) + 1)[:, None]).max(axis=0, initial=0)
        found: Floats = np.append(self.chance, self.accuracy[front])[last]
        return found

    def answered(self, front: Indices, limits: Floats) -> Floats:
        """Return whether a front has any member within limits of the cost (m,)."""
        within = self.values[front][:, None] <= limits
        return np.asarray(within.any(axis=0), dtype=np.float64)

    def lost(self, front: Indices) -> float:
        """Return the mean over the levels of what a front is less accurate than is possible."""
        return float((self.best(self.limits) - self.picked(front, self.limits)).mean())

    def share(self, front: Indices) -> float:
        """Return the part that the hypervolume of a front is of that of the best possible front.

        The reference point is the highest cost of any architecture and the accuracy of a guess. It
        is NaN if nothing is better than that.
        """
        return self._volume(front) / self._whole

    @cached_property
    def _whole(self) -> float:
        return self._volume(self.front) or np.nan

    def _volume(self, front: Indices) -> float:
        reference = np.array([np.nanmax(self.values), -self.chance])
        return hypervolume(np.stack([self.values[front], -self.accuracy[front]], 1), reference)


#: (score, algorithm, by), then the number of evaluations, to the front of each run.
Found = Mapping[Method, Mapping[int, list[Indices]]]


@dataclass(frozen=True, eq=False)
class Run:
    """What was searched on the devices of one data set.

    Attributes:
        dataset: the data set of the networks.
        devices: cost to what is possible at it.
        found: the fronts, of which every method has as many as there were runs, by their numbers.
        seconds: (score, algorithm, by), then evaluations, to the seconds of so many scores.
        score: the score that is compared with controls.
    """

    dataset: str
    devices: Mapping[str, Device]
    found: Found
    seconds: Mapping[Method, Mapping[int, float]]
    score: str

    def methods(self, cost: str) -> Iterator[Method]:
        """Yield what was searched for a cost, the score first."""
        yield from (key for key in self.found if key[2] == cost)
        yield from (key for key in self.found if key[2] not in self.devices)

    def last(self, method: Method) -> "list[Indices]":
        """Return the fronts of the end."""
        return self.found[method][max(self.found[method])]


def runs_of(inputs: Inputs) -> list[Run]:
    """Read what was searched, a file per data set.

    Raises:
        ParameterError: a file is not named by a data set of the benchmark, or has no fronts.
    """
    runs = []
    for path, table in inputs.read("devices"):
        column = inputs.splits.get((path.stem, "test"))
        if column is None:
            raise ParameterError(f"{path}: fronts lie at SPACE/DATASET.parquet")
        if table.empty:
            raise ParameterError(f"{path} has no fronts: make it again by `untrained fronts`")
        accuracy, chance = inputs.benchmark.accuracies(*column), 100 / _classes(path.stem)
        found: dict[Method, dict[int, list[Indices]]] = {}
        seconds: dict[Method, dict[int, float]] = {}
        keys = table[[*METHOD, "evaluations", "run"]]
        begins = np.flatnonzero((keys != keys.shift()).any(axis=1))  # the rows of a front follow
        fronts = np.split(table["arch"].to_numpy(dtype=np.int64), begins[1:])
        heads = table.iloc[begins][[*METHOD, "evaluations", "run", "seconds"]]
        nothing = [np.empty(0, dtype=np.int64)] * (int(table["run"].max()) + 1)
        for (*names, step, number, spent), front in zip(
            heads.itertuples(index=False, name=None), fronts, strict=True
        ):
            method = names[0], names[1], names[2]
            of_step = found.setdefault(method, {}).setdefault(step, [*nothing])
            of_step[number] = front[front >= 0]
            seconds.setdefault(method, {})[step] = spent
        devices = {}
        for cost in dict.fromkeys(by for _, _, by in found if "[" in by):
            metric, device, other = parts_of(cost)
            values = inputs.devices.values(metric, device, other or path.stem)
            devices[cost] = Device(cost, values, accuracy, chance)
        runs.append(Run(path.stem, devices, found, seconds, next(iter(found))[0]))
    return runs


def _classes(dataset: str) -> int:
    return image_set(dataset).num_classes


def parts_of(cost: str) -> tuple[str, str, str]:
    """Return quantity, device and data set of a spelled cost, the last empty if it names none."""
    metric, _, rest = cost.removesuffix("]").partition("[")
    device, _, dataset = rest.partition("/")
    return metric, device, dataset


def _unit(cost: str) -> str:
    return UNITS[parts_of(cost)[0]]


def device_table(inputs: Inputs, options: Options) -> pd.DataFrame:
    """Summarise the fronts of each cost over the runs.

    Returns:
        One row per data set, cost, method and number of evaluations with `COLUMNS`: a method is a
        `score` whose front with the cost `by` an `algorithm` searched. `lost` is the mean over
        `LEVELS` of the accuracy that is lost, in points, `hypervolume` the part of the best
        possible; both are means over the `runs` with 95 % bootstrap intervals. `front` is the
        number of architectures of the best possible front. Rows of the cost `EVERY` are means over
        all latencies.
    """
    rows = []
    for run in runs_of(inputs):
        over: dict[Method, dict[int, list[tuple[Floats, Floats]]]] = {}
        for cost, device in run.devices.items():
            head = run.dataset, cost, _unit(cost)
            for method in run.methods(cost):
                for evaluations, fronts in run.found[method].items():
                    lost = np.array([*map(device.lost, fronts)])
                    share = np.array([*map(device.share, fronts)])
                    spent = len(fronts), evaluations, run.seconds[method][evaluations]
                    said = _means((lost, share), options)
                    rows.append((*head, *method, len(device.front), *spent, *said))
                    if cost.startswith("latency"):
                        name = *method[:2], "" if method[2] == cost else method[2]
                        kept = over.setdefault(name, {}).setdefault(evaluations, [])
                        kept.append((lost, share))
        for method, by_evaluations in over.items():
            for evaluations, found in by_evaluations.items():
                both = [np.mean(each, axis=0) for each in zip(*found, strict=True)]
                spent = len(both[0]), evaluations, np.nan
                head = run.dataset, EVERY, "ms"
                rows.append((*head, *method, len(found), *spent, *_means(both, options)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _means(values: Sequence[Floats], options: Options) -> list[float]:
    """Return the mean of each of some arrays (runs,), with its 95 % bootstrap interval."""
    found = []
    for one in values:
        found += [float(one.mean()), *map(float, mean_interval(one, **options))]
    return found


def level_table(inputs: Inputs, options: Options) -> pd.DataFrame:
    """Return the accuracy at each level of the cost.

    Returns:
        One row per data set, cost, method and level with `LEVEL_COLUMNS`: `limit` is the cost,
        `best` the accuracy of the best possible within it, `accuracy` that of what was found (mean
        over the runs with its 95 % bootstrap interval), and `answered` the part of the runs whose
        front has a member within the limit; others count as a guess. Rows of the cost `EVERY` are
        means over all latencies.
    """
    rows = []
    for run in runs_of(inputs):
        every: dict[Method, list[tuple[Floats, Floats, Floats]]] = {}
        for cost, device in run.devices.items():
            best = device.best(device.limits)
            for method in run.methods(cost):
                fronts = run.last(method)
                picked = np.array([device.picked(one, device.limits) for one in fronts])
                there = np.array([device.answered(one, device.limits) for one in fronts])
                head = run.dataset, cost, _unit(cost), *method
                rows += _level_rows(head, device.limits, best, picked, there, options)
                if cost.startswith("latency"):
                    name = *method[:2], "" if method[2] == cost else method[2]
                    every.setdefault(name, []).append((best, picked, there))
        for method, found in every.items():
            best, picked, there = (np.mean(each, axis=0) for each in zip(*found, strict=True))
            head = run.dataset, EVERY, "", *method
            rows += _level_rows(head, np.full(len(LEVELS), np.nan), best, picked, there, options)
    return pd.DataFrame(rows, columns=list(LEVEL_COLUMNS))


def _level_rows(
    head: tuple[str, ...],
    limits: Floats,
    best: Floats,
    picked: Floats,
    there: Floats,
    options: Options,
) -> list[tuple[object, ...]]:
    """Return a row for each level, given what was picked in each run (runs, levels)."""
    low, high = mean_interval(picked, **options)
    mean, part = picked.mean(axis=0), there.mean(axis=0)
    return [(*head, *one) for one in zip(LEVELS, limits, best, mean, low, high, part, strict=True)]


def point_table(inputs: Inputs, _: Options) -> pd.DataFrame:
    """Return the accuracy within every cost of the best possible front.

    Returns:
        One row per data set, cost, method that saw it, and limit with `POINT_COLUMNS`: the median
        over the runs and its 2.5 % and 97.5 % quantiles.
    """
    rows = []
    for run in runs_of(inputs):
        for cost, device in run.devices.items():
            limits = device.values[device.front]
            best = device.best(limits)
            for method in (key for key in run.methods(cost) if key[2] == cost):
                picked = [device.picked(one, limits) for one in run.last(method)]
                low, middle, high = np.quantile(picked, [0.025, 0.5, 0.975], axis=0)
                head = run.dataset, cost, _unit(cost), *method[:2]
                rows += [(*head, *one) for one in zip(limits, best, middle, low, high, strict=True)]
    return pd.DataFrame(rows, columns=list(POINT_COLUMNS))


def transfer_table(inputs: Inputs, options: Options) -> pd.DataFrame:
    """Use the front that was found for one cost at another.

    Returns:
        One row per data set, cost and cost `by` which another front was found, with
        `TRANSFER_COLUMNS`: Kendall's `tau` of both costs over all architectures, what is `lost`
        with that front and with the `own` one, how much `more` that is, and how much more is lost
        at the `middle` level alone, means over pairs of runs with 95 % bootstrap intervals.
    """
    rows = []
    for run in runs_of(inputs):
        fronts = {by: run.last((score, kind, by)) for score, kind, by in run.found
                  if (score, kind) == (run.score, EVOLUTION)}  # fmt: skip
        taus = _taus({cost: device.values for cost, device in run.devices.items()})
        for cost, device in run.devices.items():
            best = device.best(device.limits)
            lost = {
                by: best - np.array([device.picked(front, device.limits) for front in found])
                for by, found in fronts.items()
            }
            own = lost[cost]
            for by in (name for name in fronts if name != cost):
                more = lost[by] - own
                said = _means([more.mean(axis=1), more[:, len(LEVELS) // 2]], options)
                tau = taus.get((cost, by), np.nan)
                rows.append((run.dataset, cost, by, tau, lost[by].mean(), own.mean(), *said))
    return pd.DataFrame(rows, columns=list(TRANSFER_COLUMNS))


def _taus(costs: Mapping[str, Floats]) -> dict[tuple[str, str], float]:
    """Return Kendall's tau of each pair of costs (n,), over what both know."""
    from untrained.report.ranks import coefficients, dense_ranks

    found, names = {}, list(costs)
    ranks = {name: dense_ranks(values) for name, values in costs.items()}  # NaN is the last rank
    for place, one in enumerate(names):
        for other in names[:place]:
            known = np.isfinite(costs[one]) & np.isfinite(costs[other])
            tau = coefficients(*(ranks[name][known] for name in (one, other)))[0]
            found[one, other] = found[other, one] = float(tau)
    return found

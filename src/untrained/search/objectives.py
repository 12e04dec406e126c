"""The objectives of a Pareto search: scores and costs, with the direction of each.

`naswot` and `log(naswot,parameters)` are scores, which know their direction. `latency[raspi4]` and
`energy[edgegpu]` are costs on a device, of which less is better. `min(flops)` and `max(flops)` give
the direction of anything.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.devices import UNITS, DeviceTable
from untrained.errors import MissingDataError, ParameterError
from untrained.proxies.ensembles import Ensemble
from untrained.scoring.ensembles import parse_proxy, readings_of
from untrained.scoring.request import Reading
from untrained.search.pareto import Aim, Values
from untrained.search.pool import scores_of
from untrained.spaces import SearchSpace

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

_DEVICE = re.compile(r"(?P<metric>\w+)\[(?P<device>[^\[\]]+)\]")
_TURNED = re.compile(r"(?P<way>min|max)\((?P<inner>.*)\)", re.DOTALL)


@dataclass(frozen=True)
class Objective:
    """Something that a Pareto search makes as large or as small as it can.

    Attributes:
        spelling: its name in tables.
        lower: whether less of it is better.
        proxy: the proxy or the ensemble that it is; None for a cost on a device.
        metric: the quantity of a device: `latency` or `energy`; empty for a score.
        device: the name of the device.
    """

    spelling: str
    lower: bool
    proxy: Reading | Ensemble | None = None
    metric: str = ""
    device: str = ""

    def __str__(self) -> str:
        return self.spelling

    @property
    def unit(self) -> str:
        """The unit of its values; empty for a score."""
        return UNITS.get(self.metric, "")

    @property
    def words(self) -> str:
        """Its name with the unit and the direction, for people."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.spelling}{unit}, {'lower' if self.lower else 'higher'} is better"


def parse_objective(spelling: str) -> Objective:
    """Parse an objective.

    Raises:
        UnknownNameError: there is no such proxy, or no such quantity of a device.
        ParameterError: brackets are wrong, or see `parse_proxy`.
    """
    text = spelling.strip()
    if turned := _TURNED.fullmatch(text):
        inner = parse_objective(turned["inner"])
        if _TURNED.fullmatch(turned["inner"].strip()):
            raise ParameterError(f"{spelling!r} turns {inner} twice: write min or max once")
        lower = turned["way"] == "min"
        name = inner.spelling if lower == inner.lower else f"{turned['way']}({inner.spelling})"
        return Objective(name, lower, inner.proxy, inner.metric, inner.device)
    if "[" in text or "]" in text or text in UNITS:
        found = _DEVICE.fullmatch(text)
        if found is None or found["metric"] not in UNITS:
            raise ParameterError(
                f"{spelling!r}: a cost on a device is spelled {' or '.join(UNITS)} with the device "
                "in brackets, as in latency[raspi4]"
            )
        metric, device = found["metric"], found["device"].strip()
        return Objective(f"{metric}[{device}]", True, metric=metric, device=device)
    proxy = parse_proxy(text)
    return Objective(str(proxy), proxy.direction == "lower", proxy)


def parse_objectives(spellings: Sequence[str]) -> tuple[Objective, ...]:
    """Parse two objectives or more.

    Raises:
        ParameterError: there are fewer, or one is there twice; or see `parse_objective`.
    """
    found = tuple(map(parse_objective, spellings))
    if len(found) < 2:
        raise ParameterError(
            f"{len(found)} objective: name two or more, as in naswot and latency[raspi4]; "
            "`untrained search` is for one"
        )
    names = [re.sub(r"^(min|max)\((.*)\)$", r"\2", one.spelling) for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ParameterError(f"{twice[0]!r} is an objective twice: name it once")
    return found


@dataclass(frozen=True, eq=False)
class Objectives:
    """The objectives of a search, and the values that they are made of.

    Each proxy that is an objective or a member of one has a row of values, and each cost on a
    device has one; in the rows more is better.

    Attributes:
        space: the space.
        each: the objectives.
        dataset: the data set of the networks, for costs on devices.
        table: the file of a table of devices besides those of `DeviceTable.load`.
    """

    space: SearchSpace
    each: tuple[Objective, ...]
    dataset: str
    table: Path | None = None

    @cached_property
    def readings(self) -> list[Reading]:
        """The proxies that have to be scored, each once; they have the first rows."""
        return readings_of(str(one.proxy) for one in self.each if one.proxy is not None)

    @cached_property
    def costs(self) -> list[Objective]:
        """The costs on devices, which have the other rows."""
        return [one for one in self.each if one.proxy is None]

    @cached_property
    def aims(self) -> list[Aim]:
        """Which rows each objective is made of."""
        rows = {str(one): place for place, one in enumerate(self.readings)}
        offset = len(rows)
        found = []
        for one in self.each:
            if one.proxy is None:
                found.append(Aim((offset + self.costs.index(one),)))
            else:
                ensemble = one.proxy if isinstance(one.proxy, Ensemble) else None
                names = ensemble.members if ensemble else (str(one.proxy),)
                turned = one.lower != (one.proxy.direction == "lower")
                rule = ensemble.rule if ensemble else ""
                found.append(Aim(tuple(rows[name] for name in names), rule, turned))
        return found

    @cached_property
    def measured(self) -> Floats:
        """The costs on devices (costs, n) by index, less the sign: more is better."""
        if not self.costs:
            return np.empty((0, 0))
        table = DeviceTable.load(self.space, self.table)
        return -np.stack([table.values(one.metric, one.device, self.dataset) for one in self.costs])

    def cached(self, scores: "pd.DataFrame", images: str) -> "CachedValues":
        """Return the values of all architectures with scores of a table.

        Args:
            scores: merged scores, with the columns `arch`, `proxy`, `dataset`, `seed`, `score`.
            images: the data set of the images of the scores.

        Raises:
            MissingDataError: there are no such scores.
            DamagedFileError: the scores are not those of this space.
        """
        parts = {
            str(one): scores_of(scores, str(one), images, len(self.space)) for one in self.readings
        }
        known = [found for found, _ in parts.values()]
        among = reduce(np.intersect1d, known) if known else np.arange(len(self.space))
        counts = {name: len(own) for name, (_, own) in parts.items()}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{count} of {name}" for name, count in counts.items())
            raise MissingDataError(
                f"the objectives are scored with different numbers of seeds ({told}): score all "
                "with the same"
            )
        seeds = max(counts.values(), default=1)
        rows = np.full((len(self.readings) + len(self.costs), seeds, len(self.space)), np.nan)
        for place, (reading, (found, own)) in enumerate(
            zip(self.readings, parts.values(), strict=True)
        ):
            rows[place][:, found] = own if reading.direction == "higher" else -own
        if self.costs:
            rows[len(self.readings) :] = self.measured[:, None, :]
        return CachedValues(among.astype(np.int64), rows)


@dataclass(frozen=True, eq=False)
class CachedValues:
    """The values of architectures that were scored before.

    Attributes:
        architectures: (m,) sorted indices of those that all proxies have scored.
        rows: (rows, seeds, n) values by index, more is better, NaN where undefined.
    """

    architectures: NDArray[np.int64]
    rows: Floats

    def of_run(self, run: int) -> Values:
        """Return what looks values up for the run of this number: those of one seed."""
        values = np.ascontiguousarray(self.rows[:, run % self.rows.shape[1]].T)
        return lambda architecture: values[architecture.index]

    def losses(self, aims: Sequence[Aim]) -> Floats:
        """Return the objectives (n, aims) of the whole table by the first seed; NaN if unknown."""
        found = np.full((self.rows.shape[2], len(aims)), np.nan)
        own = self.rows[:, 0, self.architectures]
        found[self.architectures] = np.stack([aim.losses(own) for aim in aims], axis=1)
        return found

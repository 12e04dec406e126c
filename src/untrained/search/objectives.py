"""The objectives of a Pareto search: scores and costs, with the direction of each.

`naswot` and `log(naswot,parameters)` are scores, which know their direction. Costs are of devices,
`latency[raspi4]` and `energy[edgegpu]`, or follow from the graph of a network alone: `parameters`,
`flops-live`, `memory`. Of a cost less is better. `min(naswot)` and `max(flops)` give the direction
of anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import MissingDataError, ParameterError, quoted
from untrained.proxies.base import CountsGraph
from untrained.proxies.ensembles import Ensemble
from untrained.scoring.ensembles import parse_proxy, readings_of
from untrained.scoring.quantities import DIRECTED, Costs, Quantity, parse_quantity
from untrained.scoring.request import Reading, is_ensemble
from untrained.search.base import Searchable
from untrained.search.members import members_of, only
from untrained.search.pareto import Aim, Values
from untrained.search.pool import scores_of
from untrained.spaces import SearchSpace
from untrained.spaces.base import Architecture

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Objective:
    """Something that a Pareto search makes as large or as small as it can.

    Attributes:
        of: a proxy or an ensemble, or the quantity that is a cost.
        lower: whether less of it is better.
    """

    of: Reading | Ensemble | Quantity
    lower: bool

    @property
    def cost(self) -> bool:
        """Whether it is a cost."""
        return isinstance(self.of, Quantity)

    @property
    def turned(self) -> bool:
        """Whether its direction is not the usual one."""
        return self.lower != (isinstance(self.of, Quantity) or self.of.direction == "lower")

    @property
    def spelling(self) -> str:
        """Its name in tables."""
        return f"{'min' if self.lower else 'max'}({self.of})" if self.turned else str(self.of)

    def __str__(self) -> str:
        return self.spelling

    @property
    def unit(self) -> str:
        """The unit of its values; empty for pure numbers."""
        return self.of.unit if isinstance(self.of, Quantity) else ""

    @property
    def words(self) -> str:
        """Its name with the unit and the direction, for people."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.spelling}{unit}, {'lower' if self.lower else 'higher'} is better"


def parse_objective(spelling: str) -> Objective:
    """Parse an objective.

    Raises:
        UnknownNameError: there is no such proxy.
        ParameterError: brackets are wrong, or see `parse_proxy` and `parse_quantity`.
    """
    if not isinstance(spelling, str):
        raise ParameterError(f"objective {quoted(spelling)}: give its spelling, as in naswot")
    text = spelling.strip()
    if turned := DIRECTED.fullmatch(text):
        if DIRECTED.fullmatch(turned["inner"].strip()):
            raise ParameterError(f"{quoted(spelling)}: write min or max once")
        return Objective(parse_objective(turned["inner"]).of, turned["way"] == "min")
    if is_ensemble(text):
        return Objective(parse_proxy(text), lower=False)
    quantity = parse_quantity(text)
    reading = quantity.reading
    if reading is None or (isinstance(reading.proxy, CountsGraph) and not reading.epochs):
        return Objective(quantity, lower=True)
    return Objective(reading, reading.direction == "lower")


def parse_objectives(spellings: Sequence[str]) -> tuple[Objective, ...]:
    """Parse two objectives or more.

    Raises:
        ParameterError: there are fewer or no list of them, or one is there twice; or see
            `parse_objective`.
    """
    if isinstance(spellings, str) or not isinstance(spellings, Iterable):
        raise ParameterError(
            f"objectives {quoted(spellings)}: give a list of two or more, as in "
            "['naswot', 'latency[raspi4]']"
        )
    found = tuple(map(parse_objective, spellings))
    if len(found) < 2:
        given = "1 objective" if found else "no objectives"
        raise ParameterError(
            f"{given}: name two or more, as in naswot and latency[raspi4]"
            + ("; `untrained search` is for one" if found else "")
        )
    names = [str(one.of) for one in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ParameterError(f"{quoted(twice[0])} is an objective twice: name it once")
    return found


@dataclass(frozen=True, eq=False)
class Objectives:
    """The objectives of a search, and the values that they are made of.

    Each proxy that is an objective or a member of one has a row of values, and then each cost has
    one; in the rows of proxies the better network is higher, in those of costs less is better.

    Attributes:
        space: the space.
        each: the objectives.
        costs: what costs are of the architectures.
    """

    space: SearchSpace
    each: tuple[Objective, ...]
    costs: Costs

    @cached_property
    def readings(self) -> list[Reading]:
        """The proxies that have to be scored, each once; they have the first rows."""
        return readings_of(str(one.of) for one in self.each if not one.cost)

    @cached_property
    def quantities(self) -> list[Quantity]:
        """The costs, which have the other rows."""
        return [one.of for one in self.each if isinstance(one.of, Quantity)]

    @cached_property
    def aims(self) -> list[Aim]:
        """Which rows each objective is made of."""
        rows = {str(one): row for row, one in enumerate((*self.readings, *self.quantities))}
        found = []
        for one in self.each:
            many = isinstance(one.of, Ensemble)
            names = one.of.members if isinstance(one.of, Ensemble) else (str(one.of),)
            rule = one.of.rule if isinstance(one.of, Ensemble) else ""
            turned = one.lower if many or one.cost else one.turned
            found.append(Aim(tuple(rows[name] for name in names), rule, turned))
        return found

    def check(self) -> None:
        """Check before long work that the costs can be had, and that they are different ones.

        Raises:
            ParameterError: two are the same values of a device, with and without their data set.
            UntrainedError: nothing is known of one of them.
        """
        seen: list[tuple[Quantity, Floats]] = []
        for one in self.quantities:
            column = self.costs.column(one)
            if column is None:
                continue
            if same := [other for other, values in seen if values is column]:
                raise ParameterError(f"{same[0]} and {one} are the same values: name one of them")
            seen.append((one, column))

    def measured(self, space: Searchable) -> Searchable:
        """Return a space, or a part of one, without what lacks one of the stored costs.

        Raises:
            MissingDataError: fewer than two architectures have all.
        """
        members = found = members_of(space)
        for one in self.quantities:
            if (column := self.costs.column(one)) is not None:
                found = found[np.isfinite(column[found])]
            if len(found) < 2:
                raise MissingDataError(
                    f"{one} is known of {len(found)} of the architectures with scores and other "
                    "costs, and a search needs two"
                )
        return space if len(found) == len(members) else only(space, found)

    def costs_of(self, index: int) -> list[float]:
        """Return the costs of an architecture, NaN where unknown."""
        return [float(self.costs.values(one, [index])[0]) for one in self.quantities]

    def cached(self, scores: "pd.DataFrame", images: str) -> "CachedValues":
        """Return the values of all architectures with scores of a table.

        Args:
            scores: merged scores, with the columns `arch`, `proxy`, `dataset`, `seed`, `score`.
            images: the data set of the images of the scores.

        Raises:
            MissingDataError: there are no such scores.
            DamagedFileError: the scores are not those of this space.
        """
        size = len(self.space)
        parts = [scores_of(scores, str(one), images, size) for one in self.readings]
        among = reduce(np.intersect1d, (found for found, _ in parts), np.arange(size))
        counts = [len(own) for _, own in parts] or [1]
        if len(set(counts)) > 1:
            told = ", ".join(
                f"{count} of {name}" for count, name in zip(counts, self.readings, strict=True)
            )
            raise MissingDataError(
                f"the objectives are scored with different numbers of seeds ({told}): score all "
                "with the same"
            )
        first = len(self.readings)
        rows = np.full((first + len(self.quantities), counts[0], size), np.nan)
        for row, (reading, (found, own)) in enumerate(zip(self.readings, parts, strict=True)):
            rows[row][:, found] = own if reading.direction == "higher" else -own
        for row, column in enumerate(map(self.costs.column, self.quantities), start=first):
            rows[row] = np.nan if column is None else column
        stored = all(self.costs.column(one) is not None for one in self.quantities)
        return CachedValues(among, rows, None if stored else self)


@dataclass(frozen=True, eq=False)
class CachedValues:
    """The values of architectures that were scored before.

    Attributes:
        architectures: (m,) sorted indices of those that all proxies have scored.
        rows: (rows, seeds, n) values by index, undefined if not finite.
        asked: the objectives whose costs are computed on demand; None where all are in the rows.
    """

    architectures: NDArray[np.int64]
    rows: Floats
    asked: Objectives | None = None

    def of_run(self, run: int) -> Values:
        """Return what looks values up for the run of this number: those of one seed."""
        values = np.ascontiguousarray(self.rows[:, run % self.rows.shape[1]].T)
        asked = self.asked
        if asked is None:
            return lambda architecture: values[architecture.index]

        def computed(architecture: Architecture) -> list[float]:
            own = values[architecture.index, : len(asked.readings)].tolist()
            return [*own, *asked.costs_of(architecture.index)]

        return computed

    def losses(self, aims: Sequence[Aim]) -> Floats:
        """Return the objectives (n, aims) of the whole table by the first seed; NaN if unknown."""
        found = np.full((self.rows.shape[2], len(aims)), np.nan)
        own = self.rows[:, 0, self.architectures]
        found[self.architectures] = np.stack([aim.losses(own) for aim in aims], axis=1)
        return found

"""Constraints on architectures: `latency[raspi4] <= 10 ms, parameters <= 1e6`.

A constraint is one or more conditions between commas, all of which have to hold. A condition is a
quantity of `untrained.scoring.quantities`, one of <=, <, >= and >, a number, and a unit where the
number has another one than the quantity: us, ms and s; uJ, mJ and J; KB, MB, GB, KiB, MiB and GiB;
K, M and G for what has no unit; k is K, too. An architecture of which a quantity is not known
satisfies no condition on it.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError, quoted
from untrained.scoring.quantities import Costs, Quantity, Values, parse_quantity

Truth = NDArray[np.bool_]
_COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
_THOUSANDS = {"K": 1e3, "M": 1e6, "G": 1e9}
#: The unit of a quantity to the units in which numbers may be given, and their sizes.
_UNITS: Mapping[str, Mapping[str, float]] = {
    "ms": {"us": 1e-3, "ms": 1.0, "s": 1e3},
    "mJ": {"uJ": 1e-3, "mJ": 1.0, "J": 1e3},
    "bytes": {"bytes": 1.0, "B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9}
    | {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30},
}
#: A number that goes on after a comma, as in "1,000".
_COMMA = re.compile(r"[0-9],[0-9][^<>=,]*(,|$)")
_EXAMPLE = "latency[raspi4] <= 10 ms, parameters <= 1e6"
_CONDITION = re.compile(r"(?P<quantity>[^<>=]*?)\s*(?P<how>[<>]=?)\s*(?P<bound>[^<>=]*)")
_BOUND = re.compile(r"(?P<number>[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(?P<unit>[^\W\d]*)", re.ASCII)


@dataclass(frozen=True)
class Condition:
    """A bound on a quantity.

    Attributes:
        quantity: the quantity.
        how: `<=`, `<`, `>=` or `>`.
        bound: the bound in the unit of the quantity.
        spelling: how it is spelled.
    """

    quantity: Quantity
    how: str
    bound: float
    spelling: str

    def holds(self, values: Values) -> Truth:
        """Return for which of some values (m,) it holds; never for NaN."""
        found: Truth = _COMPARED[self.how](values, self.bound)
        return found

    def nearest(self, values: Values) -> str:
        """Say which value comes nearest to the bound, or how many are not known."""
        known = values[np.isfinite(values)]
        if not known.size:
            return f"{self.quantity} is not known of any"
        word, best = ("least", known.min()) if "<" in self.how else ("greatest", known.max())
        return f"the {word} {self.quantity} is {self.quantity.spelled(float(best))}"


@dataclass(frozen=True)
class Constraint:
    """Conditions that have to hold together; `parse_constraint` makes it.

    Attributes:
        conditions: the conditions.
    """

    conditions: tuple[Condition, ...]

    def __str__(self) -> str:
        return ", ".join(one.spelling for one in self.conditions)

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities of the conditions, each once."""
        return tuple(dict.fromkeys(one.quantity for one in self.conditions))

    @property
    def reads_scores(self) -> bool:
        """Whether a quantity is a proxy, which is read from scores where they have it."""
        return any(one.reading for one in self.quantities)

    def holds(self, costs: Costs, indices: NDArray[np.int64]) -> Truth:
        """Return which of some architectures (m,) satisfy all conditions.

        What has to be computed is computed only of those that satisfy what is known.
        """
        found = np.ones(len(indices), dtype=bool)
        stored = [one for one in self.conditions if costs.column(one.quantity) is not None]
        for one in (*stored, *(other for other in self.conditions if other not in stored)):
            left = np.flatnonzero(found)
            found[left] = one.holds(costs.values(one.quantity, indices[left]))
        return found

    def why_none(self, costs: Costs, indices: NDArray[np.int64]) -> str:
        """Say how near some architectures come to the constraint, which none or one satisfies.

        Of each quantity this is the best value among those that satisfy all other conditions.
        """
        columns = [costs.values(one.quantity, indices) for one in self.conditions]
        truths = [one.holds(own) for one, own in zip(self.conditions, columns, strict=True)]
        told = []
        for place, one in enumerate(self.conditions):
            others = np.all([*truths[:place], *truths[place + 1 :], np.isfinite(columns[place])], 0)
            left = others if others.any() else np.isfinite(columns[place])
            rest = " where the rest holds" if others.any() and len(truths) > 1 else ""
            told.append(one.nearest(columns[place][left]) + rest)
        return ", ".join(told)


def parse_constraint(text: str) -> Constraint:
    """Return the constraint of a spelling.

    >>> from untrained.scoring.constraints import parse_constraint
    >>> [one.bound for one in parse_constraint("latency[raspi4] < 0.1 s, flops >= 2M").conditions]
    [100.0, 2000000.0]

    Raises:
        ParameterError: a condition is not spelled as it must be; the message has an example.
        UnknownNameError: there is no such proxy.
    """
    if not isinstance(text, str):
        raise ParameterError(f"the constraint {quoted(text)} is no text: write {_EXAMPLE!r}")
    if _COMMA.search(text):
        raise ParameterError(
            f"{quoted(text)} has a comma within a number, and commas part conditions: write "
            "1000 for 1,000 and 1.5 for 1,5"
        )
    parts = re.split(r",(?![^(]*\))", text)  # between conditions, not in an ensemble
    return Constraint(tuple(_condition(one.strip()) for one in parts))


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    if not found or not found["quantity"]:
        if not text:
            reason = "a condition is empty"
        elif "!=" in text:
            reason = f"{quoted(text)} excludes a value: take < or >"
        elif "=" in text and not re.search("[<>]", text):
            reason = f"{quoted(text)} asks for equality: take <= or >="
        elif len(re.findall("[<>]=?", text)) > 1:
            reason = f"{quoted(text)} has two comparisons: write two conditions between commas"
        else:
            reason = f"{quoted(text)} is no condition"
        raise ParameterError(f"{reason}, as in {_EXAMPLE!r}")
    bound = _BOUND.fullmatch(found["bound"])
    number = 0.0
    if bound is not None:
        try:
            number = float(bound["number"])
        except ValueError:
            bound = None
    if bound is None:
        raise ParameterError(
            f"{quoted(text)}: {quoted(found['bound'])} is no number with a unit, as in {_EXAMPLE!r}"
        )
    quantity = parse_quantity(found["quantity"])
    units, unit = _UNITS.get(quantity.unit, _THOUSANDS), bound["unit"]
    if unit.startswith("k"):  # of other prefixes the other case is another number
        unit = "K" + unit[1:]
    if unit and unit not in units:
        raise ParameterError(
            f"{quoted(text)}: {quantity} has no unit {quoted(unit)}: take "
            f"{', '.join(units)}" + ("" if quantity.unit else ", or none")
        )
    own = number * (size := units[unit] if unit else 1.0)
    if size != 1 and 1e-200 < abs(number) < 1e200:  # else a product of decimals is rounded twice
        own = float(Fraction(bound["number"]) * Fraction(repr(size)))
    lost = not own and re.search("[1-9]", re.split("[eE]", bound["number"])[0])
    if lost or not math.isfinite(own):
        raise ParameterError(
            f"{quoted(text)}: {quoted(found['bound'])} is too "
            f"{'small' if lost else 'large'} for a number of 64 bits"
        )
    spelled = f"{quantity} {found['how']} {bound['number']}" + (f" {unit}" if unit else "")
    return Condition(quantity, found["how"], own, spelled)


def check_devices_read(devices: object, quantities: Iterable[Quantity]) -> None:
    """Refuse a table of devices of which no quantity is read.

    Raises:
        ParameterError: all quantities are proxies.
    """
    if devices is not None and all(one.reading for one in quantities):
        raise ParameterError(
            f"{devices} is not read: a latency or an energy would be, as in "
            "latency[raspi4] <= 10 ms"
        )

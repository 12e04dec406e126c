"""Which candidates of a ranking satisfy a constraint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from untrained.benchmarks.devices import DeviceTable, devices_of, measured
from untrained.errors import ParameterError, quoted
from untrained.scoring.candidates import Candidate
from untrained.scoring.constraints import Constraint
from untrained.scoring.engine import Score
from untrained.scoring.quantities import Quantity
from untrained.scoring.request import Reading
from untrained.spaces import SearchSpace


@dataclass(frozen=True, eq=False)
class Within:
    """A constraint on candidates.

    Attributes:
        constraint: the constraint.
        devices: a table of devices, the only one that has networks of one's own.
        dataset: the data set of the networks that were measured, where a table has it.
        scored: returns the scores of a candidate by some proxies.
    """

    constraint: Constraint
    devices: Path | None
    dataset: str
    scored: Callable[[Candidate, Sequence[Reading]], Sequence[Score]]
    _tables: dict[str, DeviceTable] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _readings(self) -> list[Reading]:
        return [one.reading for one in self.constraint.quantities if one.reading is not None]

    def kept(self, candidates: Sequence[Candidate]) -> tuple[list[Candidate], dict[str, str]]:
        """Return the candidates that satisfy the constraint, and the others with the reason.

        Raises:
            ParameterError: none does; the message has the reason of each.
            UntrainedError: a device or a table does not exist.
        """
        kept, left = list[Candidate](), dict[str, str]()
        for one in candidates:
            if broken := self._broken(one):
                left[one.name] = broken
            else:
                kept.append(one)
        if not kept:
            told = "; ".join(f"{name}: {reason}" for name, reason in left.items())
            raise ParameterError(f"no candidate satisfies {quoted(str(self.constraint))}: {told}")
        return kept, left

    def _broken(self, candidate: Candidate) -> str:
        """Say what of the constraint a candidate does not satisfy; nothing if it does."""
        values, why = dict[Quantity, float](), dict[Quantity, str]()
        read = self.scored(candidate, self._readings) if self._readings else ()
        made = dict(zip(self._readings, read, strict=True))
        for one in self.constraint.quantities:
            if one.reading is None:
                values[one] = self._measured(one, candidate)
            else:
                score = made[one.reading]
                values[one] = np.nan if score.score is None else score.score
                why[one] = "" if score.score is not None else f" ({score.status}: {score.reason})"
        told = []
        for condition in self.constraint.conditions:
            value = values[condition.quantity]
            if np.isnan(value):
                told.append(f"{condition.quantity} is not known{why.get(condition.quantity, '')}")
            elif not condition.holds(np.array([value]))[0]:
                told.append(f"{condition.quantity} is {condition.quantity.spelled(value)}")
        return ", ".join(dict.fromkeys(told))

    def _measured(self, quantity: Quantity, candidate: Candidate) -> float:
        metric, device, space = quantity.metric, quantity.device, candidate.target
        if not isinstance(space, SearchSpace):
            return measured(self.devices, candidate.name, metric, device, quantity.dataset or None)
        if space.name not in self._tables:
            self._tables[space.name] = DeviceTable.load(space, self.devices)
        table = self._tables[space.name]
        if device not in table.devices and self.devices and device in devices_of(self.devices):
            return np.nan  # other networks were measured there
        there = self.dataset in table.datasets(metric, device)
        dataset = quantity.dataset or (self.dataset if there else None)
        values = table.values(metric, device, dataset, strict=bool(quantity.dataset))
        return float(values[candidate.index])

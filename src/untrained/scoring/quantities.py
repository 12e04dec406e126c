"""What an architecture costs or scores, by a spelled quantity, over a space.

A quantity is `latency[raspi4]`, `energy[edgegpu]`, or `latency[raspi4/cifar100]` with the data set
of the networks that were measured; or a proxy, spelled as elsewhere: `parameters`, `flops-live`,
`memory`, `naswot`. Latencies are in ms, energies in mJ, memory in bytes, and the others in the
proxy's own unit.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.devices import UNITS, DeviceTable
from untrained.errors import MissingDataError, ParameterError, UnknownNameError, quoted, short
from untrained.files import SCORES
from untrained.images.sets import image_set
from untrained.plugins import blamed
from untrained.proxies import PROXIES
from untrained.proxies.base import CountsGraph
from untrained.scoring.columns import SCORE_TYPES
from untrained.scoring.request import Reading, Settings, name_of, parse_reading
from untrained.scoring.shipped import scores_at_hand
from untrained.spaces import SearchSpace, get_space, table_of
from untrained.spaces.base import LISTED, GraphSpace

if TYPE_CHECKING:
    import pandas as pd

Values = NDArray[np.float64]
_USED = {name: SCORE_TYPES[name] for name in ("arch", "score")}
#: A direction, which an objective of a Pareto search can have.
DIRECTED = re.compile(r"(?P<way>min|max)\((?P<inner>.*)\)", re.DOTALL)
_DEVICE = re.compile(r"(?P<metric>[^\[\]]*)\[(?P<device>[^\[\]/]+)(?:/(?P<dataset>[^\[\]]+))?\]")


@dataclass(frozen=True)
class Quantity:
    """A quantity of architectures; `parse_quantity` makes it.

    Attributes:
        spelling: how it is spelled, defaults left out.
        metric: `latency` or `energy`; empty for a proxy.
        device: the device on which that was measured.
        dataset: the data set of the networks that were measured; empty for that of the search.
        reading: the proxy; None for what is measured on a device.
    """

    spelling: str
    metric: str = ""
    device: str = ""
    dataset: str = ""
    reading: Reading | None = None

    @property
    def unit(self) -> str:
        """The unit of its values; empty for pure numbers."""
        return UNITS[self.metric] if self.reading is None else self.reading.proxy.unit

    @property
    def counted(self) -> bool:
        """Whether it follows from the architecture, without images, weights or measurements."""
        return self.reading is not None and _is_count(self.reading)

    def spelled(self, value: float) -> str:
        """Return a value with the unit, for people."""
        number = f"{value:,.0f}" if value == round(value) else f"{value:.6g}"
        return f"{number} {self.unit}" if self.unit else number

    def __str__(self) -> str:
        return self.spelling


def _is_count(reading: Reading) -> bool:
    return isinstance(reading.proxy, CountsGraph) and not reading.epochs


def parse_quantity(text: str) -> Quantity:
    """Return the quantity of a spelling.

    Raises:
        ParameterError: it is no quantity; whether a device exists depends on the space.
        UnknownNameError: there is no such proxy, and no other tool calls one so.
    """
    if directed := DIRECTED.fullmatch(text):
        raise ParameterError(
            f"{quoted(text)} has the direction of an objective, and here is no objective: "
            f"write {short(directed['inner'].strip())}"
        )
    kinds = ", ".join(f"{metric}[DEVICE]" for metric in sorted(UNITS, reverse=True))
    if "[" in text or "]" in text:
        found = _DEVICE.fullmatch(text)
        if found is None or found["metric"] not in UNITS:
            raise ParameterError(
                f"{quoted(text)} is no quantity: write {kinds}, as in latency[raspi4] or "
                "latency[raspi4/cifar100], or a proxy such as parameters"
            )
        return Quantity(text, found["metric"], found["device"], found["dataset"] or "")
    if text in UNITS:
        raise ParameterError(
            f"{text} is that of a device: write {text}[DEVICE]; `untrained list devices` lists them"
        )
    try:
        reading = parse_reading(text)
    except UnknownNameError as error:
        alias = name_of(text)
        ours = _named_elsewhere(alias)
        if ours is None:
            raise UnknownNameError(f"{error}, and {kinds}") from error
        reading = parse_reading(ours + text.removeprefix(alias))
    return Quantity(str(reading), reading=reading)


def _named_elsewhere(alias: str) -> str | None:
    """Return the proxy that other tools give a name; None unless there is one."""
    usable = (one.name for one in PROXIES.described() if one.usable)
    found = [name for name in usable if alias in getattr(PROXIES.load(name), "aliases", ())]
    return found[0] if len(found) == 1 else None


def quantity_values(
    space: str | SearchSpace,
    quantity: str,
    *,
    dataset: str = "cifar10",
    scores: "Path | pd.DataFrame | None" = None,
    devices: Path | None = None,
) -> Values:
    """Return a quantity of all architectures of a space.

    >>> from untrained import quantity_values
    >>> quantity_values("nasbench201", "latency[raspi4]")[[5, 1462]].tolist()
    [26.27, 98.89]
    >>> quantity_values("nasbench201", "parameters")[[5, 1462]].tolist()
    [372346.0, 1531546.0]

    Args:
        space: the name of the space, or the space.
        quantity: its spelling: `latency[DEVICE]`, `energy[DEVICE]`, with a data set as in
            `latency[DEVICE/DATASET]`, or a proxy.
        dataset: the data set of the networks, by default of measurements too.
        scores: merged scores, or their file; by default those of the workflow, else those that
            come with the space. What follows from the architecture is counted where it is not
            there.
        devices: a table of latencies and energies to read beside those of `DeviceTable.load`.

    Returns:
        (n,) by architecture index, in the unit of the quantity (ms, mJ, bytes, or the proxy's);
        the mean over the seeds, NaN where it is not known or undefined.

    Raises:
        UntrainedError: there is no such quantity, or nothing is known of it.
    """
    searched = get_space(space)
    if searched.size > LISTED:
        raise ParameterError(
            f"{searched.name} has {searched.size:.2e} architectures, too many to list: at most "
            f"{LISTED:,}"
        )
    costs = Costs(searched, dataset, scores, devices)
    return costs.values(parse_quantity(quantity), np.arange(len(searched)))


@dataclass(frozen=True, eq=False)
class Costs:
    """Looks quantities of the architectures of a space up, or computes them on demand.

    Attributes:
        space: the space.
        dataset: the data set of the networks.
        scores: merged scores, or their file; None for those at hand.
        devices: a table to read beside those of `DeviceTable.load`.
        settings: how proxies are computed that are no counts; None to look them up only.
    """

    space: SearchSpace
    dataset: str
    scores: "Path | pd.DataFrame | None" = None
    devices: Path | None = None
    settings: Settings | None = None
    _made: dict[tuple[str, int], float] = field(default_factory=dict, init=False, repr=False)
    _columns: dict[str, Values | None] = field(default_factory=dict, init=False, repr=False)

    def check(self, quantities: Iterable[Quantity]) -> None:
        """Check before long work that quantities can be had, and read what is stored of them.

        Raises:
            UntrainedError: nothing is known of one of them; see `quantity_values`.
        """
        for one in quantities:
            self.column(one)

    def column(self, quantity: Quantity) -> Values | None:
        """Return the stored values (n,) of all architectures; None for what is computed.

        Raises:
            UntrainedError: it is neither stored nor computed.
        """
        name = quantity.spelling
        if name not in self._columns:
            reading = quantity.reading
            self._columns[name] = (
                self._measured(quantity) if reading is None else self._stored(reading)
            )
        return self._columns[name]

    def values(self, quantity: Quantity, indices: Sequence[int] | NDArray[np.int64]) -> Values:
        """Return a quantity of some architectures, (m,); NaN where it is not known."""
        column = self.column(quantity)
        if column is not None:
            return column[np.asarray(indices, dtype=np.int64)]
        reading = quantity.reading
        assert reading is not None  # noqa: S101 - only proxies are computed
        asked = [int(index) for index in indices]
        new = [one for one in dict.fromkeys(asked) if (quantity.spelling, one) not in self._made]
        for index, value in zip(new, self._computed(reading, new), strict=True):
            self._made[quantity.spelling, index] = value
        return np.array([self._made[quantity.spelling, one] for one in asked], dtype=np.float64)

    @cached_property
    def _devices(self) -> DeviceTable:
        return DeviceTable.load(self.space, self.devices)

    def _measured(self, quantity: Quantity) -> Values:
        dataset = quantity.dataset or image_set(self.dataset).measured_as
        strict = bool(quantity.dataset)
        return self._devices.values(quantity.metric, quantity.device, dataset, strict=strict)

    def _scores(self, reading: Reading) -> "pd.DataFrame | None":
        """Return the table of scores by a proxy; None if there is none at hand."""
        if not isinstance(self.scores, Path | None):
            return self.scores
        made = table_of(SCORES, self.space.name)
        if self.scores is None and self.space.scores is None and not made.is_file():
            return None
        return scores_at_hand(self.space, self.scores, [str(reading)], self.dataset)

    def _stored(self, reading: Reading) -> Values | None:
        counted = _is_count(reading)
        if self.settings is not None and not counted:
            return None  # of the images and the engine of the search
        table, size = self._scores(reading), self.space.size
        if table is not None:
            own = table[(table["proxy"] == str(reading)) & (table["dataset"] == self.dataset)]
            own = own[own["arch"].between(0, size - 1)].astype(_USED)
            means = own["score"].where(np.isfinite(own["score"])).groupby(own["arch"]).mean()
            if len(means) == size or (len(means) and not counted):
                values = np.full(size, np.nan)
                values[means.index.to_numpy()] = means.to_numpy()
                values.setflags(write=False)
                return values
        if counted:
            return None
        raise MissingDataError(
            f"no cached scores of {reading} on {self.dataset} in {self.space.name}: add it to "
            "scores.proxies of params.yaml and run `snakemake scores`; a search with --live "
            "computes it"
        )

    def _computed(self, reading: Reading, indices: Sequence[int]) -> list[float]:
        if not indices:
            return []
        proxy, space, known = reading.proxy, self.space, image_set(self.dataset)
        if isinstance(proxy, CountsGraph) and isinstance(space, GraphSpace):
            with blamed("space", space):
                graphs = (space.graph(space[one], known.num_classes) for one in indices)
                return [float(proxy.of_graph(one, known.shape)) for one in graphs]
        from untrained.scoring.engine import score_work
        from untrained.scoring.request import requested

        settings: Settings = {**(self.settings or {"device": "cpu"}), "dataset": self.dataset}
        with requested(space, [reading], [0], settings) as request:
            work = ((index, 0, [reading]) for index in indices)
            scores = [one for (one,) in score_work(request, work)]
        return [np.nan if one.score is None else one.score for one in scores]

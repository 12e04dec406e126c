"""Latency and energy of the networks of a space on devices, measured by others or by oneself.

A table has a row for each architecture, data set, device and quantity, with the columns `arch`
(index), `dataset`, `device`, `metric` and `value`; other columns, such as the source or an
interval, are of no concern here. Latency is in milliseconds and energy in millijoules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import DamagedFileError, MissingDataError, ParameterError, unknown_name
from untrained.files import DEVICES, read_parquet
from untrained.spaces import get_space, table_of
from untrained.spaces.base import LISTED

if TYPE_CHECKING:
    import pandas as pd

    from untrained.spaces import SearchSpace

Values = NDArray[np.float64]
#: (quantity, device, data set): what a column of values is of.
Measured = tuple[str, str, str]
#: The unit of each quantity of devices.
UNITS: Mapping[str, str] = {"latency": "ms", "energy": "mJ"}
#: Column of a table to its type.
DEVICE_TYPES: Mapping[str, str] = {
    "arch": "int64",
    "dataset": "str",
    "device": "str",
    "metric": "str",
    "value": "float64",
}
_KEYS = ["metric", "device", "dataset"]
#: What a published table has in place of a value that is missing.
_MISSING = -1
#: Names that published tables have for a column or a quantity.
_PUBLISHED_COLUMNS = {"arch_index": "arch"}
_PUBLISHED_METRICS = {"energy_mJ": "energy"}


def devices(space: "str | SearchSpace" = "nasbench201", path: Path | None = None) -> "DeviceTable":
    """Return the latencies and energies of the networks of a space on devices.

    >>> from untrained import devices
    >>> table = devices("nasbench201")
    >>> table.metrics("edgegpu")
    ('energy', 'latency')
    >>> table.values("latency", "raspi4", "cifar10")[[5, 1462]].tolist()
    [26.27, 98.89]

    Args:
        space: the name of the space, or the space.
        path: a table to read beside those of `DeviceTable.load`.

    Raises:
        UntrainedError: there is no such space, or no such table; the message says how to get it.
    """
    return DeviceTable.load(space, path)


@dataclass(frozen=True, eq=False)
class DeviceTable:
    """Latencies and energies of the architectures of one space; `DeviceTable.load` reads them.

    Attributes:
        space: the name of the space.
        columns: maps (quantity, device, data set) to values (n,) by architecture index, NaN where
            unknown, read-only.
    """

    space: str
    columns: Mapping[Measured, Values]

    @classmethod
    def load(cls, space: "str | SearchSpace", path: Path | None = None) -> "DeviceTable":
        """Read the table that comes with a space, the one at `data/devices`, and another.

        Nothing fetches a table to `data/devices/SPACE.parquet`, in the working directory: you put
        one there, for instance by `untrained measure --out`.

        Args:
            space: the name of the space, or the space.
            path: a parquet file with the columns of such a table. What it says of a quantity, a
                device and a data set stands in place of what the other tables say, as what a
                table at `data/devices` says does in place of that which comes with the space.

        Raises:
            MissingDataError: `path` does not exist, or there is no table at all.
            DamagedFileError: a file is no such table.
            ParameterError: the space has too many architectures for a table of all.
            UnknownNameError: there is no such space.
        """
        known = get_space(space)
        if known.size > LISTED:
            raise ParameterError(
                f"{known.name} has {known.size:.2e} architectures, too many for a table of their "
                f"latencies: at most {LISTED:,}"
            )
        put = table_of(DEVICES, known.name)
        paths = [one for one in (known.devices, put) if one is not None and one.is_file()]
        paths += [] if path is None else [path]
        columns: dict[Measured, Values] = {}
        for one in paths:
            state = one.stat() if one.is_file() else None
            stamp = state and (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
            columns |= _read(one, known.name, stamp)
        if not columns:
            raise MissingDataError(
                f"no latencies of {known.name} are known: `untrained measure {known.name}/INDEX "
                "--out FILE` times its networks on this machine, and --devices-table FILE reads "
                "them"
            )
        return cls(known.name, columns)

    def __len__(self) -> int:
        """Return the number of architecture indices, with or without values."""
        return next(iter(self.columns.values())).size

    @property
    def devices(self) -> tuple[str, ...]:
        """The names of the devices, sorted."""
        return tuple(sorted({device for _, device, _ in self.columns}))

    def metrics(self, device: str) -> tuple[str, ...]:
        """Return the quantities that are known of a device: `energy`, `latency`.

        Raises:
            UnknownNameError: there is no such device.
        """
        self._check_device(device)
        return tuple(sorted({metric for metric, one, _ in self.columns if one == device}))

    def datasets(self, metric: str, device: str) -> tuple[str, ...]:
        """Return the data sets for whose networks a quantity of a device is known, sorted.

        Raises:
            UnknownNameError: there is no such device.
            MissingDataError: the quantity of the device is not known.
        """
        found = self._of_device(metric, device)
        return tuple(sorted(dataset for _, _, dataset in found))

    def values(
        self, metric: str, device: str, dataset: str | None = None, *, strict: bool = False
    ) -> Values:
        """Return a quantity of all architectures, in ms or mJ.

        Args:
            metric: `latency` or `energy`.
            device: one of `devices`.
            dataset: the data set of the networks, whose images and classes differ; None for the
                first of the space's data sets that the device has. The values of a device that has
                one data set only hold for all of them.
            strict: whether they hold for the data set that they are of alone.

        Returns:
            (n,) by architecture index, NaN where unknown, read-only.

        Raises:
            UnknownNameError: there is no such device, or it has several data sets and not this one.
            MissingDataError: the quantity of the device is not known.
        """
        found = self._of_device(metric, device)
        by_dataset = {name: values for (_, _, name), values in found.items()}
        if len(by_dataset) == 1 and not strict:
            return next(iter(by_dataset.values()))
        if dataset is None:
            order = [*get_space(self.space).datasets, *sorted(by_dataset)]
            dataset = next(name for name in order if name in by_dataset)
        if dataset not in by_dataset:
            raise unknown_name(f"data set of {metric}[{device}]", dataset, by_dataset)
        return by_dataset[dataset]

    def summary(self) -> "pd.DataFrame":
        """Return what is known, one row per quantity, device and data set.

        Returns:
            Columns `device`, `metric`, `unit`, `dataset`, `architectures` (how many have a value),
            and their `least`, `median` and `greatest` value in that unit; sorted.
        """
        import pandas as pd

        rows = []
        for (metric, device, dataset), values in self.columns.items():
            there = values[np.isfinite(values)]
            span = (there.min(), np.median(there), there.max()) if there.size else [np.nan] * 3
            rows.append((device, metric, UNITS[metric], dataset, there.size, *map(float, span)))
        names = ["device", "metric", "unit", "dataset", "architectures"]
        table = pd.DataFrame(rows, columns=[*names, "least", "median", "greatest"])
        return table.sort_values(["device", "metric", "dataset"], ignore_index=True)

    def _check_device(self, device: str) -> None:
        if device not in self.devices:
            raise unknown_name(f"device of {self.space}", device, self.devices)

    def _of_device(self, metric: str, device: str) -> dict[Measured, Values]:
        self._check_device(device)
        found = {key: one for key, one in self.columns.items() if key[:2] == (metric, device)}
        if not found:
            known = ", ".join(f"{name}[{device}]" for name in self.metrics(device))
            raise MissingDataError(f"{metric}[{device}] is not known: there is {known}")
        return found


def measured(
    path: Path | None, candidate: str, metric: str, device: str, images: str | None = None
) -> float:
    """Return a quantity of a network of one's own, NaN where it was not measured.

    Args:
        path: a table of `untrained measure`.
        candidate: the name of the network in the table.
        metric: the quantity.
        device: the device.
        images: the shape of the images, as in 3x32x32; None where there is one.

    Raises:
        MissingDataError: there is no table.
        ParameterError: it was measured on images of several shapes.
        UnknownNameError: the table has no such device.
        DamagedFileError: it is no table of measurements.
    """
    if path is None:
        raise MissingDataError(
            f"{metric}[{device}] of {candidate} is not known: `untrained measure {candidate} --out "
            "FILE` times it on this machine, and --devices-table FILE reads that"
        )
    table = _measurements(path)
    own = table[(table["metric"] == metric) & (table["device"] == device)]
    if own.empty:
        raise unknown_name(f"device of {path}", device, devices_of(path))
    mine = own[(own["candidate"] == candidate) & (own["space"] == "")]
    if images is not None:
        mine = mine[mine["dataset"] == images]
    if mine["dataset"].nunique() > 1:
        raise ParameterError(
            f"{metric}[{device}] of {candidate} was measured on images of "
            f"{', '.join(mine['dataset'].unique())}: write which, as in "
            f"{metric}[{device}/{mine['dataset'].iloc[0]}]"
        )
    return float(mine["value"].iloc[0]) if len(mine) else np.nan


def devices_of(path: Path) -> set[str]:
    """Return the devices in a table of `untrained measure`; errors as of `measured`."""
    return set(_measurements(path)["device"])


def _measurements(path: Path) -> "pd.DataFrame":
    return read_parquet(path, {"space": "str", "candidate": "str", **DEVICE_TYPES})


@lru_cache(maxsize=4)
def _read(path: Path, named: str, _stamp: object) -> dict[Measured, Values]:
    """Read and check one table, once while it does not change."""
    space = get_space(named)
    try:
        table = read_parquet(path).rename(columns=_PUBLISHED_COLUMNS)
    except DamagedFileError as error:  # more likely it is another file
        raise DamagedFileError(
            f"{path} is no table of devices: name a parquet file with {', '.join(DEVICE_TYPES)}"
        ) from error
    if lacking := [name for name in DEVICE_TYPES if name not in table]:
        raise DamagedFileError(
            f"{path} is no table of devices: it lacks {', '.join(lacking)}, and has "
            f"{', '.join(map(str, table.columns[:12]))}"
        )
    if "space" in table:  # a table of measurements may have networks of several spaces
        table = table[table["space"] == space.name]
        if table.empty:
            return {}
    if table["metric"].dtype.kind not in "iuf":
        table = table.assign(metric=table["metric"].map(_named, na_action="ignore"))
    if problem := _problem(table, space.size):
        raise DamagedFileError(f"{path} is no table of devices of {space.name}: {problem}")
    columns: dict[Measured, Values] = {}
    for key, rows in table.groupby(_KEYS, observed=True):
        metric, device, dataset = map(str, key)
        if metric in UNITS:  # others, such as an arithmetic intensity, are no costs
            values = np.full(space.size, np.nan)
            values[rows["arch"].to_numpy(dtype=np.int64)] = rows["value"].to_numpy(dtype=float)
            values[values == _MISSING] = np.nan
            values.setflags(write=False)
            columns[metric, device, dataset] = values
    if not columns:
        raise DamagedFileError(
            f"{path} is no table of devices of {space.name}: it has no {' or '.join(UNITS)} of its "
            "networks"
        )
    return columns


def _named(metric: str) -> str:
    """Return our name of a quantity of a published table."""
    return _PUBLISHED_METRICS.get(metric, metric)


def _problem(table: "pd.DataFrame", size: int) -> str | None:
    """Describe the first thing that is wrong with the rows of a table, or return None."""
    for name, kind in DEVICE_TYPES.items():
        if (table[name].dtype.kind in "iuf") == (kind == "str"):
            return f"column {name} holds {table[name].dtype}, not {kind}"
        if name != "value" and table[name].isna().any():
            return f"column {name} has nulls"
    if (outside := ~table["arch"].between(0, size - 1)).any():
        return f"it has architecture {table['arch'][outside].iloc[0]}, there are 0 to {size - 1}"
    if (between := table["arch"] % 1 != 0).any():
        return f"it has architecture {table['arch'][between].iloc[0]}, which is no index"
    if (twice := table.duplicated(["arch", *_KEYS])).any():
        first = table[twice].iloc[0]
        named = f"{first['metric']}[{first['device']}] on {first['dataset']}"
        return f"architecture {first['arch']} has {named} twice"
    values = table["value"].to_numpy(dtype=float)
    wrong = ((values < 0) & (values != _MISSING)) | np.isinf(values)
    if wrong.any():
        return f"the value {values[wrong][0]:g} is not a finite number from 0 up"
    return None

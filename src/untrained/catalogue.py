"""Tables of what there is by name: spaces, proxies, search algorithms and data sets.

Entries of other packages are in them too; docs/extending.md explains the attributes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from untrained.errors import unknown_name
from untrained.files import DEVICES
from untrained.images.sets import IMAGE_SETS
from untrained.plugins import Registry
from untrained.proxies import PROXIES, get_proxy
from untrained.search import ALGORITHMS
from untrained.spaces import SPACES, get_space, table_of

if TYPE_CHECKING:
    import pandas as pd


def list_proxies(pattern: str = "*") -> "pd.DataFrame":
    """List the proxies, the scores of untrained networks.

    >>> from untrained import list_proxies
    >>> table = list_proxies("syn*")
    >>> table[["name", "variants", "source"]].loc[0].to_list()
    ['synflow', ('synflow', 'logsynflow'), 'Tanaka et al., NeurIPS 2020 (arXiv 2006.05467)']

    Args:
        pattern: shell-style pattern of a name, or of a spelling `name-variant`.

    Returns:
        A row per proxy, sorted by `name`: what it `measures`; its `variants`, of which the first is
        the default; the `direction`, higher or lower, of the better network; what it `needs` beyond
        a forward pass (labels, a loss, gradients, training); its `cost`, the most expensive
        operation on the minibatch; the networks that it `applies_to`; the publication that is its
        `source`; the `unit` of its values; its `label` in tables and figures; its name among
        `published` figures; and its `origin`, which is a package, or "built in". All but `variants`
        and `needs`, which are tuples, are text. What can't be loaded has the reason as `measures`,
        and nothing else.

    Raises:
        PluginError: two packages add a proxy of one name.
    """
    return _table("proxies", pattern)


def list_spaces(pattern: str = "*") -> "pd.DataFrame":
    """List the search spaces.

    Args:
        pattern: shell-style pattern of a name.

    Returns:
        A row per space, sorted by `name`: a `summary` of its architectures; the `datasets` of its
        benchmark, a tuple; whether it has a `benchmark` of trained architectures and a `supernet`
        to prune; the `ablations` that make sense for it, a tuple; `label` and `origin` as in
        `list_proxies`.

    Raises:
        PluginError: two packages add a space of one name.
    """
    return _table("spaces", pattern)


def list_algorithms(pattern: str = "*") -> "pd.DataFrame":
    """List the search algorithms, each of which can have a proxy as its fitness if it has a budget.

    Args:
        pattern: shell-style pattern of a name.

    Returns:
        A row per algorithm, sorted by `name`: a `summary` of what it does; its `settings`, a dict
        of names and defaults; whether it `spends_budget`, and not just picks from a sample, whether
        it `reads_scores` by default, and whether it `mutates` architectures; `label` and `origin`
        as in `list_proxies`.

    Raises:
        PluginError: two packages add an algorithm of one name.
    """
    return _table("algorithms", pattern)


def list_datasets(pattern: str = "*") -> "pd.DataFrame":
    """List the image data sets.

    Args:
        pattern: shell-style pattern of a name.

    Returns:
        A row per data set, sorted by `name`: a `summary`; `num_classes`; the `shape` of an image,
        (channels, height, width) in pixels; the names of its `splits`, a tuple; the data set that
        it `stands_for`, empty for none; `label` and `origin` as in `list_proxies`.

    Raises:
        PluginError: two packages add a data set of one name.
    """
    return _table("datasets", pattern)


def list_devices(pattern: str = "*") -> "pd.DataFrame":
    """List the devices on which latencies or energies of architectures are known.

    >>> from untrained import list_devices
    >>> list_devices("raspi*")[["name", "quantities", "space"]].loc[0].to_list()
    ['raspi4', ('latency',), 'nasbench201']

    Args:
        pattern: shell-style pattern of a name.

    Returns:
        A row per device and space, sorted by both: its `name`, as in `latency[raspi4]`; the
        `quantities` that are known, a tuple; the `space`; the `datasets` of the networks that were
        measured, a tuple; the number of `architectures` that have a latency; and `least_ms`,
        `median_ms` and `greatest_ms` of the latencies on the first of these data sets.

    Raises:
        UntrainedError: a table that comes with a space, or was fetched, can't be read.
    """
    import pandas as pd

    columns = ["name", "quantities", "space", "datasets", "architectures"]
    columns += ["least_ms", "median_ms", "greatest_ms"]
    return pd.DataFrame(records("devices", pattern), columns=columns)


def _devices(pattern: str) -> list[dict[str, Any]]:
    """Return the rows of `list_devices`."""
    from fnmatch import fnmatchcase

    from untrained.benchmarks.devices import DeviceTable

    found = []
    for one in SPACES.described():
        if not one.usable:
            continue
        space = get_space(one.name)
        if space.devices is None and not table_of(DEVICES, space.name).is_file():
            continue
        table = DeviceTable.load(space)
        for device in filter(lambda name: fnmatchcase(name, pattern), table.devices):
            quantities = table.metrics(device)
            datasets = {one for metric in quantities for one in table.datasets(metric, device)}
            order = [name for name in space.datasets if name in datasets]
            known = np.array([])
            if "latency" in quantities:
                values = table.values("latency", device)
                known = np.sort(values[np.isfinite(values)])
            found.append(
                {
                    "name": device,
                    "quantities": quantities,
                    "space": space.name,
                    "datasets": (*order, *sorted(datasets - {*order})),
                    "architectures": known.size,
                    "least_ms": float(known[0]) if known.size else None,
                    "median_ms": float(np.median(known)) if known.size else None,
                    "greatest_ms": float(known[-1]) if known.size else None,
                }
            )
    return sorted(found, key=lambda row: (row["name"], row["space"]))


@dataclass(frozen=True)
class _Kind:
    """A kind of names.

    Attributes:
        registry: where they are registered.
        load: returns the entry with a name.
        summary: the column of the one-line description.
        columns: further columns, in order, to what they have of an entry.
    """

    registry: Registry[object]
    load: Callable[[str], object]
    summary: str
    columns: Mapping[str, Callable[[Any], object]]


def _attributes(*names: str) -> dict[str, Callable[[Any], object]]:
    return {name: attrgetter(name) for name in names}


def _settings(algorithm: type) -> dict[str, object]:
    known = fields(algorithm) if is_dataclass(algorithm) else ()
    return {field.name: field.default for field in known}


_KINDS: Mapping[str, _Kind] = {
    "spaces": _Kind(
        SPACES,
        get_space,
        "summary",
        _attributes("datasets")
        | {
            name: lambda space, name=name: getattr(space, name) is not None
            for name in ("benchmark", "supernet")
        }
        | _attributes("ablations", "label"),
    ),
    "proxies": _Kind(
        PROXIES,
        get_proxy,
        "measures",
        _attributes("variants", "direction")
        | {"needs": lambda proxy: tuple(sorted(proxy.needs))}
        | _attributes("cost", "applies_to", "source", "unit", "label", "published"),
    ),
    "datasets": _Kind(
        IMAGE_SETS,
        IMAGE_SETS.load,
        "summary",
        _attributes("num_classes", "shape", "splits", "stands_for", "label"),
    ),
    "algorithms": _Kind(
        ALGORITHMS,
        ALGORITHMS.load,
        "summary",
        {"settings": _settings} | _attributes("spends_budget", "reads_scores", "mutates", "label"),
    ),
}


def records(kind: str, pattern: str = "*") -> list[dict[str, Any]]:
    """Return the rows of a table as dicts, without an import of pandas.

    Args:
        kind: `spaces`, `proxies`, `datasets`, `algorithms` or `devices`.
        pattern: shell-style pattern of a spelling.

    Raises:
        UnknownNameError: no such kind.
        PluginError: two packages add an entry of one name.
    """
    if kind == "devices":
        return _devices(pattern)
    if kind not in _KINDS:
        raise unknown_name("kind of names", kind, [*_KINDS, "devices"])
    known, found = _KINDS[kind], []
    for one in known.registry.described(pattern):
        entry = known.load(one.name) if one.usable else None
        facts = {name: read(entry) if one.usable else None for name, read in known.columns.items()}
        found.append({"name": one.name, known.summary: one.summary, **facts, "origin": one.origin})
    return found


def _table(kind: str, pattern: str) -> "pd.DataFrame":
    import pandas as pd

    columns = ["name", _KINDS[kind].summary, *_KINDS[kind].columns, "origin"]
    return pd.DataFrame(records(kind, pattern), columns=columns)

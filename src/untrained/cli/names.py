"""`untrained list`: names of spaces, proxies, data sets and search algorithms."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    """A kind of names that can be listed."""

    SPACES = "spaces"
    PROXIES = "proxies"
    DATASETS = "datasets"
    ALGORITHMS = "algorithms"


#: The attributes that `--long` shows of each kind; docs/extending.md explains them.
_FACTS: Mapping[Kind, tuple[str, ...]] = {
    Kind.SPACES: ("label", "datasets", "ablations"),
    Kind.PROXIES: ("label", "direction", "unit", "cost", "needs", "applies_to", "published"),
    Kind.DATASETS: ("label", "num_classes", "shape", "splits", "stands_for"),
    Kind.ALGORITHMS: ("label", "spends_budget", "reads_scores", "mutates"),
}


def list_names(
    kind: Annotated[Kind, typer.Argument(help="Kind of names to list.")],
    pattern: Annotated[
        str, typer.Argument(help="Shell-style pattern of the names, for example 'na*'.")
    ] = "*",
    long: Annotated[bool, typer.Option("--long", help="Show label, cost, unit and so on.")] = False,
) -> None:
    """List spaces, proxies, data sets or search algorithms.

    Any algorithm that spends a budget can have a proxy as its fitness: rea+fitness=lga@1.
    """
    from untrained.errors import PluginError
    from untrained.images.sets import IMAGE_SETS
    from untrained.plugins import Registry
    from untrained.proxies import PROXIES, get_proxy
    from untrained.search import ALGORITHMS
    from untrained.spaces import SPACES, get_space

    known: dict[Kind, tuple[Registry[object], Callable[[str], object]]] = {
        Kind.SPACES: (SPACES, get_space),
        Kind.PROXIES: (PROXIES, get_proxy),
        Kind.DATASETS: (IMAGE_SETS, IMAGE_SETS.load),
        Kind.ALGORITHMS: (ALGORITHMS, ALGORITHMS.load),
    }
    registry, load = known[kind]
    found = registry.described(pattern)
    widths = [max((len(line[place]) for line in found), default=0) for place in (0, 1)]
    for name, summary, origin in found:
        typer.echo(f"{name:{widths[0]}}  {summary:{widths[1]}}  {origin}")
        if long:
            with suppress(PluginError):  # its description is the error
                entry = load(name)
                for fact in _FACTS[kind]:
                    typer.echo(f"    {fact.replace('_', ' '):13}  {_text(getattr(entry, fact))}")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | frozenset):
        value = ", ".join(map(str, sorted(value) if isinstance(value, frozenset) else value))
    return str(value or "none")

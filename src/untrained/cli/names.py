"""`untrained list`: names of spaces, proxies, data sets, search algorithms and devices."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated

import typer

from untrained.cli import options
from untrained.cli.progress import results_only, tell
from untrained.errors import quoted


class Kind(StrEnum):
    """A kind of names that can be listed."""

    SPACES = "spaces"
    PROXIES = "proxies"
    DATASETS = "datasets"
    ALGORITHMS = "algorithms"
    DEVICES = "devices"


#: The columns of the lines of each kind.
_SHOWN: Mapping[Kind, tuple[str, ...]] = {
    Kind.SPACES: ("name", "summary", "origin"),
    Kind.PROXIES: ("name", "measures", "direction", "needs", "cost", "origin"),
    Kind.DATASETS: ("name", "summary", "origin"),
    Kind.ALGORITHMS: ("name", "summary", "origin"),
    Kind.DEVICES: ("name", "quantities", "space", "datasets", "median_ms"),
}


#: What is shown below each line; all else is on request.
_BELOW: Mapping[Kind, tuple[str, ...]] = {Kind.PROXIES: ("variants", "applies_to", "source")}


def list_names(
    context: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="Kind of names to list.")],
    pattern: Annotated[
        str, typer.Argument(help="Shell-style pattern of the names, for example 'na*'.")
    ] = "*",
    long: Annotated[
        bool, typer.Option("--long", help="Show all that is known: unit, label, ...")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """List spaces, proxies, data sets, searches or devices.

    Ensembles that have names stand below the proxies. The same tables are returned by
    untrained.list_proxies and its like. Any algorithm that spends a budget can have a proxy as its
    fitness: rea+fitness=lga@1.
    """
    from untrained.catalogue import records

    with results_only():
        found = records(kind, pattern)
    if as_json:
        options.without_effect(context, "JSON has all that is known", "long")
        typer.echo(json.dumps(found, indent=1))
        return
    shown = _SHOWN[kind]
    lines = [[_text(one[column]) for column in shown] for one in found]
    widths = [max(map(len, column)) for column in zip(shown, *lines, strict=True)]
    typer.echo(_line(shown, widths))
    for one, line in zip(found, lines, strict=True):
        typer.echo(_line(line, widths))
        below = [fact for fact in one if fact not in shown] if long else _BELOW.get(kind, ())
        for fact in below:
            typer.echo(f"    {fact.replace('_', ' '):13}  {_text(one[fact])}")
    ensembles = kind is Kind.PROXIES and _list_ensembles(pattern)
    if not found and not ensembles:
        every = f"`untrained list {kind}` has all"
        tell(f"no {kind} match {quoted(pattern)}" + ("" if pattern == "*" else f": {every}"))


def _list_ensembles(pattern: str) -> bool:
    """Print the ensembles that have a matching name, if any, and how others are spelled."""
    from untrained.proxies.ensembles import ENSEMBLES, RULES

    found = [one for one in ENSEMBLES.values() if fnmatchcase(one.name, pattern)]
    if found:
        typer.echo(f"\nensembles, spelled {'|'.join(RULES)}(proxy,proxy,...) or by a name")
    for one in found:
        typer.echo(f"{one.name}  {one.formula}\n    {'source':13}  {one.source}")
    return bool(found)


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(map(str.ljust, texts, widths)).rstrip()


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        value = ", ".join(f"{name}={_text(one)}" for name, one in value.items())
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    if isinstance(value, float):
        value = f"{value:g}"
    return "none" if value in ("", None) else str(value)

"""`untrained plan`: how many jobs the workflow has, and how long they take."""

from pathlib import Path
from typing import Annotated, Any

import typer

from untrained.cli import options
from untrained.cli.progress import tracker
from untrained.errors import MissingDataError
from untrained.files import absent


def plan(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Files of parameters; later ones hold only differences. Default: params.yaml.",
            dir_okay=False,
        ),
    ] = None,
    architectures: Annotated[
        int,
        typer.Option(help="How many of each space to score for the rates.", min=1),
    ] = 3,
    quiet: options.Quiet = False,
) -> None:
    """Print the jobs of the workflow and their hours.

    A few architectures are scored here, for the rates. Other jobs take as long as those that
    Snakemake ran in this folder, where there are any: run a small sample first.
    """
    import os

    import pandas as pd
    from rich.console import Console

    from untrained.forecast import forecast
    from untrained.parameters import parse_parameters
    from untrained.plan import Plan
    from untrained.report.tables import terminal_table
    from untrained.scoring.devices import gpus_here
    from untrained.scoring.execution import prepare_worker

    made = Plan(parse_parameters(_merged(files or [Path("params.yaml")])))
    prepare_worker()
    found = list(forecast(made, architectures, tracker(quiet)))

    rows = [
        (
            one.rule,
            one.of,
            one.number,
            "" if one.seconds is None else f"{one.seconds:,.0f}",
            "" if one.seconds is None else f"{one.number * one.seconds / 3600:,.2f}",
        )
        for one in found
    ]
    columns = ["rule", "of", "jobs", "seconds a job", "hours"]
    Console().print(terminal_table(pd.DataFrame(rows, columns=columns), title="Jobs"))
    hours = sum(one.number * (one.seconds or 0) for one in found) / 3600
    cards, cores = gpus_here(), os.cpu_count() or 1
    here = f"{cards} GPUs" if cards else f"{cores} cores"
    at_once = f"{hours / (cards or cores):,.2f} on the {here} here"
    typer.echo(f"{hours:,.2f} hours one after another, {at_once}")
    if missing := [one.rule for one in found if one.seconds is None]:
        typer.echo(f"not counted, since none has run here: {', '.join(missing)}")


def _merged(files: list[Path]) -> dict[str, Any]:
    """Return the parameters of several files, as `snakemake --configfile` merges them."""
    from untrained.parameters import read_parameters

    merged: dict[str, Any] = {}
    for path in files:
        if not path.is_file():
            raise MissingDataError(f"{absent(path)}: name a file of parameters")
        for key, value in read_parameters(path).items():
            before = merged.get(key)
            both = isinstance(before, dict) and isinstance(value, dict)
            merged[key] = before | value if both else value
    return merged

"""The list of commands; each imports what it needs when it runs, so that `--help` is fast."""

from collections.abc import Sequence
from inspect import signature
from typing import Annotated, Any, get_args

import typer

from untrained import __version__
from untrained.cli import (
    ablations,
    compare,
    ensembles,
    fetch,
    fronts,
    measure,
    names,
    params,
    pareto,
    plan,
    prune,
    rank,
    report,
    score,
    search,
    shards,
    train,
    training_curves,
)

#: What the parser of options raises; some versions of Typer have their own copy of Click.
UsageError: Any = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="untrained",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Rank neural architectures before training them.",
    epilog="Any command takes --debug, which shows the traceback of an error.",
)
app.command("rank")(rank.rank)
app.command("score")(score.score)
app.command("fetch")(fetch.fetch)
app.command("list")(names.list_names)
app.command("shard")(shards.shard)
app.command("merge")(shards.merge)
app.command("params")(params.params)
app.command("plan")(plan.plan)
app.command("compare")(compare.compare)
app.command("ensembles")(ensembles.ensembles)
app.command("search")(search.search)
app.command("ablate")(ablations.ablate)
app.command("training-curves")(training_curves.training_curves)
app.command("measure")(measure.measure)
app.command("pareto")(pareto.pareto)
app.command("fronts")(fronts.fronts)
app.command("prune")(prune.prune)
app.command("train")(train.train)
app.add_typer(report.app, name="report")


def integer_options(words: Sequence[str], within: typer.Typer = app) -> set[str]:
    """Return the options of a command that take an integer.

    Args:
        words: the arguments of the program, which begin with the name of the command.
        within: the commands.
    """
    head = words[0] if words else ""
    for group in within.registered_groups:
        if group.name == head and group.typer_instance is not None:
            return integer_options(words[1:], group.typer_instance)
    for command in within.registered_commands:
        if head in (command.name, getattr(command.callback, "__name__", None)) and command.callback:
            return {
                f"--{name.replace('_', '-')}"
                for name, one in signature(command.callback).parameters.items()
                if (get_args(one.annotation) or [None])[0] in (int, int | None)
            }
    return set()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"untrained {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Rank neural architectures before training them."""
    del version

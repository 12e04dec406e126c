"""`untrained compare`: other people's scores beside ours."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from untrained.cli import options
from untrained.cli.progress import tell
from untrained.errors import ParameterError, quoted
from untrained.files import read_bounded, reading

if TYPE_CHECKING:
    import pandas as pd


def compare(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="SCORES",
            help="Their scores: JSON in NAS-Bench-Suite-Zero's layout, or CSV with a row per "
            "architecture and a column per proxy.",
        ),
    ],
    space: options.Space,
    dataset: options.Dataset = "cifar10",
    scores: options.Scores = None,
    pair: Annotated[
        list[str] | None,
        typer.Option(
            help="Their name and the proxy to compare it with, as in nwot=naswot; repeatable. "
            "Default: names that are the same or known aliases."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the resampling.", callback=options.allowed)
    ] = 0,
    as_json: options.Json = False,
) -> None:
    """Compare other people's scores of a space with ours.

    Architectures are matched by their spelling, in any notation that the space knows. For each pair
    of proxies Kendall's tau, Spearman's rho and the share of equal scores are printed. Without
    --scores ours are those of the workflow, or else those that come with the project.
    """
    from untrained.report.agreement import agreement, paired, read_others
    from untrained.scoring.shipped import scores_at_hand
    from untrained.spaces import get_space

    searched = get_space(space)
    theirs = read_others(_text_of(file), file.name.lower(), searched, dataset)
    if theirs.attrs["named"]:
        options.without_effect(context, f"{file.name} itself names the data sets", "dataset")
    ours = scores_at_hand(searched, scores)
    named = dict(_split(one) for one in pair or [])
    pairs = paired(_names(theirs), _names(ours), named)
    table = agreement(theirs, ours, pairs, seed=seed)
    if unknown := theirs.attrs["unknown"]:
        tell(f"{unknown} architectures are unknown, the first: {theirs.attrs['example']}")
    if as_json:
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        typer.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console

    from untrained.report.tables import intervals, lay_out, numbers, terminal_table

    layout = lay_out(
        table,
        {
            "data set": "dataset",
            "theirs": "theirs",
            "ours": "ours",
            "n": "n",
            "undefined": lambda own: [
                f"{one} / {other}"
                for one, other in zip(own["undefined_theirs"], own["undefined_ours"], strict=True)
            ],
            "Kendall's τ": intervals("tau", digits=3),
            "Spearman's ρ": intervals("rho", digits=3),
            "equal": numbers("equal", 3),
        },
    )
    console = Console(width=None if Console().is_terminal else 110)
    console.print(terminal_table(layout, title=f"{file.name} beside ours, with 95 % intervals"))


def _names(table: "pd.DataFrame") -> list[str]:
    return list(map(str, table["proxy"].unique()))


def _split(pair: str) -> tuple[str, str]:
    their, _, our = pair.partition("=")
    if not their or not our:
        raise ParameterError(f"--pair {quoted(pair)}: two names, as in nwot=naswot")
    return their, our


def _text_of(path: Path) -> str:
    from untrained.report.agreement import LARGEST

    with reading(f"{path} is no text", "name a table of scores"):
        return read_bounded(path, LARGEST).decode("utf-8-sig")

"""`untrained prune`: the pruning search of TE-NAS."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli import options
from untrained.cli.progress import results_only, teller, tracker

if TYPE_CHECKING:
    import pandas as pd


def prune(
    space: Annotated[
        str,
        typer.Argument(
            help="Name or address of a search space that has a supernet, as nasbench201 and darts "
            "have.",
            autocompletion=options.completed(options.SPACES),
        ),
    ],
    dataset: options.Dataset = "cifar10",
    split: options.Split = "sample",
    seed: Annotated[
        int, typer.Option(help="Seed of weights, images and ties.", callback=options.allowed)
    ] = 0,
    variant: Annotated[
        str,
        typer.Option(
            help="Form of the search: tenas, or released, which does what the authors' code does."
        ),
    ] = "tenas",
    criterion: Annotated[
        str, typer.Option(help="Numbers whose ranks decide: both, kappa or regions.")
    ] = "both",
    repeats: Annotated[
        int,
        typer.Option(
            help="Number of draws of weights and images in a round, whose changes are averaged."
        ),
    ] = 3,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Number of images of a kernel; default: 32, or that of the released code."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Number of processes, which changes no result; default: one a core, one on a GPU."
        ),
    ] = None,
    device: options.Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Parquet file of the trace to write.", dir_okay=False, callback=options.written
        ),
    ] = None,
    ledger: options.Ledger = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Cut a supernet down to one architecture without training.

    An operation is ranked by how its removal changes the condition number of the tangent kernel and
    the number of linear regions (TE-NAS). With --out or --ledger, the same command continues an
    interrupted search after its last finished round; the ledger is OUT.ledger unless --ledger names
    another file.
    """
    from untrained.files import write_parquet
    from untrained.scoring.execution import prepare_worker
    from untrained.search import pruning
    from untrained.search.supernets import pruned_space

    with results_only():
        searched = pruned_space(space)
        settings = pruning.Pruning(
            variant, criterion, repeats, batch_size, dataset, split, device=device
        )
    beside = None if out is None or ledger is not None else out.with_name(f"{out.name}.ledger")
    prepare_worker()  # several threads gain nothing on networks as thin as these
    with results_only():
        found = pruning.prune(
            space,
            settings,
            seed,
            workers=workers,
            ledger=ledger or beside,
            save=None if out is None else lambda found: write_parquet(found.trace, out),
            track=tracker(quiet),
            tell=teller(quiet),
        )
    if beside is not None:
        beside.unlink(missing_ok=True)
    answer = {"space": space, "dataset": dataset, "split": split, "seed": seed, "variant": variant}
    answer |= {"criterion": criterion, "repeats": repeats, "batch_size": settings.images(searched)}
    answer |= {"architecture": found.architecture.index, "spelling": found.architecture.spelling}
    answer |= found.known() | {"undefined": found.undefined, "seconds": found.seconds}
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _print(answer, found.trace)


def _print(answer: dict[str, Any], trace: "pd.DataFrame") -> None:
    """Print what was found and a line for each round, for people."""
    trained = "train" in answer  # papers print the spelling, and the index is long
    typer.echo(answer["spelling"] if trained else f"{answer['architecture']}  {answer['spelling']}")
    for number, rows in trace.groupby("round"):
        first = rows.iloc[0]
        kappa = "undefined" if math.isnan(first["kappa"]) else f"{first['kappa']:.1f}"
        pruned = int(rows["pruned"].sum())
        state = f"{pruned} of {len(rows)} candidates pruned" if pruned else "what is left"
        typer.echo(f"  round {number}     kappa {kappa}, {first['regions']:.0f} regions; {state}")
    if answer["undefined"]:
        typer.echo(
            f"  undefined   {answer['undefined']} candidates had no condition number in a repeat"
        )
    for column, value in answer.get("accuracy", {}).items():
        typer.echo(f"  accuracy    {value:.2f} %  {column}, {options.training_of(answer['space'])}")
    for name, size in answer.get("networks", {}).items():
        typer.echo(
            f"  {name}    {size['parameters'] / 1e6:.2f} M parameters, {size['flops'] / 1e6:.0f} M "
            f"multiply-adds; {size['cells']} cells, {size['channels']} channels"
        )
    typer.echo(f"  time        {answer['seconds']:.1f} s")
    if trained:
        typer.echo(answer["train"])

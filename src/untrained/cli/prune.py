"""`untrained prune`: the pruning search of TE-NAS."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from untrained.spaces.base import Architecture


def prune(
    space: Annotated[str, typer.Argument(help="Search space with a supernet.")],
    dataset: Annotated[str, typer.Option(help="Whose images are shown.")] = "cifar10",
    split: Annotated[str, typer.Option(help="Of the data set; `sample` is bundled.")] = "sample",
    seed: Annotated[int, typer.Option(help="Of weights, images and ties.")] = 0,
    variant: Annotated[str, typer.Option(help="tenas, or released: as its code does.")] = "tenas",
    criterion: Annotated[str, typer.Option(help="both, kappa or regions.")] = "both",
    repeats: Annotated[int, typer.Option(help="Draws per round, averaged.")] = 3,
    batch_size: Annotated[
        int | None, typer.Option(help="Images per kernel; default 32, or as released.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes; default: one per core, one on a GPU. They change nothing."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0, ...")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Trace to write (parquet).")] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(
            help="File of finished rounds, from which a search resumes; default OUT.ledger."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Cut a supernet down to one architecture without training.

    What pruning an operation does to the condition number of the tangent kernel and to the number
    of linear regions ranks it (TE-NAS). A search that was interrupted resumes after its last
    finished round when it is asked for again.
    """
    from untrained.cli.progress import track
    from untrained.files import check_target, write_parquet
    from untrained.images.sets import image_set
    from untrained.scoring.devices import leased_device
    from untrained.scoring.execution import prepare_worker
    from untrained.search import pruning
    from untrained.search.supernets import pruned_space

    searched = pruned_space(space)
    beside = None if out is None or ledger is not None else out.with_name(f"{out.name}.ledger")
    settings = pruning.Pruning(variant, criterion, repeats, batch_size, dataset, split)
    image_set(dataset).check_split(split)
    if out is not None:
        check_target(out)
    prepare_worker()  # several threads gain nothing on networks as thin as these
    with leased_device(device) as where:
        several = os.cpu_count() or 1 if where.type == "cpu" else 1
        found = pruning.prune(
            space,
            replace(settings, device=str(where)),
            seed,
            workers=several if workers is None else workers,
            ledger=ledger or beside,
            save=None if out is None else lambda found: write_parquet(found.trace, out),
            track=track,
            tell=lambda message: typer.echo(message, err=True),
        )
    if beside is not None:
        beside.unlink(missing_ok=True)
    answer = {
        "space": space,
        "dataset": dataset,
        "split": split,
        "seed": seed,
        "variant": variant,
        "criterion": criterion,
        "repeats": repeats,
        "batch_size": settings.images(searched),
        "architecture": found.architecture.index,
        "spelling": found.architecture.spelling,
        **_known(found.architecture, dataset),
        "undefined": _undefined(found.trace, repeats),
        "seconds": found.seconds,
    }
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _print(answer, found.trace)


def _known(architecture: "Architecture", dataset: str) -> dict[str, Any]:
    """Its accuracies where a benchmark has them, else what its networks cost to run and train."""
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.search.supernets import pruned_space
    from untrained.spaces import get_space

    if get_space(architecture.space).benchmark is not None:
        table = Benchmark.load(architecture.space)
        known = {"/".join(one): table.accuracy(architecture.index, *one) for one in table.finals}
        return {"accuracy": known}
    space = pruned_space(architecture.space)
    costs: dict[str, Any] = {}
    if space.networks is not None:
        costs["networks"] = space.networks(architecture)
    if space.training is not None:
        costs["train"] = space.training(architecture, dataset)
    return costs


def _undefined(trace: "pd.DataFrame", repeats: int) -> int:
    """Candidates that lack a condition number in some repeat."""
    asked = trace[trace["kappa_rank"] >= 0]
    return int((asked["kappa_repeats"] < repeats).sum())


def _print(answer: dict[str, Any], trace: "pd.DataFrame") -> None:
    """Print what was found and how the rounds went, for people."""
    trained = "train" in answer  # then the index is long, and the spelling what papers print
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
        typer.echo(f"  accuracy    {value:.2f} %  {column}, 200 epochs")
    for name, size in answer.get("networks", {}).items():
        typer.echo(
            f"  {name}    {size['parameters'] / 1e6:.2f} M parameters, {size['flops'] / 1e6:.0f} M "
            f"multiply-adds; {size['cells']} cells, {size['channels']} channels"
        )
    typer.echo(f"  time        {answer['seconds']:.1f} s")
    if trained:
        typer.echo(answer["train"])

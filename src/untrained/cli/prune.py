"""`untrained prune`: the pruning search of TE-NAS."""

import json
import math
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.files import IMAGES

if TYPE_CHECKING:
    import pandas as pd

    from untrained.spaces.base import Architecture


def prune(
    space: Annotated[str, typer.Argument(help="nasbench201.")],
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
        int | None, typer.Option(help="Processes; default: one per core. They change nothing.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Trace to write (parquet).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Cut a supernet down to one architecture without training.

    What pruning an operation does to the condition number of the tangent kernel and to the number
    of linear regions ranks it (TE-NAS).
    """
    from untrained.cli.progress import track
    from untrained.files import write_parquet
    from untrained.images.sets import image_set
    from untrained.scoring.execution import prepare_worker
    from untrained.search.pruning import Pruning, pruned_space
    from untrained.search.pruning import prune as run

    settings = Pruning(variant, criterion, repeats, batch_size, dataset, split, IMAGES)
    searched = pruned_space(space)
    image_set(dataset).check_split(split)
    prepare_worker()  # several threads gain nothing on networks as thin as these
    start = time.perf_counter()
    found = run(
        searched,
        settings,
        seed,
        workers=(os.cpu_count() or 1) if workers is None else workers,
        watch=lambda numbers, total, what: track(numbers, total, what, "supernets"),
    )
    seconds = time.perf_counter() - start
    if out is not None:
        write_parquet(found.trace, out)
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
        "accuracy": _accuracies(found.architecture),
        "undefined": _undefined(found.trace, repeats),
        "seconds": seconds,
    }
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _say(answer, found.trace)


def _accuracies(architecture: "Architecture") -> dict[str, float]:
    """What the benchmark says of it after 200 epochs, in percent."""
    from untrained.benchmarks.benchmark import Benchmark

    table = Benchmark.load(architecture.space)
    return {"/".join(one): table.accuracy(architecture.index, *one) for one in table.finals}


def _undefined(trace: "pd.DataFrame", repeats: int) -> int:
    """Candidates that lack a condition number in some repeat."""
    asked = trace[trace["kappa_rank"] >= 0]
    return int((asked["kappa_repeats"] < repeats).sum())


def _say(answer: dict[str, Any], trace: "pd.DataFrame") -> None:
    typer.echo(f"{answer['architecture']}  {answer['spelling']}")
    for number, rows in trace.groupby("round"):
        first = rows.iloc[0]
        kappa = "undefined" if math.isnan(first["kappa"]) else f"{first['kappa']:.1f}"
        pruned = int(rows["pruned"].sum())
        state = f"{pruned} of {len(rows)} operations pruned" if pruned else "what is left"
        typer.echo(f"  round {number}     kappa {kappa}, {first['regions']:.0f} regions; {state}")
    if answer["undefined"]:
        typer.echo(
            f"  undefined   {answer['undefined']} candidates had no condition number in a repeat"
        )
    for column, value in answer["accuracy"].items():
        typer.echo(f"  accuracy    {value:.2f} %  {column}, 200 epochs")
    typer.echo(f"  time        {answer['seconds']:.1f} s")

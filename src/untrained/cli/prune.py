"""`untrained prune`: the pruning search of TE-NAS."""

import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.files import IMAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from untrained.search.pruning import Row
    from untrained.spaces.base import Architecture


def prune(
    space: Annotated[str, typer.Argument(help="nasbench201 or darts.")],
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
    out: Annotated[
        Path | None, typer.Option(help="Trace to write (parquet); OUT.rounds holds what is done.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Cut a supernet down to one architecture without training.

    What pruning an operation does to the condition number of the tangent kernel and to the number
    of linear regions ranks it (TE-NAS). With --out a search that was interrupted goes on with the
    round that it was in when it is asked for again.
    """
    from untrained.cli.progress import track
    from untrained.files import check_target, write_parquet
    from untrained.images.sets import image_set
    from untrained.scoring.devices import leased_device
    from untrained.scoring.execution import prepare_worker
    from untrained.search.pruning import Pruning, pruned_space
    from untrained.search.pruning import prune as run
    from untrained.search.rounds import Rounds, read_rounds, rounds_beside, write_rounds

    asked = Pruning(variant, criterion, repeats, batch_size, dataset, split, IMAGES)
    searched = pruned_space(space)
    image_set(dataset).check_split(split)
    if out is not None:
        check_target(out)
    prepare_worker()  # several threads gain nothing on networks as thin as these
    search = {
        "space": space,
        "dataset": dataset,
        "split": split,
        "seed": seed,
        "variant": variant,
        "criterion": criterion,
        "repeats": repeats,
        "batch_size": asked.images(searched),
    }
    begun = Rounds() if out is None else read_rounds(rounds_beside(out), search)
    if begun.rows:
        typer.echo(f"continuing after round {begun.rows[-1]['round']}", err=True)
    start = time.perf_counter() - begun.seconds

    def finished(rows: "Sequence[Row]") -> None:
        if out is not None:
            write_rounds(rounds_beside(out), search, Rounds(rows, time.perf_counter() - start))

    with leased_device(device) as where:
        several = os.cpu_count() or 1 if where.type == "cpu" else 1
        found = run(
            searched,
            replace(asked, device=str(where)),
            seed,
            workers=several if workers is None else workers,
            watch=lambda numbers, total, what: track(numbers, total, what, "supernets"),
            begun=[dict(row) for row in begun.rows],
            finished=finished,
        )
    seconds = time.perf_counter() - start
    if out is not None:
        write_parquet(found.trace, out)
        rounds_beside(out).unlink(missing_ok=True)
    answer = {
        **search,
        "architecture": found.architecture.index,
        "spelling": found.architecture.spelling,
        **_what_is_known(found.architecture, dataset),
        "undefined": _undefined(found.trace, repeats),
        "seconds": seconds,
    }
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _say(answer, found.trace)


def _what_is_known(architecture: "Architecture", dataset: str) -> dict[str, Any]:
    """Its accuracies where a benchmark has them, else what its networks cost to run and train."""
    if architecture.space == "darts":
        return {"networks": _networks(architecture), "train": _training(architecture, dataset)}
    return {"accuracy": _accuracies(architecture)}


def _networks(architecture: "Architecture") -> dict[str, dict[str, int]]:
    """Size of the two networks that the papers train, without auxiliary head."""
    from untrained.networks.costs import count_flops, count_parameters
    from untrained.networks.darts import CIFAR10, IMAGENET, DartsNetwork
    from untrained.spaces.darts import parse_genotype

    genotype = parse_genotype(architecture.spelling)
    sizes: dict[str, dict[str, int]] = {}
    for name, skeleton, classes, side in (
        ("CIFAR-10", CIFAR10, 10, 32),
        ("ImageNet", IMAGENET, 1000, 224),
    ):
        network = DartsNetwork(genotype, classes, skeleton)
        sizes[name] = {
            "cells": skeleton.cells,
            "channels": skeleton.channels,
            "parameters": count_parameters(network),
            "flops": count_flops(network, (3, side, side)),
        }
    return sizes


def _training(architecture: "Architecture", dataset: str) -> str:
    """The command that trains it as TE-NAS does, on the images that it was searched on."""
    options = {"cifar10": "", "noise": ""}.get(dataset, f" --dataset {dataset}")
    if dataset == "ImageNet16-120":
        options += " --auxiliary-weight 0"  # its images are too small for that head
    return f'untrained train "{architecture.spelling}"{options} --drop-path 0.3'


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

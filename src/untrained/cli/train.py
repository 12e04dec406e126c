"""`untrained train`: train the network of a genotype, to know its accuracy."""

import json
import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli import options
from untrained.cli.progress import teller, track

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from untrained.search.training import Training

TRAININGS = Path("results/trainings")

Genotype = Annotated[
    str,
    typer.Argument(
        help="Genotype(...), the name of a published one such as DARTS_V2, or an index."
    ),
]
HeldOut = Annotated[
    str | None,
    typer.Option(
        help="Split to evaluate on, or none; default: one that shares no image with --split."
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        help="File that is written after every epoch, from which the same command continues; "
        "default: one in results/trainings.",
        dir_okay=False,
    ),
]


def train(
    context: typer.Context,
    genotype: Genotype,
    dataset: options.Dataset = "cifar10",
    split: options.Split = "train",
    held_out: HeldOut = None,
    evaluate_every: Annotated[
        int, typer.Option(help="Number of epochs between evaluations; 0: only after the last.")
    ] = 10,
    epochs: Annotated[int, typer.Option(help="Number of passes over the images.")] = 600,
    batch_size: Annotated[int, typer.Option(help="Number of images per step.")] = 96,
    learning_rate: Annotated[
        float,
        typer.Option(help="Learning rate of the first epoch, which falls to 0 along a cosine."),
    ] = 0.025,
    momentum: Annotated[float, typer.Option(help="Momentum of the gradient.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of all parameters.")] = 3e-4,
    gradient_clip: Annotated[
        float, typer.Option(help="Largest norm of a gradient; 0: gradients are not clipped.")
    ] = 5.0,
    crop_flip: Annotated[bool, typer.Option(help="Shift and flip images at random.")] = True,
    cutout: Annotated[
        int,
        typer.Option(help="Side in pixels of the square that is cut out of images; 0: none is."),
    ] = 16,
    drop_path: Annotated[
        float, typer.Option(help="Probability at the end of the training that an edge is dropped.")
    ] = 0.2,
    auxiliary_weight: Annotated[
        float,
        typer.Option(help="Weight of the loss of the auxiliary head; 0: there is no such head."),
    ] = 0.4,
    cells: Annotated[int, typer.Option(help="Number of cells, of both kinds.")] = 20,
    channels: Annotated[int, typer.Option(help="Number of channels of the first cell.")] = 36,
    seed: Annotated[
        int, typer.Option(help="Seed of everything random.", callback=options.allowed)
    ] = 0,
    checkpoint: Checkpoint = None,
    device: options.Device = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON line per epoch, and one at the end.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Train the network of a DARTS genotype.

    The default settings are the recipe of the DARTS paper for CIFAR-10. The same command continues
    an interrupted training from its checkpoint.
    """
    from untrained.search import training
    from untrained.spaces import get_space
    from untrained.training.loop import unwatched
    from untrained.training.recipe import Recipe

    steps = epochs, batch_size, learning_rate, momentum, weight_decay, gradient_clip
    index = get_space("darts").parse(genotype).index
    images = training.TrainingImages(dataset, split, "" if held_out == "none" else held_out)
    if not images.evaluated_on:
        options.without_effect(context, "no images are held out to evaluate on", "evaluate_every")
    path = checkpoint or TRAININGS / f"darts-{index}-seed{seed}.pt"
    done = training.train(
        genotype,
        Recipe(*steps, crop_flip, cutout, drop_path, auxiliary_weight),
        images,
        cells=cells,
        channels=channels,
        evaluate_every=evaluate_every,
        seed=seed,
        checkpoint=path,
        device=device,
        report=lambda training: _report(training, teller(quiet), as_json=as_json),
        watch=unwatched if quiet else _watch,
        tell=teller(quiet),
    )
    summary = _summary(done) | {"checkpoint": str(path)}
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        _print(summary)


def _watch(
    steps: "Iterable[NDArray[np.int64]]", epoch: int, count: int
) -> "Iterable[NDArray[np.int64]]":
    """Show a bar for each epoch on a terminal; a log file has a line after it."""
    return track(steps, count, f"epoch {epoch}", "steps") if sys.stderr.isatty() else steps


def _report(training: "Training", tell: Callable[[str], None], *, as_json: bool) -> None:
    """Print the results of the last epoch."""
    done, settings = training.epochs, training.settings
    last, epochs = done[-1], int(settings["epochs"])
    if as_json:
        typer.echo(json.dumps(asdict(last)))
    left = (epochs - len(done)) * sum(epoch.seconds for epoch in done) / len(done)
    accuracy = "" if last.accuracy is None else f", {settings['held_out']} {last.accuracy:.2f} %"
    tell(
        f"epoch {last.epoch}/{epochs}: loss {last.loss:.4f}, training {last.train_accuracy:.2f} %"
        f"{accuracy}, {last.seconds:.1f} s, {_duration(left)} left"
    )


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{seconds:.0f} s"


def _summary(training: "Training") -> dict[str, Any]:
    """Return the settings and the results of a training, as JSON."""
    settings, last = training.settings, training.epochs[-1]
    held_out = settings["held_out"]
    return {
        **settings,
        "parameters": training.parameters,
        "flops": training.flops,
        "loss": last.loss,
        "train_accuracy": last.train_accuracy,
        "evaluated_on": f"{settings['dataset']}/{held_out}" if held_out else None,
        "evaluated_images": training.evaluated_images,
        "accuracy": last.accuracy,
        "seconds": sum(epoch.seconds for epoch in training.epochs),
        "device": training.device,
    }


def _print(summary: dict[str, Any]) -> None:
    typer.echo(summary["genotype"])
    skeleton = f"{summary['cells']} cells, {summary['channels']} channels"
    typer.echo(f"  parameters  {summary['parameters']:,} ({skeleton}, without auxiliary head)")
    typer.echo(f"  FLOPs       {summary['flops']:,} multiply-adds")
    typer.echo(
        f"  trained     {summary['epochs']} epochs on {summary['images']:,} images of "
        f"{summary['dataset']}/{summary['split']}, seed {summary['seed']}, "
        f"{_duration(summary['seconds'])} on {summary['device']}"
    )
    typer.echo(f"  training    {summary['train_accuracy']:.2f} %, loss {summary['loss']:.4f}")
    if summary["accuracy"] is None:
        typer.echo("  accuracy    unknown: no images were held out to evaluate on")
    else:
        images = f"{summary['evaluated_images']:,} images of {summary['evaluated_on']}"
        typer.echo(f"  accuracy    {summary['accuracy']:.2f} %  {images}")
    typer.echo(f"  checkpoint  {summary['checkpoint']}")

"""`untrained train`: what an architecture is worth, by training it."""

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.errors import ParameterError
from untrained.files import IMAGES, check_target

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from untrained.images.sets import ImageSet
    from untrained.training.loop import Epoch, Examples
    from untrained.training.recipe import Recipe

TRAININGS = Path("results/trainings")

#: Training split to the splits that share no image with it, the usual one first. The bundled
#: sample is a part of the training images, so it has none of its own to evaluate on.
HELD_OUT = {
    "sample": ("", "test"),
    "train": ("test", "valid", ""),
    "train-half": ("valid-half", "test", ""),
    "valid-half": ("train-half", "test", ""),
}


def train(
    genotype: Annotated[
        str, typer.Argument(help="Genotype(...), DARTS_V2 and the like, or an index.")
    ],
    dataset: Annotated[str, typer.Option(help="Images to train on.")] = "cifar10",
    split: Annotated[str, typer.Option(help="Of the data set; `sample` is bundled.")] = "train",
    held_out: Annotated[
        str | None, typer.Option(help="Split to evaluate on, '' for none; default: see docs.")
    ] = None,
    evaluate_every: Annotated[int, typer.Option(help="So many epochs, 0 for only the last.")] = 10,
    epochs: Annotated[int, typer.Option(help="Passes over the images.")] = 600,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = 96,
    learning_rate: Annotated[float, typer.Option(help="Falls to 0 along a cosine.")] = 0.025,
    momentum: Annotated[float, typer.Option(help="Of the gradient.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Of all parameters.")] = 3e-4,
    gradient_clip: Annotated[float, typer.Option(help="Largest norm; 0: none.")] = 5.0,
    crop_flip: Annotated[bool, typer.Option(help="Shift and flip images.")] = True,
    cutout: Annotated[int, typer.Option(help="Side of the square in pixels; 0: none.")] = 16,
    drop_path: Annotated[float, typer.Option(help="Reached linearly; 0: none.")] = 0.2,
    auxiliary_weight: Annotated[float, typer.Option(help="Of its loss; 0: no such head.")] = 0.4,
    cells: Annotated[int, typer.Option(help="Of both kinds.")] = 20,
    channels: Annotated[int, typer.Option(help="Of the first cell.")] = 36,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Written after every epoch, and continued from.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0, ...")] = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON line per epoch, and one.")
    ] = False,
) -> None:
    """Train the network of a DARTS genotype by the recipe of the DARTS papers.

    A training that was interrupted continues from its checkpoint when it is asked for again.
    """
    from untrained.images.sets import stored_image_set
    from untrained.spaces import get_space
    from untrained.training.recipe import Recipe

    architecture = get_space("darts").parse(genotype)
    recipe = Recipe(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        gradient_clip=gradient_clip,
        crop_flip=crop_flip,
        cutout=cutout,
        drop_path=drop_path,
        auxiliary_weight=auxiliary_weight,
    )
    if evaluate_every < 0:
        raise ParameterError(f"--evaluate-every {evaluate_every}: 0 or more")
    known = stored_image_set(dataset)
    known.check_split(split)
    evaluated_on = held_out_split(known, split, held_out)
    examples = _examples(known, split, recipe)
    other = _examples(known, evaluated_on, recipe) if evaluated_on else None

    from untrained.networks.costs import count_flops, count_parameters
    from untrained.networks.darts import DartsNetwork, Skeleton
    from untrained.scoring.devices import leased_device
    from untrained.seeds import torch_seeded
    from untrained.spaces.darts import parse_genotype
    from untrained.training import checkpoints
    from untrained.training.loop import train as run

    skeleton = Skeleton(cells, channels)
    spelled = parse_genotype(architecture.spelling)
    with torch_seeded(seed, "weights", architecture.index):
        network = DartsNetwork(
            spelled, known.num_classes, skeleton, auxiliary=recipe.auxiliary_weight > 0
        )
    settings: dict[str, str | int | float | bool] = {
        "genotype": architecture.spelling,
        "cells": cells,
        "channels": channels,
        "dataset": dataset,
        "split": split,
        "images": len(examples.labels),
        **asdict(recipe),
        "seed": seed,
        "held_out": evaluated_on,
    }
    path = checkpoint or TRAININGS / f"darts-{architecture.index}-seed{seed}.pt"
    check_target(path)
    begun = checkpoints.read_checkpoint(path, settings)
    plain = DartsNetwork(spelled, known.num_classes, skeleton)
    costs = {"parameters": count_parameters(plain), "flops": count_flops(plain, known.shape)}
    done: tuple[Epoch, ...] = () if begun is None else begun.epochs
    if done:
        typer.echo(f"continuing {path} after epoch {len(done)} of {epochs}", err=True)
    with leased_device(device) as where:
        states = run(
            network.to(where),
            examples,
            recipe,
            seed,
            where,
            held_out=other,
            evaluate_every=evaluate_every,
            begun=begun,
            watch=_watch,
        )
        try:
            for state in states:
                checkpoints.write_checkpoint(path, settings, state)
                done = state.epochs
                _report(done, epochs, evaluated_on, as_json=as_json)
        except ValueError as error:
            if begun is None or len(done) > len(begun.epochs):
                raise
            raise checkpoints.damaged(path) from error
        summary = {
            **settings,
            **costs,
            "loss": done[-1].loss,
            "train_accuracy": done[-1].train_accuracy,
            "evaluated_on": f"{dataset}/{evaluated_on}" if evaluated_on else None,
            "evaluated_images": len(other.labels) if other is not None else 0,
            "accuracy": done[-1].accuracy,
            "seconds": sum(epoch.seconds for epoch in done),
            "device": str(where),
            "checkpoint": str(path),
        }
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        _print(summary)


def held_out_split(known: "ImageSet", split: str, asked: str | None) -> str:
    """The split to evaluate on after training on `split`; empty for none.

    Raises:
        UnknownNameError: the data set lacks the split that is asked for.
        ParameterError: it shares images with the training split.
    """
    possible = [name for name in HELD_OUT.get(split, ("",)) if not name or name in known.splits]
    if asked is None:
        return possible[0]
    if asked:
        known.check_split(asked)
    if asked not in possible:
        names = ", ".join(name or "''" for name in possible)
        raise ParameterError(
            f"--held-out {asked} of {known.name} is not held out of {split}: take {names}"
        )
    return asked


def _examples(known: "ImageSet", split: str, recipe: "Recipe") -> "Examples":
    """The images of a split, normalised, and while training changed as the recipe says."""
    from untrained.images.minibatches import prepare_images
    from untrained.images.splits import training_set
    from untrained.training.cutout import cut_out
    from untrained.training.loop import Examples

    def prepare(
        images: "NDArray[np.uint8]", generator: "np.random.Generator | None"
    ) -> "NDArray[np.float32]":
        shown = prepare_images(images, known, generator if recipe.crop_flip else None)
        if generator is None or not recipe.cutout:
            return shown
        return cut_out(shown, recipe.cutout, generator)

    return Examples(*training_set(known.name, split, IMAGES), prepare)


def _watch(
    steps: "Iterable[NDArray[np.int64]]", epoch: int, count: int
) -> "Iterable[NDArray[np.int64]]":
    """A bar for each epoch on a terminal; in a log file the line after it is enough."""
    from untrained.cli.progress import track

    return track(steps, count, f"epoch {epoch}", "steps") if sys.stderr.isatty() else steps


def _report(done: "tuple[Epoch, ...]", epochs: int, evaluated_on: str, *, as_json: bool) -> None:
    last = done[-1]
    if as_json:
        typer.echo(json.dumps(asdict(last)))
    left = (epochs - len(done)) * sum(epoch.seconds for epoch in done) / len(done)
    accuracy = "" if last.accuracy is None else f", {evaluated_on} {last.accuracy:.2f} %"
    typer.echo(
        f"epoch {last.epoch}/{epochs}: loss {last.loss:.4f}, training {last.train_accuracy:.2f} %"
        f"{accuracy}, {last.seconds:.1f} s, {_duration(left)} left",
        err=True,
    )


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{seconds:.0f} s"


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
    if summary["accuracy"] is not None:
        images = f"{summary['evaluated_images']:,} images of {summary['evaluated_on']}"
        typer.echo(f"  accuracy    {summary['accuracy']:.2f} %  {images}")
    elif summary["split"] == "sample":
        typer.echo("  accuracy    not known: the bundled sample has no images to test on")
    typer.echo(f"  checkpoint  {summary['checkpoint']}")

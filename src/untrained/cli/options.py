"""Options that several commands share, each defined once, and what they print alike."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from untrained.api import Settings

Space = Annotated[str, typer.Argument(help="Search space.")]
Proxy = Annotated[str, typer.Option(help="`name`, `name-variant` or `name@epochs` of training.")]
Proxies = Annotated[
    list[str] | None,
    typer.Option(
        "--proxy",
        help="`name`, `name-variant`, `name:images` or `name@epochs` of training; repeatable.",
    ),
]
Dataset = Annotated[str, typer.Option(help="Data set whose images the networks are shown.")]
Split = Annotated[str, typer.Option(help="Split of the data set.")]
Seed = Annotated[int, typer.Option(help="Seed of minibatch and weights.")]
BatchSize = Annotated[int, typer.Option(help="Images per minibatch.")]
Augmentation = Annotated[str, typer.Option(help="Augmentation of the images: none or crop-flip.")]
Sampling = Annotated[str, typer.Option(help="Draw of the images: uniform, or balanced by class.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda:0, ...")]
Engine = Annotated[str, typer.Option(help="auto, plain or fast.")]
Precision = Annotated[str, typer.Option(help="auto, float32 or bfloat16.")]
Out = Annotated[Path, typer.Option(help="Parquet file to write.")]
Benchmark = Annotated[Path | None, typer.Option(help="Benchmark table.")]
Shard = Annotated[int, typer.Option(help="Number of the piece, from 0.")]
Shards = Annotated[int, typer.Option(help="Number of pieces that the work is cut into.")]
Ledger = Annotated[
    Path | None,
    typer.Option(help="File of finished work, from which an interrupted command resumes."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def settings(
    dataset: str,
    split: str,
    batch_size: int,
    augmentation: str = "none",
    sampling: str = "uniform",
    device: str = "auto",
    engine: str = "auto",
    precision: str = "auto",
) -> "Settings":
    """The settings of images and execution that the options of a command make."""
    return {
        "dataset": dataset,
        "split": split,
        "batch_size": batch_size,
        "augmentation": augmentation,
        "sampling": sampling,
        "device": device,
        "engine": engine,
        "precision": precision,
    }


def tell(message: str) -> None:
    """Print a message on standard error."""
    typer.echo(message, err=True)


def warn_of_test_labels(proxies: "Iterable[str]") -> None:
    """Say on standard error which of the spelled proxies are read on test labels."""
    from untrained.scoring.request import parse_reading

    readings = dict.fromkeys(map(parse_reading, proxies))
    if leaking := [str(reading) for reading in readings if reading.setting.shows_test]:
        tell(f"warning: {', '.join(leaking)} reads the labels of test images")

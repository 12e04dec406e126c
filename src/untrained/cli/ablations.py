"""`untrained ablate`: what moves a score besides the architecture."""

from typing import Annotated

import typer

from untrained.cli import options
from untrained.cli.progress import track
from untrained.errors import ParameterError


def ablate(
    space: options.Space,
    out: options.Out,
    experiment: Annotated[
        list[str] | None,
        typer.Option(
            help="minibatch, noise, initialisation, batch-size or variance; may be repeated. "
            "Default: all."
        ),
    ] = None,
    proxy: options.Proxy = "naswot",
    dataset: options.Dataset = "cifar100",
    split: options.Split = "sample",
    batch_size: Annotated[int, typer.Option(help="Images, unless they are varied.")] = 128,
    batch_sizes: Annotated[str, typer.Option(help="Those that are varied.")] = "32,64,128,256",
    repeats: Annotated[int, typer.Option(help="Scores of each of the ten cells.")] = 20,
    cells: Annotated[int, typer.Option(help="Random cells of the variance split.")] = 200,
    minibatches: Annotated[int, typer.Option(help="Minibatches of the variance split.")] = 4,
    initialisations: Annotated[
        int, typer.Option(help="Initialisations of the variance split.")
    ] = 4,
    seed: Annotated[int, typer.Option(help="Seed of the draws of cells.")] = 0,
    benchmark: options.Benchmark = None,
    device: options.Device = "auto",
    engine: options.Engine = "auto",
    precision: options.Precision = "auto",
) -> None:
    """Score cells again and again with one thing varied (the NASWOT paper's Fig. 5).

    The ten cells differ in CIFAR-100 test accuracy; the variance split has random ones.
    """
    from untrained.api import ablate as run
    from untrained.files import write_parquet
    from untrained.scoring.ablations import AblationSettings
    from untrained.scoring.execution import prepare_worker

    parts = batch_sizes.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise ParameterError(
            f"--batch-sizes {batch_sizes!r}: whole numbers between commas, as in 32,64"
        )
    sizes = tuple(int(part) for part in parts)
    prepare_worker()
    table = run(
        space,
        experiments=experiment,
        proxy=proxy,
        sizes=AblationSettings(repeats, sizes, cells, minibatches, initialisations, seed),
        benchmark=benchmark,
        track=track,
        **options.settings(
            dataset, split, batch_size, device=device, engine=engine, precision=precision
        ),
    )
    write_parquet(table, out)

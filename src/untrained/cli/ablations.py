"""`untrained ablate`: how a score depends on minibatch, initialisation and batch size."""

from typing import TYPE_CHECKING, Annotated

import typer

from untrained.cli import options
from untrained.cli.progress import track

if TYPE_CHECKING:
    from untrained.scoring.request import Settings


@options.with_settings(dataset="cifar100")
def ablate(
    space: options.Space,
    out: options.Out,
    settings: "Settings",
    experiment: Annotated[
        list[str] | None,
        typer.Option(
            help="minibatch, noise, initialisation, batch-size or variance; repeatable. "
            "Default: all."
        ),
    ] = None,
    proxy: options.Proxy = "naswot",
    batch_sizes: Annotated[
        str, typer.Option(help="Images per minibatch of the experiment batch-size.")
    ] = "32,64,128,256",
    repeats: Annotated[int, typer.Option(help="Scores of each of the ten cells.")] = 20,
    cells: Annotated[int, typer.Option(help="Random cells of the variance split.")] = 200,
    minibatches: Annotated[int, typer.Option(help="Minibatches of the variance split.")] = 4,
    initialisations: Annotated[
        int, typer.Option(help="Initialisations of the variance split.")
    ] = 4,
    seed: Annotated[
        int, typer.Option(help="Seed of the draws of cells.", callback=options.allowed)
    ] = 0,
    benchmark: options.Benchmark = None,
) -> None:
    """Score cells repeatedly while one thing varies, as in Fig. 5 of the NASWOT paper.

    There are ten cells of different CIFAR-100 test accuracy; the variance split has random ones.
    """
    from untrained.files import write_parquet
    from untrained.scoring.ablations import AblationSettings
    from untrained.scoring.ablations import ablate as run
    from untrained.scoring.execution import prepare_worker

    sizes = options.numbers("--batch-sizes", batch_sizes, int, "whole numbers", "32,64")
    prepare_worker()
    table = run(
        space,
        experiments=experiment,
        proxy=proxy,
        sizes=AblationSettings(repeats, sizes, cells, minibatches, initialisations, seed),
        benchmark=benchmark,
        track=track,
        **settings,
    )
    write_parquet(table, out)

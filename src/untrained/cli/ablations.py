"""`untrained ablate`: how a score depends on minibatch, initialisation and batch size."""

from typing import TYPE_CHECKING, Annotated

import typer

from untrained.cli import options
from untrained.cli.progress import tracker

if TYPE_CHECKING:
    from untrained.scoring.request import Settings


@options.with_settings(dataset="cifar100")
def ablate(
    context: typer.Context,
    space: options.Space,
    out: options.Out,
    settings: "Settings",
    experiment: Annotated[
        list[str] | None,
        typer.Option(
            help="Experiment to do: minibatch, noise, initialisation, batch-size or variance; "
            "repeatable. Default: all."
        ),
    ] = None,
    proxy: options.Proxy = "naswot",
    batch_sizes: Annotated[
        str,
        typer.Option(
            help="Numbers of images in a minibatch that the experiment batch-size compares."
        ),
    ] = "32,64,128,256",
    repeats: Annotated[int, typer.Option(help="Number of scores of each of the ten cells.")] = 20,
    cells: Annotated[
        int, typer.Option(help="Number of random cells of the experiment variance.")
    ] = 200,
    minibatches: Annotated[
        int, typer.Option(help="Number of minibatches of the experiment variance.")
    ] = 4,
    initialisations: Annotated[
        int, typer.Option(help="Number of initialisations of the experiment variance.")
    ] = 4,
    seed: Annotated[
        int, typer.Option(help="Seed by which cells are drawn.", callback=options.allowed)
    ] = 0,
    benchmark: options.Benchmark = None,
    quiet: options.Quiet = False,
) -> None:
    """Score cells repeatedly while one thing varies.

    The first four experiments are those of Fig. 5 of the NASWOT paper, on ten cells of different
    CIFAR-100 test accuracy; the experiment variance scores random cells.
    """
    from untrained.files import write_parquet
    from untrained.scoring.ablations import EXPERIMENTS, AblationSettings
    from untrained.scoring.ablations import ablate as run
    from untrained.scoring.execution import prepare_worker

    used = {name: set(known.sizes) for name, known in EXPERIMENTS.items()}
    every = set[str]().union(*used.values())
    idle = every.difference(*(used.get(name, every) for name in experiment or used))
    named = " and ".join(experiment or ())
    options.without_effect(context, f"the experiment {named} does not use it", *idle)
    sizes = options.numbers("--batch-sizes", batch_sizes, int, "whole numbers", "32,64")
    prepare_worker()
    table = run(
        space,
        experiments=experiment,
        proxy=proxy,
        sizes=AblationSettings(repeats, sizes, cells, minibatches, initialisations, seed),
        benchmark=benchmark,
        track=tracker(quiet),
        **settings,
    )
    write_parquet(table, out)

"""`untrained fronts`: the front of a score and the latency of each device, beside controls."""

from typing import Annotated

import typer

from untrained.cli import options
from untrained.cli.progress import results_only, tracker

Score = Annotated[
    str,
    typer.Option(
        help="Proxy or ensemble whose front is searched, spelled as log(naswot,parameters).",
        autocompletion=options.completed(options.PROXIES),
    ),
]


def fronts(
    space: options.Space,
    out: options.Out,
    score: Score = "log(jacobian_covariance,parameters-live)",
    cost: Annotated[
        list[str] | None,
        typer.Option(
            help="Cost on a device, spelled as latency[raspi4]; repeatable. Default: all known."
        ),
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(help="Proxy or ensemble to compare the score with; repeatable."),
    ] = None,
    predictor: Annotated[
        str | None,
        typer.Option(help="Proxy that stands for every cost in one more control."),
    ] = None,
    dataset: Annotated[
        str,
        typer.Option(
            help="Data set of the networks whose costs count.",
            autocompletion=options.completed(options.DATASETS),
        ),
    ] = "cifar10",
    images: Annotated[
        str | None,
        typer.Option(help="Data set of the images of the scores; default: that of the networks."),
    ] = None,
    evaluations: Annotated[
        int, typer.Option(help="Number of architectures that a run evaluates, each once.")
    ] = 300,
    runs: Annotated[int, typer.Option(help="Number of independent repetitions.")] = 10,
    seed: Annotated[
        int, typer.Option(help="Seed of all random choices.", callback=options.allowed)
    ] = 0,
    scores: options.Scores = None,
    devices: options.Devices = None,
    quiet: options.Quiet = False,
) -> None:
    """Search fronts of a score and the cost on each device.

    No accuracy is read. Beside the search by the score are random search, searches by the controls,
    a random number as the score, and a search to which the predictor is the cost. `untrained report
    section devices` holds all of them to the accuracies of a benchmark.
    """
    from untrained.files import write_parquet
    from untrained.search.device_fronts import device_fronts

    with results_only():
        table = device_fronts(
            space,
            score,
            costs=cost or (),
            controls=control or (),
            predictor=predictor,
            dataset=dataset,
            images=images,
            evaluations=evaluations,
            runs=runs,
            seed=seed,
            scores=scores,
            devices=devices,
            track=tracker(quiet),
        )
    write_parquet(table, out)

"""`untrained training-curves`: the tangent kernel and scores during a short training."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli import options
from untrained.cli.progress import results_only, teller, tracker

if TYPE_CHECKING:
    import pandas as pd

    from untrained.benchmarks.benchmark import Benchmark
    from untrained.scoring.request import Settings


@options.with_settings(batch_size=32)
def training_curves(
    context: typer.Context,
    space: options.Space,
    architectures: options.Architectures,
    settings: "Settings",
    epochs: Annotated[
        str,
        typer.Option(help="Numbers of epochs at which kernel and scores are read, between commas."),
    ] = "0,0.5,1,2",
    proxy: options.Proxies = None,
    kernel: Annotated[
        str,
        typer.Option(help="Tangent kernel that is followed, named by its parameters and its mode."),
    ] = "weights_without_classifier_train",
    seed: options.Seed = 0,
    seeds: options.Seeds = 1,
    benchmark: options.Benchmark = None,
    ledger: options.Ledger = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Parquet file to write.", dir_okay=False, callback=options.written),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Figure of the kernels to write; one as SVG and one as PNG are made.",
            dir_okay=False,
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Follow tangent kernel and scores during a short training.

    Everything is read on the minibatch, and the network is trained on the rest of the split, as for
    `lga@1`. The default proxies are those of the papers. The time of a kernel grows with the square
    of --batch-size. With --ledger, an interrupted command resumes after its last finished training.
    """
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.files import check_target, write_parquet

    stops = options.numbers("--epochs", epochs, float, "numbers", "0,0.5,2")
    chosen = options.seeds_from(seed, seeds)
    if figure is None:
        options.without_effect(context, "only --figure shows accuracies", "benchmark")
    drawn = []
    if figure is not None:  # a name may have other dots, as in kernels-lr0.5
        stem = figure.with_suffix("") if figure.suffix in (".svg", ".png") else figure
        drawn = [stem.with_name(stem.name + suffix) for suffix in (".svg", ".png")]
    for target in drawn:
        check_target(target)
    truth = Benchmark.load(space, path=benchmark) if drawn else None

    from untrained.scoring.execution import prepare_worker
    from untrained.scoring.training_curves import training_curves as run
    from untrained.spaces import get_space

    prepare_worker()
    with results_only():
        indices = [get_space(space).parse(text).index for text in architectures]
        table = run(
            space,
            indices,
            epochs=stops,
            proxies=proxy,
            kernel=kernel,
            seeds=chosen,
            ledger=ledger,
            save=None if out is None else lambda table: write_parquet(table, out),
            track=tracker(quiet),
            tell=teller(quiet),
            **settings,
        )
    if truth is not None:
        _draw(table, truth, drawn)
    if out is None or as_json:
        curves = [_curve(space, table, index, seed) for seed in chosen for index in indices]
        if as_json:
            typer.echo(json.dumps(curves, indent=1))
        else:
            for curve in curves:
                _print(curve)


def _curve(space: str, table: "pd.DataFrame", index: int, seed: int) -> dict[str, Any]:
    """Return one training as JSON; a value that is undefined is null."""
    from untrained.spaces import get_space

    own = table[(table["arch"] == index) & (table["seed"] == seed)]
    readings = own[["epochs", "quantity", "value", "status", "reason"]].to_dict("records")
    return {
        "architecture": index,
        "spelling": get_space(space)[index].spelling,
        "dataset": own["dataset"].iloc[0],
        "seed": seed,
        "readings": [one if one["status"] == "ok" else one | {"value": None} for one in readings],
    }


def _draw(table: "pd.DataFrame", truth: "Benchmark", targets: list[Path]) -> None:
    from untrained.report.inputs import splits_of
    from untrained.report.plotting import save
    from untrained.report.sections.training_curves import curve_table, kernel_curves
    from untrained.spaces import get_space

    splits = splits_of(truth.finals, get_space(truth.space).datasets)
    drawn = kernel_curves(curve_table(table, truth.accuracies, splits))
    for target in targets:
        save(drawn, target)


def _print(curve: dict[str, Any]) -> None:
    """Print a line per quantity and a column per stop; a status stands for an undefined value."""
    seed, readings = curve["seed"], curve["readings"]
    typer.echo(f"{curve['architecture']}  {curve['spelling']}")
    stops = list(dict.fromkeys(reading["epochs"] for reading in readings))
    lines: dict[str, dict[float, str]] = {}
    for reading in readings:
        text, value = reading["status"], reading["value"]
        if value is not None:
            text = f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
        lines.setdefault(reading["quantity"], {})[reading["epochs"]] = text
    first = max(map(len, [f"epochs (seed {seed})", *lines]))
    wide = max(10, *(len(text) for line in lines.values() for text in line.values()))
    head = "".join(f"  {stop:>{wide}g}" for stop in stops)
    typer.echo(f"  {f'epochs (seed {seed})':<{first}}{head}")
    for quantity, line in lines.items():
        cells = "".join(f"  {line.get(stop, ''):>{wide}}" for stop in stops)
        typer.echo(f"  {quantity:<{first}}{cells}")
    for reason in dict.fromkeys(reading["reason"] for reading in readings if reading["reason"]):
        typer.echo(f"  {reason}")

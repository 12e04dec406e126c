"""`untrained training-curves`: how the tangent kernel and scores move over a short training."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli import options
from untrained.cli.progress import track
from untrained.errors import ParameterError

if TYPE_CHECKING:
    import pandas as pd

    from untrained.benchmarks.benchmark import Benchmark
    from untrained.scoring.training_curves import Curve


def training_curves(
    space: options.Space,
    architectures: Annotated[
        list[str], typer.Argument(metavar="ARCH...", help="Indices or spellings.")
    ],
    epochs: Annotated[str, typer.Option(help="When to read, in epochs.")] = "0,0.5,1,2",
    proxy: Annotated[
        list[str] | None,
        typer.Option(help="`name` or `name-variant`; may be repeated. Default: those of the docs."),
    ] = None,
    kernel: Annotated[
        str, typer.Option(help="Parameters and mode of the kernel that is followed.")
    ] = "weights_without_classifier_train",
    dataset: options.Dataset = "cifar10",
    split: options.Split = "sample",
    seed: Annotated[int, typer.Option(help="Seed of minibatch, weights and training.")] = 0,
    seeds: Annotated[int, typer.Option(help="How many, from --seed on.")] = 1,
    batch_size: Annotated[
        int, typer.Option(help="Images per minibatch; the time of a kernel grows with its square.")
    ] = 32,
    augmentation: options.Augmentation = "none",
    sampling: options.Sampling = "uniform",
    benchmark: Annotated[Path | None, typer.Option(help="Benchmark table, for --figure.")] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    ledger: options.Ledger = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file to write.")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Figure of the kernels to write, as SVG and PNG.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Train architectures a little and follow their tangent kernel and scores.

    All is read on the minibatch; what is learned is the rest of the split (as `lga@1` does). With
    --ledger a command that was interrupted resumes with the training that it was at.
    """
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.files import check_target, write_parquet

    if seeds < 1:
        raise ParameterError(f"--seeds {seeds}: 1 or more")
    stops = parse_epochs_list(epochs)
    drawn = [] if figure is None else [figure.with_suffix(suffix) for suffix in (".svg", ".png")]
    for target in [*drawn, *([] if out is None else [out])]:
        check_target(target)
    truth = Benchmark.load(space, path=benchmark) if drawn else None

    from untrained.api import training_curves as run
    from untrained.scoring.execution import prepare_worker
    from untrained.scoring.training_curves import curve_table

    prepare_worker()
    curves = run(
        space,
        architectures,
        epochs=stops,
        proxies=proxy,
        kernel=kernel,
        seeds=range(seed, seed + seeds),
        ledger=ledger,
        save=None if out is None else lambda table: write_parquet(table, out),
        track=track,
        tell=options.tell,
        **options.settings(
            dataset, split, batch_size, augmentation, sampling, device, precision=precision
        ),
    )
    if truth is not None:
        _draw(curve_table(dataset, curves), truth, drawn)
    if as_json:
        typer.echo(json.dumps(_objects(space, dataset, curves), indent=1))
    elif out is None:
        for one in _objects(space, dataset, curves):
            typer.echo(f"{one['architecture']}  {one['spelling']}")
            _print(one["seed"], one["readings"])


def parse_epochs_list(text: str) -> tuple[float, ...]:
    """The numbers of epochs of `0,0.5,2`.

    Raises:
        ParameterError: something that is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ParameterError(f"--epochs {text!r}: numbers between commas, as in 0,0.5,2") from error


def _objects(space: str, dataset: str, curves: "list[Curve]") -> list[dict[str, Any]]:
    from untrained.spaces import get_space

    return [
        {
            "architecture": curve.arch,
            "spelling": get_space(space)[curve.arch].spelling,
            "dataset": dataset,
            "seed": curve.seed,
            "readings": [asdict(point) for point in curve.points],
        }
        for curve in curves
    ]


def _draw(table: "pd.DataFrame", truth: "Benchmark", targets: list[Path]) -> None:
    from untrained.report.inputs import splits_of
    from untrained.report.plotting import save
    from untrained.report.sections.training_curves import curve_table, kernel_curves
    from untrained.spaces import get_space

    splits = splits_of(truth.finals, get_space(truth.space).datasets)
    drawn = kernel_curves(curve_table(table, truth.accuracies, splits))
    for target in targets:
        save(drawn, target)


def _print(seed: int, readings: list[dict[str, Any]]) -> None:
    """Print a line per quantity, a column per stop; a status instead of a value that is not."""
    stops = list(dict.fromkeys(reading["epochs"] for reading in readings))
    lines: dict[str, dict[float, str]] = {}
    for reading in readings:
        value = math.nan if reading["value"] is None else reading["value"]
        text = f"{value:.4g}" if reading["status"] == "ok" else reading["status"]
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

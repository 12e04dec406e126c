"""`untrained evolve`: how the tangent kernel and scores move over a short training."""

import json
import math
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from untrained.benchmarks.benchmark import Benchmark
    from untrained.scoring.evolutions import Reading
    from untrained.spaces import Architecture

EVOLUTION_COLUMNS = [
    *("dataset", "arch", "seed", "epochs", "quantity", "value", "status", "reason"),
]

#: Those of the papers; all but the first share the kernel that is followed by default.
_PROXIES = (
    "naswot",
    "lga",
    "kernel_target_alignment",
    *(
        f"{name}-weights_without_classifier_train"
        for name in ("ntk_condition_number", "ntk_frobenius_norm", "ntk_mean")
    ),
)


def evolve(
    space: Annotated[str, typer.Argument(help="Search space.")],
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
    dataset: Annotated[str, typer.Option(help="Whose images are shown.")] = "cifar10",
    split: Annotated[str, typer.Option(help="Of the data set.")] = "sample",
    seed: Annotated[int, typer.Option(help="Of minibatch, weights and training.")] = 0,
    seeds: Annotated[int, typer.Option(help="How many, from --seed on.")] = 1,
    batch_size: Annotated[
        int, typer.Option(help="Images per minibatch; the time of a kernel grows with its square.")
    ] = 32,
    augmentation: Annotated[str, typer.Option(help="none or crop-flip.")] = "none",
    sampling: Annotated[str, typer.Option(help="Of images: uniform, or balanced by class.")] = (
        "uniform"
    ),
    benchmark: Annotated[Path | None, typer.Option(help="Benchmark table, for --figure.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0, ...")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    journal: Annotated[
        Path | None,
        typer.Option(help="Folder for what an interrupted evolution has read."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Parquet file to write.")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Figure of the kernels to write, as SVG and PNG.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list.")] = False,
) -> None:
    """Train architectures a little and follow their tangent kernel and scores.

    All is read on the minibatch; what is learned is the rest of the split (as `lga@1` does). With
    --journal an evolution that was interrupted goes on with the training that it was at.
    """
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.errors import ParameterError
    from untrained.files import check_target, write_parquet
    from untrained.images.sets import image_set
    from untrained.images.splits import check_training_split
    from untrained.proxies import get_proxy, spelling_of
    from untrained.scoring.devices import leased_device
    from untrained.scoring.engine import MinibatchSettings
    from untrained.scoring.evolution_journal import opened_evolution
    from untrained.scoring.evolutions import Evolution
    from untrained.scoring.evolutions import evolve as run
    from untrained.scoring.execution import Execution, prepare_worker
    from untrained.scoring.journal import journal_settings
    from untrained.spaces import get_space

    searched = get_space(space)
    parsed = [searched.parse(text) for text in architectures]
    if len({one.index for one in parsed}) < len(parsed):
        raise ParameterError(f"{' '.join(architectures)}: an architecture is named twice")
    asked = Evolution(
        parse_epochs_list(epochs), tuple(map(get_proxy, proxy or _PROXIES)), kernel=kernel
    )
    if seeds < 1:
        raise ParameterError(f"--seeds {seeds}: 1 or more")
    split = image_set(dataset).split(split)
    image_set(dataset).check_split(split)
    check_training_split(dataset, split)
    drawn = [] if figure is None else [figure.with_suffix(suffix) for suffix in (".svg", ".png")]
    for target in [*drawn, *([] if out is None else [out])]:
        check_target(target)
    truth = Benchmark.load(space, path=benchmark) if drawn else None
    settings = MinibatchSettings(dataset, split, batch_size, augmentation, sampling)
    prepare_worker()
    with leased_device(device) as where, ExitStack() as stack:
        execution = Execution(where, precision=precision)
        names = list(map(spelling_of, asked.proxies))
        own = {
            "space": space,
            # two jobs at once write two journals
            "architectures": [one.index for one in parsed],
            "seeds": [seed, seeds],
            "kernel": kernel,
            "epochs": list(asked.epochs),
            "precision": precision,
            "device": where.type,
            "type": str(execution.dtype(planned=True)),
        }
        everything = {} if journal is None else journal_settings(names, settings, own)
        kept = stack.enter_context(opened_evolution(journal, everything))
        trainings = [(one, number) for number in range(seed, seed + seeds) for one in parsed]
        if before := sum((one.index, number) in kept.done for one, number in trainings):
            typer.echo(f"{before} of {len(trainings)} trainings were followed before", err=True)
        for one, number in trainings:
            if (one.index, number) not in kept.done:
                watch = partial(_watch, f"training {one.index}, seed {number}")
                (readings,) = run(searched, [one.index], asked, settings, number, execution, watch)
                kept.add(one.index, number, readings)
        found = [(one, number, kept.done[one.index, number]) for one, number in trainings]
        table = _table(dataset, found)
        if out is not None:
            write_parquet(table, out)
            kept.remove()
    if truth is not None:
        _draw(table, truth, drawn)
    if as_json:
        typer.echo(json.dumps(_objects(dataset, found), indent=1))
    elif out is None:
        for one, number, readings in found:
            typer.echo(f"{one.index}  {one.spelling}")
            _say(number, readings)


def parse_epochs_list(text: str) -> tuple[float, ...]:
    """(0, 0.5, 2) of "0,0.5,2".

    Raises:
        ParameterError: something that is no number.
    """
    from untrained.errors import ParameterError

    found = []
    for part in text.split(","):
        try:
            found.append(float(part))
        except ValueError as error:
            raise ParameterError(
                f"--epochs {text!r}: numbers between commas, as in 0,0.5,2"
            ) from error
    return tuple(found)


def _watch(what: str, steps: "Iterable[int]", count: int) -> "Iterable[int]":
    from untrained.cli.progress import track

    return track(steps, count, what, "steps")


def _table(dataset: str, found: "list[tuple[Architecture, int, list[Reading]]]") -> "pd.DataFrame":
    """One row per reading with `EVOLUTION_COLUMNS`, cell by cell, seed by seed, in order."""
    import pandas as pd

    rows = [
        (dataset, one.index, seed, r.epochs, r.quantity, r.value, r.status, r.reason)
        for one, seed, readings in sorted(found, key=lambda run: (run[0].index, run[1]))
        for r in readings
    ]
    return pd.DataFrame(rows, columns=EVOLUTION_COLUMNS).astype(
        {"dataset": "str", "arch": "int64", "seed": "int64", "epochs": "float64"}
        | {"quantity": "str", "value": "float64", "status": "str", "reason": "str"}
    )


def _objects(
    dataset: str, found: "list[tuple[Architecture, int, list[Reading]]]"
) -> list[dict[str, object]]:
    return [
        {
            "architecture": one.index,
            "spelling": one.spelling,
            "dataset": dataset,
            "seed": seed,
            "readings": [asdict(reading) for reading in readings],
        }
        for one, seed, readings in found
    ]


def _draw(table: "pd.DataFrame", truth: "Benchmark", targets: list[Path]) -> None:
    from untrained.report.plotting import save
    from untrained.report.sections.training_curves import curve_table, kernel_curves

    drawn = kernel_curves(curve_table(table, truth.accuracies))
    for target in targets:
        save(drawn, target)


def _say(seed: int, readings: "list[Reading]") -> None:
    """A line per quantity, a column per stop; a status in the place of what has no value."""
    stops = list(dict.fromkeys(reading.epochs for reading in readings))
    lines: dict[str, dict[float, str]] = {}
    for reading in readings:
        value = math.nan if reading.value is None else reading.value
        text = f"{value:.4g}" if reading.status == "ok" else reading.status
        lines.setdefault(reading.quantity, {})[reading.epochs] = text
    first = max(map(len, [f"epochs (seed {seed})", *lines]))
    wide = max(10, *(len(text) for line in lines.values() for text in line.values()))
    head = "".join(f"  {stop:>{wide}g}" for stop in stops)
    typer.echo(f"  {f'epochs (seed {seed})':<{first}}{head}")
    for quantity, line in lines.items():
        cells = "".join(f"  {line.get(stop, ''):>{wide}}" for stop in stops)
        typer.echo(f"  {quantity:<{first}}{cells}")
    for reason in dict.fromkeys(reading.reason for reading in readings if reading.reason):
        typer.echo(f"  {reason}")

"""`untrained measure`: time networks on this machine, as a table of a device."""

import json
from pathlib import Path
from typing import Annotated

import typer

from untrained.cli import options
from untrained.cli.progress import results_only, tell, teller, tracker


def measure(
    candidates: Annotated[
        list[str],
        typer.Argument(
            metavar="CANDIDATE...",
            help="Networks: module:factory, timm:NAME, torchvision:NAME or space/architecture.",
        ),
    ],
    shape: Annotated[
        str | None,
        typer.Option("--input", help="Shape CxHxW of an image; default: that of the data set."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set of which architectures of spaces have the classes; default: cifar10.",
            autocompletion=options.completed(options.DATASETS),
        ),
    ] = None,
    device: options.Device = "cpu",
    batch_size: Annotated[int, typer.Option(help="Number of images that are run at once.")] = 1,
    threads: Annotated[
        int | None, typer.Option(help="Number of threads on the CPU; default: 1.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Seconds that each network is timed.")] = 1.0,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the device, as in latency[NAME]; default: that of the processor or card."
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes of networks of timm and torchvision.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Parquet file that measurements are added to, for --devices-table.",
            dir_okay=False,
            callback=options.written,
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure the latency of networks on this machine.

    The median over many runs is printed, with its 95 % interval. The exit code is 1 where a network
    failed.
    """
    from untrained.scoring import measuring

    with results_only():
        table = measuring.measure(
            candidates,
            shape,
            dataset=dataset,
            batch_size=batch_size,
            device=device,
            threads=threads,
            seconds=seconds,
            name=name,
            classes=classes,
            out=out,
            track=tracker(quiet),
            tell=teller(quiet),
        )
    failed = table.attrs["failed"]
    if as_json:
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        typer.echo(json.dumps(rows, indent=1))
    else:
        first, width = table.iloc[0], max(map(len, table["candidate"]))
        typer.echo(
            f"latency[{first['device']}]: {first['machine']}, batch size {first['batch_size']}, "
            f"{first['threads']} thread(s), images of {first['input']}; median and its 95 % "
            "interval"
        )
        for row in table.to_dict("records"):
            found = f"{row['value']:.4g} ms [{row['low']:.4g}, {row['high']:.4g}]"
            found = failed.get(row["candidate"], found)
            typer.echo(f"{row['candidate']:{width}}  {found}")
    if failed:
        tell(f"untrained: failed: {', '.join(failed)}")
        raise typer.Exit(1)

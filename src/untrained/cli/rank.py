"""`untrained rank`: rank networks of one's own, and architectures of spaces, by proxies."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli import debugging, options
from untrained.cli.progress import results_only, tell, tracker

if TYPE_CHECKING:
    import pandas as pd

    from untrained.scoring.request import RankSettings

#: Parameters besides the settings that scores depend on.
_MEASURED = ("shape", "images", "seed", "seeds", "classes", "loss", "forward", "output")


@options.with_settings(without=("dataset", "engine"))
def rank(
    context: typer.Context,
    candidates: Annotated[
        list[str],
        typer.Argument(
            metavar="CANDIDATE...",
            help="Networks: module:factory, timm:NAME, torchvision:NAME or space/architecture.",
        ),
    ],
    settings: "RankSettings",
    proxy: options.RankingProxies = None,
    shape: Annotated[
        str | None,
        typer.Option("--input", help="Shape CxHxW of the images; default: that of the images."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(
            help="Name of a data set, `noise`, or a folder that has a folder of pictures for each "
            "class. Default: the sample of cifar10, or noise where --input has not 3 channels."
        ),
    ] = None,
    seed: options.Seed = 0,
    seeds: options.Seeds = 3,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes of networks of timm and torchvision.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="Address of loss(outputs, labels), for the proxies that need a loss: see "
            "`untrained list proxies`."
        ),
    ] = None,
    forward: Annotated[
        str | None, typer.Option(help="Address of forward(network, images), which runs a network.")
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Address of output(outputs), which picks the logits.")
    ] = None,
    where: options.Where = None,
    devices: options.Devices = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    html: Annotated[
        Path | None,
        typer.Option(
            help="HTML file to write besides: an interactive page of the scores.",
            dir_okay=False,
            callback=options.written,
        ),
    ] = None,
) -> None:
    """Rank networks of your own before any is trained.

    The exit code is 1 where a network failed or did not fit into the memory: its rows say why.
    """
    from untrained.errors import ParameterError

    if as_json and as_csv:
        raise ParameterError("--json and --csv: take one of the two")
    chosen = options.seeds_from(seed, seeds)

    from untrained import api
    from untrained.scoring.candidates import check_classes
    from untrained.scoring.own import load_factory

    check_classes(classes, candidates)
    with results_only():
        options.warn_of_test_labels(proxy or [])
        named = {"loss": loss, "forward": forward, "output": output}
        functions: dict[str, Any] = {
            name: load_factory(address) for name, address in named.items() if address is not None
        }
        table = api.rank(
            candidates,
            proxy or ["naswot"],
            shape,
            images,
            chosen,
            classes=classes,
            where=where,
            devices=devices,
            debug=debugging(),
            track=tracker(quiet),
            **functions,
            **settings,
        )
    for name, reason in table.attrs["left_out"].items():
        tell(f"left out: {name}: {reason}")
    if as_json:
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        typer.echo(json.dumps(rows, indent=1))
    elif as_csv:
        typer.echo(table.to_csv(index=False), nl=False)
    else:
        _print(table, len(chosen))
    if html is not None:
        from untrained.files import atomic
        from untrained.report.explorer import ranking_page

        with atomic(html) as part:
            part.write_text(ranking_page(table, options.words_of(context, *settings, *_MEASURED)))
    failed = table.loc[table["status"].isin(("failed", "out_of_memory")), "candidate"].unique()
    if len(failed):
        tell(f"untrained: failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _print(table: "pd.DataFrame", seeds: int) -> None:
    count = f"{seeds} seed" if seeds == 1 else f"mean ± standard deviation over {seeds} seeds"
    typer.echo(f"{table.attrs['images']}; {count}")
    width = max(map(len, table["candidate"]))
    for proxy, rows in table.groupby("proxy", sort=False):
        typer.echo(f"{proxy} ({rows['direction'].iloc[0]} is better)")
        for row in rows.to_dict("records"):
            place, found = "", f"{row['status']}: {row['reason']}"
            if row["status"] == "ok":
                place, found = str(row["rank"]), options.number(row["score"])
                found += "" if math.isnan(row["std"]) else f" ± {options.number(row['std'])}"
                found += f"  {row['seconds']:.2f} s"
            typer.echo(f"{place:>4}  {row['candidate']:{width}}  {found}")

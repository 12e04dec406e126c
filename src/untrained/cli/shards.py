"""`untrained shard` and `untrained merge`: score a space in shards, and merge their tables."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from untrained.cli import options
from untrained.cli.progress import teller, tracker
from untrained.files import read_bounded, reading
from untrained.scoring.columns import SCORE_TYPES, SECONDS

if TYPE_CHECKING:
    import pandas as pd

    from untrained.scoring.request import Settings


@options.with_settings(dataset=...)
def shard(
    context: typer.Context,
    space: options.Space,
    proxy: Annotated[
        list[str],
        typer.Option(
            help="Proxy, spelled `name`, `name-variant` or `name@epochs` of training; repeatable.",
            autocompletion=options.completed(options.PROXIES),
        ),
    ],
    settings: "Settings",
    seed: options.Seed,
    out: options.Out,
    shard: options.Shard = 0,
    shards: options.Shards = 1,
    architectures: Annotated[
        str, typer.Option(help="Number of architectures to draw at random, or `all`.")
    ] = "all",
    sample_seed: Annotated[
        int, typer.Option(help="Seed by which architectures are drawn.", callback=options.allowed)
    ] = 0,
    among: Annotated[
        Path | None,
        typer.Option(
            help="Benchmark table whose architectures are drawn from; default: the whole space.",
            dir_okay=False,
        ),
    ] = None,
    share: Annotated[
        bool,
        typer.Option(
            help="Score one architecture of each class that computes the same function, for all of "
            "its members."
        ),
    ] = False,
    ledger: options.Ledger = None,
    seconds: Annotated[
        bool,
        typer.Option(help="Write the seconds of each score too, which vary between runs."),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Score one shard of a space and write it as parquet.

    With --ledger, a shard that was interrupted resumes after its last finished architecture when
    the command is run again.
    """
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.files import write_parquet

    if architectures == "all":
        options.without_effect(context, "none is drawn where all are scored", "sample_seed")
    options.warn_of_test_labels(proxy)
    known = None if among is None else Benchmark.read(among, space)

    from untrained.scoring.execution import prepare_worker
    from untrained.scoring.shards import score_space

    prepare_worker()
    score_space(
        space,
        proxy,
        seed=seed,
        architectures=architectures,
        sample_seed=sample_seed,
        shard=shard,
        shards=shards,
        among=known,
        share=share,
        ledger=ledger,
        save=lambda table: write_parquet(table if seconds else table.drop(columns=SECONDS), out),
        track=tracker(quiet),
        tell=teller(quiet),
        **settings,
    )


#: The most bytes of a list of shards.
LARGEST_LIST = 64 << 20


def merge(
    shards: Annotated[
        list[Path] | None,
        typer.Argument(help="Parquet files of the shards, in any order.", dir_okay=False),
    ] = None,
    out: options.Out = ...,  # type: ignore[assignment] # how Typer spells a required option
    listed: Annotated[
        Path | None,
        typer.Option(
            "--list", help="File that has the path of a shard in each line.", dir_okay=False
        ),
    ] = None,
    ensemble: Annotated[
        list[str] | None,
        typer.Option(
            help="Ensemble of scored proxies to add, spelled log(naswot,parameters) or by its "
            "name; repeatable."
        ),
    ] = None,
) -> None:
    """Merge score shards into one sorted table.

    Ensembles are added here, since they rank all that was scored.
    """
    from untrained.files import write_parquet
    from untrained.scoring.shards import merge_shards

    paths = [*(shards or []), *([] if listed is None else _listed(listed))]
    write_parquet(merge_shards(map(_read_shard, paths), ensemble or []), out)


def _listed(path: Path) -> list[Path]:
    with reading(f"--list {path} is no list of files", "write the path of a shard in each line"):
        lines = read_bounded(path, LARGEST_LIST).decode().splitlines()
    return [Path(line.strip()) for line in lines if line.strip()]


def _read_shard(path: Path) -> "pd.DataFrame":
    from untrained.files import read_parquet

    read_parquet(path, SCORE_TYPES)  # raises if a column is missing; there may be more
    return read_parquet(path)

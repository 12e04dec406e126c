"""`untrained shard` and `untrained merge`: the scores of a space, piece by piece."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from untrained.cli import options
from untrained.cli.progress import track
from untrained.errors import DamagedFileError, MissingDataError, ParameterError
from untrained.scoring.columns import SCORE_COLUMNS, SECONDS

if TYPE_CHECKING:
    import pandas as pd


def shard(
    space: options.Space,
    proxy: Annotated[
        list[str], typer.Option(help="`name`, `name-variant` or `name@epochs`; repeatable.")
    ],
    dataset: options.Dataset,
    seed: options.Seed,
    out: options.Out,
    shard: options.Shard = 0,
    shards: options.Shards = 1,
    architectures: Annotated[str, typer.Option(help="A number drawn at random, or `all`.")] = "all",
    sample_seed: Annotated[int, typer.Option(help="Seed of the draw of architectures.")] = 0,
    among: Annotated[
        Path | None,
        typer.Option(help="Benchmark table: draw from the architectures that it knows."),
    ] = None,
    share: Annotated[
        bool, typer.Option(help="Score one of each class that computes the same function.")
    ] = False,
    split: options.Split = "sample",
    batch_size: options.BatchSize = 128,
    augmentation: options.Augmentation = "none",
    sampling: options.Sampling = "uniform",
    device: options.Device = "auto",
    engine: options.Engine = "auto",
    precision: options.Precision = "auto",
    ledger: options.Ledger = None,
    seconds: Annotated[
        bool, typer.Option(help="Also write what each score took, which no two runs share.")
    ] = False,
) -> None:
    """Score one shard of a space and write it as parquet.

    With --ledger a shard that was interrupted resumes with the architecture that it was at when it
    is asked for again.
    """
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.files import write_parquet
    from untrained.spaces import get_space

    size = len(get_space(space))
    options.warn_of_test_labels(proxy)
    known = None
    if among is not None:
        truth = Benchmark.read(among, space)
        truth.check_within(size)
        known = truth.known

    from untrained.api import score_space
    from untrained.scoring.execution import prepare_worker

    prepare_worker()
    columns = [*SCORE_COLUMNS, *([SECONDS] if seconds else [])]
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
        save=lambda table: write_parquet(table[columns], out),
        track=track,
        tell=options.tell,
        **options.settings(
            dataset, split, batch_size, augmentation, sampling, device, engine, precision
        ),
    )


def merge(
    shards: Annotated[list[Path] | None, typer.Argument(help="Shards, in any order.")] = None,
    out: options.Out = ...,  # type: ignore[assignment] # how Typer spells a required option
    listed: Annotated[
        Path | None, typer.Option("--list", help="File with the path of a shard in each line.")
    ] = None,
) -> None:
    """Merge score shards into one sorted table."""
    import pandas as pd

    from untrained.files import write_parquet

    key = ["proxy", "dataset", "seed", "arch"]
    paths = [*(shards or []), *([] if listed is None else _listed(listed))]
    if not paths:
        raise ParameterError("no shards to merge: name their files, or a --list of them")
    table = pd.concat([_read_shard(path) for path in paths], ignore_index=True)
    if (twice := table.duplicated(key)).any():
        first = table.loc[twice, key].iloc[0].to_dict()
        raise DamagedFileError(f"the shards score {first} twice: remove stale shards")
    columns = [*SCORE_COLUMNS, *([SECONDS] if SECONDS in table else [])]
    write_parquet(table.sort_values(key, ignore_index=True)[columns], out)


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise MissingDataError(f"--list {path} can't be read: {error}") from error
    return [Path(line.strip()) for line in lines if line.strip()]


def _read_shard(path: Path) -> "pd.DataFrame":
    from untrained.files import read_parquet

    try:
        read_parquet(path, SCORE_COLUMNS)  # has them all, and may have more
        return read_parquet(path)
    except DamagedFileError as error:
        if not path.is_symlink():
            raise
        # Snakemake's output cache would bring the damaged file back
        raise DamagedFileError(f"{error}; it is a link, delete {path.resolve()} too") from error

"""`untrained shard` and `untrained merge`: the scores of a space, piece by piece."""

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from untrained.scoring.engine import Score
    from untrained.scoring.journal import Journal

SCORE_TYPES = {
    "arch": "int32",
    "proxy": "str",
    "dataset": "str",
    "seed": "int64",
    "score": "float64",
    "status": "str",
}
SCORE_COLUMNS = list(SCORE_TYPES)
#: Of what a score took, where that was asked for.
SECONDS = "seconds"


def shard(
    space: Annotated[str, typer.Argument(help="Search space.")],
    proxy: Annotated[
        list[str], typer.Option(help="`name`, `name-variant` or `name@epochs`; repeatable.")
    ],
    dataset: Annotated[str, typer.Option(help="Whose images the networks are shown.")],
    seed: Annotated[int, typer.Option(help="Of minibatch and weights.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    shard: Annotated[int, typer.Option(help="Which piece, from 0.")] = 0,
    shards: Annotated[int, typer.Option(help="Into how many pieces the work is cut.")] = 1,
    architectures: Annotated[str, typer.Option(help="A number drawn at random, or `all`.")] = "all",
    sample_seed: Annotated[int, typer.Option(help="Of the draw of architectures.")] = 0,
    among: Annotated[
        Path | None,
        typer.Option(help="Benchmark table: draw from the architectures that it knows."),
    ] = None,
    share: Annotated[
        bool, typer.Option(help="Score one of each class that computes the same function.")
    ] = False,
    split: Annotated[str, typer.Option(help="Of the data set.")] = "sample",
    batch_size: Annotated[int, typer.Option(help="Images per minibatch.")] = 128,
    augmentation: Annotated[str, typer.Option(help="none or crop-flip.")] = "none",
    sampling: Annotated[str, typer.Option(help="Of images: uniform, or balanced by class.")] = (
        "uniform"
    ),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda:0, ...")] = "auto",
    engine: Annotated[str, typer.Option(help="auto, plain or fast.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    journal: Annotated[
        Path | None,
        typer.Option(help="Folder for what an interrupted shard has scored."),
    ] = None,
    seconds: Annotated[
        bool, typer.Option(help="Also write what each score took, which no two runs share.")
    ] = False,
) -> None:
    """Score one shard of a space and write it as parquet.

    With --journal a shard that was interrupted goes on with the architecture that it was at when it
    is asked for again.
    """
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.proxies import get_proxy, spelling_of
    from untrained.scoring.shards import ShardSettings, scored_for, shard_indices, work_of
    from untrained.spaces import get_space

    searched = get_space(space)
    # naswot and naswot@0 are one
    chosen = list({spelling_of(by): by for by in map(get_proxy, proxy)}.values())
    settings = ShardSettings(architectures, sample_seed, shard, shards, share)
    known = None
    if among is not None:
        truth = Benchmark.read(among, space)
        truth.check_within(len(searched))
        known = truth.known
    indices = shard_indices(searched, settings, known)
    work = work_of(searched, indices, chosen, share=share)

    import pandas as pd

    from untrained.cli.progress import track
    from untrained.files import digest, write_parquet
    from untrained.images.sets import image_set
    from untrained.scoring.devices import leased_device
    from untrained.scoring.engine import MinibatchSettings, score_work
    from untrained.scoring.execution import Execution, prepare_worker
    from untrained.scoring.journal import journal_settings, opened_journal

    warn_of_test_labels([*map(spelling_of, chosen)])
    prepare_worker()
    split = image_set(dataset).split(split)
    minibatches = MinibatchSettings(dataset, split, batch_size, augmentation, sampling)
    with leased_device(device) as where, ExitStack() as stack:
        execution = Execution(where, engine, precision)
        title = f"{space}/{dataset}/{'+'.join(proxy)}/seed{seed} on {where}"
        kept: Journal | None = None
        found: dict[int, dict[str, Score]] = {}
        if journal is not None:
            names = list(map(spelling_of, chosen))
            run = asdict(settings) | {
                "space": space,
                "seed": seed,
                "among": None if among is None else digest(among, "sha256"),
                "engine": engine,
                "precision": precision,
                "device": where.type,
                "type": str(execution.dtype(planned=True)),
            }
            everything = journal_settings(names, minibatches, run)
            kept = stack.enter_context(opened_journal(journal, everything))
            _say_what_is_kept(kept, len(work), title)
            found |= kept.done
        left = {index: whom for index, whom in work.items() if index not in found}
        scores = score_work(searched, left.items(), minibatches, seed, execution)
        for index, made in zip(left, track(scores, len(left), title), strict=True):
            found[index] = dict(zip(map(spelling_of, left[index]), made, strict=True))
            if kept is not None:
                kept.add(index, found[index])
        scored = [
            (index, spelling_of(by), dataset, seed, one.score, one.status, one.seconds)
            for by in chosen
            for owners in [scored_for(searched, by, share=share)]
            for index in indices
            for one in [found[int(owners[index])][spelling_of(by)]]
        ]
        table = pd.DataFrame(scored, columns=[*SCORE_COLUMNS, SECONDS]).astype(SCORE_TYPES)
        write_parquet(table if seconds else table[SCORE_COLUMNS], out)
        if kept is not None:
            kept.remove()


def warn_of_test_labels(proxies: list[str]) -> None:
    """Say on standard error which of the spelled proxies are read on test labels."""
    from untrained.proxies import shows_test

    if leaking := [spelling for spelling in proxies if shows_test(spelling)]:
        typer.echo(f"warning: {', '.join(leaking)} reads the labels of test images", err=True)


def _say_what_is_kept(kept: "Journal", total: int, title: str) -> None:
    for path, names in kept.others.items():
        typer.echo(f"{path} is of other scores of this shard ({', '.join(names)}): left", err=True)
    if kept.done:
        typer.echo(
            f"{title}: {len(kept.done)} of {total} architectures were scored before", err=True
        )


def merge(
    shards: Annotated[list[Path], typer.Argument(help="Shards, in any order.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
) -> None:
    """Merge score shards into one sorted table."""
    import pandas as pd

    from untrained.errors import DamagedFileError
    from untrained.files import write_parquet

    key = ["proxy", "dataset", "seed", "arch"]
    table = pd.concat([_read_shard(path) for path in shards], ignore_index=True)
    if (twice := table.duplicated(key)).any():
        first = table.loc[twice, key].iloc[0].to_dict()
        raise DamagedFileError(f"the shards score {first} twice: remove stale shards")
    columns = [*SCORE_COLUMNS, *([SECONDS] if SECONDS in table else [])]
    write_parquet(table.sort_values(key, ignore_index=True)[columns], out)


def _read_shard(path: Path) -> "pd.DataFrame":
    from untrained.errors import DamagedFileError
    from untrained.files import read_parquet

    try:
        read_parquet(path, SCORE_COLUMNS)  # has them all, and may have more
        return read_parquet(path)
    except DamagedFileError as error:
        if not path.is_symlink():
            raise
        # Snakemake's output cache would bring the damaged file back
        raise DamagedFileError(f"{error}; it is a link, delete {path.resolve()} too") from error

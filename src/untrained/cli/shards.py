"""`untrained shard` and `untrained merge`: the scores of a space, piece by piece."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

SCORE_TYPES = {
    "arch": "int32",
    "proxy": "str",
    "dataset": "str",
    "seed": "int64",
    "score": "float64",
    "status": "str",
}
SCORE_COLUMNS = list(SCORE_TYPES)


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
) -> None:
    """Score one shard of a space and write it as parquet."""
    from untrained.proxies import get_proxy, spelling_of
    from untrained.scoring.shards import ShardSettings, scored_for, shard_indices, work_of
    from untrained.spaces import get_space

    searched, chosen = get_space(space), [get_proxy(spelling) for spelling in dict.fromkeys(proxy)]
    settings = ShardSettings(architectures, sample_seed, shard, shards, share)
    indices = shard_indices(searched, settings)
    work = work_of(searched, indices, chosen, share=share)

    import pandas as pd

    from untrained.cli.progress import track
    from untrained.files import write_parquet
    from untrained.images.sets import image_set
    from untrained.scoring.devices import leased_device
    from untrained.scoring.engine import MinibatchSettings, score_work
    from untrained.scoring.execution import Execution, prepare_worker

    prepare_worker()
    split = image_set(dataset).split(split)
    minibatches = MinibatchSettings(dataset, split, batch_size, augmentation, sampling)
    with leased_device(device) as where:
        execution = Execution(where, engine, precision)
        scores = score_work(searched, work.items(), minibatches, seed, execution)
        title = f"{space}/{dataset}/{'+'.join(proxy)}/seed{seed} on {where}"
        found = {
            (index, spelling_of(by)): score
            for (index, whom), scored in zip(
                work.items(), track(scores, len(work), title), strict=True
            )
            for by, score in zip(whom, scored, strict=True)
        }
    scored = [
        (index, spelling_of(by), dataset, seed, one.score, one.status)
        for by in chosen
        for owners in [scored_for(searched, by, share=share)]
        for index in indices
        for one in [found[int(owners[index]), spelling_of(by)]]
    ]
    write_parquet(pd.DataFrame(scored, columns=SCORE_COLUMNS).astype(SCORE_TYPES), out)


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
    write_parquet(table.sort_values(key, ignore_index=True)[SCORE_COLUMNS], out)


def _read_shard(path: Path) -> "pd.DataFrame":
    from untrained.errors import DamagedFileError
    from untrained.files import read_parquet

    try:
        return read_parquet(path, SCORE_COLUMNS)
    except DamagedFileError as error:
        if not path.is_symlink():
            raise
        # Snakemake's output cache would bring the damaged file back
        raise DamagedFileError(f"{error}; it is a link, delete {path.resolve()} too") from error

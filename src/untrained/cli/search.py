"""`untrained search`: run a search on cached scores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from untrained.cli.shards import SCORE_COLUMNS
from untrained.files import BENCHMARKS, SCORES

if TYPE_CHECKING:
    import pandas as pd

    from untrained.search.pool import Pool


def search(
    algorithm: Annotated[str, typer.Argument(help="`name` or `name-samples`: naswot-1000.")],
    space: Annotated[str, typer.Argument(help="Search space.")],
    dataset: Annotated[str, typer.Option(help="Whose scores guide the search.")] = "cifar10",
    proxy: Annotated[str, typer.Option(help="`name` or `name-variant`.")] = "naswot",
    runs: Annotated[int, typer.Option(help="Independent repetitions.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    seconds_per_score: Annotated[float, typer.Option(help="Simulated cost of a score.")] = 0.3,
    benchmark: Annotated[Path | None, typer.Option(help="Benchmark table.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Merged scores.")] = None,
    out: Annotated[Path | None, typer.Option(help="Trace to write (parquet).")] = None,
) -> None:
    """Run a search on cached scores and write its trace.

    Where too few architectures are scored for what a run draws, the trace stays empty.
    """
    from untrained.errors import ParameterError
    from untrained.files import write_parquet
    from untrained.images.sets import image_set
    from untrained.search import ALGORITHMS, parse_algorithm
    from untrained.search.pool import can_answer, empty_trace
    from untrained.spaces import get_space

    name, samples = parse_algorithm(algorithm)
    image_set(dataset)
    if runs < 1:
        raise ParameterError(f"{runs} runs: 1 or more")
    if not seconds_per_score >= 0:
        raise ParameterError(f"--seconds-per-score {seconds_per_score}: 0 or more")
    pool = _pool(
        space,
        dataset,
        proxy,
        benchmark or BENCHMARKS / f"{space}.parquet",
        scores or SCORES / f"{space}.parquet",
        seconds_per_score,
        whole_space=name != "naswot",
    )
    known = len(pool.architectures)
    if not can_answer(known, len(get_space(space)), samples):
        typer.echo(f"{known} architectures can't answer a search over {samples}", err=True)
        trace = empty_trace()
    else:
        trace = ALGORITHMS.load(name)(pool, samples, runs, seed)
    if out is not None:
        write_parquet(trace, out)
    _summarise(algorithm, trace, pool)


def _pool(
    space: str,
    dataset: str,
    proxy: str,
    benchmark: Path,
    scores: Path,
    seconds_per_score: float,
    *,
    whole_space: bool,
) -> "Pool":
    """What is scored, or for searches that read no score everything that is trained."""
    import numpy as np

    from untrained.benchmarks.benchmark import Benchmark
    from untrained.errors import MissingDataError
    from untrained.files import read_parquet
    from untrained.proxies import get_proxy
    from untrained.search.pool import Pool, scores_of
    from untrained.spaces import get_space

    size = len(get_space(space))
    get_proxy(proxy)
    table = Benchmark.read(benchmark, space) if benchmark.is_file() else Benchmark.load(space)
    accuracies = {
        f"{trained}/{split}": table.accuracies(trained, split)
        for trained, split, epochs, averaged in table.measures
        if (epochs, averaged) == (200, "mean")
    }
    if whole_space:
        everything = np.arange(size)
        return Pool(everything, np.zeros((1, size)), accuracies, seconds_per_score)
    if not scores.is_file():
        raise MissingDataError(
            f"{scores} does not exist: `make run` or `snakemake scores` makes it"
        )
    architectures, matrix = scores_of(read_parquet(scores, SCORE_COLUMNS), proxy, dataset)
    known = {name: values[architectures] for name, values in accuracies.items()}
    return Pool(architectures, matrix, known, seconds_per_score)


def _summarise(algorithm: str, trace: "pd.DataFrame", pool: "Pool") -> None:
    import numpy as np

    final = trace[trace["is_final"]]
    if final.empty:
        return
    position = np.zeros(int(pool.architectures.max()) + 1, dtype=np.int64)
    position[pool.architectures] = np.arange(len(pool.architectures))
    for column, accuracy in sorted(pool.accuracies.items()):
        own = final[final["target"].isin(["", column])]
        reached = accuracy[position[own["arch"]]]
        spread = f" ± {reached.std(ddof=1):.2f} % over {len(own)} runs" if len(own) > 1 else " %"
        typer.echo(f"{algorithm}: {column} {reached.mean():.2f}{spread}", err=True)

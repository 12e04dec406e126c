"""`untrained search`: run a search on cached scores and benchmarked trainings."""

import json
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli.shards import SCORE_COLUMNS
from untrained.errors import MissingDataError, ParameterError
from untrained.files import SCORES

if TYPE_CHECKING:
    import pandas as pd

    from untrained.benchmarks.benchmark import Values
    from untrained.search.pool import Pool
    from untrained.spaces import SearchSpace


def search(
    algorithm: Annotated[
        str,
        typer.Argument(
            help="`name`, `name-samples` or `name+setting=value`: rea, naswot-1000, rea+mutants=4."
        ),
    ],
    space: Annotated[str, typer.Argument(help="Search space.")],
    dataset: Annotated[
        str, typer.Option(help="Whose trainings and scores guide the search.")
    ] = "cifar10",
    budget: Annotated[
        str, typer.Option(help="Of a run that trains: 12000s or 100evaluations.")
    ] = "12000s",
    proxy: Annotated[str, typer.Option(help="`name` or `name-variant`.")] = "naswot",
    epochs: Annotated[int, typer.Option(help="Of the trainings that a search sees.")] = 12,
    training_seed: Annotated[str, typer.Option(help="Of those trainings.")] = "777",
    runs: Annotated[int, typer.Option(help="Independent repetitions.")] = 500,
    shard: Annotated[int, typer.Option(help="Which piece of the runs, from 0.")] = 0,
    shards: Annotated[int, typer.Option(help="Into how many pieces the runs are cut.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    seconds_per_score: Annotated[float, typer.Option(help="Simulated cost of a score.")] = 0.3,
    benchmark: Annotated[Path | None, typer.Option(help="Benchmark table.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Merged scores.")] = None,
    out: Annotated[Path | None, typer.Option(help="Trace to write (parquet).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Run a search on cached scores and benchmarked trainings, and write its trace.

    Searches that train take settings of their own, and init=PROXY (or random), scored=20, kept=10:
    start from the best kept of so many scored; mutants=4: draw four, train the best-scored.

    Where too few architectures are scored for what a run draws, the trace stays empty. The best
    architecture at the end is the one whose search saw the highest fitness.
    """
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.cli.progress import track
    from untrained.files import write_parquet
    from untrained.images.sets import image_set
    from untrained.proxies import get_proxy
    from untrained.search import Spending, parse_algorithm
    from untrained.search.clock import parse_budget, trainings_of
    from untrained.search.pool import empty_trace
    from untrained.search.runs import search_runs, shard_of_runs, trace_of
    from untrained.spaces import get_space
    from untrained.spaces.base import LISTED

    asked = parse_algorithm(algorithm)
    shown = image_set(dataset)
    own_runs = shard_of_runs(runs, shard, shards)
    if not 0 <= seconds_per_score < math.inf:
        raise ParameterError(f"--seconds-per-score {seconds_per_score}: 0 or more")
    allowed = parse_budget(budget)
    searched = get_space(space)
    if len(searched) > LISTED:
        raise ParameterError(
            f"{space} has {len(searched):.2e} architectures and no benchmark: searches here look "
            "trainings up"
        )
    get_proxy(proxy)
    table = Benchmark.load(space, path=benchmark)
    accuracies = {"/".join(column): table.accuracies(*column) for column in table.finals}
    if (read := asked.proxy_of(proxy)) is not None:
        cache = scores or SCORES / f"{space}.parquet"
        pool = _scored(cache, read, dataset, accuracies, seconds_per_score)
    else:
        pool = _everything(len(searched), accuracies, seconds_per_score)

    if not _can_answer(pool, searched, asked.drawn):
        trace = empty_trace()
    elif isinstance(asked, Spending):
        trainings = trainings_of(table, shown.measured_as, epochs, training_seed)
        guide = asked.guide(pool)
        found = search_runs(asked.search, searched, trainings, allowed, own_runs, seed, guide)
        trace = trace_of(track(found, len(own_runs), f"{algorithm}/{space}/{dataset}", "runs"))
    else:
        trace = asked.search(pool, asked.drawn, own_runs.stop, seed)
        trace = trace[trace["run"] >= own_runs.start].reset_index(drop=True)
    if out is not None:
        write_parquet(trace, out)
    answer = {"algorithm": algorithm, "space": space, "dataset": dataset, "seed": seed}
    if isinstance(asked, Spending):
        answer["budget"] = str(allowed)
    answer["runs"] = len(own_runs)
    answer["accuracy"] = _reached(trace, accuracies)
    answer["best"] = _best(trace, searched)
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _say(answer)


def _say(answer: dict[str, Any]) -> None:
    """What the runs reached and the command that scores the best, for people."""
    runs = answer["runs"]
    for column, value in answer["accuracy"].items():
        mean = "unknown in places" if value["mean"] is None else f"{value['mean']:.2f}"
        spread = " %" if value["std"] is None else f" ± {value['std']:.2f} % over {runs} runs"
        typer.echo(f"{answer['algorithm']}: {column} {mean}{spread}")
    if (best := answer["best"]) is not None:
        line = ["untrained", "score", answer["space"], best["spelling"]]
        typer.echo(f"best: {shlex.join([*line, '--dataset', answer['dataset']])}")


def _can_answer(pool: "Pool", space: "SearchSpace", samples: int) -> bool:
    """Whether enough is scored; says so where it is not."""
    from untrained.search.pool import can_answer

    known = len(pool.architectures)
    if can_answer(known, len(space), samples):
        return True
    typer.echo(
        f"{known} architectures have scores, a search over {samples} needs {3 * samples}: raise "
        "scores.architectures of params.yaml and run `snakemake scores`",
        err=True,
    )
    return False


def _everything(size: int, accuracies: dict[str, "Values"], seconds_per_score: float) -> "Pool":
    """The whole space, for searches that read no score."""
    import numpy as np

    from untrained.search.pool import Pool

    return Pool(np.arange(size), np.zeros((1, size)), accuracies, seconds_per_score)


def _scored(
    scores: Path,
    proxy: str,
    dataset: str,
    accuracies: dict[str, "Values"],
    seconds_per_score: float,
) -> "Pool":
    """What is scored, the better network higher."""
    from untrained.files import read_parquet
    from untrained.proxies import get_proxy
    from untrained.search.pool import Pool, scores_of

    direction = get_proxy(proxy).direction
    if not scores.is_file():
        raise MissingDataError(
            f"{scores} does not exist: `make run` or `snakemake scores` makes it"
        )
    architectures, matrix = scores_of(read_parquet(scores, SCORE_COLUMNS), proxy, dataset)
    known = {name: values[architectures] for name, values in accuracies.items()}
    upwards = matrix if direction == "higher" else -matrix
    return Pool(architectures, upwards, known, seconds_per_score)


def _reached(
    trace: "pd.DataFrame", accuracies: dict[str, "Values"]
) -> dict[str, dict[str, float | None]]:
    """Mean and standard deviation (ddof 1) over the runs of each column, in percent.

    None is what can't be said: the spread of one run, or a mean that lacks an accuracy.
    """
    final = trace[trace["is_final"]]
    found: dict[str, dict[str, float | None]] = {}
    for column, accuracy in accuracies.items():
        own = accuracy[final.loc[final["target"].isin(["", column]), "arch"].to_numpy()]
        if len(own) == 0:
            continue
        mean, std = own.mean(), own.std(ddof=1) if len(own) > 1 else math.nan
        known = {"mean": float(mean), "std": float(std)}
        found[column] = {
            name: None if math.isnan(value) else value for name, value in known.items()
        }
    return found


def _best(trace: "pd.DataFrame", space: "SearchSpace") -> dict[str, object] | None:
    """The answer with the highest fitness; None where runs have none, or one for each column."""
    import numpy as np

    final = trace[trace["is_final"] & (trace["target"] == "")]
    fitness = final["fitness"].to_numpy()
    if np.isnan(fitness).all():
        return None
    position = int(np.nanargmax(fitness))
    architecture = space[int(final["arch"].to_numpy()[position])]
    return {
        "architecture": architecture.index,
        "spelling": architecture.spelling,
        "fitness": float(fitness[position]),
    }

"""`untrained search`: run a search on cached scores and benchmarked trainings."""

import json
import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from untrained.cli.shards import SCORE_COLUMNS
from untrained.errors import MissingDataError, ParameterError
from untrained.files import BENCHMARKS, SCORES

if TYPE_CHECKING:
    import pandas as pd

    from untrained.benchmarks.benchmark import Benchmark, Values
    from untrained.search.pool import Pool
    from untrained.spaces import SearchSpace

#: What `--init` says for a start that no proxy picks.
RANDOM = "random"


def search(
    algorithm: Annotated[str, typer.Argument(help="`name` or `name-samples`: rea, naswot-1000.")],
    space: Annotated[str, typer.Argument(help="Search space.")],
    dataset: Annotated[
        str, typer.Option(help="Whose trainings and scores guide the search.")
    ] = "cifar10",
    budget: Annotated[
        str, typer.Option(help="Of a run that trains: 12000s or 100evaluations.")
    ] = "12000s",
    proxy: Annotated[str, typer.Option(help="`name` or `name-variant`.")] = "naswot",
    init: Annotated[
        str | None,
        typer.Option(help="Where a search that trains starts: random, or the proxy that says."),
    ] = None,
    scored: Annotated[int, typer.Option(help="Architectures that the proxy picks from.")] = 20,
    kept: Annotated[int, typer.Option(help="How many of them the search starts from.")] = 10,
    mutants: Annotated[
        int, typer.Option(help="Drawn for each that is trained; the proxy picks it.")
    ] = 1,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="`name=value` of the algorithm, as in sample=5; may be repeated."),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Of the trainings that a search sees.")] = 12,
    training_seed: Annotated[str, typer.Option(help="Of those trainings.")] = "777",
    runs: Annotated[int, typer.Option(help="Independent repetitions.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    seconds_per_score: Annotated[float, typer.Option(help="Simulated cost of a score.")] = 0.3,
    benchmark: Annotated[Path | None, typer.Option(help="Benchmark table.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Merged scores.")] = None,
    out: Annotated[Path | None, typer.Option(help="Trace to write (parquet).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Run a search on cached scores and benchmarked trainings, and write its trace.

    Where too few architectures are scored for what a run draws, the trace stays empty. The best
    architecture at the end is the one whose search saw the highest fitness.
    """
    from untrained.benchmarks.benchmark import Benchmark
    from untrained.cli.progress import track
    from untrained.files import write_parquet
    from untrained.images.sets import image_set
    from untrained.proxies import get_proxy
    from untrained.search import ALGORITHMS, parse_algorithm
    from untrained.search.base import configured
    from untrained.search.clock import parse_budget, trainings_of
    from untrained.search.guided import Guide
    from untrained.search.pool import can_answer, empty_trace
    from untrained.search.runs import search_runs, trace_of
    from untrained.spaces import get_space

    name, samples = parse_algorithm(algorithm)
    chosen = ALGORITHMS.load(name)
    image_set(dataset)
    if runs < 1:
        raise ParameterError(f"{runs} runs: 1 or more")
    if not 0 <= seconds_per_score < math.inf:
        raise ParameterError(f"--seconds-per-score {seconds_per_score}: 0 or more")
    allowed = parse_budget(budget)
    searched = get_space(space)
    get_proxy(proxy)
    path = benchmark or BENCHMARKS / f"{space}.parquet"
    table = Benchmark.read(path, space) if path.is_file() else Benchmark.load(space)
    accuracies = _accuracies(table)

    if isinstance(chosen, type):
        searching = configured(chosen, setting or [])
        start = init or (proxy if searching.starts_scored else RANDOM)
        samples, kept = (0, 0) if start == RANDOM else (scored, kept)
        proxy = proxy if start == RANDOM else start
        reads_scores = start != RANDOM or mutants != 1
    elif init is not None or mutants != 1 or setting:
        raise ParameterError(f"{name} trains nothing: it takes no --init, --mutants or --setting")
    else:
        reads_scores = name == "naswot"
    if reads_scores:
        cache = scores or SCORES / f"{space}.parquet"
        pool = _scored(cache, proxy, dataset, accuracies, seconds_per_score)
    else:
        pool = _everything(len(searched), accuracies, seconds_per_score)
    known = len(pool.architectures)
    if not can_answer(known, len(searched), samples):
        typer.echo(f"{known} architectures can't answer a search over {samples}", err=True)
        trace = empty_trace()
    elif isinstance(chosen, type):
        trainings = trainings_of(table, dataset, epochs, training_seed)
        guide = Guide(pool, samples, kept, mutants)
        found = search_runs(searching, searched, trainings, allowed, range(runs), seed, guide)
        trace = trace_of(track(found, runs, f"{algorithm}/{space}/{dataset}", "runs"))
    else:
        trace = chosen(pool, samples, runs, seed)
    if out is not None:
        write_parquet(trace, out)
    best = _best(trace, searched)
    reached = _reached(trace, accuracies)
    if as_json:
        asked = {"algorithm": algorithm, "space": space, "dataset": dataset, "seed": seed}
        spent = {"budget": str(allowed)} if isinstance(chosen, type) else {}
        answer = asked | spent | {"runs": runs, "accuracy": reached, "best": best}
        typer.echo(json.dumps(answer))
        return
    for column, value in reached.items():
        mean = "unknown in places" if value["mean"] is None else f"{value['mean']:.2f}"
        spread = " %" if value["std"] is None else f" ± {value['std']:.2f} % over {runs} runs"
        typer.echo(f"{algorithm}: {column} {mean}{spread}", err=True)
    if best is not None:
        line = ["untrained", "score", space, str(best["spelling"]), "--dataset", dataset]
        typer.echo(f"best: {shlex.join(line)}", err=True)


def _accuracies(table: "Benchmark") -> dict[str, "Values"]:
    """Column, for example "cifar10-valid/x-valid", to the accuracies that a report reads."""
    return {
        f"{trained}/{split}": table.accuracies(trained, split)
        for trained, split, epochs, averaged in sorted(table.measures)
        if (epochs, averaged) == (200, "mean")
    }


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

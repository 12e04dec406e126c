"""`untrained score`: score architectures of a space, or a network of one's own."""

import json
import math
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli import options
from untrained.cli.progress import results_only, tracker
from untrained.errors import MissingDataError, ParameterError
from untrained.files import SCORES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from untrained.api import Scores
    from untrained.scoring.engine import Score
    from untrained.scoring.request import Settings


@options.with_settings()
def score(
    target: Annotated[
        str,
        typer.Argument(
            help="Search space, or package.module:factory of your own network.",
            autocompletion=options.completed(options.SPACES),
        ),
    ],
    settings: "Settings",
    architectures: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARCH...", help="Indices or spellings of the space."),
    ] = None,
    proxy: options.ReadProxies = None,
    variant: Annotated[
        str | None, typer.Option(help="Variant of the proxies, where their spelling has none.")
    ] = None,
    seed: options.Seed = 0,
    seeds: options.Seeds = 3,
    shape: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Shape CxHxW of the images that your own network takes; default: 3x32x32.",
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Score architectures of a space, or a network of your own.

    The time of a score is that of the fastest seed. All other time until the scores were there is
    the start-up: imports, compilation, images and what first calls take longer. The exit code is 1
    where the memory was too small for any score.
    """
    begun = time.perf_counter()
    from untrained.scoring.request import parse_reading

    chosen = options.seeds_from(seed, seeds)
    if architectures and shape is not None:
        raise ParameterError(
            f"--input {shape}: the images of an architecture of a space are those of --dataset, "
            "leave it out"
        )

    from untrained.api import score_seeds
    from untrained.scoring.execution import prepare_worker

    if architectures:  # one thread may be too slow for a network of one's own
        prepare_worker()
    with results_only():
        spelled = [str(parse_reading(one, variant)) for one in proxy or ["naswot"]]
        options.warn_of_test_labels(spelled)
        found = score_seeds(
            target,
            architectures or (),
            proxies=spelled,
            seeds=chosen,
            shape=shape or "3x32x32",
            track=tracker(quiet),
            **settings,
        )
    elapsed = time.perf_counter() - begun
    results = [_result(target, one, settings) for one in found]
    start_up = max(0.0, elapsed - len(chosen) * sum(one["seconds"] for one in results))
    if as_json:
        typer.echo(json.dumps([one | {"start_up_seconds": start_up} for one in results], indent=1))
    else:
        _print(target, results, chosen)
        typer.echo(f"start-up {start_up:.1f} s")
    scored = [score for one in found for score in one.scores]
    if all(one.score is None for one in scored) and any(map(_lacked_memory, scored)):
        raise typer.Exit(1)


def _lacked_memory(score: "Score") -> bool:
    return score.status == "out_of_memory"


def _result(target: str, found: "Scores", settings: "Settings") -> dict[str, Any]:
    """Return the result for one architecture and proxy as JSON.

    Score, status and reason are those of the first seed; mean and std (ddof 1) are over all seeds;
    `undefined` has the reasons why other seeds have no score. The seconds are those of the fastest
    seed, which pays for no first call unless it is the only one. The percentile is that of the mean
    among cached scores. Accuracies are in percent after the full training, by data set and split.
    """
    first, one, percentile = found.scores[0], found.architecture, None
    if one is not None and found.mean is not None:
        cached = _cached_scores(one.space, str(found.reading), settings)
        if cached is not None and len(cached):
            percentile = float((cached < found.mean).mean() * 100)
    return {
        "architecture": None if one is None else one.index,
        "spelling": target if one is None else one.spelling,
        "score": first.score,
        "mean": found.mean,
        "std": found.std,
        "proxy": str(found.reading),
        "setting": found.reading.description,
        "status": first.status,
        "reason": first.reason,
        "seconds": min(score.seconds for score in found.scores),
        "percentile": percentile,
        "accuracy": {} if one is None else _accuracies(one.space, one.index),
        "undefined": {
            seed: f"{score.status} ({score.reason})"
            for seed, score in zip(found.seeds[1:], found.scores[1:], strict=True)
            if score.score is None
        },
    }


def _cached_scores(space: str, proxy: str, settings: "Settings") -> "NDArray[np.float64] | None":
    """Return the finite mean scores of the last run, if it had the same settings."""
    from untrained.spaces import table_of

    path = table_of(SCORES, space)
    if not path.is_file():
        return None

    import numpy as np

    from untrained.files import read_parquet
    from untrained.parameters import read_parameters
    from untrained.scoring.columns import SCORE_TYPES
    from untrained.search.pool import scores_of

    made_with = read_parameters().get("scores")
    if not isinstance(made_with, dict):
        return None
    same = ("split", "batch_size", "augmentation", "sampling")
    if any(made_with.get(name) != settings.get(name) for name in same):
        return None
    try:
        _, values = scores_of(read_parquet(path, SCORE_TYPES), proxy, settings["dataset"])
    except MissingDataError:
        return None  # the run had other proxies or data sets
    mean: NDArray[np.float64] = values.mean(axis=0)
    return mean[np.isfinite(mean)]


def _accuracies(space: str, index: int) -> dict[str, float]:
    from untrained.benchmarks.benchmark import Benchmark

    path = Benchmark.find(space)
    if path is None:
        return {}
    table = Benchmark.read(path, space)
    if index >= len(table):
        return {}
    found = {f"{one}/{split}": table.accuracies(one, split)[index] for one, split in table.finals}
    # a bundled table may lack architectures
    return {column: round(float(one), 4) for column, one in found.items() if not math.isnan(one)}


def _print(target: str, results: list[dict[str, Any]], seeds: range) -> None:
    for result in results:
        name = f"{result['architecture']}  " if result["architecture"] is not None else ""
        typer.echo(f"{name}{result['spelling']}")
        if len({one["proxy"] for one in results}) > 1:
            typer.echo(f"  proxy       {result['proxy']}")
        if result["score"] is None:
            typer.echo(f"  score       undefined: {result['status']} ({result['reason']})")
        else:
            spread = ""
            if result["std"] is not None:
                mean, std = options.number(result["mean"]), options.number(result["std"])
                spread = f"; {mean} ± {std} over {len(seeds)} seeds"
            typer.echo(f"  score       {options.number(result['score'])} (seed {seeds[0]}{spread})")
            if result["reason"]:  # of a score that leaves something out
                typer.echo(f"              {result['reason']}")
        for number, why in result["undefined"].items():
            typer.echo(f"              undefined with seed {number}: {why}")
        if result["percentile"] is not None:
            typer.echo(f"  percentile  {result['percentile']:.1f} of the cached scores")
        for column, value in result["accuracy"].items():
            typer.echo(f"  accuracy    {value:.2f} %  {column}, {options.training_of(target)}")
        typer.echo(f"  time        {result['seconds']:.3f} s per score")

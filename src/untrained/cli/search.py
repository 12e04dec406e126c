"""`untrained search`: run a search on cached scores and benchmarked trainings, or live."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli import options
from untrained.cli.progress import results_only, teller, tracker

if TYPE_CHECKING:
    from untrained.scoring.request import Settings
    from untrained.search.run import SearchResult

Algorithm = Annotated[
    str,
    typer.Argument(
        help="Algorithm, spelled `name`, `name-samples` or `name+setting=value`, as in rea, "
        "naswot-1000 or rea+population=20.",
        autocompletion=options.completed(options.ALGORITHMS),
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(help="Budget of each run, as in 100evaluations or 60s; default: 12000s."),
]
Proxy = Annotated[
    str | None,
    typer.Option(
        help="Proxy whose scores are read where the algorithm names none; default: naswot.",
        autocompletion=options.completed(options.PROXIES),
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        help="Number of epochs of the trainings that the search sees; default: 12, or what the "
        "table has."
    ),
]
TrainingSeed = Annotated[
    str | None,
    typer.Option(
        help="Seed of the trainings that the search sees; default: 777, or what the table has."
    ),
]
Runs = Annotated[
    int | None,
    typer.Option(help="Number of independent repetitions; default: 500, or 1 with --live."),
]
SecondsPerScore = Annotated[
    str | None,
    typer.Option(
        help="Simulated cost of a score in seconds, to which that of any training is added; or "
        "measured, for the seconds in the table of scores; default: 0.3."
    ),
]
Live = Annotated[
    bool,
    typer.Option(
        "--live", help="Score each architecture when it is proposed, and charge the time it takes."
    ),
]


@options.with_settings()
def search(
    context: typer.Context,
    algorithm: Algorithm,
    space: options.Space,
    settings: "Settings",
    budget: Budget = None,
    proxy: Proxy = None,
    epochs: Epochs = None,
    training_seed: TrainingSeed = None,
    runs: Runs = None,
    shard: options.Shard = 0,
    shards: options.Shards = 1,
    seed: Annotated[
        int, typer.Option(help="Seed of all random choices.", callback=options.allowed)
    ] = 0,
    seconds_per_score: SecondsPerScore = None,
    benchmark: options.Benchmark = None,
    scores: options.Scores = None,
    where: options.Where = None,
    devices: options.Devices = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Parquet file of the trace to write.", dir_okay=False, callback=options.written
        ),
    ] = None,
    as_json: options.Json = False,
    live: Live = False,
    ledger: options.Ledger = None,
    score_seeds: options.ScoreSeeds = 1,
    quiet: options.Quiet = False,
) -> None:
    """Search a space on cached scores and benchmarks, or live.

    The accuracies of the runs and the best architecture are printed. Searches that spend a budget
    take settings of their own, and init=PROXY (or random), scored=20, kept=10: start from the best
    kept of so many scored; mutants=4: draw four, train the best-scored; fitness=PROXY: climb the
    score; pool=PROXY: move among what is scored. With --live nothing needs to be scored before:
    --ledger (default OUT.ledger), --score-seeds and the options from --split to --precision
    describe its scores. --where searches among the architectures that satisfy a constraint. An
    option that an algorithm does not use is refused. If too few architectures are scored for what a
    run draws, the trace is empty.
    """
    from untrained.search import parse_algorithm
    from untrained.search.run import run_search
    from untrained.search.spelling import PROXY

    with results_only():
        options.warn_of_test_labels(parse_algorithm(algorithm).decisive(proxy or PROXY))
    scored = options.live_scores(
        context, settings, live=live, ledger=ledger, score_seeds=score_seeds, out=out
    )
    with results_only():
        found = run_search(
            algorithm,
            space,
            dataset=settings["dataset"],
            budget=budget,
            proxy=proxy,
            runs=runs,
            shard=shard,
            shards=shards,
            seed=seed,
            epochs=epochs,
            training_seed=training_seed,
            seconds_per_score=seconds_per_score,
            benchmark=benchmark,
            scores=scores,
            live=scored,
            track=tracker(quiet),
            tell=teller(quiet),
            where=where,
            devices=devices,
        )
    if out is not None:
        from untrained.files import write_parquet

        write_parquet(found.trace, out)
    answer = {"algorithm": algorithm, "space": space, "dataset": settings["dataset"], "seed": seed}
    answer |= _summary(found)
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _print(answer)


def _summary(found: "SearchResult") -> dict[str, Any]:
    """Return what was found, as JSON."""
    final, spends = found.final, found.search.spends_budget
    answer: dict[str, Any] = {"budget": str(found.budget)} if spends else {}
    answer["runs"] = found.runs
    answer |= {} if found.where is None else {"where": found.where}
    if spends and len(final):
        answer["evaluations"] = float(final["step"].mean())
        # a training of unknown length counts as one
        answer["seconds"] = float(final["simulated_seconds"].mean()) if found.timed else None
    answer |= found.counts
    answer["accuracy"] = found.reached()
    best = found.architecture
    answer["best"] = best and {
        "architecture": best.index,
        "spelling": best.spelling,
        "fitness": found.fitness,
    }
    return answer


def _print(answer: dict[str, Any]) -> None:
    """Print the accuracies of the runs and the command that scores the best, for people."""
    runs = answer["runs"]
    if "where" in answer:
        typer.echo(f"{answer['algorithm']}: within {answer['where']}")
    for column, value in answer["accuracy"].items():
        said = "unknown in places" if value["mean"] is None else f"{value['mean']:.2f} %"
        if value["std"] is not None:
            said = f"{value['mean']:.2f} ± {value['std']:.2f} % over {runs} runs"
        typer.echo(f"{answer['algorithm']}: {column} {said}")
    if "scored" in answer:
        typer.echo(
            f"{answer['algorithm']}: {answer['scored']} architectures scored, "
            f"{answer['evaluations']:g} evaluations and {answer['seconds']:.1f} s in a run"
        )
    if (best := answer["best"]) is not None:
        line = ["untrained", "score", answer["space"], best["spelling"]]
        typer.echo(f"best: {shlex.join([*line, '--dataset', answer['dataset']])}")

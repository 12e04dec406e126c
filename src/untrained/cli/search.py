"""`untrained search`: run a search on cached scores and benchmarked trainings, or live."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli.options import warn_of_test_labels
from untrained.errors import ParameterError

if TYPE_CHECKING:
    from untrained.search.run import SearchResult

_LIVE = "With --live"


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
        str, typer.Option(help="Of a run that spends one: 12000s or 100evaluations.")
    ] = "12000s",
    proxy: Annotated[str, typer.Option(help="`name`, `name-variant` or `name@epochs`.")] = "naswot",
    epochs: Annotated[
        int | None,
        typer.Option(help="Of the trainings that a search sees; default 12, or what there is."),
    ] = None,
    training_seed: Annotated[
        str | None, typer.Option(help="Of those trainings; default 777, or what there is.")
    ] = None,
    runs: Annotated[
        int | None, typer.Option(help="Independent repetitions; default 500, or 1 with --live.")
    ] = None,
    shard: Annotated[int, typer.Option(help="Which piece of the runs, from 0.")] = 0,
    shards: Annotated[int, typer.Option(help="Into how many pieces the runs are cut.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    seconds_per_score: Annotated[
        str,
        typer.Option(
            help="Simulated cost of a score, to which that of any training is added; or measured: "
            "what the scores say they took."
        ),
    ] = "0.3",
    benchmark: Annotated[Path | None, typer.Option(help="Benchmark table.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Merged scores.")] = None,
    out: Annotated[Path | None, typer.Option(help="Trace to write (parquet).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Score what is proposed, when it is proposed, and charge what it took."
        ),
    ] = False,
    ledger: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=_LIVE,
            help="File of finished scores, from which a search resumes; default OUT.ledger.",
        ),
    ] = None,
    score_seeds: Annotated[
        int, typer.Option(rich_help_panel=_LIVE, help="Run r scores with seed r modulo so many.")
    ] = 1,
    split: Annotated[str, typer.Option(rich_help_panel=_LIVE, help="Of the data set.")] = "sample",
    batch_size: Annotated[
        int, typer.Option(rich_help_panel=_LIVE, help="Images per minibatch.")
    ] = 128,
    augmentation: Annotated[
        str, typer.Option(rich_help_panel=_LIVE, help="none or crop-flip.")
    ] = "none",
    sampling: Annotated[
        str,
        typer.Option(rich_help_panel=_LIVE, help="Of images: uniform, or balanced by class."),
    ] = "uniform",
    device: Annotated[
        str, typer.Option(rich_help_panel=_LIVE, help="auto, cpu, cuda:0, ...")
    ] = "auto",
    engine: Annotated[
        str, typer.Option(rich_help_panel=_LIVE, help="auto, plain or fast.")
    ] = "auto",
    precision: Annotated[
        str, typer.Option(rich_help_panel=_LIVE, help="auto, float32 or bfloat16.")
    ] = "auto",
) -> None:
    """Run a search on cached scores and benchmarked trainings, and write its trace.

    Searches that spend a budget take settings of their own, and init=PROXY (or random), scored=20,
    kept=10: start from the best kept of so many scored; mutants=4: draw four, train the
    best-scored; fitness=PROXY (lga@1): the score is what they climb, among what is scored;
    pool=PROXY: they move among what is scored. With --live nothing need be scored before.

    Where too few architectures are scored for what a run draws, the trace stays empty. The best
    architecture at the end is the one whose search saw the highest fitness.
    """
    from untrained.cli.progress import track
    from untrained.files import check_target, write_parquet
    from untrained.search import parse_algorithm
    from untrained.search.run import run_search
    from untrained.search.task import Live

    if ledger is not None and not live:
        raise ParameterError(f"--ledger {ledger}: only --live makes scores")
    warn_of_test_labels(parse_algorithm(algorithm).decisive(proxy))
    if live and out is not None:
        check_target(out)
        ledger = ledger or out.with_name(f"{out.name}.ledger")
    shown = split, batch_size, augmentation, sampling, score_seeds
    found = run_search(
        algorithm,
        space,
        dataset=dataset,
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
        live=Live(*shown, device, engine, precision, ledger) if live else None,
        track=track,
        tell=lambda message: typer.echo(message, err=True),
    )
    if out is not None:
        write_parquet(found.trace, out)
    answer = {"algorithm": algorithm, "space": space, "dataset": dataset, "seed": seed}
    answer |= _summary(found)
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _print(answer)


def _summary(found: "SearchResult") -> dict[str, Any]:
    """What was found, as JSON."""
    final, spends = found.final, found.search.spends_budget
    answer: dict[str, Any] = {"budget": str(found.budget)} if spends else {}
    answer["runs"] = found.runs
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
    """Print what the runs reached and the command that scores the best, for people."""
    runs = answer["runs"]
    for column, value in answer["accuracy"].items():
        mean = "unknown in places" if value["mean"] is None else f"{value['mean']:.2f}"
        spread = " %" if value["std"] is None else f" ± {value['std']:.2f} % over {runs} runs"
        typer.echo(f"{answer['algorithm']}: {column} {mean}{spread}")
    if "scored" in answer:
        typer.echo(
            f"{answer['algorithm']}: {answer['scored']} architectures scored, "
            f"{answer['evaluations']:g} evaluations and {answer['seconds']:.1f} s in a run"
        )
    if (best := answer["best"]) is not None:
        line = ["untrained", "score", answer["space"], best["spelling"]]
        typer.echo(f"best: {shlex.join([*line, '--dataset', answer['dataset']])}")

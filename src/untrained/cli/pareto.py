"""`untrained pareto`: search for the architectures that no other one beats in all objectives."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from untrained.cli import options
from untrained.cli.progress import results_only, teller, tracker

if TYPE_CHECKING:
    from untrained.scoring.request import Settings
    from untrained.search.fronts import ParetoResult

Objectives = Annotated[
    list[str],
    typer.Option(
        "--objective",
        help="What is wanted: a proxy, an ensemble as log(naswot,parameters), or a cost as "
        "latency[raspi4], parameters or memory; min(...) and max(...) give the direction; "
        "repeatable, two or more.",
        autocompletion=options.completed(options.PROXIES),
    ),
]


@options.with_settings()
def pareto(
    context: typer.Context,
    space: options.Space,
    settings: "Settings",
    objective: Objectives,
    algorithm: Annotated[
        str, typer.Option(help="Algorithm: nsga2, or random, which draws without replacement.")
    ] = "nsga2",
    evaluations: Annotated[
        int, typer.Option(help="Number of architectures that a run evaluates, each once.")
    ] = 500,
    runs: Annotated[int, typer.Option(help="Number of independent repetitions.")] = 1,
    seed: Annotated[
        int, typer.Option(help="Seed of all random choices.", callback=options.allowed)
    ] = 0,
    benchmark: options.Benchmark = None,
    scores: options.Scores = None,
    where: options.Where = None,
    devices: options.Devices = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Parquet file of all that was evaluated to write.",
            dir_okay=False,
            callback=options.written,
        ),
    ] = None,
    as_json: options.Json = False,
    live: Annotated[
        bool, typer.Option("--live", help="Score each architecture when it is proposed.")
    ] = False,
    ledger: options.Ledger = None,
    score_seeds: options.ScoreSeeds = 1,
    quiet: options.Quiet = False,
) -> None:
    """Search for the best trade-offs between objectives.

    These are the architectures that no other one beats in all of them. Proxies know their
    direction, and of costs less is better. The front of the first run is printed, with the
    accuracies that a benchmark knows beside it: no search sees them. With --live nothing needs to
    be scored before: --ledger (default OUT.ledger), --score-seeds and the options from --split to
    --precision describe its scores.
    """
    from untrained.search.fronts import pareto as run
    from untrained.search.objectives import parse_objectives

    with results_only():
        wanted = parse_objectives(objective)
        options.warn_of_test_labels([str(one.of) for one in wanted if not one.cost])
    scored = options.live_scores(
        context, settings, live=live, ledger=ledger, score_seeds=score_seeds, out=out
    )
    with results_only():
        found = run(
            space,
            objective,
            dataset=settings["dataset"],
            algorithm=algorithm,
            evaluations=evaluations,
            runs=runs,
            seed=seed,
            benchmark=benchmark,
            scores=scores,
            devices=devices,
            where=where,
            live=scored,
            track=tracker(quiet),
            tell=teller(quiet),
        )
    if out is not None:
        from untrained.files import write_parquet

        write_parquet(found.trace, out)
    if as_json:
        typer.echo(json.dumps(_answer(found, algorithm, settings["dataset"], seed)))
    else:
        _print(found, settings["dataset"])


def _answer(found: "ParetoResult", algorithm: str, dataset: str, seed: int) -> dict[str, Any]:
    """Return what was found, as JSON."""
    front = found.front().to_dict("records")
    answer: dict[str, Any] = {
        "space": found.space.name,
        "dataset": dataset,
        "algorithm": algorithm,
        "objectives": {
            one.spelling: "lower" if one.lower else "higher" for one in found.objectives
        },
        "seed": seed,
        "runs": len(found.runs),
        "evaluations": [*map(len, found.runs)],
    }
    if found.values is not None:
        shares = found.hypervolumes()[:, 0]
        answer["hypervolume"] = [None if math.isnan(one) else float(one) for one in shares]
    answer |= found.counts
    answer["front"] = [
        {name: None if one != one else one for name, one in row.items()} for row in front
    ]
    return answer


def _print(found: "ParetoResult", dataset: str) -> None:
    """Print the front of the first run as a table, for people."""
    from rich.console import Console

    from untrained.images.sets import image_set
    from untrained.report.inputs import splits_of
    from untrained.report.tables import terminal_table

    front, members = found.front(), found.space.words.members
    shown = front[["arch", "spelling", *map(str, found.objectives)]]
    columns = [*zip(*(name.split("/") for name in found.accuracies), strict=True)]
    finals = [*zip(*columns, strict=True)] if columns else []
    of = splits_of(finals, found.space.datasets).get((image_set(dataset).measured_as, "test"))
    if of is not None:
        shown = shown.assign(**{"not seen: test %": front["/".join(of)].round(2)})
    units = {str(one): f"{one} {one.unit}".strip() for one in found.objectives}
    shown = shown.rename(columns={**units, "arch": "index"})
    for name in units.values():
        shown[name] = [f"{one:.4g}" for one in shown[name]]
    console = Console(width=None if Console().is_terminal else 200)
    count = f"{len(front)} of {len(found.runs[0])} evaluated {members}"
    console.print(terminal_table(shown, title=f"The front: {count}", digits=2), markup=False)
    typer.echo("; ".join(one.words for one in found.objectives))
    if found.values is not None:
        shares = found.hypervolumes()[:, 0]
        known = len(found.values.architectures)
        whole = f"the hypervolume of all {known} {members}"
        if math.isnan(shares[0]):
            why = "".join(f": {one} has no two values among them" for one in found.alike[:1])
            typer.echo(f"{whole} is 0{why}")
        else:
            many = f", mean of {len(shares)} runs (first run above)" if len(shares) > 1 else ""
            typer.echo(f"{shares.mean():.3f} of {whole}{many}")
    if found.counts:
        typer.echo(f"{found.counts['scored']} scored, {found.counts['resumed']} resumed")

"""`untrained ensembles`: choose ensembles on one space, and report them on the others."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from untrained.cli import options
from untrained.errors import ParameterError
from untrained.limits import COUNT, RESAMPLES

if TYPE_CHECKING:
    from untrained.report.inputs import Inputs


def ensembles(
    spaces: Annotated[
        list[str],
        typer.Argument(
            metavar="SPACE[=SCORES]...",
            help="Spaces, each with the file of its merged scores; default: those of the workflow, "
            "or those that come along.",
        ),
    ],
    proxy: options.Proxies = None,
    members: Annotated[
        int, typer.Option(help="Largest number of members of an ensemble.", min=2, max=8)
    ] = 4,
    named: Annotated[
        list[str] | None,
        typer.Option(help="Ensemble that was named beforehand, to report as well; repeatable."),
    ] = None,
    sample: Annotated[
        int, typer.Option(help="Architectures that a choice is made on.", min=10)
    ] = 1000,
    labels: Annotated[
        str,
        typer.Option(
            help="Numbers of labelled architectures of predictors, as in 10,100,1000; they need "
            "scikit-learn."
        ),
    ] = "",
    resamples: Annotated[
        int,
        typer.Option(help="Number of bootstrap resamples of every interval.", min=1, max=RESAMPLES),
    ] = 1000,
    seed: Annotated[
        int, typer.Option(help="Seed of samples and resamples.", callback=options.allowed)
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="CSV file to write.", dir_okay=False, callback=options.written),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Choose ensembles on one space, and report them on others.

    The best ensemble and the best single proxy by validation accuracies of a place are reported by
    test accuracies of every other, beside each proxy, beside what was named beforehand, and beside
    the oracle, which is chosen on what it is reported on. With --labels predictors that see
    accuracies are reported, too.
    """
    from rich.console import Console

    from untrained.files import atomic
    from untrained.report.combinations import combination_table, scored_places
    from untrained.report.tables import intervals, joined, lay_out, terminal_table, to_csv

    counts = options.numbers("--labels", labels, int, "numbers", "10,100,1000") if labels else ()
    if not 2 <= min(counts, default=2) <= max(counts, default=2) <= COUNT:
        raise ParameterError(f"--labels {labels}: 2 to {COUNT}")
    if len({one.partition("=")[0] for one in spaces}) < len(spaces):
        raise ParameterError(f"{' '.join(spaces)}: name each space once")
    places = scored_places(map(_inputs, spaces), proxy or [], named or [])
    with Console(stderr=True).status("choosing"):
        table = combination_table(
            places,
            proxies=proxy or [],
            most=members,
            named=named or [],
            sample=sample,
            labels=counts,
            resamples=resamples,
            seed=seed,
        )
    if out is not None:
        with atomic(out) as part:
            part.write_text(to_csv(table))
    if as_json:
        typer.echo(table.to_json(orient="records", indent=1))
        return
    layout = lay_out(
        table,
        {
            "reported on": joined("space", "dataset", "subset"),
            "kind": "kind",
            "chosen on": "chosen_on",
            "score": "score",
            "labels": lambda own: [str(one or "") for one in own["labels"]],
            "n": "n",
            "undefined": "undefined",
            "Kendall's τ": intervals("tau", digits=3),
        },
    )
    console = Console(width=None if Console().is_terminal else 200)
    console.print(terminal_table(layout, title="tau with test accuracy, with 95 % intervals"))


def _inputs(spelled: str) -> "Inputs":
    from untrained.report.inputs import Inputs
    from untrained.scoring.shipped import scores_at_hand
    from untrained.spaces import get_space

    name, _, path = spelled.partition("=")
    space = get_space(name)
    found = Inputs(name)
    # a cached property, so that scores that come along take the place of a file
    vars(found)["scores"] = scores_at_hand(space, Path(path) if path else None)
    return found

"""`untrained report`: tables, figures and the page that holds them."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from untrained.cli import options
from untrained.errors import MissingDataError, ParameterError, quoted
from untrained.files import atomic
from untrained.limits import KERNELS, RESAMPLES
from untrained.report.options import KEYS

if TYPE_CHECKING:
    from untrained.report.inputs import Inputs
    from untrained.report.section import Section
    from untrained.scoring.request import RankSettings

#: The interactive page of a run.
PAGE = Path("results/report/index.html")

app = typer.Typer(no_args_is_help=True, help="Make tables, figures and the report.")


def _names() -> list[str]:
    from untrained.report import NAMES

    return list(NAMES)


Sections = Annotated[
    str,
    typer.Argument(
        metavar="SECTION",
        help="Section of the report; several are joined by commas.",
        autocompletion=_names,
    ),
]
Files = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Files that the section reads besides benchmark and scores: traces, ablations, ...",
        dir_okay=False,
    ),
]
Tables = Annotated[
    Path | None,
    typer.Option(help="Folder of the tables; default: results/tables/SPACE.", file_okay=False),
]
Figures = Annotated[
    Path | None,
    typer.Option(help="Folder of the figures; default: results/figures/SPACE.", file_okay=False),
]
TablesMade = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the tables; default: results/tables/SPACE.",
        file_okay=False,
        callback=options.filled,
    ),
]
FiguresMade = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the figures; default: results/figures/SPACE.",
        file_okay=False,
        callback=options.filled,
    ),
]


def _fraction(best: float) -> float:
    from untrained.report.options import check_best

    return check_best(best)


def _scored(architectures: str) -> str:
    if architectures != "all" and not re.fullmatch("[1-9][0-9]{0,9}", architectures):
        raise ParameterError(f"--architectures {quoted(architectures)}: all, or an integer above 0")
    return architectures


@app.command()
def section(
    context: typer.Context,
    section: Sections,
    space: options.Space,
    files: Files = None,
    benchmark: options.Benchmark = None,
    scores: options.Scores = None,
    devices: options.Devices = None,
    tables: TablesMade = None,
    figures: FiguresMade = None,
    only: Annotated[
        Literal["tables", "figures"] | None,
        typer.Option(
            help="Make tables or figures alone; figures show the tables that were made before."
        ),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            help="Another space of a joint figure, which alone is drawn then; repeatable."
        ),
    ] = None,
    resamples: Annotated[
        int,
        typer.Option(help="Number of bootstrap resamples of every interval.", min=1, max=RESAMPLES),
    ] = 1000,
    seed: Annotated[
        int, typer.Option(help="Seed of the resampling.", callback=options.allowed)
    ] = 0,
    best: Annotated[
        float,
        typer.Option(
            help="Fraction of the architectures that counts as the best.", callback=_fraction
        ),
    ] = 0.1,
    proxy: Annotated[
        str | None,
        typer.Option(
            help="Proxy whose scores are drawn; default: one that has published figures.",
            autocompletion=options.completed(options.PROXIES),
        ),
    ] = None,
    kernels: Annotated[
        int,
        typer.Option(
            help="Number of good and number of bad architectures whose kernels are drawn.",
            min=1,
            max=KERNELS,
        ),
    ] = 4,
    split: options.Split = "sample",
    batch_size: options.BatchSize = 128,
    augmentation: options.Augmentation = "none",
    sampling: options.Sampling = "uniform",
    architectures: Annotated[
        str,
        typer.Option(
            help="Number of the architectures whose scores the searches read, or all.",
            callback=_scored,
        ),
    ] = "all",
    searched: Annotated[
        Literal["live", "shipped"],
        typer.Option(help="Scores that the searches read: of a run, or those that come along."),
    ] = "live",
    search_proxy: Annotated[
        str,
        typer.Option(
            help="Proxy or ensemble whose scores the searches read.",
            autocompletion=options.completed(options.PROXIES),
        ),
    ] = "naswot",
    quiet: options.Quiet = False,
) -> None:
    """Make the tables and the figures of a section.

    Tables are written as parquet, CSV, Markdown and LaTeX, figures as SVG and PNG.
    """
    from rich.console import Console

    from untrained.report.build import draw_figures, make_tables
    from untrained.scoring.ensembles import parse_proxy

    chosen = _sections(section)
    _check_taken(context, chosen, section, only, beside)
    inputs = _inputs(space, chosen, files, benchmark, scores, tables, tuple(beside or ()))
    inputs = replace(inputs, devices_file=devices)
    taken = {"resamples": resamples, "seed": seed, "best": best, "proxy": proxy}
    taken |= {"kernels": kernels, "split": split, "batch_size": batch_size}
    taken |= {"augmentation": augmentation, "sampling": sampling}
    taken |= {"architectures": architectures, "searched": searched}
    taken |= {"search_proxy": str(parse_proxy(search_proxy))}
    if only != "figures" and not beside:
        with Console(stderr=True, quiet=quiet).status("resampling"):
            make_tables(chosen, inputs, taken)
    if only != "tables":
        folder = figures or Path("results/figures") / ("" if beside else inputs.name)
        draw_figures(chosen, inputs, taken, folder)


@app.command()
def page(
    context: typer.Context,
    space: options.Space,
    sections: Annotated[
        list[str] | None,
        typer.Argument(
            help="Sections of the page; default: all that have tables.", autocompletion=_names
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Markdown file to write.", dir_okay=False, callback=options.written),
    ] = None,
    tables: Tables = None,
    figures: Figures = None,
    metrics: Annotated[
        Path | None,
        typer.Option(
            help="JSON file of the main numbers to write.", dir_okay=False, callback=options.written
        ),
    ] = None,
    cells: Annotated[
        Path | None,
        typer.Option(
            help="JSON file of the scores of some architectures to write.",
            dir_okay=False,
            callback=options.written,
        ),
    ] = None,
    scores: options.Scores = None,
) -> None:
    """Write the tables and figures of sections as one Markdown page."""
    from untrained.report.build import made, write_cells, write_metrics, write_page

    if metrics is None and cells is None:
        options.without_effect(context, "only --metrics and --cells read scores", "scores")
    inputs = _inputs(space, [], None, None, scores, tables)
    chosen = [one for name in sections for one in _sections(name)] if sections else made(inputs)
    if not chosen:
        inputs.table("correlations")  # says how it is made where nothing is
        raise MissingDataError(f"{inputs.tables} has no table of a section: make them, or name one")
    drawn = figures or Path("results/figures") / inputs.name
    write_page(chosen, inputs, drawn, out or Path(f"results/report/{inputs.name}.md"))
    if metrics is not None:
        write_metrics(chosen, inputs, metrics)
    if cells is not None:
        write_cells(inputs, cells)


@app.command()
@options.with_settings(without=("dataset", "device", "engine"))
def explorer(
    context: typer.Context,
    spaces: Annotated[
        list[str],
        typer.Argument(
            metavar="SPACE...",
            help="Search spaces with scores and a benchmark.",
            autocompletion=options.completed(options.SPACES),
        ),
    ],
    settings: "RankSettings",
    out: Annotated[
        Path, typer.Option(help="HTML file to write.", dir_okay=False, callback=options.written)
    ] = PAGE,
    benchmark: options.Benchmark = None,
    scores: options.Scores = None,
    tables: Tables = None,
) -> None:
    """Write an interactive page of scores, accuracies and searches.

    The page is one file, and needs no network. Correlations and searches are on it where their
    tables were made. Files can be named for a single space. Settings are those that the scores
    were computed with, for the commands on the page.
    """
    if len(spaces) > 1 and not benchmark is scores is tables is None:
        raise ParameterError("--benchmark, --scores and --tables: name one space")

    from untrained.errors import unknown_name
    from untrained.images.minibatches import check_drawing
    from untrained.images.sets import image_set
    from untrained.report.explorer import run_page
    from untrained.report.scores import image_sets
    from untrained.scoring.request import PRECISIONS

    if settings["precision"] not in PRECISIONS:
        raise unknown_name("precision", settings["precision"], PRECISIONS)
    read = [_inputs(name, [], None, benchmark, scores, tables) for name in spaces]
    drawn = settings["batch_size"], settings["augmentation"], settings["sampling"]
    for name in dict.fromkeys(name for one in read for name in image_sets(one.scores)):
        known = image_set(name)
        check_drawing(known, known.split(settings["split"]), *drawn)
    text = run_page(read, options.words_of(context, *settings))
    with atomic(out) as part:
        part.write_text(text)


@app.command("open")
def open_page(
    file: Annotated[
        Path, typer.Argument(help="HTML or Markdown file of a report.", dir_okay=False)
    ] = PAGE,
) -> None:
    """Open the interactive page of a run in the browser."""
    import webbrowser

    if file.suffix not in (".html", ".md"):
        raise ParameterError(f"{file} is no page of a report: name an .html or .md file")
    if not file.is_file():
        makes = "`make run` or `snakemake report` makes it" if file == PAGE else "name a page"
        raise MissingDataError(f"{file} does not exist: {makes}")
    address = file.resolve().as_uri()
    opened = webbrowser.open(address)
    typer.echo(address if opened else f"no browser found: open {address}")


@app.command()
def show(space: options.Space, tables: Tables = None) -> None:
    """Print the main tables, and where the report lies."""
    from rich.console import Console

    from untrained.report.build import made

    inputs = _inputs(space, [], None, None, None, tables)
    inputs.table("correlations")  # says how it is made where nothing is
    console = Console(width=None if Console().is_terminal else 100)
    for one in (line for section in made(inputs) for line in section.show(inputs)):
        console.print(one, markup=False)
    console.print(f"\nReport: results/report/{inputs.name}.md", markup=False)
    if PAGE.is_file():
        console.print(f"Page:   {PAGE} (`untrained report open` shows it)", markup=False)


def _check_taken(
    context: typer.Context,
    chosen: "list[Section]",
    names: str,
    only: str | None,
    beside: list[str] | None,
) -> None:
    """Refuse what was given and none of the sections takes."""
    taken = {"proxy", *KEYS} - {name for one in chosen for name in one.options}
    read = {"benchmark", "scores", "devices_table"} - {name for one in chosen for name in one.reads}
    read = {name.removesuffix("_table") for name in read}
    options.without_effect(context, f"{names} takes no such option", *taken, *read)
    if only == "tables":
        options.without_effect(context, "with --only tables no figure is drawn", "figures")
    if beside:
        options.without_effect(context, "with --beside a figure alone is drawn", "only")


def _sections(names: str) -> "list[Section]":
    from untrained.report import NAMES, section

    chosen = {name: section(name) for name in names.split(",")}
    return sorted(chosen.values(), key=lambda one: NAMES.index(one.name))


def _inputs(
    space: str,
    sections: "list[Section]",
    files: list[Path] | None,
    benchmark: Path | None,
    scores: Path | None,
    tables: Path | None,
    beside: tuple[str, ...] = (),
) -> "Inputs":
    """What is read, with the space known and its files of the one kind that the sections read."""
    from untrained.report.inputs import COLUMNS, Inputs
    from untrained.spaces import get_space

    for name in (space, *beside):
        get_space(name)
    kinds = {kind for one in sections for kind in one.reads if kind in COLUMNS} - {"scores"}
    if len(kinds) > 1:
        raise ParameterError(f"sections that read {', '.join(sorted(kinds))}: make them apart")
    if files and not kinds:
        names = ", ".join(one.name for one in sections)
        raise ParameterError(f"{names} reads no files but benchmark and scores: drop {files[0]}")
    given = dict.fromkeys(kinds, files or [])
    return Inputs(space, benchmark, scores, given, tables, beside)

"""`untrained fetch`: benchmark tables and images, from official files or what is bundled."""

from pathlib import Path
from typing import Annotated

import typer

from untrained.cli import options
from untrained.cli.progress import teller
from untrained.download import check_mirror
from untrained.files import BENCHMARKS, IMAGES


def fetch(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="Name or address of a search space or a data set.",
            autocompletion=options.completed(options.SPACES, options.DATASETS),
        ),
    ],
    source: Annotated[
        Path | None, typer.Option("--from", help="Official file, archive or folder to read.")
    ] = None,
    mirror: Annotated[
        str | None,
        typer.Option(
            help="Base URL (https://, http:// or file://) or folder that has the official files; "
            "default: fetch.mirror of params.yaml.",
            callback=check_mirror,
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="Split of the data set: `sample` is bundled, others need the official files."
        ),
    ] = "train",
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write; default: the one that other commands read.",
            dir_okay=False,
            callback=options.written,
        ),
    ] = None,
    note: Annotated[
        Path | None,
        typer.Option(
            help="JSON file to write that names the file which the data set is read from.",
            dir_okay=False,
            callback=options.written,
        ),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option(help="Convert images although some official files are not there.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Fetch a benchmark table or a data set."""
    from untrained.errors import ParameterError, unknown_name
    from untrained.images.sets import IMAGE_SETS, SAMPLE, ImageSet, image_set
    from untrained.parameters import read_parameters
    from untrained.plugins import imported, is_address
    from untrained.spaces import SPACES, table_of

    if mirror is not None and source is not None:
        raise ParameterError("--from and --mirror: take one of the two")
    if mirror is None and source is None:
        section = read_parameters().get("fetch")
        mirror = section.get("mirror") if isinstance(section, dict) else None
    found = imported("space or data set", name) if is_address(name) else None
    if name in IMAGE_SETS.names() or isinstance(found, ImageSet):
        known = image_set(name)
        if known.split(split) == SAMPLE:
            no_file = "the sample is bundled or drawn, and nothing is fetched"
            options.without_effect(context, no_file, "source", "mirror", "out", "allow_missing")
        target = out or known.file(IMAGES)
        _fetch_images(name, split, source, mirror, target, allow_missing, note, quiet)
    elif name in SPACES.names() or found is not None:
        of_images = f"{name} is a search space, and it is of images"
        options.without_effect(context, of_images, "split", "note", "allow_missing")
        own = SPACES.file_name(name)
        _fetch_benchmark(own, source, mirror, out or table_of(BENCHMARKS, own), quiet)
    else:
        raise unknown_name("space or data set", name, [*SPACES.names(), *IMAGE_SETS.names()])


def _fetch_benchmark(
    name: str, source: Path | None, mirror: str | None, target: Path, quiet: bool
) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from untrained.benchmarks.fetch import fetch_benchmark

    console = Console(stderr=True)
    hidden = quiet or not console.is_terminal  # in a log file the bar would be an empty line
    with Progress(console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task(f"converting {source}", total=None, visible=source is not None)
        remark = fetch_benchmark(
            name,
            target,
            source,
            mirror,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    teller(quiet)(f"{target}")
    if remark:
        teller(quiet)(remark)


def _fetch_images(
    name: str,
    split: str,
    source: Path | None,
    mirror: str | None,
    target: Path,
    allow_missing: bool,
    note: Path | None,
    quiet: bool,
) -> None:
    from untrained.images.fetch import fetch_images, write_note
    from untrained.images.sets import image_set

    known, tell = image_set(name), teller(quiet)
    split = known.split(split)
    known.check_split(split)
    if split == "sample":
        where = "bundled" if known.stored else "drawn for each minibatch"
        tell(f"{name}: the sample is {where}, nothing to fetch")
    else:
        counts = fetch_images(
            name,
            target,
            source,
            mirror,
            allow_missing,
            bar=not quiet,
            progress=lambda member: tell(f"{name}: read {member}"),
        )
        listed = ", ".join(f"{count} {part}" for part, count in counts.items())
        tell(f"{target}: {listed} images")
    if note is not None:
        write_note(known, split, target, note)

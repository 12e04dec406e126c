"""`untrained fetch`: benchmark tables and images, from official files or what is bundled."""

from pathlib import Path
from typing import Annotated

import typer

from untrained.cli import options
from untrained.files import BENCHMARKS, IMAGES


def fetch(
    name: Annotated[str, typer.Argument(help="A search space or a data set.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="Official file, archive or folder.")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="Base URL or folder; default: fetch.mirror of params.yaml.")
    ] = None,
    split: Annotated[
        str, typer.Option(help="Split of a data set: `sample` is bundled, others need the files.")
    ] = "train",
    out: Annotated[
        Path | None, typer.Option(help="File to write.", dir_okay=False, callback=options.written)
    ] = None,
    note: Annotated[
        Path | None,
        typer.Option(
            help="Also write which file a data set is read from (JSON).",
            dir_okay=False,
            callback=options.written,
        ),
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option(help="Convert images although some official files are not there.")
    ] = False,
) -> None:
    """Fetch a benchmark table or a data set."""
    from untrained.errors import unknown_name
    from untrained.images.sets import IMAGE_SETS, ImageSet, image_set
    from untrained.parameters import read_parameters
    from untrained.plugins import imported, is_address
    from untrained.spaces import SPACES, table_of

    if mirror is None and source is None:
        section = read_parameters().get("fetch")
        mirror = section.get("mirror") if isinstance(section, dict) else None
    found = imported("space or data set", name) if is_address(name) else None
    if name in IMAGE_SETS.names() or isinstance(found, ImageSet):
        target = out or image_set(name).file(IMAGES)
        _fetch_images(name, split, source, mirror, target, allow_missing, note)
    elif name in SPACES.names() or found is not None:
        own = SPACES.file_name(name)
        _fetch_benchmark(own, source, mirror, out or table_of(BENCHMARKS, own))
    else:
        raise unknown_name("space or data set", name, [*SPACES.names(), *IMAGE_SETS.names()])


def _fetch_benchmark(name: str, source: Path | None, mirror: str | None, target: Path) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from untrained.benchmarks.fetch import fetch_benchmark

    console = Console(stderr=True)
    # in a log file the bar would be an empty line
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"converting {source}", total=None, visible=source is not None)
        remark = fetch_benchmark(
            name,
            target,
            source,
            mirror,
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    typer.echo(f"{target}", err=True)
    if remark:
        typer.echo(remark, err=True)


def _fetch_images(
    name: str,
    split: str,
    source: Path | None,
    mirror: str | None,
    target: Path,
    allow_missing: bool,
    note: Path | None,
) -> None:
    from untrained.images.fetch import fetch_images, write_note
    from untrained.images.sets import image_set

    known = image_set(name)
    split = known.split(split)
    known.check_split(split)
    if split == "sample":
        where = "bundled" if known.stored else "drawn for each minibatch"
        typer.echo(f"{name}: the sample is {where}, nothing to fetch", err=True)
    else:
        counts = fetch_images(
            name,
            target,
            source,
            mirror,
            allow_missing,
            progress=lambda member: typer.echo(f"{name}: read {member}", err=True),
        )
        listed = ", ".join(f"{count} {part}" for part, count in counts.items())
        typer.echo(f"{target}: {listed} images", err=True)
    if note is not None:
        write_note(known, split, target, note)

"""Progress of long work on standard error: a bar on a terminal, lines in a log file."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, TypeVar

import typer

from untrained.scoring.progress import Track, untracked
from untrained.scoring.progress import quiet as ignored

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

T = TypeVar("T")


def tracker(quiet: bool) -> Track:
    """Return what reports the progress of work: `track`, or nothing."""
    return untracked if quiet else track


def teller(quiet: bool) -> Callable[[str], None]:
    """Return what tells people what is done: `tell`, or nothing."""
    return ignored if quiet else tell


def tell(message: str) -> None:
    """Print a message on standard error."""
    typer.echo(message, err=True)


@contextmanager
def results_only() -> Iterator[None]:
    """Send to standard error what networks and libraries print, also from C: it is no result."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def track(items: Iterable[T], total: int, what: str, unit: str = "architectures") -> Iterator[T]:
    """Yield items and report their number, their rate and the time left.

    A log file gets a line for every tenth of the work.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        from rich.progress import Progress

        with Progress(*_columns(what, unit), console=console) as progress:
            yield from progress.track(items, total=total)
        return
    start, reported = time.monotonic(), 0
    for done, item in enumerate(items, start=1):
        yield item
        if done * 10 // total > reported:
            reported = done * 10 // total
            rate = done / max(time.monotonic() - start, 1e-9)
            left = (total - done) / rate
            sys.stderr.write(
                f"{what}: {done}/{total} {unit}, {_pace(rate, unit)}, {left:.0f} s left\n"
            )
            sys.stderr.flush()


def _pace(rate: float, unit: str) -> str:
    """Return a rate in words, that of slow work as the seconds of one."""
    return f"{1 / rate:.1f} s each" if 0 < rate < 1 else f"{rate:.1f} {unit}/s"


def _columns(what: str, unit: str) -> "list[ProgressColumn]":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(_pace(task.speed or 0, unit))

    return [TextColumn(what), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()]

"""Progress of long work on standard error: a bar on a terminal, lines in a log file."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

T = TypeVar("T")


class _Rate(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:.1f} {self.unit}/s")


def track(items: Iterable[T], total: int, what: str, unit: str = "architectures") -> Iterator[T]:
    """Yield items and report their number, their rate and the time left.

    A log file gets a line for every tenth of the work.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn(what), BarColumn(), MofNCompleteColumn(), _Rate(unit), TimeRemainingColumn()
        )  # fmt: skip
        with Progress(*columns, console=console) as progress:
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
                f"{what}: {done}/{total} {unit}, {rate:.1f} {unit}/s, {left:.0f} s left\n"
            )
            sys.stderr.flush()

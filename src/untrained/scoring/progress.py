"""How long work reports its progress and speaks to people, where it is asked to."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Reports the progress of long work: wraps its items; see `untrained.cli.progress.track`."""

    def __call__(self, items: Iterable[T], total: int, what: str, unit: str = ...) -> Iterable[T]:
        """Yield the items."""
        ...


def untracked(items: Iterable[T], total: int, what: str, unit: str = "") -> Iterable[T]:
    """Report no progress."""
    del total, what, unit
    return items


def quiet(message: str) -> None:
    """Drop a message."""
    del message

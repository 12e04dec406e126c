"""Callbacks by which long work reports its progress and messages."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """A function that wraps the items of long work; see `untrained.cli.progress.track`."""

    def __call__(self, items: Iterable[T], total: int, what: str, unit: str = ...) -> Iterable[T]:
        """Yield the items and report how many there were."""
        ...


def untracked(items: Iterable[T], total: int, what: str, unit: str = "") -> Iterable[T]:
    """Return the items and report nothing."""
    del total, what, unit
    return items


def quiet(message: str) -> None:
    """Ignore a message."""
    del message

"""Names to implementations, imported only when asked for (so that `--help` stays fast)."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Generic, TypeVar

from untrained.errors import unknown_name

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """A named collection of `module:attribute` addresses.

    Attributes:
        kind: what the entries are, for error messages ("space", "proxy", ...).
        addresses: name to `package.module:attribute`.
    """

    kind: str
    addresses: Mapping[str, str]

    def names(self, pattern: str = "*") -> list[str]:
        """The sorted names that match a shell-style pattern."""
        return sorted(name for name in self.addresses if fnmatchcase(name, pattern))

    def load(self, name: str) -> T:
        """Import and return the entry called `name`.

        Raises:
            UnknownNameError: no such entry; the message suggests the nearest one.
        """
        if name not in self.addresses:
            raise unknown_name(self.kind, name, self.addresses)
        module, _, attribute = self.addresses[name].partition(":")
        entry: T = getattr(import_module(module), attribute)
        return entry

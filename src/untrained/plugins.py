"""Find proxies, spaces, algorithms and image sets by name: built in, installed, or by address.

An installed package adds entries under an entry point group, in its `pyproject.toml`:

    [project.entry-points."untrained.proxies"]
    mean_activation = "my_package.proxies:MeanActivation"

Where a name is asked for, an address of the form `package.module:Attribute` will do as well. Names
and addresses are known without importing what they stand for.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from untrained.errors import PluginError, unknown_name

T_co = TypeVar("T_co", covariant=True)

#: Where an entry of the package itself comes from.
BUILT_IN = "built in"

_ADDRESS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_address(name: str) -> bool:
    """Return whether a name is spelled as the address of an attribute of a module."""
    return _ADDRESS.fullmatch(name) is not None


@dataclass(frozen=True)
class Registry(Generic[T_co]):
    """The entries of one kind, by name.

    Attributes:
        kind: what the entries are, for error messages ("space", "proxy", ...).
        group: the entry point group through which other packages add entries.
        builtin: name to `package.module:attribute`, of the entries of this package.
        attributes: what every entry has; one that lacks any of them is refused.
    """

    kind: str
    group: str
    builtin: Mapping[str, str]
    attributes: tuple[str, ...] = ()
    _named_by_address: dict[str, str] = field(default_factory=dict, init=False, compare=False)

    def names(self, pattern: str = "*") -> list[str]:
        """The sorted names that match a shell-style pattern, built in and installed.

        Raises:
            PluginError: a package takes a name that is taken.
        """
        return sorted(name for name in self._addresses() if fnmatchcase(name, pattern))

    def address(self, name: str) -> str:
        """The address of the entry of this name; an address is its own.

        Raises:
            UnknownNameError: no such entry; the message suggests the nearest one.
            PluginError: a package takes a name that is taken.
        """
        known = self._addresses()
        if name in known:
            return known[name][0]
        if is_address(name):
            return name
        if name in self._named_by_address:
            return self._named_by_address[name]
        raise unknown_name(self.kind, name, known)

    def module_of(self, name: str) -> str:
        """The module of an entry, which is not imported; see `address` for what is raised."""
        return self.address(name).partition(":")[0]

    def origin(self, name: str) -> str:
        """Where an entry comes from: `BUILT_IN`, the package that adds it, or its address."""
        known = self._addresses()
        return known[name][1] if name in known else self.address(name)

    def described(self, pattern: str = "*") -> list[tuple[str, str, str]]:
        """List (spelling, summary or why it can't be used, origin) of all entries and variants.

        Args:
            pattern: shell-style, of the spelling.
        """
        found = []
        for name in self.names():
            try:
                entry: object = self.load(name)
            except PluginError as error:
                entry, summary = None, f"can't be used: {error}"
            else:
                summary = getattr(entry, "summary", "")
            others = getattr(entry, "variants", ("",))[1:]
            spellings = [name, *(f"{name}-{variant}" for variant in others)]
            found += [(one, summary, self.origin(name)) for one in spellings]
        return sorted(one for one in found if fnmatchcase(one[0], pattern))

    def load(self, name: str) -> T_co:
        """Import and return the entry of this name, or at this address.

        An entry that was loaded by its address is known by its own `name` from then on, so that
        what refers to it by that name finds it in the same process.

        Raises:
            UnknownNameError: no such entry; the message suggests the nearest one.
            PluginError: the entry can't be imported, lacks attributes that its kind has, calls
                itself otherwise than it is registered, or takes a name that is taken.
        """
        address = self.address(name)
        entry: T_co = imported(self.kind, address)
        missing = [attribute for attribute in self.attributes if not hasattr(entry, attribute)]
        missing += sorted(getattr(entry, "__abstractmethods__", ()))
        if missing:
            raise PluginError(
                f"{address} is no {self.kind}: it lacks {', '.join(missing)}; add what is missing "
                "(docs/extending.md says what each is)"
            )
        own = getattr(entry, "name", name)
        if isinstance(own, str) and own != name:
            self._note_name(own, name, address)
        return entry

    def _note_name(self, own: str, name: str, address: str) -> None:
        known = self._addresses()
        if name != address and name in known:
            raise PluginError(
                f"the {self.kind} registered as {name!r} calls itself {own!r} in {address}: give "
                "it one name in both places"
            )
        if known.get(own, (address,))[0] != address:
            raise PluginError(
                f"{address} calls itself {own!r}, a {self.kind} that is {known[own][1]}: give it "
                "another name"
            )
        self._named_by_address[own] = address

    def _addresses(self) -> Mapping[str, tuple[str, str]]:
        """Name to address and origin of the entries that need no address."""
        found = {name: (address, BUILT_IN) for name, address in self.builtin.items()}
        for point in _entry_points(self.group, tuple(sys.path)):
            package = _package(point)
            if not is_address(point.value):
                raise PluginError(
                    f"{package} adds the {self.kind} {point.name!r} at {point.value!r}: an address "
                    "is spelled package.module:Attribute"
                )
            taken = found.get(point.name)
            if taken is not None and taken[0] != point.value:
                raise PluginError(
                    f"{package} adds the {self.kind} {point.name!r}, which is {taken[1]}: give it "
                    "another name, or uninstall the package"
                    if taken[1] == BUILT_IN
                    else f"{taken[1]} and {package} both add the {self.kind} {point.name!r}: "
                    "uninstall one of the two packages, or rename one of the entries"
                )
            found.setdefault(point.name, (point.value, package))
        return found


@lru_cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The installed entry points of a group, read once for each import path."""
    del path
    return tuple(sorted(entry_points(group=group), key=_package))


def _package(point: EntryPoint) -> str:
    """The name of the package that has an entry point."""
    return point.dist.name if point.dist is not None else point.module


def imported(kind: str, address: str) -> Any:  # noqa: ANN401 - whatever is there
    """Return the attribute of a module at an address.

    Args:
        kind: what it should be, for the message.
        address: `package.module:Attribute`.

    Raises:
        PluginError: no such module or attribute, or the module needs one that is not installed.
    """
    name, _, attribute = address.partition(":")
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        absent = error.name or name
        if f"{name}.".startswith(f"{absent}."):
            raise PluginError(
                f"{kind} {address!r}: there is no module {absent}: install its package, or add "
                "the folder that it is in to PYTHONPATH"
            ) from error
        raise PluginError(
            f"{kind} {address!r}: module {name} needs {absent}, which is not installed: install it"
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        public = [known for known in vars(module) if not known.startswith("_")]
        lacking = unknown_name(f"attribute of {name}", attribute, public)
        raise PluginError(f"{kind} {address!r}: {lacking}") from error

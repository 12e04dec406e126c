"""Registries of proxies, spaces, algorithms and data sets, to which other packages can add.

An installed package adds entries by an entry point group in its `pyproject.toml`:

    [project.entry-points."untrained.proxies"]
    mean_activation = "my_package.proxies:MeanActivation"

An address of the form `package.module:Attribute` may take the place of a name. Names and addresses
are known without an import of the entries.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache, cached_property, lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import getattr_static
from pathlib import PurePath
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from untrained.errors import (
    PluginError,
    UntrainedError,
    first_line,
    quoted,
    stops,
    unknown_name,
)

if TYPE_CHECKING:
    from pydantic import BaseModel

T_co = TypeVar("T_co", covariant=True)

#: The origin of an entry of this package.
BUILT_IN = "built in"

_ADDRESS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_address(name: str) -> bool:
    """Return whether a name has the form of an address, `package.module:Attribute`."""
    return _ADDRESS.fullmatch(name) is not None


def is_path(name: str) -> bool:
    """Return whether a name has the path of a file where an address has a module."""
    return re.fullmatch(r"[^:]*(/[^:]*|\.py):[^\W\d]\w*", name) is not None


@dataclass(frozen=True)
class Description:
    """What a registry knows of an entry.

    Attributes:
        name: its name.
        spellings: the name, and the spelling of each other variant.
        summary: what it is in one line, or why it can't be used.
        origin: `BUILT_IN`, or the package that adds it.
        usable: whether it can be loaded.
    """

    name: str
    spellings: tuple[str, ...]
    summary: str
    origin: str
    usable: bool


@dataclass(frozen=True)
class Registry(Generic[T_co]):
    """The entries of one kind, by name.

    Attributes:
        kind: the word for an entry in messages ("space", "proxy", ...).
        group: the entry point group by which other packages add entries.
        builtin: the entries of this package, name to `package.module:attribute`.
        attributes: the attributes that an entry must have.
        like: the class whose annotations say what the values of attributes are; None to check none.
        of_classes: whether entries are classes; otherwise they are objects.
        letters: the regular expression of a name.
        reserved: names that no entry may have, since tables call something else so.
        own: the attributes that no base class gives; where one is missing, no others are named.
    """

    kind: str
    group: str
    builtin: Mapping[str, str]
    attributes: tuple[str, ...] = ()
    like: type | None = None
    of_classes: bool = True
    letters: str = r"[^\W\d]\w*"
    reserved: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    _named_by_address: dict[str, str] = field(default_factory=dict, init=False, compare=False)

    def names(self, pattern: str = "*") -> list[str]:
        """Return the sorted names, built in and installed, that match a shell-style pattern.

        Raises:
            PluginError: two packages add an entry of the same name.
        """
        return sorted(name for name in self._addresses() if fnmatchcase(name, pattern))

    def address(self, name: str) -> str:
        """Return the address of an entry by its name; an address is returned as it is.

        Raises:
            UnknownNameError: no such entry; the message suggests the nearest one.
            PluginError: two packages add an entry of the same name.
        """
        known = self._addresses()
        if name in known:
            return known[name][0]
        if is_address(name):
            return name
        if name in self._named_by_address:
            return self._named_by_address[name]
        raise unknown_name(self.kind, name, [*known, *self.reserved])

    def file_name(self, name: str) -> str:
        """Return the one spelling of an entry by which its files are named.

        It is the name that the entry is registered with, or else its address. Errors are those of
        `address`.
        """
        known, address = self._addresses(), self.address(name)
        return next((own for own, (its, _) in known.items() if its == address), address)

    def module_of(self, name: str) -> str:
        """Return the module of an entry, which is not imported; errors are those of `address`."""
        return self.address(name).partition(":")[0]

    def origin(self, name: str) -> str:
        """Return the origin of an entry: `BUILT_IN`, the package that adds it, or its address."""
        known = self._addresses()
        return known[name][1] if name in known else self.address(name)

    def described(self, pattern: str = "*") -> "list[Description]":
        """Describe the entries of which a spelling matches a shell-style pattern, by name."""
        found = []
        for name in self.names():
            try:
                entry: object = self.load(name)
            except PluginError as error:
                entry, summary = None, f"can't be used: {error}"
            else:
                summary = getattr(entry, "summary", "")
            others = getattr(entry, "variants", ("",))[1:]
            spellings = (name, *(f"{name}-{variant}" for variant in others))
            found.append(
                Description(name, spellings, summary, self.origin(name), entry is not None)
            )
        return [one for one in found if any(fnmatchcase(text, pattern) for text in one.spellings)]

    def load(self, name: str) -> T_co:
        """Import and return the entry with a name or at an address.

        An entry that has been loaded by its address can then be loaded by its own `name` in the
        same process.

        Raises:
            UnknownNameError: no such entry; the message suggests the nearest one.
            PluginError: the entry can't be imported, lacks attributes of its kind, has one of
                another type than `like` says, has another `name` than the one it is registered
                with, the `name` of another entry, or one that is no name.
        """
        address = self.address(name)
        entry: T_co = imported(self.kind, address)
        self._check(entry, address)
        if self.like is not None and isinstance(entry, type) != self.of_classes:
            right = "a class" if self.of_classes else "an object"
            raise PluginError(f"{address} is {quoted(entry)}: name {right}")
        own = getattr(entry, "name", name)
        if isinstance(own, str) and own != name:
            self._note_name(own, name, address)
        return entry

    def adopt(self, entry: object) -> str:
        """Check an instance of a class that is not registered, and return its name.

        In this process the name then belongs to the address of its class.

        Raises:
            PluginError: as for `load`.
        """
        address = address_of(entry)
        self._check(entry, address)
        own: str = entry.name  # type: ignore[attr-defined] # the attributes were checked
        self._note_name(own, address, address)
        return own

    def _check(self, entry: object, address: str) -> None:
        """Raise PluginError unless an entry has the attributes of its kind."""
        abstract: frozenset[str] = getattr(entry, "__abstractmethods__", frozenset())
        known = dict.fromkeys([*self.own, *self.attributes, *sorted(abstract)])
        if missing := [one for one in known if one in abstract or not _has(entry, one)]:
            missing = [one for one in missing if one in self.own] or missing
            raise PluginError(
                f"{address} is no {self.kind}: it lacks {', '.join(missing)}; add what is missing "
                "(docs/extending.md says what each is)"
            )
        if self.like is None or not is_foreign(address):
            return
        from pydantic import ValidationError

        there = [name for name in _model_of(self.like).model_fields if _has(entry, name)]
        values = {name: getattr(entry, name) for name in there}
        # a class has no value of what its objects compute, and any kind of set will do
        computed = (property, cached_property)
        values = {
            name: frozenset(value) if isinstance(value, Set) else value
            for name, value in values.items()
            if not isinstance(value, computed)
        }
        try:
            _model_of(self.like).model_validate(values)
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            where = ".".join(part for part in wrong["loc"] if isinstance(part, str))
            raise PluginError(
                f"the {where} of the {self.kind} {address} is {quoted(wrong['input'])}: "
                f"{wrong['msg'].replace('Input', 'it')}"
            ) from error
        if "name" in values:
            self._check_name(values["name"], address)

    def _check_name(self, name: str, whose: str) -> None:
        if not re.fullmatch(self.letters, name):
            hyphen = " and hyphens" if "-" in self.letters else ""
            raise PluginError(
                f"{whose} calls a {self.kind} {quoted(name)}: take letters, digits, "
                f"underscores{hyphen}, and first a letter"
            )

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
        """Return name to (address, origin) of the entries that are built in or installed."""
        found = {name: (address, BUILT_IN) for name, address in self.builtin.items()}
        for point in _entry_points(self.group, tuple(sys.path)):
            package = _package(point)
            if not is_address(point.value):
                raise PluginError(
                    f"{package} adds the {self.kind} {point.name!r} at {point.value!r}: an address "
                    "is spelled package.module:Attribute"
                )
            self._check_name(point.name, package)
            if point.name in self.reserved:
                raise PluginError(
                    f"{package} adds the {self.kind} {point.name!r}, a name that tables give to "
                    "something else: give it another name, or uninstall the package"
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


@cache
def _model_of(like: type) -> "type[BaseModel]":
    """Return the model of the attributes that a class annotates."""
    from pydantic import ConfigDict, create_model

    hints = {
        name: get_args(hint)[0] if get_origin(hint) is ClassVar else hint
        for name, hint in get_type_hints(like).items()
        if not name.startswith("_")
    }
    config = ConfigDict(
        strict=True, revalidate_instances="always", arbitrary_types_allowed=True, extra="ignore"
    )
    fields: dict[str, Any] = {name: (hint, None) for name, hint in hints.items()}
    return create_model(like.__name__, __config__=config, **fields)


@lru_cache
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the installed entry points of a group, which are read once for each import path."""
    del path
    return tuple(sorted(entry_points(group=group), key=_package))


def _has(entry: object, attribute: str) -> bool:
    """Return whether an object has an attribute; properties are not evaluated."""
    try:
        getattr_static(entry, attribute)
    except AttributeError:
        return False
    return True


def is_foreign(address: str) -> bool:
    """Return whether an address is of another package."""
    return re.split("[.:]", address)[0] != __package__


def address_of(entry: object) -> str:
    """Return the address of a class, or that of the class of any other object."""
    owner = entry if isinstance(entry, type) else type(entry)
    return f"{owner.__module__}:{owner.__qualname__}"


def _package(point: EntryPoint) -> str:
    """Return the name of the package of an entry point."""
    return point.dist.name if point.dist is not None else point.module


@contextmanager
def blamed(kind: str, entry: object) -> Iterator[None]:
    """Turn any failure of the code of another package into one line that names it.

    Args:
        kind: the word for the entry in messages.
        entry: an entry, an instance of one, or an address; errors of one that is built in are left
            as they are.

    Raises:
        PluginError: the code failed; the message has its address and the error.
    """
    try:
        yield
    except UntrainedError:
        raise
    except BaseException as error:
        if stops(error):
            raise
        address = entry if isinstance(entry, str) else address_of(entry)
        if not is_foreign(address):
            raise
        raise PluginError(f"the {kind} {address} failed: {first_line(error)}") from error


def imported(kind: str, address: str) -> Any:  # noqa: ANN401 - any attribute
    """Return the attribute of a module at an address.

    Args:
        kind: the word for the attribute in messages.
        address: `package.module:Attribute`.

    Raises:
        PluginError: no such module or attribute, or the module needs one that is not installed or
            fails when it is imported.
    """
    name, _, attribute = address.partition(":")
    if is_path(address):
        path = PurePath(name).with_suffix("")
        outside = path.is_absolute() or ".." in path.parts
        module_name = path.name if outside else ".".join(path.parts)
        raise PluginError(
            f"{kind} {address!r} has the path of a file: write {module_name}:{attribute}, in the "
            "folder that the module is in or with it on PYTHONPATH"
        )
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
    except UntrainedError:
        raise
    except BaseException as error:
        if stops(error):
            raise
        if not is_foreign(address):
            raise
        raise PluginError(f"{kind} {address!r} can't be imported: {first_line(error)}") from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        public = [known for known in vars(module) if not known.startswith("_")]
        lacking = unknown_name(f"attribute of {name}", attribute, public)
        raise PluginError(f"{kind} {address!r}: {lacking}") from error

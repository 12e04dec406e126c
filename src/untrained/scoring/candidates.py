"""Candidates of a ranking: networks of one's own and architectures of spaces, by their names."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

from torch import nn

from untrained.errors import ParameterError, UnknownNameError, quoted, stops, summary
from untrained.plugins import is_address, is_path
from untrained.scoring.own import Calling, kept, load_factory, made_by
from untrained.scoring.request import OwnNetwork
from untrained.spaces import SPACES, Architecture, SearchSpace, get_space

#: What may be ranked; see `candidates_of`. An architecture may be what another tool writes.
Given = nn.Module | Callable[[], nn.Module] | str | Architecture | tuple[str | SearchSpace, object]

_SPELLINGS = "module:factory, timm:NAME, torchvision:NAME or space/architecture"


@dataclass(frozen=True)
class Candidate:
    """A network that is ranked.

    Attributes:
        name: the name in tables.
        target: a module, what makes a network anew for each seed, or the space of an architecture.
        index: the index of the architecture; 0 for networks of one's own.
    """

    name: str
    target: nn.Module | Callable[[], object] | SearchSpace
    index: int = 0

    @property
    def own(self) -> bool:
        """Whether the network belongs to no space."""
        return not isinstance(self.target, SearchSpace)

    @contextmanager
    def opened(self, calling: Calling, *, trained: bool) -> Iterator[SearchSpace | OwnNetwork]:
        """Yield what is scored; a module is as it was when the context ends.

        Args:
            calling: how networks of one's own are run.
            trained: whether a proxy is read after training, which a copy of a module is for.
        """
        if isinstance(self.target, SearchSpace):
            yield self.target
            return
        if isinstance(self.target, nn.Module):
            opened = kept(self.target, trained=trained, calling=calling)
        else:
            opened = made_by(self.name, self.target, calling)
        with opened as network:
            yield network


def candidates_of(
    given: Mapping[str, Given] | Sequence[Given], classes: int | None = None
) -> list[Candidate]:
    """Return candidates with names that all differ; no network is made.

    Args:
        given: modules, factories, names, or (space, architecture). A mapping gives their names; by
            default a candidate is called what it is spelled by, or its class or function.
        classes: the number of classes of networks of timm and torchvision; None for their own.

    Raises:
        UntrainedError: a name that does not exist, or something that is no candidate.
    """
    if isinstance(given, nn.Module | str) or not isinstance(given, Mapping | Sequence):
        raise ParameterError(
            f"candidates of type {type(given).__name__}: give a list, or a mapping of names"
        )
    if not given:
        raise ParameterError("no candidates are given: give one or more")
    if isinstance(given, Mapping):
        if twice := [name for name, count in Counter(map(str, given)).items() if count > 1]:
            raise ParameterError(f"two candidates are called {quoted(twice[0])}: name each once")
        return [_candidate(one, str(name), classes) for name, one in given.items()]
    found = [_candidate(one, None, classes) for one in given]
    names = Counter(one.name for one in found)
    numbers = Counter[str]()
    for place, one in enumerate(found):
        if names[one.name] > 1:
            numbers[one.name] += 1
            found[place] = Candidate(f"{one.name} {numbers[one.name]}", one.target, one.index)
    return found


def _candidate(given: object, name: str | None, classes: int | None) -> Candidate:
    match given:
        case nn.Module():
            return Candidate(name or type(given).__name__, given)
        case str():
            return _spelled(given, name or given, classes)
        case Architecture():
            return _member(given.space, given.index, name or f"{given.space}/{given.index}")
        case (str() | SearchSpace() as space, chosen):
            return _member(space, chosen, name)
    if not callable(given):
        raise ParameterError(
            f"{quoted(given)} is no candidate: give a module, a function that makes one, "
            f"(space, architecture), or {_SPELLINGS}"
        )
    function = given.func if isinstance(given, partial) else given
    return Candidate(name or str(getattr(function, "__name__", type(function).__name__)), given)


def _member(space: str | SearchSpace, architecture: object, name: str | None) -> Candidate:
    """Return an architecture, which is called what it is spelled by, or else by its index."""
    found = get_space(space)
    index = found.parse(architecture).index
    which = architecture if isinstance(architecture, str) else index
    spelled = space if isinstance(space, str) else space.name
    return Candidate(name or f"{spelled}/{which}", found, index)


def _spelled(text: str, name: str, classes: int | None) -> Candidate:
    library, _, network = text.partition(":")
    if library in LIBRARIES:
        return Candidate(name, LIBRARIES[library](network, classes))
    space, slash, architecture = text.partition("/")
    if slash and (space in SPACES.names() or is_address(space) or ":" not in space):
        try:
            return _member(space, architecture, name)
        except UnknownNameError:
            if not is_path(text):
                raise
    if is_address(text) or is_path(text):
        return Candidate(name, load_factory(text))
    raise ParameterError(f"{quoted(text)} names no candidate: write {_SPELLINGS}")


def _timm(name: str, classes: int | None) -> Callable[[], object]:
    timm = _library("timm", name)
    if not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models(), "timm.list_models()")
    return partial(timm.create_model, name, **_with_classes(classes))


def _torchvision(name: str, classes: int | None) -> Callable[[], object]:
    models = _library("torchvision.models", name)
    if name not in models.list_models():
        listing = "torchvision.models.list_models()"
        raise _unknown("torchvision", name, models.list_models(), listing)
    build = models.get_model_builder(name)
    # no weights are downloaded, neither those of a detector nor those of what it is built on
    fresh = {"weights": None, "weights_backbone": None}
    known = inspect.signature(build).parameters
    asked = {key: value for key, value in fresh.items() if key in known}
    return partial(build, **asked, **_with_classes(classes))


def check_classes(classes: int | None, given: Mapping[str, Given] | Sequence[Given]) -> None:
    """Refuse a number of classes that no candidate takes.

    Raises:
        ParameterError: no candidate is a network of timm or torchvision.
    """
    each = given.values() if isinstance(given, Mapping) else given
    taken = any(isinstance(one, str) and one.partition(":")[0] in LIBRARIES for one in each)
    if classes is not None and not taken:
        raise ParameterError(
            f"classes {classes}: only networks of {' and '.join(LIBRARIES)} take a number of "
            "classes, leave it out"
        )


#: Packages whose networks have names; none of them is needed for anything else.
LIBRARIES: Mapping[str, Callable[[str, int | None], Callable[[], object]]] = {
    "timm": _timm,
    "torchvision": _torchvision,
}


def _with_classes(classes: int | None) -> dict[str, Any]:
    return {} if classes is None else {"num_classes": classes}


def _library(module: str, name: str) -> ModuleType:
    package = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise ParameterError(f"{package}:{name} can't be had: {summary(error)}") from error
        raise ParameterError(
            f"{package}:{name} needs {package}, which is not installed: pip install {package}"
        ) from error
    except BaseException as error:
        if stops(error):
            raise
        raise ParameterError(
            f"{package}:{name} can't be had, as {package} can't be imported: {summary(error)}"
        ) from error


def _unknown(package: str, name: str, known: Sequence[str], listing: str) -> UnknownNameError:
    near = get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return UnknownNameError(f"{package} has no network {quoted(name)}: {meant}{listing} lists them")

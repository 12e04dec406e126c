"""Checks of the arguments of a request, before any network is made.

Each refusal is one line that has the argument, its value and what would be right.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from operator import index
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from untrained.errors import ParameterError, quoted, unknown_name
from untrained.limits import SEEDS
from untrained.proxies.base import Proxy
from untrained.scoring.images import Shape, spell_shape
from untrained.scoring.own import parse_shape
from untrained.scoring.request import Reading, parse_reading
from untrained.seeds import check_seed


def whole(name: str, value: object, least: int) -> int:
    """Return a whole number of `least` or more; those of NumPy are whole numbers, too.

    Raises:
        ParameterError: it is none.
    """
    number = _integer(value)
    if number is None or number < least:
        raise ParameterError(f"{name} {_spelled(value)}: a whole number, {least} or more")
    return number


def _integer(value: object) -> int | None:
    """Return a whole number, also of NumPy or in a tensor, and None for anything else."""
    try:
        return None if isinstance(value, bool) else index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def seed_of(seed: object) -> int:
    """Return a seed.

    Raises:
        ParameterError: it is none.
    """
    number = _integer(seed)
    if number is None:
        raise ParameterError(f"seed {_spelled(seed)}: a whole number, 0 or more")
    check_seed(number)
    return number


def seeds_of(seeds: object) -> tuple[int, ...]:
    """Return the seeds of a request, each once.

    Args:
        seeds: seeds, or their number from 0.

    Raises:
        ParameterError: they are none or too many, or one comes twice.
    """
    # a number in a tensor or an array is of a type that can be passed over
    single = isinstance(seeds, str | bytes) or getattr(seeds, "ndim", 1) == 0
    listed = isinstance(seeds, Iterable) and not single
    several = len(seeds) if listed and isinstance(seeds, Sized) else 0
    count = several if listed else whole("seeds", seeds, 1)
    if count > SEEDS:
        raise ParameterError(f"{count} seeds: at most {SEEDS}")
    found = tuple(map(seed_of, cast("Iterable[object]", seeds) if listed else range(count)))
    if not found:
        raise ParameterError(f"seeds {_spelled(seeds)}: give 1 or more")
    if len(set(found)) < len(found):
        raise ParameterError(f"seeds {_spelled(found)}: give each of them once")
    return found


def shape_of(given: object) -> Shape | None:
    """Return a shape (C, H, W) that is given as it is or as text; None for none.

    Raises:
        ParameterError: not three positive integers.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return parse_shape(given)
    if isinstance(given, Sequence | np.ndarray):
        return parse_shape(spell_shape(tuple(given)))
    raise ParameterError(f"input {_spelled(given)}: channels x height x width, as in 3x32x32")


def proxies_of(proxies: object) -> list[str | Proxy]:
    """Return the proxies of a request as they are given.

    Args:
        proxies: spellings or `Proxy` objects, or one of them.

    Raises:
        ParameterError: they are none.
    """
    several = [proxies] if isinstance(proxies, str) or callable(proxies) else proxies
    if not isinstance(several, Iterable):
        raise _no_proxy("proxies", proxies)
    found = [_proxy("proxies", one) for one in several]
    if not found:
        raise ParameterError("no proxies are given: name one or more, such as naswot")
    return found


def reading_of(name: str, proxy: object, variant: str | None = None) -> Reading:
    """Return the reading of a spelling, or of a `Proxy` object.

    Raises:
        ParameterError: it is neither.
        UnknownNameError: see `parse_reading`.
    """
    if variant is not None and not isinstance(variant, str):
        raise ParameterError(f"variant {_spelled(variant)}: give its name, as text")
    given = _proxy(name, proxy)
    return parse_reading(given, variant) if isinstance(given, str) else Reading(given)


def architectures_of(architectures: object) -> list[object]:
    """Return the architectures of a request.

    Raises:
        ParameterError: they are no list.
    """
    if isinstance(architectures, str) or not isinstance(architectures, Iterable):
        raise ParameterError(f"architectures {_spelled(architectures)}: give a list of them")
    return list(architectures)


def function_of(name: str, function: object) -> Callable[..., Any] | None:
    """Return a function of one's own; None where there is none.

    Raises:
        ParameterError: it can't be called.
    """
    if function is None or callable(function):
        return function
    raise ParameterError(f"{name} {_spelled(function)}: give a function")


def settings_of(
    settings: Mapping[str, object], kind: type, function: Callable[..., object] | None = None
) -> dict[str, Any]:
    """Return settings that have the types they must have.

    Args:
        settings: values by name.
        kind: the class of a dictionary whose annotations are the names and types of all settings.
        function: what took the settings besides its own arguments, for suggestions.

    Raises:
        UnknownNameError: there is no such setting.
        ParameterError: a value of another type, or fewer images than a minibatch can have.
    """
    types = inspect.get_annotations(kind)
    names = set(types) | set(inspect.signature(function).parameters if function else ())
    return {
        name: _setting(name, value, types.get(name), names - {"settings"})
        for name, value in settings.items()
    }


def _setting(name: str, value: object, kind: object, known: Iterable[str]) -> object:
    if kind is None:
        raise unknown_name("argument", name, known)
    if kind is int:
        return whole(name, value, 2)  # the fewest images that have batch statistics
    if isinstance(value, torch.device):
        return str(value)
    if kind is Path and isinstance(value, str | PathLike):
        return Path(value)
    if not isinstance(value, str):
        raise ParameterError(f"{name} {_spelled(value)}: give its name, as text")
    return value


def _proxy(name: str, value: object) -> str | Proxy:
    if isinstance(value, str):
        return value
    if isinstance(value, type):
        raise ParameterError(
            f"{name}: {value.__name__} is a class, give an object as in {value.__name__}()"
        )
    if not callable(value) or not all(hasattr(value, one) for one in Proxy.__annotations__):
        raise _no_proxy(name, value)
    return cast("Proxy", value)


def _no_proxy(name: str, value: object) -> ParameterError:
    return ParameterError(
        f"{name} {_spelled(value)}: give a spelling such as 'naswot', or a Proxy object"
    )


def _spelled(value: object) -> str:
    return quoted(value)

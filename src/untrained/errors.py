"""The errors that a user can correct.

Each message is one line with the wrong value and the remedy. The command line prints it without a
traceback and exits with code 2. Any other exception is a bug and keeps its traceback.
"""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from traceback import walk_tb
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class UntrainedError(Exception):
    """An error that the user can correct: bad input, a missing or a damaged file."""


class UnknownNameError(UntrainedError):
    """A space, proxy, data set, split or algorithm that does not exist."""


class PluginError(UntrainedError):
    """A proxy, space, algorithm or data set of another package that can't be used."""


class NetworkError(UntrainedError):
    """A network of one's own that can't be made or run; the message names the error."""


class ArchitectureError(UntrainedError):
    """An index or a spelling without an architecture in the space."""


class ParameterError(UntrainedError):
    """A setting outside its range."""


class MissingDataError(UntrainedError):
    """Data that does not exist; the message says how to get it."""


class DamagedFileError(UntrainedError):
    """A file whose content does not fit its name or its checksum."""


class DownloadError(UntrainedError):
    """A download that did not complete; the next attempt continues it."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return, not raise, the error for a name outside `known`; it suggests the nearest one."""
    names = sorted(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    suggestion = f"did you mean {lowered[near[0]]!r}? " if near else ""
    named = f"unknown {kind} {quoted(name, 100)}"
    return UnknownNameError(f"{named}: {suggestion}known: {', '.join(names)}")


def short(text: str, most: int = 60) -> str:
    """Return a text on one line of at most `most` characters, for an error message."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 3] + "..."


def quoted(value: object, most: int = 60) -> str:
    """Return a value as Python writes it, on one line; at most `most` characters of it."""
    if isinstance(value, str):  # whose last quote stays
        return repr(value if len(value) <= most else value[: most - 3] + "...")
    return short(repr(value), most)


def summary(error: BaseException) -> str:
    """Return the type and the first line of an error that another package's code raised."""
    if isinstance(error, SystemExit):
        return f"SystemExit: it calls exit({text_of(error.code)})"
    line = next((line for line in text_of(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line}"


def text_of(theirs: object) -> str:
    """Return the text of an object of another package, whose own method may fail or exit."""
    try:
        return str(theirs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever their method raises
        return f"its text can't be had, as that raises {type(error).__name__}"


def first_line(error: BaseException) -> str:
    """Return the summary of an error for a message on standard error."""
    return f"{summary(error)} (--debug shows where)"


def raised_here(error: BaseException) -> bool:
    """Return whether a line of this package raised an error, and not code that it called.

    Functions that are written in C have no lines, so those of others are called by `theirs`.
    """
    *_, (frame, _) = walk_tb(error.__traceback__)
    return (
        frame.f_code is not theirs.__code__
        and str(frame.f_globals.get("__name__")).partition(".")[0] == __package__
    )


def stops(error: BaseException) -> bool:
    """Return whether an exception ends the process, or a generator of this package, on purpose.

    Everything else that code of another package raises is its failure, `SystemExit` too.
    """
    closed = isinstance(error, GeneratorExit) and raised_here(error)
    return closed or isinstance(error, KeyboardInterrupt)


def passed_through_theirs(error: BaseException) -> bool:
    """Return whether code of a user, such as a forward pass, called what raised an error."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    names = [str(frame.f_globals.get("__name__")) for frame in frames]
    return any(
        (caller.f_code is theirs.__code__ or calling == "torch.nn.modules.module")
        and called.partition(".")[0] not in (__package__, "torch")
        for caller, calling, called in zip(frames, names, names[1:], strict=False)
    )


def theirs(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what a user gave, or an operation as a user's network asked for it.

    An error of the call itself, such as a wrong number of arguments, is then theirs, too.
    """
    return function(*args, **kwargs)

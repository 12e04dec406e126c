"""The one hierarchy of errors that are the user's to mend.

Each message is one line that names the offending value and says what would be right. The command
line prints it without a traceback and exits with 2; any other exception is a bug and keeps its
traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class UntrainedError(Exception):
    """Something that the user can mend: bad input, a missing or a damaged file."""


class UnknownNameError(UntrainedError):
    """A space, proxy, data set, split or algorithm that does not exist."""


class PluginError(UntrainedError):
    """A proxy, space, algorithm or image set of another package that can't be used."""


class ArchitectureError(UntrainedError):
    """An index or a spelling that no architecture of the space has."""


class ParameterError(UntrainedError):
    """A setting outside its range."""


class MissingDataError(UntrainedError):
    """Data that was asked for and is not there; the message says how to get it."""


class DamagedFileError(UntrainedError):
    """A file that is not what its name or its checksum promises."""


class DownloadError(UntrainedError):
    """A download that did not complete; what arrived is kept for a resume."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return (not raise) the error for a name outside `known`, with the nearest one suggested."""
    names = sorted(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    near = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    suggestion = f"did you mean {lowered[near[0]]!r}? " if near else ""
    return UnknownNameError(f"unknown {kind} {name!r}: {suggestion}known: {', '.join(names)}")


def short(text: str, most: int = 60) -> str:
    """Return text of the user on one line that an error message can show."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 3] + "..."

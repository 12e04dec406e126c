"""The finished rounds of a pruning search, from which the same search goes on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from untrained.errors import DamagedFileError, ParameterError
from untrained.files import atomic


@dataclass(frozen=True)
class Rounds:
    """What is done of a search.

    Attributes:
        rows: of its trace.
        seconds: that they took.
    """

    rows: Sequence[Mapping[str, Any]] = ()
    seconds: float = 0.0


def rounds_beside(trace: Path) -> Path:
    """Where the rounds of the search lie whose trace is to be written."""
    return trace.with_name(f"{trace.name}.rounds")


def write_rounds(path: Path, search: Mapping[str, Any], rounds: Rounds) -> None:
    """Write the rounds of the search with these settings, in one piece."""
    content = {"search": search, "rows": rounds.rows, "seconds": rounds.seconds}
    with atomic(path) as part:
        part.write_text(json.dumps({"sha256": _digest(content), **content}), encoding="utf-8")


def read_rounds(path: Path, search: Mapping[str, Any]) -> Rounds:
    """What is done of the search with these settings; nothing where there is no such file.

    Raises:
        DamagedFileError: it is not as it was written.
        ParameterError: it is of another search.
    """
    if not path.is_file():
        return Rounds()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        whole = content.pop("sha256") == _digest(content)
        theirs, rounds = dict(content["search"]), Rounds(content["rows"], content["seconds"])
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise _damaged(path) from error
    if not whole:
        raise _damaged(path)
    for name, ours in search.items():
        if theirs.get(name) != ours:
            raise ParameterError(
                f"{path} has rounds of another search ({name} {theirs.get(name)}, not {ours}): "
                "delete it or give another --out"
            )
    return rounds


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _damaged(path: Path) -> DamagedFileError:
    return DamagedFileError(f"{path} is damaged: delete it and the search begins anew")

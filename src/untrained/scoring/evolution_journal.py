"""What an interrupted evolution has read already, from which the same evolution goes on.

A journal as those of `untrained.scoring.journal`, with a line for each training that has ended.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from untrained.proxies.base import Status
from untrained.scoring.evolutions import Reading
from untrained.scoring.journal import journal_path
from untrained.scoring.json_lines import JsonLines, Kind, is_count, opened_lines

_FORMAT = "untrained evolution 1"
_KIND = Kind("journal of an evolution", "trains these", "delete it", named_by_people=False)
_READING = {field.name for field in fields(Reading)}

#: Architecture and seed, and what was read over their training.
_Line = tuple[tuple[int, int], list[Reading]]


@dataclass(eq=False)
class EvolutionJournal:
    """A journal that this process alone writes.

    Attributes:
        done: (architecture, seed) to what was read over the training.
    """

    done: dict[tuple[int, int], list[Reading]]
    _lines: JsonLines[_Line] | None = None

    def add(self, architecture: int, seed: int, readings: list[Reading]) -> None:
        """Append what was read over one training.

        Raises:
            UntrainedError: the disk is full.
        """
        if self._lines is not None:
            read = [asdict(reading) for reading in readings]
            self._lines.add({"architecture": architecture, "seed": seed, "readings": read})
        self.done[architecture, seed] = readings

    def remove(self) -> None:
        """Remove the file: the readings have been written elsewhere."""
        if self._lines is not None:
            self._lines.remove()


@contextmanager
def opened_evolution(
    folder: Path | None, settings: Mapping[str, Any]
) -> Iterator[EvolutionJournal]:
    """Open the journal of these settings, which is begun where there is none.

    Args:
        folder: of the journals; None for no journal.
        settings: names to values that JSON knows.

    Raises:
        UntrainedError: it can't be written, or another process writes it.
        DamagedFileError: a line of it is damaged.
    """
    if folder is None:
        yield EvolutionJournal({})
        return
    head = {"format": _FORMAT, **settings}
    with opened_lines(journal_path(folder, head), head, _readings, _KIND) as lines:
        yield EvolutionJournal(dict(lines.found), lines)


def _readings(line: Any) -> _Line | None:  # noqa: ANN401 - what JSON holds
    """What a line says; None where it holds something else."""
    if not isinstance(line, dict) or line.keys() != {"architecture", "seed", "readings"}:
        return None
    architecture, seed, readings = line["architecture"], line["seed"], line["readings"]
    if not (is_count(architecture) and is_count(seed) and isinstance(readings, list)):
        return None
    found = [Reading(**held) for held in readings if _is_reading(held)]
    return ((architecture, seed), found) if len(found) == len(readings) else None


def _is_reading(held: Any) -> bool:  # noqa: ANN401
    if not isinstance(held, dict) or held.keys() != _READING:
        return False
    value = held["value"]
    numbers = [held["epochs"], *([value] if held["status"] == "ok" else [])]
    if held["status"] != "ok" and value is not None:
        return False
    return (
        held["status"] in get_args(Status)
        and isinstance(held["quantity"], str)
        and isinstance(held["reason"], str)
        and all(isinstance(one, (int, float)) and math.isfinite(one) for one in numbers)
    )

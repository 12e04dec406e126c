"""Scores that searches made themselves, in a file to which each is added when it is finished."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from untrained.scoring.engine import Score
from untrained.scoring.json_lines import JsonLines, Kind, is_count, opened_lines, score_in

_FORMAT = "untrained live scores 1"
_KIND = Kind(
    "file of a live search's scores",
    "adds its scores there",
    "delete it or name another with --remember",
    named_by_people=True,
)

#: Architecture and seed, and their score.
_Line = tuple[tuple[int, int], Score]


@dataclass(eq=False)
class Remembered:
    """Finished scores.

    Attributes:
        scores: (index of the architecture, seed) to its score.
    """

    scores: dict[tuple[int, int], Score] = field(default_factory=dict)
    _lines: JsonLines[_Line] | None = None

    def add(self, architecture: int, seed: int, score: Score) -> None:
        """Remember a score; when this returns, a process that dies does not lose it.

        Raises:
            UntrainedError: the disk is full.
        """
        if self._lines is not None:
            self._lines.add({"architecture": architecture, "seed": seed, **asdict(score)})
        self.scores[architecture, seed] = score


def remembered_beside(trace: Path) -> Path:
    """Where the scores of the search lie whose trace is to be written."""
    return trace.with_name(f"{trace.name}.scores")


@contextmanager
def recalled(path: Path | None, settings: Mapping[str, Any]) -> Iterator[Remembered]:
    """The scores in a file, to which scores of the same settings are added.

    Args:
        path: of the file, which is begun where there is none; None for no file.
        settings: what the scores depend on; see `untrained.scoring.journal.journal_settings`.

    Raises:
        UntrainedError: it can't be written, or another process writes it.
        DamagedFileError: it is something else, or a line of it is damaged.
        ParameterError: its scores are of other settings.
    """
    if path is None:
        yield Remembered()
        return
    with opened_lines(path, {"format": _FORMAT, **settings}, _score, _KIND) as lines:
        yield Remembered(dict(lines.found), lines)


def _score(line: Any) -> _Line | None:  # noqa: ANN401 - what JSON holds
    """What a line says; None where it holds something else."""
    if not isinstance(line, dict):
        return None
    key = ("architecture", "seed")
    architecture, seed = (line.get(name) for name in key)
    score = score_in({name: value for name, value in line.items() if name not in key})
    if score is None or not (is_count(architecture) and is_count(seed)):
        return None
    return (architecture, seed), score

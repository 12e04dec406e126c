"""Scores that searches made themselves, in a file to which each is added when it is finished.

The file has one JSON object per line: first what all the scores depend on, then the scores. A line
that was not finished is as if it had not been begun.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from untrained.errors import DamagedFileError, ParameterError, UntrainedError
from untrained.scoring.engine import Score


@dataclass(eq=False)
class Remembered:
    """Finished scores.

    Attributes:
        path: where they are added; None for nowhere.
        settings: what they depend on.
        scores: (index of the architecture, seed) to its score.
    """

    path: Path | None
    settings: Mapping[str, Any]
    scores: dict[tuple[int, int], Score] = field(default_factory=dict)

    def add(self, architecture: int, seed: int, score: Score) -> None:
        """Remember a score; when this returns it is on the disk.

        Raises:
            UntrainedError: the disk is full or the file can't be written.
        """
        self.scores[architecture, seed] = score
        if self.path is None:
            return
        line = json.dumps({"architecture": architecture, "seed": seed, **asdict(score)}) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                first = file.tell() == 0
                file.write(((_head(self.settings) if first else "") + line).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UntrainedError(f"cannot write {self.path}: {error.strerror or error}") from error


def remembered_beside(trace: Path) -> Path:
    """Where the scores of the search lie whose trace is to be written."""
    return trace.with_name(f"{trace.name}.scores")


def recall(path: Path | None, settings: Mapping[str, Any]) -> Remembered:
    """The scores in a file, which are of these settings; none where there is no file.

    An unfinished last line is cut off.

    Raises:
        ParameterError: they are of other settings.
        DamagedFileError: it is no such file, or a line of it is damaged.
    """
    if path is None or not path.is_file():
        return Remembered(path, settings)
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    damaged = DamagedFileError(f"{path} is damaged: delete it and its scores are made again")
    try:
        head, *lines = [json.loads(line) for line in whole.splitlines()] or [None]
        theirs = settings if head is None else dict(head["scores"])
        scores = {
            (line.pop("architecture"), line.pop("seed")): Score(**line) for line in map(dict, lines)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise damaged from error
    for name, ours in settings.items():
        if theirs.get(name) != ours:
            raise ParameterError(
                f"{path} has scores of other settings ({name} {theirs.get(name)}, not {ours}): "
                "delete it or name another with --remember"
            )
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return Remembered(path, settings, scores)


def _head(settings: Mapping[str, Any]) -> str:
    return json.dumps({"scores": dict(settings)}) + "\n"

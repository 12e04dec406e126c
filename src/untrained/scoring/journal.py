"""The scores that an interrupted shard has already, from which the same shard goes on.

A journal is a file of JSON lines: first what its scores depend on, then a line per architecture.
Its name is a digest of the first line, so shards of other settings, or scored by other code, have
other journals and nothing is mixed.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from untrained.files import BUNDLED, digest
from untrained.images.sets import image_set
from untrained.scoring.engine import MinibatchSettings, Score
from untrained.scoring.json_lines import (
    JsonLines,
    Kind,
    differing,
    is_count,
    opened_lines,
    score_in,
    whole_lines,
)

_FORMAT = "untrained scores 1"
# its name is a digest of its first line, so nobody else has written it
_KIND = Kind("journal of scores", "scores this shard", "delete it", named_by_people=False)

#: What stands above scoring in the package, so that scores can't depend on it.
ABOVE = ("cli", "parameters.py", "report", "search")

#: Packages whose arithmetic scores are made of.
_LIBRARIES = ("numba", "numpy", "torch")

#: What a shard is, whatever its settings are.
_SHARD = ("space", "dataset", "seed", "proxies", "shard", "shards")


@dataclass(eq=False)
class Journal:
    """A journal that this process alone writes.

    Attributes:
        path: of the file.
        done: architecture to the spelling of each proxy to its score.
        others: journals of the same shard that are of other settings or code, each with the names
            of what differs.
    """

    path: Path
    done: dict[int, dict[str, Score]]
    others: dict[Path, list[str]]
    _lines: JsonLines[tuple[int, dict[str, Score]]]

    def add(self, index: int, scores: Mapping[str, Score]) -> None:
        """Append the scores of an architecture.

        Raises:
            UntrainedError: the disk is full.
        """
        self._lines.add({"arch": index, "scores": {by: asdict(one) for by, one in scores.items()}})
        self.done[index] = dict(scores)

    def remove(self) -> None:
        """Remove the file: the scores have been written elsewhere."""
        self._lines.remove()


@contextmanager
def opened_journal(folder: Path, settings: Mapping[str, Any]) -> Iterator[Journal]:
    """Open the journal of these settings, which is begun where there is none.

    A line that was not written to its end is dropped, with all that follows.

    Args:
        folder: of the journals.
        settings: names to values that JSON knows.

    Raises:
        UntrainedError: it can't be written, or another process writes it.
        DamagedFileError: it does not begin as a journal does, or a line of it is damaged.
        ParameterError: it is of other settings.
    """
    whole = {"format": _FORMAT, **settings}
    path = journal_path(folder, whole)
    with opened_lines(path, whole, _scores, _KIND) as lines:
        others = _others(folder, whole) if lines.begun else {}
        yield Journal(path, dict(lines.found), others, lines)


def journal_settings(
    proxies: Sequence[str], shown: MinibatchSettings, run: Mapping[str, Any]
) -> dict[str, Any]:
    """All that the scores of a shard depend on.

    Args:
        proxies: how they are spelled.
        shown: the images.
        run: space, seed, sample, execution.
    """
    images = {field.name: getattr(shown, field.name) for field in fields(shown)}
    del images["root"]  # what lies there counts, not where it is
    versions = {f"version of {name}": version(name) for name in _LIBRARIES}
    code = {"code": code_digest(), "images": _digest_of_images(shown)}
    return {**run, **images, **versions, **code, "proxies": list(proxies)}


def code_digest(package: Path = Path(__file__).parents[1]) -> str:
    """A digest of the source of every module that scores may depend on."""
    made = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        if inside.parts[0] not in ABOVE:
            made.update(f"{inside.as_posix()}\0{digest(path, 'sha256')}\n".encode())
    return made.hexdigest()


def _digest_of_images(shown: MinibatchSettings) -> str:
    """A digest of the files of a data set that are here, bundled or fetched."""
    known = image_set(shown.dataset)
    files = [BUNDLED / f"{known.name}.webp", BUNDLED / f"{known.name}.json", known.file(shown.root)]
    here = [digest(path, "sha256") for path in files if path.is_file()]
    return hashlib.sha256("\n".join(here).encode()).hexdigest()


def journal_path(folder: Path, head: Mapping[str, Any]) -> Path:
    """The file of the journal that begins with a line, which its name is a digest of."""
    name = hashlib.sha256(json.dumps(head, sort_keys=True).encode()).hexdigest()[:32]
    return folder / f"{name}.jsonl"


def _scores(line: Any) -> tuple[int, dict[str, Score]] | None:  # noqa: ANN401 - what JSON holds
    """The architecture of a line and its scores; None where it holds something else."""
    if not isinstance(line, dict) or line.keys() != {"arch", "scores"}:
        return None
    if not isinstance(line["scores"], dict) or not is_count(line["arch"]):
        return None
    found = {by: score_in(one) for by, one in line["scores"].items()}
    known = {by: one for by, one in found.items() if one is not None}
    return (line["arch"], known) if len(known) == len(found) else None


def _others(folder: Path, ours: Mapping[str, Any]) -> dict[Path, list[str]]:
    found: dict[Path, list[str]] = {}
    for path in sorted(folder.glob("*.jsonl")):
        # gone where its shard has been finished since
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            begun, _ = whole_lines(file.readline())
            theirs = begun[0] if begun and isinstance(begun[0], dict) else {}
            if theirs and all(theirs.get(name) == ours.get(name) for name in _SHARD):
                found[path] = differing(theirs, ours)
    return {path: names for path, names in found.items() if names}

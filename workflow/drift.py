"""Compare the metrics and scores of this run with the recorded ones; `make check` calls it.

On the processor that made the recorded ones they are equal. Another one rounds otherwise, which
changes a score by up to 0.007 % (docs/performance.md) and tau by up to 0.0003, and may let a search
choose another of two architectures with nearly the same score. Git has the scores of a few cells;
those of all cells are compared where DVC's cache or remote has them.
"""

import io
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from dvc.api import DVCFileSystem

from untrained.scoring.ensembles import parse_proxy
from untrained.scoring.request import Reading

#: Relative and absolute differences allowed, by how the name of a metric begins.
TOLERANCES = {"score/": (1e-4, 1e-6), "": (1e-3, 1e-3)}
#: Those of the score of a single cell.
OF_A_CELL = 2e-4, 1e-6
METRICS = Path("results/metrics")
CELLS = METRICS / "cells"
SCORES = Path("results/scores")
#: Lines after which no further ones are of use.
MOST = 20

#: Group and architecture to a score; None where it is undefined.
Scores = Mapping[tuple[str, int], float | None]


def drifted(name: str, old: float | None, new: float | None) -> bool:
    """Return whether a metric is gone, new, or differs by more than rounding."""
    if old is None or new is None:
        return True
    relative, absolute = next(
        allowed for head, allowed in TOLERANCES.items() if name.startswith(head)
    )
    return not math.isclose(old, new, rel_tol=relative, abs_tol=absolute)


def metrics() -> Iterator[str]:
    """Yield a line for each metric that has drifted."""
    if in_git(METRICS) is None:
        sys.exit("Git has no metrics to compare with: `make record`, and commit results/metrics")
    command = ["dvc", "metrics", "diff", "--all", "--json"]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    # DVC's order differs from run to run
    for path, found in sorted(json.loads(said.stdout).items()):
        for name, values in sorted(found.items()):
            old, new = values.get("old"), values.get("new")
            if drifted(name, old, new):
                yield f"{path}: {name} {told(old, new)}"


def in_git(path: Path) -> str | None:
    """Return the content of a file, or the names in a folder, that Git has; None if it has none."""
    command = ["git", "show", f"HEAD:./{path}"]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    return None if said.returncode else said.stdout


def told(old: float | None, new: float | None) -> str:
    """Say how a metric has changed."""
    if old is None:
        return f"is new, {new}: `make record` if it should be"
    return f"was {old}, is {'gone' if new is None else new}"


def of_cells(text: str) -> Scores:
    """Return the scores in a file that `untrained report page --cells` wrote."""
    found: dict[str, list[Any]] = json.loads(text)
    architectures = found.pop("architectures")
    return {
        (group, arch): score
        for group, scores in found.items()
        for arch, score in zip(architectures, scores, strict=True)
    }


def of_table(table: pd.DataFrame) -> Scores:
    """Return the scores of a merged table by proxies; those of ensembles are ranks."""
    single = {name for name in table["proxy"].unique() if isinstance(parse_proxy(name), Reading)}
    rows = table[table["proxy"].isin(single)]
    groups = rows["proxy"] + "/" + rows["dataset"] + "/seed" + rows["seed"].astype(str)
    scores = (None if one != one else one for one in rows["score"])
    return dict(zip(zip(groups, rows["arch"], strict=True), scores, strict=True))


def cells(space: str, old: Scores, new: Scores) -> Iterator[str]:
    """Yield a line for each score of a cell that is gone, new, or has drifted."""
    relative, absolute = OF_A_CELL
    for group, arch in sorted(old.keys() | new.keys()):
        was, now = old.get((group, arch)), new.get((group, arch))
        if was is None or now is None:
            same = was is now and (group, arch) in old and (group, arch) in new
        else:
            same = math.isclose(was, now, rel_tol=relative, abs_tol=absolute)
        if not same:
            yield f"{space} {arch}: {group} was {was}, is {now}"


def of_scores() -> Iterator[str]:
    """Yield what has drifted of the scores of each space."""
    for path in sorted(CELLS.glob("*.json")):
        space, table = path.stem, SCORES / f"{path.stem}.parquet"
        before = in_git(path)
        if before is None:
            sys.stderr.write(f"Git has no scores of {space} to compare with: commit {path}\n")
            continue
        recorded, made = of_cells(before), of_cells(path.read_text())
        try:
            content = DVCFileSystem(rev="HEAD").read_bytes(str(table))
            recorded, made = (
                of_table(pd.read_parquet(one)) for one in (io.BytesIO(content), table)
            )
        except Exception as error:  # noqa: BLE001 - whatever DVC raises of what it lacks
            some = len({arch for _, arch in recorded})
            reason = type(error).__name__
            sys.stderr.write(f"{space}: DVC lacks {table} ({reason}), {some} cells are compared\n")
        yield from cells(space, recorded, made)


def main() -> None:
    """Name what has drifted, and exit with 1 if anything has."""
    lines = [*metrics(), *of_scores()]
    more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
    sys.exit("\n".join([*lines[:MOST], *more]) or None)


if __name__ == "__main__":
    main()

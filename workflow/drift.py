"""Compare the metrics of this run with those that Git has; `make check` calls it.

On the processor that made the recorded ones they are equal. Another one rounds otherwise, which
changes a score by up to 0.007 % (docs/performance.md) and tau by up to 0.0003, and may let a search
choose another of two architectures with nearly the same score.
"""

import json
import math
import subprocess
import sys

#: Relative and absolute differences allowed, by how the name of a metric begins.
TOLERANCES = {"score/": (1e-4, 1e-6), "": (1e-3, 1e-3)}


def drifted(name: str, old: float | None, new: float | None) -> bool:
    """Return whether a metric is gone, new, or differs by more than rounding."""
    if old is None or new is None:
        return True
    relative, absolute = next(
        allowed for head, allowed in TOLERANCES.items() if name.startswith(head)
    )
    return not math.isclose(old, new, rel_tol=relative, abs_tol=absolute)


def main() -> None:
    """Name all metrics that have drifted, and exit with 1 if there are any."""
    command = ["dvc", "metrics", "diff", "--json"]
    said = subprocess.run(command, check=True, capture_output=True, text=True)
    changed = [
        (path, name, values.get("old"), values.get("new"))
        for path, found in json.loads(said.stdout).items()
        for name, values in found.items()
    ]
    if changed and all(old is None for _, _, old, _ in changed):
        sys.exit("Git has no metrics to compare with: `make record`, and commit results/metrics")
    lines = [
        f"{path}: {name} was {old}, is {new}"
        for path, name, old, new in changed
        if drifted(name, old, new)
    ]
    sys.exit("\n".join(lines) or None)


if __name__ == "__main__":
    main()

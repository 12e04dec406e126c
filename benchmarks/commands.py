"""Measures the start-up time of the command line, and the memory of a worker.

Usage: python -m benchmarks.commands [--repeats 9]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.page import machine, write_section

UNTRAINED = str(Path(sys.executable).with_name("untrained"))
#: Commands by how the table shows them.
COMMANDS = {
    "untrained --help": ["--help"],
    "untrained list spaces": ["list", "spaces"],
    "untrained score nasbench201 1462 --seeds 1": ["score", "nasbench201", "1462", "--seeds", "1"],
}


def seconds(command: list[str]) -> float:
    """Return the wall-clock time of a whole process."""
    start = time.perf_counter()
    subprocess.run([UNTRAINED, *command], check=True, capture_output=True)
    return time.perf_counter() - start


def megabytes(command: list[str]) -> float:
    """Return the peak resident memory of a whole process."""
    child = subprocess.Popen(
        [UNTRAINED, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise RuntimeError(f"{command} ended with status {status}")
    return usage.ru_maxrss / 1024


def report(repeats: int) -> str:
    """Return the table as Markdown."""
    lines = [
        f"Whole processes, median of {repeats} after one that is not counted, {machine()}.",
        "",
        "| command | seconds |",
        "|---|---:|",
    ]
    for shown, command in COMMANDS.items():
        seconds(command)
        times = [seconds(command) for _ in range(repeats)]
        lines.append(f"| `{shown}` | {np.median(times):.2f} |")
    with tempfile.TemporaryDirectory() as folder:
        shard = ["shard", "nasbench201", "--proxy", "naswot", "--dataset", "cifar10", "--seed", "0"]
        shard += ["--architectures", "60", "--out", str(Path(folder) / "made.parquet")]
        used = {name: megabytes([*shard, "--precision", name]) for name in ("bfloat16", "float32")}
    listed = " and ".join(f"{size:,.0f} MB in {name}" for name, size in used.items())
    lines += ["", f"A worker that scores 60 cells at batch 128 takes {listed} at its peak."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    write_section("commands", report(parser.parse_args().repeats))


if __name__ == "__main__":
    main()

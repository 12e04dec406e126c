"""Measures how the time of a score divides by operation, and compares it with the machine's limits.

Usage: python -m benchmarks.time_by_operation [--architectures 100]
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.page import SPACE, machine, random_cells, write_section
from untrained import compiled
from untrained.cli.progress import track
from untrained.networks import plans
from untrained.proxies import naswot
from untrained.scoring.engine import score_work
from untrained.scoring.execution import Execution, prepare_worker
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import ScoreRequest, parse_reading

#: (module, name) of the timed functions, by the name of the row.
TIMED: dict[str, list[tuple[Any, str]]] = {
    "convolutions": [(functional, "conv2d")],
    "batch statistics": [
        (compiled, "start"),
        (compiled, "add_moments"),
        (compiled, "write_affine"),
    ],
    "sums, rectifiers and codes": [(compiled, "combine")],
    "average pooling": [(compiled, "average"), (functional, "avg_pool2d")],
    "agreements of codes": [(compiled, "add_agreements")],
    "log-determinant": [(naswot, "log_determinant")],
    "drawing weights": [(plans, "_drawn")],
}


class Meter:
    """Adds up the seconds of functions, and the operations and bytes of convolutions among them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.operations = 0
        self.bytes = 0

    def timed(self, row: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with its calls counted under `row`."""

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - stands for any function
            start = time.perf_counter()
            made = function(*args, **kwargs)
            self.seconds[row] += time.perf_counter() - start
            if row == "convolutions":
                self.operations += 2 * made[:, 0].numel() * args[1].numel()
                # an output is written, read for its statistics and read for its sum, whose
                # rectified value is written and read by the next convolution
                self.bytes += 5 * made.numel() * made.element_size()
            return made

        return call


def measure(indices: list[int], precision: str) -> tuple[Meter, float]:
    """Return the meter and the seconds of scoring all cells."""
    prepare_worker()
    execution = Execution(engine="fast", precision=precision)
    proxies = (parse_reading("naswot"),)
    request = ScoreRequest(SPACE, proxies, MinibatchSettings(), (0,), execution)
    list(score_work(request, [(index, 0, proxies) for index in indices[:2]]))
    meter = Meter()
    originals = [
        (module, name, getattr(module, name)) for where in TIMED.values() for module, name in where
    ]
    for row, where in TIMED.items():
        for module, name in where:
            setattr(module, name, meter.timed(row, getattr(module, name)))
    try:
        scores = score_work(request, [(index, 0, proxies) for index in indices])
        found = list(track(scores, len(indices), f"scoring in {precision}"))
    finally:
        for module, name, original in originals:
            setattr(module, name, original)
    return meter, sum(score.seconds for (score,) in found)


def peak_operations(dtype: torch.dtype) -> float:
    """Return the operations per second of a large matrix product on one thread."""
    a = torch.randn(2048, 2048).to(dtype)
    seconds = min(_seconds(lambda: a @ a) for _ in range(8))
    return 2 * 2048**3 / seconds


def copy_bandwidth() -> float:
    """Return the bytes read and written per second by a copy larger than all caches of a core."""
    a = np.ones(1 << 26, np.float32)
    b = np.empty_like(a)
    return 2 * a.nbytes / min(_seconds(lambda: np.copyto(b, a)) for _ in range(8))


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def report(indices: list[int]) -> str:
    """Return the tables as Markdown."""
    columns = {name: measure(indices, name) for name in ("bfloat16", "float32")}
    count = len(indices)
    lines = [
        f"Milliseconds per architecture, mean over {count} cells of NAS-Bench-201 drawn at random, "
        f"batch 128, CIFAR-10 sample, one thread, {machine()}.",
        "",
        "| operation | bfloat16 | share | float32 | share |",
        "|---|---:|---:|---:|---:|",
    ]
    rest = {name: total - sum(meter.seconds.values()) for name, (meter, total) in columns.items()}
    for row in [*TIMED, "everything else"]:
        cells = []
        for name, (meter, total) in columns.items():
            seconds = rest[name] if row == "everything else" else meter.seconds[row]
            cells.append(f"{1e3 * seconds / count:.1f} | {seconds / total:.0%}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    totals = [f"{1e3 * total / count:.1f} | 100%" for _, total in columns.values()]
    lines += [f"| together | {' | '.join(totals)} |", ""]
    bandwidth = copy_bandwidth()
    for name, (meter, total) in columns.items():
        peak = peak_operations(getattr(torch, name))
        arithmetic, memory = meter.operations / peak, meter.bytes / bandwidth
        lines.append(
            f"In {name} the convolutions of one architecture are "
            f"{meter.operations / count / 1e9:.1f} billion operations; at the {peak / 1e9:,.0f} "
            "billion per second of a large matrix product they would take "
            f"{1e3 * arithmetic / count:.1f} ms. Their outputs, each written, read for its "
            "statistics, read again for its sum, and written and read as rectified, are "
            f"{meter.bytes / count / 1e6:,.0f} MB; at the {bandwidth / 1e9:.1f} GB per second of a "
            f"copy that is {1e3 * memory / count:.1f} ms. The engine takes "
            f"{total / (arithmetic + memory):.1f} times the sum of the two."
        )
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, default=100)
    write_section("time_by_operation", report(random_cells(parser.parse_args().architectures)))


if __name__ == "__main__":
    main()

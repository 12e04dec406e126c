"""Measures how the time of a score divides by operation, and compares it with the machine's limits.

Usage: python -m benchmarks.time_by_operation [--architectures 100]
Where PyTorch uses AVX2 alone, float32 is measured alone, and written into a section of its own. A
newer processor passes for such a one with
ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 NUMBA_CPU_NAME=haswell in the environment.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
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

#: Operations of a call, and bytes that it reads and writes, by the name of the function.
WORK: dict[str, Callable[..., tuple[int, int]]] = {
    "conv2d": lambda made, x, weight, *_: (
        2 * made[:, 0].numel() * weight.numel(),
        x.nbytes + made.nbytes,
    ),
    "add_moments": lambda _, rows, *__: (0, rows.nbytes),
    "combine": lambda _, *given: (
        0,
        given[0].nbytes * (given[3] + given[9] + given[10]) + given[8].nbytes * given[11],
    ),
    "average": lambda _, *given: (0, given[0].nbytes + given[2].nbytes),
    "avg_pool2d": lambda made, x, *_: (0, x.nbytes + made.nbytes),
}


class Meter:
    """Adds up the processor seconds of functions by row, and notes the work of their calls.

    Attributes:
        seconds: by row.
        work: by row, operations and bytes of each call of a convolution or a pass over memory.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.work: dict[str, list[tuple[int, int]]] = defaultdict(list)

    def timed(self, row: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with its calls counted under `row`."""

        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - stands for any function
            start = time.thread_time()
            made = function(*args, **kwargs)
            self.seconds[row] += time.thread_time() - start
            if name in WORK:
                self.work[row].append(WORK[name](made, *args))
            return made

        return call

    def limit(self, row: str, operations: float, bandwidth: float) -> float:
        """Return the seconds of a row's calls at so many operations and bytes per second."""
        return sum(max(one / operations, moved / bandwidth) for one, moved in self.work[row])


def measure(indices: list[int], precision: str) -> tuple[Meter, float]:
    """Return the meter and the processor seconds of scoring all cells."""
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
            setattr(module, name, meter.timed(row, name, getattr(module, name)))
    try:
        scores = score_work(request, [(index, 0, proxies) for index in indices])
        start = time.thread_time()
        for _ in track(scores, len(indices), f"scoring in {precision}"):
            pass
        seconds = time.thread_time() - start
    finally:
        for module, name, original in originals:
            setattr(module, name, original)
    return meter, seconds


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
    start = time.thread_time()
    function()
    return time.thread_time() - start


def report(indices: list[int], precisions: Sequence[str]) -> str:
    """Return the table as Markdown."""
    count, bandwidth = len(indices), copy_bandwidth()
    columns, speeds = [], []
    for precision in precisions:
        meter, total = measure(indices, precision)
        peak = peak_operations(getattr(torch, precision))
        speeds.append(f"{peak / 1e9:,.0f} billion operations per second in {precision}")
        limits = {row: meter.limit(row, peak, bandwidth) for row in meter.work}
        columns.append((meter, total, limits))
    lines = [
        f"Processor milliseconds per architecture, mean over {count} cells of NAS-Bench-201 drawn "
        f"at random, batch 128, CIFAR-10 sample, one thread, {machine()}. A limit is the time of "
        f"the same operations in a large matrix product ({', '.join(speeds)}), or of the same "
        f"bytes in a large copy ({bandwidth / 1e9:.1f} GB per second), whichever is longer, call "
        "by call.",
        "",
        f"| operation |{''.join(f' {one} | share | limit |' for one in precisions)}",
        f"|---|{3 * len(precisions) * '---:|'}",
    ]
    for row in [*TIMED, "everything else", "together"]:
        cells = []
        for meter, total, limits in columns:
            rest = total - sum(meter.seconds.values())
            seconds = {**meter.seconds, "everything else": rest, "together": total}[row]
            limit = sum(limits.values()) if row == "together" else limits.get(row)
            least = "" if limit is None else f"{1e3 * limit / count:.1f}"
            cells.append(f" {1e3 * seconds / count:.1f} | {seconds / total:.0%} | {least} |")
        lines.append(f"| {row} |{''.join(cells)}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, default=100)
    indices = random_cells(parser.parse_args().architectures)
    if torch.backends.cpu.get_cpu_capability() == "AVX2":
        write_section("time_by_operation_avx2", report(indices, ["float32"]))
    else:
        write_section("time_by_operation", report(indices, ["bfloat16", "float32"]))


if __name__ == "__main__":
    main()

"""Times proxies that differentiate networks, many at once and one at a time, on the processor.

Usage: python -m benchmarks.gradients_at_once [--cells 8] [--together 4]
"""

import argparse
import time

import numpy as np

from benchmarks.page import SPACE, connected_cells, machine, write_section
from untrained.scoring import batches
from untrained.scoring.engine import score_work
from untrained.scoring.execution import Execution, prepare_worker
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import ScoreRequest, parse_reading

#: Proxies and their images; kernels take a pass for each image.
ASKED = (
    *(("grad_norm", 32), ("grad_norm", 128), ("synflow", 32), ("synflow", 128)),
    *(("jacobian_covariance", 32), ("zico", 32), ("ntk_condition_number-weights_train", 16)),
)


def seconds_of(cells: list[int], proxy: str, images: int, engine: str) -> float:
    """Return the processor time of scoring some cells by a proxy."""
    readings = (parse_reading(proxy),)
    settings = MinibatchSettings(batch_size=images)
    request = ScoreRequest(SPACE, readings, settings, (0,), Execution(engine=engine))
    start = time.process_time()
    list(score_work(request, [(cell, 0, readings) for cell in cells]))
    return time.process_time() - start


def main() -> None:
    """Measure in turns, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--together", type=int, default=4)
    arguments = parser.parse_args()
    prepare_worker()
    batches.SIZE = 2 * arguments.together  # gradients are taken of half as many
    cells, size = connected_cells(2 * arguments.cells)[: arguments.cells], arguments.together
    lines = [
        f"Gradients of {len(cells)} cells of NAS-Bench-201 drawn at random, {size} at once, in "
        f"turns with one at a time, processor time on one thread, CIFAR-10 sample, {machine()}.",
        "",
        "| proxy | images | one at a time, ms per cell | many at once | ratio, median of groups |",
        "|---|---:|---:|---:|---:|",
    ]
    for proxy, images in ASKED:
        seconds: dict[str, list[float]] = {"plain": [], "batched": []}
        seconds_of(cells[:2], proxy, images, "batched")  # compiles and fills caches
        for start in range(0, len(cells), size):
            for engine, own in seconds.items():
                own.append(seconds_of(cells[start : start + size], proxy, images, engine))
        alone, many = (np.array(own) for own in seconds.values())
        each = [f"{1e3 * own.sum() / len(cells):.0f}" for own in (alone, many)]
        ratio = np.median(alone / many)
        lines.append(f"| `{proxy}` | {images} | {each[0]} | {each[1]} | {ratio:.2f} |")
        print(lines[-1], flush=True)
    write_section("gradients_at_once", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

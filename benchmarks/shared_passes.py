"""Times all proxies of a run separately and together, in turns.

Usage: python -m benchmarks.shared_passes [--cells 6] [--batch-size 64] [--without NAME ...]
Cells of NAS-Bench-201 are drawn at random. `together` reads all proxies off one network, as a run
does, so that those that share a measurement make it once; separately each has a network of its own.
What counts is processor time on one thread, so other processes disturb little.
"""

import argparse
import time
from functools import cache
from unittest.mock import patch

import torch

from benchmarks.page import SPACE, machine, random_cells
from untrained.proxies import PROXIES
from untrained.scoring.engine import score_work
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import ScoreRequest, parse_reading


def seconds(names: list[str], index: int, settings: MinibatchSettings) -> float:
    """Return the processor time of scoring one cell by some proxies."""
    readings = tuple(map(parse_reading, names))
    request = ScoreRequest(SPACE, readings, settings, (0,), Execution(precision="float32"))
    start = time.process_time()
    list(score_work(request, [(index, 0, readings)]))
    return time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--without", nargs="*", default=[], help="proxies to leave out")
    options = parser.parse_args()
    torch.set_num_threads(1)
    untrained = [one for one in PROXIES.names() if "training" not in PROXIES.load(one).needs]
    names = [one for one in untrained if one not in options.without]
    settings = MinibatchSettings(batch_size=options.batch_size)
    alone, together = dict.fromkeys(names, 0.0), 0.0
    # images are drawn once, as in a run, and not for each measurement
    with patch.object(MinibatchSettings, "draw_for", cache(MinibatchSettings.draw_for)):
        seconds(names, 0, settings)
        for index in random_cells(options.cells):
            together += seconds(names, index, settings)
            for name in names:
                alone[name] += seconds([name], index, settings)
    print(f"{options.cells} cells, batch {options.batch_size}, {machine()}: seconds per cell")
    for name in sorted(names, key=alone.__getitem__):
        print(f"{name:26s} {alone[name] / options.cells:8.3f}")
    slowest = sum(sorted(alone.values())[len(names) // 2 :])
    total = sum(alone.values())
    print(f"sum {total / options.cells:.2f}, of the slower half {slowest / options.cells:.2f}")
    print(
        f"together {together / options.cells:.2f}: {together / slowest:.2f} times the slower half,"
    )
    print(f"  {together / total:.2f} times the sum")


if __name__ == "__main__":
    main()

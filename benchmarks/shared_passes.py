"""Times all proxies of a run separately and together, in turns, into docs/performance.md.

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

from benchmarks.page import SPACE, machine, random_cells, write_section
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
    """Measure and write the section."""
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
    write_section("shared_passes", report(alone, together, options.cells, options.batch_size))


def report(alone: dict[str, float], together: float, cells: int, images: int) -> str:
    """Return the text of the section, from seconds of all cells."""
    slowest = sum(sorted(alone.values())[len(alone) // 2 :])
    total = sum(alone.values())
    rows = [
        f"| `{name}` | {alone[name] / cells:.3f} |" for name in sorted(alone, key=alone.__getitem__)
    ]
    return (
        f"Seconds of processor time per cell of NAS-Bench-201 ({cells} at random, {images} images, "
        f"float32, one thread), building it included, {machine()}.\n\n"
        "| proxy alone | seconds |\n|---|---:|\n" + "\n".join(rows) + "\n\n"
        f"The sum is {total / cells:.2f} s. Read off one network together, as in a run, they take "
        f"{together / cells:.2f} s: {together / slowest:.2f} times the slower half of them.\n"
    )


if __name__ == "__main__":
    main()

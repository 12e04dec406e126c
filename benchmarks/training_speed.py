"""Times an epoch of short training against a plain loop, in turns, into docs/performance.md.

Usage: python -m benchmarks.training_speed [--architectures 3] [--seeds 3]
All forms run on one thread, on the same cells, initial weights, batches, crops and flips of the
bundled sample. The plain loop is the module in float32, images (N, C, H, W), in a process with
PyTorch's own settings.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch

from benchmarks.page import SPACE, connected_cells, machine, write_section
from untrained.cli.progress import track
from untrained.proxies import Setting, get_proxy
from untrained.scoring.execution import Execution, prepare_worker
from untrained.scoring.images import MinibatchSettings
from untrained.seeds import torch_seeded

SETTINGS = MinibatchSettings("cifar10", "sample")
CPU = torch.device("cpu")


def measured(engine: str, last: bool, precision: str, index: int, seed: int) -> tuple[float, float]:
    """Return images per second of processor time, and the held-out loss after an epoch."""
    layout = torch.channels_last if last else torch.contiguous_format
    lesson = SETTINGS.training_images(seed)
    with torch_seeded(seed, "weights", index):
        network = SPACE.network(SPACE[index], 10).to(memory_format=layout)  # type: ignore[call-overload]
    start = time.process_time()
    list(lesson.train(network.train(), [1], seed, Execution(CPU, engine, precision)))
    seconds = time.process_time() - start
    held_out = SETTINGS.draw_for(Setting(held_out=True, epochs=1), seed, CPU)
    loss = get_proxy("validation_loss-train")(network, held_out, torch.Generator())
    return len(lesson.images) / seconds, loss


def measure(indices: list[int], seeds: int) -> dict[str, np.ndarray]:
    """Return what `measured` returns for each form, (cells, seeds, 2), taken in turns."""
    with (
        ProcessPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as bare,
        ProcessPoolExecutor(1, initializer=prepare_worker) as worker,
    ):
        forms = {
            "plain": partial(bare.submit, measured, "plain", False, "float32"),
            "modules, channels last, float32": partial(
                worker.submit, measured, "plain", True, "float32"
            ),
            "modules, channels last, bfloat16": partial(
                worker.submit, measured, "plain", True, "bfloat16"
            ),
            "sums, float32": partial(worker.submit, measured, "auto", True, "float32"),
            "sums, bfloat16": partial(worker.submit, measured, "auto", True, "bfloat16"),
        }
        for submit in forms.values():  # the first call compiles, loads and allocates
            submit(indices[0], 0).result()
        work = [(index, seed) for index in indices for seed in range(seeds)]
        rows = [
            [submit(*one).result() for submit in forms.values()]
            for one in track(work, len(work), "timing")
        ]
    found = np.array(rows).reshape(len(indices), seeds, len(forms), 2)
    return {name: found[:, :, number] for number, name in enumerate(forms)}


def table(found: dict[str, np.ndarray]) -> list[str]:
    """Return the lines of the table."""
    lines = []
    plain = found["plain"]
    spread = plain[..., 1].std(axis=1, ddof=1)  # (cells,)
    for name, one in found.items():
        speed = one[..., 0]
        low, middle, high = np.quantile(speed / plain[..., 0], [0, 0.5, 1])
        away = np.abs(one[..., 1].mean(1) - plain[..., 1].mean(1))
        loss = "" if name == "plain" else f"{away.max():.4f} | {(away / spread).max():.2f}"
        lines.append(
            f"| {name} | {np.median(speed):.0f} | {middle:.1f} | {low:.1f} to {high:.1f} | "
            f"{loss or ' | '} |"
        )
    return lines


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    cells = connected_cells(500)[: arguments.architectures]
    found = measure(cells, arguments.seeds)
    spread = found["plain"][..., 1].std(axis=1, ddof=1)
    lesson = SETTINGS.training_images(0)
    lines = [
        f"An epoch of {len(lesson.images)} images of the CIFAR-10 sample in batches of "
        f"{lesson.recipe.batch_size_for(len(lesson.images))}, cells "
        f"{', '.join(map(str, cells))} of NAS-Bench-201 (drawn at random, connected), "
        f"{arguments.seeds} seeds each, one thread, {machine()}. Processor time, ratios pair by "
        "pair, in turns. The last columns: the largest difference of a cell's mean loss of "
        "held-out images from that of the plain loop, and the largest such difference in standard "
        f"deviations of the plain loop over seeds (those are {spread.min():.3f} to "
        f"{spread.max():.3f}).",
        "",
        "| form | images per second, median | form / plain: median | range | loss: largest "
        "difference | in deviations |",
        "|---|---:|---:|---:|---:|---:|",
        *table(found),
    ]
    write_section("training_speed", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""Times tangent kernels against one backward pass per image, in turns, into docs/performance.md.

Usage: python -m benchmarks.ntk_speed [--architectures 20] [--large 4] [--batch-size 32]
All forms run on one thread, on the same architectures, weights and images. The plain loop runs in a
process with PyTorch's own settings, and once more in a worker with the engine's memory settings.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.page import SPACE, machine, random_cells, write_section
from untrained.cli.progress import track
from untrained.images.minibatches import minibatch
from untrained.proxies.ntk import TENAS_SKELETON
from untrained.proxies.tangent_kernels import tangent_kernel
from untrained.scoring.execution import prepare_worker
from untrained.seeds import torch_seeded
from untrained.spaces.cell_classes import live_edges
from untrained.spaces.nasbench201 import operations_of

#: Skeletons of the measured networks, by their name in the table.
SKELETONS = {"TE-NAS": TENAS_SKELETON, "benchmark": None}


def plain_kernel(network: nn.Module, images: Tensor) -> Tensor:
    """Compute Theta (n, n) by n backward passes into `.grad`, one after the other."""
    weights = [p for name, p in network.named_parameters() if "weight" in name]
    rows = []
    for one in network(images).sum(1):
        network.zero_grad()
        one.backward(retain_graph=True)
        rows.append(torch.cat([p.grad.flatten() for p in weights if p.grad is not None]))
    gradients = torch.stack(rows)
    return gradients @ gradients.T


def measured(
    form: str, last: bool, mode: str, skeleton: str, index: int, size: int
) -> tuple[float, np.ndarray]:
    """Return the seconds of one thread for one kernel, and its eigenvalues (n,)."""
    layout = torch.channels_last if last else torch.contiguous_format
    images = minibatch("cifar10", "sample", 0, size).images.to(memory_format=layout)
    with torch_seeded(0, "weights", index):
        network = SPACE.network(SPACE[index], 10, SKELETONS[skeleton])
    network = network.train(mode == "train").to(memory_format=layout)  # type: ignore[call-overload]
    start = time.process_time()
    kernel = (plain_kernel if form == "plain" else tangent_kernel)(network, images)
    seconds = time.process_time() - start
    return seconds, np.linalg.eigvalsh(kernel.double().numpy())


def measure(skeleton: str, indices: list[int], size: int) -> dict[str, list]:
    """Return what `measured` returns for each form and cell, taken in turns."""
    with (
        ProcessPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as bare,
        ProcessPoolExecutor(1, initializer=prepare_worker) as worker,
    ):
        forms = {
            "plain, train": partial(bare.submit, measured, "plain", False, "train"),
            "plain, train, the engine's memory settings": partial(
                worker.submit, measured, "plain", False, "train"
            ),
            "ours, train": partial(worker.submit, measured, "ours", False, "train"),
            "ours, eval": partial(worker.submit, measured, "ours", False, "eval"),
        }
        if skeleton == "benchmark":
            forms["ours, train, channels last"] = partial(
                worker.submit, measured, "ours", True, "train"
            )
        for submit in forms.values():  # the first call compiles, loads and allocates
            submit(skeleton, indices[0], size).result()
        rows = [
            [submit(skeleton, index, size).result() for submit in forms.values()]
            for index in track(indices, len(indices), f"timing {skeleton}")
        ]
    return {name: [row[number] for row in rows] for number, name in enumerate(forms)}


def table(skeleton: str, found: dict[str, list]) -> list[str]:
    """Return the lines of the table."""
    lines = []
    plain = np.array([seconds for seconds, _ in found["plain, train"]])
    for name, results in found.items():
        seconds = np.array([one for one, _ in results])
        low, middle, high = np.quantile(plain / seconds, [0.25, 0.5, 0.75])
        worst = ""
        if name == "ours, train":
            pairs = zip(results, found["plain, train"], strict=True)
            worst = f"{max(np.abs(a / b - 1).max() for (_, a), (_, b) in pairs):.1e}"
        lines.append(
            f"| {skeleton} | {name} | {np.median(seconds):.3f} | {middle:.1f} "
            f"| {low:.1f} to {high:.1f} | {plain.sum() / seconds.sum():.1f} | {worst} |"
        )
    return lines


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, default=20, help="cells in TE-NAS's skeleton")
    parser.add_argument("--large", type=int, default=4, help="cells in the benchmark's network")
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    cells = [i for i in random_cells(500) if live_edges(operations_of(SPACE[i].spelling))]
    counts = {"TE-NAS": arguments.architectures, "benchmark": arguments.large}
    lines = [
        f"Tangent kernels of {counts['TE-NAS']} connected cells of NAS-Bench-201 drawn at random "
        f"in the skeleton of TE-NAS (3 channels, one cell per stage), and of the first "
        f"{counts['benchmark']} of them in the benchmark's network (16 channels, 5 cells per "
        f"stage): batch {arguments.batch_size}, weights, float32, CIFAR-10 sample, one thread, "
        f"{machine()}. Processor time; ratios are to the plain loop of one backward pass per "
        "image in training mode, cell by cell, in turns. The last column is the largest relative "
        "difference of any eigenvalue from those of the plain loop.",
        "",
        "| network | form | median seconds | plain / form: median | quartiles | over all cells "
        "| eigenvalues |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for skeleton, count in counts.items():
        lines += table(skeleton, measure(skeleton, cells[:count], arguments.batch_size))
    write_section("ntk_speed", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""Times tangent kernels by three engines, in turns, into docs/performance.md.

Usage: python -m benchmarks.ntk_speed [--only WORDS] [--repetitions 3]
Networks of all spaces in training mode, and five of torchvision where it is installed (`pip install
--no-deps torchvision`). All engines run in one worker with one thread, on the same weights and
images; what counts is processor time, so other processes disturb little.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap

from benchmarks.page import connected_cells, machine, random_cells, write_section
from benchmarks.score_speed import STAGED, space_of
from untrained.cli.progress import track
from untrained.images.minibatches import minibatch
from untrained.networks.darts import Skeleton, network_graph
from untrained.networks.network import GraphNetwork
from untrained.proxies.ntk import TENAS_SKELETON
from untrained.proxies.tangent_kernels import tangent_kernel
from untrained.scoring.execution import prepare_worker
from untrained.search.supernets import pruned_space
from untrained.seeds import torch_seeded
from untrained.spaces import get_space
from untrained.spaces.genotypes import parse_genotype

TORCHVISION = ("resnet18", "mobilenet_v2", "densenet121", "shufflenet_v2_x1_0", "efficientnet_b0")
#: Backward passes that `torch.func` runs together.
TOGETHER = 16


def plain_kernel(network: nn.Module, images: Tensor) -> Tensor:
    """Compute Theta (n, n) in float64 by n backward passes into `.grad`, one after the other."""
    weights = [p for name, p in network.named_parameters() if "weight" in name]
    rows = []
    for one in network(images).sum(1):
        network.zero_grad()
        one.backward(retain_graph=True)
        rows.append(torch.cat([p.grad.flatten() for p in weights if p.grad is not None]))
    gradients = torch.stack(rows).double()
    return gradients @ gradients.T


def vmapped_kernel(network: nn.Module, images: Tensor) -> Tensor:
    """Compute Theta (n, n) by `torch.func.vmap` over the cotangents of one forward pass."""
    weights = [p for name, p in network.named_parameters() if "weight" in name]
    outputs = network(images).sum(1)

    def pull_back(cotangent: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(
            outputs, weights, cotangent, retain_graph=True, materialize_grads=True
        )

    parts = [vmap(pull_back)(given) for given in torch.split(torch.eye(len(images)), TOGETHER)]
    gradients = torch.cat(
        [torch.cat([one.flatten(1) for one in part], 1) for part in parts]
    ).double()
    return gradients @ gradients.T


ENGINES: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "plain": plain_kernel,
    "torch.func": vmapped_kernel,
    "ours": tangent_kernel,
}


def networks() -> Iterator[tuple[str, int, Callable[[], nn.Module]]]:
    """Yield the name of each network, the number of images, and how to build it."""
    small = {
        "nasbench201": connected_cells(500)[:2],
        "nasbench101": random_cells(2, space=get_space("nasbench101")),
        "natsbench_size": random_cells(2, space=get_space("natsbench_size")),
    }
    for name, indices in small.items():
        for index in indices:
            built = lambda shown=None, name=name, index=index: get_space(name).network(  # noqa: E731
                get_space(name)[index], 10, shown
            )
            if name != "natsbench_size":
                yield f"{name}, TE-NAS's skeleton", 32, lambda built=built: built(TENAS_SKELETON)
            yield f"{name}, benchmark's network", 32, built
    for name in ("nasbench201", "darts"):
        pruned = pruned_space(name)
        yield (
            f"{name}, unpruned supernet",
            32,
            lambda pruned=pruned: pruned.supernet(10, pruned.skeletons[0]),
        )
    for name in STAGED:
        for index in range(2):
            yield (
                f"{name}",
                16,
                lambda name=name, index=index: space_of(name).network(space_of(name)[index], 10),
            )
    darts = get_space("darts")
    for place, size in enumerate((Skeleton(8, 16), Skeleton(20, 36))):
        genotype = parse_genotype(darts[random_cells(2, space=darts)[place]].spelling)
        yield (
            f"darts, {size.cells} cells of {size.channels} channels",
            16,
            lambda genotype=genotype, size=size: GraphNetwork(network_graph(genotype, 10, size)),
        )
    if find_spec("torchvision") is not None:
        # its operators on boxes are compiled for one build of PyTorch, and not needed here
        sys.modules["torchvision._meta_registrations"] = ModuleType("registrations")
        from torchvision import models

        for name in TORCHVISION:
            yield f"torchvision {name}", 16, lambda name=name: getattr(models, name)(num_classes=10)


def measured(number: int, repetitions: int) -> tuple[np.ndarray, float]:
    """Return seconds (repetitions, engines) for one network, and the eigenvalues' difference.

    The difference is the largest relative one of ours from those of the plain loop, in float32.
    """
    _, size, build = list(networks())[number]
    images = minibatch("cifar10", "sample", 0, size).images
    with torch_seeded(0, "weights", number):
        network = build().train()
    rows, eigenvalues = [], {}
    for _ in range(repetitions + 1):  # the first compiles, loads and allocates
        row = []
        for name, engine in ENGINES.items():
            torch.manual_seed(0)
            start = time.process_time()
            kernel = engine(network, images)
            row.append(time.process_time() - start)
            eigenvalues[name] = np.linalg.eigvalsh(kernel.detach().numpy())
        rows.append(row)
    worst = np.abs(eigenvalues["ours"] / eigenvalues["plain"] - 1).max()
    return np.array(rows[1:]), float(worst)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="networks whose name has these words")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    named = [(name, size) for name, size, _ in networks()]
    chosen = [number for number, (name, _) in enumerate(named) if arguments.only in name]
    lines = [
        f"Tangent kernels in training mode: weights, float32, CIFAR-10 sample, one thread, "
        f"{machine()}. Processor time, median of {arguments.repetitions} repetitions in turns "
        "after one that is not counted; ratios are of pairs. `plain` is one backward pass per "
        f"image; `torch.func` its `vmap` over {TOGETHER} of them. The last column is the "
        "largest relative difference of an eigenvalue by our engine from that by the plain loop.",
        "",
        "| network | images | plain, seconds | torch.func | ours | plain / torch.func "
        "| plain / ours | eigenvalues |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    with ProcessPoolExecutor(1, initializer=prepare_worker) as worker:
        for number in track(chosen, len(chosen), "timing"):
            seconds, worst = worker.submit(measured, number, arguments.repetitions).result()
            plain, other, ours = np.median(seconds, axis=0)
            ratios = np.median(seconds[:, :1] / seconds[:, 1:], axis=0)
            name, size = named[number]
            lines.append(
                f"| {name} | {size} | {plain:.3f} | {other:.3f} | {ours:.3f} | {ratios[0]:.1f} "
                f"| {ratios[1]:.1f} | {worst:.0e} |"
            )
    write_section("ntk_speed", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

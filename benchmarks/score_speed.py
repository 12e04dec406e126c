"""Times the engine against `plain`, in turns, and writes docs/performance.md.

Usage: python -m benchmarks.score_speed [--space NAME] [--architectures 100] [--batch-size 128]
All forms run on one thread, in turns, in one worker, on the same architectures, weights and images.
Networks of NDS are drawn by the description in its paper, without access to the official files.
`plain` runs once more in a process with PyTorch's own settings, without the worker's.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache, cached_property, partial

import numpy as np
import torch

from benchmarks.page import machine, random_cells, write_section
from benchmarks.plain import plain_score
from untrained.cli.progress import track
from untrained.networks.modes import modes_restored
from untrained.scoring.engine import score_work
from untrained.scoring.execution import Execution, prepare_worker
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import ScoreRequest, parse_reading
from untrained.seeds import torch_seeded
from untrained.spaces import SearchSpace, get_space
from untrained.spaces.nds import Nds
from untrained.spaces.nds_networks import StagedNetwork

#: Names of each space's architectures in the table's caption.
SPACES = {
    "nasbench201": "cells of NAS-Bench-201",
    "natsbench_size": "architectures of the size space of NATS-Bench",
    "nasbench101": "cells of NAS-Bench-101 (stem of 16 channels)",
    "darts": "genotypes of DARTS (20 cells, 36 channels)",
    "nds_vanilla": "networks of plain blocks (as the Vanilla space of NDS)",
    "nds_resnet": "networks of residual blocks (as the ResNet space of NDS)",
    "nds_resnext_a": "networks of bottleneck blocks (as the ResNeXt-A space of NDS)",
    "nds_resnext_b": "networks of bottleneck blocks (as the ResNeXt-B space of NDS)",
}
#: Block, (most blocks of a stage, steps), (least and most channels, steps), and most groups of a
#: bottleneck, which has all, half or a quarter of the channels. Values are equally probable and
#: equally spaced on a logarithmic scale.
STAGED = {
    "nds_vanilla": ("vanilla_block", (24, 9), (16, 256, 12), 1),
    "nds_resnet": ("res_basic_block", (24, 9), (16, 256, 12), 1),
    "nds_resnext_a": ("res_bottleneck_block", (16, 5), (16, 256, 5), 4),
    "nds_resnext_b": ("res_bottleneck_block", (16, 5), (64, 1024, 5), 16),
}
#: Number of networks drawn from each design space.
DRAWN = 1000


class DrawnNds(Nds):
    """Networks drawn at random from a design space instead of those of the official file."""

    @cached_property
    def spellings(self) -> list[str]:
        """The spellings of the networks, by index."""
        rng = np.random.default_rng(0)
        return [str(drawn_network(rng, *STAGED[self.name])) for _ in range(DRAWN)]


def drawn_network(
    rng: np.random.Generator,
    block: str,
    depths: tuple[int, int],
    widths: tuple[int, int, int],
    groups: int,
) -> StagedNetwork:
    """Draw three stages, two of which halve the resolution; arguments as in `STAGED`."""
    deepest, steps = depths
    depth = rng.choice(np.geomspace(1, deepest, steps).round(), 3).astype(int)
    width = 8 * rng.choice(np.geomspace(*widths) / 8, 3).round().astype(int)  # multiples of eight
    inside: tuple[tuple[float, ...], ...] = ()
    if block == "res_bottleneck_block":
        ratio = 1 / rng.choice([1.0, 2.0, 4.0], 3)
        group = np.gcd(2 ** rng.integers(groups.bit_length(), size=3), (width * ratio).astype(int))
        inside = (tuple(ratio.tolist()), tuple(group.tolist()))
    return StagedNetwork(block, tuple(depth.tolist()), tuple(width.tolist()), (1, 2, 2), *inside)


@cache
def space_of(name: str) -> SearchSpace:
    """Return the space to time; it needs no official file."""
    return DrawnNds(name) if name in STAGED else get_space(name)


def seconds_plain(name: str, index: int, settings: MinibatchSettings) -> float:
    """Return the seconds to build and score one network plainly, without drawing the minibatch."""
    space = space_of(name)
    batch = settings.draw(0, torch.device("cpu"))
    start = time.perf_counter()
    with torch_seeded(0, "weights", index):
        network = space.network(space[index], 1)
    with modes_restored(network):
        plain_score(network.train(), batch.images)
    return time.perf_counter() - start


def seconds_engine(
    engine: str, precision: str, name: str, index: int, settings: MinibatchSettings
) -> float:
    """Return the seconds to build and score one network by the engine."""
    execution = Execution(engine=engine, precision=precision)
    proxy = parse_reading("naswot")
    request = ScoreRequest(space_of(name), (proxy,), settings, (0,), execution)
    ((found,),) = score_work(request, [(index, 0, request.proxies)])
    return found.seconds


def measure(name: str, indices: list[int], settings: MinibatchSettings) -> dict[str, np.ndarray]:
    """Return the seconds per architecture of each form, taken in turns."""
    with (
        ProcessPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as bare,
        ProcessPoolExecutor(1, initializer=prepare_worker) as worker,
    ):
        forms = {
            "plain": partial(worker.submit, seconds_plain),
            "plain, PyTorch's own memory settings": partial(bare.submit, seconds_plain),
            "module under hooks, float32": partial(
                worker.submit, seconds_engine, "plain", "float32"
            ),
            "engine, float32": partial(worker.submit, seconds_engine, "fast", "float32"),
            "engine, bfloat16": partial(worker.submit, seconds_engine, "fast", "bfloat16"),
        }
        for submit in forms.values():  # the first call compiles, loads and allocates
            submit(name, indices[0], settings).result()
        found = {
            index: [submit(name, index, settings).result() for submit in forms.values()]
            for index in track(indices, len(indices), "timing")
        }
    return dict(zip(forms, np.array(list(found.values())).T, strict=True))


def report(name: str, found: dict[str, np.ndarray], settings: MinibatchSettings) -> str:
    """Return the table as Markdown."""
    lines = [
        f"NASWOT on {len(found['plain'])} {SPACES[name]} drawn at random, batch "
        f"{settings.batch_size}, CIFAR-10 sample, one thread, {machine()}. The ratio is taken "
        "one by one, in turns. All run in one worker with the memory settings of the engine, and "
        "`plain` once more in a process as PyTorch starts it.",
        "",
        "| form | median seconds | plain / form: median | quartiles | over all |",
        "|---|---:|---:|---:|---:|",
    ]
    for form, seconds in found.items():
        ratio = found["plain"] / seconds
        low, middle, high = np.quantile(ratio, [0.25, 0.5, 0.75])
        total = found["plain"].sum() / seconds.sum()
        lines.append(
            f"| {form} | {np.median(seconds):.3f} | {middle:.1f} | {low:.1f} to {high:.1f} "
            f"| {total:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", choices=SPACES, default="nasbench201")
    parser.add_argument("--architectures", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=128)
    arguments = parser.parse_args()
    settings = MinibatchSettings(batch_size=arguments.batch_size)
    name = arguments.space
    indices = random_cells(arguments.architectures, space=space_of(name))
    section = "score_speed" if name == "nasbench201" else f"score_speed_{name}"
    write_section(section, report(name, measure(name, indices, settings), settings))


if __name__ == "__main__":
    main()

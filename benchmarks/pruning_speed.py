"""Times the pruning search against a loop over candidates, in turns, into docs/performance.md.

Usage: python -m benchmarks.pruning_speed [--every 6] [--batch-size 32] [--workers 2]
The plain loop is timed on one in every `--every` candidates of each round, since all of them would
take ten minutes or more; the search is timed on the same candidates, in turns, and as a whole.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.ntk_speed import plain_kernel
from benchmarks.page import machine, write_section
from untrained.networks import supernets
from untrained.networks.supernets import Mask
from untrained.proxies.linear_regions import activation_patterns
from untrained.scoring.execution import prepare_worker
from untrained.search.measurements import Draw, Numbers
from untrained.search.pruning import Pruning, PruningResult, prune
from untrained.search.supernets import Candidate, candidates_of, pruned_space

SPACE = pruned_space("nasbench201")


def unshared(source: supernets._Source, _key: object, make: Callable[[Tensor], Tensor]) -> Tensor:
    """Compute what an edge reads anew, although others read the same."""
    return make(source._x)


@lru_cache(maxsize=1)
def draw(settings: Pruning, number: int) -> Draw:
    """Draw the weights and images of the first repeat of a round."""
    return Draw(SPACE, settings, 0, (number, 0))


def plain_numbers(drawn: Draw, mask: Mask) -> Numbers:
    """Compute kappa by one backward pass per image, regions by comparing all pairs of crops."""
    drawn.network.mask = drawn.thin.mask = mask
    eigenvalues = torch.linalg.eigvalsh(plain_kernel(drawn.network, drawn.images))
    bits = np.unpackbits(activation_patterns(drawn.thin, drawn.crops), axis=1)
    codes = torch.from_numpy(bits).float()
    apart = codes @ (1 - codes).T
    same = (apart + apart.T) == 0
    return Numbers(float(eigenvalues[-1] / eigenvalues[0]), float((1 / same.sum(1)).sum()))


def seconds_of_plain(
    settings: Pruning, number: int, mask: Mask, candidate: Candidate
) -> tuple[float, Numbers]:
    """Return the seconds of the unpruned supernet and one without the candidate; its numbers."""
    drawn = draw(settings, number)
    start = time.process_time()
    with patch.object(supernets._Source, "_once", unshared):
        plain_numbers(drawn, mask)
        found = plain_numbers(drawn, candidate.without(mask))
    return time.process_time() - start, found


def seconds_of_search(
    settings: Pruning, number: int, mask: Mask, candidate: Candidate | None
) -> tuple[float, Numbers]:
    """Return the seconds and the numbers of one supernet; without a candidate it is unpruned."""
    drawn = draw(settings, number)
    start = time.process_time()
    found = drawn.numbers(mask if candidate is None else candidate.without(mask))
    return time.process_time() - start, found


def seconds_of_all(settings: Pruning) -> tuple[float, PruningResult]:
    """Return the seconds of the whole search in this process, and its result."""
    start = time.process_time()
    found = prune(SPACE.name, settings)
    return time.process_time() - start, found


def masks_of(found: PruningResult) -> list[Mask]:
    """Return the masks at the start of each round."""
    masks = [SPACE.full_mask()]
    for _, rows in found.trace[found.trace["pruned"]].groupby("round"):
        mask = masks[-1]
        for row in rows.itertuples():
            edge = SPACE.edges.index(tuple(int(node) for node in row.edge.split("->")))
            mask = Candidate(edge, SPACE.operations.index(row.operation)).without(mask)
        masks.append(mask)
    return masks[:-1]


def compare(
    settings: Pruning,
    found: PruningResult,
    every: int,
    bare: ProcessPoolExecutor,
    own: ProcessPoolExecutor,
) -> tuple[np.ndarray, float]:
    """Return the seconds (plain, ours) of all candidates and repeats, and how much numbers differ.

    The difference is the largest relative one of a condition number.
    """
    totals, worst = np.zeros(2), 0.0
    for number, mask in enumerate(masks_of(found)):
        candidates = candidates_of(mask)
        plain, ours = [], []
        warm = (settings, number, mask, candidates[0])
        bare.submit(seconds_of_plain, *warm).result()
        own.submit(seconds_of_search, *warm).result()
        before, _ = own.submit(seconds_of_search, settings, number, mask, None).result()
        for candidate in candidates[::every]:
            job = (settings, number, mask, candidate)
            seconds, expected = bare.submit(seconds_of_plain, *job).result()
            plain.append(seconds)
            seconds, numbers = own.submit(seconds_of_search, *job).result()
            ours.append(seconds)
            worst = max(worst, abs(numbers.kappa / expected.kappa - 1))
            if round(expected.regions) != numbers.regions:
                raise ValueError(f"{numbers.regions} regions, {expected.regions} by all pairs")
        once = np.array([np.mean(plain), np.mean(ours)]) * len(candidates) + [0, before]
        totals += settings.repeats * once
    return totals, worst


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=6, help="candidates of which one is timed")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    settings = Pruning(batch_size=arguments.batch_size, device="cpu")
    with (
        ProcessPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as bare,
        ProcessPoolExecutor(1, initializer=prepare_worker) as own,
    ):
        full = SPACE.full_mask()
        own.submit(seconds_of_search, settings, 0, full, None).result()  # the first call compiles
        alone, found = own.submit(seconds_of_all, settings).result()
        (plain, ours), worst = compare(settings, found, arguments.every, bare, own)
    start = time.perf_counter()
    prune(SPACE.name, settings, workers=arguments.workers)
    wall = time.perf_counter() - start
    lines = [
        f"The pruning search on NAS-Bench-201: {settings.repeats} repeats, batch "
        f"{arguments.batch_size}, CIFAR-10 sample, seed 0, {machine()}. Processor seconds of one "
        "process with one thread. The plain loop takes one candidate after the other, and for each "
        "the unpruned supernet again, as the released code does, one backward pass per image, "
        "every operation with its own rectifier and pooling, and compares all pairs of crops. "
        "**Both are extrapolated**: one repeat of every "
        f"{arguments.every}th candidate of each round was timed, in turns, and multiplied by the "
        "number of candidates and repeats. The last two rows are of whole searches. Condition "
        f"numbers of the two differ by at most {worst:.0e} of themselves, regions not at all.",
        "",
        "| form | seconds | plain / form |",
        "|---|---:|---:|",
        f"| plain loop, extrapolated | {plain:.0f} | 1.0 |",
        f"| search, extrapolated | {ours:.0f} | {plain / ours:.1f} |",
        f"| search, whole | {alone:.0f} | {plain / alone:.1f} |",
        f"| search, whole, {arguments.workers} workers: wall time with their start | {wall:.0f} "
        f"| {plain / wall:.1f} |",
    ]
    write_section("pruning_speed", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

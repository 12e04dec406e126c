"""What fronts lose on a device that were found by another latency, or by FLOPs, without a search.

Usage: python -m benchmarks.device_transfer

The fronts are those of all cells, of the score and a cost. They are read at the five latencies of
docs/pareto.md. A front without a member that fast counts as a guess there, so that what it loses is
given with all levels, and where it answers. Intervals are of 95 %, by resampling the devices.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.device_ties import SCORE, scores_of_all, with_interval
from untrained import Benchmark, devices
from untrained.report.device_results import LEVELS, NEEDS_OWN, Device
from untrained.report.scores import Floats, Indices
from untrained.search.pareto import non_dominated

#: The graphics cards, which have a device for each of three sizes of the batch.
GRAPHICS = ("1080ti", "2080ti", "titan")
#: Random orders of the cells with equal FLOPs.
DRAWS = 100


def front_of(cost: Floats, score: Floats) -> Indices:
    """Return the front of a cost and the score, (m,) in ascending order of both."""
    return non_dominated(np.stack([cost, -score], axis=1))


def held(device: Device, fronts: list[Indices]) -> tuple[Floats, NDArray[np.bool_]]:
    """Return what fronts lose (fronts, levels) on a device, and where they answer at all."""
    limits, best = device.limits, device.best(device.limits)
    lost = np.array([best - device.picked(front, limits) for front in fronts])
    return lost, np.array([device.answered(front, limits) for front in fronts]) > 0


def row(name: str, cells: float, each: list[tuple[Floats, NDArray[np.bool_]]]) -> None:
    """Print what fronts lose, given what they lose on each device, and where they answer."""
    lost, there = (np.array(one) for one in zip(*each, strict=True))  # (devices, fronts, levels)
    guessed = lost[~there].sum() / lost.sum()
    parts = " | ".join(f"{part:.2f}" for part in there.mean(axis=(0, 1)))
    told = f"{with_interval(lost.mean(axis=(1, 2)))} | {guessed:.1%} | {lost[there].mean():.2f}"
    print(f"| {name} | {cells:.0f} | {told} | {there.mean():.2f} | {parts} |")


def pairs(name: str, more: Floats, there: NDArray[np.bool_]) -> None:
    """Print what the fronts of others lose more (pairs, levels) than the own one."""
    answering = there.any(axis=1)
    where = np.array([own[use].mean() for own, use in zip(more, there, strict=True) if use.any()])
    for which, own in (("all levels", more.mean(axis=1)), ("answered levels", where)):
        print(
            f"{name}, {which}: {(own > NEEDS_OWN).sum()} of {len(own)} pairs lose over {NEEDS_OWN} "
            f"more, median {np.median(own):.2f}, mean {own.mean():.2f}"
        )
    print(
        f"{name}: {answering.sum()} of {len(more)} answer at a level, {there.mean():.2f} of all "
        f"levels; {more[~there].sum() / more.sum():.1%} of what is lost more is at the others"
    )


def spread(values: list[float]) -> str:
    """Return the median with the least and the greatest value."""
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Print the tables."""
    known, scores = devices("nasbench201"), scores_of_all()
    accuracy = Benchmark.load("nasbench201").accuracies("cifar10", "ori-test")
    score, flops = scores[SCORE], scores["flops-live"]
    names = [one for one in known.devices if "latency" in known.metrics(one)]
    values = [known.values("latency", one, "cifar10") for one in names]
    each = [Device(name, one, accuracy, 10.0) for name, one in zip(names, values, strict=True)]
    fronts = [front_of(one, score) for one in values]
    rng = np.random.default_rng(0)
    orders = [np.argsort(np.lexsort((rng.random(len(flops)), flops))) for _ in range(DRAWS)]
    shuffled = [front_of(order.astype(np.float64), score) for order in orders]
    heads = ["cells", "lost", "of it guesses", "lost where answered", "answered"]
    heads += [f"{level:.0%}" for level in LEVELS]
    print(f"| front of the score and | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}")
    own = [held(device, [front]) for device, front in zip(each, fronts, strict=True)]
    row("the latency", float(np.mean([*map(len, fronts)])), own)
    one = front_of(flops, score)
    row("`flops-live`", len(one), [held(device, [one]) for device in each])
    cells = float(np.mean([*map(len, shuffled)]))
    row("the same, equal ones in random order", cells, [held(one, shuffled) for one in each])
    by = [[front for front in fronts if front is not mine] for mine in fronts]
    others = [held(device, found) for device, found in zip(each, by, strict=True)]
    row("another latency", float(np.mean([*map(len, fronts)])), others)
    print()
    more = np.array([lost - mine for (lost, _), (mine, _) in zip(others, own, strict=True)])
    there = np.array([answered for _, answered in others])
    pairs("all", np.concatenate(more), np.concatenate(there))
    cards = [place for place, name in enumerate(names) if name.startswith(GRAPHICS)]
    among = np.array([[place - (place > own) for place in cards if place != own] for own in cards])
    both = [np.concatenate([one[own][who] for own, who in zip(cards, among, strict=True)])
            for one in (more, there)]  # fmt: skip
    pairs("between graphics cards", both[0], both[1])
    kept = [device.share(front) / device.share(mine)
            for device, mine, found in zip(each, fronts, by, strict=True)
            for front in found]  # fmt: skip
    print(f"hypervolume of the own front that another's keeps: {spread(kept)}")
    best = [device.front for device in each]
    kept = [each[a].share(best[b]) for a in range(len(each)) for b in range(len(each)) if a != b]
    print(f"the same of the best possible fronts: {spread(kept)}")
    for told, sets in (("the score", fronts), ("the best possible", best)):
        cells_of = [set(one.tolist()) for one in sets]
        common = [len(a & b) / len(a | b) for n, a in enumerate(cells_of) for b in cells_of[:n]]
        print(f"cells in common of two fronts by {told}: {spread(common)} ({len(common)} pairs)")


if __name__ == "__main__":
    main()

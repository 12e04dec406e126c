"""What scores of all cells lose on each device, and how much of it equal scores decide.

Usage: python -m benchmarks.device_ties

Nothing is searched: within each of the five latencies of docs/pareto.md the cell with the highest
score counts, and of cells with equal scores the fastest, a random one, or the slowest.
"""

import numpy as np

from untrained import Benchmark, cached_scores, devices
from untrained.proxies.ensembles import combined
from untrained.report.scores import Floats

SCORE = "log(jacobian_covariance,parameters-live)"
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
#: Devices whose latency is that of starting kernels as much as that of arithmetic.
GRAPHICS_AND_SERVERS = ("1080ti", "2080ti", "titan", "gold", "silver")


def latencies(cost: Floats, accuracy: Floats) -> list[float]:
    """Return the quantiles of the latencies of the best possible front."""
    order = np.lexsort((-accuracy, cost))
    order = order[np.isfinite(cost[order])]
    best = np.maximum.accumulate(accuracy[order])
    front = cost[order[np.flatnonzero(np.diff(best, prepend=-1.0) > 0)]]
    return [float(front[int(np.ceil(level * len(front))) - 1]) for level in LEVELS]


def lost(score: Floats, cost: Floats, accuracy: Floats) -> list[float]:
    """Return the points lost by the fastest, a random and the slowest cell of equal scores."""
    rows = []
    for limit in latencies(cost, accuracy):
        within = np.flatnonzero(cost <= limit)
        tied = within[score[within] == np.nanmax(score[within])]
        chosen = tied[np.argmin(cost[tied])], tied, tied[np.argmax(cost[tied])]
        rows.append([accuracy[within].max() - accuracy[one].mean() for one in chosen])
    return [float(one) for one in np.mean(rows, axis=0)]


def main() -> None:
    """Print the table."""
    table, known = cached_scores("nasbench201"), devices("nasbench201")
    accuracy = Benchmark.load("nasbench201").accuracies("cifar10", "ori-test")
    scores = {
        name: table[(table["proxy"] == name) & (table["dataset"] == "cifar10")]
        .set_index("arch")["score"]
        .to_numpy(np.float64)
        for name in ("jacobian_covariance", "parameters-live", "flops-live")
    }
    scores[SCORE] = combined("log", [scores["jacobian_covariance"], scores["parameters-live"]])
    groups: dict[str, list[str]] = {"graphics cards and server processors": [], "others": []}
    for device in known.devices:
        if "latency" in known.metrics(device):
            groups[list(groups)[not device.startswith(GRAPHICS_AND_SERVERS)]].append(device)
    groups = {"all": [one for group in groups.values() for one in group]} | groups
    print("| devices | score | values | fastest of equals | random | slowest |")
    print("|---|---|---:|---:|---:|---:|")
    for group, names in groups.items():
        for name in (SCORE, "flops-live", "parameters-live"):
            score, values = scores[name], len(np.unique(scores[name]))
            costs = [known.values("latency", device, "cifar10") for device in names]
            means = np.mean([lost(score, cost, accuracy) for cost in costs], axis=0)
            told = " | ".join(f"{one:.2f}" for one in means)
            print(f"| {group} ({len(names)}) | `{name}` | {values:,} | {told} |")


if __name__ == "__main__":
    main()

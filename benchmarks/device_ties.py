"""What scores of all cells lose on each device, and how much of it equal scores decide.

Usage: python -m benchmarks.device_ties

Nothing is searched: within each of the five latencies of docs/pareto.md the cell with the highest
score counts, and of cells with equal scores the fastest, a random one, or the slowest.
"""

import numpy as np

from untrained import Benchmark, cached_scores, devices
from untrained.proxies.ensembles import combined
from untrained.report.device_results import Device
from untrained.report.scores import Floats

SCORE = "log(jacobian_covariance,parameters-live)"
#: Devices whose latency is that of starting kernels as much as that of arithmetic.
GRAPHICS_AND_SERVERS = ("1080ti", "2080ti", "titan", "gold", "silver")


def lost(score: Floats, device: Device) -> list[float]:
    """Return the points lost by the fastest, a random and the slowest cell of equal scores."""
    cost, rows = device.values, []
    for limit, best in zip(device.limits, device.best(device.limits), strict=True):
        within = np.flatnonzero(cost <= limit)
        tied = within[score[within] == np.nanmax(score[within])]
        chosen = tied[np.argmin(cost[tied])], tied, tied[np.argmax(cost[tied])]
        rows.append([best - device.accuracy[one].mean() for one in chosen])
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
            score, count = scores[name], len(np.unique(scores[name]))
            values = [known.values("latency", device, "cifar10") for device in names]
            means = np.mean(
                [lost(score, Device("", one, accuracy, 10.0)) for one in values], axis=0
            )
            told = " | ".join(f"{one:.2f}" for one in means)
            print(f"| {group} ({len(names)}) | `{name}` | {count:,} | {told} |")


if __name__ == "__main__":
    main()

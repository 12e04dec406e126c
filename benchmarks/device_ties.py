"""What scores of all cells lose on each device, and how much of it equal scores decide.

Usage: python -m benchmarks.device_ties

Nothing is searched: within each of the five latencies of docs/pareto.md the cell with the highest
score counts, and of cells with equal scores the fastest, a random one, or the slowest. Intervals
are of 95 %, by resampling the devices of a group.
"""

import numpy as np

from untrained import Benchmark, cached_scores, devices
from untrained.proxies.ensembles import combined
from untrained.report.device_results import Device
from untrained.report.scores import Floats
from untrained.report.statistics import interval, mean_draws, resample_counts

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


def scores_of_all() -> dict[str, Floats]:
    """Return `SCORE` and the counts of all cells, (n,) by name."""
    table = cached_scores("nasbench201")
    scores = {
        name: table[(table["proxy"] == name) & (table["dataset"] == "cifar10")]
        .set_index("arch")["score"]
        .to_numpy(np.float64)
        for name in ("jacobian_covariance", "parameters-live", "flops-live")
    }
    scores[SCORE] = combined("log", [scores["jacobian_covariance"], scores["parameters-live"]])
    return scores


def main() -> None:
    """Print the table."""
    known, scores = devices("nasbench201"), scores_of_all()
    accuracy = Benchmark.load("nasbench201").accuracies("cifar10", "ori-test")
    groups: dict[str, list[str]] = {"graphics cards and server processors": [], "others": []}
    for device in known.devices:
        if "latency" in known.metrics(device):
            groups[list(groups)[not device.startswith(GRAPHICS_AND_SERVERS)]].append(device)
    groups = {"all": [one for group in groups.values() for one in group]} | groups
    print("| devices | score | values | fastest of equals | random | slowest |")
    print("|---|---|---:|---:|---:|---:|")
    more = []
    for group, names in groups.items():
        slowest = {}
        for name in (SCORE, "flops-live", "parameters-live"):
            score, count = scores[name], len(np.unique(scores[name]))
            values = [known.values("latency", device, "cifar10") for device in names]
            each = np.array([lost(score, Device("", one, accuracy, 10.0)) for one in values])
            slowest[name] = each[:, 2]
            told = " | ".join(map(with_interval, each.T))
            print(f"| {group} ({len(names)}) | `{name}` | {count:,} | {told} |")
        difference = with_interval(slowest["flops-live"] - slowest[SCORE])
        more.append(f"{group}: the slowest by flops-live loses {difference} more than by the score")
    print("\n".join(more))


def with_interval(values: Floats) -> str:
    """Return the mean over the devices with its interval."""
    low, high = interval(mean_draws(values, resample_counts(len(values), resamples=1000, seed=0)))
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()

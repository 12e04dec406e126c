"""Times the searches that train, in turns with the same searches on a plain clock.

Usage: python -m benchmarks.search_speed [--runs 500] [--seconds 12000]
The plain clock queries the benchmark for each accuracy and time instead of reading arrays.
"""

import argparse
import time
from contextlib import suppress

import numpy as np

from benchmarks.page import SPACE, machine, write_section
from untrained.benchmarks.benchmark import Benchmark
from untrained.search import ALGORITHMS
from untrained.search.base import BudgetedSearch, BudgetSpent
from untrained.search.clock import Budget, Clock, trainings_of
from untrained.seeds import numpy_generator
from untrained.spaces.base import Architecture

TRAINING = ("cifar10-valid", "x-valid", 12, "777")


class PlainClock:
    """A simulated clock that queries the table anew for every evaluation."""

    def __init__(self, benchmark: Benchmark, budget: float) -> None:
        self.benchmark = benchmark
        self.budget = budget
        self.seconds = 0.0

    def evaluate(
        self, architecture: Architecture, share: float = 1.0, length: float = 1.0
    ) -> float:
        """Look an architecture up; see `untrained.search.base.Evaluate`. No answer is kept."""
        del length
        cost = self.benchmark.train_seconds(architecture.index, *TRAINING)
        cost += self.benchmark.valid_seconds(architecture.index, *TRAINING)
        if self.seconds + share * cost > self.budget:
            raise BudgetSpent
        self.seconds += share * cost
        return self.benchmark.accuracies(*TRAINING)[architecture.index]


def seconds_of(algorithm: BudgetedSearch, clock: Clock | PlainClock, run: int) -> float:
    """Return the seconds of one run, until its budget is spent."""
    start = time.perf_counter()
    with suppress(BudgetSpent):
        algorithm(SPACE, clock.evaluate, numpy_generator(0, "search", run))
    return time.perf_counter() - start


def measure(runs: int, seconds: float) -> dict[str, tuple[float, float]]:
    """Return the seconds of all runs of each algorithm, on our clock and on the plain one."""
    benchmark = Benchmark.load("nasbench201")
    trainings = trainings_of(benchmark, "cifar10")
    budget = Budget(seconds=seconds)
    found = {}
    for name in ALGORITHMS.names():
        algorithm = ALGORITHMS.load(name)
        if not issubclass(algorithm, BudgetedSearch):
            continue
        search = algorithm()
        seconds_of(search, Clock(trainings.of_run(0), budget), 0)
        pairs = [
            (
                seconds_of(search, Clock(trainings.of_run(0), budget), run),
                seconds_of(search, PlainClock(benchmark, seconds), run),
            )
            for run in range(runs)
        ]
        ours, plain = np.sum(pairs, axis=0)
        found[name] = (float(ours), float(plain))
    return found


def main() -> None:
    """Time the searches and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=12_000)
    arguments = parser.parse_args()
    found = measure(arguments.runs, arguments.seconds)
    lines = [
        f"Seconds for {arguments.runs} runs of {arguments.seconds:,.0f} simulated seconds each on "
        f"NAS-Bench-201, one process, {machine()}. A plain clock asks the benchmark for each "
        "accuracy and time; both are taken in turns, run by run.",
        "",
        "| algorithm | seconds | on a plain clock | ratio |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {ours:.1f} | {plain:.1f} | {plain / ours:.1f} |"
        for name, (ours, plain) in found.items()
    ]
    write_section("search_speed", "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""Searches NAS-Bench-201 by scores alone, into docs/results/nasbench201-ensembles.md.

Usage: python -m benchmarks.label_free [--runs 500]

Every search has a proxy or an ensemble as its fitness, whose scores come with the project, and sees
no accuracy. Which ones stands below, and was written before any test accuracy of theirs was read.
"""

import argparse
from collections.abc import Iterator

import numpy as np

from benchmarks.page import PERFORMANCE, write_section
from untrained import Benchmark, cached_scores, run_search
from untrained.proxies.ensembles import Ensemble, combined
from untrained.report.scores import Floats
from untrained.scoring.ensembles import parse_proxy
from untrained.spaces import get_space

PAGE = PERFORMANCE.parent / "results" / "nasbench201-ensembles.md"
SPACE = get_space("nasbench201")

#: The scores that are climbed: what was named first, the members' own, AZ-NAS's and TE-NAS's, what
#: 150 validation accuracies of CIFAR-100 chose, what joins the two numbers with NASWOT or with
#: MeCo, and what the size space chose.
NAMED = (
    "log(jacobian_covariance,parameters-live)",
    "parameters-live",
    "jacobian_covariance",
    "meco",
    "naswot",
    "az_nas",
    "tenas",
    "log(epe_nas,meco,zico)",
    "log(jacobian_covariance,naswot,parameters-live)",
    "log(jacobian_covariance,meco,parameters-live)",
    "sum(l2_norm,synflow)",
    "vote(l2_norm,meco,synflow)",
)

#: Column of test accuracies to the head of the table.
TESTS = {"cifar10/ori-test": "CIFAR-10", "cifar100/x-test": "CIFAR-100"}
TESTS |= {"ImageNet16-120/x-test": "ImageNet16-120"}


def best_of_all(name: str) -> tuple[int, bool]:
    """Return the cell that a score ranks first among all, and whether it scores the whole space."""
    table, parsed = cached_scores(SPACE), parse_proxy(name)
    members = parsed.members if isinstance(parsed, Ensemble) else [name]
    values = list[Floats]()
    for one in members:
        own = table[(table["proxy"] == one) & (table["dataset"] == "cifar10")]
        scores = own.set_index("arch")["score"].reindex(range(len(SPACE))).to_numpy(np.float64)
        values.append(scores if parse_proxy(one).direction == "higher" else -scores)
        if len(own) < len(SPACE):
            return 0, False
    found = combined(parsed.rule, values) if isinstance(parsed, Ensemble) else values[0]
    return int(np.nanargmax(found)), True


def lines(runs: int) -> Iterator[str]:
    """Yield the rows of the table."""
    benchmark = Benchmark.load(SPACE)
    tests = [benchmark.accuracies(*name.split("/")) for name in TESTS]
    for name in NAMED:
        cell, whole = best_of_all(name)
        if not whole:
            continue
        for algorithm in ("rs", "rea"):
            for budget in (100, 1000):
                found = run_search(
                    f"{algorithm}+fitness={name}",
                    SPACE,
                    budget=f"{budget}evaluations",
                    runs=runs,
                    scores=cached_scores(SPACE),
                )
                reached = found.reached()
                cells = [f"{reached[one]['mean']:.2f} ± {reached[one]['std']:.2f}" for one in TESTS]
                yield f"| `{algorithm}+fitness={name}` | {budget:,} | {' | '.join(cells)} |"
        cells = [f"{own[cell]:.2f}" for own in tests]
        yield f"| its best of all cells, index {cell} | {len(SPACE):,} | {' | '.join(cells)} |"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    runs = parser.parse_args().runs
    head = [
        f"| search, {runs} runs | scores | {' | '.join(TESTS.values())} |",
        "|---|---:|---:|---:|---:|",
    ]
    write_section("label_free", "\n".join([*head, *lines(runs)]) + "\n", PAGE)


if __name__ == "__main__":
    main()

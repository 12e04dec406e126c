"""Measures what rounding does to a score: reduced precision against double, on the same weights.

Usage: python -m benchmarks.fidelity [--architectures 500] [--seeds 5]
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.page import SPACE, machine, random_cells, write_section
from untrained.cli.progress import track
from untrained.networks.plans import draw
from untrained.proxies import UndefinedScore
from untrained.proxies.naswot import Naswot
from untrained.scoring.execution import prepare_worker
from untrained.scoring.images import MinibatchSettings
from untrained.seeds import torch_seeded

TYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}


def scores_of(index: int, seeds: int) -> list[float]:
    """Return the score of seed 0 in each type of `TYPES`, then those of other seeds in bfloat16."""
    asked = [(dtype, 0) for dtype in TYPES.values()]
    asked += [(torch.bfloat16, seed) for seed in range(1, seeds)]
    return [score_in(dtype, index, seed) for dtype, seed in asked]


def score_in(dtype: torch.dtype, index: int, seed: int) -> float:
    """Return the score of a cell at batch 128; NaN where it is undefined."""
    images = MinibatchSettings().draw(seed, torch.device("cpu")).images
    images = images.to(dtype).contiguous(memory_format=torch.channels_last)
    with torch_seeded(seed, "weights", index), torch.no_grad():
        network = draw(SPACE.graph(SPACE[index], 10))
        try:
            readings = network.rectifier_inputs(images, dead_branches=False)
            return Naswot().score_readings(readings)
        except UndefinedScore:
            return float("nan")


def report(scores: np.ndarray) -> str:
    """Return the table as Markdown, from scores (n, types and then further seeds)."""
    defined = scores[np.isfinite(scores).all(axis=1)]
    exact = defined[:, 2]
    over_seeds = defined[:, [0, *range(len(TYPES), defined.shape[1])]]
    spread = float(np.sqrt(over_seeds.var(axis=1, ddof=1).mean()))
    lines = [
        f"NASWOT on {len(scores)} cells of NAS-Bench-201 drawn at random (seed 1), of which "
        f"{len(defined)} have a score, batch 128, CIFAR-10 sample; {machine()}. The same weights "
        "and images in each precision, held against float64. Between seeds (other images, other "
        f"weights; {over_seeds.shape[1]} of them) the score of a cell has a standard deviation of "
        f"{spread:.2f}.",
        "",
        "| precision | Spearman | largest difference | root mean square | of the spread of seeds |",
        "|---|---:|---:|---:|---:|",
    ]
    for place, name in enumerate(list(TYPES)[:2]):
        difference = defined[:, place] - exact
        largest = np.abs(difference / exact).max()
        size = float(np.sqrt((difference**2).mean()))
        rho = spearmanr(defined[:, place], exact).statistic
        lines.append(
            f"| {name} | {rho:.7f} | {largest:.5%} | {size:.5f} | 1/{spread / size:,.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--architectures", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    indices = random_cells(arguments.architectures, seed=1)
    with ProcessPoolExecutor(initializer=prepare_worker) as pool:
        found = pool.map(partial(scores_of, seeds=arguments.seeds), indices)
        scores = np.array(list(track(found, len(indices), "scoring in each precision")))
    write_section("fidelity", report(scores))


if __name__ == "__main__":
    main()

"""A space of one's own with a benchmark: 27 networks of three layers."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from untrained.benchmarks.table import COLUMNS, write_table
from untrained.spaces.base import Architecture, BenchmarkFacts, SearchSpace, Skeleton, Words

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

OPTIONS = ("conv1", "conv3", "skip")
LAYERS = 3
CHANNELS = 4


class Triples(SearchSpace):
    """Networks that stack three layers, each a convolution or nothing, as in `conv1:skip:conv3`."""

    name = "triples"
    summary = "stacks of three layers with one of three operations (27 networks)"
    label = "Triples of layers"
    datasets = ("stripes",)
    words = Words("networks", "operations", "layers")
    benchmark = BenchmarkFacts(
        full_epochs=20,
        short_epochs=5,
        has_times=True,
        fetch="untrained_example.space:make_table",
    )
    ordered = True
    option_order = OPTIONS

    def __len__(self) -> int:
        return len(OPTIONS) ** LAYERS

    def spelling(self, index: int) -> str:
        """Three options joined by colons."""
        return ":".join([*product(OPTIONS, repeat=LAYERS)][index])

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Change one layer."""
        words = architecture.spelling.split(":")
        layer = int(rng.integers(LAYERS))
        others = [option for option in OPTIONS if option != words[layer]]
        words[layer] = others[int(rng.integers(len(others)))]
        return self.parse(":".join(words))

    def network(
        self, architecture: Architecture, num_classes: int, skeleton: Skeleton | None = None
    ) -> nn.Module:
        """A stem, the three layers with a rectifier each, and a linear classifier."""
        from torch import nn

        self.refuse_skeleton(skeleton)
        layers: list[nn.Module] = [nn.Conv2d(3, CHANNELS, 3, stride=2), nn.ReLU()]
        for option in architecture.spelling.split(":"):
            if option != "skip":
                size = int(option.removeprefix("conv"))
                layers += [nn.Conv2d(CHANNELS, CHANNELS, size, padding=size // 2), nn.ReLU()]
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        network.add_module("classifier", nn.Linear(CHANNELS, num_classes))
        return network


def make_table(
    space: str,
    target: Path,
    source: Path | None = None,
    mirror: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Write the benchmark table: invented trainings, the longer the network the better."""
    del source, mirror, progress
    triples = Triples()
    rng = np.random.default_rng(0)
    rows = []
    for index in range(len(triples)):
        words = triples.spelling(index).split(":")
        layers = sum(option != "skip" for option in words)
        weights = sum(9 if option == "conv3" else 1 for option in words if option != "skip")
        for split, (epochs, seed) in product(("x-valid", "ori-test"), ((5, "777"), (20, "mean"))):
            rows.append(
                {
                    **dict.fromkeys(COLUMNS),
                    "arch": index,
                    "dataset": "stripes",
                    "split": split,
                    "epochs": epochs,
                    "seed": seed,
                    "accuracy": 20 + 10 * layers + weights / 3 + epochs + rng.uniform(0, 5),
                    "train_seconds": epochs * (1.0 + layers),
                    "parameters": 150 + 16 * weights,
                    "flops": 1e4 * (1 + weights),
                }
            )
    columns = {name: [row[name] for row in rows] for name in COLUMNS}
    write_table(columns, target)
    return f"{space}: the table is invented"

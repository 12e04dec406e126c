"""BOHB: Hyperband's brackets, filled with what a density model of good architectures proposes.

Falkner, Klein and Hutter, BOHB: Robust and Efficient Hyperparameter Optimization at Scale, ICML
2018, section 3 (Hyperband: Li et al., JMLR 18, 2018), with the settings of NAS-Bench-201's script.
Written here because the maintained libraries run on wall-clock time.

**Deviations from the authors' hpbandster 0.7.4**, which that script runs. There a bandwidth has no
upper bound, so that densities turn negative; the number of options is that of the values observed;
a moved decision may be drawn where it was; and the model waits for 2 (decisions + 1) observations,
here for the paper's decisions + 3. The bandwidth factor is left out: it widens the kernels of
continuous parameters, and every decision here is categorical.

**Fidelities.** BOHB ranks many short trainings and lengthens the best. A benchmark that knows one
length of training (NAS-Bench-201: 12 epochs before the full 200) can't say what a shorter one would
have ranked, and inventing it would invent the result. So a rung of any length answers with the full
evaluation, and `charge` says what it costs. `full`: as much as it really takes, which is what the
answer is worth; climbing a rung trains anew. `proportional`: the rung's share of it; then short
trainings rank as well as long ones do, and the result bounds from above what BOHB could reach.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from untrained.search.base import BudgetedSearch, Evaluate, Searchable, require
from untrained.search.choices import Choices, choices_of
from untrained.spaces.base import Architecture

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
CHARGES = ("full", "proportional")


@dataclass(frozen=True)
class Bohb(BudgetedSearch):
    """See the module. The first brackets begin with `start` instead of proposals.

    Attributes:
        charge: `full` or `proportional`.
        eta: one in so many climbs a rung, to a training so many times as long.
        min_share: the shortest rung is at least this share of the full training (1 of 12 epochs).
        candidates: drawn from the model for each proposal.
        random_fraction: of proposals that ignore the model.
        good_fraction: of observations that count as good.
        min_bandwidth: of the densities.
    """

    charge: str = "full"
    eta: int = 3
    min_share: float = 1 / 12
    candidates: int = 4
    random_fraction: float = 0.0
    good_fraction: float = 0.15
    min_bandwidth: float = 0.3

    def __post_init__(self) -> None:
        require(self.charge in CHARGES, "charge", self.charge, " or ".join(CHARGES))
        require(self.eta >= 2, "eta", self.eta, "2 or more")
        require(0 < self.min_share <= 1, "min_share", self.min_share, "above 0, up to 1")
        require(self.candidates >= 1, "candidates", self.candidates, "1 or more")
        require(0 <= self.random_fraction <= 1, "random_fraction", self.random_fraction, "0 to 1")
        require(0 <= self.good_fraction <= 1, "good_fraction", self.good_fraction, "0 to 1")
        # without any, a density is 0 wherever nothing was observed, and ratios are undefined
        require(self.min_bandwidth > 0, "min_bandwidth", self.min_bandwidth, "above 0")

    def __call__(
        self,
        space: Searchable,
        evaluate: Evaluate,
        rng: np.random.Generator,
        start: Sequence[Architecture] = (),
    ) -> None:
        """See `BudgetedSearch`."""
        choices = choices_of(space)
        rungs = _rungs(self.eta, self.min_share)
        # observations by rung, the longest training at 0
        seen: list[list[tuple[Architecture, float]]] = [[] for _ in range(rungs)]

        def observe(architecture: Architecture, rung: int) -> tuple[Architecture, float]:
            share = 1.0 if self.charge == "full" else float(self.eta**-rung)
            seen[rung].append((architecture, evaluate(architecture, share)))
            return seen[rung][-1]

        waiting = deque(start)
        for bracket in count():
            lowest = rungs - 1 - bracket % rungs
            size = rungs // (lowest + 1) * self.eta**lowest
            field = []
            for _ in range(size):
                proposed = (
                    waiting.popleft() if waiting else self._propose(space, choices, seen, rng)
                )
                field.append(observe(proposed, lowest))
            for rung in reversed(range(lowest)):
                size //= self.eta
                field = [observe(one, rung) for one, _ in _best_first(field)[:size]]

    def _propose(
        self,
        space: Searchable,
        choices: Choices,
        seen: Sequence[Sequence[tuple[Architecture, float]]],
        rng: np.random.Generator,
    ) -> Architecture:
        """The candidate with the largest ratio of the good to the bad density.

        The model is of the longest training that was observed often enough; before there is one,
        an architecture is drawn uniformly.
        """
        fewest = len(choices.sizes) + 1
        observed = next((rung for rung in seen if len(rung) >= fewest + 2), None)
        if observed is None or rng.random() < self.random_fraction:
            return space.sample(rng)
        ranked = choices.codes[[architecture.index for architecture, _ in _best_first(observed)]]
        good_size = max(fewest, int(self.good_fraction * len(ranked)))
        bad_size = max(fewest, len(ranked) - good_size)
        good, bad = ranked[:good_size], ranked[-bad_size:]
        width = bandwidths(good, choices.sizes, self.min_bandwidth)
        drawn = _draw(good, width, choices.sizes, self.candidates, rng)
        above = density(drawn, good, width, choices.sizes)
        below = density(
            drawn, bad, bandwidths(bad, choices.sizes, self.min_bandwidth), choices.sizes
        )
        return space[choices.index(drawn[np.argmax(above / below)])]


def bandwidths(data: Integers, sizes: Integers, least: float) -> Floats:
    """The bandwidth of each decision (decisions,), by the rule that BOHB's authors use.

    Scott's normal reference rule on the options' numbers, `1.06 std n^(-1 / (4 + decisions))`, but
    not below `least` nor above `(options - 1) / options`, where the kernel is uniform.

    Args:
        data: (n, decisions) options.
        sizes: (decisions,) numbers of options.
        least: the lower bound.
    """
    spread = data.std(axis=0)
    rule = 1.06 * spread * len(data) ** (-1 / (4 + data.shape[1]))
    bounded: Floats = np.minimum(np.maximum(rule, least), (sizes - 1) / sizes)
    return bounded


def density(points: Integers, data: Integers, widths: Floats, sizes: Integers) -> Floats:
    """The density (points,) of `points` (points, decisions) under `data` (n, decisions).

    A product of Aitchison and Aitken's kernels (Biometrika 63, 1976): 1 - bandwidth where an option
    agrees, bandwidth / (options - 1) where not.
    """
    agrees = points[:, None] == data[None]
    mean: Floats = np.where(agrees, 1 - widths, widths / (sizes - 1)).prod(axis=2).mean(axis=1)
    return mean


def _draw(
    data: Integers, widths: Floats, sizes: Integers, number: int, rng: np.random.Generator
) -> Integers:
    """Draw `number` points (number, decisions) from the density."""
    chosen = data[rng.integers(len(data), size=number)]
    moves = rng.random(chosen.shape) < widths
    other = rng.integers(1, sizes, size=chosen.shape)
    return np.where(moves, (chosen + other) % sizes, chosen)


def _best_first(observed: Sequence[tuple[Architecture, float]]) -> list[tuple[Architecture, float]]:
    return sorted(observed, key=lambda pair: -pair[1])


def _rungs(eta: int, min_share: float) -> int:
    """How many lengths of training there are: 1, 1/eta, ... down to `min_share`."""
    return next(rung for rung in count(1) if eta**-rung < min_share * (1 - 1e-9))

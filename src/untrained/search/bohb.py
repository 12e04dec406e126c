"""BOHB: Hyperband's brackets, filled with what a density model of good architectures proposes.

Falkner, Klein and Hutter, BOHB: Robust and Efficient Hyperparameter Optimization at Scale, ICML
2018, section 3 (Hyperband: Li et al., JMLR 18, 2018), with the settings of NAS-Bench-201's script.
It is written here because the maintained libraries run on wall-clock time.

**Model.** `released` is the model of the authors' hpbandster 0.7.4 on statsmodels, which the script
runs: a bandwidth has no upper bound, so that densities may be negative; a decision has as many
options as its observations show, so that a decision observed with a single option has infinite
densities; a changed decision may take its old option again; a model needs 2 (decisions + 1)
observations. `paper` has bounded bandwidths, all options of the space, changes to another option,
and needs decisions + 3 observations. Bandwidths are computed from the numbers of the options, so
the order of the options matters. hpbandster's bandwidth factor widens continuous parameters only,
and every decision here is categorical.

**Answer.** hpbandster's incumbent is the best of the `longest` trainings, a quarter of all
trainings; `any` is the best of all.

**Results** on NAS-Bench-201, 12,000 s: with the defaults all six cells of the NASWOT paper's Table
2(a) lie within 0.6 joint standard errors of the published ones (500 runs, seed 0). `any` adds 1;
`paper` lies 4 above and `proportional` 13 to 15, so neither of them was the published setting.

**Fidelities.** BOHB ranks many short trainings and lengthens the best. A benchmark with one length
of training (NAS-Bench-201: 12 epochs before the full 200) does not tell how shorter trainings rank.
So a rung of any length answers with the full evaluation, and `charge` sets its cost: `full` charges
all of it, as in the script, so that climbing a rung trains anew; `proportional` charges the rung's
share of it. Then short trainings rank as well as long ones, and the result is an upper bound of
what BOHB could reach.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from untrained.limits import DRAWS
from untrained.search.base import BudgetedSearch, Evaluate, Searchable, require
from untrained.search.choices import Choices, choices_of
from untrained.spaces.base import Architecture, SearchSpace

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
CHARGES = ("full", "proportional")
MODELS = ("released", "paper")
ANSWERS = ("longest", "any")

# the least density that hpbandster divides by
_LEAST_DENSITY = 1e-32


@dataclass(frozen=True)
class Bohb(BudgetedSearch):
    """Search by BOHB; the first brackets begin with `start` instead of proposals.

    Attributes:
        charge: cost of a short training, `full` or `proportional`.
        model: model of the proposals, `released` or `paper`.
        answer: whether a run answers with the best of the `longest` trainings or of `any`.
        eta: one in `eta` architectures climbs a rung, to a training `eta` times as long.
        min_share: the shortest rung is at least this share of the full training (1 of 12 epochs).
        candidates: number of candidates that are drawn from the model for each proposal.
        random_fraction: share of the proposals that ignore the model.
        good_fraction: share of the observations that count as good.
        min_bandwidth: lower bound of the bandwidths.
    """

    name: ClassVar[str] = "bohb"
    label: ClassVar[str] = "BOHB"
    summary: ClassVar[str] = "Hyperband's brackets, filled with what a density model proposes"
    # each proposal looks at all trainings before it: so many take some minutes
    most_evaluations: ClassVar[int] = 50_000

    charge: str = "full"
    model: str = "released"
    answer: str = "longest"
    eta: int = 3
    min_share: float = 1 / 12
    candidates: int = 4
    random_fraction: float = 0.0
    good_fraction: float = 0.15
    min_bandwidth: float = 0.3

    @property
    def shortens(self) -> bool:
        """Whether its settings charge less than a full training for a shorter one."""
        return self.charge == "proportional"

    def __post_init__(self) -> None:
        require(self.charge in CHARGES, "charge", self.charge, " or ".join(CHARGES))
        require(self.model in MODELS, "model", self.model, " or ".join(MODELS))
        require(self.answer in ANSWERS, "answer", self.answer, " or ".join(ANSWERS))
        require(self.eta >= 2, "eta", self.eta, "2 or more")
        require(1e-6 <= self.min_share <= 1, "min_share", self.min_share, "0.000001 to 1")
        require(1 <= self.candidates <= DRAWS, "candidates", self.candidates, f"1 to {DRAWS}")
        require(0 <= self.random_fraction <= 1, "random_fraction", self.random_fraction, "0 to 1")
        good = self.good_fraction
        require(0 <= good < 0.99, "good_fraction", good, "0 to below 0.99")
        # without a bandwidth a density is 0 wherever nothing was observed, and ratios are undefined
        width = self.min_bandwidth
        require(0 < width < math.inf, "min_bandwidth", width, "above 0, finite")

    def check_space(self, space: SearchSpace) -> None:
        """Check that the architectures are a product of choices; see `Algorithm.check_space`."""
        choices_of(space)

    def __call__(
        self,
        space: Searchable,
        evaluate: Evaluate,
        rng: np.random.Generator,
        start: Sequence[Architecture] = (),
    ) -> None:
        """Search until the budget is spent; see `BudgetedSearch`."""
        choices = choices_of(space)
        rungs = _rungs(self.eta, self.min_share)
        # observations by rung, the longest training at 0
        seen: list[list[tuple[Architecture, float]]] = [[] for _ in range(rungs)]

        def observe(architecture: Architecture, rung: int) -> tuple[Architecture, float]:
            length = float(self.eta**-rung)
            share = 1.0 if self.charge == "full" else length
            fitness = evaluate(architecture, share, length if self.answer == "longest" else 1.0)
            seen[rung].append((architecture, fitness))
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
                # in the order in which they were proposed, as hpbandster does
                # of equals the first; a rank in a pool that grows can be compared, not negated
                best = sorted(range(len(field)), key=lambda place: field[place][1], reverse=True)
                field = [observe(field[place][0], rung) for place in sorted(best[:size])]

    def _propose(
        self,
        space: Searchable,
        choices: Choices,
        seen: Sequence[Sequence[tuple[Architecture, float]]],
        rng: np.random.Generator,
    ) -> Architecture:
        """Return the proposal of the model of the longest training that has enough observations.

        Without such a model, and if it proposes nothing, an architecture is drawn uniformly.
        """
        fewest = len(choices.sizes) + 1
        enough = 2 * fewest if self.model == "released" else fewest + 2
        observed = next((rung for rung in seen if len(rung) >= enough), None)
        if observed is None or rng.random() < self.random_fraction:
            return space.sample(rng)
        best_first = sorted(observed, key=lambda pair: pair[1], reverse=True)
        ranked = choices.codes[[architecture.index for architecture, _ in best_first]]
        propose = self._released if self.model == "released" else self._paper
        options = propose(ranked, choices.sizes, fewest, rng)
        return space.sample(rng) if options is None else space[choices.index(options)]

    def _paper(
        self, ranked: Integers, sizes: Integers, fewest: int, rng: np.random.Generator
    ) -> Integers:
        """Return the candidate (decisions,) with the largest ratio of good to bad density.

        Args:
            ranked: (n, decisions) observed options, the best first.
            sizes: (decisions,) numbers of options.
            fewest: least number of observations for either density.
            rng: generator of the draws.
        """
        good_size = max(fewest, int(self.good_fraction * len(ranked)))
        bad_size = max(fewest, len(ranked) - good_size)
        good, bad = ranked[:good_size], ranked[-bad_size:]
        width = bandwidths(good, sizes, self.min_bandwidth)
        drawn = _draw(good, width, sizes, self.candidates, rng)
        above = density(drawn, good, width, sizes)
        below = density(drawn, bad, bandwidths(bad, sizes, self.min_bandwidth), sizes)
        best: Integers = drawn[np.argmax(above / below)]
        return best

    def _released(
        self, ranked: Integers, sizes: Integers, fewest: int, rng: np.random.Generator
    ) -> Integers | None:
        """Return the candidate of hpbandster, None for a uniform draw; arguments as in `_paper`."""
        # whole percent, because hpbandster divides integers
        percent = round(100 * self.good_fraction)
        good_size = max(fewest, percent * len(ranked) // 100)
        bad_size = max(fewest, (100 - percent) * len(ranked) // 100)
        good, bad = ranked[:good_size], ranked[good_size : good_size + bad_size]
        width = reference_rule(good, self.min_bandwidth)
        chosen = good[rng.integers(len(good), size=self.candidates)]
        moves = rng.random(chosen.shape) >= 1 - width
        drawn = np.where(moves, rng.integers(0, sizes, size=chosen.shape), chosen)
        above = density(drawn, good, width, observed_sizes(good))
        bad_width = reference_rule(bad, self.min_bandwidth)
        below = density(drawn, bad, bad_width, observed_sizes(bad))
        place = released_choice(above.tolist(), below.tolist())
        return None if place is None else drawn[place]


def reference_rule(data: Integers, least: float) -> Floats:
    """Return Scott's normal reference rule (decisions,) of options (n, decisions), or `least`.

    The rule is `1.06 std n^(-1 / (4 + decisions))` of the options' numbers, as in statsmodels.
    """
    rule: Floats = 1.06 * data.std(axis=0) * len(data) ** (-1 / (4 + data.shape[1]))
    return np.maximum(rule, least)


def bandwidths(data: Integers, sizes: Integers, least: float) -> Floats:
    """Return the bandwidths (decisions,) of `reference_rule`, bounded from above by the `sizes`.

    With a bandwidth of `(options - 1) / options` a kernel is uniform; with a larger one it prefers
    options that were not observed.
    """
    bounded: Floats = np.minimum(reference_rule(data, least), (sizes - 1) / sizes)
    return bounded


def density(points: Integers, data: Integers, widths: Floats, sizes: Integers) -> Floats:
    """Return the density (points,) of `points` (points, decisions) under `data` (n, decisions).

    It is a product of Aitchison and Aitken's kernels (Biometrika 63, 1976): 1 - bandwidth for an
    option that agrees, bandwidth / (options - 1) for another one. In statsmodels a decision has as
    many options as `data` has values of it (see `observed_sizes`). With widths above 1 a density
    may be negative. If `data` has one value of a decision, every other value has an infinite
    kernel, and the product of that with 0 is NaN.
    """
    agrees = points[:, None] == data[None]
    with np.errstate(divide="ignore", invalid="ignore"):
        kernels = np.where(agrees, 1 - widths, widths / (sizes - 1))
        mean: Floats = kernels.prod(axis=2).mean(axis=1)
    return mean


def observed_sizes(data: Integers) -> Integers:
    """Return how many different options (decisions,) the observations (n, decisions) have."""
    sizes: Integers = 1 + (np.diff(np.sort(data, axis=0), axis=0) != 0).sum(axis=0)
    return sizes


def released_choice(above: Sequence[float], below: Sequence[float]) -> int | None:
    """Return the place of the candidate that hpbandster takes; None for none.

    It has the least ratio of the bad density (`below`) to the good one (`above`), each at least
    1e-32. The first candidate whose good density alone is finite is taken at once; a candidate
    without a finite density is passed over.
    """
    best, least = None, math.inf
    for place, (good, bad) in enumerate(zip(above, below, strict=True)):
        # Python's max of a NaN and a number is its first argument, so a NaN among the good stays
        ratio = max(_LEAST_DENSITY, bad) / max(good, _LEAST_DENSITY)
        if not math.isfinite(ratio) and math.isfinite(good):
            return place
        if ratio < least:
            best, least = place, ratio
    return best


def _draw(
    data: Integers, widths: Floats, sizes: Integers, number: int, rng: np.random.Generator
) -> Integers:
    """Draw `number` points (number, decisions) from the density."""
    chosen = data[rng.integers(len(data), size=number)]
    moves = rng.random(chosen.shape) < widths
    other = rng.integers(1, sizes, size=chosen.shape)
    return np.where(moves, (chosen + other) % sizes, chosen)


def _rungs(eta: int, min_share: float) -> int:
    """Return the number of lengths of training: 1, 1/eta, ... down to `min_share`."""
    return next(rung for rung in count(1) if eta**-rung < min_share * (1 - 1e-9))

"""REINFORCE: a policy over the decisions of the space that learns from rewards.

Williams, Machine Learning 8, 1992, in the form of NAS-Bench-201's and NATS-Bench's scripts: an
independent softmax for each decision, Adam, and a moving average of the rewards as baseline. A run
answers with the best architecture that it trained, as in those scripts. An undefined fitness counts
as the worst defined one so far; before there is a defined one, the policy does not change.

**The learning rate** is an option of those scripts, and the published value is unknown. The default
is NATS-Bench's, 0.01: on NAS-Bench-201 (12,000 s) it learns too little in 100 trainings and lies
2.6 to 5.4 joint standard errors below the NASWOT paper's Table 2(a) (500 runs). 0.04 lies within
1.52 of all six published cells, 0.1 above, and 0.5 far below (docs/searches.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from untrained.search.base import BudgetedSearch, Evaluate, Searchable, require
from untrained.search.choices import choices_of
from untrained.spaces.base import Architecture, SearchSpace

Floats = NDArray[np.float64]

# the settings of Adam that Kingma and Ba (ICLR 2015) recommend
_DECAY, _SQUARE_DECAY, _EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Reinforce(BudgetedSearch):
    """Search by REINFORCE; the policy learns from `start` as if it had drawn it.

    Attributes:
        learning_rate: learning rate of Adam.
        baseline_decay: weight of the old average when a reward is added.
        initial_spread: standard deviation of the initial logits.
    """

    name: ClassVar[str] = "reinforce"
    label: ClassVar[str] = "REINFORCE"
    summary: ClassVar[str] = "moves a policy over the decisions of the space towards its rewards"

    learning_rate: float = 0.01
    baseline_decay: float = 0.9
    initial_spread: float = 1e-3

    def __post_init__(self) -> None:
        require(
            0 < self.learning_rate <= 1e6, "learning_rate", self.learning_rate, "above 0, to 1e6"
        )
        require(0 <= self.baseline_decay < 1, "baseline_decay", self.baseline_decay, "0 to below 1")
        require(0 <= self.initial_spread <= 1e6, "initial_spread", self.initial_spread, "0 to 1e6")

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
        shape = (len(choices.sizes), int(choices.sizes.max()))
        offered = np.arange(shape[1]) < choices.sizes[:, None]
        logits = np.where(offered, self.initial_spread * rng.standard_normal(shape), -np.inf)
        momentum, square = np.zeros(shape), np.zeros(shape)
        average, weight = 0.0, 0.0
        waiting = list(reversed(start))
        step = 0
        worst = np.inf
        while True:
            policy = softmax(logits)
            if waiting:
                architecture = waiting.pop()
                options = choices.codes[architecture.index]
            else:
                options = _draw(policy, choices.sizes, rng)
                architecture = space[choices.index(options)]
            reward = evaluate(architecture)
            if reward > -np.inf:
                worst = min(worst, reward)
            elif worst == np.inf:
                continue
            else:
                reward = worst
            step += 1
            average = self.baseline_decay * average + (1 - self.baseline_decay) * reward
            weight = self.baseline_decay * weight + (1 - self.baseline_decay)
            advantage = reward - average / weight
            # the gradient of -advantage * log policy(options)
            gradient = advantage * policy
            gradient[np.arange(shape[0]), options] -= advantage
            momentum = _DECAY * momentum + (1 - _DECAY) * gradient
            square = _SQUARE_DECAY * square + (1 - _SQUARE_DECAY) * gradient**2
            slope = momentum / (1 - _DECAY**step)
            scale = np.sqrt(square / (1 - _SQUARE_DECAY**step)) + _EPSILON
            logits -= self.learning_rate * slope / scale


def softmax(logits: Floats) -> Floats:
    """Return the probabilities (decisions, options) of logits of that shape, 0 at -inf."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Floats = weights / weights.sum(axis=1, keepdims=True)
    return probabilities


def _draw(policy: Floats, sizes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw an option for each decision: the first with a cumulative probability above a uniform."""
    above = policy.cumsum(axis=1) > rng.random((len(policy), 1))
    # rounding can leave the last cumulative probability below 1
    return np.where(above.any(axis=1), above.argmax(axis=1), sizes - 1)

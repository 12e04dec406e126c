"""Random search: train random architectures, keep the best.

Dong and Yang, NAS-Bench-201, ICLR 2020, "RS": architectures are drawn with replacement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from untrained.search.base import BudgetedSearch, Evaluate, Searchable
from untrained.spaces.base import Architecture


@dataclass(frozen=True)
class RandomSearch(BudgetedSearch):
    """Evaluate the start, then random architectures."""

    name: ClassVar[str] = "rs"
    label: ClassVar[str] = "RS"
    summary: ClassVar[str] = "random search: trains random architectures"

    def __call__(
        self,
        space: Searchable,
        evaluate: Evaluate,
        rng: np.random.Generator,
        start: Sequence[Architecture] = (),
    ) -> None:
        """Search until the budget is spent; see `BudgetedSearch`."""
        for architecture in start:
            evaluate(architecture)
        while True:
            evaluate(space.sample(rng))

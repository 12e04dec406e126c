"""Algorithms that spend scores and benchmark queries to pick one architecture.

Some pick from a sample and are spelled with its size, `name` or `name-samples`: `random`,
`naswot-1000`, `optimal-100`. The others spend a budget of simulated training: `rs`, `rea`, `area`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from untrained.errors import ParameterError
from untrained.registry import Registry
from untrained.search.base import BudgetedSearch

if TYPE_CHECKING:
    import pandas as pd

    from untrained.search.pool import Pool

#: (pool, samples per run, runs, seed) to a trace; see `untrained.search.pool`.
SampleSearch = Callable[["Pool", int, int, int], "pd.DataFrame"]
Algorithm = SampleSearch | type[BudgetedSearch]

ALGORITHMS: Registry[Algorithm] = Registry(
    "search algorithm",
    {
        "area": "untrained.search.area:Area",
        "bohb": "untrained.search.bohb:Bohb",
        "local": "untrained.search.local_search:LocalSearch",
        "naswot": "untrained.search.naswot:search",
        "optimal": "untrained.search.optimal:search",
        "random": "untrained.search.random_choice:search",
        "rea": "untrained.search.regularised_evolution:RegularisedEvolution",
        "reinforce": "untrained.search.reinforce:Reinforce",
        "rs": "untrained.search.random_search:RandomSearch",
    },
)


def parse_algorithm(spelling: str) -> tuple[str, int]:
    """The name and the number of samples of an algorithm; one sample where none is spelled.

    Raises:
        UnknownNameError: no such algorithm.
        ParameterError: the number of samples is no positive integer, or the algorithm has none.
    """
    name, dash, samples = spelling.partition("-")
    algorithm = ALGORITHMS.load(name)
    if dash and isinstance(algorithm, type):
        raise ParameterError(f"{spelling!r}: {name} spends a budget, it takes no samples")
    if dash and not (samples.isdecimal() and int(samples) > 0):
        raise ParameterError(f"{spelling!r}: samples are a positive integer, as in '{name}-100'")
    return name, int(samples or 1)


__all__ = ["ALGORITHMS", "Algorithm", "BudgetedSearch", "SampleSearch", "parse_algorithm"]

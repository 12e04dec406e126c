"""Algorithms that spend scores and benchmark queries to pick one architecture.

An algorithm is spelled `name` or `name-samples`: `random`, `naswot-1000`, `optimal-100`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from untrained.errors import ParameterError
from untrained.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

    from untrained.search.pool import Pool

#: (pool, samples per run, runs, seed) to a trace; see `untrained.search.pool`.
Algorithm = Callable[["Pool", int, int, int], "pd.DataFrame"]

ALGORITHMS: Registry[Algorithm] = Registry(
    "search algorithm",
    {
        "naswot": "untrained.search.naswot:search",
        "optimal": "untrained.search.optimal:search",
        "random": "untrained.search.random_choice:search",
    },
)


def parse_algorithm(spelling: str) -> tuple[str, int]:
    """The name and the number of samples of an algorithm; one sample where none is spelled.

    Raises:
        UnknownNameError: no such algorithm.
        ParameterError: the number of samples is no positive integer.
    """
    name, dash, samples = spelling.partition("-")
    ALGORITHMS.load(name)
    if dash and not (samples.isdecimal() and int(samples) > 0):
        raise ParameterError(f"{spelling!r}: samples are a positive integer, as in '{name}-100'")
    return name, int(samples or 1)


__all__ = ["ALGORITHMS", "Algorithm", "parse_algorithm"]

"""Search algorithms, which pick one architecture by scores and benchmarked trainings."""

from untrained.search.spelling import ALGORITHMS, Search, parse_algorithm

__all__ = ["ALGORITHMS", "Search", "parse_algorithm"]

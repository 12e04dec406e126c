"""Search algorithms, which pick one architecture by scores and benchmarked trainings."""

from untrained.search.spelling import ALGORITHMS, Search, parse_algorithm, reference_search

__all__ = ["ALGORITHMS", "Search", "parse_algorithm", "reference_search"]

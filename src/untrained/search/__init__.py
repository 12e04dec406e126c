"""Algorithms that spend scores and benchmark queries to pick one architecture."""

from untrained.search.spelling import ALGORITHMS, Search, parse_algorithm

__all__ = ["ALGORITHMS", "Search", "parse_algorithm"]

"""Algorithms that spend scores and benchmark queries to pick one architecture."""

from untrained.search.spelling import ALGORITHMS, Sampling, Spending, parse_algorithm

__all__ = ["ALGORITHMS", "Sampling", "Spending", "parse_algorithm"]

"""What tests of several benchmarks share."""

from .official_files import few_cells as few_cells

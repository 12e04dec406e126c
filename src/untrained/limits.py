"""The largest numbers that parameters and options of commands take.

Larger ones would fill the memory or run for days, and are mistakes.
"""

RESAMPLES = 1_000_000
RUNS = 1_000_000
SEEDS = 1_000_000
KERNELS = 1_000

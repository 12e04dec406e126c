"""The largest numbers that parameters and options of commands take.

Larger ones would fill the memory or run for days, and are mistakes.
"""

from untrained.errors import ParameterError

RESAMPLES = 1_000_000
RUNS = 1_000_000
SEEDS = 1_000_000
KERNELS = 1_000
WORKERS = 1_000
#: Anything else that is counted: epochs, repeats, shards, images of a minibatch, channels, ...
COUNT = 1_000_000
#: Draws of a search for one decision, of which it takes the best.
DRAWS = 10_000
#: Architectures that all runs of a search draw together, which are in memory at once.
DRAWN = 30_000_000
#: Simulated seconds of a run of a search, three years; and of one score.
SECONDS = 100_000_000


def at_most(most: float, **numbers: float) -> None:
    """Refuse a number that is too large.

    Args:
        most: the largest one.
        numbers: the numbers by their names.

    Raises:
        ParameterError: one of them is larger.
    """
    for name, number in numbers.items():
        if number > most:
            raise ParameterError(f"{name} is {number}: at most {most}")

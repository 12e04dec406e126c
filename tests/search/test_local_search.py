"""Local search against a plain climb, and against what a climb must end with."""

import numpy as np
import pytest

from untrained.errors import ParameterError
from untrained.search.local_search import LocalSearch


def slow_climbs(space, accuracy, rng, patience, start, limit):
    asked = []
    pending = [one.index for one in start]
    while True:
        begun = pending or [space.sample(rng).index]
        pending = []
        asked += begun
        top = begun[0]
        for one in begun:
            top = one if accuracy[one] > accuracy[top] else top
        known_in_a_row = 0
        while known_in_a_row < patience:
            if len(asked) >= limit:
                return asked[:limit]
            mutant = space.mutate(space[top], rng).index
            if mutant in asked:
                known_in_a_row += 1
            else:
                known_in_a_row = 0
                asked.append(mutant)
                if accuracy[mutant] > accuracy[top]:
                    top = mutant


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("patience", [1, 5, 40])
@pytest.mark.parametrize("started", [0, 3])
def test_it_is_the_slow_climb(toy, trainings, ask, seed, patience, started):
    start = [toy[index] for index in range(started)]
    expected = slow_climbs(
        toy, trainings.accuracy, np.random.default_rng(seed), patience, start, 50
    )
    assert ask(LocalSearch(patience), 50, seed, start).asked == expected


def test_a_climb_sees_all_neighbours_of_its_top(toy, trainings, ask):
    """Eight of them, so with much patience none is left out."""
    asked = ask(LocalSearch(200), 81, 1).asked
    top = max(asked, key=lambda index: trainings.accuracy[index])
    digits = toy.digits(top)
    for where in range(4):
        for step in (1, 2):
            other = [*digits[:where], (digits[where] + step) % 3, *digits[where + 1 :]]
            assert toy.with_digits(other).index in asked


def test_it_goes_on_when_everything_is_known(ask):
    assert len(ask(LocalSearch(3), 500).asked) == 500


def test_patience_is_positive():
    with pytest.raises(ParameterError, match=r"^patience=0: 1 or more$"):
        LocalSearch(0)

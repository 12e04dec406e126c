"""Decisions that are read off the spellings."""

import itertools

import numpy as np
import pytest

from untrained.errors import ParameterError
from untrained.search.choices import choices_of
from untrained.spaces.base import Architecture


class Spelled:
    """A space of given spellings."""

    name = "spelled"

    def __init__(self, spellings):
        self.spellings = spellings

    def __len__(self):
        return len(self.spellings)

    def __getitem__(self, index):
        return Architecture(self.name, index, self.spellings[index])


def test_the_toy_space_has_four_decisions_of_three_options(toy):
    choices = choices_of(toy)
    assert choices.sizes.tolist() == [3, 3, 3, 3]
    names = sorted(("low", "middle", "high"))
    for index in range(len(toy)):
        assert [names[code] for code in choices.codes[index]] == toy[index].spelling.split(":")
        assert choices.index(choices.codes[index]) == index


def test_nasbench201_has_six_edges_of_five_operations(space, all_operations):
    choices = choices_of(space)
    assert choices.sizes.tolist() == [5] * 6
    names = space.option_order
    assert set(names) == set(itertools.chain(*all_operations))
    for index in (0, 1462, 8000, 15_624):
        found = tuple(names[code] for code in choices.codes[index])
        assert found == all_operations[index]
        assert choices.index(choices.codes[index]) == index


def test_decisions_may_differ_in_their_number_of_options():
    spellings = [f"{a}:x:{b}" for a in (8, 16) for b in (8, 16, 24)]
    np.random.default_rng(0).shuffle(spellings)
    choices = choices_of(Spelled(spellings))
    assert choices.sizes.tolist() == [2, 3]
    assert [choices.index(codes) for codes in choices.codes] == list(range(6))


def test_a_space_may_number_its_options():
    space = Spelled([f"{a}:{b}" for a in "abc" for b in "cd"])
    assert choices_of(space).codes[[0, 2, 4], 0].tolist() == [0, 1, 2]
    space = Spelled(space.spellings)
    space.option_order = ("c", "b")  # of the second decision too; others follow
    choices = choices_of(space)
    assert choices.codes[[0, 2, 4], 0].tolist() == [2, 1, 0]
    assert choices.codes[:2, 1].tolist() == [0, 1]
    assert [choices.index(codes) for codes in choices.codes] == list(range(6))


@pytest.mark.parametrize(
    "spellings",
    [
        ["a:a", "a:b", "b:a"],  # one combination is missing
        ["a:a", "a:b", "b:a", "b:a"],  # and here one is there twice
        ["a", "a:b"],
        ["a"],
    ],
)
def test_other_spaces_are_refused(spellings):
    with pytest.raises(ParameterError, match=r"^spelled is no product of independent choices"):
        choices_of(Spelled(spellings))

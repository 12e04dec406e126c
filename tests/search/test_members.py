"""Part of a space: neighbours against a slow search through all pairs of members."""

import numpy as np
import pytest

from untrained.errors import MissingDataError, ParameterError
from untrained.search.choices import choices_of
from untrained.search.members import PartOfSpace, members_of, part_of

from .test_choices import Spelled


def differing(space, one, other):
    """In how many words two spellings differ."""
    words = space[one].spelling.split(":"), space[other].spelling.split(":")
    return sum(mine != theirs for mine, theirs in zip(*words, strict=True))


def slow_radius(space, members):
    """The least radius at which sets of neighbours, merged pair by pair, become one."""
    for radius in range(1, 5):
        group = {one: one for one in members}
        for one in members:
            for other in members:
                if differing(space, one, other) <= radius:
                    old, new = group[one], group[other]
                    group = {member: new if own == old else own for member, own in group.items()}
        if len(set(group.values())) == 1:
            return radius
    raise AssertionError


def drawn_members(count, seed):
    return np.sort(np.random.default_rng(seed).choice(81, count, replace=False))


@pytest.mark.parametrize("count", [2, 5, 12, 40])
@pytest.mark.parametrize("seed", range(3))
def test_mutants_are_drawn_uniformly_from_the_neighbours(toy, count, seed):
    members = drawn_members(count, seed)
    part = part_of(toy, members)
    assert part.radius == slow_radius(toy, members.tolist())
    rng = np.random.default_rng(seed)
    for index in members[:4]:
        near = [other for other in members if 0 < differing(toy, index, other) <= part.radius]
        assert near
        drawn = [part.mutate(toy[int(index)], rng) for _ in range(60 * len(near))]
        assert all(one == toy[one.index] for one in drawn)
        indices, counts = np.unique([one.index for one in drawn], return_counts=True)
        assert indices.tolist() == near
        assert counts.min() > 60 - 6 * np.sqrt(60)
        assert counts.max() < 60 + 6 * np.sqrt(60)


def test_a_radius_above_one_is_met(toy):
    """Else the test above could not tell it from the space's own neighbours."""
    found = {slow_radius(toy, drawn_members(count, 0).tolist()) for count in (2, 5, 12, 40)}
    assert max(found) > 1
    assert min(found) == 1


def test_neighbours_are_mutual_and_reach_every_member(toy):
    members = drawn_members(12, 7)
    part = part_of(toy, members)
    rng = np.random.default_rng(0)
    near = {
        int(one): {part.mutate(toy[int(one)], rng).index for _ in range(400)} for one in members
    }
    assert all(one in near[other] for one, others in near.items() for other in others)
    reached = {int(members[0])}
    for _ in members:
        reached |= set().union(*(near[one] for one in reached))
    assert reached == set(members.tolist())


def test_members_are_drawn_uniformly(toy):
    members = drawn_members(9, 1)
    part = part_of(toy, members)
    rng = np.random.default_rng(0)
    indices, counts = np.unique([part.sample(rng).index for _ in range(900)], return_counts=True)
    assert indices.tolist() == members.tolist()
    assert (np.abs(counts - 100) < 60).all()
    assert part.sample(np.random.default_rng(3)) in [toy[int(index)] for index in members]


def test_an_index_is_the_nearest_member(toy):
    members = drawn_members(10, 2)
    part = part_of(toy, members)
    for index in range(81):
        nearest = min(members.tolist(), key=lambda one: (differing(toy, index, one), one))
        assert part[index] == toy[nearest]
    assert all(part[int(index)] == toy[int(index)] for index in members)


def test_decisions_and_indices_are_those_of_the_whole(toy):
    part = part_of(toy, np.array([3, 40]))
    assert choices_of(part) is choices_of(toy)
    assert (part.name, len(part)) == ("toy", 81)
    assert members_of(part).tolist() == [3, 40]
    assert members_of(toy).tolist() == list(range(81))


def test_all_members_are_the_space_itself(toy):
    assert part_of(toy, np.arange(81)) is toy
    assert isinstance(part_of(toy, np.arange(80)), PartOfSpace)


def test_the_whole_space_as_a_part_has_its_own_neighbours(toy):
    whole = PartOfSpace(toy, np.arange(81))
    assert whole.radius == 1
    rng = np.random.default_rng(0)
    ours = {whole.mutate(toy[5], rng).index for _ in range(400)}
    assert ours == {toy.mutate(toy[5], rng).index for _ in range(400)}


@pytest.mark.parametrize("members", [[], [4]])
def test_fewer_than_two_have_no_neighbours(toy, members):
    with pytest.raises(MissingDataError, match=rf"^{len(members)} architectures of toy are scored"):
        part_of(toy, np.array(members, dtype=int))


def test_a_space_without_decisions_has_no_part():
    space = Spelled(["a", "b:c", "d"])
    with pytest.raises(ParameterError, match=r"^spelled is no product of independent choices"):
        _ = part_of(space, np.array([0, 2])).radius


def test_of_nasbench201_a_radius_of_two_or_three_is_enough(space):
    """As the module says."""
    rng = np.random.default_rng(0)
    for count, radius in ((200, 3), (1000, 2)):
        members = np.sort(rng.choice(len(space), count, replace=False))
        assert part_of(space, members).radius == radius

"""A space of NDS is the list of networks that one file has."""

import json
import pickle
from collections import Counter

import numpy as np
import pytest
from tests.benchmarks.nds_files import cell_entry, network_of, some_entries

from untrained.errors import ArchitectureError, MissingDataError, ParameterError, UnknownNameError
from untrained.networks.nds import costs_of
from untrained.spaces import SPACES, get_space
from untrained.spaces.base import Skeleton
from untrained.spaces.nds import Nds, write_architectures
from untrained.spaces.nds_networks import SWEEPS

#: Of both kinds, although no file has both; the last is the first once more.
ENTRIES = [*some_entries(), cell_entry()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fetched")
    for space in ("nds_darts", "nds_darts_in"):
        spellings = [str(network_of(entry["net"])) for entry in ENTRIES]
        write_architectures(space, spellings, folder / f"{space}.json")
    return folder


@pytest.fixture(scope="module")
def space(folder):
    return Nds("nds_darts", folder)


def test_each_file_is_a_registered_space():
    assert set(SWEEPS) <= set(SPACES.names())
    for name in SWEEPS:
        made = get_space(name)
        assert made.name == name
        assert type(made).__module__ == "untrained.spaces.nds"  # whose code its scores depend on
        assert made.datasets == (("ImageNet",) if name.endswith("_in") else ("cifar10",))
    with pytest.raises(UnknownNameError, match="unknown space of NDS 'nds_dart': did you mean"):
        Nds("nds_dart")


def test_a_space_can_be_sent_to_another_process():
    for name in SWEEPS:
        assert type(pickle.loads(pickle.dumps(get_space(name)))) is type(get_space(name))


def test_an_index_is_a_position_in_the_file(space):
    assert len(space) == len(ENTRIES)
    for index, entry in enumerate(ENTRIES):
        found = space[index]
        assert (found.space, found.index) == ("nds_darts", index)
        assert found.spelling == str(network_of(entry["net"]))


def test_an_architecture_is_parsed_by_index_or_spelling(space):
    for index in range(len(space)):
        one = space[index]
        for text in (index, str(index), f" {index} "):
            assert space.parse(text) == one
        assert space.parse(one) == one  # although an equal network may come before it
        first = space.canonical(one)  # of equal networks
        for text in (one.spelling, "  ".join(one.spelling.split()[::-1])):
            assert space.parse(text) == first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1", "^index -1 is not in nds_darts: it has 0 to 10$"),
        ("11", "^index 11 is not in nds_darts: it has 0 to 10$"),
        ("9" * 5000, "^a number of 5000 digits is not an index"),
        ("DARTS_V2", "^'DARTS_V2' is no key=value"),
        ("block=vanilla_block depths=9,2,1 widths=8,16,24 strides=1,2,2",
         "^nds_darts has no block=vanilla_block .*: spell one of its 11 architectures, or"),
    ],
)  # fmt: skip
def test_what_it_does_not_have_is_refused_in_one_line(space, text, message):
    with pytest.raises(ArchitectureError, match=message) as caught:
        space.parse(text)
    assert "\n" not in str(caught.value)


def test_what_was_not_fetched_is_said(tmp_path):
    missing = Nds("nds_pnas", tmp_path)
    for wrong in (lambda: len(missing), lambda: missing[0], lambda: missing.parse(0)):
        with pytest.raises(MissingDataError, match="run `untrained fetch nds_pnas`, with --mirror"):
            wrong()
    # once it is there it is read
    path = tmp_path / "nds_pnas.json"
    spelling = str(network_of(ENTRIES[0]["net"]))
    path.write_text(json.dumps({"space": "nds_pnas", "architectures": [spelling]}))
    assert len(missing) == 1


def test_samples_are_uniform(space):
    rng = np.random.default_rng(0)
    drawn = Counter(space.sample(rng).index for _ in range(5500))
    assert set(drawn) == set(range(11))
    assert max(abs(count - 500) for count in drawn.values()) < 120


def test_a_sample_has_no_neighbours(space):
    with pytest.raises(ParameterError, match=r"^no architecture of nds_darts neighbours another"):
        space.mutate(space[0], np.random.default_rng(0))


def test_equal_networks_are_one(space):
    expected = [[a.spelling for a in map(space.__getitem__, range(11))].index(space[i].spelling)
                for i in range(11)]  # fmt: skip
    # ENAS and PNAS have the same genotype here
    assert expected == [0, 1, 2, 3, 1, 5, 6, 7, 8, 9, 0]
    assert space.representatives.tolist() == expected
    assert space.executed_representatives.tolist() == expected
    assert [space.canonical(space[index]).index for index in range(11)] == expected


@pytest.mark.parametrize("name", ["nds_darts", "nds_darts_in"])
def test_networks_are_those_of_their_data_set(folder, name):
    space = Nds(name, folder)
    imagenet = name.endswith("_in")
    for index in (0, 5, 6):
        trained = space.trained_graph(space[index], 1000 if imagenet else 10)
        costs = costs_of(network_of(ENTRIES[index]["net"]), imagenet=imagenet)
        assert trained.parameters == costs.parameters
        scored = space.network(space[index], 1)
        assert all(module.training for module in scored.modules())
    stem = space.network(space[0], 1).connections[0][0]
    assert stem.stride == ((2, 2) if imagenet else (1, 1))


def test_a_network_of_a_single_kind_of_cell_is_refused(space):
    with pytest.raises(ParameterError, match="nds_darts has no network of 1 channel"):
        space.network(space[0], 10, Skeleton(1, 1))

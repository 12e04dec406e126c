"""The size space against its benchmark's own list, and its neighbours one by one."""

from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare

from untrained.errors import ArchitectureError, ParameterError
from untrained.search.choices import choices_of
from untrained.spaces import Architecture, get_space
from untrained.spaces.base import Skeleton
from untrained.spaces.natsbench_size import NatsBenchSize, spelling_of, widths_of


@pytest.fixture(scope="module")
def sizes():
    return get_space("natsbench_size")


def test_fixed_points_of_the_benchmarks_order(sizes):
    assert isinstance(sizes, NatsBenchSize)
    assert len(sizes) == 32_768
    assert sizes[0] == Architecture("natsbench_size", 0, "8:8:8:8:8")
    assert sizes[1].spelling == "8:8:8:8:16"
    assert sizes[32_767].spelling == str(sizes[32_767]) == "64:64:64:64:64"


def test_indices_count_the_combinations_in_order(sizes):
    expected = [
        ":".join(map(str, widths)) for widths in product((8, 16, 24, 32, 40, 48, 56, 64), repeat=5)
    ]
    assert [sizes[index].spelling for index in range(len(sizes))] == expected
    assert [sizes.parse(spelling).index for spelling in expected] == list(range(len(sizes)))


def test_every_index_has_the_benchmarks_spelling(sizes, real_benchmarks):
    table = pd.read_parquet(
        real_benchmarks / "natsbench_size.parquet", columns=["arch_index", "arch_str"]
    )
    assert len(table) == len(sizes)
    wrong = [
        index
        for index, spelling in table.itertuples(index=False)
        if sizes[index].spelling != spelling
    ]
    assert wrong == []


def test_an_architecture_is_parsed_from_a_number_digits_or_a_spelling(sizes):
    expected = sizes[1234]
    assert expected.spelling == "8:24:32:24:24"
    assert sizes.parse(1234) == sizes.parse("1234") == sizes.parse(" 1234\n") == expected
    assert sizes.parse("  8:24:32:24:24 ") == expected
    assert sizes[np.int64(1234)] == expected
    assert type(sizes[np.int64(1234)].index) is int
    assert spelling_of(widths_of("8:16:24:32:64")) == "8:16:24:32:64"


KNOWN = "it has one of 8, 16, 24, 32, 40, 48, 56, 64$"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8:16:24:32", r"^'8:16:24:32' has 4 widths: an architecture spells 5, joined by ':', as"),
        ("8:16:24:32:40:48", "has 6 widths"),
        ("", "^'' has 1 widths"),
        ("8,16,24,32", "has 4 widths"),
        ("8;16;24;32;40", "has 1 widths"),
        ("12:16:24:32:40", f"^layer 1 has the width '12': {KNOWN}"),
        ("8:16:24:72:40", f"layer 4 has the width '72': {KNOWN}"),
        ("8:16:0:32:40", "layer 3 has the width '0'"),
        ("8:16:24:32:-8", "layer 5 has the width '-8'"),
        ("8::24:32:40", "layer 2 has the width ''"),
        ("08:16:24:32:40", "layer 1 has the width '08'"),
        ("8:16:24.0:32:40", "layer 3 has the width '24.0'"),
        ("8:16:wide:32:40", "layer 3 has the width 'wide'"),
        ("32768", r"^index 32768 is not in natsbench_size: it has 0 to 32767$"),
        (-1, "^index -1 is not in natsbench_size: it has 0 to 32767$"),
        ("-1", "index -1 is not"),
    ],
)
def test_what_is_no_architecture_is_refused_and_the_wrong_part_named(sizes, text, message):
    with pytest.raises(ArchitectureError, match=message) as caught:
        sizes.parse(text)
    assert "\n" not in str(caught.value)


def test_samples_are_uniform_and_follow_the_generator(sizes):
    rng = np.random.default_rng(0)
    drawn = np.array([sizes.sample(rng).index for _ in range(20_000)])
    for layer in range(5):
        counts = np.bincount(drawn // 8**layer % 8, minlength=8)
        assert chisquare(counts).pvalue > 1e-4
    again = np.random.default_rng(0)
    assert [sizes.sample(again).index for _ in range(5)] == drawn[:5].tolist()


def test_a_mutation_changes_one_width_and_reaches_all_35_neighbours_alike(sizes):
    rng = np.random.default_rng(1)
    parent = sizes.parse("8:24:64:32:64")
    reached = Counter(sizes.mutate(parent, rng).index for _ in range(3500))
    assert len(reached) == 35
    for index in reached:
        changed = widths_of(sizes[index].spelling)
        assert sum(a != b for a, b in zip((8, 24, 64, 32, 64), changed, strict=True)) == 1
    assert chisquare(list(reached.values())).pvalue > 1e-4


def test_every_architecture_is_a_function_of_its_own(sizes):
    assert sizes.canonical(sizes[77]) == sizes[77]
    assert np.array_equal(sizes.representatives, np.arange(32_768))
    assert np.array_equal(sizes.executed_representatives, np.arange(32_768))


def test_the_decisions_are_the_widths_from_narrow_to_wide(sizes):
    choices = choices_of(sizes)
    assert choices.sizes.tolist() == [8] * 5
    for index in (0, 1234, 32_767):
        widths = widths_of(sizes[index].spelling)
        assert choices.codes[index].tolist() == [width // 8 - 1 for width in widths]
        assert choices.index(choices.codes[index]) == index


def test_there_is_no_network_of_another_skeleton(sizes):
    with pytest.raises(ParameterError, match=r"^natsbench_size has no network of "):
        sizes.network(sizes[0], 10, Skeleton(3, 1))

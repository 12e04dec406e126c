from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare

from untrained.errors import ArchitectureError, ParameterError, UnknownNameError
from untrained.spaces import Architecture, get_space
from untrained.spaces.base import draw_without_replacement
from untrained.spaces.nasbench201 import EDGES, OPERATIONS, NasBench201, operations_of, spelling_of

FIRST = (
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
    "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
)
ALL_3X3 = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)


def test_the_space_is_found_by_name_and_made_once():
    assert isinstance(get_space("nasbench201"), NasBench201)
    assert get_space("nasbench201") is get_space("nasbench201")
    with pytest.raises(UnknownNameError, match=r"^unknown space 'nasbench102': did you mean"):
        get_space("nasbench102")


def test_fixed_points_of_the_benchmarks_order(space):
    assert len(space) == 15_625
    assert space[0] == Architecture("nasbench201", 0, FIRST)
    assert space[1462].spelling == ALL_3X3
    assert str(space[1462]) == ALL_3X3


def test_every_index_has_the_benchmarks_spelling(space, real_benchmarks):
    table = pd.read_parquet(
        real_benchmarks / "nasbench201_cost.parquet", columns=["arch_index", "arch_str"]
    )
    assert len(table) == len(space)
    wrong = [
        index
        for index, spelling in table.itertuples(index=False)
        if space[index].spelling != spelling
    ]
    assert wrong == []


def test_parsing_is_the_inverse_of_indexing(space):
    spellings = [space[index].spelling for index in range(len(space))]
    assert len(set(spellings)) == len(space)
    assert [space.parse(spelling).index for spelling in spellings] == list(range(len(space)))


def test_an_architecture_is_parsed_from_a_number_digits_or_a_spelling(space):
    expected = space[1462]
    assert space.parse(1462) == space.parse("1462") == space.parse(" 1462\n") == expected
    assert space.parse(f"  {ALL_3X3} ") == expected


def test_operations_are_spelled_in_the_order_of_the_edges():
    assert EDGES == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    operations = (*OPERATIONS, "none")
    assert spelling_of(operations) == (
        "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    )
    assert operations_of(spelling_of(operations)) == operations


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ALL_3X3.replace("nor_conv_3x3~2", "nor_conv_5x5~2"), "edge 2->3 has the unknown operation "
         "'nor_conv_5x5': known: none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3"),
        (ALL_3X3.replace("+|nor_conv_3x3~0|nor_conv_3x3~1|+", "+|nor_conv_3x3~0|Skip_connect~1|+"),
         "edge 1->2 has the unknown operation 'Skip_connect'"),
        (ALL_3X3.replace("|nor_conv_3x3~0|+|", "|nor_conv_3x3~1|+|", 1),
         r"edge 0->1 is spelled 'nor_conv_3x3~1': it must end in '~0'"),
        (ALL_3X3.replace("3x3~2", "3x3~1"), r"edge 2->3 is spelled .* must end in '~2'"),
        (ALL_3X3.replace("3x3~2", "3x3"), r"edge 2->3 is spelled 'nor_conv_3x3'"),
        (ALL_3X3.replace("3x3~2", "3x3~2~2"), r"edge 2->3 is spelled 'nor_conv_3x3~2~2'"),
        (ALL_3X3[1:], r"node 1 is spelled 'nor_conv_3x3~0\|': it has 1 incoming .* '\|op~0\|'$"),
        (ALL_3X3[:-1], r"node 3 is spelled .* 3 incoming .* '\|op~0\|op~1\|op~2\|'$"),
        ("|none~0|+|none~0|+|none~0|none~1|none~2|", r"node 2 is spelled '\|none~0\|': it has 2"),
        ("|none~0|+|none~0|none~1|", r"has 2 nodes: a cell spells 3, joined by '\+'"),
        (ALL_3X3 + "+|none~0|", "has 4 nodes"),
        ("", r"^'' is no cell: spell it as"),
        ("nor_conv_3x3", "is no cell: spell it as"),
        ("1.5", "is no cell: spell it as"),
        ("15625", r"^index 15625 is not in nasbench201: it has 0 to 15624$"),
        (15625, "index 15625 is not in nasbench201"),
        (-1, "^index -1 is not in nasbench201: it has 0 to 15624$"),
        ("-1", "index -1 is not"),
    ],
)  # fmt: skip
def test_what_is_no_architecture_is_refused_and_the_wrong_part_named(space, text, message):
    with pytest.raises(ArchitectureError, match=message) as caught:
        space.parse(text)
    assert "\n" not in str(caught.value)


def test_indices_do_not_count_from_the_end(space):
    with pytest.raises(ArchitectureError, match="index -1 is not"):
        space[-1]


def test_samples_are_uniform(space):
    rng = np.random.default_rng(0)
    drawn = np.array([space.sample(rng).index for _ in range(25_000)])
    assert chisquare(np.bincount(drawn // 625, minlength=25)).pvalue > 1e-4
    assert chisquare(np.bincount(drawn % 25, minlength=25)).pvalue > 1e-4
    assert {drawn.min() < 10, drawn.max() > 15_614} == {True}
    # with replacement: 15,625 (1 - e^-1.6) distinct ones are expected
    assert abs(len(set(drawn)) - 15_625 * (1 - np.exp(-1.6))) < 250


def test_the_same_generator_gives_the_same_sample(space):
    first, second = (
        [space.sample(np.random.default_rng(seed)).index for _ in range(3)] for seed in (4, 4)
    )
    assert first == second


def test_a_mutation_changes_one_edge_and_reaches_all_24_neighbours_alike(space):
    rng = np.random.default_rng(1)
    parent = space[1234]
    reached = Counter(space.mutate(parent, rng).index for _ in range(2400))
    assert len(reached) == 24
    operations = operations_of(parent.spelling)
    for index in reached:
        changed = operations_of(space[index].spelling)
        assert sum(a != b for a, b in zip(operations, changed, strict=True)) == 1
    assert chisquare(list(reached.values())).pvalue > 1e-4


def test_drawing_without_replacement_gives_sorted_distinct_indices(space):
    drawn = draw_without_replacement(space, 500, 0)
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 500
    assert drawn == draw_without_replacement(space, 500, 0)
    assert drawn != draw_without_replacement(space, 500, 1)
    assert chisquare(np.bincount(np.array(drawn) // 3125, minlength=5)).pvalue > 1e-4
    assert draw_without_replacement(space, 15_625, 3) == list(range(15_625))


@pytest.mark.parametrize("count", [0, -1, 15_626])
def test_no_more_can_be_drawn_than_there_are(space, count):
    with pytest.raises(ParameterError, match=f"^{count} architectures asked of nasbench201: it"):
        draw_without_replacement(space, count, 0)

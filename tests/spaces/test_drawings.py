"""The graphs by which pages show architectures."""

import pytest

from untrained.spaces import get_space
from untrained.spaces.genotypes import PUBLISHED


def drawn(space, architecture):
    space = get_space(space)
    return space.drawings(space.parse(architecture))


def test_edges_of_a_cell_have_its_operations_and_none_is_left_out():
    spelling = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|"
    (cell,) = drawn("nasbench201", spelling)
    assert cell.nodes == ("input", "1", "2", "output")
    assert cell.edges == (
        (0, 1, "skip_connect"),
        (1, 2, "nor_conv_3x3"),
        (0, 3, "nor_conv_1x1"),
        (2, 3, "avg_pool_3x3"),
    )


def test_vertices_of_nasbench101_have_the_operations():
    (cell,) = drawn("nasbench101", "011|001|000:input,maxpool3x3,output")
    assert cell.nodes == ("input", "maxpool3x3", "output")
    assert cell.edges == ((0, 1, ""), (0, 2, ""), (1, 2, ""))


def test_layers_of_the_size_space_are_a_chain():
    (chain,) = drawn("natsbench_size", "8:16:32:48:64")
    assert chain.nodes[1:-1] == tuple(f"{width} channels" for width in (8, 16, 32, 48, 64))
    assert [edge[:2] for edge in chain.edges] == [(n, n + 1) for n in range(6)]


def test_a_genotype_has_two_cells():
    normal, reduce = drawn("darts", PUBLISHED["DARTS_V1"])
    assert (normal.title, reduce.title) == ("normal cell", "reduction cell")
    assert (1, 2, "sep_conv_3x3") in normal.edges
    assert (0, 2, "max_pool_3x3") in reduce.edges
    assert normal.edges[-4:] == tuple((node, 6, "") for node in (2, 3, 4, 5))
    assert len(normal.edges) == 12


@pytest.mark.parametrize("space", ["nasbench201", "nasbench101", "natsbench_size", "darts"])
def test_every_edge_leads_to_a_later_node(space):
    space = get_space(space)
    for index in range(0, space.size, max(1, space.size // 50)):
        for one in space.drawings(space[index]):
            assert all(0 <= edge[0] < edge[1] < len(one.nodes) for edge in one.edges)

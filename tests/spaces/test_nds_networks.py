"""The text of an NDS network says all of it, and what says none is refused."""

import pytest
from tests.benchmarks.nds_files import network_of, some_entries

from untrained.errors import ArchitectureError
from untrained.spaces.nds_networks import StagedNetwork, parse_network

CELLS = (
    "width=8 depth=4 auxiliary=0 normal=|sep_conv_3x3~0|skip_connect~1|+|conv_1x1~2|none~2|@2,3 "
    "reduce=|max_pool_3x3~1|skip_connect~1|@2"
)
STAGES = "block=res_bottleneck_block depths=1,2 widths=8,16 strides=1,2 ratios=0.5,1 groups=2,4"


@pytest.mark.parametrize("number", range(len(some_entries())))
def test_the_text_is_read_back(number):
    network = network_of(some_entries()[number]["net"])
    assert parse_network(str(network)) == network
    assert "\n" not in str(network)


@pytest.mark.parametrize("text", [CELLS, STAGES])
def test_the_text_is_canonical(text):
    assert str(parse_network(text)) == text
    words = text.split()
    assert str(parse_network("  ".join(reversed(words)))) == text


def test_what_is_read_is_what_is_written():
    network = parse_network(CELLS)
    assert (network.width, network.depth, network.auxiliary) == (8, 4, False)
    assert network.normal == (
        ("sep_conv_3x3", 0),
        ("skip_connect", 1),
        ("conv_1x1", 2),
        ("none", 2),
    )
    assert (network.normal_concat, network.reduce_concat) == ((2, 3), (2,))
    assert parse_network(STAGES) == StagedNetwork(
        "res_bottleneck_block", (1, 2), (8, 16), (1, 2), (0.5, 1.0), (2, 4)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CELLS.replace("conv_1x1", "conv_9x9"), r"^normal, node 3: \('conv_9x9', 2\): unknown op"),
        (CELLS.replace("none~2", "none~3"), "there is no node 3 yet, inputs are 0 to 2$"),
        (CELLS.replace("@2,3", "@1,3"), r"^normal_concat is \[1, 3\]: one or more different nodes"),
        (CELLS.replace("@2,3", "@3,3"), r"^normal_concat is \[3, 3\]"),
        (CELLS.replace("@2,3", "@4"), r"^normal_concat is \[4\]: .* out of 2 to 3$"),
        (CELLS.replace("@2,3", ""), "^normal_concat has ''"),
        (CELLS.replace("|none~2|", "|"), "^normal, node 3 is '|conv_1x1~2|': two edges"),
        (CELLS.replace("width=8", "width=7"), "^width is 7: an even number of channels, 2 to 8192"),
        (CELLS.replace("width=8", "width=99998"), "^width is 99998"),
        (CELLS.replace("width=8", "width=-8"), "^width is -8: an even number"),
        (CELLS.replace("width=8", "width=8,8"), "^width has '8,8': one number"),
        (CELLS.replace("width=8", "width=a"), "^width has 'a': numbers, as in 1,2"),
        (CELLS.replace("width=8", "width=٨"), "^width has '٨': numbers, as in 1,2"),
        (CELLS.replace("width=8", "width=1_0"), "^width has '1_0': numbers, as in 1,2"),
        (CELLS.replace("depth=4", "depth=2"), "^depth is 2: 3 to 200 cells"),
        (CELLS.replace("auxiliary=0", "auxiliary=2"), "^auxiliary is '2': 0 or 1"),
        (CELLS.replace("width=8 ", ""), " lacks width: spell it as width=32"),
        (CELLS + " width=8", "^'width' comes twice"),
        (CELLS + " stem=8", " has the unknown 'stem'"),
        (CELLS + " groups=8", " has the unknown 'groups'"),
        ("DARTS_V2", "^'DARTS_V2' is no key=value"),
        ("", " lacks width"),
        ("x" * 9000, "^9000 characters are no network"),
        (STAGES.replace("res_bott", "res_bot"), "^unknown block 'res_botleneck_block': did you"),
        (STAGES.replace("depths=1,2", "depths=1"), "^widths has 2 numbers: .* of 1 stages takes 1"),
        (STAGES.replace("depths=1,2", "depths=1,0"), "^depths has 0: at most 200, above 0"),
        (STAGES.replace("strides=1,2", "strides=1,3"), "^strides has 3: at most 2, above 0"),
        (STAGES.replace("ratios=0.5,1", "ratios=0,1"), "^ratios has 0: at most 8, above 0"),
        (STAGES.replace("ratios=0.5,1", "ratios=nan,1"), "^ratios has nan: at most 8, above 0"),
        (STAGES.replace("ratios=0.5,1 ", ""), "^ratios has 0 numbers"),
        (STAGES.replace("groups=2,4", "groups=3,4"), "^stage 1 has 4 channels inside .* 3 groups"),
        (STAGES.replace("res_bottleneck", "res_basic"), "^ratios has 2 numbers: res_basic_block"),
        (f"block=vanilla_block depths={'1,' * 10}1 widths=1 strides=1", "^11 stages: a network"),
    ],
)
def test_what_is_no_network_is_refused_in_one_line(text, message):
    with pytest.raises(ArchitectureError, match=message) as caught:
        parse_network(text)
    assert "\n" not in str(caught.value)

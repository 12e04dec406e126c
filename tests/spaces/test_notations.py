"""Architectures as other tools write them, as text and as Python objects."""

import json
from collections import OrderedDict, namedtuple
from types import MappingProxyType

import numpy as np
import pytest

from untrained import score
from untrained.errors import ArchitectureError
from untrained.spaces import get_space, literals
from untrained.spaces.genotypes import NODES, OPERATIONS, PUBLISHED, parse_genotype
from untrained.spaces.nasbench101_cells import parse_cell
from untrained.spaces.nasbench201 import EDGES, operations_of, spelling_of

Genotype = namedtuple("Genotype", "normal normal_concat reduce reduce_concat")

CELL = "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|"
BY_EDGE = {
    "0_1": "avg_pool_3x3",
    "0_2": "skip",
    "1_2": "none",
    "0_3": "conv_1x1",
    "1_3": "avg_pool_3x3",
    "2_3": "conv_1x1",
}
BY_NODE = [
    (("avg_pool_3x3", 0),),
    (("skip_connect", 0), ("none", 1)),
    (("nor_conv_1x1", 0), ("avg_pool_3x3", 1), ("nor_conv_1x1", 2)),
]


class Structure:
    """Prints itself as the topology of NATS-Bench's code does."""

    def __repr__(self):
        return f"TopologyStructure(4 nodes with {CELL})"


@pytest.mark.parametrize(
    "written",
    [
        (4, 0, 3, 1, 4, 3),
        [4, 0, 3, 1, 4, 3],
        np.array([4, 0, 3, 1, 4, 3]),
        tuple(np.array([4, 0, 3, 1, 4, 3])),
        "(4,0,3,1,4,3)",
        "4, 0, 3, 1, 4, 3",
        BY_EDGE,
        json.dumps(BY_EDGE),
        OrderedDict(BY_EDGE),
        str(OrderedDict(BY_EDGE)),
        f"OrderedDict({list(BY_EDGE.items())})",
        MappingProxyType(BY_EDGE),
        {f"{key[2]}<-{key[0]}": name for key, name in BY_EDGE.items()},
        BY_NODE,
        Structure(),
        f"[2020-01-01 00:00:00] genotype : Structure(4 nodes with {CELL})",
        CELL.replace("|", " | ").replace("+", "\n+\n"),
    ],
    ids=str,
)
def test_cells_of_nasbench201(space, written):
    expected = space[space.index_at(CELL)]
    assert expected.spelling == CELL
    assert space.parse(written) == space.parse(str(written)) == expected


def test_each_number_of_naslib_is_its_operation_on_its_edge(space):
    # by hand: NASLib lists edges by their source, and operations as in its graphs
    names = {0: "skip_connect", 1: "none", 2: "nor_conv_3x3", 3: "nor_conv_1x1", 4: "avg_pool_3x3"}
    edges = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    rng = np.random.default_rng(0)
    for numbers in rng.integers(5, size=(50, 6)):
        named = {edge: names[number] for edge, number in zip(edges, numbers.tolist(), strict=True)}
        expected = spelling_of(tuple(named[edge] for edge in EDGES))
        assert space.parse(tuple(numbers.tolist())).spelling == expected


def test_all_operations_of_a_dictionary_are_known(space):
    for name, meant in {"conv_3x3": "nor_conv_3x3", "nor_conv_3x3": "nor_conv_3x3",
                        "skip_connect": "skip_connect", "none": "none"}.items():  # fmt: skip
        assert operations_of(space.parse(BY_EDGE | {"1_2": name}).spelling)[2] == meant


MATRIX = [[0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
NAMES = ["input", "conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3", "output"]
CELL_101 = f"01100|00010|00010|00001|00000:{','.join(NAMES)}"


@pytest.mark.parametrize(
    "written",
    [
        (MATRIX, NAMES),
        [MATRIX, tuple(NAMES)],
        (np.array(MATRIX), NAMES),
        (np.array(MATRIX, dtype=np.int8), np.array(NAMES)),
        (np.array(MATRIX, dtype=float), NAMES),
        (np.array(MATRIX, dtype=bool), NAMES),
        f"{np.array(MATRIX)} {NAMES}",
        f"({np.array(MATRIX)}, {np.array(NAMES)})",
        f"ModelSpec(matrix={MATRIX}, ops={NAMES})",
        f"api.ModelSpec({MATRIX}, {NAMES})",
        {"matrix": np.array(MATRIX), "ops": NAMES},
        {"module_adjacency": np.array(MATRIX, dtype=np.int8), "module_operations": NAMES,
         "trainable_parameters": 8555530},
        {"op1": NAMES[1], "op2": NAMES[2], "op3": NAMES[3],
         "input1": [0], "input2": [0], "input3": [1, 2], "input4": [3]},
        CELL_101.replace("|", " | ").replace(",", ", "),
    ],
    ids=str,
)  # fmt: skip
def test_cells_of_nasbench101(written):
    cells = get_space("nasbench101")
    assert str(parse_cell(str(written))) == CELL_101
    assert cells.parse(written) == cells.parse(CELL_101)


V2 = PUBLISHED["DARTS_V2"]
PLAIN = Genotype(**{name: getattr(parse_genotype(V2), name) for name in Genotype._fields})
NUMPY = Genotype(
    [(name, np.int64(source)) for name, source in PLAIN.normal],
    [np.int64(node) for node in NODES],
    PLAIN.reduce,
    range(2, 6),
)


def paired(cell):
    return list(zip(cell[::2], cell[1::2], strict=True))


def configuration(genotype):
    """Return the dictionary of NAS-Bench-301, by its definition."""
    found = {"OptimizerSelector:sgd:learning_rate": 0.03, "ImageAugmentation:augment": "True"}
    for cell in ("normal", "reduce"):
        edges = [(source, node) for node in NODES for source in range(node)]
        pairs = getattr(genotype, cell)
        for node in NODES:
            own = sorted(pairs[2 * node - 4 : 2 * node - 2], key=lambda pair: pair[1])
            for name, source in own:
                key = f"edge_{cell}_{edges.index((source, node))}"
                found[f"NetworkSelectorDatasetInfo:darts:{key}"] = name
            if node > 2:
                inputs = "_".join(str(source) for _, source in own)
                found[f"NetworkSelectorDatasetInfo:darts:inputs_node_{cell}_{node}"] = inputs
    return found


CONFIGURATION = configuration(PLAIN)
LINES = "\n".join(f"  {name}, Value: {value!r}" for name, value in CONFIGURATION.items())
BANANAS = tuple(
    [(source, OPERATIONS.index(name)) for name, source in cell]
    for cell in (PLAIN.normal, PLAIN.reduce)
)


@pytest.mark.parametrize(
    "written",
    [
        PLAIN,
        NUMPY,
        f"03/01 02:30:12 PM genotype = {PLAIN}",
        f"2020-01-01 00:00:00,123 INFO: {NUMPY}\n",
        f"MY_CELL = {V2}",
        f"genotypes.{V2}",
        PLAIN._asdict(),
        json.dumps(PLAIN._asdict()),
        Genotype(paired(PLAIN.normal), [2, 3, 4, 5], paired(PLAIN.reduce), np.array(NODES)),
        f"{V2[:-1]}, connectN=None, connects=None)",
        parse_genotype(V2),
        CONFIGURATION,
        json.dumps(CONFIGURATION),
        f"Configuration(values={CONFIGURATION})",
        f"Configuration:\n{LINES}\n",
        BANANAS,
        [list(map(list, cell)) for cell in BANANAS],
        {f"{cell}/{kind}_{2 + at // 2}_{at % 2}": value
         for cell in ("normal", "reduce") for at, pair in enumerate(getattr(PLAIN, cell))
         for kind, value in zip(("op", "input"), pair, strict=True)},
    ],
    ids=lambda written: str(written)[:40],
)  # fmt: skip
def test_genotypes_of_darts(written):
    darts = get_space("darts")
    assert darts.parse(written) == darts.parse("DARTS_V2")


def test_widths_of_natsbench():
    sizes = get_space("natsbench_size")
    for written in ((8, 16, 32, 48, 64), [8, 16, 32, 48, 64], " 8 : 16 : 32:48:64",
                    np.array([8, 16, 32, 48, 64])):  # fmt: skip
        assert sizes.parse(written) == sizes.parse(str(written)) == sizes.parse("8:16:32:48:64")


def test_random_genotypes_are_the_same_in_all_notations():
    darts, rng = get_space("darts"), np.random.default_rng(0)
    for one in (darts.sample(rng) for _ in range(30)):
        genotype = parse_genotype(one.spelling)
        cells = [[(source, OPERATIONS.index(name)) for name, source in cell]
                 for cell in (genotype.normal, genotype.reduce)]  # fmt: skip
        assert darts.parse(configuration(genotype)) == darts.parse(cells) == one


@pytest.mark.parametrize(
    ("space", "written", "message"),
    [
        *((name, text, "as in|index|Genotype")
          for name in ("nasbench201", "nasbench101", "darts", "natsbench_size")
          for text in ("٣", "²", "1462.0", "(1462)", (1462,), "[5]", "1_000", "+5", True, None)),
        ("nasbench201", (4, 0, 3), r"^\(4, 0, 3\) has 3 numbers: .* 0->1, 0->2, 0->3, 1->2, "),
        ("nasbench201", (4, 0, 3, 1, 4, 5), r"^edge 2->3 .* operation 5: known: 0 skip_connect, "),
        ("nasbench201", (4, 0, 3, 1, 4, -1), "^edge 2->3 has the unknown operation -1"),
        ("nasbench201", "403143", "^index 403143 is not in nasbench201"),
        ("nasbench201", {"0_1": "none"}, "^the edge 0->2 is missing: add '0_2' with one of none, "),
        ("nasbench201", BY_EDGE | {"1_2": "conv_5x5"}, "^edge 1->2 .* 'conv_5x5': known: none, "),
        ("nasbench201", BY_EDGE | {"1_2": ["none"]}, "^edge 1->2 has the unknown operation"),
        ("nasbench201", BY_EDGE | {"2_1": "none"}, "^'2_1' is no edge or comes twice: .* 0_1, 0_2"),
        ("nasbench201", "{'0_1': 'none', '0_1': 'none'}", "is no cell: spell it as"),
        ("nasbench201", CELL.replace("pool", "po ol"), "unknown operation 'avg_po ol_3x3'"),
        ("nasbench201", CELL.replace("avg", "{x}{}", 1), "unknown operation '{x}{}_pool_3x3'"),
        ("nasbench201", CELL.replace("avg", "{x}|", 1), r"^node 1 is spelled .*'\|op~0\|'$"),
        ("nasbench101", CELL_101.replace("conv3", "conv 3"), "^vertex 1: unknown .* 'conv 3x"),
        ("natsbench_size", "8:16:3 2:48:64", "^layer 3 has the width '3 2'"),
        ("nasbench201", BY_EDGE | {"1<-0": "none"}, "^'1<-0' is no edge or comes twice"),
        ("nasbench201", BY_NODE[:2], "has 2 nodes: a cell spells 3"),
        ("nasbench201", f"Structure(3 nodes with {CELL[:40]})", "has 2 nodes: a cell spells 3"),
        ("nasbench201", f"eval('{CELL}')", r"^node 1 is spelled"),
        ("nasbench201", "__import__('os')", "is no cell: spell it as"),
        ("darts", f"Genotype({'0, ' * 4000})", "12010 characters, at most 8000 are read"),
        ("nasbench101", (MATRIX, NAMES[:-1]), "^the operations are .* 5 vertices take "),
        ("nasbench101", (MATRIX[:-1], NAMES), "^row 0 is '01100': it takes 4 digits"),
        ("nasbench101", ([[0, 2], [0, 0]], ["input", "output"]), r"^row 0 is '0\(2\)': it takes 2"),
        ("nasbench101", (MATRIX, [*NAMES[:3], "conv", "output"]), "^vertex 3: unknown operation"),
        ("nasbench101", (MATRIX, [0, 1, 2, 3, 4]), "it takes a matrix and its operations"),
        ("nasbench101", {"op1": "maxpool3x3", "input1": [1], "input2": [1]}, "^input1 has 1: "),
        ("nasbench101", {"op1": "maxpool3x3", "input1": [0]}, "it takes a matrix and its op"),
        ("nasbench101", f"ModelSpec({MATRIX})", "missing a required argument: 'ops'"),
        ("darts", {"edge_normal_0": "sep_conv_3x3"}, "^edge_normal_1 is missing: node 2 of"),
        ("darts", {name: value for name, value in CONFIGURATION.items() if "reduce_4" not in name},
         "^(inputs_node|edge)_reduce_4 is (None|missing): "),
        ("darts", CONFIGURATION | {"edge_normal_13": "sep_conv_3x3"}, "^edge_normal_13 .* no node"),
        ("darts", CONFIGURATION | {"edge_normal_0": "sep_conv_7x7"}, "^normal, node 2: .*7x7"),
        ("darts", {"normal/op_2_0": "sep_conv_3x3"}, "^normal/input_2_0 and normal/op_2_0 are"),
        ("darts", (BANANAS[0], [(0, 7)] * 8), r"^reduce, pair 1 is \(0, 7\): .* out of 0 max_pool"),
        ("darts", (BANANAS[0], BANANAS[1][:7]), "^reduce has 7 pairs"),
        ("darts", f"{PLAIN} loss 0.3", "is no genotype"),
        ("darts", "Genotype(__import__('os'), 1, 2, 3)", "is .*: "),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_with_a_spelling_that_works(space, written, message):
    with pytest.raises(ArchitectureError, match=message) as caught:
        get_space(space).parse(written)
    assert "\n" not in str(caught.value)


WRITTEN = [CELL, BY_EDGE, BY_NODE, Structure(), CELL_101, (MATRIX, NAMES), NUMPY, PLAIN._asdict(),
           CONFIGURATION, LINES, BANANAS, "8:16:32:48:64"]  # fmt: skip
INSERTED = [*"()[]{},:'+|~ ", "", "-1", "None", "\n", "np.int64(", "range(9, 1, -1)", "**", "{x}",
            "1j", "\\d", "f'{x}'", "٣", "\0", "array(", "OrderedDict(1)", "{[]: 1}"]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_damaged_texts_are_refused_in_one_short_line(seed):
    rng = np.random.default_rng(seed)
    for written in WRITTEN:
        text = str(written)
        for _ in range(3):
            start = rng.integers(len(text))
            text = text[:start] + INSERTED[rng.integers(len(INSERTED))] + text[start + 1 :]
        for space in ("nasbench201", "nasbench101", "darts", "natsbench_size"):
            try:
                get_space(space).parse(text)
            except ArchitectureError as error:
                assert "\n" not in str(error)  # noqa: PT017
                assert len(str(error)) < 500  # noqa: PT017


def test_objects_are_scored():
    found = [score("nasbench201", one, batch_size=4).score for one in ((4, 0, 3, 1, 4, 3), CELL)]
    assert found[0] == found[1]


def test_an_architecture_stands_for_itself_in_its_own_space_only(space):
    assert space.parse(space[7]) == space[7]
    with pytest.raises(ArchitectureError, match=r"is of the space nasbench201: give an architec"):
        get_space("nasbench101").parse(space[7])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("range(3)", [0, 1, 2]),
        ("range(2, 5)", [2, 3, 4]),
        ("range(1, 9, 3)", [1, 4, 7]),
        ("range(5, 0, -2)", [5, 3, 1]),
    ],
)
def test_ranges_are_those_of_python(text, expected):
    assert literals.read(text) == expected

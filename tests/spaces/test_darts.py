"""The notation, the numbers and the neighbours of DARTS's genotypes."""

from collections import Counter, namedtuple
from itertools import combinations, islice, permutations, product

import numpy as np
import pytest
from scipy.stats import chisquare

from untrained import Live, run_search, score, training_curves
from untrained.errors import ArchitectureError, ParameterError
from untrained.scoring.shards import sample_of
from untrained.search.choices import choices_of
from untrained.spaces import get_space
from untrained.spaces.base import Skeleton, draw_without_replacement
from untrained.spaces.darts import CELLS, LENIENT_CELLS
from untrained.spaces.genotypes import (
    NODES,
    OPERATIONS,
    PUBLISHED,
    Genotype,
    LenientGenotype,
    parse_as,
    parse_genotype,
)

#: What public training code declares.
Public = namedtuple("Public", "normal normal_concat reduce reduce_concat")
V2 = PUBLISHED["DARTS_V2"]
PER_CELL = 1 * 3 * 6 * 10 * 7**8


@pytest.fixture(scope="module")
def darts():
    return get_space("darts")


def some(darts, count, seed=0):
    rng = np.random.default_rng(seed)
    return [darts.sample(rng) for _ in range(count)]


def test_the_size_is_that_of_two_cells(darts):
    assert len(darts) == PER_CELL**2 == 1_076_746_950_455_072_400


def test_cells_are_numbered_in_the_order_of_nested_loops():
    def cells():
        pairs = [combinations(range(node), 2) for node in NODES]
        nodes = [
            [
                ((first, a), (second, b))
                for a, b in inputs
                for first, second in product(OPERATIONS, repeat=2)
            ]
            for inputs in pairs
        ]
        for chosen in product(*nodes):
            yield tuple(edge for node in chosen for edge in node)

    assert [CELLS.at(code) for code in range(20_000)] == list(islice(cells(), 20_000))


def test_every_number_is_that_of_its_cell():
    rng = np.random.default_rng(1)
    for code in [0, PER_CELL - 1, *rng.integers(PER_CELL, size=500).tolist()]:
        assert CELLS.code(CELLS.at(code)) == code


def test_indexing_and_parsing_are_inverse(darts):
    for one in [darts[0], darts[len(darts) - 1], *some(darts, 200)]:
        assert darts[one.index] == darts.parse(one.spelling) == darts.parse(one.index) == one
        assert darts.parse(f" {one.index}\n") == one


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_genotypes_are_read_as_public_code_reads_them(darts, name):
    public = eval(PUBLISHED[name], {"Genotype": Public})
    genotype = parse_genotype(name)
    assert list(genotype.normal) == public.normal
    assert list(genotype.reduce) == public.reduce
    assert darts.parse(name) == darts.parse(PUBLISHED[name])


def test_what_is_printed_is_what_public_code_reads(darts):
    for one in some(darts, 50):
        genotype = parse_genotype(one.spelling)
        public = eval(str(genotype), {"Genotype": Public})
        assert public == Public(
            list(genotype.normal), range(2, 6), list(genotype.reduce), range(2, 6)
        )
        assert parse_genotype(str(genotype)) == genotype
        assert str(genotype) == one.spelling


def test_both_edges_of_a_node_come_in_either_order(darts):
    genotype = parse_genotype(V2)
    swapped = tuple(edge for at in range(0, 8, 2) for edge in genotype.normal[at : at + 2][::-1])
    other = Genotype(swapped, genotype.reduce)
    assert other != genotype
    assert darts.parse(str(other)) == darts.parse(V2)


@pytest.mark.parametrize(
    "concat", ["[2, 3, 4, 5]", "(2, 3, 4, 5)", "range(2,6)", "[5, 4, 3, 2]", "range( 2 , 6 )"]
)
def test_a_concatenation_is_spelled_in_several_ways(concat):
    assert parse_genotype(V2.replace("[2, 3, 4, 5]", concat)) == parse_genotype(V2)


def test_arguments_may_come_by_position_tuples_and_on_several_lines():
    by_position = V2
    for name in ("normal_concat=", "reduce_concat=", "normal=", "reduce="):
        by_position = by_position.replace(name, "")
    assert parse_genotype(by_position) == parse_genotype(V2)
    assert parse_genotype(V2.replace("[('", "(('").replace(")],", ")),")) == parse_genotype(V2)
    assert parse_genotype("\n" + V2.replace(", ", ",\n  ")) == parse_genotype(V2)


EDGE = "('dil_conv_3x3', 2)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (V2.replace("dil_conv_3x3", "dil_conv_7x7"), r"^normal, node 5: \('dil_conv_7x7', 2\): "
         "unknown operation 'dil_conv_7x7': did you mean 'dil_conv_[35]x[35]'"),
        (V2.replace("dil_conv_3x3", "none"), "^normal, node 5 has .* 'none', .*_lenient has it$"),
        (V2.replace(EDGE, "('dil_conv_3x3', 5)"), "there is no node 5 yet, inputs are 0 to 4$"),
        (V2.replace(EDGE, "('dil_conv_3x3', -1)"), "there is no node -1 yet, inputs are 0 to 4$"),
        (V2.replace("('sep_conv_3x3', 0)", "('sep_conv_3x3', 2)", 1),
         r"^normal, node 2: .*: there is no node 2 yet, inputs are 0 to 1$"),
        (V2.replace(EDGE, "('dil_conv_3x3', 0)"), "^normal, node 5 takes input 0 twice: .*"),
        (V2.replace(f", {EDGE}", ""), "^normal has 7 pairs of operation and input: it takes 8"),
        (V2.replace(EDGE, f"{EDGE}, {EDGE}"), "^normal has 9 pairs"),
        (V2.replace(EDGE, "('dil_conv_3x3', 2, 3)"), r"^normal, pair 8 is \('dil_conv_3x3', 2, 3"),
        (V2.replace(EDGE, "('dil_conv_3x3', '2')"), "^normal, pair 8 is .* number of its input"),
        (V2.replace(EDGE, "('dil_conv_3x3', True)"), "^normal, pair 8 is"),
        (V2.replace(EDGE, "('dil_conv_3x3', 2.0)"), "^normal, pair 8 is"),
        (V2.replace(EDGE, "(7, 2)"), "^normal, pair 8 is"),
        (V2.replace(EDGE, "'dil_conv_3x3'"), "^normal, pair 8 is"),
        (V2.replace(EDGE, "(name, 2)"), r"^normal is \[.*: it must be a list of pairs"),
        (V2.replace(EDGE, "{}[0]"), "^normal is .*: it must be a list of pairs"),
        (V2.replace("reduce_concat=[2, 3, 4, 5]", "reduce_concat=[3, 4, 5]"),
         r"^reduce_concat is \[3, 4, 5\]: the space concatenates all inner nodes, range\(2, 6\)$"),
        (V2.replace("[2, 3, 4, 5]", "range(2, 7)"), r"^normal_concat is range\(2, 7\): the"),
        (V2.replace("[2, 3, 4, 5]", "range(10**9)"), r"^normal_concat is range\(10 \*\* 9\): "),
        (V2.replace("[2, 3, 4, 5]", "range(2, 10 ** 9)"), "^normal_concat is .* range"),
        (V2.replace("[2, 3, 4, 5]", "range(0, 1000000000)"), "^normal_concat is range"),
        (V2.replace("[2, 3, 4, 5]", "5"), r"^normal_concat is 5: .*, range\(2, 6\)$"),
        (V2.replace("[2, 3, 4, 5]", "'2345'"), "^normal_concat is '2345': the space"),
        (V2.replace("[2, 3, 4, 5]", "open('/etc/passwd')"), "^normal_concat is open"),
        (V2.replace("normal_concat", "normal_cat"), "missing a required argument: 'normal_con"),
        (V2.replace("reduce_concat", "normal"), "missing a required argument: 'reduce_concat'"),
        ("Genotype(1, 2, 3, 4, 5)", "is no genotype .too many positional arguments.: spell it"),
        ("Genotype(1, 2, 3, reduce=3)", "multiple values for argument 'reduce'"),
        ("Genotype(1, 2, 3, **{})", "missing a required argument: 'reduce_concat'"),
        ("Genotype(normal=[])", "missing a required argument: 'normal_concat'"),
        (V2.replace("Genotype", "eval"), "^.eval.* is no genotype .no call of Genotype.: spell it"),
        (V2[:-1], r"is no genotype \(.*\): spell it as Genotype"),
        (f"eval({V2})", "is no genotype .unmatched '.'.: spell it"),
        (f"{V2} {V2}", "is no genotype"),
        ("", "^'' is no genotype"),
        ("1.5", "^'1.5' is no genotype"),
        ("\0", "is no genotype"),
        ("(" * 3999, "is no genotype"),
        ("-" * 3999 + "1", "is no genotype"),
        ("9" * 4000, "^a number of 4000 digits is not an index"),
        (V2 + " " * 10 + "#" * 8000, "is no genotype .8... characters, at most 8000 are read.: "),
        ("DARTS_V3", "^unknown genotype 'DARTS_V3': did you mean 'DARTS_V2'"),
        ("-1", "^index -1 is not in darts: it has 0 to 1076746950455072399$"),
        (str(PER_CELL**2), "is not in darts"),
    ],
)  # fmt: skip
def test_what_is_no_genotype_is_refused_in_one_line(darts, text, message):
    with pytest.raises(ArchitectureError, match=message) as caught:
        darts.parse(text)
    assert "\n" not in str(caught.value)


def test_samples_are_uniform(darts):
    drawn = np.array([one.index for one in some(darts, 20_000)])
    assert chisquare(np.bincount(drawn % 49, minlength=49)).pvalue > 1e-4
    assert chisquare(np.bincount(drawn // (len(darts) // 40), minlength=40)).pvalue > 1e-4
    assert len(set(drawn.tolist())) == len(drawn)


def slow_neighbours(genotype):
    """All genotypes in which one edge has another operation, or another input."""
    found = set()
    for kind in ("normal", "reduce"):
        cell = getattr(genotype, kind)
        for at in range(8):
            for operation in OPERATIONS:
                for source in range(5):
                    changed = list(cell)
                    changed[at] = (operation, source)
                    same = sum(a == b for a, b in zip(cell[at], changed[at], strict=True))
                    if same != 1:
                        continue
                    cells = {"normal": genotype.normal, "reduce": genotype.reduce}
                    try:
                        found.add(Genotype(**(cells | {kind: tuple(changed)})))
                    except ArchitectureError:
                        continue
    return found


def test_a_mutation_reaches_all_120_neighbours_alike(darts):
    rng = np.random.default_rng(2)
    for parent in some(darts, 1, seed=5):
        expected = {
            darts.parse(str(one)).index for one in slow_neighbours(parse_genotype(parent.spelling))
        }
        reached = Counter(darts.mutate(parent, rng).index for _ in range(3000))
        assert len(expected) == 120
        assert set(reached) == expected
        assert parent.index not in expected
        assert chisquare(list(reached.values())).pvalue > 1e-4


def relabelled(cell, order):
    """The cell whose node 2 + i is what node order[i] was, or None where that can't be."""
    new = {0: 0, 1: 1} | {old: node for node, old in zip(NODES, order, strict=True)}
    edges = []
    for node, old in zip(NODES, order, strict=True):
        for operation, source in cell[2 * (old - 2) : 2 * (old - 2) + 2]:
            if new[source] >= node:
                return None
            edges.append((operation, new[source]))
    return tuple(edges)


def test_the_order_of_the_inner_nodes_does_not_matter_to_what_is_canonical(darts):
    several = 0
    for one in some(darts, 60, seed=3):
        genotype = parse_genotype(one.spelling)
        canonical = darts.canonical(one)
        cells = [relabelled(genotype.normal, order) for order in permutations(NODES)]
        forms = {
            darts.parse(str(Genotype(cell, genotype.reduce))) for cell in cells if cell is not None
        }
        several += len(forms) > 1
        assert {darts.canonical(form) for form in forms} == {canonical}
        reduced = {relabelled(genotype.reduce, order) for order in permutations(NODES)} - {None}
        everything = [
            darts.parse(str(Genotype(a, b))).index for a in cells if a is not None for b in reduced
        ]
        assert canonical.index == min(everything)
    assert several > 10


def test_other_genotypes_have_other_canonical_ones(darts):
    assert darts.canonical(darts.parse("DARTS_V1")) != darts.canonical(darts.parse("DARTS_V2"))


def test_what_would_list_the_space_is_refused(darts):
    for wrong in (lambda: darts.representatives, lambda: darts.executed_representatives):
        with pytest.raises(ParameterError, match=r"^darts has 1.08e\+18 architectures, too many"):
            wrong()
    for architectures in ("all", 10):
        with pytest.raises(ParameterError, match="too many for tables by index: `untrained score"):
            sample_of(darts, architectures, 0)
    with pytest.raises(ParameterError, match="darts is no product of independent choices"):
        choices_of(darts)
    assert len(set(draw_without_replacement(darts, 100, 0))) == 100


def test_a_network_of_a_single_kind_of_cell_is_refused(darts):
    with pytest.raises(ParameterError, match="darts has no network of 1 channel"):
        darts.network(darts[0], 10, Skeleton(1, 1))


@pytest.fixture(scope="module")
def lenient():
    return get_space("darts_lenient")


def anything(rng):
    """A genotype whose operations, `none` included, and inputs are drawn freely."""
    operations = ("none", *OPERATIONS)
    cells = [
        tuple(
            (operations[rng.integers(8)], int(rng.integers(node))) for node in NODES for _ in "12"
        )
        for _ in range(2)
    ]
    return LenientGenotype(*cells)


def test_lenient_cells_are_numbered_in_the_order_of_nested_loops(lenient):
    def cells():
        edges = [[(one, source) for source in range(node) for one in ("none", *OPERATIONS)]
                 for node in NODES]  # fmt: skip
        pairs = [[(own[a], own[b]) for a in range(len(own)) for b in range(a, len(own))]
                 for own in edges]  # fmt: skip
        for chosen in product(*pairs):
            yield tuple(edge for pair in chosen for edge in pair)

    assert [LENIENT_CELLS.at(code) for code in range(5000)] == list(islice(cells(), 5000))
    assert lenient.size == (136 * 300 * 528 * 820) ** 2 > 2**63


def test_a_lenient_space_has_every_genotype_of_operations_and_earlier_inputs(darts, lenient):
    rng, strict = np.random.default_rng(0), 0
    for genotype in (anything(rng) for _ in range(300)):
        one = lenient.parse(str(genotype))
        assert lenient[one.index] == lenient.parse(one.index) == lenient.parse(one.spelling) == one
        try:
            strict += bool(darts.parse(str(genotype)))
        except ArchitectureError as error:
            assert str(error).endswith("the space darts_lenient has it")  # noqa: PT017
    assert strict < 10  # 1.4 are expected: no `none` (7/8)^16, and other inputs (1/5)^2


def test_the_genotypes_of_darts_are_in_the_lenient_space(darts, lenient):
    for one in [darts.parse("DARTS_V2"), *some(darts, 50)]:
        assert lenient.parse(one.spelling).spelling == one.spelling
        assert lenient.graph(lenient.parse(one.spelling), 10) == darts.graph(one, 10)


def test_lenient_samples_and_mutants_are_uniform(lenient):
    rng = np.random.default_rng(1)
    drawn = [lenient.sample(rng).index for _ in range(2000)]
    parts = [index * 20 // lenient.size for index in drawn]
    assert chisquare(np.bincount(parts, minlength=20)).pvalue > 1e-4
    parent = lenient[drawn[0]]
    genotype = parse_as(LenientGenotype, parent.spelling)
    assert len(set(genotype.normal[:2])) == 2
    reached = Counter(lenient.mutate(parent, rng).spelling for _ in range(1500))
    assert parent.spelling not in reached
    assert len(reached) == 16 * 7 + 2 * 2 * (1 + 2 + 3 + 4)
    assert chisquare(list(reached.values())).pvalue > 1e-4


def test_the_input_of_none_and_the_order_of_nodes_do_not_matter(lenient):
    rng, several = np.random.default_rng(2), 0
    for genotype in (anything(rng) for _ in range(30)):
        canonical = lenient.canonical(lenient.parse(str(genotype)))
        moved = tuple(
            (name, int(rng.integers(2)) if name == "none" else source)
            for name, source in genotype.normal
        )
        forms = [relabelled(moved, order) for order in permutations(NODES)]
        several += sum(form is not None for form in forms) > 1
        for form in forms:
            if form is not None:
                other = lenient.parse(str(LenientGenotype(form, genotype.reduce)))
                assert lenient.canonical(other) == canonical
    assert several > 5


def test_what_would_list_the_lenient_space_is_refused_in_one_line(lenient):
    assert lenient
    for wrong in (
        lambda: len(lenient),
        lambda: lenient.representatives,
        lambda: sample_of(lenient, 10, 0),
        lambda: choices_of(lenient),
        lambda: draw_without_replacement(lenient, 2, 0),
        lambda: training_curves("darts_lenient", ["DARTS_V2"]),
        lambda: run_search(
            "rs+fitness=naswot", "darts_lenient", budget="5evaluations", live=Live()
        ),
    ):
        with pytest.raises(ParameterError, match=r"^darts_lenient has 3.12e\+20 .*, too many "):
            wrong()
    with pytest.raises(
        ArchitectureError, match="is not in darts_lenient: it has 0 to 3120440284938"
    ):
        lenient.parse(lenient.size)


def test_a_network_with_none_and_a_repeated_input_is_scored():
    text = V2.replace("('dil_conv_3x3', 2)", "('none', 0)")
    found = [score("darts_lenient", text, proxy=one, batch_size=2) for one in ("flops", "naswot")]
    assert [one.status for one in found] == ["ok", "ok"]
    dilated = 20 - 2  # normal cells; at the least 36 channels of 32x32
    assert found[0].score < score("darts", V2, proxy="flops").score - dilated * 36 * (9 + 36)

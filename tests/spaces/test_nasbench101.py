"""The cells of NAS-Bench-101 against a slow hash, a slow enumeration and the benchmark's table."""

import hashlib
import importlib.util
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, chisquare

from untrained.errors import ArchitectureError
from untrained.files import BUNDLED
from untrained.spaces import get_space
from untrained.spaces.nasbench101 import NasBench101
from untrained.spaces.nasbench101_cells import (
    EDGES,
    OPERATIONS,
    PAIRS,
    Cell,
    cell_of,
    parse_cell,
)

CONV3, CONV1, POOL = OPERATIONS
FIRST = (
    "0100110|0010000|0001001|0000010|0000010|0000001|0000000:input,conv3x3-bn-relu,maxpool3x3,"
    "conv3x3-bn-relu,conv3x3-bn-relu,conv1x1-bn-relu,output"
)
FIRST_HASH = "00005c142e6f48ac74fdcf73e3439874"


@pytest.fixture(scope="module")
def cells():
    return get_space("nasbench101")


@pytest.fixture(scope="module")
def published(real_benchmarks):
    return pd.read_parquet(real_benchmarks / "nasbench101.parquet")


@pytest.fixture(scope="module")
def build():
    path = BUNDLED / "build_nasbench101_order.py"
    if not path.is_file():
        pytest.skip("the script is in a checkout only")
    specification = importlib.util.spec_from_file_location("build_nasbench101_order", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def slow_hash(cell):
    """The definition, vertex by vertex on the matrix."""
    n = len(cell.matrix)
    matrix = np.array(cell.matrix)
    labels = [-1] + [OPERATIONS.index(name) for name in cell.operations] + [-2]
    hashes = []
    for v in range(n):
        out_degree, in_degree = int(matrix[v].sum()), int(matrix[:, v].sum())
        hashes.append(md5(str((out_degree, in_degree, labels[v]))))
    for _ in range(n):
        new = []
        for v in range(n):
            before = sorted(hashes[u] for u in range(n) if matrix[u, v])
            after = sorted(hashes[u] for u in range(n) if matrix[v, u])
            new.append(md5("".join(before) + "|" + "".join(after) + "|" + hashes[v]))
        hashes = new
    return md5(str(sorted(hashes)))


def slow_pruned(cell):
    """By powers of the matrix: a vertex stays if walks lead to it and on to the output."""
    matrix = np.array(cell.matrix)
    n = len(matrix)
    walks = np.linalg.matrix_power(matrix + np.eye(n, dtype=int), n)
    if not walks[0, n - 1]:
        return None
    kept = [v for v in range(n) if walks[0, v] and walks[v, n - 1]]
    rows = tuple(tuple(int(matrix[u, v]) for v in kept) for u in kept)
    return Cell(rows, tuple(cell.operations[v - 1] for v in kept[1:-1]))


def random_cell(rng, n=7, share=0.4):
    matrix = np.triu(rng.random((n, n)) < share, 1).astype(int)
    names = tuple(OPERATIONS[int(number)] for number in rng.integers(3, size=n - 2))
    return Cell(tuple(tuple(int(entry) for entry in row) for row in matrix), names)


def renumbered(cell, rng):
    """The same graph with its inner vertices in another order."""
    n = len(cell.matrix)
    orders = [[0, *order, n - 1] for order in permutations(range(1, n - 1))]
    rng.shuffle(orders)
    for order in orders:
        rows = tuple(tuple(cell.matrix[u][v] for v in order) for u in order)
        if all(not rows[u][v] for u in range(n) for v in range(u + 1)):
            yield Cell(rows, tuple(cell.operations[v - 1] for v in order[1:-1]))


def test_fixed_points_of_the_order(cells):
    assert isinstance(cells, NasBench101)
    assert len(cells) == 423_624
    assert cells[0].spelling == FIRST
    assert cells.cell(0).module_hash == slow_hash(parse_cell(FIRST)) == FIRST_HASH


def test_hashes_are_those_of_the_definition(cells):
    rng = np.random.default_rng(0)
    for index in rng.integers(len(cells), size=300):
        cell = cells.cell(int(index))
        assert cell.module_hash == slow_hash(cell)


def test_hashes_ascend_with_the_index(cells):
    hashes = [slow_hash(cells.cell(index)) for index in range(0, len(cells), 1009)]
    assert hashes == sorted(hashes)


def wrong_rows(rows):
    """Indices of those of (index, code, hash) whose hash is another one."""
    return [index for index, code, known in rows if cell_of(code).module_hash != known]


def test_hashes_are_the_benchmarks(cells, published, part):
    assert list(published["index"]) == list(range(len(cells)))
    rows = list(
        zip(published["index"], cells._codes.tolist(), published["module_hash"], strict=True)
    )[part]
    with ProcessPoolExecutor() as pool:
        found = pool.map(wrong_rows, [rows[start::64] for start in range(64)])
    assert [index for wrong in found for index in wrong] == []


def test_all_cells_are_numbered_inside_as_the_benchmarks(cells, published):
    # which vertices have a channel more depends on it
    codes = []
    for matrix, count, names in zip(
        published["adjacency"], published["n_vertices"], published["ops"], strict=True
    ):
        code = int(names or "0", 3) << len(PAIRS)
        for place, (source, target) in enumerate(PAIRS):
            if target < count and matrix[count * source + target] == "1":
                code |= 1 << place
        codes.append(code)
    assert np.array_equal(cells._codes, codes)


def test_the_enumeration_finds_the_stored_cells(cells, build):
    codes = np.concatenate([build.distinct(count) for count in range(2, 8)])
    assert len(codes) == 423_624
    assert np.array_equal(np.sort(codes), np.sort(cells._codes))


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_the_enumeration_follows_the_definition(build, count):
    first = {}
    for bits in range(1 << count * (count - 1) // 2):
        matrix = [[0] * count for _ in range(count)]
        for place, (source, target) in enumerate(PAIRS[: count * (count - 1) // 2]):
            matrix[source][target] = bits >> place & 1
        rows = tuple(map(tuple, matrix))
        if not all(map(any, rows[:-1])) or not all(map(any, list(zip(*rows, strict=True))[1:])):
            continue
        if sum(map(sum, rows)) > EDGES:
            continue
        for names in product(OPERATIONS, repeat=count - 2):
            cell = Cell(rows, names)
            first.setdefault(slow_hash(cell), cell.code)
    assert sorted(build.distinct(count).tolist()) == sorted(first.values())


def test_codes_and_spellings_have_inverses(cells):
    rng = np.random.default_rng(1)
    for index in rng.integers(len(cells), size=300):
        cell = cells.cell(int(index))
        assert cell_of(cell.code) == cell == parse_cell(str(cell))
        assert cells.parse(str(cell)) == cells[int(index)]


def test_a_cell_is_parsed_from_index_hash_or_spelling(cells):
    for text in (0, "0", " 0\n", FIRST_HASH, FIRST_HASH.upper(), FIRST, f" {FIRST} "):
        assert cells.parse(text) == cells[0]
    last = cells[len(cells) - 1]
    assert cells.parse(cells.cell(last.index).module_hash) == last


def test_any_numbering_of_the_vertices_is_the_same_cell(cells):
    rng = np.random.default_rng(2)
    seen = 0
    for index in rng.integers(len(cells), size=60):
        for other in list(renumbered(cells.cell(int(index)), rng))[:4]:
            assert cells.index_of(other) == index
            seen += other != cells.cell(int(index))
    assert seen > 30


def test_vertices_that_lead_nowhere_are_pruned(cells):
    rng = np.random.default_rng(3)
    kept = Counter()
    for _ in range(1500):
        cell = random_cell(rng, int(rng.integers(2, 8)), rng.uniform(0.1, 0.6))
        expected = slow_pruned(cell)
        if expected is None:
            with pytest.raises(ArchitectureError, match="no path from the input to the output"):
                cells.index_of(cell)
            kept["none"] += 1
            continue
        assert cell.pruned() == expected
        if expected.edges > EDGES:
            with pytest.raises(ArchitectureError, match=f"has {expected.edges} edges on paths"):
                cells.index_of(cell)
            kept["edges"] += 1
        else:
            assert cells.cell(cells.index_of(cell)).module_hash == slow_hash(expected)
            kept["known"] += cell != expected
    assert min(kept["none"], kept["edges"], kept["known"]) > 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("011|001|000", "takes the rows of an adjacency matrix, a colon"),
        ("", "takes the rows"),
        ("0:input", "has 1 rows: a cell has 2 to 7 vertices"),
        ("|".join(["0" * 8] * 8) + ":input,output", "has 8 rows"),
        ("011|01|000:input,maxpool3x3,output", "row 1 is '01': it takes 3 digits 0 or 1"),
        ("011|0x1|000:input,maxpool3x3,output", "row 1 is '0x1'"),
        ("011|011|000:input,maxpool3x3,output", "row 1 has the edge 1->1, a cycle"),
        ("011|001|010:input,maxpool3x3,output", "row 2 has the edge 2->1, against the order"),
        ("011|001|000:input,output", "the operations are 'input,output': 3 vertices take"),
        ("011|001|000:output,maxpool3x3,input", "3 vertices take 'input'"),
        ("011|001|000:input,maxpool5x5,output", "vertex 1: unknown operation 'maxpool5x5': did"),
        ("001|001|000:input,maxpool3x3,output", None),
        ("010|000|000:input,maxpool3x3,output",
         "no path from the input to the output: edges lead from vertex 0 to vertex 2"),
        ("423624", "index 423624 is not in nasbench101: it has 0 to 423623"),
        ("-1", "index -1 is not in nasbench101"),
        ("1" + "0" * 40, "^a number of 41 digits is not an index"),
        ("9" * 5000, "^a number of 5000 digits is not an index"),
        ("x" * 5000, r"^'x{57}\.\.\.' is no cell"),
        ("01|00:" + "x" * 5000, r"^the operations are 'x{57}\.\.\.'"),
        ("1" * 5000 + "|00:input,output", r"^row 0 is '1{57}\.\.\.'"),
        ("01|" * 2000 + ":input,output", r"^'(01\|){19}\.\.\.' has 2001 rows"),
        (f"011|001|000:input,{'x' * 5000},output", r"^vertex 1: unknown operation 'x{57}\.\.\.'"),
        ("0" * 32, "has the module hash 0{32}: give an index from 0 to 423623, or spell the cell"),
        ("f" * 32, "no cell of nasbench101 has the module hash ffff"),
        (FIRST_HASH[:-1] + "5", "has the module hash"),
    ],
)  # fmt: skip
def test_what_is_no_cell_is_refused_in_one_line(cells, text, message):
    if message is None:  # the inner vertex is dead: what is left is input and output
        assert cells.parse(text) == cells.parse("01|00:input,output")
        return
    with pytest.raises(ArchitectureError, match=message) as caught:
        cells.parse(text)
    assert "\n" not in str(caught.value)


def test_samples_are_uniform(cells):
    rng = np.random.default_rng(4)
    drawn = [cells.sample(rng).index for _ in range(4000)]
    counts, _ = np.histogram(drawn, bins=20, range=(0, len(cells)))
    assert chisquare(counts).pvalue > 0.001


def slow_mutant(cell, rng):
    """The benchmark's example, on cells of seven vertices."""
    while True:
        matrix = np.array(cell.matrix)
        names = list(cell.operations)
        for source in range(6):
            for target in range(source + 1, 7):
                if rng.random() < 1 / 7:
                    matrix[source, target] = 1 - matrix[source, target]
        for place in range(5):
            if rng.random() < 1 / 5:
                names[place] = str(rng.choice([n for n in OPERATIONS if n != names[place]]))
        rows = tuple(tuple(int(entry) for entry in row) for row in matrix)
        pruned = slow_pruned(Cell(rows, tuple(names)))
        if pruned is None or pruned.edges > 9 or slow_hash(pruned) == slow_hash(cell):
            continue
        return pruned


def kind_of(cell):
    """What mutants are compared by."""
    return len(cell.matrix), cell.operations.count(CONV3)


def test_mutants_are_distributed_as_the_benchmarks(cells):
    cell = cells.cell(0)
    rng, other = np.random.default_rng(5), np.random.default_rng(6)
    found = Counter(kind_of(cells.cell(cells.mutate(cells[0], rng).index)) for _ in range(800))
    expected = Counter(kind_of(slow_mutant(cell, other)) for _ in range(800))
    kinds = [kind for kind in found | expected if min(found[kind], expected[kind]) > 10]
    assert len(kinds) > 8
    table = [[counts[kind] for kind in kinds] for counts in (found, expected)]
    assert chi2_contingency(table).pvalue > 0.001


@pytest.mark.parametrize("text", ["01|00:input,output", "011|001|000:input,maxpool3x3,output"])
def test_small_cells_grow_by_mutation(cells, text):
    rng, cell = np.random.default_rng(7), cells.parse(text)
    mutants = [cells.mutate(cell, rng) for _ in range(60)]
    assert cell not in mutants
    assert len({len(cells.cell(one.index).matrix) for one in mutants}) > 2
    assert {name for one in mutants for name in cells.cell(one.index).operations} == {*OPERATIONS}


def test_every_cell_is_its_own_class(cells):
    assert cells.canonical(cells[77]) == cells[77]
    assert np.array_equal(cells.representatives, np.arange(len(cells)))
    assert np.array_equal(cells.executed_representatives, np.arange(len(cells)))


def test_what_is_bundled_says_who_made_it():
    assert "nasbench101_order.npy" in (Path(BUNDLED) / "README.md").read_text()

"""Classes of cells: their numbers, their order, and that the cells of a class are one function.

Noise statistic of the last tests: of every class, one random pair (a, b) of its members. The mean
absolute difference between trial 0 of a and trial 1 of b, divided by the mean absolute difference
between trials 0 and 1 of one architecture, over the same cells. It is 1 where the classes
hold nothing but training noise.
"""

from collections import defaultdict
from itertools import permutations

import numpy as np
import pytest
import torch
from tests.networks.slow import cell_alone

from untrained.networks.nasbench201 import cell_graph
from untrained.networks.network import ConnectionReLU
from untrained.proxies.rectifiers import rectifier_modules
from untrained.spaces.nasbench201 import EDGES

from .cell_rules import (
    computed_function,
    executed_function,
    isomorphic,
    live_edges,
    path_tree,
    singular_as_released,
)


def live_key(operations):
    return tuple(sorted(live_edges(operations).items()))


RULES = {
    "live_edges": live_key,
    "isomorphic": isomorphic,
    "computed_function": computed_function,
    "executed_function": executed_function,
    "path_tree": path_tree,
}


@pytest.fixture(scope="module")
def keys(all_operations):
    """Rule to the key of every cell."""
    return {name: [rule(cell) for cell in all_operations] for name, rule in RULES.items()}


@pytest.mark.parametrize(
    ("rule", "count"),
    [("live_edges", 9445), ("isomorphic", 8765), ("computed_function", 5260), ("path_tree", 6466),
     ("executed_function", 7189)],
)  # fmt: skip
def test_the_number_of_classes(keys, rule, count):
    assert len(set(keys[rule])) == count


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("live_edges", "live_representatives"),
        ("computed_function", "representatives"),
        ("executed_function", "executed_representatives"),
    ],
)
def test_representatives_are_the_first_of_their_class(keys, space, rule, name):
    first = {}
    expected = [first.setdefault(key, index) for index, key in enumerate(keys[rule])]
    assert getattr(space, name).tolist() == expected


@pytest.mark.parametrize(
    ("finer", "coarser"),
    [
        ("live_edges", "isomorphic"),
        ("isomorphic", "computed_function"),
        ("executed_function", "computed_function"),
    ],
)
def test_classes_are_nested(keys, finer, coarser):
    together = defaultdict(set)
    for fine, coarse in zip(keys[finer], keys[coarser], strict=True):
        together[fine].add(coarse)
    assert all(len(coarse) == 1 for coarse in together.values())


@pytest.mark.parametrize("other", ["live_edges", "isomorphic", "computed_function"])
def test_the_papers_rule_is_neither_finer_nor_coarser(keys, other):
    papers, others = defaultdict(set), defaultdict(set)
    for paper, key in zip(keys["path_tree"], keys[other], strict=True):
        papers[paper].add(key)
        others[key].add(paper)
    assert max(map(len, papers.values())) > 1
    assert max(map(len, others.values())) > 1


def test_the_papers_rule_merges_a_shared_convolution_with_two_of_their_own():
    conv, skip, none = "nor_conv_3x3", "skip_connect", "none"
    # the output reads one convolution of the input twice: itself, and through another
    shared = (conv, none, conv, none, skip, skip)
    # the same paths, but each with a convolution of the input of its own
    apart = (conv, none, conv, conv, none, skip)
    assert path_tree(shared) == path_tree(apart)
    assert computed_function(shared) != computed_function(apart)


def test_the_papers_rule_keeps_plus_nothing_apart():
    nothing = ("none", "none", "none", "nor_conv_3x3", "none", "none")
    dead_end = ("skip_connect", "none", "none", "nor_conv_3x3", "none", "none")
    assert computed_function(nothing) == computed_function(dead_end)
    assert live_edges(nothing) == live_edges(dead_end)
    dropped = ("none", "skip_connect", "none", "none", "none", "nor_conv_3x3")
    assert computed_function(dropped) == computed_function(nothing)
    assert path_tree(dropped) != path_tree(nothing)


def test_live_edges_are_those_on_a_path_from_input_to_output(all_operations):
    for operations in all_operations:
        graph = cell_graph(operations)
        live = [(edge.source, edge.target) for edge in graph.edges if graph.live(edge)]
        assert live == sorted(live_edges(operations), key=EDGES.index)


def test_341_cells_are_disconnected_and_201_of_them_singular(all_operations):
    disconnected = {i for i, cell in enumerate(all_operations) if not live_edges(cell)}
    singular = {i for i, cell in enumerate(all_operations) if singular_as_released(cell)}
    assert len(disconnected) == 341
    assert len(singular) == 201
    assert singular < disconnected


def test_the_341_disconnected_cells_are_those_at_chance(all_operations, benchmark_table):
    accuracy = benchmark_table.accuracies("cifar10", "ori-test")
    disconnected = {i for i, cell in enumerate(all_operations) if not live_edges(cell)}
    assert all(abs(accuracy[i] - 10) < 1e-6 for i in disconnected)


def test_the_representative_is_the_lowest_index_of_its_class(space, keys):
    representatives = space.representatives
    by_key = defaultdict(list)
    for index, key in enumerate(keys["computed_function"]):
        by_key[key].append(index)
    for members in by_key.values():
        assert set(representatives[members]) == {min(members)}
    assert np.array_equal(representatives[representatives], representatives)
    assert space.canonical(space[15_624]) == space[int(representatives[15_624])]
    assert space.canonical(space.canonical(space[77])) == space.canonical(space[77])


def randomised(operations, rng):
    """A small cell in double precision whose normalisations are not neutral."""
    cell = cell_alone(operations, 3)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.from_numpy(rng.standard_normal(parameter.shape)))
    return cell


def live_convolutions(operations, cell):
    """(operation, module) of the convolutions that reach the output, in the order of the edges."""
    live, edges = live_edges(operations), zip(EDGES, operations, strict=True)
    named = [(edge, name) for edge, name in edges if name.startswith("nor_conv")]
    modules = [one for one in cell.modules() if isinstance(one, ConnectionReLU)]
    pairs = zip(named, modules, strict=True)
    return [(name, module) for (edge, name), module in pairs if edge in live]


def same_for_some_assignment(first, second, rng):
    """Whether cell `second` computes what `first` does, for some exchange of their weights.

    Every assignment of the convolutions of one to those of the other is tried.
    """
    x = torch.from_numpy(rng.standard_normal((2, 3, 5, 5)))
    one, other = randomised(first, rng), randomised(second, rng)
    given, taken = live_convolutions(first, one), live_convolutions(second, other)
    if len(given) != len(taken):
        return False
    with torch.no_grad():
        expected = one(x)
        for order in permutations(range(len(given))):
            pairs = [(given[i], target) for i, target in zip(order, taken, strict=True)]
            if any(source[0] != target[0] for source, target in pairs):
                continue
            for (_, source), (_, target) in pairs:
                target.load_state_dict(source.state_dict())
            if torch.allclose(other(x), expected, rtol=1e-9, atol=1e-9):
                return True
    return False


def test_the_cells_of_a_class_compute_the_same_function(all_operations, keys):
    rng = np.random.default_rng(0)
    classes = defaultdict(list)
    for index, key in enumerate(keys["computed_function"]):
        classes[key].append(index)
    several = [
        members
        for members in classes.values()
        if len(members) > 1 and live_edges(all_operations[members[0]])
    ]
    # large classes and small, with few convolutions and many
    for position in rng.choice(len(several), 40, replace=False):
        a, b = rng.choice(several[position], 2, replace=False)
        assert same_for_some_assignment(all_operations[a], all_operations[b], rng), (a, b)


def test_cells_of_different_classes_compute_different_functions(all_operations, keys):
    # without pooling, which is linear, so that the pool of a sum is the sum of the pools; the
    # pairs are those that are hardest to tell: equal live convolutions
    rng = np.random.default_rng(1)
    alike = defaultdict(dict)
    for index, operations in enumerate(all_operations):
        live = live_edges(operations)
        convolutions = sorted(name for name in live.values() if name.startswith("nor_conv"))
        if live and "avg_pool_3x3" not in live.values() and 1 <= len(convolutions) <= 4:
            alike[tuple(convolutions)].setdefault(keys["computed_function"][index], index)
    groups = [list(group.values()) for group in alike.values() if len(group) > 1]
    for _ in range(60):
        a, b = rng.choice(groups[rng.integers(len(groups))], 2, replace=False)
        assert not same_for_some_assignment(all_operations[a], all_operations[b], rng), (a, b)


def noise_ratio(pairs, first, second):
    """Difference between the members of pairs over difference between trials; see the module."""
    a, b = pairs.T
    between = np.abs(first[a] - second[b]).mean()
    within = (np.abs(first[a] - second[a]) + np.abs(first[b] - second[b])).mean() / 2
    return between / within


def random_pairs(keys, alive, rng):
    classes = defaultdict(list)
    for index in alive:
        classes[keys[index]].append(index)
    return np.array(
        [rng.choice(members, 2, replace=False) for members in classes.values() if len(members) > 1]
    )


@pytest.fixture(scope="module", params=["cifar10-valid", "cifar100", "ImageNet16-120"])
def trials(request, benchmark_table):
    """Accuracies of two training runs, by index."""
    return [
        benchmark_table.accuracies(request.param, "x-valid", 200, seed)
        for seed in ("trial0", "trial1")
    ]


@pytest.fixture(scope="module")
def alive(all_operations):
    return [index for index, operations in enumerate(all_operations) if live_edges(operations)]


@pytest.mark.parametrize("rule", ["live_edges", "isomorphic", "computed_function"])
def test_accuracies_within_a_class_differ_by_training_noise(keys, alive, trials, rule):
    pairs = random_pairs(keys[rule], alive, np.random.default_rng(0))
    assert len(pairs) > 150
    assert 0.8 < noise_ratio(pairs, *trials) < 1.1


def test_the_noise_statistic_refuses_wrong_classes(all_operations, alive, trials):
    rng = np.random.default_rng(0)
    multisets = [tuple(sorted(operations)) for operations in all_operations]
    assert noise_ratio(random_pairs(multisets, alive, rng), *trials) > 3
    assert noise_ratio(rng.choice(alive, (1000, 2)), *trials) > 6


def test_cells_of_an_executed_class_show_their_rectifiers_the_same(all_operations, keys):
    """With equal weights for equal operations, so that no naming of weights is needed."""
    classes = defaultdict(list)
    for index, key in enumerate(keys["executed_function"]):
        classes[key].append(index)
    rng = np.random.default_rng(0)
    shared = [members for members in classes.values() if len(members) > 1]
    dead = [members for members in shared if not live_edges(all_operations[members[0]])]
    for members in [*rng.permutation(np.array(shared, dtype=object))[:60], *dead[:10]]:
        first, second = (
            rectifier_codes(all_operations[index])
            for index in rng.choice(members, 2, replace=False)
        )
        assert first == second, members


def rectifier_codes(operations):
    cell = cell_alone(operations, 4)
    for module in cell.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.manual_seed(module.kernel_size[0])
            torch.nn.init.normal_(module.weight)
    seen = []
    images = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad(), rectifier_modules(cell, lambda x: seen.append((x > 0).numpy().tobytes())):
        output = cell(images)
    return sorted(seen), np.round(output.numpy(), 9).tolist()

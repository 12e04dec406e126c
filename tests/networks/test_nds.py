"""The networks of NDS: costs by hand, operations against loops over windows, cells against sums."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from tests.benchmarks.nds_files import cell_entry, network_of, some_entries, staged_entry
from tests.networks.slow import Layers, part_of, pooled, shaken
from tests.networks.slow_cells import UNITS, slow_features, slow_operation

from untrained.images.minibatches import Minibatch
from untrained.networks import darts, nds
from untrained.networks.costs import count_flops, count_parameters
from untrained.networks.graph import Pooling
from untrained.networks.nds import costs_of, mismatches, scored_network, trained_network
from untrained.networks.network import GraphNetwork
from untrained.proxies.naswot import Naswot
from untrained.seeds import torch_seeded
from untrained.spaces.nds_networks import OPERATIONS, CellNetwork, parse_network

CELLS = [network_of(entry["net"]) for entry in some_entries() if "genotype" in entry["net"]]


# --- operations


def operation_alone(operation, channels, stride):
    def add(builder, source):
        target = builder.node()
        darts.add_operation(builder, operation, source, target, channels, stride)
        return target

    return part_of(channels, add)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_follows_its_definition(operation, stride):
    network = shaken(operation_alone(operation, 4, stride), 0)
    layers, x = Layers(network), torch.randn(3, 4, 8, 6, dtype=torch.float64)
    with torch.no_grad():
        expected = slow_operation(layers, x, operation, stride)
        assert torch.allclose(network(x), expected, rtol=1e-9, atol=1e-9)
    assert not layers.left


@pytest.mark.parametrize("side", [7, 8])
def test_pools_of_two_by_two_keep_odd_sides(side):
    x = torch.randn(2, 3, side, side, dtype=torch.float64)
    for kind in ("max", "avg"):
        for stride in (1, 2):
            found = operation_alone(f"{kind}_pool_2x2", 3, stride)(x)
            assert torch.allclose(found, pooled(x, kind, stride, 2))


# --- cells


def skeleton_of(network, *, imagenet):
    return darts.Skeleton(network.depth, network.width, "imagenet" if imagenet else "cifar")


@pytest.mark.parametrize("imagenet", [False, True])
@pytest.mark.parametrize("number", range(len(CELLS) - 1))
def test_a_forward_pass_follows_the_definition(number, imagenet):
    described = CELLS[number]
    network = shaken(GraphNetwork(scored_network(described, 3, imagenet=imagenet)), number)
    side = 64 if imagenet else 8
    x = torch.randn(2, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        layers, skeleton = Layers(network), skeleton_of(described, imagenet=imagenet)
        expected = layers.classified(slow_features(layers, x, described, skeleton)[0])
        assert torch.allclose(network(x), expected, rtol=1e-8, atol=1e-8)


def slow_costs(network, classes, side):
    """Return parameters without a head, and multiply-adds, by the description, layer by layer."""
    wide, at = 3 * network.width, side * side
    parameters, flops = 27 * wide + 2 * wide, 27 * wide * at
    inputs, channels = [wide, wide], network.width
    for position in range(network.depth):
        reduces = position in (network.depth // 3, 2 * network.depth // 3)
        before = at
        if reduces:
            channels, at = 2 * channels, at // 4
        for one in inputs:
            parameters += one * channels + 2 * channels
            flops += one * channels * before
        for operation, source in network.reduce if reduces else network.normal:
            halves = reduces and source < 2
            units = UNITS.get(operation, [])
            if operation == "skip_connect" and halves:
                units = [[(1, 1)]]
            for number, unit in enumerate(units):
                parameters += 2 * channels
                # a pair (1, k), (k, 1) halves one direction each
                pair = len(unit) == 2 and not isinstance(unit[0], int)
                for place, kernel in enumerate(unit):
                    if isinstance(kernel, int):
                        weights = kernel**2 * channels
                    else:
                        weights = kernel[0] * kernel[1] * channels**2
                    first = halves and pair and place == 0 and number == 0
                    parameters += weights
                    flops += weights * at * (2 if first else 1)
        concat = network.reduce_concat if reduces else network.normal_concat
        inputs = [inputs[1], len(concat) * channels]
    last = inputs[1] * classes
    return parameters + last + classes, flops + last


@pytest.mark.parametrize("number", range(len(CELLS)))
def test_costs_are_those_of_the_closed_form(number):
    network = CELLS[number]
    parameters, flops = slow_costs(network, 10, 32)
    found = costs_of(network, imagenet=False)
    assert (found.without_head, found.flops) == (parameters, flops)


def test_the_head_counts_as_the_parameters_of_its_layers():
    network = CELLS[-1]
    assert network.auxiliary
    found = costs_of(network, imagenet=False)
    wide = len(network.reduce_concat) * 4 * network.width
    head = wide * 128 + 2 * 128 + 128 * 768 * 4 + 2 * 768 + 768 * 10 + 10
    assert found.parameters - found.without_head == head


def test_on_imagenet_there_are_a_thousand_classes_at_224():
    network = CELLS[0]
    skeleton = skeleton_of(network, imagenet=True)
    module = GraphNetwork(darts.network_graph(network, 1000, skeleton))
    found = costs_of(network, imagenet=True)
    assert found.parameters == count_parameters(module)
    assert found.flops == count_flops(module, (3, 224, 224))


# --- scores


def batch(side=32, count=8):
    torch.manual_seed(1)
    return Minibatch(torch.randn(count, 3, side, side), torch.zeros(count, dtype=torch.long), 10)


@pytest.mark.parametrize("variant", ["corrected", "released"])
def test_a_head_does_not_break_a_score(variant):
    """The released code has no score; here it is that of the network without the head."""
    scores = []
    for auxiliary in (False, True):
        network = network_of(cell_entry("DARTS", aux=auxiliary)["net"])
        with torch_seeded(0, "weights"):
            module = GraphNetwork(scored_network(network, 1, imagenet=False))
        assert module(batch().images).shape == (8, 1)
        module.eval()
        assert module(batch().images).shape == (8, 1)
        module.train()
        scores.append(Naswot(variant)(module, batch(), torch.Generator()))
    assert scores[0] == scores[1]
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("number", range(len(some_entries())))
@pytest.mark.parametrize("imagenet", [False, True])
def test_every_kind_of_network_has_a_score(number, imagenet):
    network = network_of(some_entries()[number]["net"])
    module = GraphNetwork(scored_network(network, 1, imagenet=imagenet))
    shown = batch(64 if imagenet else 32)
    corrected, released = (
        Naswot(variant)(module, shown, torch.Generator()) for variant in ("corrected", "released")
    )
    # wrappers count twice in the released form
    assert released > corrected if isinstance(network, CellNetwork) else released == corrected


def test_naswot_scores_stems_that_the_benchmark_does_not_train():
    residual, plain = (
        network_of(staged_entry(block)["net"])
        for block in ("res_basic_block", "double_plain_block")
    )
    shapes = {}
    for name, network in (("residual", residual), ("plain", plain)):
        for made in (scored_network, trained_network):
            for imagenet in (False, True):
                graph = made(network, 10, imagenet=imagenet)
                last = 2 if isinstance(graph.edges[1].operations[0], Pooling) else 1
                shapes[name, made.__name__, imagenet] = graph.shapes((3, 32, 32))[last]
    assert shapes["residual", "scored_network", False] == (12, 8, 8)
    assert shapes["residual", "scored_network", True] == (12, 8, 8)
    assert shapes["plain", "scored_network", False] == (12, 16, 16)
    assert shapes["residual", "trained_network", False] == (16, 32, 32)
    assert shapes["plain", "trained_network", False] == (16, 32, 32)
    assert shapes["residual", "trained_network", True] == (64, 8, 8)


# --- stored costs


def test_the_first_cost_that_differs_is_named(monkeypatch):
    monkeypatch.setattr(nds, "costs_of", cache(costs_of))
    spellings = [str(network) for network in CELLS[-4:]]  # the last has an auxiliary head
    counted = [costs_of(parse_network(text), imagenet=False) for text in spellings]
    stored = pd.DataFrame(
        {
            "parameters": [float(one.parameters) for one in counted],
            "flops": [float(one.flops) for one in counted],
        }
    )
    everything = list(range(len(spellings)))

    def found(table):
        return list(mismatches(spellings, table, everything, imagenet=False))

    assert found(stored) == []
    # heads and the bias of the classifier may be counted or not
    other = stored.assign(
        parameters=[float(one.without_head) for one in counted], flops=stored["flops"] + 10
    )
    assert found(other) == []
    other.loc[1, "flops"] += 1
    (message,) = found(other)
    assert message.startswith("architecture 1 has ")
    assert message.endswith(f"its network has {counted[1].flops + 10:,}")
    other.loc[2, "parameters"] -= 1
    assert len(found(other)) == 2
    assert list(mismatches(spellings, other, [0, 3], imagenet=False)) == []

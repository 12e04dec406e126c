"""Networks that are trained together against their modules, one by one, in double precision.

The training of a module has a slow oracle of its own in `tests/training/test_short.py`.
"""

from copy import deepcopy

import numpy as np
import pytest
import torch
from tests.networks.test_batched_gradients import some_of
from tests.networks.test_plans import CELLS, NETWORKS, cells_of_nodes, images_of, module_of

from untrained.networks.batched_training import Together
from untrained.networks.graph import Builder, Convolution, GlobalMean, Linear, Zero
from untrained.networks.network import GraphNetwork
from untrained.spaces.base import Skeleton
from untrained.training.loop import Examples
from untrained.training.recipe import ShortRecipe
from untrained.training.short import Diverged, train_shortly, train_together

CPU = torch.device("cpu")
RECIPE = ShortRecipe(batch_size=4, learning_rate=0.05, weight_decay=0.01)


def lesson(shape, count=10):
    """Return a few images of a shape to learn, whose type is double precision."""
    rng = np.random.default_rng(3)
    channels, height, width = shape
    pixels = rng.integers(0, 256, (count, height, width, channels)).astype(np.uint8)

    def prepare(images, generator):
        shown = images.transpose(0, 3, 1, 2) / 64 - 2
        return shown if generator is None else shown + generator.normal(size=(len(shown), 1, 1, 1))

    return Examples(pixels, np.arange(count) % 2, prepare)


def is_compared(name, network):
    """Whether training together does to a tensor what training alone does.

    Statistics of what leads nowhere, which nothing reads, stay as they are.
    """
    if "running" not in name:
        return not name.endswith("num_batches_tracked")
    graph, edge = network.graph, int(name.split(".")[1])
    # edges after the last one executed are a second output
    return edge < len(graph.executed) and graph.edges[edge].target in graph.leading


@pytest.mark.parametrize("networks", [one for one in NETWORKS if one is not cells_of_nodes])
def test_each_network_is_trained_as_it_is_alone(networks):
    members, images = some_of(networks)
    shown, stops = lesson(images.shape[1:]), (0, 0.4, 2)
    alone = deepcopy(members)
    together = Together(members, tuple(images.shape[1:]), CPU)
    trainings = [train_shortly(one, shown, stops, 5, CPU, RECIPE) for one in alone]
    for found in train_together(together, shown, stops, 5, CPU, RECIPE):
        together.store()
        for own, training, network, expected in zip(found, trainings, members, alone, strict=True):
            stop = next(training)
            assert own.steps == stop.steps
            # steps increase rounding errors
            within = 1e-9 if stop.steps < 2 else 1e-7
            assert own.losses == pytest.approx(stop.losses, rel=within)
            wanted = expected.state_dict()
            for name, tensor in network.state_dict().items():
                if is_compared(name, network):
                    torch.testing.assert_close(tensor, wanted[name], rtol=within, atol=within)
    assert found[0].steps == 6


def test_weights_before_zeros_stay_as_they_are():
    """They have no gradient, so that not even the decay of weights changes them."""
    builder = Builder()
    stem = builder.edge(0, None, Convolution(3, 4, (3, 3)), normalised=True)
    node = builder.edge(stem, None)
    layers = Convolution(4, 4, (1, 1)), Zero(), Convolution(4, 4, (1, 1))
    builder.edge(stem, node, *layers, normalised=True)
    logits = builder.edge(node, None, GlobalMean(), Linear(4, 2))
    members = [module_of(builder.graph(logits), seed).double() for seed in range(2)]
    alone, (shape, stops) = deepcopy(members), ((3, 7, 9), (2,))
    together = Together(members, shape, CPU)
    list(train_together(together, lesson(shape), stops, 5, CPU, RECIPE))
    together.store()
    for network, expected in zip(members, alone, strict=True):
        before = deepcopy(expected.state_dict())
        list(train_shortly(expected, lesson(shape), stops, 5, CPU, RECIPE))
        wanted = expected.state_dict()
        same = {name for name in wanted if torch.equal(wanted[name], before[name])}
        assert "connections.2.0.weight" in same
        assert "connections.2.2.weight" not in same
        for name, tensor in network.state_dict().items():
            if is_compared(name, network):
                torch.testing.assert_close(tensor, wanted[name], rtol=1e-7, atol=1e-7)


def test_one_that_diverges_stops_no_other():
    torch.manual_seed(0)
    graph = CELLS.graph(CELLS[1462], 3, Skeleton(3, 1))
    members = [GraphNetwork(graph).double() for _ in range(4)]
    with torch.no_grad():
        members[1].classifier.weight.fill_(torch.inf)
        members[2].classifier.bias[2] = -torch.inf  # of a class that no label names
    shown, images = lesson((3, 8, 8)), images_of()
    alone, stops = deepcopy(members), (0.4, 1)
    together = Together(members, tuple(images.shape[1:]), CPU)
    found = list(zip(*train_together(together, shown, stops, 5, CPU, RECIPE), strict=True))
    for number, (own, network) in enumerate(zip(found, alone, strict=True)):
        training = train_shortly(network, shown, stops, 5, CPU, RECIPE)
        if number in (1, 2):
            with pytest.raises(Diverged) as diverged:
                list(training)
            assert isinstance(own[0], Diverged)
            assert str(own[0]) == str(diverged.value)
        else:
            for one, expected in zip(own, training, strict=True):
                assert one.losses == pytest.approx(expected.losses, rel=1e-9)
    assert str(found[1][0]) == "the loss became nan in epoch 1"
    assert str(found[2][0]) == "a weight is not finite after epoch 1"

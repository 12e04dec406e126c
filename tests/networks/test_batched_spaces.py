"""Every registered space: what runs many networks at once against the space's own modules."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from tests.benchmarks.nds_files import network_of, some_entries
from tests.networks.test_batched_gradients import (
    ROUNDED,
    same,
    spellings,
    together,
    value_alone,
    values_together,
)
from tests.networks.test_batched_training import RECIPE, is_compared, lesson
from tests.networks.test_plans import codes_of_module, images_of, kernel_of

from untrained.errors import MissingDataError, ParameterError
from untrained.images.minibatches import Minibatch
from untrained.networks import batched
from untrained.networks.batched_training import Together
from untrained.networks.network import GraphNetwork
from untrained.networks.plans import draw
from untrained.proxies import get_proxy
from untrained.spaces import SPACES, get_space
from untrained.spaces.base import GraphSpace, Skeleton
from untrained.spaces.nds import write_architectures
from untrained.training.short import train_shortly, train_together

CPU = torch.device("cpu")
CLASSES, COUNT = 3, 3
#: Networks of more parameters, or more networks than two, are read by one proxy of each kind.
LARGE = 10**6
KINDS = ("grad_norm", "synflow", "jacobian_covariance", "ntk_trace-all_train")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of made up lists of architectures, for spaces whose lists are fetched."""
    return tmp_path_factory.mktemp("lists")


def drawn(name, folder):
    """Return a space and some of its architectures."""
    space = get_space(name)
    try:
        few = len(space) < 100
    except MissingDataError:
        written = [str(network_of(entry["net"])) for entry in some_entries()]
        write_architectures(name, written, folder / f"{name}.json")
        space, few = type(space)(folder), True
    except ParameterError:  # too many to be counted
        few = False
    if few:
        return space, [space[place] for place in range(len(space))]
    rng = np.random.default_rng(6)
    return space, [space.sample(rng) for _ in range(2)]


def graph_of(space, architecture, skeleton):
    """Return the graph with few cells, or the whole one of a space that has no other."""
    try:
        return space.graph(architecture, CLASSES, skeleton), skeleton
    except ParameterError:
        return space.graph(architecture, CLASSES), None


#: The networks that were compared; a second space with the same ones shares this.
COMPARED = set()


def compare(space, architectures, graphs, skeleton):
    modules, networks = [], []
    for seed, (architecture, graph) in enumerate(zip(architectures, graphs, strict=True)):
        torch.manual_seed(seed)
        modules.append(space.network(architecture, CLASSES, skeleton).double())
        torch.manual_seed(seed)
        networks.append(draw(graph, whole=True))
    assert all(type(one) is GraphNetwork for one in modules)
    # the networks of lists halve their images often
    images = images_of(8 if len(modules) == 2 else 32, count=COUNT)
    gradients(modules, networks, images)
    codes(modules, networks, images)
    trainings(modules, tuple(images.shape[1:]))


def codes(modules, networks, images):
    batch = batched.prepared(networks, tuple(images.shape[1:]), [True] * len(networks))
    found = batched.run(batch, images)
    assert found.rectifiers.finite.all()
    for number, module in enumerate(modules):
        for kernels, dead in ((found.rectifiers, False), (found.modules, True)):
            expected = kernel_of(codes_of_module(module, images, dead), images)
            assert torch.equal(kernels.kernels[number].long(), expected), (number, dead)


def gradients(modules, networks, images):
    shown = Minibatch(images, torch.arange(COUNT) % CLASSES, CLASSES)
    many, read = together(networks, images), 0
    large = len(modules) > 2 or max(one.graph.parameters for one in modules) > LARGE
    for spelling in KINDS if large else spellings():
        proxy = get_proxy(spelling)
        for own, module in zip(values_together(proxy, many, shown), modules, strict=True):
            expected = value_alone(proxy, module, shown)
            assert same(own, expected, ROUNDED.get(proxy.name, 1e-6)), (spelling, own, expected)
            read += isinstance(own, float)
    assert read > (4 if large else 10)


def trainings(modules, shape):
    shown, alone = lesson(shape, 6), deepcopy(modules)
    many = Together(modules, shape, CPU)
    (found,) = train_together(many, shown, (0.5,), 5, CPU, RECIPE)
    many.store()
    for own, module, expected in zip(found, modules, alone, strict=True):
        (stop,) = train_shortly(expected, shown, (0.5,), 5, CPU, RECIPE)
        assert own.losses == pytest.approx(stop.losses, rel=1e-9)
        wanted = expected.state_dict()
        for name, tensor in module.state_dict().items():
            if is_compared(name, module):
                torch.testing.assert_close(tensor, wanted[name], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", SPACES.names())
def test_many_networks_of_a_space_at_once_are_its_modules(name, folder):
    space, architectures = drawn(name, folder)
    assert isinstance(space, GraphSpace), "its networks are run one at a time: say so here"
    graphs, used = zip(
        *(graph_of(space, one, Skeleton(4, 1)) for one in architectures), strict=True
    )
    if (graphs, used[0]) not in COMPARED:
        compare(space, architectures, graphs, used[0])
        COMPARED.add((graphs, used[0]))

"""A few images and a small network to train."""

import numpy as np
import pytest
import torch

from untrained.networks.darts import Skeleton, network_graph
from untrained.networks.network import GraphNetwork
from untrained.spaces.genotypes import parse_genotype
from untrained.training.cutout import cut_out
from untrained.training.loop import Examples
from untrained.training.recipe import Recipe

GENOTYPE = "PC_DARTS_cifar"
RECIPE = Recipe(epochs=4, batch_size=8, drop_path=0.4)


def prepare(images, generator):
    shown = images.transpose(0, 3, 1, 2).astype(np.float32) / 128 - 1
    return shown if generator is None else cut_out(shown, 8, generator)


def examples(count=20, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 100, (count, 32, 32, 3)) + 60 * (labels == 1)[:, None, None, None]
    return Examples(images.astype(np.uint8), labels, prepare)


def network(seed=0, auxiliary=True):
    torch.manual_seed(seed)
    genotype, skeleton = parse_genotype(GENOTYPE), Skeleton(3, 2)
    return GraphNetwork(network_graph(genotype, 3, skeleton, auxiliary=auxiliary))


def copied(state):
    """The tensors of a state dictionary as they are now."""
    if isinstance(state, torch.Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {name: copied(value) for name, value in state.items()}
    if isinstance(state, list):
        return [copied(value) for value in state]
    return state


def same(first, second):
    """Whether two nested states are equal bit by bit."""
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.fixture
def tf32_within():
    """Allow TF32, and return what a network adds to: whether it is allowed while it runs."""
    owners = torch.backends.cudnn, torch.backends.cuda.matmul
    before, seen = [one.allow_tf32 for one in owners], set()
    for one in owners:
        one.allow_tf32 = True

    def watch(network):
        def note(*_given):
            seen.add(tuple(one.allow_tf32 for one in owners))

        next(network.modules()).register_forward_pre_hook(note)
        convolution = next(one for one in network.modules() if isinstance(one, torch.nn.Conv2d))
        convolution.register_forward_pre_hook(note)
        return seen

    yield watch
    assert all(one.allow_tf32 for one in owners)
    for one, value in zip(owners, before, strict=True):
        one.allow_tf32 = value


@pytest.fixture
def few():
    return examples(12)

"""Short trainings against one written out, and against themselves with other stops."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from untrained.errors import ParameterError
from untrained.seeds import numpy_generator
from untrained.training.loop import Examples
from untrained.training.recipe import ShortRecipe, steps_of
from untrained.training.short import Diverged, train_shortly

from .conftest import copied, examples, prepare, same

CPU = torch.device("cpu")
RECIPE = ShortRecipe(batch_size=8)


class Net(nn.Module):
    """A convolution, a normalisation, dropped units and a classifier of 3 classes."""

    def __init__(self, seed=0, dropout=0.0):
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout)
        )
        self.classifier = nn.Linear(4, 3)

    def forward(self, x):
        return self.classifier(self.layers(x).mean((2, 3)))


def states(stops, net=None, shown=None, seed=0, recipe=RECIPE, **options):
    """Where the training stood and the network's state, at every stop."""
    net = net or Net()
    run = train_shortly(net, shown or examples(), stops, seed, CPU, recipe, **options)
    return [(stop, copied(dict(net.state_dict()))) for stop in run]


def slow_training(net, shown, recipe, seed, steps):
    """Cross-entropy, decay and momentum as formulas, one batch after the other; the losses."""
    velocity = {name: torch.zeros_like(value) for name, value in net.named_parameters()}
    losses, epoch = [], 0
    while True:
        changes = numpy_generator(seed, "augmentation of an epoch", epoch)
        order = numpy_generator(seed, "order of an epoch", epoch).permutation(len(shown.labels))
        for start in range(0, len(order), recipe.batch_size):
            if len(losses) == steps:
                return losses
            chosen = order[start : start + recipe.batch_size]
            net.train()
            logits = net(torch.from_numpy(shown.prepare(shown.images[chosen], changes)))
            chance = logits.exp() / logits.exp().sum(1, keepdim=True)
            loss = -sum(
                chance[row, int(label)].log() for row, label in enumerate(shown.labels[chosen])
            ) / len(chosen)
            net.zero_grad()
            loss.backward()
            with torch.no_grad():
                for name, p in net.named_parameters():
                    velocity[name] = (
                        recipe.momentum * velocity[name] + p.grad + recipe.weight_decay * p
                    )
                    p -= recipe.learning_rate * velocity[name]
            losses.append(loss.item())
        epoch += 1


def test_the_defaults_are_the_papers():
    found = ShortRecipe()
    assert (found.batch_size, found.learning_rate, found.momentum) == (1024, 0.025, 0.9)
    assert (found.weight_decay, found.crop_flip) == (3e-4, True)


@pytest.mark.parametrize("seed", [0, 7])
def test_a_training_follows_the_formulas(seed):
    recipe = replace(RECIPE, weight_decay=0.05, learning_rate=0.1)
    exact = replace(examples(), prepare=lambda *given: prepare(*given).astype(np.float64))
    fast, slow = Net().double(), Net().double()
    *_, (stop, _) = states([0.5, 2.4], fast, exact, seed, recipe)
    losses = slow_training(slow, exact, recipe, seed, stop.steps)
    assert stop.steps == 7  # of 3 an epoch
    assert stop.losses == pytest.approx(losses, rel=1e-9)
    for (name, found), expected in zip(fast.named_parameters(), slow.parameters(), strict=True):
        assert torch.allclose(found, expected, rtol=1e-9, atol=1e-12), name
    assert torch.allclose(fast.layers[1].running_mean, slow.layers[1].running_mean)


@pytest.mark.parametrize(
    ("epochs", "per_epoch", "steps"),
    [(0, 20, 0), (0.5, 20, 10), (1, 20, 20), (0.5, 3, 2), (2.4, 3, 7), (1e-9, 20, 1), (3, 2, 6)],
)
def test_epochs_are_rounded_to_steps(epochs, per_epoch, steps):
    assert steps_of(epochs, per_epoch) == steps


@pytest.mark.parametrize("epochs", [-1, math.nan, math.inf])
def test_epochs_that_are_none(epochs):
    with pytest.raises(ParameterError, match=r"epochs of training: 0 to 1000$"):
        steps_of(epochs, 20)


@pytest.mark.parametrize(
    ("images", "per_step"),
    [
        *[(20_000, 1024), (16_384, 1024), (16_383, 1023), (1792, 112), (1024, 64)],
        *[(1000, 64), (128, 64), (100, 50), (5, 2), (3, 2), (2, 2)],
    ],
)
def test_an_epoch_of_a_small_set_has_several_steps(images, per_step):
    assert ShortRecipe().batch_size_for(images) == per_step


def test_other_stops_change_nothing():
    whole = states([1, 2], Net(dropout=0.5))
    often = states([0, 0.4, 1, 1.5, 2], Net(dropout=0.5))
    assert [stop.steps for stop, _ in often] == [0, 1, 3, 5, 6]
    assert same([state for _, state in whole], [often[2][1], often[4][1]])
    assert [stop.losses for stop, _ in whole] == [often[2][0].losses, often[4][0].losses]
    assert len(often[1][0].losses) == 1
    assert same(often[0][1], dict(Net().state_dict()))


def test_what_happens_at_a_stop_changes_nothing():
    net, read = Net(dropout=0.5), Net(dropout=0.5)
    expected = states([1, 2], net)[-1][1]
    for _ in train_shortly(read, examples(), [1, 2], 0, CPU, RECIPE):
        assert read.training
        assert all(p.grad is None for p in read.parameters())
        read.eval()
        read(torch.zeros(2, 3, 32, 32)).sum().backward()
        torch.rand(5)
    assert same(dict(read.state_dict()), expected)


def test_a_seed_says_everything_and_the_generators_of_others_are_left_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    nets = [Net(dropout=0.5) for _ in range(3)]
    torch.manual_seed(11)
    first = states([1.5], nets[0], seed=3)[0][1]
    assert torch.equal(torch.rand(3), expected)
    assert same(first, states([1.5], nets[1], seed=3)[0][1])
    assert not same(first, states([1.5], nets[2], seed=4)[0][1])


def test_units_are_dropped_anew_in_every_step():
    net, masks = Net(dropout=0.5), set()
    net.layers[2] = nn.Softplus()  # so that only what is dropped is 0
    net.layers.register_forward_hook(
        lambda _m, _x, out: masks.add((out[:4] == 0).numpy().tobytes())
    )
    states([2], net)
    assert len(masks) == 6


def test_a_network_learns_what_can_be_learned():
    ((stop, _),) = states([12], recipe=replace(RECIPE, learning_rate=0.1))
    assert np.mean(stop.losses[-3:]) < 0.8 * np.mean(stop.losses[:3])
    assert stop.seconds > 0


def test_frozen_parameters_stay():
    net = Net()
    net.classifier.requires_grad_(requires_grad=False)
    before, first = net.classifier.weight.clone(), net.layers[0].weight.clone()
    states([1], net)
    assert torch.equal(net.classifier.weight, before)
    assert not torch.equal(net.layers[0].weight, first)


def test_bfloat16_is_near_and_keeps_the_weights_precise():
    exact, net = states([2])[0], Net()
    seen, last = set(), torch.channels_last
    net.layers[0].register_forward_hook(
        lambda _m, x, out: seen.add((out.dtype, x[0].is_contiguous(memory_format=last)))
    )
    rounded = states(
        [2], net.to(memory_format=torch.channels_last), dtype=torch.bfloat16,
        memory_format=torch.channels_last,
    )[0]  # fmt: skip
    assert seen == {(torch.bfloat16, True)}
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert rounded[0].losses == pytest.approx(exact[0].losses, rel=0.02)
    assert rounded[0].losses != exact[0].losses


def test_a_block_without_gradients_around_it_does_not_matter():
    with torch.no_grad():
        first = states([1])[0][1]
    assert same(first, states([1])[0][1])
    assert not same(first, dict(Net().state_dict()))


def test_a_training_that_diverges_says_when():
    with pytest.raises(Diverged, match=r"^the loss became (nan|inf) in epoch [23]$"):
        states([5], recipe=replace(RECIPE, learning_rate=1e6, weight_decay=1e3))
    net = Net()
    nn.init.constant_(net.classifier.bias, float("inf"))
    with pytest.raises(Diverged, match=r"^the loss became nan in epoch 1$"):
        states([1], net)


def test_earlier_stops_come_before_the_divergence():
    recipe, seen = replace(RECIPE, learning_rate=1e6, weight_decay=1e3), []
    stops = train_shortly(Net(), examples(), [0, 0.1, 5], 0, CPU, recipe)
    with pytest.raises(Diverged):
        seen.extend(stop.epochs for stop in stops)
    assert seen == [0, 0.1]


def test_the_last_step_may_diverge_too():
    class Steep(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return (self.weight * 1e30).expand(len(x), 3) * x.mean()

    with pytest.raises(Diverged, match=r"^a weight is not finite after epoch 1$"):
        states([0.1], Steep(), recipe=replace(RECIPE, learning_rate=1e30))


class Tuple(Net):
    def forward(self, x):
        return super().forward(x), x


class Maps(Net):
    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (Tuple(), r"^Tuple maps 8 images to a tuple: training needs logits \(8, classes\)$"),
        (Maps(), r"^Maps maps 8 images to \(8, 4, 15, 15\): training needs logits"),
    ],
)
def test_networks_without_logits(net, said):
    with pytest.raises(ParameterError, match=said):
        states([1], net)


def test_the_only_tensor_of_an_output_has_the_logits():
    class Alone(Net):
        def forward(self, x):
            return super().forward(x), None

    nets = [Net(), Alone()]
    nets[1].load_state_dict(nets[0].state_dict())
    ((first, _),), ((second, _),) = (states([1], net) for net in nets)
    assert first.losses == second.losses


@pytest.mark.parametrize("missing", [1, 5])
def test_labels_that_the_network_has_not(missing):
    few = examples()
    more = Examples(few.images, few.labels + missing, prepare)
    said = rf"^Net has 3 logits: the labels need {3 + missing}$"
    with pytest.raises(ParameterError, match=said):
        states([1], shown=more)


@pytest.mark.parametrize(("late", "epoch"), [(-1, 1), (0, 2), (1, 2)])
def test_the_epoch_of_a_divergence(late, epoch):
    ((first, _),) = states([1])

    class Fails(Net):
        left = first.steps + late

        def forward(self, x):
            self.left -= 1
            return super().forward(x) * (1 if self.left >= 0 else math.inf)

    with pytest.raises(Diverged, match=rf"^the loss became nan in epoch {epoch}$"):
        states([3], Fails())


def test_the_epoch_of_a_weight_that_is_lost_at_the_end_of_one():
    ((first, _),) = states([1])

    class Fails(Net):
        left = first.steps

        def forward(self, x):
            self.left -= 1
            logits = super().forward(x)
            if not self.left and logits.requires_grad:
                logits.register_hook(lambda gradient: gradient * math.inf)
            return logits

    with pytest.raises(Diverged, match=r"^a weight is not finite after epoch 1$"):
        states([1], Fails())


def test_wrong_stops_and_sets():
    with pytest.raises(ParameterError, match=r"^stops after 2, 1 epochs: not ascending$"):
        states([2, 1])
    few = examples()
    with pytest.raises(ParameterError, match=r"^1 training images: 2 or more$"):
        states([1], shown=Examples(few.images[:1], few.labels[:1], prepare))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 1}, "batch_size is 1: 2 or more"),
        ({"learning_rate": 0}, "learning_rate is 0: above 0"),
        ({"momentum": 1}, "momentum is 1: 0 or more and below 1"),
        ({"weight_decay": -1}, "weight_decay is -1: 0 or more"),
    ],
)
def test_settings_outside_their_range(change, said):
    with pytest.raises(ParameterError, match=f"^{said}$"):
        ShortRecipe(**change)


def test_steps_can_be_watched():
    seen = []

    def watch(steps, count):
        for step in steps:
            seen.append((step, count))
            yield step
        seen.append("done")

    states([0.5, 1], watch=watch)
    assert seen == [(0, 3), (1, 3), (2, 3), "done"]


def test_nothing_is_trained_in_tf32(tf32_within):
    net = Net()
    seen = tf32_within(net)
    states([0.5], net)
    assert seen == {(False, False)}

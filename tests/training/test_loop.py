"""The training against one written out, and against itself when it is interrupted."""

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from torch import nn

from untrained.errors import ParameterError
from untrained.seeds import numpy_generator, torch_seeded
from untrained.training.loop import Examples, OtherNetwork, State, accuracy_of, batches_of, train
from untrained.training.recipe import Recipe

from .conftest import RECIPE, copied, examples, network, prepare, same

CPU = torch.device("cpu")


def snapshots(*arguments, **options):
    """The state after each epoch, copied; epochs without their seconds."""
    return [
        ([astuple(replace(epoch, seconds=0)) for epoch in state.epochs],
         copied(dict(state.network)), copied(dict(state.optimiser)))
        for state in train(*arguments, CPU, **options)
    ]  # fmt: skip


def slow_training(net, shown, recipe, seed):
    """Softmax, cross-entropy, clipping, decay and momentum as formulas; the loss of each epoch."""
    velocity = {name: torch.zeros_like(value) for name, value in net.named_parameters()}
    losses = []
    for epoch in range(recipe.epochs):
        rate = recipe.learning_rate * 0.5 * (1 + np.cos(np.pi * epoch / recipe.epochs))
        net.drop_path = recipe.drop_path * epoch / recipe.epochs
        changes = numpy_generator(seed, "augmentation of an epoch", epoch)
        order = numpy_generator(seed, "order of an epoch", epoch).permutation(len(shown.labels))
        total = 0.0
        net.train()
        with torch_seeded(seed, "dropped edges of an epoch", epoch):
            for start in range(0, len(order), recipe.batch_size):
                chosen = order[start : start + recipe.batch_size]
                both = net.logits_of_both(
                    torch.from_numpy(shown.prepare(shown.images[chosen], changes))
                )
                loss = 0.0
                for logits, weight in zip(both, (1, recipe.auxiliary_weight), strict=True):
                    exponential = logits.exp()
                    chance = exponential / exponential.sum(1, keepdim=True)
                    picked = chance[
                        torch.arange(len(chosen)), torch.from_numpy(shown.labels[chosen])
                    ]
                    loss = loss - weight * picked.log().mean()
                    if weight == 1:
                        total += loss.item() * len(chosen)
                net.zero_grad()
                loss.backward()
                norm = sum((p.grad**2).sum() for p in net.parameters()).sqrt()
                factor = min(1, recipe.gradient_clip / (norm.item() + 1e-6))  # as PyTorch has it
                with torch.no_grad():
                    for name, p in net.named_parameters():
                        change = p.grad * factor + recipe.weight_decay * p
                        velocity[name] = recipe.momentum * velocity[name] + change
                        p -= rate * velocity[name]
        losses.append(total / len(order))
    return losses


@pytest.mark.parametrize("clip", [5.0, 0.05])
def test_a_training_follows_the_formulas(few, clip):
    recipe = replace(RECIPE, gradient_clip=clip, epochs=2, weight_decay=0.05)
    exact = replace(few, prepare=lambda *given: prepare(*given).astype(np.float64))
    fast, slow = network().double(), network().double()
    *_, last = train(fast, exact, recipe, 7, CPU)
    losses = slow_training(slow, exact, recipe, 7)
    assert [epoch.loss for epoch in last.epochs] == pytest.approx(losses, rel=1e-6)
    for (name, found), expected in zip(fast.named_parameters(), slow.parameters(), strict=True):
        assert torch.allclose(found, expected, rtol=1e-6, atol=1e-8), name


def test_an_epoch_says_what_it_did(few):
    *_, last = train(network(), few, RECIPE, 0, CPU, held_out=examples(9, 1), evaluate_every=3)
    assert [epoch.epoch for epoch in last.epochs] == [1, 2, 3, 4]
    assert last.epochs[0].learning_rate == 0.025
    assert [epoch.drop_path for epoch in last.epochs] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert [epoch.accuracy is not None for epoch in last.epochs] == [False, False, True, True]
    assert all(epoch.seconds > 0 for epoch in last.epochs)


def test_a_network_learns_what_can_be_learned():
    recipe = replace(RECIPE, epochs=12, drop_path=0, learning_rate=0.1)
    shown = examples(20)
    *_, last = train(network(), shown, recipe, 0, CPU, held_out=shown)
    ones = 100 * np.mean(shown.labels == 1)
    assert last.epochs[-1].loss < 0.8 * last.epochs[0].loss
    assert last.epochs[-1].accuracy > max(ones, 100 - ones)


def test_a_seed_says_everything_and_the_generators_of_others_are_left_alone(few):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    nets = [network(), network(), network()]
    torch.manual_seed(11)
    first = snapshots(nets[0], few, RECIPE, 3)
    assert torch.equal(torch.rand(3), expected)
    assert same(first, snapshots(nets[1], few, RECIPE, 3))
    assert not same(first, snapshots(nets[2], few, RECIPE, 4))


@pytest.mark.parametrize("after", [1, 3])
def test_a_resumed_training_is_the_uninterrupted_one(few, after):
    whole = snapshots(network(), few, RECIPE, 5)
    steps = train(network(), few, RECIPE, 5, CPU)
    for _ in range(after):
        state = next(steps)
    begun = State(state.epochs, copied(dict(state.network)), copied(dict(state.optimiser)))
    rest = snapshots(network(seed=99), few, RECIPE, 5, begun=begun)
    assert len(rest) == RECIPE.epochs - after
    assert same(rest, whole[after:])


def test_the_momentum_is_a_part_of_what_is_resumed(few):
    """Or the test above could not fail."""
    whole = snapshots(network(), few, RECIPE, 5)
    state = next(train(network(), few, RECIPE, 5, CPU))
    forgotten = copied(dict(state.optimiser)) | {"state": {}}
    begun = State(state.epochs, copied(dict(state.network)), forgotten)
    assert not same(snapshots(network(), few, RECIPE, 5, begun=begun), whole[1:])


def test_a_training_that_is_done_yields_nothing(few):
    *_, state = train(network(), few, RECIPE, 5, CPU)
    assert list(train(network(), few, RECIPE, 5, CPU, begun=state)) == []


def test_the_state_of_another_network_is_no_start(few):
    *_, state = train(network(), few, replace(RECIPE, epochs=1), 5, CPU)
    with pytest.raises(OtherNetwork):
        list(train(network(auxiliary=False), few, RECIPE, 5, CPU, begun=state))


def test_batches_hold_every_image_once_in_a_new_order():
    for epoch in range(3):
        batches = batches_of(50, 8, 1, epoch)
        assert [len(batch) for batch in batches] == [8] * 6 + [2]
        assert sorted(np.concatenate(batches).tolist()) == list(range(50))
    orders = {tuple(np.concatenate(batches_of(50, 8, 1, epoch))) for epoch in range(5)}
    assert len(orders) == 5
    assert [len(batch) for batch in batches_of(17, 8, 0, 0)] == [8, 8]  # one would be alone


def test_an_accuracy_is_that_of_single_images_in_evaluation_mode(few):
    net, shown = network(), examples(90, 2)
    list(train(net, few, replace(RECIPE, epochs=2), 0, CPU))
    net.drop_path = 0.9
    net.train()
    found = accuracy_of(net, shown, CPU)
    assert not net.training
    net.eval()
    right = 0
    for image, label in zip(shown.images, shown.labels, strict=True):
        with torch.no_grad():
            logits = net(torch.from_numpy(prepare(image[None], None)))
        right += int(logits.argmax()) == label
    assert found == pytest.approx(100 * right / 90)


def test_images_of_several_pieces_are_evaluated(monkeypatch):
    net, shown = network(), examples(30, 2)
    whole = accuracy_of(net, shown, CPU)
    monkeypatch.setattr("untrained.training.loop.EVALUATED_AT_ONCE", 7)
    assert accuracy_of(net, shown, CPU) == whole


def test_a_training_that_diverges_is_stopped(few):
    net = network()
    nn.init.constant_(net.classifier.bias, float("inf"))
    with pytest.raises(ParameterError, match=r"^the loss became nan in epoch 1 at learning_rate 0"):
        list(train(net, few, RECIPE, 0, CPU))


def test_one_image_is_too_few(few):
    one = Examples(few.images[:1], few.labels[:1], prepare)
    with pytest.raises(ParameterError, match=r"^1 training images: 2 or more$"):
        list(train(network(), one, Recipe(), 0, CPU))


def test_steps_can_be_watched(few):
    seen = []

    def watch(steps, epoch, count):
        for number, step in enumerate(steps, start=1):
            seen.append((epoch, number, count))
            yield step

    list(train(network(), few, replace(RECIPE, epochs=2), 0, CPU, watch=watch))
    assert seen == [(epoch, number, 2) for epoch in (1, 2) for number in (1, 2)]


def test_nothing_is_trained_or_judged_in_tf32(few, tf32_within):
    net = network()
    seen = tf32_within(net)
    assert len(snapshots(net, few, replace(RECIPE, epochs=1), 0)) == 1
    assert seen == {(False, False)}
    seen.clear()
    accuracy_of(net, few, CPU)
    assert seen == {(False, False)}

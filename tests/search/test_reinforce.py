"""REINFORCE against PyTorch's own gradient and Adam."""

import numpy as np
import pytest
import torch

from untrained.errors import ParameterError
from untrained.search.base import BudgetSpent
from untrained.search.choices import choices_of
from untrained.search.reinforce import Reinforce, softmax

from .conftest import Trainer
from .test_choices import Spelled


def slow_reinforce(space, accuracy, rng, rate, decay, start, limit):
    """The authors' loop in their terms: a policy, log-probabilities, a loss and an optimiser."""
    choices = choices_of(space)
    widest = int(choices.sizes.max())
    initial = 1e-3 * rng.standard_normal((len(choices.sizes), widest))
    policy = [
        torch.tensor(row[:size], requires_grad=True)
        for row, size in zip(initial, choices.sizes, strict=True)
    ]
    optimiser = torch.optim.Adam(policy, lr=rate)
    asked, rewards = [], []
    while len(asked) < limit:
        chances = [torch.softmax(row, 0) for row in policy]
        if len(asked) < len(start):
            action = choices.codes[start[len(asked)].index]
        else:
            action = []
            for row, threshold in zip(chances, rng.random(len(policy)), strict=True):
                option, total = 0, row[0].item()
                while total <= threshold and option < len(row) - 1:
                    option += 1
                    total += row[option].item()
                action.append(option)
        index = choices.index(np.array(action))
        asked.append(index)
        if accuracy[index] == -np.inf and not rewards:
            continue
        rewards.append(min(rewards) if accuracy[index] == -np.inf else accuracy[index])
        ages = np.arange(len(rewards))[::-1]
        baseline = np.average(rewards, weights=decay**ages)
        log_probability = sum(torch.log(row[a]) for row, a in zip(chances, action, strict=True))
        optimiser.zero_grad()
        (-log_probability * (rewards[-1] - baseline)).backward()
        optimiser.step()
    return asked


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("rate", "decay"), [(0.01, 0.9), (0.3, 0.5)])
@pytest.mark.parametrize("started", [0, 5])
def test_it_learns_as_pytorch_does(toy, trainings, ask, seed, rate, decay, started):
    start = [toy[index] for index in range(started)]
    rng = np.random.default_rng(seed)
    expected = slow_reinforce(toy, trainings.accuracy, rng, rate, decay, start, 80)
    assert ask(Reinforce(rate, decay), 80, seed, start).asked == expected


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.2, 0.7, 1.0])
@pytest.mark.parametrize("started", [0, 5])
def test_an_undefined_fitness_is_worth_the_worst_so_far(toy, trainings, seed, share, started):
    rng = np.random.default_rng(seed)
    fitness = np.where(rng.random(81) < share, -np.inf, trainings.accuracy)
    start = [toy[index] for index in range(started)]
    trainer = Trainer(fitness, 80)
    with pytest.raises(BudgetSpent):
        Reinforce(0.3)(toy, trainer, np.random.default_rng(seed), start)
    expected = slow_reinforce(toy, fitness, np.random.default_rng(seed), 0.3, 0.9, start, 80)
    assert trainer.asked == expected


def test_decisions_may_differ_in_their_number_of_options():
    space = Spelled([f"{a}:{b}" for a in (8, 16) for b in (8, 16, 24)])
    accuracy = np.arange(6.0)
    trainer = Trainer(accuracy, 60)
    with pytest.raises(BudgetSpent):
        Reinforce(0.3)(space, trainer, np.random.default_rng(0))
    expected = slow_reinforce(space, accuracy, np.random.default_rng(0), 0.3, 0.9, [], 60)
    assert trainer.asked == expected


def test_it_comes_to_prefer_what_is_rewarded(trainings, ask):
    asked = ask(Reinforce(0.1), 400).asked
    assert trainings.accuracy[asked[-50:]].mean() > trainings.accuracy[asked[:50]].mean() + 10


def test_an_option_that_does_not_exist_has_no_probability():
    found = softmax(np.array([[0.0, 0.0, -np.inf], [1e3, 0.0, 0.0]]))
    np.testing.assert_array_equal(found, [[0.5, 0.5, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"learning_rate": 0}, "learning_rate=0: above 0, to 1e6"),
        ({"baseline_decay": 1.0}, "baseline_decay=1.0: 0 to below 1"),
        ({"initial_spread": -1}, "initial_spread=-1: 0 to 1e6"),
    ],
)
def test_settings_outside_their_range(settings, said):
    with pytest.raises(ParameterError, match=f"^{said}$"):
        Reinforce(**settings)

"""A space small enough to see through, and a trainer that writes down what it is asked."""

import numpy as np
import pandas as pd
import pytest

from untrained.search.base import BudgetSpent
from untrained.search.clock import Trainings
from untrained.search.pool import TRACE_COLUMNS
from untrained.seeds import numpy_generator
from untrained.spaces.base import Architecture

OPTIONS = ("low", "middle", "high")


class ToySpace:
    """Four decisions of three options each, and an order of its own."""

    name = "toy"

    def __init__(self):
        self.order = np.random.default_rng(3).permutation(81)
        self.place = np.argsort(self.order)

    def __len__(self):
        return 81

    def __getitem__(self, index):
        digits = self.digits(index)
        return Architecture("toy", index, ":".join(OPTIONS[digit] for digit in digits))

    def digits(self, index):
        code = int(self.order[index])
        return [code // 27, code // 9 % 3, code // 3 % 3, code % 3]

    def with_digits(self, digits):
        code = ((digits[0] * 3 + digits[1]) * 3 + digits[2]) * 3 + digits[3]
        return self[int(self.place[code])]

    def sample(self, rng):
        return self[int(rng.integers(81))]

    def mutate(self, architecture, rng):
        digits = self.digits(architecture.index)
        where = int(rng.integers(4))
        digits[where] = (digits[where] + int(rng.integers(1, 3))) % 3
        return self.with_digits(digits)


class Trainer:
    """Answers from a table, remembers every question, and stops after `limit` of them."""

    def __init__(self, accuracy, limit):
        self.accuracy = accuracy
        self.limit = limit
        self.asked = []
        self.shares = []
        self.lengths = []

    def __call__(self, architecture, share=1.0, length=1.0):
        if len(self.asked) == self.limit:
            raise BudgetSpent
        self.asked.append(architecture.index)
        self.shares.append(share)
        self.lengths.append(length)
        return float(self.accuracy[architecture.index])


def slow_trace(space, algorithm, answer_of, budget, runs, seed, guide=None):
    """The trace of a plain loop over runs, which answers, charges and keeps the best.

    `answer_of(run)` maps the index of an architecture to its fitness and its seconds.
    """
    rows = []
    for number in runs:
        answer, start, best, steps, spent = answer_of(number), [], None, 0, 0.0

        def evaluate(architecture, share=1.0, length=1.0, answer=answer, number=number):
            nonlocal best, steps, spent
            fitness, seconds = answer(architecture.index)
            if steps == budget.evaluations or spent + share * seconds > budget.seconds:
                raise BudgetSpent
            spent += share * seconds
            steps += 1
            if best is None or (length, fitness) > best[:2]:
                best = (length, fitness, architecture.index)
                rows.append((number, "", steps, best[2], fitness, spent, False))
            return fitness

        if guide is not None:
            rng = numpy_generator(seed, "scored start", number)
            start = guide.start(space, guide.pool.of_run(number), rng, lambda _: None)
            spent = guide.scored * guide.pool.seconds_per_score
        with pytest.raises(BudgetSpent):
            algorithm(space, evaluate, numpy_generator(seed, "search", number), start)
        rows.append((number, "", steps, best[2], best[1], spent, True))
    trace = pd.DataFrame(rows, columns=list(TRACE_COLUMNS))
    return trace.replace({"fitness": {-np.inf: np.nan}})


@pytest.fixture(scope="session")
def toy():
    return ToySpace()


@pytest.fixture(scope="session")
def trainings(toy):
    """Accuracies with ties, and trainings of 1 to 3 s."""
    rng = np.random.default_rng(0)
    accuracy = np.array([float(10 * sum(toy.digits(index))) for index in range(81)])
    accuracy[rng.integers(81, size=9)] -= 15.0
    return Trainings("toy", accuracy, rng.uniform(1, 3, size=81))


@pytest.fixture
def ask(toy, trainings):
    """Run an algorithm for `limit` evaluations; the trainer."""

    def run(algorithm, limit, seed=0, start=()):
        trainer = Trainer(trainings.accuracy, limit)
        with pytest.raises(BudgetSpent):
            algorithm(toy, trainer, np.random.default_rng(seed), start)
        return trainer

    return run

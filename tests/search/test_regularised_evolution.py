"""Random search and regularised evolution against plain loops over lists."""

import numpy as np
import pytest

from untrained.errors import ParameterError
from untrained.search.area import Area
from untrained.search.random_search import RandomSearch
from untrained.search.regularised_evolution import RegularisedEvolution


def slow_evolution(space, accuracy, rng, population, sample, replacement, start, limit):
    """Algorithm 1 of Real et al. with every member ever, the alive ones at the end."""
    history = list(start[:population])
    while len(history) < population:
        history.append(space.sample(rng))
    while len(history) < limit:
        alive = history[len(history) - population :]
        competitors = [alive[one] for one in rng.choice(population, sample, replace=replacement)]
        parent = competitors[0]
        for competitor in competitors:
            if accuracy[competitor.index] > accuracy[parent.index]:
                parent = competitor
        history.append(space.mutate(parent, rng))
    return [architecture.index for architecture in history[:limit]]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("population", "sample"), [(10, 3), (1, 1), (5, 5)])
@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("started", [0, 4, 12])
def test_evolution_is_the_slow_loop(
    toy, trainings, ask, seed, population, sample, replacement, started
):
    start = [toy[index] for index in range(started)]
    algorithm = RegularisedEvolution(population, sample, replacement)
    rng = np.random.default_rng(seed)
    expected = slow_evolution(
        toy, trainings.accuracy, rng, population, sample, replacement, start, 60
    )
    assert ask(algorithm, 60, seed, start).asked == expected


def test_more_may_compete_than_live_where_they_are_drawn_twice(ask):
    assert len(ask(RegularisedEvolution(2, 5), 30).asked) == 30


def test_area_is_evolution_that_starts_scored_and_draws_no_parent_twice(toy, ask):
    start = [toy[index] for index in range(10)]
    plain = RegularisedEvolution(replacement=False)
    assert ask(Area(), 60, 0, start).asked == ask(plain, 60, 0, start).asked
    assert Area.starts_scored
    assert not RegularisedEvolution.starts_scored


def test_random_search_trains_what_it_draws(toy, ask):
    rng = np.random.default_rng(4)
    expected = [8, 9] + [toy.sample(rng).index for _ in range(28)]
    assert ask(RandomSearch(), 30, 4, [toy[8], toy[9]]).asked == expected


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"population": 0}, "population=0: 1 to 1000000"),
        ({"sample": 0}, "sample=0: 1 to 100000"),
        ({"sample": 11, "replacement": False}, "sample=11: 1 to 10, the population"),
    ],
)
def test_settings_outside_their_range(settings, said):
    with pytest.raises(ParameterError, match=f"^{said}$"):
        RegularisedEvolution(**settings)

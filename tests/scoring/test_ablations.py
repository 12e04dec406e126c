import dataclasses
import itertools

import numpy as np
import pytest
import torch
from tests.asking import request, score_architectures

from untrained.errors import ParameterError, UnknownNameError
from untrained.proxies import get_proxy
from untrained.scoring.ablations import (
    BINS,
    EXPERIMENTS,
    AblationSettings,
    BinnedCell,
    ablate,
    binned_cells,
    check_untrained,
    requests_of,
    scored_rows,
)
from untrained.scoring.execution import Execution
from untrained.scoring.images import MinibatchSettings
from untrained.scoring.request import parse_reading

pytestmark = pytest.mark.usefixtures("short_networks")

IMAGES = MinibatchSettings("cifar100", batch_size=6)
SETTINGS = AblationSettings(
    repeats=3, batch_sizes=(4, 8), cells=5, minibatches=2, initialisations=3, seed=7
)


@pytest.fixture(scope="module")
def accuracy(benchmark_table):
    return benchmark_table.accuracies("cifar100", "x-test")


def design_of(experiment, images=IMAGES):
    return EXPERIMENTS[experiment].design(images, SETTINGS)


def requests(space, experiment, proxy="naswot", images=IMAGES):
    one = request(space, [proxy], images, 0, Execution())
    return requests_of(design_of(experiment, images), one)


def scores(space, archs, minibatch_seed, weight_seeds, proxy="naswot", engine="auto"):
    how = Execution(engine=engine, precision="float32")
    asked = request(space, [proxy], IMAGES, 0, how)
    asked = dataclasses.replace(asked, minibatch_seed=minibatch_seed, seeds=weight_seeds)
    return [row[-2] for row in scored_rows("any", asked, list(map(BinnedCell, archs)))]


def test_one_cell_of_every_bin(accuracy):
    cells = binned_cells(accuracy, seed=0)
    assert len(cells) == BINS == 10
    assert cells[0].low == 50
    assert cells[-1].high == accuracy.max()
    widths = {round(cell.high - cell.low, 9) for cell in cells}
    assert widths == {round((accuracy.max() - 50) / 10, 9)}
    for lower, upper in itertools.pairwise(cells):
        assert lower.high == upper.low
    for cell in cells:
        assert cell.low <= accuracy[cell.arch] <= cell.high


def test_the_seed_draws_the_cells(accuracy):
    assert binned_cells(accuracy, 3) == binned_cells(accuracy, 3)
    assert binned_cells(accuracy, 3) != binned_cells(accuracy, 4)


def test_every_member_of_a_bin_is_drawn_and_edges_belong_to_one():
    """By counting: bins from 50 to 60, one point wide."""
    accuracy = np.array([np.nan, 49.9, *np.arange(50, 60.5, 0.5)])
    members = {number: set() for number in range(10)}
    for seed in range(60):
        for number, cell in enumerate(binned_cells(accuracy, seed)):
            members[number].add(float(accuracy[cell.arch]))
    expected = {number: {50.0 + number, 50.5 + number} for number in range(10)}
    expected[9].add(60.0)  # the best closes the last bin
    assert members == expected


@pytest.mark.parametrize(
    ("accuracy", "said"),
    [
        ([10.0, 50.0, np.nan], r"the best accuracy is 50\.00 %: the bins start at 50 %"),
        ([50.5, 60.0], r"no cell has an accuracy from 51\.00 to 52\.00 %"),
    ],
)
def test_bins_without_a_cell_are_named(accuracy, said):
    with pytest.raises(ParameterError, match=said):
        binned_cells(np.array(accuracy), 0)


@pytest.mark.parametrize(
    ("experiment", "datasets", "sizes", "minibatch_seeds", "weight_seeds"),
    [
        ("minibatch", {"cifar100"}, {6}, {0, 1, 2}, {0}),
        ("noise", {"noise"}, {6}, {0, 1, 2}, {0}),
        ("initialisation", {"cifar100"}, {6}, {0}, {0, 1, 2}),
        ("batch-size", {"cifar100"}, {4, 8}, {0, 1, 2}, {0}),
        ("variance", {"cifar100"}, {6}, {0, 1}, {0, 1, 2}),
    ],
)
def test_an_experiment_varies_one_thing(
    space, experiment, datasets, sizes, minibatch_seeds, weight_seeds
):
    found = requests(space, experiment, images=dataclasses.replace(IMAGES, split="train"))
    assert len(found) == len(sizes) * len(minibatch_seeds)
    splits = {"sample"} if experiment == "noise" else {"train"}
    assert {one.images.split for one in found} == splits
    assert {one.images.dataset for one in found} == datasets
    assert {one.images.batch_size for one in found} == sizes
    assert {one.minibatch_seed for one in found} == minibatch_seeds
    assert {one.seeds for one in found} == {tuple(weight_seeds)}
    assert design_of(experiment).binned == (experiment != "variance")


def test_the_size_of_the_minibatch_is_that_of_the_experiment(space):
    """Whatever the proxy's own is; crops keep their number."""
    found = requests(space, "batch-size", "ntk_condition_number")
    assert [one.proxies[0].setting.images for one in found] == [4, 4, 4, 8, 8, 8]
    (crops,) = requests(space, "initialisation", "linear_regions")
    assert str(crops.proxies[0]) == "linear_regions"


def test_a_minibatch_is_drawn_once(space, monkeypatch):
    drawn, draw = [], MinibatchSettings.draw
    monkeypatch.setattr(
        MinibatchSettings, "draw", lambda self, *given: drawn.append(self) or draw(self, *given)
    )
    scores(space, [45, 1462], 1, (0, 1))
    assert len(drawn) == 1


@pytest.mark.parametrize("proxy", ["naswot", "naswot-released"])
@pytest.mark.parametrize("engine", ["auto", "plain"])
def test_equal_seeds_give_the_scores_of_the_engine(space, proxy, engine):
    how = Execution(engine=engine, precision="float32")
    expected = [
        score.score
        for seed in (0, 1)
        for score in score_architectures(space, [45, 1462], get_proxy(proxy), IMAGES, seed, how)
    ]
    first, second = (scores(space, [45, 1462], s, (s,), proxy, engine) for s in (0, 1))
    assert [*first, *second] == expected


def test_seeds_of_minibatch_and_weights_act_apart(space):
    """Against the slow way: draw the images, build the network, read the proxy."""
    from untrained.seeds import torch_seeded

    pairs = [(0, 0), (0, 1), (1, 0), (1, 1)]
    found = scores(space, [1462], 0, (0, 1)) + scores(space, [1462], 1, (0, 1))
    assert len(set(found)) == 4
    for (minibatch_seed, weight_seed), score in zip(pairs, found, strict=True):
        batch = IMAGES.draw(minibatch_seed, torch.device("cpu"))
        with torch_seeded(weight_seed, "weights", 1462):
            network = space.network(space[1462], 100).train()
        slow = get_proxy("naswot")(network, batch, torch.Generator())
        # another memory layout adds in another order, so a few units flip
        assert score == pytest.approx(slow, rel=1e-4)


def test_an_undefined_score_has_a_status(space):
    none = space.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|").index
    asked = request(space, ["naswot"], IMAGES, 0, Execution())
    (row,) = scored_rows("noise", asked, [BinnedCell(none)])
    assert row[-2:] == (None, "disconnected")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"repeats": 1}, "repeats is 1: a spread needs 2 or more"),
        ({"cells": 0}, "cells is 0"),
        ({"minibatches": 1}, "minibatches is 1"),
        ({"initialisations": -3}, "initialisations is -3"),
        ({"batch_sizes": ()}, "batch sizes are empty"),
        ({"batch_sizes": (32, 64, 32)}, "batch sizes are 32, 64, 32: one or more, each once"),
    ],
)
def test_settings_out_of_range(settings, said):
    with pytest.raises(ParameterError, match=said):
        AblationSettings(**settings)


def test_an_unknown_experiment():
    with pytest.raises(UnknownNameError, match="did you mean 'noise'"):
        ablate("nasbench201", experiments=["nosie"])


def test_nothing_is_trained():
    with pytest.raises(ParameterError, match=r"^'lga@1' is read after training, and ablations "):
        check_untrained(parse_reading("lga@1"))

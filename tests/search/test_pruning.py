"""The pruning search against rounds written out, its ranks, and what it refuses."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from tests.networks.test_supernets import SMALL, THIN, single

from untrained.errors import ParameterError, UnknownNameError
from untrained.images.minibatches import normalise
from untrained.images.sets import image_set
from untrained.images.splits import training_set
from untrained.search import measurements
from untrained.search.measurements import Draw, relative_changes
from untrained.search.pruning import Pruning, _key, _measuring, prune
from untrained.search.rounds import dense_ranks
from untrained.search.supernets import Candidate, PrunedSpace, candidates_of, pruned_space
from untrained.spaces import get_space
from untrained.spaces.nasbench201 import EDGES, OPERATIONS, operations_of

SPACE = pruned_space("nasbench201")
CROPS = measurements.CROPS
FAST = Pruning(repeats=2, batch_size=4, dataset="noise", device="cpu")


def plain_kappa(network, images):
    """One backward pass per image, of what has a gradient and "weight" in its name."""
    rows = []
    for one in network(images).sum(1):
        network.zero_grad()
        one.backward(retain_graph=True)
        rows.append(
            torch.cat(
                [
                    p.grad.flatten().double()
                    for name, p in network.named_parameters()
                    if "weight" in name and p.grad is not None
                ]
            )
        )
    gradients = torch.stack(rows)
    eigenvalues = np.linalg.eigvalsh((gradients @ gradients.T).numpy())
    return eigenvalues[-1] / eigenvalues[0]


def plain_regions(network, crops):
    """A set of tuples: the signs of whatever rectifiers read, a thousand crops at a time."""
    seen = set()
    for start in range(0, len(crops), 1000):
        signs = []

        def see(_module, inputs, signs=signs):
            signs.append((inputs[0] > 0).flatten(1))

        handles = [
            module.register_forward_pre_hook(see)
            for module in network.modules()
            if isinstance(module, torch.nn.ReLU)
        ]
        network(crops[start : start + 1000])
        seen |= {tuple(row) for row in torch.cat(signs, 1).tolist()}
        for handle in handles:
            handle.remove()
    return len(seen)


@pytest.fixture(scope="module", autouse=True)
def few_crops():
    """Fewer crops than in papers: what a region is does not depend on their number."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(measurements, "CROPS", 300)
        measurements._draw.cache_clear()
        yield
    measurements._draw.cache_clear()


@pytest.fixture
def all_crops(monkeypatch):
    """As many crops as in papers, and as in other processes, where nothing is changed."""
    monkeypatch.setattr(measurements, "CROPS", CROPS)
    measurements._draw.cache_clear()
    yield
    measurements._draw.cache_clear()


@pytest.fixture(scope="module")
def found(few_crops):
    return prune(SPACE.name, FAST)


def last_round(found):
    trace = found.trace
    return trace[trace["round"] == 3]


def test_the_last_round_is_that_of_single_networks(found):
    """With two live operations on one edge, leaving one out leaves a single network."""
    draw = Draw(SPACE, FAST, 0, (0, 0))
    rng = np.random.default_rng(0)
    operations = [OPERATIONS[i] for i in rng.integers(1, 5, size=6)]
    operations[3] = "nor_conv_3x3"
    mask = np.array([[name == own for name in OPERATIONS] for own in operations])
    mask[3, OPERATIONS.index("avg_pool_3x3")] = True
    assert [one.edge for one in candidates_of(mask)] == [3, 3]
    for candidate, left in zip(candidates_of(mask), ("avg_pool_3x3", "nor_conv_3x3"), strict=True):
        operations[3] = left
        numbers = draw.numbers(candidate.without(mask))
        whole = single(draw.network, tuple(operations), SMALL)
        thin = single(draw.thin, tuple(operations), THIN)
        assert numbers.kappa == pytest.approx(plain_kappa(whole, draw.images), rel=1e-3)
        assert numbers.regions == plain_regions(thin, draw.crops)


def test_many_supernets_at_once_have_the_numbers_of_each(monkeypatch):
    monkeypatch.setattr(measurements, "CROPS", 200)
    monkeypatch.setattr(measurements, "TOGETHER", 2)
    measurements._draw.cache_clear()
    mask, jobs = SPACE.full_mask(), []
    dead = mask.copy()  # all rectifiers of the cell are on the way to node 2, which leads nowhere
    dead[[EDGES.index(edge) for edge in ((1, 3), (2, 3))]] = False
    dead[EDGES.index((0, 3))] = np.array(OPERATIONS) == "skip_connect"
    masks = [mask, candidates_of(mask)[0].without(mask), dead]
    for repeat, reads in ((0, (True, True)), (1, (True, False))):
        jobs += [(SPACE.name, FAST, 0, (0, repeat), one, reads) for one in masks]
    columns, sizes = list(zip(*jobs, strict=True)), []
    expected = list(map(measurements.measure, *columns))
    together = Draw.numbers_of_many

    def watched(draw, some, **how):
        sizes.append(len(some))
        return together(draw, some, **how)

    monkeypatch.setattr(Draw, "numbers_of_many", watched)
    found = list(measurements.measured_together(measurements.measure, *columns))
    assert sizes == [2, 1, 2, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.isnan(np.array(found)[3:, 1]).all()

    def fails(_draw, _masks, **_how):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Draw, "numbers_of_many", fails)
    with pytest.warns(UserWarning, match="one supernet at a time: OutOfMemoryError: CUDA out of"):
        found = list(measurements.measured_together(measurements.measure, *columns))
    np.testing.assert_array_equal(found, expected)


def test_a_search_goes_on_on_another_card_but_not_on_the_processor():
    first, other, cpu = (
        _key(SPACE, Pruning(device=device), 0) for device in ("cuda:0", "cuda:1", "cpu")
    )
    assert first == other != cpu


def test_one_process_on_a_gpu_measures_many_at_once():
    for workers, device, expected in ((1, "cpu", map), (1, "cuda", measurements.measured_together)):
        with _measuring(workers, device) as measuring:
            assert measuring is expected


@pytest.fixture
def made_up_kappa(monkeypatch):
    """Condition numbers that follow from the mask alone."""
    weights = np.random.default_rng(1).random((6, 5))
    monkeypatch.setattr(Draw, "_kappa", lambda draw: 9 + float((draw.network.mask * weights).sum()))


@pytest.mark.parametrize("variant", ["tenas", "released"])
def test_a_round_is_a_loop_over_candidates(variant, found, monkeypatch):
    """Some candidates on networks drawn again, each number on its own; ranks by sorting.

    The released variant prunes two edges only.
    """
    settings = Pruning(variant, "both", 2, 4, "noise", device="cpu")
    mask = SPACE.full_mask()
    if settings != FAST:
        mask[1:5] &= np.array(OPERATIONS) == "nor_conv_1x1"
        monkeypatch.setattr(PrunedSpace, "full_mask", lambda _space: mask.copy())
        found = prune(SPACE.name, settings)
    first = found.trace[found.trace["round"] == 1].reset_index(drop=True)
    assert len(first) == {"tenas": 24, "released": 8}[variant]
    some = first[:: len(first) // 4]

    def numbers(shown, repeat):
        draw = Draw(SPACE, settings, 0, (0, repeat))
        draw.network.mask = draw.thin.mask = shown
        kappa = plain_kappa(draw.network, draw.images)
        return kappa, draw.numbers(shown, kappa=False).regions

    unpruned, expected = [numbers(mask, repeat) for repeat in range(2)], []
    for edge, name in zip(some["edge"], some["operation"], strict=True):
        source, target = map(int, edge.split("->"))
        row = SPACE.edges.index((source, target))
        pruned = mask.copy()
        pruned[row, OPERATIONS.index(name)] = False
        changes = []
        for repeat in range(2):
            pairs = zip(unpruned[repeat], numbers(pruned, repeat), strict=True)
            change = [(before - after) / before for before, after in pairs]
            changes.append([round(c, 3) for c in change] if variant == "released" else change)
        expected.append(np.mean(changes, axis=0))
    kappa, regions = np.array(expected).T
    tolerance = {"tenas": 1e-3, "released": 1.1e-3}[variant]
    np.testing.assert_allclose(some["kappa_change"], kappa, atol=tolerance)
    np.testing.assert_allclose(some["regions_change"], regions, atol=1e-9)
    summed = first["kappa_rank"] + first["regions_rank"]
    for _, rows in first.groupby("edge"):
        (pruned,) = rows.index[rows["pruned"]]
        assert summed[pruned] == summed[rows.index].min()
    if variant == "tenas":
        order = sorted(set(-first["kappa_change"]))
        assert [order.index(-c) for c in first["kappa_change"]] == first["kappa_rank"].tolist()
        order = sorted(set(first["regions_change"]))
        assert [order.index(c) for c in first["regions_change"]] == first["regions_rank"].tolist()


def test_rounds_prune_one_operation_of_each_edge(found):
    trace = found.trace
    counts = trace[trace["operation"] != ""].groupby("round").size()
    assert counts.tolist() == [24, 18, 12]
    assert (trace[trace["pruned"]].groupby(["round", "edge"]).size() == 1).all()
    left = {(row.edge, row.operation) for row in trace.itertuples() if row.operation}
    left -= {(row.edge, row.operation) for row in trace[trace["pruned"]].itertuples()}
    edges = [f"{source}->{target}" for source, target in SPACE.edges]
    operations = operations_of(found.architecture.spelling)
    assert left == set(zip(edges, operations, strict=True))
    assert found.architecture == get_space("nasbench201").parse(found.architecture.spelling)
    last = trace.iloc[-1]
    assert (last["round"], last["operation"], last["kappa_rank"]) == (4, "", -1)
    assert last["regions"] > 0


@pytest.mark.usefixtures("all_crops")
def test_a_seed_decides_everything_and_workers_nothing(monkeypatch):
    mask = SPACE.full_mask()
    mask[2:] &= np.array(OPERATIONS) == "nor_conv_1x1"  # two edges to prune
    monkeypatch.setattr(PrunedSpace, "full_mask", lambda _space: mask.copy())
    quick = Pruning(criterion="regions", repeats=1, batch_size=4, dataset="noise")
    alone, together, other = (
        prune(SPACE.name, quick, seed=seed, workers=workers)
        for seed, workers in ((0, 1), (0, 2), (1, 1))
    )
    # sums of several threads are in another order
    pd.testing.assert_frame_equal(together.trace, alone.trace, rtol=1e-3, atol=1e-3)
    assert together.architecture == alone.architecture
    assert not other.trace.equals(alone.trace)


def test_repeats_are_other_weights_or_other_images_alone():
    def weights(draw):
        return draw.network.classifier.weight

    drawn = {
        variant: [
            Draw(SPACE, Pruning(variant, batch_size=4, device="cpu"), 0, keys)
            for keys in ((0, 0), (0, 1))
        ]
        for variant in ("tenas", "released")
    }
    for variant, (one, other) in drawn.items():
        assert torch.equal(weights(one), weights(other)) == (variant == "released")
        assert not torch.equal(one.images, other.images)


@pytest.mark.parametrize("variant", ["tenas", "released"])
def test_rounds_are_other_weights_or_other_images_alone(variant):
    first, again, later = (
        Draw(SPACE, Pruning(variant, batch_size=4, device="cpu"), 0, keys)
        for keys in ((0, 1), (0, 1), (1, 1))
    )
    for name in ("network", "thin"):
        state, same, other = (getattr(one, name).state_dict() for one in (first, again, later))
        assert all(torch.equal(state[key], same[key]) for key in state)
        # normalisations begin with ones and zeros; convolutions and the classifier are drawn
        drawn = [key for key, value in state.items() if value.ndim > 1]
        assert "classifier.weight" in drawn
        assert all(torch.equal(state[key], other[key]) == (variant == "released") for key in drawn)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, later.images)
    assert torch.equal(first.crops, again.crops)
    assert not torch.equal(first.crops, later.crops)


def test_every_round_of_a_search_has_its_own_draw(found):
    """What is left is measured on the draws of the round after the last, written out."""
    left = operations_of(found.architecture.spelling)
    mask = np.array([[name == own for name in OPERATIONS] for own in left])
    numbers = [Draw(SPACE, FAST, 0, (3, repeat)).numbers(mask) for repeat in range(FAST.repeats)]
    last = found.trace.iloc[-1]
    assert last["kappa"] == pytest.approx(np.mean([one.kappa for one in numbers]), rel=1e-3)
    assert last["regions"] == np.mean([one.regions for one in numbers])


@pytest.mark.usefixtures("all_crops")
def test_regions_are_counted_over_3000_crops_of_3x3_pixels():
    draw = Draw(SPACE, Pruning(batch_size=4, dataset="noise", device="cpu"), 0, (0, 0))
    assert draw.crops.shape == (3000, 1, 3, 3)


def test_released_alone_shifts_and_flips_the_images():
    """Each of its images is some window of the padded one that the other variant shows."""
    known = image_set("cifar10")
    plain, changed = (
        Draw(SPACE, Pruning(variant, batch_size=8, device="cpu"), 0, (0, 0)).images.numpy()
        for variant in ("tenas", "released")
    )
    pixels, _ = training_set("cifar10", "sample")
    stored = {image.tobytes() for image in normalise(pixels, known)}
    assert all(image.tobytes() in stored for image in plain)
    black = normalise(np.zeros((1, 40, 40, 3), np.uint8), known)[0]
    places = []
    for image, shown in zip(plain, changed, strict=True):
        padded = black.copy()
        padded[:, 4:36, 4:36] = image
        windows = {
            (top, left, step): padded[:, top : top + 32, left : left + 32][:, :, ::step]
            for top in range(9)
            for left in range(9)
            for step in (1, -1)
        }
        places += [place for place, one in windows.items() if np.array_equal(one, shown)]
    assert len(places) == 8
    tops, lefts, steps = map(set, zip(*places, strict=True))
    assert len(tops) > 1
    assert len(lefts) > 1
    assert steps == {1, -1}


@pytest.mark.usefixtures("made_up_kappa")
@pytest.mark.parametrize("criterion", ["kappa", "regions"])
def test_one_criterion_measures_the_other_of_the_unpruned_alone(criterion):
    settings = Pruning(criterion=criterion, repeats=1, batch_size=4, dataset="noise")
    trace = prune(SPACE.name, settings).trace
    other = {"kappa": "regions", "regions": "kappa"}[criterion]
    assert (trace[f"{other}_rank"] == -1).all()
    assert trace[f"{other}_change"].isna().all()
    assert trace[["kappa", "regions"]].notna().all(axis=None)
    first = trace[trace["round"] == 1]
    for _, rows in first.groupby("edge"):
        ranks = rows[f"{criterion}_rank"]
        assert ranks[rows["pruned"]].item() == ranks.min()


# --- ranks


def test_equal_values_share_a_rank_and_nan_comes_last():
    values = np.array([0.5, np.nan, 0.1, 0.5, -1, np.nan])
    assert dense_ranks(values).tolist() == [2, 3, 1, 2, 0, 3]
    assert dense_ranks(values, released=True).tolist() == [2, 3, 1, 2, 0, 3]


def test_released_ranks_sort_by_three_figures_in_the_order_of_the_list():
    values = np.array([0.12341, 0.12339, 0.12341, 0.2, 0.0001])
    # the first three look alike, stay in order, and no two neighbours of them are equal
    assert dense_ranks(values, released=True).tolist() == [1, 2, 3, 4, 0]
    assert dense_ranks(values).tolist() == [2, 1, 2, 3, 0]


@pytest.mark.parametrize("seed", range(5))
def test_ranks_count_the_distinct_smaller_values(seed):
    values = np.random.default_rng(seed).integers(-4, 4, size=20).astype(float)
    expected = [len({other for other in values if other < one}) for one in values]
    assert dense_ranks(values).tolist() == expected
    assert dense_ranks(values, released=True).tolist() == expected


def test_changes_are_means_over_what_is_defined():
    nan = float("nan")
    numbers = [
        [(10, 100), (5, 90), (nan, 100)],
        [(nan, 200), (1, 100), (1, 200)],
        [(20, 100), (30, 95), (nan, 100)],
    ]
    means, repeats = relative_changes(np.array(numbers), released=False)
    np.testing.assert_allclose(means[:, 0], [(0.5 - 0.5) / 2, nan])
    np.testing.assert_allclose(means[:, 1], [(0.1 + 0.5 + 0.05) / 3, 0])
    assert repeats.tolist() == [2, 0]


def test_released_changes_are_rounded_before_they_are_averaged():
    numbers = np.array([[(3.0, 3.0), (2.0, 2.0)], [(3.0, 3.0), (1.0, 1.0)]])
    assert relative_changes(numbers, released=True)[0][0, 0] == (0.333 + 0.667) / 2
    exact = relative_changes(np.array([[(3.0, 3.0), (2.0, 2.0)]]), released=False)[0]
    assert exact[0, 0] == pytest.approx(1 / 3, abs=1e-12)


def test_only_edges_with_a_choice_have_candidates():
    mask = np.zeros((2, 3), bool)
    mask[0, 1] = mask[1, 1] = mask[1, 2] = True
    assert candidates_of(mask) == [Candidate(1, 1), Candidate(1, 2)]


# --- bad input


def test_a_search_without_any_condition_number_stops(monkeypatch):
    monkeypatch.setattr(Draw, "_kappa", lambda _self: float("nan"))
    with pytest.raises(ParameterError, match="none has a condition number") as caught:
        prune(SPACE.name, FAST)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("made_up_kappa")
def test_a_missing_condition_number_is_counted_and_never_pruned_first(monkeypatch):
    plain = Draw._kappa

    def sometimes(draw):
        mask = draw.network.mask
        return float("nan") if not mask[0, 1] and mask[0, 2:].all() else plain(draw)

    monkeypatch.setattr(Draw, "_kappa", sometimes)
    settings = Pruning(criterion="kappa", repeats=1, batch_size=4, dataset="noise")
    trace = prune(SPACE.name, settings).trace
    row = trace.iloc[0]
    assert (row["edge"], row["operation"]) == ("0->1", "skip_connect")
    assert np.isnan(row["kappa_change"])
    assert row["kappa_repeats"] == 0
    assert row["kappa_rank"] == trace.loc[trace["round"] == 1, "kappa_rank"].max()
    assert not row["pruned"]


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"repeats": 0}, ParameterError, "0 repeats: 1 or more"),
        ({"batch_size": 1}, ParameterError, "batch size 1 is too small"),
        ({"criterion": "kapa"}, UnknownNameError, "did you mean 'kappa'"),
        ({"variant": "relesed"}, UnknownNameError, "did you mean 'released'"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(settings, error, message):
    with pytest.raises(error, match=re.escape(message)) as caught:
        Pruning(**settings)
    assert "\n" not in str(caught.value)


def test_unknown_spaces_and_too_few_workers_are_refused():
    with pytest.raises(ParameterError, match="nasbench101 has no supernet to prune: known: darts"):
        pruned_space("nasbench101")
    with pytest.raises(ParameterError, match="0 workers: 1 or more"):
        prune(SPACE.name, FAST, workers=0)

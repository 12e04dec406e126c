"""The pruning search of the space `darts`: its rounds against loops written out, its numbers."""

import re
import sqlite3
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
import torch
from tests.search.test_pruning import plain_kappa
from torch.nn import functional

from untrained.errors import DamagedFileError, ParameterError
from untrained.search import measurements
from untrained.search.measurements import Draw, Numbers
from untrained.search.pruning import CRITERIA, Pruning, prune
from untrained.search.rounds import dense_ranks
from untrained.search.supernets import candidates_of, crowded_nodes, pruned_space
from untrained.spaces import get_space
from untrained.spaces.genotypes import SUPERNET_EDGES, SUPERNET_OPERATIONS, parse_genotype

SPACE = pruned_space("darts")
#: The edges into each inner node of a cell.
NODES = ((0, 2), (2, 5), (5, 9), (9, 14))


class MadeUp:
    """Numbers of a mask that follow from its operations and the repeat, without any network."""

    def __init__(self, _space, settings, seed, keys):
        rng = np.random.default_rng(seed)
        self.kappa, self.regions = rng.normal(size=(2, 28, 8))
        noise = np.random.default_rng([seed, keys[1], int(settings.released) * keys[0]])
        self.noise = noise.normal(size=(28, 8)) / 4

    def numbers(self, mask, *, kappa=True, regions=True):
        return Numbers(
            200 + (mask * (self.kappa + self.noise)).sum() if kappa else np.nan,
            np.round(3000 + (mask * (20 * self.regions + self.noise)).sum()) if regions else np.nan,
        )


@pytest.fixture
def made_up(monkeypatch):
    monkeypatch.setattr(measurements, "_draw", MadeUp)


def plain_rounds(settings, seed):
    """The search as its description says it: lists of live operations, ranks, loops.

    Yields for each round the rank sums and what is pruned, by (edge, operation).
    """
    live = [list(range(1, 8)) for _ in range(28)]

    def numbers(number, without=None):
        mask = np.zeros((28, 8), bool)
        for edge, operations in enumerate(live):
            mask[edge, operations] = True
        if without is not None:
            mask[without] = False
        return [
            MadeUp(SPACE, settings, seed, (number, repeat)).numbers(mask)
            for repeat in range(settings.repeats)
        ]

    def changes(number, candidates):
        before = numbers(number)
        for candidate in candidates:
            pairs = list(zip(before, numbers(number, candidate), strict=True))
            kappa = [(b.kappa - a.kappa) / b.kappa for b, a in pairs]
            regions = [(b.regions - a.regions) / b.regions for b, a in pairs]
            if settings.released:
                kappa, regions = np.round(kappa, 3), np.round(regions, 3)
            yield np.mean(kappa), np.mean(regions)

    def summed(found):
        kappa, regions = np.array(found).T
        sums = 0
        if settings.criterion != "regions":
            sums = sums + dense_ranks(-kappa, released=settings.released)
        if settings.criterion != "kappa":
            sums = sums + dense_ranks(regions, released=settings.released)
        return sums.tolist()

    number = 0
    while any(len(operations) > 1 for operations in live):
        candidates = [(e, o) for e in range(28) for o in live[e] if len(live[e]) > 1]
        sums = dict(zip(candidates, summed(list(changes(number, candidates))), strict=True))
        pruned = []
        for edge in range(28):
            own = sorted((c for c in candidates if c[0] == edge), key=lambda c: sums[c])
            pruned += own[: min(3, len(own) - 1)] if own else []
        yield sums, pruned
        for edge, operation in pruned:
            live[edge].remove(operation)
        number += 1
    sums, pruned = {}, []
    candidates = [
        (14 * cell + edge, live[14 * cell + edge][0])
        for cell in range(2)
        for start, end in NODES[1:]
        for edge in range(start, end)
    ]
    found = dict(zip(candidates, changes(number, candidates), strict=True))
    for cell in range(2):
        for start, end in NODES[1:]:
            own = [c for c in candidates if 14 * cell + start <= c[0] < 14 * cell + end]
            sums |= dict(zip(own, summed([found[c] for c in own]), strict=True))
            pruned += sorted(own, key=lambda c: sums[c])[:-2]
    yield sums, pruned


def by_candidate(rows):
    edges = [f"{source}->{target}" for source, target in SUPERNET_EDGES]
    return {
        (
            14 * (row.cell == "reduce") + edges.index(row.edge),
            SUPERNET_OPERATIONS.index(row.operation),
        ): row
        for row in rows.itertuples()
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.usefixtures("made_up")
def test_released_rounds_are_those_written_out(criterion, seed):
    """In that variant the order of the list decides ties, so all is known."""
    settings = Pruning("released", criterion, repeats=2)
    trace = prune(SPACE.name, settings, seed).trace
    for number, (sums, pruned) in enumerate(plain_rounds(settings, seed), start=1):
        rows = by_candidate(trace[trace["round"] == number])
        assert set(rows) == set(sums)
        for candidate, row in rows.items():
            assert max(row.kappa_rank, 0) + max(row.regions_rank, 0) == sums[candidate]
        assert {one for one, row in rows.items() if row.pruned} == set(pruned)
    assert trace["round"].max() == number + 1
    assert number == 3


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.usefixtures("made_up")
def test_corrected_rounds_prune_the_lowest_sums(criterion):
    """Ties are drawn, so what is pruned is known by its sums only."""
    settings = Pruning("tenas", criterion, repeats=2)
    trace = prune(SPACE.name, settings, 5).trace
    sums, pruned = next(plain_rounds(settings, 5))
    rows = by_candidate(trace[trace["round"] == 1])
    for candidate, row in rows.items():
        assert max(row.kappa_rank, 0) + max(row.regions_rank, 0) == sums[candidate]
    mine = sorted(
        (edge, sums[edge, operation]) for (edge, operation), row in rows.items() if row.pruned
    )
    assert mine == sorted((edge, sums[edge, operation]) for edge, operation in pruned)
    last = trace[trace["round"] == 3]
    for _, node in last.groupby([last["cell"], last["edge"].str[-1]]):
        summed = node["kappa_rank"].clip(lower=0) + node["regions_rank"].clip(lower=0)
        assert (~node["pruned"]).sum() == 2
        assert summed[node["pruned"]].max() <= summed[~node["pruned"]].min()
        assert (node[["kappa_rank", "regions_rank"]].max() < len(node)).all()


@pytest.mark.usefixtures("made_up")
def test_the_genotype_has_what_no_round_pruned():
    found = prune(SPACE.name, Pruning(repeats=1), 2)
    trace = found.trace
    assert trace.groupby("round").size().tolist() == [196, 112, 24, 1]
    assert trace.groupby("round")["pruned"].sum().tolist() == [84, 84, 12, 0]
    keys = ["cell", "edge", "operation"]
    shown = trace[trace["operation"] != ""]
    left = {tuple(row) for row in shown[keys].itertuples(index=False)}
    left -= {tuple(row) for row in shown.loc[shown["pruned"], keys].itertuples(index=False)}
    genotype = parse_genotype(found.architecture.spelling)
    spelled = {
        (cell, f"{source}->{2 + position // 2}", operation)
        for cell in ("normal", "reduce")
        for position, (operation, source) in enumerate(getattr(genotype, cell))
    }
    assert left == spelled
    assert found.architecture == get_space("darts").parse(found.architecture.spelling)


def test_only_nodes_with_more_than_two_inputs_lose_some():
    mask = np.zeros((28, 8), bool)
    mask[:, 1] = True
    mask[[2, 14 + 9, 14 + 10, 14 + 11], 1] = False
    groups = crowded_nodes(SPACE, mask)
    assert [[one.edge for one in group] for group in groups] == [
        [5, 6, 7, 8],
        [9, 10, 11, 12, 13],
        [16, 17, 18],
        [19, 20, 21, 22],
    ]
    assert crowded_nodes(pruned_space("nasbench201"), np.ones((6, 5), bool)) == []


def plain_patterns(network, crops):
    """A set of tuples of signs of all that is rectified, a thousand crops at a time."""
    seen = set()
    plain = functional.relu
    for start in range(0, len(crops), 1000):
        signs = []

        def see(x, inplace=False, signs=signs):
            assert not inplace
            signs.append((x > 0).flatten(1))
            return plain(x)

        with pytest.MonkeyPatch.context() as patched, torch.no_grad():
            patched.setattr(functional, "relu", see)
            network(crops[start : start + 1000])
        seen |= {tuple(row) for row in torch.cat(signs, 1).tolist()}
    return len(seen)


@pytest.mark.parametrize("variant", ["tenas", "released"])
def test_numbers_are_those_of_the_supernet(variant, monkeypatch):
    monkeypatch.setattr(measurements, "CROPS", 300)
    draw = Draw(SPACE, Pruning(variant, batch_size=4, dataset="noise", device="cpu"), 0, (1, 1))
    rng = np.random.default_rng(0)
    mask = SPACE.full_mask() & (rng.random((28, 8)) < 0.5)
    mask[:, 2] = True
    numbers = draw.numbers(mask)
    assert draw.crops.shape == (300, 1, 3, 3)
    assert draw.network.classifier.weight.shape == (10, 8)
    assert numbers.kappa == pytest.approx(plain_kappa(draw.network, draw.images), rel=1e-3)
    assert numbers.regions == plain_patterns(draw.thin, draw.crops)
    assert (draw.network.graph.inputs, draw.thin.graph.inputs) == (3, 1)


def test_an_edge_is_left_out_by_the_last_round():
    mask = np.zeros((28, 8), bool)
    mask[:, 3] = True
    assert candidates_of(mask) == []
    (one, *_), *_ = crowded_nodes(SPACE, mask)
    pruned = one.without(mask)
    assert pruned.sum() == 27
    SPACE.supernet(10, SPACE.skeletons[1]).mask = pruned


@pytest.mark.parametrize(("variant", "images"), [("tenas", 32), ("released", 14)])
def test_batches_are_the_paper_s_or_those_of_its_code(variant, images):
    assert Pruning(variant).images(SPACE) == images


# --- interrupted searches


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
@pytest.mark.usefixtures("made_up")
def test_a_search_resumes_where_it_was_interrupted(rounds, tmp_path):
    settings, asked = Pruning(repeats=2), []
    whole = prune(SPACE.name, settings, 3)
    shared = {"ledger": tmp_path / "ledger"}

    def stop(numbers, _total, what, _unit):
        if what == f"round {rounds + 1}":
            raise KeyboardInterrupt
        return numbers

    with pytest.raises(KeyboardInterrupt):
        prune(SPACE.name, settings, 3, track=stop, **shared)

    def track(numbers, _total, what, _unit):
        asked.append(what)
        return numbers

    told, saved = [], []
    again = prune(
        SPACE.name, settings, 3, track=track, tell=told.append, save=saved.append, **shared
    )
    assert asked == [f"round {number}" for number in range(rounds + 1, 5)]
    assert told == ([f"continuing after round {rounds}"] if rounds else [])
    assert saved == [again]
    pd.testing.assert_frame_equal(again.trace, whole.trace)
    assert again.architecture == whole.architecture
    # what is saved is forgotten
    prune(SPACE.name, settings, 3, tell=told.append, **shared)
    assert len(told) == bool(rounds)


@pytest.mark.parametrize("other", [{"seed": 4}, {"settings": Pruning("released", repeats=2)}])
@pytest.mark.usefixtures("made_up")
def test_rounds_of_another_search_are_not_resumed(tmp_path, other):
    told = []
    shared = {"ledger": tmp_path / "ledger", "tell": told.append}
    asked = {"settings": Pruning(repeats=2), "seed": 3}
    prune(SPACE.name, **asked, **shared)
    prune(SPACE.name, **(asked | other), **shared)
    assert told == []
    prune(SPACE.name, **asked, **shared)
    assert told == ["continuing after round 3"]


@pytest.mark.usefixtures("made_up")
def test_rounds_of_something_else_are_damage(tmp_path):
    path = tmp_path / "ledger"
    prune(SPACE.name, Pruning(repeats=1), ledger=path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE done SET value = '{}'")
        connection.commit()
    with pytest.raises(DamagedFileError, match="ledger is damaged: delete it"):
        prune(SPACE.name, Pruning(repeats=1), ledger=path)


def test_a_search_without_any_condition_number_says_which_round(monkeypatch, made_up):
    monkeypatch.setattr(MadeUp, "numbers", lambda *_args, **_kwargs: Numbers(np.nan, 1.0))
    said = "round 1: the tangent kernels of all 196 candidates are singular"
    with pytest.raises(ParameterError, match=re.escape(said)) as caught:
        prune(SPACE.name, Pruning(repeats=1))
    assert "\n" not in str(caught.value)

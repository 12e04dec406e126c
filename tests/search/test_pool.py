"""The traces of searches against a slow loop over runs and evaluations."""

import numpy as np
import pandas as pd
import pytest

from untrained.errors import DamagedFileError, MissingDataError
from untrained.search.pool import (
    TRACE_COLUMNS,
    Pool,
    best_of_sample_trace,
    draw,
    empty_trace,
    measured_seconds,
    scores_of,
)


def slow_trace(pool, drawn, fitness, seconds, target):
    rows = []
    for run in range(len(drawn)):
        best, incumbent, shown = None, None, None
        for step in range(drawn.shape[1]):
            value = fitness[run, step]
            rank = -np.inf if np.isnan(value) else value
            if best is None or rank > best:
                best, incumbent, shown = rank, pool.architectures[drawn[run, step]], value
                row = (run, target, step + 1, incumbent, shown, (step + 1) * seconds, False)
                rows.append(row)
        end = drawn.shape[1]
        rows.append((run, target, end, incumbent, shown, end * seconds, True))
    return pd.DataFrame(rows, columns=list(TRACE_COLUMNS))


def pool_of(size, scores=None):
    architectures = np.arange(size, dtype=np.int64) * 3 + 100
    return Pool(architectures, np.zeros((1, size)) if scores is None else scores, {}, 0.3)


@pytest.mark.parametrize("samples", [1, 2, 30])
@pytest.mark.parametrize("undefined", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("target", ["", "cifar10/ori-test"])
def test_the_trace_is_that_of_the_slow_loop(samples, undefined, target):
    rng = np.random.default_rng(samples)
    pool = pool_of(50)
    drawn = rng.integers(50, size=(40, samples))
    fitness = rng.integers(6, size=drawn.shape).astype(float)  # with ties
    fitness[rng.random(drawn.shape) < undefined] = np.nan
    trace = best_of_sample_trace(pool, drawn, fitness, 0.3, target)
    expected = slow_trace(pool, drawn, fitness, 0.3, target)
    pd.testing.assert_frame_equal(trace, expected, check_dtype=False)


def test_each_architecture_may_have_a_cost_of_its_own():
    rng = np.random.default_rng(0)
    costs = rng.uniform(1, 2, 50)
    drawn, fitness = rng.integers(50, size=(6, 20)), rng.random((6, 20))
    trace = best_of_sample_trace(pool_of(50), drawn, fitness, costs)
    for row in trace.itertuples():
        assert row.simulated_seconds == pytest.approx(sum(costs[drawn[row.run, : row.step]]))


def test_scores_cost_what_they_do_together():
    assert pool_of(5).cost(np.array([1, 1, 4])) == 3 * 0.3
    pool = Pool(np.arange(3), np.zeros((1, 3)), {}, np.array([1.0, 2.0, 4.0]))
    assert pool.cost(np.array([2, 0, 2])) == 9


def test_a_part_of_a_pool_has_all_of_its_columns():
    scores, costs = np.arange(8.0).reshape(2, 4), np.array([1.0, 2.0, 3.0, 4.0])
    pool = Pool(np.array([2, 5, 7, 9]), scores, {"a": costs * 10}, costs)
    part = pool.within(np.array([2, 9]))
    assert part.architectures.tolist() == [2, 9]
    assert part.scores.tolist() == [[0, 3], [4, 7]]
    assert part.accuracies["a"].tolist() == [10, 40]
    assert part.seconds_per_score.tolist() == [1, 4]
    assert Pool(pool.architectures, scores, {}, 0.5).within(np.array([5])).seconds_per_score == 0.5


def test_measured_seconds_are_means_over_the_seeds():
    rows = [
        (arch, "lga@1", "cifar10", seed, 10.0 * arch + seed) for arch in (3, 1) for seed in (0, 1)
    ]
    table = pd.DataFrame(rows, columns=["arch", "proxy", "dataset", "seed", "seconds"])
    other = table.assign(proxy="naswot", seconds=np.nan)
    both = pd.concat([table, other])
    assert measured_seconds(both, "lga@1", "cifar10").tolist() == [10.5, 30.5]
    with pytest.raises(
        MissingDataError, match=r"^4 of 4 cached scores of naswot on cifar10 have no"
    ):
        measured_seconds(both, "naswot", "cifar10")
    with pytest.raises(MissingDataError, match=r"^the cached scores have no column `seconds`: "):
        measured_seconds(table.drop(columns="seconds"), "lga@1", "cifar10")


def test_an_undefined_value_loses_to_every_other_and_a_tie_to_the_first():
    drawn = np.array([[0, 1, 2, 3]])
    trace = best_of_sample_trace(pool_of(4), drawn, np.array([[np.nan, -1e9, 5.0, 5.0]]), 2.0)
    assert trace["step"].tolist() == [1, 2, 3, 4]
    assert trace["arch"].tolist() == [100, 103, 106, 106]
    assert trace["is_final"].tolist() == [False, False, False, True]
    assert trace["simulated_seconds"].tolist() == [2, 4, 6, 8]


def test_where_nothing_is_defined_the_first_is_kept():
    trace = best_of_sample_trace(pool_of(4), np.array([[2, 1]]), np.full((1, 2), np.nan), 1.0)
    assert trace["arch"].tolist() == [106, 106]
    assert trace["fitness"].isna().all()


def test_an_empty_trace_has_the_columns_and_types_of_a_full_one():
    full = best_of_sample_trace(pool_of(4), np.array([[2, 1]]), np.zeros((1, 2)), 1.0)
    empty = empty_trace()
    assert len(empty) == 0
    assert tuple(empty.columns) == tuple(full.columns) == TRACE_COLUMNS
    together = pd.concat([empty, full])
    for column in ("run", "step", "arch", "fitness", "simulated_seconds", "is_final"):
        assert empty[column].dtype == full[column].dtype == together[column].dtype


def test_empty_and_full_traces_have_one_parquet_schema(tmp_path):
    import pyarrow.parquet as pq

    from untrained.files import write_parquet

    full = best_of_sample_trace(pool_of(4), np.array([[2, 1]]), np.zeros((1, 2)), 1.0, "x")
    write_parquet(full, tmp_path / "full")
    write_parquet(empty_trace(), tmp_path / "empty")
    assert pq.read_schema(tmp_path / "empty").equals(pq.read_schema(tmp_path / "full"))


def test_draws_are_uniform_and_with_replacement():
    drawn = draw(10, 100, 200, np.random.default_rng(0))
    assert drawn.shape == (200, 100)
    assert set(drawn.ravel()) == set(range(10))
    assert np.abs(np.bincount(drawn.ravel()) - 2000).max() < 5 * np.sqrt(2000)


SCORES = pd.DataFrame(
    {
        "arch": [4, 9, 4, 9, 4, 4],
        "proxy": ["naswot"] * 4 + ["other", "naswot"],
        "dataset": ["cifar10"] * 5 + ["noise"],
        "seed": [0, 0, 1, 1, 0, 0],
        "score": [1.0, np.nan, 3.0, 4.0, 5.0, 6.0],
    }
)


def test_scores_are_laid_out_by_seed_and_architecture():
    architectures, scores = scores_of(SCORES.sample(frac=1, random_state=1), "naswot", "cifar10")
    assert architectures.tolist() == [4, 9]
    assert architectures.dtype == np.int64
    np.testing.assert_array_equal(scores, [[1, np.nan], [3, 4]])


@pytest.mark.parametrize(("proxy", "dataset"), [("naswot", "cifar100"), ("third", "cifar10")])
def test_scores_that_were_not_made_are_missing(proxy, dataset):
    with pytest.raises(MissingDataError, match=f"^no cached scores of {proxy} on {dataset}: add"):
        scores_of(SCORES, proxy, dataset)


def test_an_infinite_score_is_undefined():
    for infinite in (np.inf, -np.inf):
        table = SCORES.assign(score=SCORES["score"].replace(3.0, infinite))
        _, scores = scores_of(table, "naswot", "cifar10")
        np.testing.assert_array_equal(scores, [[1, np.nan], [np.nan, 4]])


def test_a_score_that_is_there_twice_is_said():
    table = pd.concat([SCORES, SCORES.iloc[[3, 4]]])
    with pytest.raises(
        DamagedFileError,
        match=r"^the cached scores of naswot on cifar10 have architecture 9, seed 1 twice: delete ",
    ):
        scores_of(table, "naswot", "cifar10")
    assert scores_of(table, "naswot", "noise")[1] == [[6]]


def test_an_architecture_outside_the_space_is_said():
    assert scores_of(SCORES, "naswot", "cifar10", 10)[0].tolist() == [4, 9]
    with pytest.raises(DamagedFileError, match=r"architecture 9, and the space has 0 to 8: delete"):
        scores_of(SCORES, "naswot", "cifar10", 9)
    with pytest.raises(DamagedFileError, match=r"architecture -1, and the space has 0 to 9: "):
        scores_of(SCORES.replace({"arch": {4: -1}}), "naswot", "cifar10", 10)


def test_a_sample_answers_what_it_holds_three_times():
    from untrained.search.pool import can_answer

    assert can_answer(300, 15625, 100)
    assert not can_answer(299, 15625, 100)
    assert can_answer(15625, 15625, 10000)

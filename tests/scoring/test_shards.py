"""Samples, shards, shared scores, and merging."""

import numpy as np
import pandas as pd
import pytest

from untrained.errors import DamagedFileError, ParameterError
from untrained.scoring.columns import SCORE_COLUMNS, SECONDS
from untrained.scoring.request import parse_reading
from untrained.scoring.shards import (
    merge_shards,
    sample_of,
    score_space,
    scored_for,
    shard_of,
    work_of,
)


@pytest.mark.parametrize(("architectures", "shards"), [("100", 1), ("100", 7), ("all", 16)])
def test_shards_partition_the_sample(space, architectures, shards):
    pieces = [
        shard_of(space, sample_of(space, architectures, 3), shard, shards)
        for shard in range(shards)
    ]
    together = sorted(index for piece in pieces for index in piece)
    assert together == sample_of(space, architectures, 3)
    assert len(set(together)) == len(together) == {"100": 100, "all": 15_625}[architectures]
    sizes = {len(piece) for piece in pieces}
    assert max(sizes) - min(sizes) <= 1


def test_more_shards_than_architectures_leave_some_empty(space):
    sizes = [len(shard_of(space, [3, 14], shard, 4)) for shard in range(4)]
    assert sizes == [1, 1, 0, 0]


def test_the_sample_depends_on_its_seed_alone(space):
    assert sample_of(space, 50, 1) == sample_of(space, "50", 1) != sample_of(space, 50, 2)


def test_a_sample_may_be_given(space):
    assert sample_of(space, [92, 14, np.int64(3), 14], 0) == [3, 14, 92]
    for wrong in ([], [-1], [len(space)]):
        with pytest.raises(ParameterError, match="nasbench201 has 0 to 15624"):
            sample_of(space, wrong, 0)


def test_a_sample_among_some_is_of_them(space):
    """All of a space are drawn from as if nothing was said; of a partial table what it knows."""
    assert sample_of(space, 50, 1, np.arange(len(space))) == sample_of(space, 50, 1)
    some = np.array([3, 14, 15, 92, 65, 35])
    some.sort()
    assert sample_of(space, "all", 0, some) == some.tolist()
    drawn = sample_of(space, 4, 0, some)
    assert len(set(drawn)) == 4
    assert set(drawn) < set(some.tolist())
    with pytest.raises(ParameterError, match="1 to 6 of them with a known accuracy"):
        sample_of(space, 7, 0, some)


@pytest.mark.parametrize(
    ("shard", "shards", "message"),
    [
        (3, 3, "^shard 3 of 3: shards are numbered from 0 to 2$"),
        (-1, 3, "^shard -1 of 3"),
        (0, 0, "^0 shards: 1 or more$"),
    ],
)
def test_shards_that_do_not_exist_are_refused(space, shard, shards, message):
    with pytest.raises(ParameterError, match=message):
        shard_of(space, [1, 2], shard, shards)


@pytest.mark.parametrize(
    ("architectures", "message"),
    [
        ("some", "^architectures is 'some': a number, or 'all'$"),
        ("-4", "^architectures is '-4'"),
        ("0", "^0 architectures asked of nasbench201"),
        ("20000", "^20000 architectures asked of nasbench201"),
    ],
)
def test_samples_that_do_not_exist_are_refused(space, architectures, message):
    with pytest.raises(ParameterError, match=message):
        sample_of(space, architectures, 0)


def test_classes_stay_together_in_shared_shards(space):
    sample = sample_of(space, 2000, 0)
    pieces = [shard_of(space, sample, shard, 5, share=True) for shard in range(5)]
    assert sorted(index for piece in pieces for index in piece) == sample
    assert all(piece == sorted(piece) for piece in pieces)
    classes = [set(space.representatives[piece]) for piece in pieces]
    assert sum(map(len, classes)) == len(set.union(*classes))
    assert max(map(len, classes)) - min(map(len, classes)) <= 1


def test_shared_work_is_one_architecture_of_each_class_that_a_proxy_tells_apart(space):
    corrected, released = parse_reading("naswot"), parse_reading("naswot-released")
    everything = range(len(space))
    assert len(work_of(space, everything, [corrected], share=True)) == 5260
    assert len(work_of(space, everything, [released], share=True)) == 7189
    both = work_of(space, everything, [corrected, released], share=True)
    assert len(both) == 7189  # the canonical ones are among them
    assert sum(corrected in proxies for proxies in both.values()) == 5260
    assert work_of(space, [5, 9], [corrected], share=False) == {5: [corrected], 9: [corrected]}
    owners = scored_for(space, corrected.proxy, share=True)
    assert (owners <= np.arange(len(space))).all()
    assert (owners == space.representatives).all()
    assert (scored_for(space, object(), share=True) == space.executed_representatives).all()


def test_what_depends_on_the_order_of_operations_is_not_shared(space):
    """Cells 3 and 55 run the same operations, one of them with more in memory at once."""
    assert space.executed_representatives[55] == 3
    shared = score_space(space, ["memory"], architectures=[3, 55], share=True, batch_size=2)
    assert shared["score"].tolist() == [159744, 208896]


def table(proxy, dataset, seed, archs, **more):
    columns = {"proxy": proxy, "dataset": dataset, "seed": seed, "score": 0.5, "status": "ok"}
    return pd.DataFrame({"arch": archs} | columns | more)[[*SCORE_COLUMNS, *more]]


SHARDS = [
    table(proxy, dataset, seed, archs)
    for proxy in ("naswot-released", "naswot")
    for dataset in ("noise", "cifar10")
    for seed in (1, 0)
    for archs in ([5, 2], [3])
]


def test_merging_sorts_whichever_came_first():
    merged = merge_shards(SHARDS)
    keys = list(merged[["proxy", "dataset", "seed", "arch"]].itertuples(index=False, name=None))
    assert len(keys) == 24
    assert keys == sorted(keys)
    pd.testing.assert_frame_equal(merge_shards(reversed(SHARDS)), merged)


def test_seconds_are_kept_where_a_shard_has_them():
    timed = table("naswot", "cifar10", 7, [1, 2], seconds=0.25)
    assert list(merge_shards(SHARDS)) == SCORE_COLUMNS
    merged = merge_shards([*SHARDS, timed])
    assert list(merged) == [*SCORE_COLUMNS, SECONDS]
    assert merged[SECONDS].notna().sum() == 2


def test_a_score_that_two_shards_have_is_named():
    said = "the shards score {'proxy': 'naswot', 'dataset': 'cifar10', 'seed': 0, 'arch': 3} twice"
    with pytest.raises(DamagedFileError, match=said.replace("{", r"\{")):
        merge_shards([*SHARDS, SHARDS[-1]])


def test_there_must_be_something_to_merge():
    with pytest.raises(ParameterError, match="no shards to merge"):
        merge_shards([])

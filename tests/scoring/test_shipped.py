"""Scores that come along: all cells of NAS-Bench-201, held against scores that are made here."""

import numpy as np
import pytest

from untrained import cached_scores, run_search, score_space
from untrained.errors import MissingDataError
from untrained.scoring.columns import SCORE_TYPES
from untrained.scoring.shipped import scores_at_hand
from untrained.spaces import get_space

#: Differ by rounding on another machine.
TOLERANCE = {"rel": 1e-3}


@pytest.fixture(scope="module")
def shipped():
    return cached_scores("nasbench201")


def test_every_cell_has_a_score_or_a_status(shipped):
    """Of slow proxies those of a sample have one, whatever proxy it is."""
    more = {"seconds": "float32", "batch_size": "int32"}
    assert {name: str(kind) for name, kind in shipped.dtypes.items()} == SCORE_TYPES | more
    samples = set()
    for _, own in shipped.groupby(["proxy", "dataset", "seed"]):
        cells = own["arch"].tolist()
        if len(cells) < 15_625:
            samples.add(tuple(cells))
        else:
            assert cells == list(range(15_625))
        undefined = ~np.isfinite(own["score"])
        assert ((own["status"] != "ok") == undefined).all()
        assert (own["seconds"].isna() | (own["seconds"] >= 0)).all()
        assert own["batch_size"].nunique() == 1
    assert len(samples) <= 1


def test_cells_that_run_the_same_operations_have_the_same_score(shipped):
    """Only live counts are the same where merely the function is: dead branches draw weights."""
    space = get_space("nasbench201")
    for name in ("jacobian_covariance", "parameters", "parameters-live", "flops-live"):
        own = shipped[shipped["proxy"] == name].set_index("arch")["score"]
        classes = space.representatives if name.endswith("live") else space.executed_representatives
        assert own.groupby(classes).nunique(dropna=False).max() == 1


@pytest.mark.parametrize(
    "proxy",
    [
        *("parameters", "flops", "parameters-live", "flops-live"),
        *("l2_norm", "meco", "jacobian_covariance"),
    ],
)
def test_scores_that_are_made_here_are_those(shipped, proxy):
    own = shipped[(shipped["proxy"] == proxy) & (shipped["dataset"] == "cifar10")]
    made = score_space(
        *("nasbench201", [proxy]),
        architectures=4,
        sample_seed=7,
        share=True,
        batch_size=64,
        precision="float32",
    )
    expected = own.set_index("arch")["score"].loc[made["arch"]]
    assert made["score"].tolist() == pytest.approx(expected.tolist(), **TOLERANCE, nan_ok=True)


def test_a_search_reads_them_where_the_workflow_made_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = []
    settings = {"budget": "20evaluations", "runs": 2, "tell": told.append}
    named = "rs+fitness=log(jacobian_covariance,parameters-live)"
    found = run_search(named, "nasbench201", **settings)
    assert len(told) == 1
    assert "reading the scores that come with untrained" in told[0]
    assert (found.final["step"] == 20).all()
    given = run_search(named, "nasbench201", scores=cached_scores("nasbench201"), **settings)
    assert given.trace.equals(found.trace)


def test_a_space_without_scores_says_how_they_are_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingDataError, match="no scores come with darts: score it by `untrained"):
        cached_scores("darts")
    with pytest.raises(MissingDataError, match="does not exist: `make run`"):
        scores_at_hand(get_space("natsbench_size"))

"""Scores of a run, held to those that come along."""

import numpy as np
import pandas as pd
import pytest

from untrained import cached_scores
from untrained.errors import UntrainedError
from untrained.files import write_parquet
from untrained.report.inputs import Inputs
from untrained.report.sections.shipped import COLUMNS, TOLERANCE, applies, layout, shipped_table
from untrained.spaces import get_space

OPTIONS = {"batch_size": 64}
PROXY = "jacobian_covariance"


@pytest.fixture(scope="module")
def there():
    table = cached_scores("nasbench201")
    return table[table["proxy"].isin([PROXY, "meco"])].reset_index(drop=True)


def made(there, live, folder, options=OPTIONS):
    write_parquet(there, folder / "there.parquet")
    write_parquet(live, folder / "live.parquet")
    inputs = Inputs(
        "nasbench201",
        scores_file=folder / "live.parquet",
        files={"shipped": [folder / "there.parquet"]},
    )
    return shipped_table(inputs, options)


def some(there, count=40):
    """Scores of a run: the same up to rounding, of some cells, one of them undefined."""
    first = np.unique(get_space("nasbench201").executed_representatives)
    drawn = np.random.default_rng(0).choice(first, count, replace=False)
    undefined = there.loc[(there["status"] != "ok") & there["arch"].isin(first), "arch"].iloc[0]
    live = there[there["arch"].isin([*drawn, undefined])].reset_index(drop=True)
    return live.assign(score=live["score"] * (1 + 1e-6)).drop(columns=["batch_size", "seconds"])


def allowed(there, proxy, score):
    """How far a score may be from another one, in words of the definition."""
    every = there.loc[(there["proxy"] == proxy) & (there["status"] == "ok"), "score"]
    quartiles = every.quantile(0.75) - every.quantile(0.25)
    return TOLERANCE * (quartiles + abs(score - every.median()))


def test_scores_agree_up_to_rounding(there, tmp_path):
    table = made(there, some(there), tmp_path)
    assert tuple(table.columns) == COLUMNS
    assert table["proxy"].tolist() == [PROXY, "meco"]
    assert (table["agree"] == table["n"]).all()
    assert (table["n"] == 41).all()
    assert (table["allowed"] < 0.01).all()
    assert layout(table)["agree"].tolist() == ["41", "41"]


@pytest.mark.parametrize(("part", "agrees"), [(0.99, True), (1.01, False)])
def test_the_tolerance_is_as_said(there, part, agrees, tmp_path):
    live = some(there)
    row = live[(live["proxy"] == "meco") & (live["status"] == "ok")].index[3]
    score = there.loc[
        (there["proxy"] == "meco") & (there["arch"] == live.loc[row, "arch"]), "score"
    ].item()
    live.loc[row, "score"] = score + part * allowed(there, "meco", score)
    if agrees:
        table = made(there, live, tmp_path).set_index("proxy")
        assert table.loc["meco", "allowed"] == pytest.approx(part)
        return
    said = f"1 of 41 scores of meco on cifar10, seed 0, .* architecture {live.loc[row, 'arch']} has"
    with pytest.raises(UntrainedError, match=said):
        made(there, live, tmp_path)


def test_a_score_that_should_be_undefined_disagrees(there, tmp_path):
    live = some(there)
    row = live[live["status"] != "ok"].index[0]
    live.loc[row, ["score", "status"]] = 1.0, "ok"
    with pytest.raises(UntrainedError, match="1 of 41 scores"):
        made(there, live, tmp_path)


def test_others_of_a_class_are_not_compared(there, tmp_path):
    """They come along with the score of the first, whose weights are others than theirs."""
    live, owners = some(there), get_space("nasbench201").executed_representatives
    other = int(np.flatnonzero(owners != np.arange(len(owners)))[0])
    more = live[live["status"] == "ok"].groupby("proxy").head(1).assign(arch=other, score=1e6)
    table = made(there, pd.concat([live, more]), tmp_path)
    assert (table["n"] == 41).all()


def test_what_differs_in_seed_images_or_size_is_not_compared(there, tmp_path):
    live = some(there)
    for other in (live.assign(seed=1), live.assign(dataset="cifar100")):
        assert made(there, other, tmp_path).empty
    assert made(there, live, tmp_path, {"batch_size": 128}).empty


def test_it_applies_where_searches_read_what_comes_along():
    space, other = get_space("nasbench201"), get_space("natsbench_size")
    scores = {"split": "sample", "augmentation": "none", "sampling": "uniform"}
    shipped = {"scores": scores, "searches": {"scores": "shipped"}}
    assert applies(space, shipped)
    assert not applies(other, shipped)
    assert not applies(space, shipped | {"searches": {"scores": "live"}})
    for name, value in (("split", "train"), ("augmentation", "crop-flip")):
        assert not applies(space, shipped | {"scores": scores | {name: value}})


def test_an_empty_table_has_the_columns(there, tmp_path):
    table = made(there, some(there).head(0), tmp_path)
    assert tuple(table.columns) == COLUMNS
    assert pd.DataFrame(layout(table)).empty

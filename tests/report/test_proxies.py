"""Scores beside their controls, from scores and accuracies to the table of the figure."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau
from tests.report import RESAMPLED, fed

from untrained.report import published
from untrained.report.sections.correlations import correlation_table
from untrained.report.sections.proxies import COLUMNS, proxy_layout, proxy_table

N = 40
NAMES = ["flops", "naswot-released", "synflow-logsynflow", "lga", "naswot", "synflow", "naswot@1",
         "jacobian_covariance:256", "grad_norm", "jacobian_covariance"]  # fmt: skip


def accuracies(dataset, split):
    return np.random.default_rng(len(dataset + split)).normal(size=N)


def scores():
    generator = np.random.default_rng(0)
    rows = []
    for images in ("cifar10", "cifar100"):
        for name in NAMES:
            values = generator.normal(size=N)
            if name == "synflow":
                values[:3] = np.nan
            status = np.where(np.isnan(values), "disconnected", "ok")
            rows.append(
                pd.DataFrame(
                    {"arch": np.arange(N), "proxy": name, "dataset": images, "seed": 0,
                     "score": values, "status": status}
                )
            )  # fmt: skip
    return pd.concat(rows, ignore_index=True)


@pytest.fixture(scope="module")
def correlations():
    costs = {"parameters": np.arange(N) + 0.0, "flops": np.arange(N) % 7 + 0.0}
    return correlation_table(fed(accuracies, scores=scores(), costs=costs), RESAMPLED)


def of(correlations, space="nasbench201"):
    return proxy_table(fed(accuracies, space=space, tables={"correlations": correlations}), {})


def test_every_row_is_a_tau_with_the_test_accuracy(correlations):
    found = of(correlations)
    assert tuple(found.columns) == COLUMNS
    images = correlations["images"].drop_duplicates().tolist()
    assert found["images"].drop_duplicates().tolist() == images
    for name in images:
        names = found.loc[found["images"] == name, "proxy"].tolist()
        every = correlations.loc[correlations["images"] == name]
        own = every["proxy"].drop_duplicates()
        assert sorted(names) == sorted(own), "also plug-ins', trained ones and other batches"
        controls = set(every.loc[every["seeds"] == 0, "proxy"])
        assert set(names[-len(controls) :]) == controls, "controls come last"
    assert set(zip(found["dataset"], found["split"], strict=True)) == {
        ("cifar10", "ori-test"),
        ("cifar100", "x-test"),
    }
    every = scores().set_index(["dataset", "proxy"])["score"]
    for row in found.to_dict("records"):
        values = np.arange(N) + 0.0
        if row["proxy"].startswith("accuracy"):
            continue  # another control
        if row["proxy"] != "parameters":
            values = np.nan_to_num(every[row["images"], row["proxy"]].to_numpy(), nan=-100)
        expected = kendalltau(values, accuracies(row["dataset"], row["split"])).statistic
        assert row["tau"] == pytest.approx(expected, abs=1e-12)
        assert row["low"] < row["tau"] < row["high"]
        assert (row["n"], row["undefined"]) == (N, 3 * (row["proxy"] == "synflow"))
    assert set(found["space"]) == {"nasbench201"}


def test_published_figures_stand_beside_ours(correlations):
    found = of(correlations).set_index(["images", "proxy"])
    known = found[found["source"] != ""]
    assert known["published_tau"].to_dict() == {
        ("cifar10", "synflow"): 0.571,
        ("cifar10", "synflow-logsynflow"): 0.630,
        # on the test accuracy of CIFAR-10 the paper has none
        ("cifar10", "naswot"): 0.598,
        ("cifar10", "naswot-released"): 0.598,
        ("cifar100", "naswot"): 0.611,
        ("cifar100", "naswot-released"): 0.611,
    }
    assert known.loc[("cifar100", "naswot"), "source"] == published.PAPER
    assert (
        known.loc[("cifar10", "naswot"), "source"] == "recomputed from FreeREA's published scores"
    )
    assert found["published_tau"].isna().sum() == len(found) - len(known)
    other = of(correlations, "nds_darts").set_index(["images", "proxy"])
    assert other["published_tau"].dropna().to_dict() == {
        ("cifar10", "grad_norm"): 0.28,
        ("cifar10", "synflow"): 0.37,
        ("cifar10", "naswot"): 0.467,
        ("cifar10", "naswot-released"): 0.467,
        ("cifar10", "parameters"): 0.50,
        ("cifar10", "flops"): 0.51,
    }


def test_of_some_spaces_nothing_is_published(correlations):
    table = of(correlations, "nds_resnet")
    assert len(table) > 0
    assert table["published_tau"].isna().all()
    assert (table["source"] == "").all()


def test_nothing_of_the_comparison_is_no_row(correlations):
    others = correlations[correlations["proxy"] == "nothing"]
    found = of(others)
    assert (tuple(found.columns), len(found)) == (COLUMNS, 0)


def test_the_layout_is_for_reading(correlations):
    layout = proxy_layout(of(correlations))
    row = layout[(layout["score"] == "naswot") & (layout["scored on"] == "cifar100")].iloc[0]
    assert row["accuracy"] == "cifar100 x-test"
    assert (row["n"], row["undefined"], row["published τ"]) == ("40", "0", "0.611")
    assert row["τ"].count("[") == 1
    assert row["source"] == published.PAPER
    assert layout.loc[layout["score"] == "flops", "published τ"].tolist() == ["", ""]

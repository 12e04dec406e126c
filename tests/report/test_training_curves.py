"""Medians, ranges and correlations of what was followed, against plain loops."""

import statistics

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau
from tests.report import RESAMPLED, SPLITS, fed

from untrained.errors import ParameterError
from untrained.report.sections.training_curves import (
    COLUMNS,
    CURVE_COLUMNS,
    curve_table,
    curves_layout,
    curves_table,
)

ACCURACY = np.random.default_rng(1).uniform(50, 95, 40)
STOPS = (0.0, 0.5, 2.0)
NAMES = ("change", "naswot", "ntk_condition_number-weights_train")


def accuracy(dataset, split):
    assert (dataset, split) in (("cifar10", "ori-test"), ("cifar100", "x-test"))
    return ACCURACY - 10 * (dataset == "cifar100")


def medians(table):
    return curve_table(table, accuracy, SPLITS)


def summed_up(curves, **options):
    inputs = fed(lambda *_: ACCURACY, tables={"training_curve_points": curves})
    return curves_table(inputs, RESAMPLED | options)


def readings(cells=12, seeds=3, dataset="cifar10"):
    rng = np.random.default_rng(cells)
    rows = [
        (dataset, arch, seed, epochs, name, rng.standard_normal(), "ok", "")
        for arch in range(3, 3 + cells)
        for seed in range(seeds)
        for epochs in STOPS
        for name in NAMES
    ]
    names = ["dataset", "arch", "seed", "epochs", "quantity", "value", "status", "reason"]
    table = pd.DataFrame(rows, columns=names)
    lost = (table["arch"] == 5) & (table["epochs"] > 1)
    table.loc[lost, ["value", "status"]] = np.nan, "diverged"
    table.loc[(table["arch"] == 6) & (table["seed"] == 1), ["value", "status"]] = np.nan, "singular"
    return table


def test_a_curve_is_the_median_of_the_seeds_that_have_a_value():
    table = readings()
    curves = medians(table)
    assert tuple(curves) == CURVE_COLUMNS
    assert len(curves) == 12 * 3 * 3
    for row in curves.itertuples():
        own = table[
            (table["arch"] == row.arch)
            & (table["epochs"] == row.epochs)
            & (table["quantity"] == row.quantity)
        ]
        values = [one.value for one in own.itertuples() if one.status == "ok"]
        assert row.seeds == 3
        assert row.undefined == 3 - len(values)
        assert row.median == statistics.median(values) if values else np.isnan(row.median)
        assert row.accuracy == ACCURACY[row.arch]
    assert {0, 1, 3} == set(curves["undefined"])
    assert curves["quantity"].head(3).tolist() == list(NAMES)


def test_what_is_measured_comes_before_the_scores():
    table = readings(2, 1)
    late = table[(table["quantity"] == "naswot") & (table["epochs"] > 0)].assign(quantity="loss")
    curves = medians(pd.concat([table, late]))
    assert list(dict.fromkeys(curves["quantity"])) == ["change", *NAMES[1:], "loss"]
    found = summed_up(curves)
    assert list(dict.fromkeys(found["quantity"])) == ["change", "loss", *NAMES[1:]]


def test_values_without_the_status_ok_do_not_count():
    table = readings(1, 1)
    table["status"] = "diverged"
    assert medians(table)["median"].isna().all()


def test_two_data_sets_have_their_own_accuracies():
    both = pd.concat([readings(2), readings(2, dataset="cifar100")])
    curves = medians(both).set_index("dataset")
    assert set(curves.loc["cifar100", "accuracy"]) == set(curves.loc["cifar10", "accuracy"] - 10)


def test_a_reading_that_is_there_twice():
    table = readings(2, 1)
    with pytest.raises(ParameterError, match=r"^cell 3 on cifar10 has two readings of change aft"):
        medians(pd.concat([table, table]))


def test_a_row_sums_up_the_cells():
    curves = medians(readings())
    found = summed_up(curves, resamples=200)
    assert tuple(found) == COLUMNS
    assert len(found) == 9
    for row in found.itertuples():
        own = curves[(curves["epochs"] == row.epochs) & (curves["quantity"] == row.quantity)]
        known = own[own["median"].notna()]
        values = known["median"].tolist()
        assert (row.cells, row.undefined, row.seeds) == (len(values), 12 - len(values), 3)
        assert row.undefined == (row.epochs == 2)
        assert (row.low, row.high) == (min(values), max(values))
        assert row.median == pytest.approx(statistics.median(values))
        if row.quantity == "change":
            assert np.isnan([row.tau, row.tau_low, row.tau_high]).all()
        else:
            sign = -1 if row.quantity == NAMES[2] else 1
            tau = kendalltau([sign * value for value in values], known["accuracy"]).statistic
            assert row.tau == pytest.approx(tau)
            assert row.tau_low < row.tau < row.tau_high


@pytest.mark.parametrize(("cells", "there"), [(9, False), (10, True)])
def test_few_cells_have_no_tau(cells, there):
    table = readings(cells)
    found = summed_up(medians(table[table["status"] == "ok"]))
    of_scores = found[(found["quantity"] != "change") & (found["epochs"] == 0)]
    assert of_scores["tau"].notna().all() == there


def test_the_layout_has_a_column_per_stop():
    curves = medians(readings())
    layout = curves_layout(summed_up(curves))
    assert list(layout) == [
        *("images", "quantity", "seeds", "cells", "epoch 0", "epoch 0.5", "epoch 2"),
    ]
    assert layout["quantity"].tolist() == [
        *("change", "naswot", "Kendall's τ of naswot"),
        *("ntk_condition_number-weights_train",),
        "Kendall's τ of ntk_condition_number-weights_train",
    ]
    assert set(layout["cells"]) == {"11 to 12"}
    few = curves_layout(summed_up(medians(readings(4))))
    assert few["quantity"].tolist() == list(NAMES)
    own = curves[(curves["quantity"] == "change") & (curves["epochs"] == 0.5)]["median"]
    said = f"{own.median():.4g} [{own.min():.4g}, {own.max():.4g}]"
    assert layout.loc[0, "epoch 0.5"] == said

import numpy as np
import pandas as pd
import pytest
from tests.report import SPLITS, table_of_searches

from untrained.report.published import WEIGHT_SHARING
from untrained.report.search_tables import COLUMNS, search_layout, search_notes


def runs(method, accuracies, dataset="cifar10", split="val"):
    return pd.DataFrame(
        {
            "method": method,
            "run": range(len(accuracies)),
            "dataset": dataset,
            "split": split,
            "accuracy": accuracies,
        }
    )


def row(table, method, dataset="cifar10", split="val"):
    return table.set_index(["method", "dataset", "split"]).loc[method, dataset, split]


def test_a_cell_is_mean_spread_and_difference_in_joint_standard_errors():
    cell = row(table_of_searches(runs("NASWOT N=10", [88.0, 90.0, 91.0])), "NASWOT N=10")
    assert cell["mean"] == pytest.approx(269 / 3)
    spread = (sum((x - 269 / 3) ** 2 for x in (88, 90, 91)) / 2) ** 0.5
    assert cell["std"] == pytest.approx(spread)
    joint = (spread**2 / 3 + 1.14**2 / 500) ** 0.5
    assert cell["difference"] == pytest.approx(269 / 3 - 89.14)
    assert cell["difference_in_se"] == pytest.approx((269 / 3 - 89.14) / joint)
    assert (cell["runs"], cell["published_runs"], cell["note"]) == (3, 500, "")


def test_every_method_has_a_row_per_cell_and_what_is_missing_says_why():
    table = table_of_searches(
        runs("Random", [80.0, 81.0]), reasons={"Optimal N=100": "the sample has 40 cells"}
    )
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 6 * len(SPLITS)
    cell = row(table, "Optimal N=100", "cifar100", "test")
    assert cell["note"] == "the sample has 40 cells"
    assert cell[["mean", "std", "runs", "difference", "difference_in_se"]].isna().all()
    assert cell["published_mean"] == 71.56
    assert row(table, "NASWOT N=10")["note"] == "not run"


def test_what_was_neither_run_nor_published_has_no_row():
    splits = {("ImageNet", "test"): ("ImageNet", "ori-test")}
    ours = runs("Random", [80.0, 81.0], "ImageNet", "test")
    table = table_of_searches(ours, beside={}, splits=splits, reasons={"Optimal N=10": "few"})
    assert table["method"].tolist() == ["Random", "Optimal N=10"]


def test_a_method_of_ours_alone_follows_without_a_published_number():
    table = table_of_searches(runs("Optimal N=1000", [93.0, 94.0]))
    assert table["method"].iloc[-1] == "Optimal N=1000"
    cell = row(table, "Optimal N=1000")
    assert cell["mean"] == 93.5
    assert cell["note"] == "not published"
    assert cell[["published_mean", "published_runs", "difference_in_se"]].isna().all()


def test_columns_that_a_search_is_not_read_off_on_are_empty():
    method = "RS (searched on cifar100)"
    table = table_of_searches(runs(method, [70.0, 71.0], "cifar100"), reasons={"AREA": "few"})
    for dataset, split in SPLITS:
        cell = row(table, method, dataset, split)
        read = (dataset, split) == ("cifar100", "val")
        assert cell["note"] == ("not published" if read else "")
        assert np.isnan(cell["mean"]) == (not read)
    assert row(table, "AREA", "cifar10", "test")["note"] == "few; not published"
    assert row(table, "NASWOT N=10")["note"] == "not run"
    assert str(table["runs"].dtype) == "Int64"
    layout = search_layout(table).set_index("method")
    assert layout.loc[method, "CIFAR-100 val"] == "70.50 ± 0.71 (not published)"
    assert set(layout.loc[method].drop("CIFAR-100 val")) == {""}
    assert [note for note in search_notes(table) if method in note] == [f"{method}: not published"]


def test_a_published_number_of_an_unnamed_split_is_not_compared():
    for method in ("AREA", "AREA (first 50 runs)"):
        found = runs(method, [71.0, 71.2], "cifar100")
        cell = row(table_of_searches(found, methods=[method]), method, "cifar100")
        assert np.isnan(cell["difference"])
        assert cell["note"] == "cifar100 published without its split: 71.95 ± 0.99"


def test_quoted_methods_end_the_table_and_are_held_against_nothing():
    table = table_of_searches(runs("Optimal N=1000", [93.0, 94.0]), quoted=WEIGHT_SHARING)
    last = table[-36:]
    assert list(dict.fromkeys(last["method"])) == list(WEIGHT_SHARING)
    assert set(last["note"]) == {"published, not run"}
    assert last[["mean", "std", "runs", "difference", "difference_in_se"]].isna().all(axis=None)
    cell = row(table, "GDAS", "cifar100", "test")
    assert cell[["published_mean", "published_std", "published_runs"]].tolist() == [70.61, 0.26, 3]


def test_a_quoted_method_that_was_run_is_ours():
    table = table_of_searches(runs("GDAS", [70.0, 71.0]), quoted=WEIGHT_SHARING)
    assert (table["method"] == "GDAS").sum() == len(SPLITS)
    assert row(table, "GDAS")["note"] == ""


def test_a_run_without_accuracy_empties_the_cell():
    cell = row(table_of_searches(runs("Random", [80.0, np.nan, 82.0])), "Random")
    assert np.isnan(cell["mean"])
    assert cell["note"] == "1 of 3 runs have no accuracy"


def test_one_run_has_no_standard_error():
    cell = row(table_of_searches(runs("Random", [84.2])), "Random")
    assert cell["difference"] == pytest.approx(1.0)
    assert np.isnan(cell["difference_in_se"])
    assert cell["note"] == "one run: no standard error"

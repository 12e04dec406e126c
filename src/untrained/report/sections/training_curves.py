"""Kernels and scores of several cells over a short training."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from untrained.errors import ParameterError
from untrained.report import plotting
from untrained.report.inputs import Inputs, Splits
from untrained.report.published import published_rank
from untrained.report.scores import Accuracy, image_label, lower_is_better, proxy_label, target_of
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.statistics import correlation
from untrained.report.tables import with_interval

#: The columns of `curve_table`, in order.
CURVE_COLUMNS = (
    *("dataset", "arch", "accuracy", "epochs", "quantity"),
    *("seeds", "undefined", "median"),
)

#: The columns of `curves_table`, in order.
COLUMNS = (
    *("dataset", "epochs", "quantity", "seeds", "cells", "undefined", "median", "low", "high"),
    *("tau", "tau_low", "tau_high"),
)

#: Quantities that are measured besides scores; see `untrained.scoring.training_curves`.
MEASURED = ("change", "correlation", "accuracy", "loss")

#: Tau is not computed for fewer cells.
FEWEST_CELLS = 10


def _proxies(points: pd.DataFrame) -> list[str]:
    return [str(name) for name in points["quantity"].unique() if name not in MEASURED]


def _sorted(table: pd.DataFrame, keys: list[str], quantities: "pd.Series[str]") -> pd.DataFrame:
    """Sort rows by some columns; among the quantities, the measured ones precede the scores."""
    names = dict.fromkeys([*MEASURED, *quantities])
    places = {name: place for place, name in enumerate(names)}
    return table.sort_values(
        keys, key=lambda own: own.map(places) if own.name == "quantity" else own, ignore_index=True
    )


def curve_table(readings: pd.DataFrame, accuracy: Accuracy, splits: Splits) -> pd.DataFrame:
    """Take the median over the seeds of each quantity of each cell at each stop.

    Returns:
        One row per data set, cell, number of epochs and quantity, with `CURVE_COLUMNS`: `accuracy`
        is that of the test images; `median` is over the seeds for which the quantity is
        defined, NaN without any; `undefined` counts the other seeds. The quantities `MEASURED`
        come first.

    Raises:
        ParameterError: a reading is repeated.
    """
    key = ["dataset", "arch", "epochs", "quantity"]
    twice = readings[readings.duplicated([*key, "seed"])]
    if len(twice):
        one = twice.iloc[0]
        raise ParameterError(
            f"cell {one['arch']} on {one['dataset']} has two readings of {one['quantity']} after "
            f"{one['epochs']:g} epochs with seed {one['seed']}: give each file once"
        )
    defined = readings["status"] == "ok"
    known = readings.assign(undefined=~defined, median=readings["value"].where(defined))
    table = known.groupby(key, sort=False, as_index=False).agg(
        seeds=("seed", "size"), undefined=("undefined", "sum"), median=("median", "median")
    )
    table["accuracy"] = np.nan
    for images in table["dataset"].unique():
        own = table["dataset"] == images
        answers = accuracy(*target_of(str(images), "test", splits)[1:])
        table.loc[own, "accuracy"] = answers[table.loc[own, "arch"].to_numpy()]
    return _sorted(table, key, readings["quantity"])[list(CURVE_COLUMNS)]


def curves_table(inputs: Inputs, options: Options) -> pd.DataFrame:
    """Summarise the medians of `curve_table` over the cells, for each quantity at each stop.

    Returns:
        One row per data set, number of epochs and quantity, with `COLUMNS`: `low` and `high` are
        the smallest and the largest, `cells` counts those with a median, `undefined` the others,
        `seeds` is the largest number of seeds. `tau` is Kendall's tau-b of a proxy's scores and
        the test accuracies, positive where the better cell has the better score, with its 95 %
        bootstrap interval; NaN for other quantities and for fewer than `FEWEST_CELLS` cells.
    """
    curves = inputs.table("training_curve_points")
    lower = lower_is_better(_proxies(curves))
    rows = []
    for key, own in curves.groupby(["dataset", "epochs", "quantity"], sort=False):
        known, values = own.dropna(subset=["median", "accuracy"]), own["median"].dropna()
        taus: tuple[float, ...] = (np.nan,) * 3
        if key[2] not in MEASURED and len(known) >= FEWEST_CELLS:
            scores = (-1 if key[2] in lower else 1) * known["median"]
            taus = correlation(scores, known["accuracy"], **options)[:3]
        counts = (int(own["seeds"].max()), len(values), len(own) - len(values))
        rows.append((*key, *counts, values.median(), values.min(), values.max(), *taus))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return _sorted(table, ["dataset", "quantity", "epochs"], curves["quantity"])


def curves_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out median and range of quantities over the cells, with a column per stop.

    Below a proxy is a row with Kendall's tau, where it was computed.
    """
    rows = []
    stops = sorted(table["epochs"].unique())
    for (dataset, quantity), own in table.groupby(["dataset", "quantity"], sort=False):
        few, most = own["cells"].min(), own["cells"].max()
        row = {"images": str(dataset), "quantity": proxy_label(str(quantity))}
        row["seeds"] = str(own["seeds"].max())
        row["cells"] = str(most) if few == most else f"{few} to {most}"
        by_stop = own.set_index("epochs")
        ranges = by_stop[["median", "low", "high"]].apply(lambda one: _few_digits(*one), axis=1)
        rows.append(row | _named(ranges, stops))
        if own["tau"].notna().any():
            taus = by_stop[["tau", "tau_low", "tau_high"]]
            row["quantity"] = f"Kendall's τ of {row['quantity']}"
            rows.append(row | _named(taus.apply(lambda one: with_interval(*one), axis=1), stops))
    columns = ["images", "quantity", "seeds", "cells", *(f"epoch {stop:g}" for stop in stops)]
    return pd.DataFrame(rows, columns=columns)


def _named(cells: "pd.Series[str]", stops: Sequence[float]) -> dict[str, str]:
    """Return the cells of a row of the layout by column, empty at stops without one."""
    return {f"epoch {stop:g}": cells.get(stop, "") for stop in stops}


def _few_digits(middle: float, low: float, high: float) -> str:
    """Format `0.1234 [0.1, 0.2]` with four significant digits each."""
    return "" if pd.isna(middle) else f"{middle:.4g} [{low:.4g}, {high:.4g}]"


#: Quantity of a kernel to the title of its panel.
_KERNEL = {
    "change": "relative change of the kernel",
    "correlation": "correlation with the initial kernel",
}


def kernel_curves(curves: pd.DataFrame) -> "plotting.Figure":
    """Draw the change of the tangent kernel over a training (after Mok et al. 2022).

    The left panel has its relative change, the right one its correlation with the kernel before
    training. A line per cell is coloured by test accuracy; undefined values interrupt it.
    """
    return _curves(curves, _KERNEL)


def score_curves(curves: pd.DataFrame, proxies: Sequence[str]) -> "plotting.Figure":
    """Draw scores over a training, a panel per proxy (Mellor et al. 2021, Fig. 6)."""
    # a proxy with its variant is too wide for one line of a title
    return _curves(curves, {name: "\n".join(proxy_label(name).split("-", 1)) for name in proxies})


@plotting.style()
def _curves(curves: pd.DataFrame, titles: Mapping[str, str]) -> "plotting.Figure":
    """Draw a panel per quantity of `titles`; every data set starts a new row of panels."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    shown = curves[curves["quantity"].isin(titles) & curves["median"].notna()]
    if shown.empty:
        return plotting.nothing_drawn("there are no training curves")
    datasets = shown["dataset"].unique()
    columns = min(len(titles), 3)
    rows = -(-len(titles) // columns) * len(datasets)
    known = shown["accuracy"].dropna()
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    scale = ScalarMappable(Normalize(low, max(high, low + 1e-6)), "viridis")
    figure, grid = plotting.panels(rows, columns, (4.8 * columns + 1, 4.4 * rows))
    panels = grid.reshape(len(datasets), -1)
    for axes in panels[:, len(titles) :].flat:
        axes.set_axis_off()
    places = [(dataset, name) for dataset in datasets for name in titles]
    for axes, (dataset, name) in zip(panels[:, : len(titles)].flat, places, strict=True):
        own = curves[(curves["dataset"] == dataset) & (curves["quantity"] == name)]
        for _, line in own.groupby("arch"):
            colour = scale.to_rgba(line["accuracy"].iloc[0])
            axes.plot(line["epochs"], line["median"], color=colour, marker="o", markersize=5)
        # condition numbers, for example, differ by orders of magnitude
        if own["median"].min() > 0 and own["median"].max() > 30 * own["median"].min():
            axes.set_yscale("log")
        title = f"{dataset}: {titles[name]}" if len(datasets) > 1 else titles[name]
        axes.set_title(title, fontsize=12)
        axes.set_xlabel("epochs of training")
        plotting.faint_grid(axes)
    trained = f"trained on {', '.join(map(image_label, datasets))}"
    figure.suptitle(f"{curves['arch'].nunique()} random architectures, {trained}", fontsize=14)
    figure.colorbar(scale, ax=grid, label="test accuracy (%)", shrink=0.9)
    return figure


def _draw_scores(inputs: Inputs, _: Options) -> "plotting.Figure":
    """Draw the scores of every proxy, the NASWOT score first."""
    points = inputs.table("training_curve_points")
    order = sorted(_proxies(points), key=lambda name: published_rank(name) > 0)
    return score_curves(points, order)


SECTION = Section(
    name="training_curves",
    reads=("benchmark", "training_curves"),
    options=("resamples", "seed"),
    applies=lambda space, parameters: bool(
        parameters["training_curves"]["seeds"]
        and space.benchmark
        and not space.benchmark.bundled_sample
    ),
    tables=(
        Table(
            "training_curve_points",
            lambda inputs, _: curve_table(
                inputs.joined("training_curves"), inputs.benchmark.accuracies, inputs.splits
            ),
            "Training curves",
            on_page=False,
        ),
        Table(
            "training_curves",
            curves_table,
            "Change of the tangent kernel over training",
            "Quantities of random {members} after some epochs of training: median and range over "
            "the {members} of the median over the seeds. `change` and `correlation` compare the "
            "tangent kernel of the minibatch with that before training: ‖Θ - Θ₀‖ / ‖Θ₀‖ (Frobenius "
            "norms) and the correlation of all entries. `accuracy` is the percentage of the "
            "minibatch that gets its label, `loss` the cross-entropy of the last batch. The "
            "minibatch is not part of the training. Kendall's tau with test accuracy, positive "
            "where the more accurate of two {members} has the better score, is given with its 95 % "
            "bootstrap interval for ten {members} or more.",
            lambda table, _: curves_layout(table),
        ),
    ),
    figures=(
        Figure(
            "kernel_curves",
            lambda inputs, _: kernel_curves(inputs.table("training_curve_points")),
            "Change of the tangent kernel of random {members} over a short training: its relative "
            "change and its correlation with the kernel before training. Each line is the median "
            "over the seeds, coloured by test accuracy.",
        ),
        Figure(
            "score_curves",
            _draw_scores,
            "Scores of the same {members} over the same training (as in the NASWOT paper's Fig. 6, "
            "which shows cells of more than 90 % accuracy over 100 epochs).",
        ),
    ),
)

"""Results of TE-NAS's pruning search beside the published ones, and its rounds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrained.errors import ParameterError
from untrained.report import plotting
from untrained.report.inputs import Inputs
from untrained.report.published import published_prunings
from untrained.report.scores import image_label
from untrained.report.search_tables import COLUMNS as SEARCH_COLUMNS
from untrained.report.search_tables import narrow_search_layout, search_layout, search_table
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.tables import terminal_table, with_spread

if TYPE_CHECKING:
    from untrained.search.supernets import PrunedSpace

#: The columns of `pruning_table`, in order.
COLUMNS = (*SEARCH_COLUMNS[:1], "variant", "criterion", "images", *SEARCH_COLUMNS[1:], "cells")

#: The columns of `trajectory_table`, in order.
TRAJECTORY = (
    *("method", "variant", "criterion", "images", "seed", "round"),
    *("kappa", "regions", "kappa_change", "regions_change"),
)

#: The control rows of `pruning_table`.
RANDOM_CELL = "Random cell"
MOST_PARAMETERS = "Most parameters"


def make(inputs: Inputs, _: Options) -> pd.DataFrame:
    """Summarise the results of pruning searches."""
    from untrained.search.supernets import pruned_space

    pruned = pruned_space(inputs.name)
    cells = {run: cell_left(pruned, trace) for run, trace in _runs(inputs).items()}
    return pruning_table(cells, inputs)


def _runs(inputs: Inputs) -> "dict[PruningRun, pd.DataFrame]":
    """Return the traces by their searches, which their paths name."""
    from untrained.search.pruning import Pruning

    named: dict[PruningRun, Path] = {}
    for path in inputs.files.get("prunings", ()):
        number = path.stem.removeprefix("seed")
        numbered = re.fullmatch("[0-9]+", number)
        if len(path.parts) < 5 or path.parts[-3] != inputs.name or not numbered:
            raise ParameterError(
                f"{path}: traces lie at VARIANT/CRITERION/{inputs.name}/DATASET/seedN.parquet"
            )
        variant, criterion, _, images = path.parts[-5:-1]
        Pruning(variant, criterion, dataset=images)  # raises for unknown names
        run = PruningRun(variant, criterion, images, int(number))
        if run in named:
            raise ParameterError(f"{path}: two traces of {run.method} and seed {number}: give one")
        named[run] = path
    tables = dict(inputs.read("prunings"))
    return {run: tables[path] for run, path in named.items()}


@dataclass(frozen=True, order=True)
class PruningRun:
    """A pruning search with its seed.

    Attributes:
        variant: `tenas` or `released`.
        criterion: `both`, `kappa` or `regions`.
        images: data set of the images.
        seed: seed of the search.
    """

    variant: str
    criterion: str
    images: str
    seed: int

    @property
    def method(self) -> str:
        """Its name in tables, which leaves the seed out."""
        from untrained.search.pruning import VARIANTS

        return f"{VARIANTS[self.variant]} ({self.criterion}, {self.images})"

    @property
    def place(self) -> tuple[object, ...]:
        """Its sort key: the corrected search before the released one, both criteria before one."""
        from untrained.search.pruning import VARIANTS

        return self.images, list(VARIANTS).index(self.variant), self.criterion, self.seed


def cell_left(space: "PrunedSpace", trace: pd.DataFrame) -> int:
    """Return the index of the architecture that a search ended with, from its trace.

    Raises:
        ParameterError: several operations remain on an edge.
    """
    mask = space.full_mask()
    edges = [f"{source}->{target}" for source, target in space.edges]
    places = {named: row for row, named in enumerate(zip(space.cells, edges, strict=True))}
    pruned = trace.loc[trace["pruned"], ["cell", "edge", "operation"]]
    for cell, edge, operation in pruned.itertuples(index=False):
        mask[places[cell, edge], space.operations.index(operation)] = False
    for edge, left in zip(edges, mask, strict=True):
        if left.sum() > 1:
            names = ", ".join(np.array(space.operations)[left])
            raise ParameterError(
                f"edge {edge} is left with {names}: a search prunes all but one, so make its trace "
                "again"
            )
    return space.architecture(mask).index


def pruning_table(cells: Mapping[PruningRun, int], inputs: Inputs) -> pd.DataFrame:
    """Summarise the final cells of each search over its seeds, beside the published results.

    Returns:
        One row per method, data set and split with `COLUMNS`: those of `search_tables.search_table`
        with seeds as runs, the `variant`, `criterion` and `images` of the method, and the indices
        of the final `cells` in the order of the seeds. The paper searches on each data set
        separately; its result by a criterion is compared with ours on any images. Two control
        methods follow: one random cell (mean and standard deviation over every cell of the space),
        and the cell with the most parameters (the first of equals).
    """
    truth, splits = inputs.benchmark, inputs.splits
    parameters = truth.costs(inputs.main(truth.networks))["parameters"].to_numpy(dtype=np.float64)
    ordered = sorted(cells, key=lambda run: run.place)
    largest = int(np.argmax(parameters))
    runs = [(run.method, run.seed, cells[run]) for run in ordered]
    runs += [(RANDOM_CELL, cell, cell) for cell in range(len(parameters))]
    runs.append((MOST_PARAMETERS, 0, largest))
    columns = pd.DataFrame(runs, columns=["method", "run", "cell"])
    results = pd.concat(
        [
            columns.assign(
                dataset=dataset, split=split, accuracy=truth.accuracies(*of)[columns["cell"]]
            )
            for (dataset, split), of in splits.items()
        ],
        ignore_index=True,
    )
    methods = {run.method: run for run in ordered}
    beside = {
        (method, *key[1:]): figures
        for method, run in methods.items()
        for key, figures in published_prunings(inputs.name).items()
        if key[0] == run.criterion
    }
    table = search_table(results, splits, beside, methods=())
    for name, note in ((RANDOM_CELL, "of one cell"), (MOST_PARAMETERS, f"cell {largest}")):
        table.loc[(table["method"] == name) & table["mean"].notna(), "note"] = note
    for name in ("variant", "criterion", "images"):
        values = {method: getattr(run, name) for method, run in methods.items()}
        table[name] = [values.get(method, "") for method in table["method"]]
    found = {name: [str(cells[run]) for run in ordered if run.method == name] for name in methods}
    table["cells"] = [" ".join(found.get(method, [])) for method in table["method"]]
    return table[list(COLUMNS)]


def trajectory_table(traces: Mapping[PruningRun, pd.DataFrame]) -> pd.DataFrame:
    """Return the condition number and the linear regions of the supernet in each round.

    Returns:
        One row per search and round with `TRAJECTORY`; the last round measures the final cell.
        `kappa` and `regions` are means over the repeats, NaN where undefined in all of them;
        changes are relative to the previous round, (now - before) / before, NaN for the first.
    """
    tables = [pd.DataFrame(columns=list(TRAJECTORY))]
    for run in sorted(traces, key=lambda run: run.place):
        rounds = traces[run].groupby("round", as_index=False)[["kappa", "regions"]].first()
        changes = rounds[["kappa", "regions"]].pct_change(fill_method=None).add_suffix("_change")
        tables.append(rounds.assign(method=run.method, **vars(run)).join(changes))
    return pd.concat(tables[1:] or tables, ignore_index=True)[list(TRAJECTORY)]


def trajectory_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out the rounds of pruning searches as mean and standard deviation over the seeds."""
    columns = {
        "kappa": ("condition number", 1, 1),
        "kappa_change": ("change (%)", 100, 1),
        "regions": ("linear regions", 1, 0),
        "regions_change": ("change of these (%)", 100, 1),
    }
    groups = table.groupby(["method", "round"], sort=False)
    layout = groups.size().astype(str).rename("seeds").reset_index().astype({"round": str})
    for name, (title, scale, digits) in columns.items():
        means, spreads = scale * groups[name].mean(), scale * groups[name].std(ddof=1)
        layout[title] = [
            with_spread(mean, spread, digits) for mean, spread in zip(means, spreads, strict=True)
        ]
    return layout


@plotting.style()
def trajectory(table: pd.DataFrame) -> "plotting.Figure":
    """Draw condition number against linear regions over the rounds (Chen et al. 2021, Fig. 3 B).

    There is a panel per method and seed, with a line from the unpruned supernet (hollow) to the
    final cell; the points are numbered by their rounds. An undefined condition number interrupts
    the line.
    """
    if table.empty:
        return plotting.nothing_drawn("no pruning search was run")
    methods, seeds = list(table["method"].unique()), sorted(table["seed"].unique())
    size = (max(6.5, 2.8 * len(seeds) + 1.4), max(5.0, 2.7 * len(methods) + 1.4))
    figure, panels = plotting.panels(len(methods), len(seeds), size, sharex=True, sharey=True)
    for row, method in zip(panels, methods, strict=True):
        for axes, seed in zip(row, seeds, strict=True):
            own = table[(table["method"] == method) & (table["seed"] == seed)]
            if own.empty:
                axes.set_axis_off()
            else:
                _trajectory(axes, own)
                heading = f"{method}, seed {seed}".replace(" (", "\n(")
                axes.set_title(heading, fontsize=11)
    panels[0][0].set_yscale("log")
    plotting.plain_steps(panels[0][0].yaxis, (1, 1.5, 2, 3, 5, 7))
    for axes in panels[-1]:
        axes.set_xlabel("linear regions\n(activation patterns)", fontsize=12)
    for axes in panels[:, 0]:
        axes.set_ylabel("condition number\n(largest / smallest\neigenvalue)", fontsize=12)
    count = len(table.drop_duplicates(["method", "seed"]))
    shown = ", ".join(map(image_label, table["images"].unique()))
    figure.suptitle(f"n = {count} pruning searches, one per panel; images of {shown}", fontsize=14)
    keys = [
        plotting.source_key("unpruned supernet", "none"),
        plotting.source_key("after a round; the last is the final cell", "full"),
    ]
    plotting.legend_below(figure, keys, 2)
    return figure


def _trajectory(axes: "plotting.Axes", rounds: pd.DataFrame) -> None:
    """Draw the path of one search."""
    from matplotlib.patheffects import Normal, Stroke

    points = {"linewidth": 1.2, **plotting.look(0, 6)}
    axes.plot(rounds["regions"], rounds["kappa"], **points)
    first = rounds.iloc[:1]
    axes.plot(first["regions"], first["kappa"], markerfacecolor="white", **points)
    for number, regions, kappa in rounds[["round", "regions", "kappa"]].itertuples(index=False):
        if np.isfinite(kappa):
            text = axes.annotate(
                str(number),
                (regions, kappa),
                xytext=(6, 6),
                textcoords="offset points",
                fontsize=10,
            )
            text.set_path_effects([Stroke(linewidth=3, foreground="white"), Normal()])
    axes.locator_params(axis="x", nbins=4)
    axes.tick_params(labelsize=11, labelbottom=True)
    plotting.faint_grid(axes)


def _cells(table: pd.DataFrame) -> list[str]:
    found = table[table["cells"] != ""].drop_duplicates("method")
    return [
        f"{row['method']}: cell {', '.join(row['cells'].split())}"
        for row in found.to_dict("records")
    ]


def _show(inputs: Inputs) -> list[Any]:
    title = "The pruning search of TE-NAS: accuracy in %, ours and the paper's"
    return [
        "",
        terminal_table(narrow_search_layout(inputs.table("prunings")), title=title),
        "In brackets: criterion and data set searched on. Random cell: mean and standard deviation "
        "over every cell. The paper searches on each data set separately.",
    ]


SECTION = Section(
    name="prunings",
    reads=("benchmark", "prunings"),
    applies=lambda space, parameters: bool(space.supernet and parameters["prunings"]["seeds"]),
    tables=(
        Table(
            "prunings",
            make,
            "The pruning search of TE-NAS",
            "Accuracy of the final cell, mean and standard deviation over the seeds; in brackets "
            "the published results and the difference in joint standard errors (se) where there is "
            "more than one seed. A method names its criterion (`both`: the sum of the ranks by "
            "condition number and linear regions) and the data set searched on; it is evaluated on "
            "all data sets, while the paper searches on each separately. The paper's ablation is "
            "on CIFAR-100. `Random cell`: mean and standard deviation over every cell of the "
            "space; the mean of n random cells has the same mean, and a standard deviation smaller "
            "by √n. `Most parameters`: the cell with the most parameters, the first of equals.",
            lambda table, _: search_layout(table),
            below=_cells,
        ),
        Table(
            "trajectory",
            lambda inputs, _: trajectory_table(_runs(inputs)),
            "Rounds of the pruning search of TE-NAS",
            "Condition number and linear regions of the supernet at the start of each round and of "
            "the final cell: mean and standard deviation over the seeds. Changes are relative to "
            "the previous round. The corrected search draws new weights and images for every "
            "round, so changes include the effect of the draw.",
            lambda table, _: trajectory_layout(table),
        ),
    ),
    figures=(
        Figure(
            "trajectory",
            lambda inputs, _: trajectory(inputs.table("trajectory")),
            "Condition number against linear regions over the rounds of the pruning search "
            "(TE-NAS's Fig. 3 B): a panel per method and seed, from the unpruned supernet (hollow) "
            "to the final cell. The points are numbered by their rounds.",
        ),
    ),
    show=_show,
)

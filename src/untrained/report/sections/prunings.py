"""What TE-NAS's pruning search found, beside the published figures; and how it got there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.errors import ParameterError
from untrained.report import plotting
from untrained.report.inputs import Inputs
from untrained.report.published import NASBENCH201_SPLITS, published
from untrained.report.search_tables import COLUMNS as SEARCH_COLUMNS
from untrained.report.search_tables import narrow_search_layout, search_layout, search_table
from untrained.report.section import Figure, Options, Section, Table
from untrained.report.tables import terminal_table, with_spread
from untrained.report.targets import Accuracy, main_of
from untrained.spaces.nasbench201 import EDGES, spelling_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawn

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

Floats = npt.NDArray[np.float64]


def make(inputs: Inputs, options: Options) -> tuple[pd.DataFrame, ...]:
    """Summarise what pruning searches found, and lay out their rounds."""
    del options
    truth = inputs.benchmark
    runs = _runs(inputs)
    cells = {run: inputs.space.parse(cell_left(trace)).index for run, trace in runs.items()}
    costs = truth.costs(main_of(truth.networks))
    parameters = costs["parameters"].to_numpy(dtype=np.float64)
    return pruning_table(cells, truth.accuracies, parameters), trajectory_table(runs)


def _runs(inputs: Inputs) -> "dict[PruningRun, pd.DataFrame]":
    """Search to its trace, as the path of the trace says."""
    from untrained.search.pruning import Pruning

    if inputs.space.supernet is None:
        raise ParameterError(f"{inputs.name} has no supernet to prune")
    named: dict[PruningRun, Path] = {}
    for path in (inputs.files or {}).get("prunings", ()):
        number = path.stem.removeprefix("seed")
        if len(path.parts) < 5 or path.parts[-3] != inputs.name or not number.isdecimal():
            raise ParameterError(
                f"{path}: traces lie at VARIANT/CRITERION/{inputs.name}/DATASET/seedN.parquet"
            )
        variant, criterion, _, images = path.parts[-5:-1]
        Pruning(variant, criterion, dataset=images)  # knows what there is
        run = PruningRun(variant, criterion, images, int(number))
        if run in named:
            raise ParameterError(f"{path}: two traces of {run.method} and seed {number}: give one")
        named[run] = path
    tables = dict(inputs.read("prunings"))
    return {run: tables[path] for run, path in named.items()}


@dataclass(frozen=True, order=True)
class PruningRun:
    """Which search a trace is of.

    Attributes:
        variant: `tenas` or `released`.
        criterion: `both`, `kappa` or `regions`.
        images: data set that the supernets were shown.
        seed: of the search.
    """

    variant: str
    criterion: str
    images: str
    seed: int

    @property
    def method(self) -> str:
        """Its row of the table: all but the seed."""
        name = "TE-NAS" if self.variant == "tenas" else f"TE-NAS {self.variant}"
        return f"{name} ({self.criterion}, {self.images})"


Traces = Mapping[PruningRun, pd.DataFrame]


def cell_left(trace: pd.DataFrame) -> str:
    """The spelling of the cell of NAS-Bench-201 that a search ended in.

    Args:
        trace: of the search, with `TRACE_COLUMNS`; see `untrained.search.pruning.Found`.

    Raises:
        ParameterError: an edge is left with another number of operations than one.
    """
    named = trace[trace["operation"] != ""]
    pruned = set(named.loc[named["pruned"], ["edge", "operation"]].itertuples(index=False))
    operations = []
    for source, target in EDGES:
        edge = f"{source}->{target}"
        begun = named.loc[(named["round"] == 1) & (named["edge"] == edge), "operation"]
        left = [operation for operation in begun if (edge, operation) not in pruned]
        if len(left) != 1:
            raise ParameterError(
                f"edge {edge} is left with {', '.join(left) or 'no operation'}: a search prunes "
                "all but one, so make its trace again"
            )
        operations.append(left[0])
    return spelling_of(tuple(operations))


def pruning_table(
    cells: Mapping[PruningRun, int], accuracy: Accuracy, parameters: Floats
) -> pd.DataFrame:
    """Summarise the seeds of each search and hold them against the published ones.

    Args:
        cells: search to the index of the cell that it ended in.
        accuracy: (benchmark data set, split) to percent by index after 200 epochs.
        parameters: (n,) number of parameters by index.

    Returns:
        One row per method, data set and split with `COLUMNS`: those of `search_tables.search_table`
        with seeds for runs, what the method is (`variant`, `criterion`, `images` searched on), and
        the indices of the `cells` in the order of the seeds. The paper searches each data set on
        its own; its figure of a criterion stands beside ours whatever was searched on. Two control
        methods follow: the mean and the standard deviation over every cell of the space, which are
        those of one random cell, and the cell with the most parameters (the first of equals).
    """
    ordered = sorted(cells.items(), key=lambda item: _order(item[0]))
    runs = [(run.method, run.seed, cell) for run, cell in ordered]
    runs += [(RANDOM_CELL, cell, cell) for cell in range(len(parameters))]
    largest = int(np.argmax(parameters))
    runs.append((MOST_PARAMETERS, 0, largest))
    columns = pd.DataFrame(runs, columns=["method", "run", "cell"])
    results = pd.concat(
        [
            columns.assign(
                dataset=dataset, split=split, accuracy=accuracy(*column)[columns["cell"]]
            )
            for (dataset, split), column in NASBENCH201_SPLITS.items()
        ],
        ignore_index=True,
    )
    methods = {run.method: run for run, _ in ordered}
    table = search_table(results, methods=(), beside=_published(methods))
    for name, note in (
        (RANDOM_CELL, "of one cell"),
        (MOST_PARAMETERS, f"cell {largest}"),
    ):
        known = (table["method"] == name) & table["mean"].notna()
        table.loc[known, "note"] = note
    for name in ("variant", "criterion", "images"):
        table[name] = [
            getattr(methods[method], name) if method in methods else ""
            for method in table["method"]
        ]
    found = {name: [str(cell) for run, cell in ordered if run.method == name] for name in methods}
    table["cells"] = [" ".join(found.get(method, [])) for method in table["method"]]
    return table[list(COLUMNS)]


def _order(run: PruningRun) -> tuple[object, ...]:
    """The corrected search before the released one, the sum of ranks before its parts."""
    return run.images, run.variant != "tenas", run.criterion, run.seed


def _published(
    methods: Mapping[str, PruningRun],
) -> dict[tuple[str, str, str], tuple[float, float, int]]:
    known = published("prunings")
    known = known[known["space"] == "nasbench201"]
    rows: list[dict[str, Any]] = known.to_dict("records")  # type: ignore[assignment]
    return {
        (method, row["dataset"], row["split"]): (row["mean"], row["std"], row["runs"])
        for method, run in methods.items()
        for row in rows
        if row["criterion"] == run.criterion
    }


def trajectory_table(traces: Traces) -> pd.DataFrame:
    """The two numbers of the unpruned supernet of every round, and how they changed.

    Args:
        traces: search to its trace, with `TRACE_COLUMNS`.

    Returns:
        One row per search and round with `TRAJECTORY`; the last round is what is left. `kappa` and
        `regions` are means over the repeats, NaN where undefined in all of them; their
        changes are relative to the round before, (now - before) / before, NaN for the first.
    """
    tables = []
    for run, trace in sorted(traces.items(), key=lambda item: _order(item[0])):
        rounds = trace.groupby("round", as_index=False)[["kappa", "regions"]].first()
        for name in ("kappa", "regions"):
            rounds[f"{name}_change"] = rounds[name].pct_change(fill_method=None)
        for name in ("method", "variant", "criterion", "images", "seed"):
            rounds[name] = getattr(run, name)
        tables.append(rounds)
    if not tables:
        return pd.DataFrame(columns=list(TRAJECTORY))
    return pd.concat(tables, ignore_index=True)[list(TRAJECTORY)]


def trajectory_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out the rounds of the pruning searches: mean and standard deviation over the seeds.

    Args:
        table: as `prunings.trajectory_table` returns it.
    """
    columns = {
        "kappa": ("condition number", 1, 1),
        "kappa_change": ("change (%)", 100, 1),
        "regions": ("linear regions", 1, 0),
        "regions_change": ("change of these (%)", 100, 1),
    }
    groups = table.groupby(["method", "round"], sort=False)
    layout = groups.size().astype(str).rename("seeds").reset_index()
    layout["round"] = layout["round"].astype(str)
    for name, (title, scale, digits) in columns.items():
        means, spreads = scale * groups[name].mean(), scale * groups[name].std(ddof=1)
        layout[title] = [
            with_spread(mean, spread, digits) for mean, spread in zip(means, spreads, strict=True)
        ]
    return layout


#: Number of a trajectory to its title.
_TRAJECTORY = {"kappa": "condition number", "regions": "linear regions"}


def trajectory(table: "pd.DataFrame") -> "Drawn":
    """Draw the way of every pruning search by its two numbers (Chen et al. 2021, Fig. 3 B).

    A panel per method, a line per seed from the unpruned supernet (hollow) to what is left; a
    condition number that is undefined interrupts it. Below the title stands by how many percent
    each round changed the numbers, mean over the seeds.

    Args:
        table: as `prunings.trajectory_table` returns it.
    """
    if table.empty:
        return plotting.nothing_drawn("no pruning search was run")
    methods = plotting.distinct(table["method"])
    seeds = [int(seed) for seed in sorted(table["seed"].unique())]
    columns = min(len(methods), 3)
    rows = -(-len(methods) // columns)
    with plotting.style():
        figure = plotting.Figure(
            figsize=(4.9 * columns + 0.6, 5 * rows + 0.4), layout="constrained"
        )
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for axes, method in zip(panels.flat, methods, strict=False):
            _trajectories(axes, table[table["method"] == method], seeds)
        for axes in panels.flat[len(methods) :]:
            axes.set_axis_off()
        panels[0][0].set_yscale("log")
        plotting.plain_steps(panels[0][0].yaxis, (1, 1.5, 2, 3, 5, 7))
        for axes in panels[:, 0]:
            axes.set_ylabel(_TRAJECTORY["kappa"])
        keys = [
            plotting.Line2D([], [], label=f"seed {seed}", linewidth=1.5, **plotting.look(place, 7))
            for place, seed in enumerate(seeds)
        ]
        plotting.legend_below(figure, keys, 6)
    return figure


def _trajectories(axes: "Axes", own: "pd.DataFrame", seeds: Sequence[int]) -> None:
    for place, seed in enumerate(seeds):
        rounds = own[own["seed"] == seed]
        for shown, fill in ((rounds, None), (rounds.iloc[:1], "white")):
            axes.plot(
                shown["regions"],
                shown["kappa"],
                linewidth=1.5,
                markerfacecolor=fill,
                **plotting.look(place, 7),
            )
    changes = own.groupby("round")[[f"{name}_change" for name in _TRAJECTORY]].mean().iloc[1:]
    lines = [str(own["method"].iloc[0])]
    for name, title in _TRAJECTORY.items():
        steps = [
            "?" if np.isnan(step) else f"{100 * step:+.0f}" for step in changes[f"{name}_change"]
        ]
        lines.append(f"{title} {', '.join(steps)} %")
    axes.set_title("\n".join(lines), fontsize=12)
    axes.set_xlabel(_TRAJECTORY["regions"])
    axes.tick_params(labelbottom=True)
    plotting.faint_grid(axes)


def _cells(table: pd.DataFrame) -> list[str]:
    found = table[table["cells"] != ""].drop_duplicates("method")
    return [
        f"- {row['method']}: cell {', '.join(row['cells'].split())}"
        for row in found.to_dict("records")
    ]


def _show(inputs: Inputs) -> list[Any]:
    title = "The pruning search of TE-NAS: accuracy in %, ours and the paper's"
    return [
        "",
        terminal_table(narrow_search_layout(inputs.table("prunings")), title=title),
        "In brackets: criterion and data set searched on. Random cell: over every cell. The paper "
        "searches each data set on its own.",
    ]


SECTION = Section(
    name="prunings",
    title="The pruning search of TE-NAS",
    reads=("benchmark", "prunings"),
    applies=lambda space, parameters: bool(
        space.supernet and space.benchmark and parameters["prunings"]["seeds"]
    ),
    make=make,
    tables=(
        Table(
            "prunings",
            "The pruning search of TE-NAS",
            "Accuracy of the cell that is left of the supernet, mean and standard deviation over "
            "the seeds; in brackets the published figures, and the difference in joint standard "
            "errors (se) where there is more than one seed. A method names its criterion (`both`: "
            "the sum of the ranks by condition number and linear regions) and the data set that it "
            "searched on, and is evaluated on all; the paper searches each data set on its own. "
            "Its ablation is on CIFAR-100. `Random cell`: mean and standard deviation over every "
            "cell of the space, so the mean of n random cells has that mean, and its standard "
            "deviation is smaller by √n. `Most parameters`: the largest cell, the first of equals.",
            lambda table, _: search_layout(table),
        ),
        Table(
            "trajectory",
            "Rounds of the pruning search of TE-NAS",
            "What the supernet of each round measures before the next operations are pruned, and "
            "what is left after the last: mean and standard deviation over the seeds. Changes are "
            "relative to the round before. The corrected search draws weights and images anew for "
            "every round, so a change is also that of the draw.",
            lambda table, _: trajectory_layout(table),
        ),
    ),
    page_below={"prunings": _cells},
    figures=(
        Figure(
            "trajectory",
            lambda inputs, _: trajectory(inputs.table("trajectory")),
            "The pruning search by its two numbers (TE-NAS's Fig. 3 B), a line per seed, from the "
            "unpruned supernet (hollow) over the rounds to what is left. Below each title: by how "
            "much a round changes them, mean over the seeds.",
        ),
    ),
    show=_show,
)

"""What TE-NAS's pruning search found, beside the published figures; and how it got there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.analysis.published import NASBENCH201_SPLITS, published
from untrained.analysis.search_tables import COLUMNS as SEARCH_COLUMNS
from untrained.analysis.search_tables import search_table
from untrained.analysis.summaries import Accuracy
from untrained.errors import ParameterError
from untrained.spaces.nasbench201 import EDGES, spelling_of

#: The spaces that have both a supernet and a benchmark to read what was found off.
PRUNED_SPACES = ("nasbench201",)

#: The columns of `pruning_table`, in order.
COLUMNS = (*SEARCH_COLUMNS[:1], "variant", "criterion", "images", *SEARCH_COLUMNS[1:], "cells")
#: The columns of `trajectory_table`, in order.
TRAJECTORY = (
    *("method", "variant", "criterion", "images", "seed", "round"),
    *("kappa", "regions", "kappa_change", "regions_change"),
)
#: Of a trace; the last row of a trace has no operation.
TRACE_COLUMNS = ["round", "cell", "edge", "operation", "pruned", "kappa", "regions"]

#: The control rows of `pruning_table`.
RANDOM_CELL = "Random cell"
MOST_PARAMETERS = "Most parameters"

Floats = npt.NDArray[np.float64]


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

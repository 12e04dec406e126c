"""The files that sections read, each read once and only when it is asked for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from untrained.errors import MissingDataError, ParameterError
from untrained.files import SCORES, absent, read_parquet
from untrained.report.section import general_words
from untrained.scoring.columns import (
    ABLATION_TYPES,
    BATCH_SIZE,
    CURVE_TYPES,
    FRONT_TYPES,
    SCORE_TYPES,
)
from untrained.search.pool import TRACE_TYPES
from untrained.spaces import SPACES, get_space, table_of

if TYPE_CHECKING:
    import pandas as pd

    from untrained.benchmarks.benchmark import Benchmark
    from untrained.benchmarks.devices import DeviceTable
    from untrained.spaces import SearchSpace

#: (data set of reports, `val` or `test`) to the (data set, split) of a benchmark.
Splits = Mapping[tuple[str, str], tuple[str, str]]

TABLES = Path("results/tables")

#: Kind of files to their columns and the types of these.
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "scores": SCORE_TYPES,
    "shipped": {**SCORE_TYPES, BATCH_SIZE: "int64"},
    "searches": TRACE_TYPES,
    "ablations": ABLATION_TYPES,
    "prunings": {
        "round": "int64",
        **dict.fromkeys(("cell", "edge", "operation"), "str"),
        "pruned": "bool",
        **dict.fromkeys(("kappa", "regions"), "float64"),
    },
    "training_curves": CURVE_TYPES,
    "devices": FRONT_TYPES,
}


@dataclass(frozen=True)
class Inputs:
    """What a report on one space is made of.

    Attributes:
        name: name or address of the space; then the one of its files, `Registry.file_name`.
        benchmark_file: its benchmark table; None for where commands look for it.
        scores_file: its merged scores; None for those of a run.
        files: kind to other files.
        folder: of the tables; None for that of a run.
        beside: other spaces, whose tables a joint figure shows, too.
        devices_file: a table of devices beside those of `DeviceTable.load`.
    """

    name: str
    benchmark_file: Path | None = None
    scores_file: Path | None = None
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    folder: Path | None = None
    beside: tuple[str, ...] = ()
    devices_file: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", SPACES.file_name(self.name))

    @cached_property
    def space(self) -> "SearchSpace":
        """The search space."""
        return get_space(self.name)

    @cached_property
    def benchmark(self) -> "Benchmark":
        """The benchmark table."""
        from untrained.benchmarks.benchmark import Benchmark

        return Benchmark.load(self.space.name, path=self.benchmark_file)

    @cached_property
    def devices(self) -> "DeviceTable":
        """The latencies and energies on devices."""
        from untrained.benchmarks.devices import DeviceTable

        return DeviceTable.load(self.space, self.devices_file)

    @cached_property
    def splits(self) -> Splits:
        """What of the benchmark reports read."""
        return splits_of(self.benchmark.finals, self.space.datasets)

    @cached_property
    def scores(self) -> "pd.DataFrame":
        """The merged scores.

        Raises:
            MissingDataError: there are none.
            ParameterError: the table has an architecture that the benchmark has not.
        """
        path = self.scores_file or table_of(SCORES, self.name)
        if not path.is_file():
            raise MissingDataError(f"{absent(path)}: `make run` or `snakemake scores` makes it")
        table = read_parquet(path, COLUMNS["scores"])
        last = len(self.benchmark) - 1
        outside = table.loc[~table["arch"].between(0, last), "arch"]
        if len(outside):
            raise ParameterError(
                f"{path} has a score of architecture {outside.iloc[0]}: the benchmark of "
                f"{self.name} has 0 to {last}"
            )
        return table

    def read(self, kind: str) -> "list[tuple[Path, pd.DataFrame]]":
        """The other files of a kind with their paths, one that is named twice included twice.

        Raises:
            ParameterError: none was given.
        """
        paths = self.files.get(kind, ())
        if not paths:
            raise ParameterError(f"no files of {kind.replace('_', ' ')}: name them")
        return [(path, read_parquet(path, COLUMNS[kind])) for path in paths]

    def joined(self, kind: str) -> "pd.DataFrame":
        """The other files of a kind as one table."""
        import pandas as pd

        return pd.concat([table for _, table in self.read(kind)], ignore_index=True)

    @cached_property
    def traces(self) -> "dict[tuple[str, str], pd.DataFrame]":
        """(algorithm, data set searched on) to the trace of all its runs.

        Raises:
            ParameterError: a path does not say which search it is of.
        """
        import pandas as pd

        for path in self.files.get("searches", ()):
            if len(path.parts) < 4:
                raise ParameterError(f"{path}: traces lie at ALGORITHM/SPACE/DATASET/SHARD.parquet")
        shards: dict[tuple[str, str], list[pd.DataFrame]] = {}
        for path, trace in self.read("searches"):
            if path.parts[-3] != self.name:
                raise ParameterError(
                    f"{path} is a trace of {path.parts[-3]}, by its path: name some of {self.name}"
                )
            shards.setdefault((path.parts[-4], path.parts[-2]), []).append(trace)
        return {key: pd.concat(own, ignore_index=True) for key, own in shards.items()}

    @cached_property
    def constraint(self) -> str:
        """The constraint on the architectures of the searches; empty for none.

        Raises:
            ParameterError: they have different ones.
        """
        found = set()
        for path in self.files.get("searches", ()):
            trace = read_parquet(path)
            found |= set(trace["where"]) if "where" in trace else {""} if len(trace) else set()
        if len(found) > 1:
            told = ", ".join(repr(one) for one in sorted(found))
            raise ParameterError(
                f"searches within different constraints, {told}: name those of one"
            )
        return next(iter(found), "")

    def main(self, datasets: Iterable[str]) -> str:
        """The first data set of the space where it is among some, else the first of those."""
        names = list(datasets)
        return self.space.datasets[0] if self.space.datasets[0] in names else names[0]

    @property
    def searched_on(self) -> str:
        """The data set that searches are about unless their row says otherwise."""
        return self.main(dataset for _, dataset in self.traces)

    @property
    def tables(self) -> Path:
        """The folder of the tables."""
        return self.folder or TABLES / self.name

    def has(self, table: str) -> bool:
        """Whether a table was made."""
        return (self.tables / f"{table}.parquet").is_file()

    def table(self, name: str) -> "pd.DataFrame":
        """A table that was made before; of all spaces where there are several.

        Raises:
            MissingDataError: it was not.
        """
        import pandas as pd

        paths = [self.tables / f"{name}.parquet"]
        paths += [Inputs(other).tables / f"{name}.parquet" for other in self.beside]
        for path in paths:
            if not path.is_file():
                raise MissingDataError(f"{absent(path)}: `make run` or `snakemake report` makes it")
        tables = [read_parquet(path) for path in paths]
        return tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)

    def within(self, table: str) -> list[str]:
        """Say within which constraint the searches of a table keep, if there is one."""
        from untrained.report.tables import constrained

        return constrained(self.table(table)) if self.has(table) else []

    def words(self) -> dict[str, Any]:
        """What placeholders of texts stand for."""
        untimed = self.has("searches") and bool(is_untimed(self.table("searches")).any())
        words = {"spent": "evaluations"} if untimed else {}
        return general_words() | vars(self.space.words) | words


def splits_of(finals: Sequence[tuple[str, str]], datasets: Sequence[str]) -> Splits:
    """Return what reports read of a benchmark with these (data set, split) after full trainings.

    Validation is that of the training on one part of the training images, where there is one. Test
    images are all official ones, or the half of them that is not for validation.
    """
    return {
        (dataset, split): column
        for dataset in datasets
        for split, columns in (
            ("val", ((f"{dataset}-valid", "x-valid"), (dataset, "x-valid"))),
            ("test", ((dataset, "x-test"), (dataset, "ori-test"))),
        )
        for column in [next((one for one in columns if one in finals), None)]
        if column is not None
    }


def is_untimed(summary: "pd.DataFrame") -> "pd.Series[bool]":
    """Return which rows are of searches whose training times are unknown.

    Args:
        summary: columns `seconds` and `evaluations`, NaN where nothing was run.
    """
    return summary["seconds"].isna() & (summary["evaluations"] > 0)

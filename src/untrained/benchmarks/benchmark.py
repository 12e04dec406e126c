"""Look up accuracies and costs in a benchmark table."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.benchmarks.table import COSTS, KEYS, Group, read_groups
from untrained.errors import ArchitectureError, DamagedFileError, MissingDataError, quoted
from untrained.files import BENCHMARKS
from untrained.spaces import get_space, table_of

if TYPE_CHECKING:
    import pandas as pd

    from untrained.spaces import SearchSpace

Values = NDArray[np.float64]
#: Seeds of the short trainings that searches read, by preference; published searches use the first.
SHORT_SEEDS = ("777", "trial0", "mean")
_MEASURES = ("accuracy", "train_seconds", "valid_seconds")


def well_known(counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which columns of a table have values for enough architectures to be used.

    A column has enough values if it has at least half as many as the fullest column. A few missing
    values, of trainings that failed, do not exclude a column.

    Args:
        counts: (m,): the number of architectures with a value in each column.

    Returns:
        (m,): True for each column to be used.
    """
    return 2 * np.asarray(counts) >= np.max(counts)


def benchmark(space: "str | SearchSpace" = "nasbench201", path: Path | None = None) -> "Benchmark":
    """Return the accuracies and costs of the trained architectures of a space.

    >>> from untrained import benchmark
    >>> table = benchmark("nasbench201")
    >>> table.accuracy([5, 1462], dataset="cifar10").round(2).to_dict("list")
    {'cifar10/ori-test': [91.09, 93.76]}

    Args:
        space: the name of the space, or the space.
        path: a benchmark table; by default the fetched one, else the one that is bundled.

    Raises:
        UntrainedError: there is no such space, or no such table; the message says how to get it.
    """
    return Benchmark.load(space, path=path)


@dataclass(frozen=True, eq=False)
class Benchmark:
    """Accuracies and costs of the architectures of one space.

    `benchmark` and `Benchmark.read` make it. A look-up in an array takes constant time.

    Attributes:
        space: the name of the space.
        measures: maps a group to the arrays of "accuracy", "train_seconds" and "valid_seconds",
            each of shape (n,) by architecture index, NaN where unknown, read-only.
        networks: maps a data set to the arrays of "parameters", "flops" and "latency_seconds", as
            in `measures`.
    """

    space: str
    measures: Mapping[Group, Mapping[str, Values]]
    networks: Mapping[str, Mapping[str, Values]]

    @classmethod
    def load(
        cls,
        space: "str | SearchSpace" = "nasbench201",
        folder: Path = BENCHMARKS,
        *,
        path: Path | None = None,
    ) -> "Benchmark":
        """Load the table of a space: the fetched one if `folder` has it, else the bundled one.

        Args:
            space: the name of the space, or the space.
            folder: the folder of the fetched tables.
            path: a file to read instead.

        Raises:
            MissingDataError: `path` does not exist, or the table was never fetched and is not
                bundled, or the space has no benchmark.
            UnknownNameError: there is no such space.
            DamagedFileError: the file is not a valid benchmark table.
        """
        known = get_space(space)
        name = space if isinstance(space, str) else known.name
        found = path or cls.find(name, folder)
        if found is not None:
            return cls.read(found, name)
        if known.benchmark is None:
            raise MissingDataError(
                f"{name} has no benchmark: the accuracies of its trained architectures are not "
                "known"
            )
        raise MissingDataError(
            f"{table_of(folder, name)} does not exist: `untrained fetch {name} --from FILE` "
            "converts the benchmark's official files, and --mirror takes a folder that has it"
        )

    @staticmethod
    def find(space: str, folder: Path = BENCHMARKS) -> Path | None:
        """Return the path of the fetched table if `folder` has it, else of the bundled one."""
        known = get_space(space)
        bundled = None if known.benchmark is None else known.benchmark.bundled
        places = (table_of(folder, space), bundled)
        return next((path for path in places if path is not None and path.is_file()), None)

    @classmethod
    def read(cls, path: Path, space: str = "nasbench201") -> "Benchmark":
        """Read the table of a space from a file, part by part.

        Raises:
            MissingDataError: there is no such file.
            DamagedFileError: it is not a valid benchmark table.
        """
        size = get_space(space).tabulated(path) or max(
            1 + int(values["arch"].max()) for _, values in read_groups(path, space)
        )
        found: dict[Group, dict[str, Values]] = {}
        for group, values in read_groups(path, space):
            columns = found.setdefault(group, {})
            for name in (*_MEASURES, *COSTS):
                if not np.isnan(values[name]).all():
                    into = columns.setdefault(name, np.full(size, np.nan))
                    into[values["arch"]] = values[name]
        # all groups share one column of unknown values
        unknown = np.full(size, np.nan)
        unknown.setflags(write=False)
        measures: dict[Group, Mapping[str, Values]] = {}
        networks: dict[str, dict[str, Values]] = {}
        # means of long trainings come first, since their costs are preferred
        for group in sorted(found, key=lambda key: (key[3] != "mean", -key[2], key)):
            columns = found.pop(group)
            for column in columns.values():
                column.setflags(write=False)
            measures[group] = {name: columns.get(name, unknown) for name in _MEASURES}
            costs = networks.setdefault(group[0], dict.fromkeys(COSTS, unknown))
            for name in COSTS:
                if name in columns:
                    costs[name] = np.where(np.isnan(costs[name]), columns[name], costs[name])
        return cls(space, measures, networks)

    def __len__(self) -> int:
        """Return the number of architecture indices, with or without values."""
        return next(iter(self.measures.values()))["accuracy"].size

    def check_within(self, size: int) -> None:
        """Check that the space has all architectures of the table.

        The architectures of an NDS space are listed in another file, which may not belong to the
        table.

        Args:
            size: the number of architectures of the space.

        Raises:
            DamagedFileError: the table has more.
        """
        if len(self) > size:
            raise DamagedFileError(
                f"the table has architecture {len(self) - 1}, {self.space} has 0 to {size - 1}: "
                f"`untrained fetch {self.space}` writes table and architectures that belong "
                "together"
            )

    def accuracy(
        self,
        architectures: str | int | Iterable[str | int] | None = None,
        *,
        dataset: str | None = None,
        split: str | None = None,
        epochs: int | None = None,
        seed: str = "mean",
    ) -> "pd.DataFrame":
        """Return accuracies after training, in percent.

        Args:
            architectures: an index or a spelling, or several; None for all architectures.
            dataset: one data set, see `accuracies`; None for all that the table has.
            split: one split; None for all.
            epochs: the length of the training run; None for the full one.
            seed: one run, or `mean` for the mean over the runs.

        Returns:
            A row for each architecture, with its index in the space as `arch`, the index of the
            table; a column for each data set and split, as in "cifar10/ori-test"; NaN where the
            benchmark does not know the accuracy.

        Raises:
            MissingDataError: the table has no such data set, split, epochs or seed; the message
                lists what it has.
            ArchitectureError: no such architecture.
        """
        import pandas as pd

        asked = dataset, split, self.full_epochs if epochs is None else epochs, seed
        groups = [
            group
            for group in sorted(self.measures)
            if all(part in (None, own) for part, own in zip(asked, group, strict=True))
        ]
        if not groups:
            spelled = "/".join("*" if part is None else str(part) for part in asked)
            known = ", ".join("/".join(map(str, group)) for group in sorted(self.measures))
            raise MissingDataError(f"no accuracy for {spelled} in {self.space}: there is {known}")
        columns = {"/".join(group[:2]): self.measures[group]["accuracy"] for group in groups}
        table = pd.DataFrame(columns)
        table.index.name = "arch"
        if architectures is None:
            return table
        several = (
            [architectures] if isinstance(architectures, str | int | np.integer) else architectures
        )
        indices = [get_space(self.space).parse(one).index for one in several]
        if outside := [index for index in indices if index >= len(self)]:
            raise self._outside(outside[0])
        return table.loc[indices]

    def accuracies(
        self, dataset: str, split: str, epochs: int | None = None, seed: str = "mean"
    ) -> Values:
        """Return the accuracies of all architectures, (n,) in percent, NaN where unknown.

        The array is read-only and in the order of the indices.

        Args:
            dataset: a data set of the table; NAS-Bench-201 has `cifar10-valid` (trained on one half
                of the images), `cifar10`, `cifar100` and `ImageNet16-120`.
            split: `x-valid`, `ori-test` or `x-test`.
            epochs: the length of the training run; None for the full one.
            seed: one run, or `mean` for the mean over the runs.

        Raises:
            MissingDataError: the table has no such data set, split, epochs or seed.
        """
        group = self._group(dataset, split, epochs, seed)
        return self.measures[group]["accuracy"]

    @property
    def finals(self) -> list[tuple[str, str]]:
        """The pairs (data set, split) that have mean accuracies after the full training."""
        return [
            (dataset, split)
            for dataset, split, epochs, seed in sorted(self.measures)
            if (epochs, seed) == (self.full_epochs, "mean")
        ]

    @property
    def known(self) -> NDArray[np.int64]:
        """The sorted indices of the architectures that have all accuracies of `finals`.

        Columns with few values are not required; see `well_known`.

        Raises:
            MissingDataError: the table has no accuracies after the full training, or no
                architecture has them all.
        """
        if not self.finals:
            raise MissingDataError(
                f"the table has no accuracies after the {self.full_epochs} epochs of {self.space}: "
                "name a table of that space"
            )
        known = ~np.isnan(np.stack([self.accuracies(*column) for column in self.finals]))
        found = np.flatnonzero(known[well_known(known.sum(axis=1))].all(axis=0))
        if not found.size:
            raise MissingDataError(
                f"no architecture of {self.space} has all accuracies after {self.full_epochs} "
                "epochs that the table has: name a complete table"
            )
        return found

    @property
    def short_epochs(self) -> int:
        """The epochs of the short training that searches read, else those of the full one."""
        facts = get_space(self.space).benchmark
        return (facts.short_epochs if facts is not None else None) or self.full_epochs

    @property
    def full_epochs(self) -> int:
        """The epochs of the full training."""
        facts = get_space(self.space).benchmark
        stated = None if facts is None else facts.full_epochs
        return stated or max(epochs for _, _, epochs, _ in self.measures)

    def train_seconds(
        self, arch: int, dataset: str, split: str, epochs: int | None = None, seed: str = "mean"
    ) -> float:
        """Return the seconds of the whole training, without validation; see `accuracies`."""
        return self._one("train_seconds", arch, dataset, split, epochs, seed)

    def valid_seconds(
        self, arch: int, dataset: str, split: str, epochs: int | None = None, seed: str = "mean"
    ) -> float:
        """Return the seconds of one pass over the validation images; see `accuracies`."""
        return self._one("valid_seconds", arch, dataset, split, epochs, seed)

    def costs(self, dataset: str) -> "pd.DataFrame":
        """Return the costs of the networks of a data set, one row per architecture index.

        Returns:
            Columns `parameters` and `flops` (counts) and `latency_seconds` (one forward pass, as
            the benchmark's authors measured it); NaN where unknown, and `parameters` is int64
            where all are known.

        Raises:
            MissingDataError: the table has no such data set.
        """
        import pandas as pd

        if dataset not in self.networks:
            raise self._missing((dataset,))
        table = pd.DataFrame(dict(self.networks[dataset]))
        if not table["parameters"].isna().any():
            table["parameters"] = table["parameters"].astype("int64")
        table.index.name = "arch"
        return table

    def _group(self, dataset: str, split: str, epochs: int | None, seed: str) -> Group:
        group = dataset, split, self.full_epochs if epochs is None else epochs, seed
        if group not in self.measures:
            raise self._missing(group)
        return group

    def _one(
        self, measure: str, arch: int, dataset: str, split: str, epochs: int | None, seed: str
    ) -> float:
        group = self._group(dataset, split, epochs, seed)
        if not 0 <= arch < len(self):
            raise self._outside(arch)
        value = float(self.measures[group][measure][arch])
        if np.isnan(value):
            covering = [
                "/".join(map(str, key))
                for key, values in self.measures.items()
                if not np.isnan(values[measure][arch])
            ]
            raise MissingDataError(
                f"no {measure} of architecture {arch} for {'/'.join(map(str, group))} in "
                f"{self.space}: there is {', '.join(sorted(covering)) or 'none at all'}"
            )
        return value

    def _outside(self, arch: int) -> ArchitectureError:
        return ArchitectureError(
            f"the table of {self.space} has no architecture {arch}: indices run from 0 to "
            f"{len(self) - 1}"
        )

    def _missing(self, group: tuple[str | int, ...]) -> MissingDataError:
        """Make the error for a missing group, which names the first part that no group has."""
        depth = 0
        while any(key[: depth + 1] == group[: depth + 1] for key in self.measures):
            depth += 1
        choices = sorted({key[depth] for key in self.measures if key[:depth] == group[:depth]})
        of = f" of {'/'.join(map(str, group[:depth]))}" if depth else ""
        return MissingDataError(
            f"no accuracy for {KEYS[depth]} {quoted(group[depth])}{of} in {self.space}: "
            f"there is {', '.join(map(str, choices))}"
        )

"""Make rows of a benchmark table from runs in the format of the authors of NAS-Bench-201."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from untrained.benchmarks.table import COLUMNS, arrow_table
from untrained.errors import DamagedFileError
from untrained.files import reading
from untrained.spaces import get_space

if TYPE_CHECKING:
    import pyarrow as pa
    from nas_201_api import ResultsCount

#: Networks were trained on 25,000 images of `cifar10-valid`, and on all 50,000 of `cifar10`.
_DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
#: For `cifar100` and `ImageNet16-120`, `ori-test` is the union of `x-valid` and `x-test`.
_SPLITS = ("x-valid", "ori-test", "x-test")


def table_of_architecture(
    name: str, space: str, states: Mapping[str, Any], lengths: Mapping[str, int]
) -> tuple[int, str, "pa.Table"]:
    """Make the rows of one architecture.

    Args:
        name: the name of the file, for errors.
        space: the name of the space that has the architecture.
        states: maps a training schedule to the state of its `ArchResults`.
        lengths: maps a training schedule to its epochs.

    Returns:
        The index and the spelling of the architecture, as the file has them, and the rows.

    Raises:
        DamagedFileError: the states are not what official files hold.
    """
    from nas_201_api import ArchResults

    with reading(f"{name} has unreadable results"):
        found: set[tuple[int, str]] = set()
        rows: list[dict[str, Any]] = []
        for schedule, epochs in lengths.items():
            state = states.get(schedule)
            if not isinstance(state, dict):  # the package takes text for the name of a file
                raise TypeError(f"no runs of {epochs} epochs")
            results = ArchResults.create_from_state_dict(state)
            index = results.arch_index
            if type(index) is not int or not 0 <= index < len(get_space(space)):
                raise ValueError(f"there is no architecture {index}")
            found.add((index, results.arch_str))
            if len(found) > 1:
                raise ValueError(f"runs of architectures {sorted(found)} in one place")
            known = [dataset for dataset in _DATASETS if dataset in results.dataset_seed]
            if not known:
                raise ValueError(f"architecture {index} has no runs of {epochs} epochs")
            for dataset in known:
                for row in _rows(results.query(dataset), dataset, epochs):
                    if not 0 <= row["accuracy"] <= 100:
                        raise ValueError(f"the accuracy {row['accuracy']} is not in 0..100")
                    rows.append(row)
        ((index, spelling),) = found
        columns = {column: [row.get(column) for row in rows] for column in COLUMNS}
        return index, spelling, arrow_table({**columns, "arch": [index] * len(rows)})


def _rows(
    runs: "Mapping[Any, ResultsCount]", dataset: str, epochs: int
) -> Iterator[dict[str, Any]]:
    """Yield the rows of one architecture on one data set: each run, then their mean."""
    for seed, run in runs.items():
        if run.get_total_epoch() != epochs:
            raise ValueError(f"run {seed} has {run.get_total_epoch()} epochs instead of {epochs}")
    for split in _SPLITS:
        try:
            evaluated = [run.get_eval(split) for run in runs.values()]
        except KeyError:  # the split was not evaluated
            continue
        measured = [
            {
                "accuracy": result["accuracy"],
                "train_seconds": run.get_train()["all_time"],
                "valid_seconds": _per_pass(result["all_time"], epochs, split),
            }
            for run, result in zip(runs.values(), evaluated, strict=True)
        ]
        where = {"dataset": dataset, "split": split, "epochs": epochs}
        for seed, values in zip(runs, measured, strict=True):
            yield {**where, "seed": str(seed), **values}
        means = {key: _mean([values[key] for values in measured]) for key in measured[0]}
        yield {**where, "seed": "mean", **means, **_costs(list(runs.values()))}


def _per_pass(seconds: float | None, epochs: int, split: str) -> float | None:
    return seconds / epochs if seconds is not None and split == "x-valid" else None


def _mean(values: list[float | None]) -> float | None:
    return None if None in values else float(np.mean(np.array(values)))


def _costs(runs: "list[ResultsCount]") -> dict[str, float | None]:
    """Average costs over runs; files count in millions, and unknown latencies are -1."""
    latencies = [seconds for run in runs if (seconds := run.get_latency()) > 0]
    return {
        "parameters": round(float(np.mean([run.params for run in runs])) * 1e6),
        "flops": round(float(np.mean([run.flop for run in runs])) * 1e6),
        "latency_seconds": float(np.mean(latencies)) if latencies else None,
    }


def check_spellings(name: str, space: str, found: Sequence[object]) -> None:
    """Check that a file lists the architectures of the space in the order of their indices.

    Raises:
        DamagedFileError: it lists more or fewer architectures, or a different one at some index.
    """
    known = get_space(space)
    if len(found) != len(known):
        raise DamagedFileError(
            f"{name} lists {len(found)} architectures: the space has {len(known)}"
        )
    for index, spelling in enumerate(found):
        if spelling != (right := known.spelling(index)):
            raise DamagedFileError(
                f"{name} has {spelling!r} as architecture {index}, which is {right!r} in the space"
            )

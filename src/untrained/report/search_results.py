"""From the traces of searches to what the tables and figures of searches are made of."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from untrained.errors import ParameterError
from untrained.images.sets import image_set
from untrained.report.inputs import Inputs, Splits
from untrained.report.published import published_runs
from untrained.report.scores import Accuracy
from untrained.search import ALGORITHMS, parse_algorithm
from untrained.search.base import Algorithm
from untrained.search.clock import seen_in_searches

if TYPE_CHECKING:
    from untrained.benchmarks.benchmark import Benchmark

#: What a search spends to the column of its trace that counts it. Evaluations are trainings.
UNITS = {"seconds": "simulated_seconds", "evaluations": "step"}

#: What tells a search apart: how its algorithm is spelled, and the data set searched on.
Search = tuple[str, str]


def kind_of(algorithm: str) -> type[Algorithm]:
    """Return the class of a spelled search."""
    kind: type[Algorithm] = ALGORITHMS.load(algorithm.partition("+")[0].partition("-")[0])
    return kind


@cache
def _reference() -> str:
    """Return the algorithm that every search which spends a budget is held against."""
    return next(name for name in ALGORITHMS.names() if ALGORITHMS.load(name).reference)


def spending(searches: Iterable[Search]) -> set[str]:
    """Return the algorithms of some searches that spend a budget.

    Raises:
        UntrainedError: no such algorithm, or no such settings.
    """
    return {name for name, _ in searches if parse_algorithm(name).spends_budget}


def seen(searches: Iterable[Search], truth: "Benchmark") -> dict[Search, tuple[str, bool]]:
    """Return the split of the accuracies that each search sees, and whether trainings have times.

    Searches that see no trainings are left out.
    """
    found = {}
    for algorithm, images in searches:
        if parse_algorithm(algorithm).sees_trainings:
            group = seen_in_searches(truth, image_set(images).measured_as)
            timed = not np.isnan(truth.measures[group]["train_seconds"]).all()
            found[algorithm, images] = group[1], timed
    return found


def untimed(searches: Iterable[Search], truth: "Benchmark") -> set[Search]:
    """Return the searches whose trainings have no known times."""
    return {search for search, (_, timed) in seen(searches, truth).items() if not timed}


def method_of(algorithm: str, images: str, main: str) -> str:
    """Return the row of a search in tables: "naswot-10" is "NASWOT N=10".

    Settings follow in brackets: "rea+init=naswot" is "REA (init=naswot)".
    """
    head, *settings = algorithm.split("+")
    _, _, samples = head.partition("-")
    kind = kind_of(algorithm)
    method = kind.label + (f" N={samples}" if samples else "")
    method += f" ({', '.join(settings)})" if settings else ""
    verb = "searched" if kind.spends_budget or not kind.reads_scores else "scored"
    return method if images == main else f"{method} ({verb} on {images})"


def columns_read(images: str, main: str, datasets: Sequence[str]) -> list[str]:
    """Return the data sets on which a search on `images` is read off.

    All, for a search on the main data set; else the one that was searched on, or stood for.
    """
    own = image_set(images).measured_as
    return [dataset for dataset in datasets if images == main or dataset == own]


def references_of(
    searches: Iterable[Search], spending: Collection[str], main: str
) -> dict[str, str]:
    """Return what each search that spends a budget is held against: REA on the same data set.

    Where both were run, it is a search that differs in one thing: for one whose fitness is a score
    (`rea+fitness=lga@1`) the same on accuracies in the same pool (`rea+pool=lga@1`), and for one
    in such a pool REA in that pool. Searches that start from the best-scored of a sample come
    first: that AREA outperforms REA is the claim of Mellor et al. 2021.

    Returns:
        Method to the method that it is held against, whether that was run or not.
    """
    run = list(searches)
    held = [one for one in run if one[0] in spending and one[0] != _reference()]
    held.sort(key=lambda one: (one[1] != main, not kind_of(one[0]).starts_scored))
    found = {}
    for algorithm, images in held:
        nearest = (one for one in _references(algorithm) if (one, images) in run)
        reference = next(nearest, _reference())
        found[method_of(algorithm, images, main)] = method_of(reference, images, main)
    return found


def _references(algorithm: str) -> Iterator[str]:
    """Yield what a search is best held against, the nearest first, if it has a pool."""
    name, *settings = algorithm.split("+")
    values = {key: value for key, _, value in (one.partition("=") for one in settings)}
    scored = values.pop("fitness", None)
    pool = values.pop("pool", scored)
    if pool is None:
        return
    if scored is not None:
        others = [f"{key}={value}" for key, value in values.items()]
        yield "+".join([name, *others, f"pool={pool}"])
        yield "+".join([name, f"pool={pool}"])
    if algorithm != f"{_reference()}+pool={pool}":
        yield f"{_reference()}+pool={pool}"


def results_of(inputs: Inputs) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return `search_results` of the traces that a section reads."""
    traces, truth = inputs.traces, inputs.benchmark
    return search_results(
        traces,
        truth.accuracies,
        inputs.splits,
        inputs.searched_on,
        spending=spending(traces),
        untimed=untimed(traces, truth),
    )


def search_results(
    traces: Mapping[Search, pd.DataFrame],
    accuracy: Accuracy,
    splits: Splits,
    main: str,
    *,
    spending: Collection[str] = (),
    untimed: Collection[Search] = (),
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Read off the accuracies that the runs of each search reached, and what they spent.

    Tables are about searches on the main data set; others are rows of their own, for their data set
    alone. What spends no budget makes no evaluations.

    Returns:
        `method`, `run`, `dataset`, `split`, `accuracy`, `seconds` (simulated; NaN where untimed),
        `evaluations`, one row per run and column; and why a method has no result. A method that was
        published with fewer runs, see `first_runs`, is followed by as many of ours.

    Raises:
        ParameterError: two results for one method, run, data set and split.
    """
    tables, reasons = [], {}
    for (algorithm, images), trace in traces.items():
        kind = kind_of(algorithm)
        if images != main and not (kind.spends_budget or kind.reads_scores):
            continue  # it reads nothing of the data set, so it would only repeat itself
        method = method_of(algorithm, images, main)
        final = trace[trace["is_final"]].astype({"simulated_seconds": float})
        if final.empty:
            reasons[method] = _too_few(method)
        if (algorithm, images) in untimed:
            final["simulated_seconds"] = np.nan
        if algorithm not in spending:
            final["step"] = 0
        read = columns_read(images, main, [dataset for dataset, _ in splits])
        columns = {pair: column for pair, column in splits.items() if pair[0] in read}
        own = [_read_off(final, accuracy, *both) for both in columns.items()]
        if own:
            found = pd.concat(own).assign(method=method)
            tables += [found, *first_runs(found, kind)]
    results = pd.concat(tables, ignore_index=True)
    if (twice := results.duplicated(["method", "run", "dataset", "split"])).any():
        first = results[twice].iloc[0]
        raise ParameterError(
            f"two results of {first['method']} for run {first['run']} on {first['dataset']} "
            f"{first['split']}: keep one"
        )
    return results, reasons


def _read_off(
    final: pd.DataFrame, accuracy: Accuracy, pair: tuple[str, str], column: tuple[str, str]
) -> pd.DataFrame:
    """Return the accuracies of the answers of runs in one column, and what these have spent."""
    own = final[final["target"].isin(["", "/".join(column)])]
    renamed = {"simulated_seconds": "seconds", "step": "evaluations"}
    return (
        own[["run", *renamed]]
        .rename(columns=renamed)
        .assign(
            dataset=pair[0],
            split=pair[1],
            accuracy=accuracy(*column)[own["arch"].to_numpy(dtype=np.int64)],
        )
    )


def _too_few(method: str) -> str:
    """Return why a trace is empty: what is scored does not stand for the whole space.

    See `untrained.search.pool.can_answer`.
    """
    if "N=" in method:
        return "fewer than 3 N architectures are scored"
    return "fewer architectures are scored than three times those that a run draws"


def first_runs(results: pd.DataFrame, kind: type[Algorithm]) -> list[pd.DataFrame]:
    """Return the first runs of a search that starts from scores, as many as were published of it.

    They are a method of their own; there are none where we have no more runs than published.
    """
    numbers = np.sort(results["run"].unique())
    count = published_runs(kind.label) if kind.starts_scored else 0
    own = results[results["method"] == kind.label]
    if own.empty or not 0 < count < len(numbers):
        return []
    first = own[own["run"].isin(numbers[:count])]
    return [first.assign(method=f"{kind.label} (first {count} runs)")]


def in_full(method: str) -> str:
    """Return the method of whose runs a method holds the first, or else the method itself."""
    return method.partition(" (first ")[0]

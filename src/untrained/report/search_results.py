"""Results of the runs of searches, read from their traces."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from untrained.errors import ParameterError
from untrained.images.sets import image_set
from untrained.report.inputs import Inputs
from untrained.report.published import published_runs
from untrained.report.scores import Accuracy, proxy_label
from untrained.search import ALGORITHMS, parse_algorithm, reference_search
from untrained.search.base import Algorithm
from untrained.search.clock import seen_in_searches

if TYPE_CHECKING:
    from untrained.benchmarks.benchmark import Benchmark

#: Unit of cost to the column of a trace that counts it. Evaluations are trainings.
UNITS = {"seconds": "simulated_seconds", "evaluations": "step"}

#: A search: the spelling of its algorithm with its settings, and the data set searched on.
Search = tuple[str, str]


def kind_of(algorithm: str) -> type[Algorithm]:
    """Return the class of an algorithm, given its spelling with settings."""
    kind: type[Algorithm] = ALGORITHMS.load(algorithm.partition("+")[0].partition("-")[0])
    return kind


def spending(searches: Iterable[Search]) -> set[str]:
    """Return the algorithms among the given searches that spend a budget.

    Raises:
        UntrainedError: an algorithm or its settings are unknown.
    """
    return {name for name, _ in searches if parse_algorithm(name).spends_budget}


def seen(searches: Iterable[Search], truth: "Benchmark") -> dict[Search, tuple[str, bool]]:
    """Return for each search the split of the accuracies it sees, and whether times are known.

    Searches that see no accuracies are left out.
    """
    found = {}
    for algorithm, images in searches:
        if parse_algorithm(algorithm).sees_trainings:
            group = seen_in_searches(truth, image_set(images).measured_as)
            timed = not np.isnan(truth.measures[group]["train_seconds"]).all()
            found[algorithm, images] = group[1], timed
    return found


def untimed(searches: Iterable[Search], truth: "Benchmark") -> set[Search]:
    """Return the searches whose training times are unknown."""
    return {search for search, (_, timed) in seen(searches, truth).items() if not timed}


def method_of(algorithm: str, images: str, main: str) -> str:
    """Return the name of a search in tables.

    For example, "naswot-10" gives "NASWOT N=10" and "rea+init=naswot" gives "REA (init=naswot)".
    Proxies of other packages have their labels.
    """
    head, *settings = algorithm.split("+")
    _, _, samples = head.partition("-")
    kind = kind_of(algorithm)
    method = kind.label + (f" N={samples}" if samples else "")
    method += f" ({', '.join(map(_labelled, settings))})" if settings else ""
    verb = "searched" if kind.spends_budget or not kind.reads_scores else "scored"
    return method if images == main else f"{method} ({verb} on {images})"


def _labelled(setting: str) -> str:
    """Return a setting of a search with the label of the proxy that it names, if it names one."""
    name, _, value = setting.partition("=")
    return f"{name}={proxy_label(value)}" if name in ("init", "fitness", "pool") else setting


def columns_read(images: str, main: str, datasets: Sequence[str]) -> list[str]:
    """Return the data sets on which the architectures found on `images` are evaluated.

    These are all for a search on the main data set, else only the data set `images` stands for.
    """
    own = image_set(images).measured_as
    return [dataset for dataset in datasets if images == main or dataset == own]


def references_of(searches: Iterable[Search], main: str) -> dict[str, str]:
    """Return the reference of each search that spends a budget: REA on the same data set.

    Where it was run, the reference is a search that differs in one setting: a search whose fitness
    is a score (`rea+fitness=lga@1`) is compared with the same search on accuracies in the same
    pool (`rea+pool=lga@1`), and another search in a pool with REA in that pool. Searches that start
    from the best-scored architectures of a sample come first: that AREA outperforms REA is the
    claim of Mellor et al. 2021.

    Returns:
        Method to its reference, whether that was run or not.
    """
    run = list(searches)
    spends = spending(run) - {reference_search()}
    held = [one for one in run if one[0] in spends]
    held.sort(key=lambda one: (one[1] != main, not kind_of(one[0]).starts_scored))
    found = {}
    for algorithm, images in held:
        nearest = (one for one in _references(algorithm) if (one, images) in run)
        reference = next(nearest, reference_search())
        found[method_of(algorithm, images, main)] = method_of(reference, images, main)
    return found


def _references(algorithm: str) -> Iterator[str]:
    """Yield the possible references of a search in a pool, the most similar first."""
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
    if algorithm != f"{reference_search()}+pool={pool}":
        yield f"{reference_search()}+pool={pool}"


def search_results(inputs: Inputs) -> tuple[pd.DataFrame, dict[str, str]]:
    """Collect the accuracy that each run of a search reached, and its cost.

    Searches on the main data set are evaluated on all data sets, other searches only on their own.
    An algorithm that spends no budget makes no evaluations.

    Returns:
        `method`, `run`, `dataset`, `split`, `accuracy`, `seconds` (simulated; NaN where untimed),
        `evaluations`, one row per run, data set and split; and for methods without results the
        reason. A method that was published with fewer runs is followed by its `first_runs`, unless
        the searches keep within a constraint.

    Raises:
        ParameterError: a method has two results for one run, data set and split.
    """
    traces, truth, main, splits = inputs.traces, inputs.benchmark, inputs.searched_on, inputs.splits
    spends, unknown = spending(traces), untimed(traces, truth)
    tables, reasons = [], {}
    for (algorithm, images), trace in traces.items():
        kind = kind_of(algorithm)
        if images != main and not (kind.spends_budget or kind.reads_scores):
            continue  # it reads nothing from the data set, so its results would only be repeated
        method = method_of(algorithm, images, main)
        final = trace[trace["is_final"]].astype({"simulated_seconds": float})
        if final.empty:
            reasons[method] = _too_few(method)
        if (algorithm, images) in unknown:
            final["simulated_seconds"] = np.nan
        if algorithm not in spends:
            final["step"] = 0
        read = columns_read(images, main, [dataset for dataset, _ in splits])
        columns = {pair: column for pair, column in splits.items() if pair[0] in read}
        own = [_read_off(final, truth.accuracies, *both) for both in columns.items()]
        if own:
            found = pd.concat(own).assign(method=method)
            tables += [found, *([] if inputs.constraint else first_runs(found, kind))]
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
    """Return the accuracies in one column of the architectures that runs chose, with the costs."""
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
    """Return why a trace is empty: too few architectures are scored to represent the space.

    See `untrained.search.pool.can_answer`.
    """
    if "N=" in method:
        return "fewer than 3 N architectures are scored"
    return "fewer architectures are scored than three times those that a run draws"


def first_runs(results: pd.DataFrame, kind: type[Algorithm]) -> list[pd.DataFrame]:
    """Return the first runs of a search that starts from scores, as many as were published.

    They form a separate method. The list is empty unless we have more runs than published.
    """
    numbers = np.sort(results["run"].unique())
    count = published_runs(kind.label) if kind.starts_scored else 0
    own = results[results["method"] == kind.label]
    if own.empty or not 0 < count < len(numbers):
        return []
    first = own[own["run"].isin(numbers[:count])]
    return [first.assign(method=f"{kind.label} (first {count} runs)")]


def in_full(method: str) -> str:
    """Return the method without the suffix that `first_runs` adds."""
    return method.partition(" (first ")[0]

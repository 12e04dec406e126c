"""From the traces of searches to what the tables and figures of searches are made of."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from untrained.benchmarks.benchmark import Benchmark
from untrained.images.sets import image_set
from untrained.report.published import (
    AREA_RUNS,
    FIRST_AREA,
    NASBENCH201_SPLITS,
    PAPER,
    TRAINING_FREE,
    Splits,
    published,
)
from untrained.report.targets import Accuracy, main_of
from untrained.search import ALGORITHMS, parse_algorithm
from untrained.search.clock import seen_in_searches

#: What a search spends to the column of its trace that counts it. Evaluations are trainings.
UNITS = {"seconds": "simulated_seconds", "evaluations": "step"}


#: What every search that spends a budget is held against: regularised evolution.
_REFERENCE = "rea"


def sees_trainings(algorithm: str) -> bool:
    """Whether a spelled search spends its budget on trainings."""
    return parse_algorithm(algorithm).sees_trainings


def spending(traces: Iterable[tuple[str, str]]) -> set[str]:
    """The algorithms of some searches that spend a budget.

    Raises:
        UntrainedError: no such algorithm, or no such settings.
    """
    return {name for name, _ in traces if parse_algorithm(name).spends_budget}


def untimed(traces: Iterable[tuple[str, str]], truth: Benchmark) -> set[tuple[str, str]]:
    """The searches whose trainings have no known times."""
    return {
        (algorithm, images)
        for algorithm, images in traces
        if sees_trainings(algorithm) and not _timed(truth, images)
    }


def _timed(truth: Benchmark, images: str) -> bool:
    seen = seen_in_searches(truth, image_set(images).measured_as)
    return not np.isnan(truth.measures[seen]["train_seconds"]).all()


def _name_of(algorithm: str) -> str:
    """The registered name of a spelled search."""
    return algorithm.partition("+")[0].partition("-")[0]


def method_of(algorithm: str, scored_on: str, main: str) -> str:
    """The row of Table 2(a) of an algorithm: "naswot-10" is "NASWOT N=10".

    Settings follow in brackets: "rea+init=naswot" is "REA (init=naswot)".
    """
    head, *settings = algorithm.split("+")
    name, _, samples = head.partition("-")
    kind = ALGORITHMS.load(name)
    method = kind.label + (f" N={samples}" if samples else "")
    method += f" ({', '.join(settings)})" if settings else ""
    verb = "searched" if kind.spends_budget or not kind.reads_scores else "scored"
    return method if scored_on == main else f"{method} ({verb} on {scored_on})"


def main_data_set(traces: Iterable[tuple[str, str]]) -> str:
    """What searches are about unless their row says otherwise: CIFAR-10, else the first.

    Args:
        traces: (algorithm, data set searched on), one or more.
    """
    return main_of(dataset for _, dataset in traces)


def columns_read(images: str, main: str, datasets: Sequence[str]) -> list[str]:
    """The data sets on which a search on `images` is read off.

    All, for a search on the main data set; else the one that was searched on, or stood for.
    """
    own = image_set(images).measured_as
    return [dataset for dataset in datasets if images == main or dataset == own]


def references_of(traces: Iterable[tuple[str, str]], trained: Collection[str]) -> dict[str, str]:
    """What each search that spends a budget is held against: REA on the same data set.

    Where both were run, it is a search that differs in one thing: for one whose fitness is a score
    (`rea+fitness=lga@1`) the same on accuracies in the same pool (`rea+pool=lga@1`), and for one
    in such a pool REA in that pool.

    Those that start from the best-scored of a sample come first: that AREA outperforms REA is the
    claim of Mellor et al. 2021.

    Args:
        traces: (algorithm, data set searched on).
        trained: the algorithms that spend a budget.

    Returns:
        Method to the method that it is held against, whether that was run or not.
    """
    pairs = list(traces)
    if not pairs:
        return {}
    main = main_data_set(pairs)
    held = [pair for pair in pairs if pair[0] in trained and pair[0] != _REFERENCE]
    held.sort(
        key=lambda pair: (pair[1] != main, not ALGORITHMS.load(_name_of(pair[0])).starts_scored)
    )
    run = set(pairs)

    def reference(algorithm: str, images: str) -> str:
        nearest = (one for one in _references(algorithm) if (one, images) in run)
        return next(nearest, _REFERENCE)

    return {
        method_of(algorithm, images, main): method_of(reference(algorithm, images), images, main)
        for algorithm, images in held
    }


def _references(algorithm: str) -> Iterator[str]:
    """What a search is best held against, the nearest first, if it has a pool."""
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
    if algorithm != f"{_REFERENCE}+pool={pool}":
        yield f"{_REFERENCE}+pool={pool}"


def with_first_area_runs(results: pd.DataFrame) -> pd.DataFrame:
    """Set the first runs of AREA, as many as the paper made, beside all of them.

    Args:
        results: of `search_results`.

    Returns:
        `results`, where AREA has more runs than that with the rows of the first once more, as the
        method `published.FIRST_AREA`, below AREA's own.
    """
    area = results[results["method"] == "AREA"]
    numbers = np.sort(area["run"].unique())
    if len(numbers) <= AREA_RUNS:
        return results
    first = area[area["run"].isin(numbers[:AREA_RUNS])].assign(method=FIRST_AREA)
    end = int(np.flatnonzero(results["method"] == "AREA")[-1]) + 1
    return pd.concat([results.iloc[:end], first, results.iloc[end:]], ignore_index=True)


def search_results(
    traces: Mapping[tuple[str, str], pd.DataFrame],
    accuracy: Accuracy,
    splits: Splits = NASBENCH201_SPLITS,
    *,
    trained: Collection[str] = (),
    untimed: Collection[tuple[str, str]] = (),
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The accuracies that the runs of each search reached, and what they spent.

    Args:
        traces: (algorithm, data set scored on) to its trace. Table 2(a) is about scores on
            CIFAR-10; scores on another data set are rows of their own, for that data set alone.
        accuracy: (benchmark data set, split) to percent by architecture index.
        splits: of the benchmark.
        trained: the algorithms that spend a budget; the others make no evaluations.
        untimed: the searches, as `traces` names them, whose training times are unknown.

    Returns:
        `method`, `run`, `dataset`, `split`, `accuracy`, `seconds` (simulated; NaN where untimed),
        `evaluations`, one row per run and column; and why a method has no result.
    """
    main = main_data_set(traces)
    tables, reasons = [], {}
    for (algorithm, images), trace in traces.items():
        kind = ALGORITHMS.load(_name_of(algorithm))
        if images != main and not (kind.spends_budget or kind.reads_scores):
            continue  # it reads nothing of the data set, so it would only repeat itself
        method = method_of(algorithm, images, main)
        read = columns_read(images, main, [dataset for dataset, _ in splits])
        final = trace[trace["is_final"]]
        if final.empty:
            reasons[method] = _too_few(method)
        for (dataset, split), (trained_on, part) in splits.items():
            if dataset not in read:
                continue
            own = final[final["target"].isin(["", f"{trained_on}/{part}"])]
            reached = accuracy(trained_on, part)[own["arch"].to_numpy(dtype=np.int64)]
            rows = {"method": method, "run": own["run"], "dataset": dataset, "split": split}
            rows |= {"accuracy": reached, "seconds": own["simulated_seconds"].astype(float)}
            found = pd.DataFrame(rows | {"evaluations": own["step"]})
            if (algorithm, images) in untimed:
                found["seconds"] = np.nan
            if algorithm not in trained:
                found["evaluations"] = 0
            tables.append(found)
    return pd.concat(tables, ignore_index=True), reasons


def _too_few(method: str) -> str:
    """Why it has an empty trace: what is scored does not stand for the whole space.

    See `untrained.search.pool.can_answer`.
    """
    if "N=" in method:
        return "fewer than 3 N architectures are scored"
    return "fewer architectures are scored than three times those that a run draws"


def times_table(
    summary: pd.DataFrame,
    dataset: str = "cifar10",
    split: str = "test",
    space: str = "nasbench201",
) -> pd.DataFrame:
    """Accuracy against what searches spend, for `search_figures.accuracy_against_time`.

    Weight sharing is left out: three of its six methods fail so badly that the others could not be
    told apart. So are AREA's first runs, which are no search of their own, and what costs nothing.

    Args:
        summary: of `search_tables.search_table`, with the mean simulated `seconds` and
            `evaluations` of each method.
        dataset: of the accuracies.
        split: `val` or `test`.
        space: of the searches.

    Returns:
        `method`, `spent`, `unit`, `mean`, `std`, `source` (`ours` or `published`). The unit is
        one of `UNITS`: evaluations where the seconds of some search are not known, of which
        scores are none. Published searches that train have no known number of them, and are left
        out there.
    """
    known = published("searches")
    known = known[(known["space"] == space) & (known["source"] == PAPER)]
    ours, theirs = (
        table[(table["dataset"] == dataset) & (table["split"] == split)]
        for table in (summary[summary["method"] != FIRST_AREA], known)
    )
    unit = "evaluations" if is_untimed(ours).any() else "seconds"
    trains = ~theirs["method"].isin(TRAINING_FREE)
    theirs = theirs.assign(evaluations=np.where(trains, np.nan, 0.0))
    ours = ours[(ours["seconds"] > 0) | is_untimed(ours)]
    theirs = theirs[(theirs["seconds"] > 0) & theirs[unit].notna()]
    columns = ["method", "spent", "unit", "mean", "std", "source"]
    both = [ours.assign(source="ours"), theirs.assign(source="published")]
    found = [table.assign(spent=table[unit].astype(float), unit=unit)[columns] for table in both]
    return pd.concat(found, ignore_index=True)


def is_untimed(summary: pd.DataFrame) -> "pd.Series[bool]":
    """Which rows are of searches whose training times are unknown.

    Args:
        summary: columns `seconds` and `evaluations`, NaN where nothing was run.
    """
    return summary["seconds"].isna() & (summary["evaluations"] > 0)

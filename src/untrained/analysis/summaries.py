"""From scores and traces to what the tables and figures are made of."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.analysis.correlations import ALL_SAMPLED, CANONICAL, FINITE_ONLY, TOP_TENTH
from untrained.analysis.published import (
    AREA_RUNS,
    FIRST_AREA,
    NASBENCH201_SPLITS,
    PAPER,
    TRAINING_FREE,
    Splits,
    published,
)
from untrained.errors import MissingDataError
from untrained.images.sets import image_set

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Accuracy = Callable[[str, str], Floats]

_METHODS = {
    "naswot": "NASWOT",
    "random": "Random",
    "optimal": "Optimal",
    "rs": "RS",
    "rea": "REA",
    "reinforce": "REINFORCE",
    "bohb": "BOHB",
    "area": "AREA",
    "local": "Local search",
}
#: They read nothing of the data set that they are asked to search on.
_BLIND = ("random", "optimal")
#: What a search spends to the column of its trace that counts it. Evaluations are trainings.
UNITS = {"seconds": "simulated_seconds", "evaluations": "step"}
#: What every search that spends a budget is held against: regularised evolution.
_REFERENCE = "rea"


def subsets_of(sampled: Indices, representatives: Indices) -> dict[str, Indices]:
    """The subsets that every correlation is given for.

    Args:
        sampled: (m,) sorted indices of the scored architectures.
        representatives: (n,) index of each architecture's class in the whole space.

    Returns:
        All; one per class (the one with the lowest index that was scored); and all again twice,
        of which `correlation_table` drops the undefined, and takes the most accurate tenth.
    """
    _, first = np.unique(representatives[sampled], return_index=True)
    canonical = sampled[np.sort(first)]
    return {ALL_SAMPLED: sampled, CANONICAL: canonical, FINITE_ONLY: sampled, TOP_TENTH: sampled}


def target_of(images: str, split: str, splits: Splits = NASBENCH201_SPLITS) -> tuple[str, str, str]:
    """(images scored on, benchmark data set, its split) for the split `val` or `test`.

    Scores on images that the benchmark does not know are held against what they stand for.

    Raises:
        MissingDataError: the benchmark has no such accuracies.
    """
    pair = image_set(images).measured_as, split
    if pair not in splits:
        raise MissingDataError(
            f"the benchmark has no {split} accuracies of {pair[0]}: "
            f"there is {', '.join(map(' '.join, splits)) or 'none at all'}"
        )
    return images, *splits[pair]


def targets_of(
    images: list[str], splits: Splits = NASBENCH201_SPLITS
) -> list[tuple[str, str, str]]:
    """Validation and test of each data set, where the benchmark has them; see `target_of`."""
    return [
        target_of(name, split, splits)
        for name in images
        for split in ("val", "test")
        if (image_set(name).measured_as, split) in splits
    ]


#: What searches see of a training: the control of scores that are read after training.
TWELVE_EPOCHS = "accuracy after 12 epochs"


def twelve_epochs(
    images: list[str],
    accuracies: Callable[..., Floats],
    architectures: Indices,
    splits: Splits = NASBENCH201_SPLITS,
) -> dict[str, "pd.Series[float]"]:
    """Validation accuracies after 12 epochs (training seed 777), by data set of images.

    Args:
        images: data sets that were scored on.
        accuracies: those of the benchmark: (data set, split, epochs, seed) to (n,) percent.
        architectures: (m,) indices that are asked for.
        splits: of the benchmark.
    """
    found = {}
    for name in images:
        _, dataset, split = target_of(name, "val", splits)
        known = accuracies(dataset, split, epochs=12, seed="777")
        found[name] = pd.Series(known[architectures], index=architectures)
    return found


def method_of(algorithm: str, scored_on: str, main: str) -> str:
    """The row of Table 2(a) of an algorithm: "naswot-10" is "NASWOT N=10".

    Settings follow in brackets: "rea+init=naswot" is "REA (init=naswot)".
    """
    head, *settings = algorithm.split("+")
    name, _, samples = head.partition("-")
    method = _METHODS.get(name, name) + (f" N={samples}" if samples else "")
    method += f" ({', '.join(settings)})" if settings else ""
    verb = "scored" if name == "naswot" else "searched"
    return method if scored_on == main else f"{method} ({verb} on {scored_on})"


def main_data_set(traces: Iterable[tuple[str, str]]) -> str:
    """What searches are about unless their row says otherwise: CIFAR-10, else the first.

    Args:
        traces: (algorithm, data set searched on), one or more.
    """
    return main_of(dataset for _, dataset in traces)


def main_of(datasets: Iterable[str]) -> str:
    """CIFAR-10 where it is among them, else the first of one or more."""
    return min(datasets, key=lambda name: name != "cifar10")


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

    AREA comes first, on the main data set before the others: that it outperforms REA is the claim
    of Mellor et al. 2021.

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
    held.sort(key=lambda pair: (pair[1] != main, pair[0].partition("+")[0] != "area"))
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
        untimed: the searches, as `traces` names them, whose trainings took nobody knows how long.

    Returns:
        `method`, `run`, `dataset`, `split`, `accuracy`, `seconds` (simulated; NaN where untimed),
        `evaluations`, one row per run and column; and why a method has no result.
    """
    main = main_data_set(traces)
    tables, reasons = [], {}
    for (algorithm, images), trace in traces.items():
        if images != main and algorithm.startswith(_BLIND):
            continue  # it would only repeat itself
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
    """Which rows are of searches that train for nobody knows how many seconds.

    Args:
        summary: columns `seconds` and `evaluations`, NaN where nothing was run.
    """
    return summary["seconds"].isna() & (summary["evaluations"] > 0)


def by_accuracy(sampled: Indices, scores: Floats, accuracy: Floats) -> Indices:
    """The architectures with a finite score and an accuracy, the least accurate first.

    Args:
        sampled: (m,) indices in the space.
        scores: (m,) their scores, NaN where undefined.
        accuracy: (n,) percent by index in the space, NaN where unknown.
    """
    defined = sampled[np.isfinite(scores) & np.isfinite(accuracy[sampled])]
    return defined[np.argsort(accuracy[defined], kind="stable")]

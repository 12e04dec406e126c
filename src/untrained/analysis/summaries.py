"""From scores and traces to what the tables and figures are made of."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.analysis.correlations import ALL_SAMPLED, CANONICAL, FINITE_ONLY, TOP_TENTH
from untrained.analysis.published import NASBENCH201_SPLITS, searches
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


def target_of(images: str, split: str) -> tuple[str, str, str]:
    """(images scored on, benchmark data set, its split) for the split `val` or `test`.

    Scores on images that the benchmark does not know are held against what they stand for.
    """
    return images, *NASBENCH201_SPLITS[image_set(images).stands_for or images, split]


def targets_of(images: list[str]) -> list[tuple[str, str, str]]:
    """Validation and test of each data set, as `target_of` says."""
    return [target_of(name, split) for name in images for split in ("val", "test")]


def method_of(algorithm: str, scored_on: str, main: str) -> str:
    """The row of Table 2(a) of an algorithm: "naswot-10" is "NASWOT N=10"."""
    name, _, samples = algorithm.partition("-")
    method = _METHODS.get(name, name) + (f" N={samples}" if samples else "")
    verb = "scored" if name == "naswot" else "searched"
    return method if scored_on == main else f"{method} ({verb} on {scored_on})"


def search_results(
    traces: Mapping[tuple[str, str], pd.DataFrame], accuracy: Accuracy
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The accuracies that the runs of each search reached.

    Args:
        traces: (algorithm, data set scored on) to its trace. Table 2(a) is about scores on
            CIFAR-10; scores on another data set are rows of their own, for that data set alone.
        accuracy: (benchmark data set, split) to percent by architecture index.

    Returns:
        `method`, `run`, `dataset`, `split`, `accuracy`, `seconds`, one row per run and column;
        and why a method has no result.
    """
    scored_on = list(dict.fromkeys(dataset for _, dataset in traces))
    main = "cifar10" if "cifar10" in scored_on else scored_on[0]
    tables, reasons = [], {}
    for (algorithm, images), trace in traces.items():
        if images != main and algorithm.startswith(_BLIND):
            continue  # it would only repeat itself
        method = method_of(algorithm, images, main)
        own_set = image_set(images).stands_for or images
        final = trace[trace["is_final"]]
        if final.empty:
            reasons[method] = "fewer than 3 N architectures are scored"
        for (dataset, split), (trained, part) in NASBENCH201_SPLITS.items():
            if images != main and dataset != own_set:
                continue
            own = final[final["target"].isin(["", f"{trained}/{part}"])]
            reached = accuracy(trained, part)[own["arch"].to_numpy(dtype=np.int64)]
            rows = {"method": method, "run": own["run"], "dataset": dataset, "split": split}
            rows |= {"accuracy": reached, "seconds": own["simulated_seconds"]}
            tables.append(pd.DataFrame(rows))
    return pd.concat(tables, ignore_index=True), reasons


def times_table(
    summary: pd.DataFrame, dataset: str = "cifar10", split: str = "test"
) -> pd.DataFrame:
    """Accuracy against search time, ours and published, for `figures.accuracy_against_time`.

    Args:
        summary: of `search_tables.search_table`, with the simulated `seconds` of each method.
        dataset: of the accuracies.
        split: `val` or `test`.
    """
    known = searches()
    ours, theirs = (
        table[(table["dataset"] == dataset) & (table["split"] == split) & (table["seconds"] > 0)]
        for table in (summary, known[known["space"] == "nasbench201"])
    )
    columns = ["method", "seconds", "mean", "std", "source"]
    return pd.concat(
        [ours.assign(source="ours")[columns], theirs.assign(source="published")[columns]],
        ignore_index=True,
    )


def extreme_cells(
    sampled: Indices, scores: Floats, accuracy: Floats, count: int
) -> tuple[Indices, Indices]:
    """The `count` most and the `count` least accurate architectures with a finite score.

    Args:
        sampled: (m,) indices in the space.
        scores: (m,) their scores, NaN where undefined.
        accuracy: (n,) percent by index in the space.
        count: of each.
    """
    defined = sampled[np.isfinite(scores)]
    order = defined[np.argsort(accuracy[defined], kind="stable")]
    return order[::-1][:count], order[:count]

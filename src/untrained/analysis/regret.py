"""How far below the best architecture of the benchmark a search is, the more it has spent."""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from untrained.analysis.published import NASBENCH201_SPLITS, Splits
from untrained.analysis.resampling import interval, mean_draws, resample_counts
from untrained.analysis.summaries import UNITS, Accuracy, columns_read, main_data_set, method_of
from untrained.errors import ParameterError

#: The columns of `regret_table`, in order.
COLUMNS = (
    *("method", "searched_on", "dataset", "spent", "unit", "runs"),
    *("regret", "regret_low", "regret_high", "trains"),
)

#: Times at which a curve is read off, at equal steps of their logarithm; of whole evaluations those
#: that are nearest.
TIMES = 150

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def incumbents_at(trace: pd.DataFrame, spent: Floats, unit: str = "seconds") -> Integers:
    """The incumbent of each run at each time; it holds until the next one, also beyond the end.

    Args:
        trace: of one search, its `target` empty throughout; see `untrained.search.pool`.
        spent: (times,) of `unit`.
        unit: one of `UNITS`.

    Returns:
        (runs, times) indices of architectures, the runs in ascending order.

    Raises:
        ParameterError: at some time a run has no incumbent yet.
    """
    ordered = trace.sort_values(["run", "step", "is_final"], kind="stable")
    found = []
    for run, own in ordered.groupby("run"):
        known = own[UNITS[unit]].to_numpy(dtype=np.float64)
        place = np.searchsorted(known, spent, side="right") - 1
        if len(place) and place.min() < 0:
            raise ParameterError(
                f"run {run} has no incumbent after {spent.min():g} {unit}: its first is found "
                f"after {known[0]:g}"
            )
        found.append(own["arch"].to_numpy(dtype=np.int64)[place])
    return np.stack(found)


def regret_table(
    traces: Mapping[tuple[str, str], pd.DataFrame],
    accuracy: Accuracy,
    trained: Collection[str],
    *,
    splits: Splits = NASBENCH201_SPLITS,
    unit: str = "seconds",
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """The mean regret of every search over what it has spent, with 95 % bootstrap intervals.

    The regret is the best final test accuracy that the benchmark knows, less that of
    the incumbent: of the architecture for which the search saw the highest fitness. What the
    search saw is not in it. Without an incumbent a run has no regret; so that every mean is over
    the same runs, a curve starts at the first time at which all of its runs have one. It ends at
    the latest end of any search.

    Args:
        traces: (algorithm, data set searched on) to its trace, as `summaries.search_results` takes
            them.
        accuracy: (benchmark data set, split) to percent by architecture index.
        trained: the algorithms that train, which have a curve of `TIMES` points. The others have
            one point at their end, on the main data set only.
        splits: of the benchmark.
        unit: `seconds`, simulated, or `evaluations` where a training took nobody knows how long;
            what trains nothing has spent none of those.
        resamples: of the runs, for every interval.
        seed: of the resampling.

    Returns:
        One row per search, data set of the report and time with `COLUMNS`, those of searches on
        the main data set first: `searched_on` is the
        data set that the search saw, `spent` is of `unit`, `regret` in percent points and NaN
        where the benchmark lacks an accuracy, `trains` whether the row is of a curve.

    Raises:
        ParameterError: no resamples.
    """
    main = main_data_set(traces)
    counted = UNITS[unit]
    ends = [
        float(trace[counted].max())
        for (algorithm, _), trace in traces.items()
        if algorithm in trained and len(trace)
    ]
    tables = [pd.DataFrame(columns=list(COLUMNS)).astype({"trains": bool})]
    main_first = sorted(traces.items(), key=lambda item: item[0][1] != main)
    for (algorithm, images), trace in main_first:
        trains = algorithm in trained
        if trace.empty or (images != main and not trains):
            continue
        if trains:
            first = trace.groupby("run")[counted].min().max()
            times = np.geomspace(float(first), max(ends), TIMES)
            # an evaluation can be all that the budget covers
            times = np.unique(times.round() if unit == "evaluations" else times)
            reached = incumbents_at(trace, times, unit)
        known = [dataset for dataset, split in splits if split == "test"]
        for dataset in columns_read(images, main, known):
            trained_on, part = splits[dataset, "test"]
            if not trains:
                final = trace[trace["is_final"]]
                final = final[final["target"].isin(["", f"{trained_on}/{part}"])]
                times = np.array([final[counted].mean() if unit == "seconds" else 0.0])
                reached = final[["arch"]].to_numpy(dtype=np.int64)
            answers = accuracy(trained_on, part)
            regret = np.nanmax(answers) - answers[reached]
            counts = resample_counts(len(regret), resamples=resamples, seed=seed)
            low, high = interval(mean_draws(regret, counts))
            head = (method_of(algorithm, main, main), images, dataset, times, unit, len(regret))
            figures = (regret.mean(axis=0), low, high, trains)
            tables.append(pd.DataFrame(dict(zip(COLUMNS, (*head, *figures), strict=True))))
    return pd.concat(tables[1:] or tables, ignore_index=True)

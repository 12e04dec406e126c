"""Each search that spends a budget compared with a reference search over paired runs."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from untrained.report.inputs import Inputs, Splits
from untrained.report.scores import Floats, image_label
from untrained.report.search_results import references_of, search_results
from untrained.report.search_tables import named_once, search_notes
from untrained.report.section import Options, Section, Table, reference_label
from untrained.report.statistics import Integers, interval, mean_draws, resample_counts
from untrained.report.tables import (
    Columns,
    intervals,
    lay_out,
    named,
    terminal_table,
    with_interval,
)
from untrained.search import ALGORITHMS

#: The columns of `comparison_table`, in order.
COLUMNS = (
    *("method", "reference", "dataset", "split", "runs"),
    *("difference", "difference_low", "difference_high", "p", "p_holm"),
    *("improvement", "improvement_low", "improvement_high", "note"),
)

_KEYS = ["method", "dataset", "split"]


def make(inputs: Inputs, options: Options) -> pd.DataFrame:
    """Compare every search that spends a budget with its reference."""
    results, _ = search_results(inputs)
    references = references_of(inputs.traces, inputs.searched_on)
    return comparison_table(results, references, inputs.splits, **options)


class Comparison(NamedTuple):
    """A search compared with a reference over pairs of runs; see `compare`.

    Attributes:
        difference: mean over the pairs of the method's accuracy less the reference's, in percent
            points.
        p: two-sided, of Wilcoxon's signed-rank test.
        improvement: probability that a run of the method beats one of the reference, 0 to 1.

    `_low` and `_high` are the ends of 95 % percentile bootstrap intervals, NaN for one pair.
    """

    difference: float
    difference_low: float
    difference_high: float
    p: float
    improvement: float
    improvement_low: float
    improvement_high: float


def compare(
    method: Floats, reference: Floats, *, resamples: int = 1000, seed: int = 0
) -> Comparison:
    """Compare the accuracies (n,) of two searches whose runs are pairs.

    A resample draws pairs with replacement, and both statistics are computed from each. The test
    is SciPy's Wilcoxon signed-rank test; differences of zero are ranked but do not enter the sums
    (Pratt, "Remarks on zeros and ties in the Wilcoxon signed rank procedures",
    1959). Where all are zero, p is 1.
    """
    once = np.ones((1, len(method)), dtype=np.int64)
    counts = resample_counts(len(method), resamples=resamples, seed=seed)
    differences = method - reference
    low, high = np.full((2, 2), np.nan)
    if len(method) > 1:
        draws = mean_draws(differences, counts), improvement_draws(method, reference, counts)
        low, high = interval(np.stack(draws, axis=1))
    return Comparison(
        difference=float(differences.mean()),
        difference_low=float(low[0]),
        difference_high=float(high[0]),
        p=_signed_rank_p(differences),
        improvement=float(improvement_draws(method, reference, once)[0]),
        improvement_low=float(low[1]),
        improvement_high=float(high[1]),
    )


def improvement_draws(method: Floats, reference: Floats, counts: Integers) -> Floats:
    """Return P(method > reference) over all pairs of runs in each resample; ties count half.

    Agarwal et al., "Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS
    2021, section 4.3. It is the Mann-Whitney statistic over its largest value: every run of the
    method looks up how many runs of the sorted reference lie below it. Unlike there, a resample, a
    row of the counts (resamples, n), draws both runs of a pair together, as they share their random
    draws.
    """
    order = np.argsort(reference, kind="stable")
    ordered = reference[order]
    # how many drawn runs of the reference are among the k smallest, for k from 0 to n
    among = np.zeros((len(counts), len(reference) + 1), dtype=np.int64)
    np.cumsum(counts[:, order], axis=1, out=among[:, 1:])
    below = among[:, np.searchsorted(ordered, method, side="left")]
    not_above = among[:, np.searchsorted(ordered, method, side="right")]
    doubled = (counts * (below + not_above)).sum(axis=1)
    return np.asarray(doubled / (2 * counts.sum(axis=1) ** 2), dtype=np.float64)


def holm(p: Floats) -> Floats:
    """Adjust p values (m,) so that their family-wise error is bounded; NaN marks no test.

    Holm, "A simple sequentially rejective multiple test procedure", 1979: the k-th smallest of m
    is multiplied by m - k + 1, at most 1, and never below a smaller one's.
    """
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]  # NaN sorts last
    adjusted = np.full(len(p), np.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return adjusted


def comparison_table(
    results: pd.DataFrame,
    references: Mapping[str, str],
    splits: Splits,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare searches with their references on every data set and split with results.

    Runs of the same number are pairs, because two searches with the same seed draw from the same
    random stream in them. Where one search has more runs, only those that both have are compared,
    as the note reports.

    Returns:
        One row per method, data set and split with `COLUMNS`; `runs` counts the pairs. `p_holm` is
        p adjusted over the methods of the data set and split. Where there is no comparison, the
        numbers are NaN and `note` gives the reason.
    """
    cells = {
        key: cell.set_index("run")["accuracy"] for key, cell in results.groupby(_KEYS, sort=False)
    }
    rows: list[tuple[object, ...]] = []
    for method, reference in references.items():
        known = [pair for pair in splits if (method, *pair) in cells]
        for pair in known or splits:
            ours, theirs = cells.get((method, *pair)), cells.get((reference, *pair))
            paired, note = _paired(method, ours, reference, theirs)
            figures: tuple[float, ...] = (np.nan,) * 7
            if len(paired):
                both = paired.to_numpy(dtype=np.float64)
                figures = compare(both[:, 0], both[:, 1], resamples=resamples, seed=seed)
            rows.append((method, reference, *pair, len(paired), *figures, note))
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "p_holm"])
    table["p_holm"] = table.groupby(["dataset", "split"])["p"].transform(
        lambda own: holm(own.to_numpy(dtype=np.float64))
    )
    return table[list(COLUMNS)]


def _paired(
    method: str,
    ours: "pd.Series[float] | None",
    reference: str,
    theirs: "pd.Series[float] | None",
) -> tuple[pd.DataFrame, str]:
    """Return the accuracies of the runs that both have in two columns, and notes on them."""
    nothing = pd.DataFrame()
    for name, own in ((method, ours), (reference, theirs)):
        if own is None:
            return nothing, f"no runs of {name}"
        if own.isna().any():
            # the runs with an accuracy are not a random choice, so their mean would be biased
            return nothing, f"{int(own.isna().sum())} of {len(own)} runs of {name} lack an accuracy"
    paired = pd.concat([ours, theirs], axis=1, join="inner").sort_index()
    notes = []
    if not len(paired) == len(ours) == len(theirs):  # type: ignore[arg-type]
        notes.append(
            f"{len(ours)} runs of {method} and {len(theirs)} of {reference}: "  # type: ignore[arg-type]
            f"only the {len(paired)} of equal numbers are compared"
        )
    if len(paired) == 1:
        notes.append("one pair of runs: no interval")
    return paired, "; ".join(notes)


def _signed_rank_p(differences: Floats) -> float:
    from scipy import stats

    # accuracies are decimals: floating-point subtraction makes equal differences unequal
    rounded = np.round(differences, 9)
    if not rounded.any():
        return 1.0
    return float(stats.wilcoxon(rounded, zero_method="pratt").pvalue)


def comparison_layout(table: pd.DataFrame, *, narrow: bool = False) -> pd.DataFrame:
    """Lay out comparisons; the narrow form fits 100 columns and names each method once."""
    counts = table.groupby("method", sort=False).size()
    once = [name for method, count in counts.items() for name in named_once(str(method), count)]
    columns: Columns = {
        "method": lambda own: once if narrow else own["method"],
        "against": "reference",
        "accuracy": lambda own: own["dataset"].map(image_label) + " " + own["split"],
        "runs": "runs",
        "difference (points)": intervals("difference"),
        "P(better)": intervals("improvement"),
        "p": named("p", _two_digits),
        "p (Holm)": named("p_holm", _two_digits),
        "note": "note",
    }
    left_out = ["p", "note"] if narrow else []
    if narrow and (table["reference"] == reference_label()).all():
        left_out.append("against")  # which the title names
    return lay_out(table, columns, but=left_out)


def _two_digits(p: float) -> str:
    return "" if pd.isna(p) else f"{p:.2g}"


def _show(inputs: Inputs) -> list[Any]:
    table = inputs.table("comparisons")
    table = table[~table["method"].str.contains(" on ", regex=False)]
    if table.empty:
        return []
    reference = reference_label()
    title = f"Searches compared with {reference}, with 95 % intervals"
    return [
        "",
        *inputs.within("comparisons"),
        terminal_table(comparison_layout(table, narrow=True), title=title),
        "Runs of the same number are pairs. P(better): probability that a run beats one of "
        "its reference. p: Wilcoxon's signed-rank test, adjusted for the number of searches.",
        *(f"- {note}" for note in search_notes(table)),
    ]


def _more(inputs: Inputs) -> str:
    table = inputs.table("comparisons")
    if inputs.within("comparisons"):  # the claims are of searches in the whole space
        return ""
    compared = set(zip(table["method"], table["reference"], strict=True))
    claims = (
        claim
        for algorithm in map(ALGORITHMS.load, ALGORITHMS.builtin)
        for reference, claim in algorithm.claims.items()
        if (algorithm.label, reference) in compared
    )
    return " ".join(claims)


def _sentences(inputs: Inputs) -> list[str]:
    """Say how far the best search is from the reference."""
    table = inputs.table("comparisons")
    if table.empty:
        return []
    dataset = inputs.main(table["dataset"])
    own = table[(table["dataset"] == dataset) & (table["split"] == "test")]
    own = own[own["difference_low"].notna()]
    if own.empty:
        return []
    row = max(own.to_dict("records"), key=lambda row: float(row["difference"]))
    figures = [row[name] for name in ("difference", "difference_low", "difference_high")]
    how = "more" if row["difference"] >= 0 else "less"
    if how == "less":
        figures = [-figures[place] for place in (0, 2, 1)]
    difference = with_interval(*figures)
    within = f" within `{row['where']}`" if "where" in row else ""
    unclear = row["difference_low"] <= 0 <= row["difference_high"]
    return [
        f"{row['method']} is {difference} percent points {how} accurate than {row['reference']} "
        f"there{within} ({row['runs']} pairs of runs, 95 % bootstrap interval)"
        + (", which can't be told from 0." if unclear else ".")
    ]


SECTION = Section(
    name="comparisons",
    reads=("benchmark", "searches"),
    options=("resamples", "seed"),
    tables=(
        Table(
            "comparisons",
            make,
            "Searches compared with {reference}",
            "Final accuracy of every search that spends a budget, compared with {reference}. A "
            "search whose fitness is a score is compared with the same search on accuracies in the "
            "same pool, and others in a pool with {reference} in that pool, where those were run "
            "(`against`). Runs of the same number draw from the same random stream, so they are "
            "pairs. `difference`: mean over the pairs in percent points. `P(better)`: probability "
            "that a run of the search beats one of {reference}, over all pairs of runs, where ties "
            "count half (Agarwal et al. 2021). Both have "
            "95 % bootstrap intervals from resampled pairs. `p`: Wilcoxon's signed-rank test, in "
            "which differences of zero are ranked (Pratt 1959); `p (Holm)` is adjusted for the "
            "searches of one data set and split. Results of one search on several data sets and "
            "splits are not independent of each other.",
            lambda table, _: comparison_layout(table),
            more=_more,
        ),
    ),
    show=_show,
    sentences=_sentences,
)

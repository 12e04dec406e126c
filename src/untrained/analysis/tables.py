"""Tables for people: readable layouts of tidy tables, and Markdown, LaTeX, CSV and terminal views.

A layout is a DataFrame of text made from a tidy one; a view renders any DataFrame.
"""

import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from untrained.analysis.search_tables import QUOTED
from untrained.analysis.summaries import is_untimed

if TYPE_CHECKING:
    from rich.table import Table

#: Data set to its name in print; that of the others is their own.
DATASET_TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
#: What a cell of a right-aligned column starts with.
_NUMBER = re.compile(r"[-+−±]?\d|none ")
_LATEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "τ": r"$\tau$",
    "ρ": r"$\rho$",
    "Δ": r"$\Delta$",
    "−": "$-$",
    "\n": " ",
}


def with_interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """Format `0.61 [0.57, 0.65]`; empty where undefined."""
    if pd.isna(value):
        return ""
    interval = "" if pd.isna(low) else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{interval}"


def with_spread(mean: float, std: float, digits: int = 2) -> str:
    """Format `93.06 ± 0.35`; empty where undefined."""
    if pd.isna(mean):
        return ""
    return f"{mean:.{digits}f}" + ("" if pd.isna(std) else f" ± {std:.{digits}f}")


def correlation_layout(
    table: pd.DataFrame, *, digits: int = 3, narrow: bool = False
) -> pd.DataFrame:
    """Lay out a correlation table with its intervals.

    Args:
        table: as `correlations.correlation_table` returns it, with or without the columns that
            `published.with_published` adds.
        digits: decimals of each coefficient.
        narrow: leave out what does not fit into 100 columns of a terminal.
    """
    layout = pd.DataFrame({"proxy": table["proxy"]})
    if not narrow:
        layout["scored on"] = table["images"]
    layout["accuracy"] = table["dataset"] + " " + table["split"]
    layout["subset"] = table["subset"]
    layout["n"] = table["n"].astype(str)
    layout["undefined"] = table["excluded"].astype(str)
    if not narrow:
        layout["seeds"] = ["" if seeds == 0 else str(seeds) for seeds in table["seeds"]]
    coefficients = {"tau": "Kendall's τ"} | ({} if narrow else {"rho": "Spearman's ρ"})
    for name, title in coefficients.items():
        cells = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        layout[title] = [with_interval(*cell, digits=digits) for cell in cells]
    wide = {"tau_seed_std": "std of τ over seeds", "recomputed_tau": "recomputed"}
    for name, title in ({"paper_tau": "paper"} | ({} if narrow else wide)).items():
        if name in table:
            layout[title] = [_text(value, digits) for value in table[name]]
    return layout


def score_notes(table: pd.DataFrame) -> list[str]:
    """What has to be said of the proxies of a table of scores: which were read on test labels.

    Args:
        table: with a column `proxy`.
    """
    from untrained.scoring.request import shows_test

    return [
        f"{proxy}: read on test images with their labels, as the released code does; its figures "
        "are no prediction"
        for proxy in table["proxy"].unique()
        if shows_test(proxy)
    ]


def seed_layout(table: pd.DataFrame, *, digits: int = 3) -> pd.DataFrame:
    """Lay out a seed table.

    Args:
        table: as `seed_tables.seed_table` returns it.
        digits: decimals of each coefficient.
    """
    layout = pd.DataFrame({"proxy": table["proxy"], "scored on": table["images"]})
    layout["accuracy"] = table["dataset"] + " " + table["split"]
    layout["n"] = table["n"].astype(str)
    layout["seeds"] = table["seeds"].astype(str)
    layout["sets"] = table["sets"].astype(str)
    titles = {
        "tau": "mean τ",
        "tau_min": "smallest τ",
        "tau_max": "largest τ",
        "tau_low": "95 % low",
        "tau_high": "95 % high",
        "rho_disjoint": "ρ of two sets",
    }
    for name, title in titles.items():
        layout[title] = [_text(value, digits) for value in table[name]]
    return layout


def proxy_layout(table: pd.DataFrame, *, digits: int = 2) -> pd.DataFrame:
    """Lay out the scores of a space beside each other.

    Args:
        table: as `proxy_comparisons.proxy_table` returns it.
        digits: decimals of each coefficient.
    """
    layout = pd.DataFrame({"space": table["space"], "scored on": table["images"]})
    layout["accuracy"] = table["dataset"] + " " + table["split"]
    layout["score"] = table["proxy"]
    layout["n"] = table["n"].astype(str)
    layout["undefined"] = table["undefined"].astype(str)
    cells = zip(table["tau"], table["low"], table["high"], strict=True)
    layout["τ"] = [with_interval(*cell, digits=digits) for cell in cells]
    layout["published τ"] = [_text(value, digits + 1) for value in table["published_tau"]]
    layout["source"] = table["source"]
    return layout


def search_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out Table 2(a) as the paper does: methods by data set and split.

    Args:
        table: as `search_tables.search_table` returns it; with simulated `seconds` and
            `evaluations` or without.

    Returns:
        One row per method; each cell reads `mean ± std (published mean ± std, +0.4 se)`, or gives
        the reason in place of what is missing; it is empty where the search is not read off. Where
        it is known what runs spend, its mean is in the last columns: seconds, and evaluations where
        some took nobody knows how long.
    """
    cells = _by_cell(table)
    methods = list(dict.fromkeys(table["method"]))
    layout = pd.DataFrame({"method": methods})
    pairs = table[["dataset", "split"]].drop_duplicates().itertuples(index=False, name=None)
    for dataset, split in pairs:
        layout[f"{DATASET_TITLES.get(dataset, dataset)} {split}"] = [
            _search_cell(cells[method, dataset, split]) for method in methods
        ]
    if "seconds" in table:
        # the same on every data set and split, but for those without an answer
        spent = table.groupby("method", sort=False)[["evaluations", "seconds"]].max().loc[methods]
        titles = {"evaluations": "evaluations"} if is_untimed(spent).any() else {}
        for name, title in (titles | {"seconds": "time (s)"}).items():
            layout[title] = ["" if pd.isna(one) else f"{one:.0f}" for one in spent[name]]
    return layout


def _by_cell(table: pd.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_dict("records")  # type: ignore[assignment]
    return {(row["method"], row["dataset"], row["split"]): row for row in rows}


def _search_cell(row: dict[str, Any]) -> str:
    if row["note"] == QUOTED:
        return f"{with_spread(row['published_mean'], row['published_std'])} ({QUOTED})"
    ours = with_spread(row["mean"], row["std"])
    beside = []
    if pd.notna(row["published_mean"]):
        published = with_spread(row["published_mean"], row["published_std"])
        beside.append(f"published {published}")
    if pd.notna(row["difference_in_se"]):
        beside.append(f"{row['difference_in_se']:+.1f} se")
    if row["note"]:
        beside.append(str(row["note"]))
    return f"{ours or 'none'} ({', '.join(beside)})" if beside else ours


#: In the place of a split that the benchmark does not have.
_UNKNOWN = dict.fromkeys(
    ("mean", "std", "published_mean", "published_std", "difference_in_se"), float("nan")
)


def narrow_search_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out Table 2(a) for 100 columns of a terminal: one row per method and data set.

    Args:
        table: as `search_tables.search_table` returns it.

    Returns:
        For validation (`val`) and test: ours, the published counterpart, and their difference in
        joint standard errors (`Δ/se`). What is missing is empty; `search_notes` says why.
    """
    cells = _by_cell(table)
    rows = []
    datasets = list(dict.fromkeys(table["dataset"]))
    for method in dict.fromkeys(table["method"]):
        for dataset, named in zip(datasets, _named_once(method, len(datasets)), strict=True):
            line = {"method": named, "data set": DATASET_TITLES.get(dataset, dataset)}
            for split in ("val", "test"):
                row = cells.get((method, dataset, split), _UNKNOWN)
                ours = with_spread(row["mean"], row["std"])
                published = with_spread(row["published_mean"], row["published_std"])
                # Six columns of numbers fit only without the spaces.
                line[split] = ours.replace(" ", "")
                line[f"{split} paper"] = published.replace(" ", "")
                in_se = row["difference_in_se"]
                line[f"{split} Δ/se"] = "" if pd.isna(in_se) else f"{in_se:+.1f}"
            rows.append(line)
    return pd.DataFrame(rows)


def _named_once(method: str, lines: int) -> list[str]:
    """The first column of the lines of a method, which then read as one group.

    What it has in brackets goes into the second line: the column has to be narrow.
    """
    name, bracket, rest = method.partition(" (")
    return [name, *([f"({rest}"] if bracket else []), *[""] * lines][:lines]


def search_notes(table: pd.DataFrame) -> list[str]:
    """Gather the notes of a table of searches in their order, `method, method: note`, each once."""
    methods: dict[str, list[str]] = {}
    for method, note in zip(table["method"], table["note"], strict=True):
        own = methods.setdefault(note, [])
        if method not in own:
            own.append(method)
    return [f"{', '.join(own)}: {note}" for note, own in methods.items() if note]


def comparison_layout(table: pd.DataFrame, *, narrow: bool = False) -> pd.DataFrame:
    """Lay out what searches are against their references.

    Args:
        table: as `comparisons.comparison_table` returns it.
        narrow: name each method once and leave out what does not fit into 100 columns of a
            terminal; `search_notes` has the notes.
    """
    methods = [str(name) for name in table["method"]]
    if narrow:
        counts = table.groupby("method", sort=False).size().to_dict()
        methods = [
            name for method, count in counts.items() for name in _named_once(str(method), count)
        ]
    layout = pd.DataFrame({"method": methods})
    if not narrow:
        layout["against"] = table["reference"].to_list()
    layout["accuracy"] = [
        f"{DATASET_TITLES.get(dataset, dataset)} {split}"
        for dataset, split in zip(table["dataset"], table["split"], strict=True)
    ]
    layout["runs"] = table["runs"].astype(str).to_list()
    for name, title in (("difference", "difference (points)"), ("improvement", "P(better)")):
        cells = zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        layout[title] = [with_interval(*cell) for cell in cells]
    tests = {"p_holm": "p (Holm)"} if narrow else {"p": "p", "p_holm": "p (Holm)"}
    for name, title in tests.items():
        layout[title] = ["" if pd.isna(value) else f"{value:.2g}" for value in table[name]]
    if not narrow:
        layout["note"] = table["note"].to_list()
    return layout


def variance_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out the components of variance with the intervals of their shares.

    Args:
        table: as `variances.variance_table` returns it.
    """
    shares = (100 * table[["share", "share_low", "share_high"]]).itertuples(index=False, name=None)
    return pd.DataFrame(
        {
            "experiment": table["experiment"],
            "images": table["dataset"],
            "batch size": table["batch_size"].astype(str),
            "architectures": table["architectures"].astype(str),
            "undefined": table["undefined"].astype(str),
            "minibatches": table["minibatches"].astype(str),
            "initialisations": table["initialisations"].astype(str),
            "component": table["component"],
            "std": [_text(value, 2) for value in table["std"]],
            "share (%)": [with_interval(*share) for share in shares],
        }
    )


def trajectory_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out the rounds of the pruning searches: mean and standard deviation over the seeds.

    Args:
        table: as `prunings.trajectory_table` returns it.
    """
    columns = {
        "kappa": ("condition number", 1, 1),
        "kappa_change": ("change (%)", 100, 1),
        "regions": ("linear regions", 1, 0),
        "regions_change": ("change of these (%)", 100, 1),
    }
    groups = table.groupby(["method", "round"], sort=False)
    layout = groups.size().astype(str).rename("seeds").reset_index()
    layout["round"] = layout["round"].astype(str)
    for name, (title, scale, digits) in columns.items():
        means, spreads = scale * groups[name].mean(), scale * groups[name].std(ddof=1)
        layout[title] = [
            with_spread(mean, spread, digits) for mean, spread in zip(means, spreads, strict=True)
        ]
    return layout


def evolution_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out how quantities move: median and range over the cells, a column per stop.

    Args:
        table: as `evolutions.evolution_table` returns it. Kendall's tau stands below a proxy where
            it has any.
    """
    rows: list[dict[str, str]] = []
    stops = sorted(table["epochs"].unique())
    for (dataset, quantity), own in table.groupby(["dataset", "quantity"], sort=False):
        row = {"images": str(dataset), "quantity": str(quantity)}
        row["seeds"] = str(own["seeds"].max())
        row["cells"] = _range(own["cells"])
        found = {stop: _few_digits(values) for stop, values in _by_stop(own, "median", "low")}
        rows.append(row | {f"epoch {stop:g}": found.get(stop, "") for stop in stops})
        taus = own.dropna(subset=["tau"])
        if len(taus):
            known = dict(_by_stop(taus, "tau", "tau_low"))
            row = row | {"quantity": f"Kendall's τ of {quantity}"}
            rows.append(
                row
                | {
                    f"epoch {stop:g}": with_interval(*known[stop]) if stop in known else ""
                    for stop in stops
                }
            )
    columns = ["images", "quantity", "seeds", "cells", *(f"epoch {stop:g}" for stop in stops)]
    return pd.DataFrame(rows, columns=columns)


def _by_stop(
    own: pd.DataFrame, middle: str, low: str
) -> list[tuple[float, tuple[float, float, float]]]:
    high = low.replace("low", "high")
    columns = (own[name].astype(float) for name in ("epochs", middle, low, high))
    return [(stop, (value, start, end)) for stop, value, start, end in zip(*columns, strict=True)]


def _range(values: "pd.Series[int]") -> str:
    low, high = values.min(), values.max()
    return str(high) if low == high else f"{low} to {high}"


def _few_digits(values: tuple[float, float, float]) -> str:
    """`0.1234 [0.1, 0.2]` with four digits of each, whatever their size; empty where undefined."""
    middle, low, high = values
    return "" if pd.isna(middle) else f"{middle:.4g} [{low:.4g}, {high:.4g}]"


def preference_layout(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out the shares of options in percent, a row per proxy and a column per option.

    Args:
        table: as `preferences.preference_table` returns it.
    """
    rows = []
    for (proxy, images), own in table.groupby(["proxy", "images"], sort=False):
        first = own.iloc[0]
        row = {"proxy": proxy, "scored on": images}
        row["best"] = f"{first['best']} of {first['architectures']}"
        columns = ("share", "share_low", "share_high", "paper_share")
        percent = zip(*(100 * own[name] for name in columns), strict=True)
        for option, (share, low, high, paper) in zip(own["option"], percent, strict=True):
            beside = "" if pd.isna(paper) else f" (published {paper:.1f})"
            row[option] = with_interval(share, low, high, 1) + beside
        rows.append(row)
    return pd.DataFrame(rows)


def to_markdown(table: pd.DataFrame, *, digits: int = 3) -> str:
    """Render as a table in GitHub's Markdown, which shows every cell as it is."""
    cells = _cells(table, digits)
    rule = ["---:" if right else "---" for right in _right(table, cells)]
    lines = [[_markdown(str(name)) for name in table.columns], rule]
    lines += [[_markdown(cell) for cell in row] for row in cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def to_latex(table: pd.DataFrame, *, caption: str, label: str, digits: int = 3) -> str:
    """Render as a LaTeX table; the document has to load the package `booktabs`.

    Args:
        table: any table.
        caption: plain text, escaped here.
        label: key for references, as it is.
        digits: decimals of plain numbers.
    """
    cells = _cells(table, digits)
    columns = "".join("r" if right else "l" for right in _right(table, cells))
    head, *body = [
        " & ".join(_latex(cell) for cell in row) + r" \\"
        for row in ([str(name) for name in table.columns], *cells)
    ]
    lines = [
        *(
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(caption)}}}",
            rf"\label{{{label}}}",
        ),
        *(rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body),
        *(r"\bottomrule", r"\end{tabular}", r"\end{table}"),
    ]
    return "\n".join(lines) + "\n"


def to_csv(table: pd.DataFrame) -> str:
    """Render as CSV with every digit; missing values are empty."""
    text: str = table.to_csv(index=False, lineterminator="\n")
    return text


def terminal_table(table: pd.DataFrame, *, title: str | None = None, digits: int = 3) -> "Table":
    """Render for `rich.console.Console.print`.

    The layouts `narrow_search_layout` and `correlation_layout(..., narrow=True)` fit into 100
    columns; wider tables wrap within their cells.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = _cells(table, digits)
    result = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 0), pad_edge=False)
    for name, right in zip(table.columns, _right(table, cells), strict=True):
        result.add_column(str(name), justify="right" if right else "left")
    for row in cells:
        # Plain text: "[0.57, 0.65]" must not be read as markup.
        result.add_row(*(Text(cell) for cell in row))
    return result


def _cells(table: pd.DataFrame, digits: int) -> list[list[str]]:
    rows = table.astype(object).itertuples(index=False, name=None)
    return [[_text(value, digits) for value in row] for row in rows]


def _text(value: object, digits: int) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _right(table: pd.DataFrame, cells: list[list[str]]) -> list[bool]:
    """Which columns hold numbers: every cell that is not empty starts with one."""
    columns = [[row[place] for row in cells if row[place]] for place in range(table.shape[1])]
    return [bool(column) and all(_NUMBER.match(cell) for cell in column) for column in columns]


def _markdown(text: str) -> str:
    text = re.sub(r"([\\`*~|<>])", r"\\\1", text)
    # Within a word an underscore is no emphasis.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text).replace("\n", "<br>")


def _latex(text: str) -> str:
    minus = re.sub(r"(?<![\w.])-(?=\d)", "−", text)
    escaped = "".join(_LATEX.get(sign, sign) for sign in minus)
    return f"{{}}{escaped}" if escaped.startswith("[") else escaped

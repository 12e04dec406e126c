"""Render tables as Markdown, LaTeX, CSV and on terminals.

A layout is a DataFrame of text made from a tidy table; any DataFrame can be rendered.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from rich.table import Table

#: Title of a column of a layout to a column of the tidy table, or to a function from the table to
#: the texts of the column.
Columns = Mapping[str, str | Callable[[pd.DataFrame], Iterable[str]]]

#: How a cell of a right-aligned column starts.
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


def lay_out(table: pd.DataFrame, columns: Columns, but: Collection[str] = ()) -> pd.DataFrame:
    """Lay out a tidy table as text.

    Args:
        table: tidy table.
        columns: the columns of the layout, in order; columns of the table are shown unchanged.
        but: titles of columns to leave out.
    """
    return pd.DataFrame(
        {
            title: [*(map(str, table[column]) if isinstance(column, str) else column(table))]
            for title, column in columns.items()
            if title not in but
        }
    )


def laid_out(columns: Columns) -> Callable[..., pd.DataFrame]:
    """Return the layout of a section's table that has these columns, whatever the space."""
    return lambda table, *_: lay_out(table, columns)


def named(name: str, label: Callable[[Any], str]) -> Callable[[pd.DataFrame], Iterable[str]]:
    """Show a column by the label of each of its values."""
    return lambda table: map(label, table[name])


def joined(*names: str) -> Callable[[pd.DataFrame], Iterable[str]]:
    """Show several columns as one, separated by spaces."""
    return lambda table: map(" ".join, zip(*(table[name] for name in names), strict=True))


def numbers(name: str, digits: int, scale: float = 1) -> Callable[[pd.DataFrame], Iterable[str]]:
    """Show a column of numbers, multiplied by a scale, with this many decimals."""
    return lambda table: [text_of(value, digits) for value in scale * table[name]]


def intervals(
    name: str, low: str = "", high: str = "", *, digits: int = 2, scale: float = 1
) -> Callable[[pd.DataFrame], Iterable[str]]:
    """Show a column with its interval, by default from columns ending in `_low` and `_high`."""
    names = [name, low or f"{name}_low", high or f"{name}_high"]
    return lambda table: [
        with_interval(value, start, end, digits)
        for value, start, end in (scale * table[names]).itertuples(index=False, name=None)
    ]


def constrained(table: pd.DataFrame) -> list[str]:
    """Say within which constraint the searches of a table keep, if there is one."""
    names = table["where"].unique() if "where" in table else ()
    return [
        f"All searches keep within `{one}`, so no published result stands beside theirs"
        for one in names
    ]


def to_markdown(table: pd.DataFrame, digits: int = 3) -> str:
    """Render as a table in GitHub's Markdown, with special characters escaped."""
    cells = _cells(table, digits)
    rule = ["---:" if right else "---" for right in _right(table, cells)]
    lines = [[_markdown(str(name)) for name in table.columns], rule]
    lines += [[_markdown(cell) for cell in row] for row in cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def to_latex(table: pd.DataFrame, *, caption: str, label: str, digits: int = 3) -> str:
    """Render as a LaTeX table; the document has to load the package `booktabs`.

    Args:
        table: any table.
        caption: plain text, which is escaped.
        label: key for references, which is not escaped.
        digits: decimals of floating-point numbers.
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

    Narrow layouts fit into 100 columns; wider tables wrap within their cells.
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
    return [[text_of(value, digits) for value in row] for row in rows]


def text_of(value: object, digits: int) -> str:
    """Format a cell: floats with this many decimals, missing values as an empty text."""
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _right(table: pd.DataFrame, cells: list[list[str]]) -> list[bool]:
    """Return which columns are right-aligned: all their non-empty cells start with a number."""
    columns = [[row[place] for row in cells if row[place]] for place in range(table.shape[1])]
    return [bool(column) and all(_NUMBER.match(cell) for cell in column) for column in columns]


def _markdown(text: str) -> str:
    text = re.sub(r"([\\`*~|<>])", r"\\\1", text)
    # An underscore within a word does not start emphasis.
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text).replace("\n", "<br>")


def _latex(text: str) -> str:
    minus = re.sub(r"(?<![\w.])-(?=\d)", "−", text)
    escaped = "".join(_LATEX.get(sign, sign) for sign in minus)
    return f"{{}}{escaped}" if escaped.startswith("[") else escaped

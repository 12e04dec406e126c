"""The parts of a section of the report: its inputs, tables, figures and captions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from untrained.search import ALGORITHMS, reference_search
from untrained.spaces.base import Words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Drawn

    from untrained.report.inputs import Inputs
    from untrained.spaces import SearchSpace

Options = Mapping[str, Any]


def reference_label() -> str:
    """Return the label of the algorithm with which searches that spend a budget are compared."""
    return ALGORITHMS.load(reference_search()).label


def general_words() -> dict[str, str]:
    """Return what placeholders of texts stand for where the space is not known."""
    return vars(Words()) | {"spent": "simulated time", "reference": reference_label()}


@dataclass(frozen=True)
class Table:
    """A tidy table and its form for readers.

    Attributes:
        name: stem of its files.
        make: makes it from the inputs with the options of its section.
        title: heading on the page and in a run's report.
        text: caption; may contain `{members}`, `{options}` and `{places}` of the space, and
            `{reference}`, with which searches are compared.
        layout: maps the tidy table and the name of the space to a table of text; None for a table
            that only a figure shows.
        notes: makes the lines below the layout in every format.
        below: makes further lines below it, on the page only.
        more: makes sentences of the page that depend on the results.
        on_page: whether the page shows the table.
        brief: the layout on the page, with fewer columns; None for `layout`.
    """

    name: str
    make: "Callable[[Inputs, Options], pd.DataFrame]"
    title: str
    text: str = ""
    layout: "Callable[[pd.DataFrame, str], pd.DataFrame] | None" = None
    notes: "Callable[[pd.DataFrame], list[str]]" = lambda *_: []
    below: "Callable[[pd.DataFrame], list[str]]" = lambda *_: []
    more: "Callable[[Inputs], str]" = lambda *_: ""
    on_page: bool = True
    brief: "Callable[[pd.DataFrame, str], pd.DataFrame] | None" = None


@dataclass(frozen=True)
class Figure:
    """A figure, drawn from the tables of its section.

    Attributes:
        name: stem of its files.
        draw: draws it from the inputs with the options of its section.
        text: caption, with the placeholders of a table's caption.
        more: makes sentences of the page that depend on the results.
        joint: whether it can show several spaces; see `Inputs.beside`.
    """

    name: str
    draw: "Callable[[Inputs, Options], Drawn]"
    text: str
    more: "Callable[[Inputs], str]" = lambda *_: ""
    joint: bool = False


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        name: its name on the command line.
        reads: kinds of files that it reads: `benchmark`, `scores`, `shipped` (scores that come
            with the project), `searches`, `ablations`, `prunings`, `training_curves`, `devices`
            (fronts), `devices_table` (latencies and energies).
        needs: tables of other sections that its tables are made from.
        tables: the tables that it makes, in order; a table may read those above it.
        figures: the figures drawn from them.
        options: names of the options that the tables and the figures take.
        applies: whether a space has this section in a run with these parameters.
        show: makes what the terminal shows.
        metrics: makes the numbers by which runs are compared.
        sentences: says the main results in words, each sentence for itself.
    """

    name: str
    reads: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    options: tuple[str, ...] = ()
    applies: "Callable[[SearchSpace, Mapping[str, Any]], bool]" = lambda *_: True
    show: "Callable[[Inputs], list[Any]]" = lambda *_: []
    metrics: "Callable[[Inputs], dict[str, float]]" = lambda *_: {}
    sentences: "Callable[[Inputs], list[str]]" = lambda *_: []

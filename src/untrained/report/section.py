"""What a section of the report is: what it reads, its tables, figures and words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from untrained.spaces.base import Words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Drawn

    from untrained.report.inputs import Inputs
    from untrained.spaces import SearchSpace

Options = Mapping[str, Any]

#: What placeholders of texts stand for where nothing more is known.
GENERAL_WORDS = vars(Words()) | {"spent": "simulated time"}


@dataclass(frozen=True)
class Table:
    """A tidy table and how people read it.

    Attributes:
        name: of its files.
        title: of its place on the page, and in a run's report.
        text: what it shows; may hold `{members}`, `{options}` and `{places}` of the space.
        layout: from the tidy table and the name of the space to text by row and column; None for a
            table that is only drawn.
        notes: lines below the layout, in every format.
        below: further lines below it, on the page alone.
        more: sentences of the page that depend on what was found.
        on_page: whether the page shows it.
    """

    name: str
    title: str
    text: str = ""
    layout: "Callable[[pd.DataFrame, str], pd.DataFrame] | None" = None
    notes: "Callable[[pd.DataFrame], list[str]]" = lambda *_: []
    below: "Callable[[pd.DataFrame], list[str]]" = lambda *_: []
    more: "Callable[[Inputs], str]" = lambda *_: ""
    on_page: bool = True


@dataclass(frozen=True)
class Figure:
    """A figure, drawn of the tables of its section.

    Attributes:
        name: of its files.
        draw: makes it, with the options of its section.
        text: its caption, with placeholders as in the text of a table.
        more: sentences of the page that depend on what was found.
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
        name: on the command line.
        reads: kinds of files that it is made of: `benchmark`, `scores`, `searches`, `ablations`,
            `prunings`, `training_curves`.
        needs: tables of other sections that its tables are made of.
        make: makes the tables, in their order, with these `options`.
        tables: what it makes.
        figures: what is drawn of them.
        options: that `make` and the figures take.
        applies: whether there is such a section for a space, with the parameters of a run.
        show: what the terminal shows.
        metrics: numbers that runs are compared by.
    """

    name: str
    reads: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    make: "Callable[[Inputs, Options], tuple[pd.DataFrame, ...]] | None" = None
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    options: tuple[str, ...] = ()
    applies: "Callable[[SearchSpace, Mapping[str, Any]], bool]" = lambda *_: True
    show: "Callable[[Inputs], list[Any]]" = lambda *_: []
    metrics: "Callable[[Inputs], dict[str, float]]" = lambda *_: {}

"""What a section of the report is: the files that it reads, its tables, figures and words."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
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


def always(space: "SearchSpace", parameters: Mapping[str, Any]) -> bool:
    """Whether a section applies that is about every space."""
    del space, parameters
    return True


@dataclass(frozen=True)
class Table:
    """A tidy table and how people read it.

    Attributes:
        name: of its files.
        title: of its place on the page, and in a run's report.
        text: what it shows; may hold `{members}`, `{options}` and `{places}` of the space.
        layout: from the tidy table to text by row and column; None for one that is only drawn.
        notes: lines below the layout, wherever it stands.
        more: sentences of the page that depend on what was found.
        on_page: whether the page shows it.
    """

    name: str
    title: str
    text: str = ""
    layout: "Callable[[pd.DataFrame, str], pd.DataFrame] | None" = None
    notes: "Callable[[pd.DataFrame], list[str]] | None" = None
    more: "Callable[[Inputs], str] | None" = None
    on_page: bool = True


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        name: of its files.
        draw: makes it.
        caption: as the text of a table.
        more: sentences of the page that depend on what was found.
        options: that `draw` takes.
        joint: whether it can show several spaces, see `Inputs.beside`.
    """

    name: str
    draw: "Callable[[Inputs, Options], Drawn]"
    caption: str = ""
    more: "Callable[[Inputs], str] | None" = None
    options: tuple[str, ...] = ()
    joint: bool = False


@dataclass(frozen=True)
class Section:
    """A section of the report.

    Attributes:
        name: on the command line.
        title: in a few words.
        reads: kinds of files that it reads: `benchmark`, `scores`, `searches`, `ablations`,
            `prunings`, `training_curves`.
        tables: that it makes; they may read those of sections above it.
        make: makes the tables, in their order, with these `options`.
        figures: that it draws of its tables, and of what it reads where `draws_files`.
        draws_files: see `figures`.
        options: that `make` takes.
        applies: whether there is such a section for a space, with the parameters of a run.
        page_below: paragraphs of the page below a table, by the table's name.
        show: what the terminal shows.
        metrics: numbers that runs are compared by.
    """

    name: str
    title: str
    reads: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    make: "Callable[[Inputs, Options], tuple[pd.DataFrame, ...]] | None" = None
    figures: tuple[Figure, ...] = ()
    draws_files: bool = False
    options: tuple[str, ...] = ()
    applies: "Callable[[SearchSpace, Mapping[str, Any]], bool]" = always
    page_below: "Mapping[str, Callable[[pd.DataFrame], Iterable[str]]]" = field(
        default_factory=dict
    )
    show: "Callable[[Inputs], Iterable[Any]] | None" = None
    metrics: "Callable[[Inputs], dict[str, float]] | None" = None

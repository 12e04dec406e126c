"""The report: a list of sections, each with its tables, its figures and their captions.

    >>> from untrained.report import SECTIONS, section
    >>> [table.name for table in section("prunings").tables]
    ['prunings', 'trajectory']

A new section is one file in `untrained.report.sections`, which defines `SECTION`, and its name in
`NAMES`.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from untrained.errors import unknown_name
from untrained.report.section import Figure, Section, Table

if TYPE_CHECKING:
    from untrained.spaces import SearchSpace

    SECTIONS: tuple[Section, ...]

#: Sections in the order of the page; each may read the tables of the ones before it.
NAMES: Final = (
    *("correlations", "seeds", "proxies", "preferences", "kernels", "shipped"),
    *("searches", "comparisons", "regret", "devices", "prunings", "ablations", "training_curves"),
)

#: What the interactive page is made of besides code: its controls, its look and what it does.
EXPLORER_FILES: Final = tuple(
    Path(__file__).with_name(f"explorer.{suffix}") for suffix in ("html", "css", "js")
)

#: The look of all figures.
STYLE_FILE: Final = Path(__file__).with_name("figures.mplstyle")

__all__ = [
    "EXPLORER_FILES",
    "NAMES",
    "SECTIONS",
    "Figure",
    "Section",
    "Table",
    "section",
    "sections_of",
]


def __getattr__(name: str) -> tuple[Section, ...]:
    """Import the sections on first use, because they need pandas."""
    if name != "SECTIONS":
        raise AttributeError(name)
    return tuple(map(section, NAMES))


@cache
def section(name: str) -> Section:
    """Return the section of this name.

    Raises:
        UnknownNameError: no section has this name.
    """
    if name not in NAMES:
        raise unknown_name("section", name, NAMES)
    found: Section = import_module(f"untrained.report.sections.{name}").SECTION
    return found


def sections_of(space: "SearchSpace", parameters: Mapping[str, Any]) -> list[Section]:
    """Return the sections of a space in a run with these parameters (of `params.yaml`).

    Every section needs the accuracies of a benchmark, so a space without one has no sections.
    """
    every = map(section, NAMES if space.benchmark else ())
    return [one for one in every if one.applies(space, parameters)]

"""The two kinds of search algorithms: those that pick from a sample, and those that spend a budget.

An algorithm is a frozen dataclass whose fields are its settings. Its class attributes are all that
the command line, the workflow and the report know of it; nothing else lists algorithms.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np

from untrained.errors import ParameterError, PluginError, quoted, short
from untrained.limits import COUNT, at_most
from untrained.plugins import blamed
from untrained.spaces.base import Architecture, SearchSpace

if TYPE_CHECKING:
    import pandas as pd
    from _typeshed import DataclassInstance

    from untrained.search.pool import Pool

Configured = TypeVar("Configured", bound="DataclassInstance")


class BudgetSpent(Exception):  # noqa: N818 - the end of a run, not an error
    """The next evaluation or score does not fit into the budget."""


class Searchable(Protocol):
    """The part of a space that an algorithm may use; every `SearchSpace` has it."""

    @property
    def name(self) -> str:
        """The registered name."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Architecture: ...

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw an architecture uniformly."""
        ...

    def mutate(self, architecture: Architecture, rng: np.random.Generator) -> Architecture:
        """Draw a neighbour of `architecture`, never itself."""
        ...


class Evaluate(Protocol):
    """Evaluates an architecture: trains it, looks its training up, or scores it."""

    def __call__(
        self, architecture: Architecture, share: float = 1.0, length: float = 1.0
    ) -> float:
        """Return the fitness of `architecture`: higher is better, -inf if it is undefined.

        Args:
            architecture: an architecture of the space.
            share: share of its cost that is charged, above 0 and up to 1.
            length: length of the training that it stands for, above 0 and up to 1. A run answers
                with one of its longest trainings, whatever the fitness of shorter ones.

        Raises:
            BudgetSpent: the budget does not cover it; the algorithm must not catch this.
            ArchitectureError: the space has no such architecture.
        """
        ...


@dataclass(frozen=True)
class Algorithm(ABC):
    """A search algorithm of either kind; its fields are its settings, each with a default.

    Attributes:
        name: name under which it is registered and spelled.
        label: name in tables and figures.
        summary: a description of what it does, in one line.
        spends_budget: whether it trains architectures as long as a budget lasts; otherwise it picks
            one architecture of a sample.
        reads_scores: whether it picks by the scores of a proxy. A search that spends a budget
            reads the scores that its spelling names (`init`, `mutants`, `fitness`, `pool`).
        mutates: whether it draws mutants from the space, so that a proxy can choose among them.
        starts_scored: whether it starts from the best-scored of a sample by default.
        reference: whether reports compare every other search that spends a budget with it.
        claims: what a paper claims of it beside a reference, a sentence by the reference's label.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    spends_budget: ClassVar[bool]
    reads_scores: ClassVar[bool]
    mutates: ClassVar[bool] = False
    starts_scored: ClassVar[bool] = False
    reference: ClassVar[bool] = False
    claims: ClassVar[Mapping[str, str]] = {}

    @property
    def shortens(self) -> bool:
        """Whether its settings charge less than a full training for a shorter one."""
        return False

    def check_space(self, space: SearchSpace) -> None:  # noqa: B027 - most need nothing
        """Check that a whole space has what the algorithm needs beyond samples and mutants.

        Raises:
            ParameterError: the space lacks it.
        """


@dataclass(frozen=True)
class SampledSearch(Algorithm):
    """An algorithm that picks one architecture of a random sample and trains nothing."""

    spends_budget: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, pool: "Pool", samples: int, runs: int, seed: int) -> "pd.DataFrame":
        """Pick from `runs` samples of a pool, all at once.

        Args:
            pool: the architectures that samples are drawn from.
            samples: number of architectures that each run draws.
            runs: number of independent repetitions.
            seed: seed of the draws.

        Returns:
            The trace; see `untrained.search.pool`.
        """


@dataclass(frozen=True)
class BudgetedSearch(Algorithm):
    """An algorithm that proposes architectures to be trained for as long as a budget lasts.

    It returns nothing: the clock that answers and charges keeps the best architecture.

    Attributes:
        most_evaluations: number of evaluations in a run beyond which it would take hours.
    """

    spends_budget: ClassVar[bool] = True
    reads_scores: ClassVar[bool] = False
    most_evaluations: ClassVar[int] = COUNT

    @abstractmethod
    def __call__(
        self,
        space: Searchable,
        evaluate: Evaluate,
        rng: np.random.Generator,
        start: Sequence[Architecture] = (),
    ) -> None:
        """Search until `evaluate` raises `BudgetSpent`; never return before.

        Args:
            space: the space to search.
            evaluate: answers and charges.
            rng: generator of every random choice of the run.
            start: architectures to evaluate first, the most promising one first.

        Raises:
            BudgetSpent: the budget is spent.
            ParameterError: the algorithm can't search such a space.
        """


def configured(
    kind: type[Configured], settings: Sequence[str], besides: Sequence[str] = ()
) -> Configured:
    """Return a dataclass with some of its settings changed, each spelled `name=value`.

    Messages also name the settings `besides`, which belong to something else.

    Raises:
        ParameterError: a setting does not exist or is there twice, or its value has another type or
            is out of range.
    """
    known = {field.name: type(field.default) for field in fields(kind)}
    chosen: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in known or not value:
            names = ", ".join(f"{name}=..." for name in (*known, *besides)) or "it has none"
            raise ParameterError(f"setting {quoted(setting)} of {kind.__name__}: known: {names}")
        if name in chosen:
            raise ParameterError(f"setting {name} of {kind.__name__} is there twice: keep one")
        chosen[name] = _parse(known[name], name, value)
    with blamed("search algorithm", kind):
        made = kind(**chosen)
    # where a class has no bound of its own
    at_most(COUNT, **{name: one for name, one in chosen.items() if type(one) is int})
    return made


#: Type of a setting to what reads its value, and what a message calls a right one.
_READ: dict[type, tuple[Callable[[str], Any], str]] = {
    bool: ({"true": True, "false": False}.__getitem__, "true or false"),
    int: (int, "an integer"),
    float: (float, "a number"),
    str: (str, "a word"),
}


def _parse(kind: type, name: str, value: str) -> Any:  # noqa: ANN401 - of that type
    if kind not in _READ:
        raise PluginError(
            f"{name}={value}: no text sets it, as its default is a {kind.__name__}: give it a "
            "default that is a number, a word, or true or false"
        )
    read, right = _READ[kind]
    try:
        return read(value)
    except (KeyError, ValueError) as error:
        raise ParameterError(f"{name}={short(value)}: {right}") from error


def require(condition: bool, name: str, value: object, right: str) -> None:
    """Raise a ParameterError with the value and what is right unless a condition holds."""
    if not condition:
        raise ParameterError(f"{name}={value}: {right}")

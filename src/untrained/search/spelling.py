"""How a search is spelled: the algorithm, the size of its sample, the settings that differ.

`random`, `naswot-1000` and `optimal-100` pick from a sample of so many. The others spend a budget
of simulated training and take settings, of their own and those of `Guidance`:
`rea+population=20+sample=5`, `bohb+init=naswot`, `rea+mutants=4`. `rea+fitness=lga@1` climbs the
score in place of the accuracy, and `rea+pool=lga@1` the accuracy where that one climbs.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from untrained.errors import ParameterError
from untrained.plugins import Registry
from untrained.proxies import get_proxy
from untrained.search.base import BudgetedSearch, configured

if TYPE_CHECKING:
    import pandas as pd

    from untrained.search.guided import Guide
    from untrained.search.pool import Pool

#: (pool, samples per run, runs, seed) to a trace; see `untrained.search.pool`.
SampleSearch = Callable[["Pool", int, int, int], "pd.DataFrame"]
Algorithm = SampleSearch | type[BudgetedSearch]

ALGORITHMS: Registry[Algorithm] = Registry(
    "search algorithm",
    "untrained.algorithms",
    {
        "area": "untrained.search.area:Area",
        "bohb": "untrained.search.bohb:Bohb",
        "local": "untrained.search.local_search:LocalSearch",
        "naswot": "untrained.search.naswot:search",
        "optimal": "untrained.search.optimal:search",
        "random": "untrained.search.random_choice:search",
        "rea": "untrained.search.regularised_evolution:RegularisedEvolution",
        "reinforce": "untrained.search.reinforce:Reinforce",
        "rs": "untrained.search.random_search:RandomSearch",
    },
)

#: What `init` says for a start that no proxy picks.
RANDOM = "random"


@dataclass(frozen=True)
class Guidance:
    """What a proxy decides in a search that spends a budget.

    Attributes:
        init: the proxy that picks where the search starts, or `random` for none; empty: the
            search's own proxy where the algorithm starts scored, none elsewhere.
        scored: architectures that the proxy picks from.
        kept: how many of them the search starts from.
        mutants: drawn for each that is trained; the best-scored one is.
        fitness: the proxy whose score is the fitness; empty: the accuracy after a short training.
        pool: the proxy that says where the search moves, among what it has scored; empty: in the
            whole space. A search whose fitness is a score moves among what has it, too.
    """

    init: str = ""
    scored: int = 20
    kept: int = 10
    mutants: int = 1
    fitness: str = ""
    pool: str = ""

    def __post_init__(self) -> None:
        for name in (self.fitness, self.pool, self.init if self.init != RANDOM else ""):
            if name:
                get_proxy(name)
        if not 1 <= self.kept <= self.scored:
            raise ParameterError(f"kept={self.kept} of scored={self.scored}: 1 to scored")
        if self.mutants < 1:
            raise ParameterError(f"mutants={self.mutants}: 1 or more")


@dataclass(frozen=True)
class Sampling:
    """A search that picks the best of a sample.

    Attributes:
        search: makes the trace of all runs.
        drawn: architectures per run.
        reads_scores: whether it needs any.
    """

    search: SampleSearch
    drawn: int
    reads_scores: bool

    def proxy_of(self, proxy: str) -> str | None:
        """The proxy whose scores it reads, which is the search's own; None for none."""
        return proxy if self.reads_scores else None

    def reads(self, proxy: str) -> list[str]:
        """All proxies whose scores it reads; see `proxy_of`."""
        return [proxy] if self.reads_scores else []


@dataclass(frozen=True)
class Spending:
    """A search that spends a budget.

    Attributes:
        search: with its settings.
        guidance: what a proxy decides.
    """

    search: BudgetedSearch
    guidance: Guidance

    @property
    def starts_scored(self) -> bool:
        """Whether it starts from what a proxy picks."""
        init = self.guidance.init
        return init != RANDOM if init else self.search.starts_scored

    @property
    def drawn(self) -> int:
        """How many scored architectures a run draws."""
        return self.guidance.scored if self.starts_scored else 0

    def proxy_of(self, proxy: str) -> str | None:
        """The proxy that guides it, `proxy` unless its spelling names one; None for none."""
        if self.starts_scored:
            return self.guidance.init or proxy
        return proxy if self.guidance.mutants > 1 else None

    def reads(self, proxy: str) -> list[str]:
        """All proxies whose scores it reads: of its fitness, of its pool, and the guiding one."""
        named = (self.guidance.fitness, self.guidance.pool, self.proxy_of(proxy))
        return list(dict.fromkeys(name for name in named if name))

    @property
    def moves_among_scored(self) -> bool:
        """Whether it moves among what has scores by all that it reads, not in the whole space."""
        return bool(self.guidance.fitness or self.guidance.pool)

    def guide(self, pool: "Pool") -> "Guide":
        """The part of the proxy whose scores `pool` holds."""
        from untrained.search.guided import Guide

        scored, kept = self.guidance.scored, self.guidance.kept
        if not self.starts_scored:
            scored, kept = 0, 0
        return Guide(pool, scored, kept, self.guidance.mutants)


def parse_algorithm(spelling: str) -> Sampling | Spending:
    """What a spelling asks for.

    Raises:
        UnknownNameError: no such algorithm, or no such proxy.
        ParameterError: the number of samples is no positive integer, the algorithm has no such
            samples or settings, or a setting is out of its range.
    """
    head, *settings = spelling.split("+")
    name, dash, samples = head.partition("-")
    algorithm = ALGORITHMS.load(name)
    if not isinstance(algorithm, type):
        if settings:
            raise ParameterError(f"{spelling!r}: {name} trains nothing, it takes no settings")
        if dash and not (samples.isdecimal() and int(samples) > 0):
            raise ParameterError(f"{spelling!r}: samples are a positive integer, as in {name}-100")
        return Sampling(algorithm, int(samples or 1), name == "naswot")
    if dash:
        raise ParameterError(f"{spelling!r}: {name} spends a budget, it takes no samples")
    shared = {field.name for field in fields(Guidance)}
    guiding = [setting for setting in settings if setting.partition("=")[0] in shared]
    own = [setting for setting in settings if setting not in guiding]
    guidance = configured(Guidance, guiding)
    search: BudgetedSearch = configured(algorithm, own, besides=sorted(shared))
    if guidance.mutants > 1 and not search.mutates:
        raise ParameterError(f"{spelling!r}: {name} never mutates an architecture")
    if guidance.fitness and search.shortens:
        raise ParameterError(
            f"{spelling!r}: charges less for shorter trainings, and a score has none: drop the "
            "setting that says so"
        )
    asked = Spending(search, guidance)
    idle = [setting for setting in guiding if setting.partition("=")[0] in ("scored", "kept")]
    if idle and not asked.starts_scored:
        raise ParameterError(f"{spelling!r}: no proxy picks the start, as in {name}+init=naswot")
    return asked

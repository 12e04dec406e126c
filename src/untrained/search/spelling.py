"""The spelling of a search: the algorithm, the size of its sample, the settings that differ.

`naswot-1000` and `optimal-100` pick from a sample of 1,000 and of 100, `random` from one of 1. The
others spend a budget of simulated training and take settings, their own and those of `Guidance`:
`rea+population=20+sample=5`, `bohb+init=naswot`, `rea+mutants=4`. `rea+fitness=lga@1` climbs the
score instead of the accuracy, and `rea+pool=lga@1` climbs the accuracy among the same
architectures. The name may be an address: `my.module:MySearch-100`,
`my.module:MySearch+population=20`.
"""

import re
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from untrained.errors import ParameterError, PluginError, quoted, short
from untrained.limits import COUNT, DRAWS
from untrained.plugins import Registry
from untrained.scoring.ensembles import parse_proxy, readings_of
from untrained.search.base import Algorithm, BudgetedSearch, SampledSearch, configured
from untrained.spaces import SearchSpace

if TYPE_CHECKING:
    from untrained.search.guided import Guide
    from untrained.search.pool import Pool

ALGORITHMS: Registry[type[Algorithm]] = Registry(
    "search algorithm",
    "untrained.algorithms",
    {
        "area": "untrained.search.area:Area",
        "bohb": "untrained.search.bohb:Bohb",
        "local": "untrained.search.local_search:LocalSearch",
        "naswot": "untrained.search.sampled:Naswot",
        "optimal": "untrained.search.sampled:Optimal",
        "random": "untrained.search.sampled:RandomChoice",
        "rea": "untrained.search.regularised_evolution:RegularisedEvolution",
        "reinforce": "untrained.search.reinforce:Reinforce",
        "rs": "untrained.search.random_search:RandomSearch",
    },
    attributes=(
        *("name", "label", "summary", "spends_budget", "reads_scores"),
        *("mutates", "starts_scored", "reference", "shortens"),
    ),
    like=Algorithm,
)

#: The value of `init` for a start that is drawn at random.
RANDOM = "random"

#: The proxy whose scores are read where none is named.
PROXY = "naswot"


@dataclass(frozen=True)
class Guidance:
    """The decisions of proxies in a search that spends a budget.

    Attributes:
        init: the proxy that picks the start, or `random` for none; by default the search's own
            proxy if the algorithm starts scored, else none.
        scored: number of architectures from which this proxy picks.
        kept: number of architectures that it picks, from which the search starts.
        mutants: number of mutants that are drawn, of which the best-scored is trained.
        fitness: the proxy whose score is the fitness; by default the accuracy of a short training.
        pool: the proxy among whose scored architectures the search moves; by default it moves in
            the whole space, or among those with a fitness if that is a score.
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
                parse_proxy(name)
        if not 1 <= self.kept <= self.scored:
            raise ParameterError(f"kept={self.kept} of scored={self.scored}: 1 to scored")
        if not 1 <= self.mutants <= DRAWS:
            raise ParameterError(f"mutants={self.mutants}: 1 to {DRAWS}")


@dataclass(frozen=True)
class Search:
    """A search: an algorithm with its settings, and the decisions of proxies in it.

    Attributes:
        algorithm: the algorithm with its settings.
        samples: size of the sample from which the algorithm picks; 0 if it spends a budget.
        guidance: the decisions of proxies, if the algorithm spends a budget.
    """

    algorithm: SampledSearch | BudgetedSearch
    samples: int = 0
    guidance: Guidance = Guidance()

    @property
    def spends_budget(self) -> bool:
        """Whether it spends a budget, on trainings or on scores."""
        return self.algorithm.spends_budget

    @property
    def sees_trainings(self) -> bool:
        """Whether it spends a budget on trainings, whose accuracy is its fitness."""
        return self.spends_budget and not self.guidance.fitness

    @property
    def starts_scored(self) -> bool:
        """Whether it starts from architectures that a proxy picks."""
        init = self.guidance.init
        return init != RANDOM if init else self.algorithm.starts_scored

    @property
    def drawn(self) -> int:
        """The number of architectures that a run draws from the pool."""
        return self.guidance.scored if self.starts_scored else self.samples

    @property
    def moves_among_scored(self) -> bool:
        """Whether it moves among the architectures that all its proxies have scored."""
        return bool(self.guidance.fitness or self.guidance.pool)

    @property
    def finds_only_scored(self) -> bool:
        """Whether it finds nothing but architectures with scores."""
        picks = self.algorithm.reads_scores and not self.spends_budget
        return self.moves_among_scored or picks

    def check_space(self, space: SearchSpace) -> None:
        """Check that the algorithm can search a space.

        Raises:
            ParameterError: it can't, for example because no architecture neighbours another. In a
                part of a space members always have neighbours; see `untrained.search.members`.
        """
        partial = space.benchmark is not None and space.benchmark.partial
        whole = not (partial or self.moves_among_scored)
        if whole and self.algorithm.mutates and type(space).mutate is SearchSpace.mutate:
            raise ParameterError(
                f"{self.algorithm.name} mutates architectures, and none of {space.name} neighbours "
                "another: take an algorithm that samples"
            )
        self.algorithm.check_space(space)

    def proxy_of(self, proxy: str) -> str | None:
        """Return the proxy that picks architectures, by default `proxy`; None for none."""
        if self.starts_scored:
            return self.guidance.init or proxy
        return proxy if self.algorithm.reads_scores or self.guidance.mutants > 1 else None

    def decisive(self, proxy: str) -> list[str]:
        """Return the proxies whose scores decide something; of `pool` only the members count."""
        named = self.guidance.fitness, self.proxy_of(proxy)
        return list(dict.fromkeys(filter(None, named)))

    def reads(self, proxy: str) -> list[str]:
        """Return all proxies whose scores are read: for fitness, pool and picks."""
        named = self.guidance.fitness, self.guidance.pool, self.proxy_of(proxy)
        return list(dict.fromkeys(filter(None, named)))

    def uses(self, option: str, proxy: str = PROXY, *, live: bool = False) -> bool:
        """Return whether an option of `untrained.search.run.run_search` changes what it does.

        Args:
            option: `budget`, `proxy`, `epochs`, `training_seed`, `seconds_per_score` or `scores`;
                every search uses the others.
            proxy: the proxy whose scores are read if the spelling names none.
            live: whether scores are made, for whatever time that takes.
        """
        match option:
            case "budget":
                return self.spends_budget
            case "proxy":
                return not live and "given" in self.reads("given")
            case "epochs" | "training_seed":
                trained = any(one.epochs for one in readings_of(self.decisive(proxy)))
                return not live and (self.sees_trainings or trained)
            case "seconds_per_score":
                return not live and bool(self.decisive(proxy))
            case "scores":
                return not live and bool(self.reads(proxy))
        return True

    def guide(self, pool: "Pool") -> "Guide":
        """Return the decisions of the proxy whose scores are in `pool`."""
        from untrained.search.guided import Guide

        own = self.guidance
        scored, kept = (own.scored, own.kept) if self.starts_scored else (0, 0)
        return Guide(pool, scored, kept, own.mutants)


def unused(option: str, value: object, spelling: str, *, live: bool) -> ParameterError:
    """Return the error for an option that a search does not use; it names those that do.

    Args:
        option: see `Search.uses`.
        value: its value.
        spelling: the spelling of the search.
        live: whether the search is live.
    """
    if live:
        why = "a live search does not use it, as it makes the scores that its fitness names"
    else:
        usable = [one.name for one in ALGORITHMS.described() if one.usable]
        guided = (f"init={PROXY}", f"fitness={PROXY}", f"pool={PROXY}", "mutants=4")
        forms = [f"{reference_search()}+{setting}" for setting in guided]
        users = [one for one in (*usable, *forms) if parse_algorithm(one).uses(option)]
        users = [one for one in users if one in usable or one.partition("+")[0] not in users]
        why = f"{short(spelling)} does not use it, {', '.join(users)} do"
    shown = (
        str(value) if isinstance(value, str | int | float | Path) else f"({type(value).__name__})"
    )
    return ParameterError(f"{option.replace('_', ' ')} {short(shown)}: {why}: leave it out")


@cache
def reference_search() -> str:
    """Return the algorithm with which searches that spend a budget are compared."""
    # one of this package's, as a broken package that nothing names must not stop a report
    return next(name for name in ALGORITHMS.builtin if ALGORITHMS.load(name).reference)


def parse_algorithm(spelling: str) -> Search:
    """Return the search with this spelling.

    Raises:
        UnknownNameError: there is no such algorithm, or no such proxy.
        PluginError: the object of this name or address is no algorithm.
        ParameterError: the samples are wrong, or a setting does not exist or is out of range.
    """
    head, *settings = spelling.split("+")
    name, dash, samples = head.partition("-")
    kind = ALGORITHMS.load(name)
    if not (isinstance(kind, type) and issubclass(kind, SampledSearch | BudgetedSearch)):
        raise PluginError(
            f"{ALGORITHMS.address(name)} is no search algorithm: make it a class derived from "
            "SampledSearch or BudgetedSearch of untrained.search.base"
        )
    if issubclass(kind, SampledSearch):
        if dash and not (re.fullmatch("0*[1-9][0-9]{0,6}", samples) and int(samples) <= COUNT):
            raise ParameterError(
                f"{quoted(spelling)}: samples are a positive integer up to {COUNT}, as in "
                f"{name}-100"
            )
        return Search(configured(kind, settings), int(samples or 1))
    if dash:
        raise ParameterError(f"{quoted(spelling)}: {name} spends a budget, it takes no samples")
    return _budgeted(spelling, name, kind, settings)


def _budgeted(spelling: str, name: str, kind: type[BudgetedSearch], settings: list[str]) -> Search:
    """Return the search of an algorithm that spends a budget, after checks of its settings."""
    shared = {field.name for field in fields(Guidance)}
    guiding = [setting for setting in settings if setting.partition("=")[0] in shared]
    own = [setting for setting in settings if setting not in guiding]
    guidance = configured(Guidance, guiding)
    algorithm = configured(kind, own, besides=sorted(shared))
    if guidance.init == RANDOM and not algorithm.starts_scored:
        guidance = replace(guidance, init="")  # equal searches are equal
    named = guidance.init, guidance.fitness, guidance.pool
    init, fitness, pool = (str(parse_proxy(one)) if one and one != RANDOM else one for one in named)
    guidance = replace(guidance, init=init, fitness=fitness, pool=pool)
    if guidance.mutants > 1 and not algorithm.mutates:
        raise ParameterError(f"{quoted(spelling)}: {name} never mutates an architecture")
    if guidance.fitness and algorithm.shortens:
        raise ParameterError(
            f"{quoted(spelling)}: a score has no shorter trainings: drop the setting that charges "
            "less for them"
        )
    search = Search(algorithm, guidance=guidance)
    idle = [setting for setting in guiding if setting.partition("=")[0] in ("scored", "kept")]
    if idle and not search.starts_scored:
        raise ParameterError(
            f"{quoted(spelling)}: no proxy picks the start, as in {name}+init=naswot"
        )
    return search

"""Ensembles: scores that combine several proxies by their ranks in a pool of architectures.

An ensemble is spelled by its rule and its members, `log(jacobian_covariance,parameters)`, or by a
name. Each member ranks the architectures of the pool for which all members are defined, from 1,
the worst, to n, the best; ties share their mean rank. An architecture for which a member is
undefined has no score, and so ranks last, as an undefined score of a proxy does.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
import numpy.typing as npt

from untrained.proxies.base import Direction

if TYPE_CHECKING:
    from untrained.proxies.standings import Standings

Floats = npt.NDArray[np.float64]

#: The most members that an ensemble may have; the products of more ranks could overflow.
MOST_MEMBERS = 16


@dataclass(frozen=True)
class Rule:
    """A way in which the members of an ensemble are combined.

    Attributes:
        summary: what it does, in one line.
        multiplies: whether the ranks by the members are multiplied; otherwise they are added.
        votes: whether pairs are compared instead of ranks.
    """

    summary: str
    multiplies: bool = False
    votes: bool = False


#: The rules by name.
RULES: Final[Mapping[str, Rule]] = {
    "log": Rule("sum of the logarithms of rank / n: one bad rank sinks an architecture", True),
    "sum": Rule("sum of the ranks"),
    "vote": Rule(
        "number of pairs that most members win less pairs that most members lose", votes=True
    ),
}


@dataclass(frozen=True)
class Ensemble:
    """Several proxies that are combined by a rule; higher is better.

    Attributes:
        rule: the name of the rule.
        members: the spellings of the proxies.
        name: its name; by default rule and members.
        source: where it was published.
    """

    direction: ClassVar[Direction] = "higher"

    rule: str
    members: tuple[str, ...]
    name: str = ""
    source: str = ""

    @property
    def spelling(self) -> str:
        """Its name in tables: that which it was given, else rule and members."""
        return self.name or self.formula

    def __str__(self) -> str:
        return self.spelling

    @property
    def description(self) -> str:
        """What it does, in words."""
        return RULES[self.rule].summary

    @property
    def formula(self) -> str:
        """Rule and members."""
        return f"{self.rule}({','.join(self.members)})"

    def standings(self) -> "Standings":
        """Return an empty pool that grows."""
        from untrained.proxies.standings import Standings  # which takes Numba's time to import

        rule = RULES[self.rule]
        return Standings(len(self.members), multiplies=rule.multiplies, votes=rule.votes)


#: Ensembles by name.
ENSEMBLES = {
    one.name: one
    for one in (
        Ensemble(
            "sum",
            ("linear_regions", "ntk_condition_number"),
            name="tenas",
            source="Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours, "
            "ICLR 2021 (arXiv 2102.11535)",
        ),
        Ensemble(
            "log",
            ("az_expressivity", "az_progressivity", "az_trainability", "flops"),
            name="az_nas",
            source="Lee and Ham: AZ-NAS, CVPR 2024 (arXiv 2403.19232)",
        ),
    )
}


def combined(rule: str, values: npt.ArrayLike) -> Floats:
    """Return the scores (n,) of an ensemble over a pool, NaN where any member is undefined.

    With r_m the rank by member m among the n architectures for which all are defined:

    - `sum`: the sum of r_m over the members;
    - `log`: the sum of log(r_m / n), AZ-NAS's rule (Lee and Ham, CVPR 2024, arXiv 2403.19232);
    - `vote`: the number of architectures over which more members prefer this one than prefer the
      other, less the number of those that are so preferred to it (Copeland's score of the majority
      vote of Abdelfattah et al., ICLR 2021, arXiv 2101.08134, which is about pairs).

    Args:
        rule: a key of `RULES`.
        values: (members, n) scores, the better network higher; NaN or infinite if undefined.
    """
    values = np.asarray(values, dtype=np.float64)
    defined = np.isfinite(values).all(axis=0)
    found = np.full(values.shape[1], np.nan)
    found[defined] = _SCORED[rule](values[:, defined])
    return found


def doubled_ranks(values: Floats) -> Floats:
    """Return twice the rank (n,) of each value (n,), from 2 for the lowest; ties share the mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (2 * np.cumsum(counts) - counts + 1)[inverse].astype(np.float64)


def _log(values: Floats) -> Floats:
    members, size = values.shape
    # a product of whole numbers, unlike a sum of logarithms, does not depend on the order
    product = np.prod([doubled_ranks(one) for one in values], axis=0)
    scores: Floats = np.log(product) - members * np.log(max(2 * size, 1))
    return scores


def _sum(values: Floats) -> Floats:
    total: Floats = np.sum([doubled_ranks(one) for one in values], axis=0) / 2
    return total


def _vote(values: Floats) -> Floats:
    from untrained.proxies.standings import Standings

    standings = Standings(len(values), votes=True)
    for one in values.T:
        standings.add(one)
    return standings.scores()


_SCORED: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "log": _log,
    "sum": _sum,
    "vote": _vote,
}

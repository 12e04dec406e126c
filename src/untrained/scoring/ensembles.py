"""Ensembles by their spelling, and their rows in tables of scores."""

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from untrained.errors import MissingDataError, ParameterError, quoted, unknown_name
from untrained.proxies.ensembles import ENSEMBLES, MOST_MEMBERS, RULES, Ensemble, combined
from untrained.scoring.columns import SECONDS
from untrained.scoring.request import Reading, is_ensemble, parse_reading

if TYPE_CHECKING:
    import pandas as pd

_EXAMPLE = "log(jacobian_covariance,parameters)"


def parse_proxy(spelling: str) -> Reading | Ensemble:
    """Parse a proxy or an ensemble, `rule(proxy,proxy,...)` or its name.

    Members have any order, and are sorted; an ensemble that has a name is given it.

    Raises:
        UnknownNameError: there is no such proxy, variant or rule.
        ParameterError: brackets or members are wrong, or see `parse_reading`.
    """
    if not is_ensemble(spelling):
        return parse_reading(spelling)
    if spelling in ENSEMBLES:
        return ENSEMBLES[spelling]
    rule, _, rest = spelling.partition("(")
    if rule not in RULES:
        raise unknown_name("rule of an ensemble", rule, RULES)
    members = [one.strip() for one in rest.removesuffix(")").split(",")]
    if not rest.endswith(")"):
        raise ParameterError(
            f"{quoted(spelling)}: an ensemble ends with a bracket, as in {_EXAMPLE}"
        )
    if not 2 <= len(members) <= MOST_MEMBERS or not all(members):
        raise ParameterError(
            f"{quoted(spelling)}: an ensemble has 2 to {MOST_MEMBERS} proxies between commas, as "
            f"in {_EXAMPLE}"
        )
    if nested := [one for one in members if is_ensemble(one)]:
        raise ParameterError(
            f"{quoted(spelling)}: {quoted(nested[0])} is an ensemble: the members of one are "
            "proxies"
        )
    readings = list(map(parse_reading, members))
    for reading in readings:
        reading.check_readable()
    names = sorted(str(reading) for reading in readings)
    if twice := [one for one, other in pairwise(names) if one == other]:
        raise ParameterError(f"{quoted(spelling)} has {twice[0]} twice: name it once")
    made = Ensemble(rule, tuple(names))
    return next((one for one in ENSEMBLES.values() if one.formula == made.formula), made)


def readings_of(spellings: Iterable[str]) -> list[Reading]:
    """Return the proxies that have to be scored for some proxies and ensembles, each once."""
    found: dict[str, Reading] = {}
    for spelling in spellings:
        parsed = parse_proxy(spelling)
        several = map(parse_reading, parsed.members) if isinstance(parsed, Ensemble) else [parsed]
        for reading in several:
            found.setdefault(str(reading), reading)
    return list(found.values())


def ensembles_of(spellings: Iterable[str]) -> list[Ensemble]:
    """Return the ensembles among some proxies and ensembles, each once."""
    parsed = map(parse_proxy, spellings)
    return list(dict.fromkeys(one for one in parsed if isinstance(one, Ensemble)))


def with_ensembles(scores: "pd.DataFrame", ensembles: Iterable[Ensemble]) -> "pd.DataFrame":
    """Add the scores of ensembles to a table of scores, under each data set and seed.

    The pool is all architectures that every member has scored with that seed; see
    `untrained.proxies.ensembles.combined`. Those for which a member is undefined, which is a status
    other than `ok` or an infinite score, are `undefined`. Data sets and seeds with which a member
    has no scores get no rows. Seconds, where the table has them, are the sum over the members.

    Args:
        scores: `arch`, `proxy`, `dataset`, `seed`, `score`, `status` and perhaps `seconds`; rows of
            these ensembles are made anew.
        ensembles: the ensembles.

    Raises:
        MissingDataError: a member is not scored at all.
        ParameterError: an architecture has two scores for one proxy, data set and seed.
    """
    import pandas as pd

    several = list(ensembles)
    scores = scores[~scores["proxy"].isin([str(one) for one in several])]
    found = [scores]
    for ensemble in several:
        signs = {
            name: 1.0 if parse_reading(name).direction == "higher" else -1.0
            for name in ensemble.members
        }
        own = scores[scores["proxy"].isin(signs)]
        if lacking := sorted(set(signs) - set(own["proxy"])):
            raise MissingDataError(f"{ensemble} needs scores of {', '.join(lacking)}: score them")
        if (twice := own.duplicated(["proxy", "dataset", "seed", "arch"])).any():
            first = own[twice].iloc[0]
            raise ParameterError(
                f"two scores of {first['proxy']} for architecture {first['arch']} and seed "
                f"{first['seed']}: keep one"
            )
        for (dataset, seed), part in own.groupby(["dataset", "seed"], sort=True):
            signed = part["score"].astype("float64") * part["proxy"].map(signs)
            part = part.assign(score=signed.where(part["status"] == "ok"), scored=True)
            if part["proxy"].nunique() < len(signs):
                continue
            there = part.pivot(index="arch", columns="proxy", values="scored").notna().all(axis=1)
            pool = there.index[there]
            wide = part.pivot(index="arch", columns="proxy", values="score").loc[pool]
            values = combined(ensemble.rule, wide.to_numpy(dtype=np.float64).T)
            made: dict[str, Any] = {
                "arch": pool,
                "proxy": str(ensemble),
                "dataset": dataset,
                "seed": seed,
            }
            made |= {"score": values, "status": np.where(np.isnan(values), "undefined", "ok")}
            if SECONDS in part:
                spent = part.groupby("arch")[SECONDS].sum(min_count=len(signs))
                made[SECONDS] = spent.loc[pool].to_numpy()
            found.append(pd.DataFrame(made)[list(scores.columns)])
    if len(found) == 1:
        return scores
    return pd.concat(found, ignore_index=True).astype(scores.dtypes.to_dict())

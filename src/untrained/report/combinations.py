"""Which ensemble is best, chosen honestly: on one space and data set, and reported on the others.

A combination that is chosen by the accuracies that it is judged by is a fit. So every row says what
it was chosen on, by which accuracies, and only a row `oracle`, a bound that nobody can know
beforehand, is chosen on what it is reported on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from untrained.errors import MissingDataError, ParameterError
from untrained.proxies.ensembles import RULES, Ensemble, combined, doubled_ranks
from untrained.report.inputs import Inputs
from untrained.report.ranks import coefficients, dense_ranks
from untrained.report.statistics import correlation
from untrained.scoring.ensembles import parse_proxy, readings_of
from untrained.scoring.request import is_ensemble, parse_reading

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: The most combinations that a choice is among.
MOST = 100_000

#: The columns of `combination_table`, in order.
COLUMNS = (
    *("space", "dataset", "subset", "kind", "chosen_on", "score", "labels", "n", "undefined"),
    *("tau", "tau_low", "tau_high", "rho", "rho_low", "rho_high"),
)


class Place(NamedTuple):
    """What a combination is chosen on or reported on."""

    space: str
    dataset: str

    def __str__(self) -> str:
        return f"{self.space}/{self.dataset}"


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores and accuracies of a space on a data set.

    Attributes:
        place: the space and the data set.
        values: proxy to (n,) mean scores over the seeds, the better network higher, NaN if
            undefined.
        validation: (n,) accuracy in percent on validation images, or on test images where the
            benchmark has no others.
        test: (n,) accuracy in percent on test images.
        representatives: (n,) a number for the class of architectures that compute the same.
        held_out: whether `validation` are accuracies on other images than `test`.
    """

    place: Place
    values: Mapping[str, Floats]
    validation: Floats
    test: Floats
    representatives: Integers
    held_out: bool = True

    def __len__(self) -> int:
        return len(self.test)

    def part(self, chosen: Integers) -> "Scored":
        """Return the architectures at some positions."""
        return replace(
            self,
            values={name: own[chosen] for name, own in self.values.items()},
            validation=self.validation[chosen],
            test=self.test[chosen],
            representatives=self.representatives[chosen],
        )

    def read_by(self, proxies: Sequence[str]) -> "Scored":
        """Return what some proxies say."""
        return replace(self, values={name: self.values[name] for name in proxies})

    @cached_property
    def subsets(self) -> "dict[str, Scored]":
        """All, and one architecture of each class where that is fewer."""
        _, first = np.unique(self.representatives, return_index=True)
        found = {"all": self}
        return found if len(first) == len(self) else found | {"distinct": self.part(np.sort(first))}

    def sample(self, size: int, seed: int) -> "Scored":
        """Return a random sample without replacement, or all if there are no more."""
        if len(self) <= size:
            return self
        drawn = np.random.default_rng(seed).choice(len(self), size, replace=False)
        return self.part(np.sort(drawn))

    def scores(self, spelling: str) -> Floats:
        """Return the scores (n,) by a proxy or an ensemble, higher is better, NaN if undefined."""
        parsed = parse_proxy(spelling) if is_ensemble(spelling) else None
        if isinstance(parsed, Ensemble):
            return combined(parsed.rule, [self.values[name] for name in parsed.members])
        return self.values[spelling]

    def tau(self, spelling: str, accuracy: Floats) -> float:
        """Return Kendall's tau-b with an accuracy, undefined scores last."""
        found = self.scores(spelling)
        ranks = dense_ranks(np.where(np.isnan(found), -np.inf, found))
        return coefficients(ranks, dense_ranks(accuracy))[0]


def scored_places(
    inputs: Iterable[Inputs], proxies: Sequence[str] = (), named: Sequence[str] = ()
) -> list[Scored]:
    """Return the scores and accuracies of some spaces on each data set with test accuracies.

    A data set whose images were not scored takes the scores on the first data set that was.

    Args:
        inputs: benchmark and merged scores of each space.
        proxies: the proxies that are combined; by default all that every space has.
        named: proxies and ensembles that are reported as well; their scores are read, too.

    Raises:
        MissingDataError: the spaces share fewer than two proxies, or one lacks a proxy.
    """
    several = list(inputs)
    there = [
        [str(one) for one in own.scores["proxy"].unique() if not is_ensemble(str(one))]
        for own in several
    ]
    shared = [name for name in there[0] if all(name in own for own in there)]
    among = [str(parse_reading(one)) for one in proxies] or shared
    if len(among) < 2:
        raise MissingDataError(
            f"the spaces share {len(among)} proxies: score all by two or more, by the same"
        )
    read = list(dict.fromkeys([*among, *map(str, readings_of(named))]))
    for own, known in zip(several, there, strict=True):
        if lacking := [one for one in read if one not in known]:
            raise MissingDataError(f"{own.name} has no scores of {', '.join(lacking)}: score them")
    return [place for own in several for place in _places(own, read)]


def _places(inputs: Inputs, proxies: Sequence[str]) -> Iterable[Scored]:
    from untrained.report.scores import mean_scores

    asked = inputs.scores[inputs.scores["proxy"].isin(proxies)]
    known = asked.groupby("dataset", sort=False)["proxy"].nunique()
    # images of which there are scores by all, those of the most where there are none
    scored = [str(name) for name in known.index if known[name] == known.max()]
    for dataset in inputs.space.datasets:
        if (dataset, "test") not in inputs.splits:
            continue
        images = dataset if dataset in scored else scored[0]
        means = {}
        for name in proxies:
            found = mean_scores(inputs.scores, name, images)
            means[name] = found if parse_reading(name).direction == "higher" else -found
        test = inputs.benchmark.accuracies(*inputs.splits[dataset, "test"])
        column = inputs.splits.get((dataset, "val"), inputs.splits[dataset, "test"])
        validation = inputs.benchmark.accuracies(*column)
        index = next(iter(means.values())).index
        for own in means.values():
            index = index.intersection(own.index)
        arch = index.to_numpy(dtype=np.int64)
        arch = arch[~np.isnan(test[arch]) & ~np.isnan(validation[arch])]
        yield Scored(
            Place(inputs.name, dataset),
            {name: np.asarray(own.reindex(arch), np.float64) for name, own in means.items()},
            validation[arch],
            test[arch],
            inputs.space.representatives[arch],
            (dataset, "val") in inputs.splits,
        )


def candidates(proxies: Sequence[str], most: int, rules: Sequence[str] = tuple(RULES)) -> list[str]:
    """Return the spellings of all ensembles of 2 to `most` of some proxies, by each rule.

    Raises:
        ParameterError: there are more than `MOST`.
    """
    sizes = range(2, min(most, len(proxies)) + 1)
    count = len(rules) * sum(comb(len(proxies), size) for size in sizes)
    if count > MOST:
        raise ParameterError(
            f"{count:,} ensembles of {len(proxies)} proxies: at most {MOST:,}, name fewer proxies "
            "or members"
        )
    return [
        str(Ensemble(rule, tuple(sorted(members))))
        for size in sizes
        for members in combinations(proxies, size)
        for rule in rules
    ]


def combination_table(
    places: Sequence[Scored],
    *,
    proxies: Sequence[str] = (),
    most: int = 4,
    named: Sequence[str] = (),
    sample: int = 1000,
    labels: Sequence[int] = (),
    repeats: int = 10,
    resamples: int = 1000,
    seed: int = 0,
) -> "pd.DataFrame":
    """Choose ensembles and single proxies on each place, and report them on the others.

    What is chosen has the highest tau on a random sample of the place, by validation accuracies; or
    the highest mean of that tau over the spaces other than the one that it is reported on, for
    which the mean over the data sets of each space counts. It is reported by test accuracies. Where
    a benchmark has no validation accuracies, test accuracies stand in, and nothing is chosen on the
    place that it is reported on.

    Args:
        places: the scores and accuracies.
        proxies: the proxies that a choice is among and that predictors see; by default all that
            the places have scores of.
        most: members of an ensemble, 2 or more.
        named: ensembles and proxies that were named beforehand.
        sample: architectures of each place that a choice is made on.
        labels: numbers of labelled architectures of predictors, which need scikit-learn.
        repeats: draws of the labelled architectures.
        resamples: bootstrap resamples of the intervals.
        seed: seed of all draws.

    Returns:
        One row per place, subset (`all`, or `distinct`: one architecture of each class) and score
        with `COLUMNS`. `kind` is `proxy` (chosen on nothing), `named`, `best proxy`,
        `best ensemble`, `oracle` or `predictor`; `chosen_on` is a place, or `other spaces`.
        `undefined` counts architectures without a score, which rank last. Intervals are those of a
        bootstrap over architectures; of a predictor, which is fitted to the validation accuracies
        of `labels` random architectures and reported on the others, the mean over the draws with
        the least and the largest.
    """
    import pandas as pd

    proxies = [str(parse_reading(one)) for one in proxies] or list(places[0].values)
    samples = {one.place: one.sample(sample, seed) for one in places}
    spellings = [*proxies, *candidates(proxies, most)]

    @cache
    def taus(place: Place, accuracy: str) -> dict[str, float]:
        """Tau of every proxy and ensemble on the sample of a place."""
        own = samples[place]
        return {one: own.tau(one, getattr(own, accuracy)) for one in spellings}

    def best(among: Sequence[str], tables: Sequence[Mapping[str, float]], where: str) -> str:
        means = [np.mean([table[one] for table in tables]) for one in among]
        if np.isnan(means).all():
            raise MissingDataError(
                f"no proxy correlates with accuracies of {where}: score more architectures, whose "
                "scores differ"
            )
        return among[int(np.nanargmax(means))]

    @cache
    def of_others(space: str) -> list[dict[str, float]]:
        """The mean taus over the data sets of each other space."""
        found = []
        for other in dict.fromkeys(one.place.space for one in places):
            if other != space:
                own = [taus(one.place, "validation") for one in places if one.place.space == other]
                found.append({name: float(np.mean([t[name] for t in own])) for name in own[0]})
        return found

    rows = []
    for target in places:
        asked = [("proxy", "", one) for one in proxies]
        asked += [("named", "", str(parse_proxy(one))) for one in named]
        for kind, among in (("best proxy", proxies), ("best ensemble", spellings[len(proxies) :])):
            for source in places:
                where = str(source.place)
                if source is target:
                    if not source.held_out:
                        continue  # that would be the oracle
                    where += ", validation"
                asked.append((kind, where, best(among, [taus(source.place, "validation")], where)))
            if others := of_others(target.place.space):
                asked.append((kind, "other spaces", best(among, others, "other spaces")))
        seen = "validation" if target.held_out else "test"
        oracle = best(spellings, [taus(target.place, "test")], str(target.place))
        asked.append(("oracle", f"{target.place}, test", oracle))
        for subset, own in target.subsets.items():
            head = {"space": target.place.space, "dataset": target.place.dataset, "subset": subset}
            known = {
                spelled: _figures(own, spelled, resamples, seed)
                for spelled in dict.fromkeys(spelled for _, _, spelled in asked)
            }
            rows += [
                head | {"kind": kind, "chosen_on": where, "score": one, "labels": 0} | known[one]
                for kind, where, one in asked
            ]
            rows += [
                head
                | {"kind": "predictor", "chosen_on": f"{target.place}, {seen}"}
                | {"score": "gradient boosting", "labels": count}
                | predicted(own.read_by(proxies), count, repeats, seed)
                for count in labels
                if count < len(own)
            ]
    return pd.DataFrame(rows)[list(COLUMNS)]


def _figures(own: Scored, spelling: str, resamples: int, seed: int) -> dict[str, float]:
    scores = own.scores(spelling)
    undefined = np.isnan(scores)
    ranked = np.where(undefined, -np.inf, scores)
    found = correlation(ranked, own.test, resamples=resamples, seed=seed)
    return found._asdict() | {"undefined": int(undefined.sum())}


def predicted(own: Scored, labels: int, repeats: int, seed: int) -> dict[str, float]:
    """Return the figures of gradient boosting over the ranks by all proxies.

    It is fitted to the validation accuracies of some random architectures, and correlated with the
    test accuracies of all others. The boosting is scikit-learn's, with its defaults.

    Args:
        own: scores and accuracies of n architectures.
        labels: the number of architectures that it is fitted to.
        repeats: draws of these.
        seed: seed of the draws.

    Raises:
        ParameterError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import GradientBoostingRegressor
    except ImportError as error:
        raise ParameterError(
            "predictors need scikit-learn: pip install scikit-learn, or ask for no labels"
        ) from error
    values = [np.where(np.isnan(one), -np.inf, one) for one in own.values.values()]
    features = np.stack([doubled_ranks(one) / (2 * len(own)) for one in values], axis=1)
    taus = []
    for repeat in range(repeats):
        order = np.random.default_rng((seed, repeat)).permutation(len(own))
        fitted, others = order[:labels], order[labels:]
        model = GradientBoostingRegressor(random_state=0)
        model.fit(features[fitted], own.validation[fitted])
        guess = dense_ranks(model.predict(features[others]))
        taus.append(coefficients(guess, dense_ranks(own.test[others])))
    draws = np.array(taus)
    figures: dict[str, float] = {"n": len(own) - labels, "undefined": 0}
    for place, name in enumerate(("tau", "rho")):
        low, high = draws[:, place].min(), draws[:, place].max()
        figures |= {name: draws[:, place].mean(), f"{name}_low": low, f"{name}_high": high}
    return figures

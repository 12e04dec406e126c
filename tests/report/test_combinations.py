"""Ensembles that are chosen on one place and reported on others, against plain loops."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, rankdata, spearmanr

from untrained.errors import MissingDataError, ParameterError
from untrained.proxies.ensembles import combined
from untrained.report.combinations import (
    COLUMNS,
    Place,
    Scored,
    candidates,
    combination_table,
    predicted,
    scored_places,
)

PROXIES = ("naswot", "parameters", "synflow")


def place(space, dataset, seed, size=60, classes=None):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=size)
    values = {
        name: truth * weight + rng.normal(size=size)
        for name, weight in zip(PROXIES, rng.uniform(0, 2, 3), strict=True)
    }
    values["naswot"][3] = np.nan
    own = np.arange(size) if classes is None else rng.integers(classes, size=size)
    validation = truth + 0.3 * rng.normal(size=size)
    return Scored(Place(space, dataset), values, validation, truth, own)


@pytest.fixture(scope="module")
def places():
    return [place("a", "x", 1), place("a", "y", 2), place("b", "x", 3, classes=40)]


@pytest.fixture(scope="module")
def table(places):
    return combination_table(places, most=3, named=["log(synflow,naswot)"], resamples=50)


def test_without_any_correlation_nothing_can_be_chosen(places):
    """As where all scores are equal, or there are too few."""
    one = replace(places[0], values=dict.fromkeys(PROXIES, np.ones(60)))
    with pytest.raises(MissingDataError, match=r"no proxy correlates with accuracies of .*x"):
        combination_table([one], resamples=5)


def slow_taus(own, accuracy):
    found = {}
    for size in (1, 2, 3):
        for members in combinations(PROXIES, size):
            for rule in ("log", "sum", "vote") if size > 1 else ("",):
                values = [own.values[name] for name in members]
                scores = combined(rule, values) if rule else values[0]
                spelled = f"{rule}({','.join(members)})" if rule else members[0]
                ranked = np.where(np.isnan(scores), -1e9, scores)
                found[spelled] = kendalltau(ranked, accuracy).statistic
    return found


def chosen(table, own, kind, where):
    rows = table[(table["space"] == own.place.space) & (table["dataset"] == own.place.dataset)]
    rows = rows[(rows["kind"] == kind) & (rows["chosen_on"] == where) & (rows["subset"] == "all")]
    (row,) = rows.to_dict("records")
    return row


def test_only_the_proxies_that_are_named_are_chosen_among(places):
    """What was named beforehand may have other members."""
    named = ["log(naswot,synflow)"]
    few = [one.read_by(["naswot", "parameters"]) for one in places]
    alone = combination_table(few, resamples=20, labels=[20])
    found = combination_table(
        places, proxies=["naswot", "parameters"], named=named, resamples=20, labels=[20]
    )
    assert found[found["kind"] == "named"]["score"].unique().tolist() == named
    rest = found[found["kind"] != "named"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, alone)


def test_what_is_chosen_on_a_place_has_the_highest_tau_there(places, table):
    assert tuple(table.columns) == COLUMNS
    for source in places:
        taus = slow_taus(source, source.validation)
        for kind, among in (
            ("best proxy", [one for one in taus if "(" not in one]),
            ("best ensemble", [one for one in taus if "(" in one]),
        ):
            best = max(taus[one] for one in among)
            for target in places:
                where = f"{source.place}" + (", validation" if source is target else "")
                row = chosen(table, target, kind, where)
                assert taus[row["score"]] == pytest.approx(best)


def test_the_oracle_alone_is_chosen_on_test_accuracies(places, table):
    for own in places:
        taus = slow_taus(own, own.test)
        row = chosen(table, own, "oracle", f"{own.place}, test")
        assert taus[row["score"]] == pytest.approx(max(taus.values()))
        assert row["tau"] == pytest.approx(max(taus.values()))
        rest = table[table["chosen_on"].str.endswith("test") & (table["kind"] != "oracle")]
        assert rest.empty


def test_one_space_is_left_out(places, table):
    """Every other space counts once, with the mean over its data sets."""
    of_a = [slow_taus(own, own.validation) for own in places[:2]]
    means = {one: (of_a[0][one] + of_a[1][one]) / 2 for one in of_a[0] if "(" in one}
    row = chosen(table, places[2], "best ensemble", "other spaces")
    assert means[row["score"]] == pytest.approx(max(means.values()))
    of_b = slow_taus(places[2], places[2].validation)
    row = chosen(table, places[0], "best ensemble", "other spaces")
    assert of_b[row["score"]] == pytest.approx(max(of_b[one] for one in of_b if "(" in one))


def test_figures_are_those_of_scipy_with_undefined_last(places, table):
    for row in table[table["subset"] == "all"].to_dict("records"):
        own = next(one for one in places if one.place == (row["space"], row["dataset"]))
        expected = slow_taus(own, own.test)[row["score"]]
        assert row["tau"] == pytest.approx(expected)
        assert row["undefined"] == int("naswot" in row["score"])
        assert row["n"] == 60
        assert row["tau_low"] <= row["tau"] + 0.05


def test_one_of_each_class_is_ranked_anew(places, table):
    own = places[2]
    _, first = np.unique(own.representatives, return_index=True)
    part = np.sort(first)
    rows = table[(table["space"] == "b") & (table["subset"] == "distinct")]
    assert set(rows["n"]) == {len(part)}
    assert not len(table[(table["space"] == "a") & (table["subset"] == "distinct")])
    scores = combined("log", [own.values[one][part] for one in ("naswot", "synflow")])
    expected = spearmanr(np.where(np.isnan(scores), -1e9, scores), own.test[part]).statistic
    (row,) = rows[rows["kind"] == "named"].to_dict("records")
    assert row["rho"] == pytest.approx(expected)


def test_what_is_chosen_does_not_depend_on_the_test_accuracies_of_others(places, table):
    changed = [
        Scored(one.place, one.values, one.validation, one.test[::-1], one.representatives)
        for one in places
    ]
    again = combination_table(changed, most=3, named=["log(synflow,naswot)"], resamples=50)
    honest = table["kind"] != "oracle"
    assert again.loc[honest, "score"].tolist() == table.loc[honest, "score"].tolist()


def test_without_validation_accuracies_nothing_is_chosen_on_the_place_itself(places):
    """What would be called a choice there were the oracle."""
    blind = Scored(
        *[getattr(places[2], name) for name in Scored.__annotations__][:5], held_out=False
    )
    table = combination_table([places[0], blind], most=2, resamples=20)
    own = table[table["space"] == "b"]
    assert set(own["chosen_on"]) == {"", "a/x", "other spaces", "b/x, test"}
    assert set(own.loc[own["chosen_on"] == "b/x, test", "kind"]) == {"oracle"}
    assert blind.sample(10, 0).held_out is False


def test_a_choice_is_made_on_a_sample():
    own = place("a", "x", 5, size=200)
    part = own.sample(30, 0)
    assert len(part) == 30
    assert part.tau("naswot", part.validation) != own.tau("naswot", own.validation)
    assert own.sample(200, 0) is own


def test_candidates_are_all_combinations():
    assert len(candidates(list("abcde"), 4)) == 3 * (10 + 10 + 5)
    assert candidates(["b", "a"], 4, ["log"]) == ["log(a,b)"]
    with pytest.raises(ParameterError, match="ensembles of 40 proxies: at most 100,000"):
        candidates([f"p{one}" for one in range(40)], 4)


def test_predictors_see_labels_and_are_judged_on_the_others(places):
    pytest.importorskip("sklearn")
    figures = predicted(places[0], 20, 3, 0)
    assert figures["n"] == 40
    assert figures["tau_low"] <= figures["tau"] <= figures["tau_high"]
    assert 0.2 < figures["tau"] < 1
    # labels of others than those that it is fitted to change nothing but the correlation
    table = combination_table(places, most=2, labels=[20, 1000], repeats=2, resamples=20)
    rows = table[table["kind"] == "predictor"]
    assert set(rows["labels"]) == {20}
    assert len(rows) == 4
    assert rows["chosen_on"].str.endswith("validation").all()


def test_predictors_need_a_package(places, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.ensemble", None)
    with pytest.raises(ParameterError, match="predictors need scikit-learn"):
        predicted(places[0], 20, 3, 0)


def test_places_are_what_a_space_was_scored_and_trained_on():
    from untrained.report.inputs import Inputs

    inputs, other = Inputs("nasbench201"), Inputs("nasbench201")
    arch = np.arange(0, 400, 2)
    tables = [
        pd.DataFrame(
            {"arch": arch, "proxy": name, "dataset": "cifar100", "seed": 0, "status": "ok"}
            | {"score": arch * sign}
        )
        for name, sign in (("naswot", 1.0), ("ntk_condition_number", -1.0))
    ]
    vars(inputs)["scores"] = pd.concat(tables)
    found = scored_places([inputs])
    assert list(found[0].values) == ["naswot", "ntk_condition_number"]
    assert [str(one.place) for one in found] == [
        *("nasbench201/cifar10", "nasbench201/cifar100", "nasbench201/ImageNet16-120"),
    ]
    for own in found:
        assert own.values["ntk_condition_number"].tolist() == arch.tolist()
    assert (
        found[1].test.tolist() == inputs.benchmark.accuracies("cifar100", "x-test")[arch].tolist()
    )
    vars(other)["scores"] = tables[0]
    with pytest.raises(MissingDataError, match="the spaces share 1 proxies"):
        scored_places([inputs, other])
    with pytest.raises(MissingDataError, match="nasbench201 has no scores of synflow: score them"):
        scored_places([inputs], ["naswot", "synflow"])


def test_predictors_are_fitted_to_validation_accuracies():
    """Where these say nothing about the test accuracies, a predictor knows nothing."""
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(0)
    own = place("a", "x", 7, size=300)
    blind = replace(own, validation=rng.normal(size=300))
    ranks = [rankdata(np.where(np.isnan(one), -1e9, one)) / 300 for one in own.values.values()]
    features, taus = np.stack(ranks, axis=1), []
    for repeat in range(2):
        order = np.random.default_rng((0, repeat)).permutation(300)
        model = ensemble.GradientBoostingRegressor(random_state=0)
        model.fit(features[order[:100]], blind.validation[order[:100]])
        guess = model.predict(features[order[100:]])
        taus.append(kendalltau(guess, own.test[order[100:]]).statistic)
    assert predicted(blind, 100, 2, 0)["tau"] == pytest.approx(np.mean(taus), abs=1e-12)
    assert abs(np.mean(taus)) < 0.2 < predicted(own, 100, 2, 0)["tau"]

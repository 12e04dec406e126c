import numpy as np
import pandas as pd
import pytest
from tests.report import RESAMPLED, SPLITS, fed

from untrained.errors import MissingDataError, ParameterError
from untrained.report.scores import ALL_SAMPLED, CANONICAL, FINITE_ONLY, TOP_TENTH
from untrained.report.sections.correlations import COLUMNS, correlation_table, subsets_of
from untrained.spaces import get_space

from .test_statistics import slow_rho, slow_tau_b


def test_one_architecture_stands_for_its_class_among_those_sampled():
    #                           0  1  2  3  4  5  6
    representatives = np.array([0, 0, 2, 0, 2, 5, 6])
    subsets = subsets_of(np.array([1, 3, 4, 5]), representatives)
    assert subsets[ALL_SAMPLED].tolist() == [1, 3, 4, 5]
    assert subsets[CANONICAL].tolist() == [1, 4, 5]
    assert subsets[FINITE_ONLY].tolist() == subsets[TOP_TENTH].tolist() == [1, 3, 4, 5]


def test_the_whole_space_has_its_representatives_for_a_subset(space):
    everything = np.arange(len(space))
    canonical = subsets_of(everything, space.representatives)[CANONICAL]
    assert canonical.tolist() == sorted(set(space.representatives.tolist()))


def score_rows(proxy="naswot", seeds=(0, 1), n=30, undefined=(), dataset="cifar10"):
    """Scores equal to the index, shaken per seed, undefined for `undefined` in the last seed."""
    generator = np.random.default_rng(3)
    rows = []
    for seed in seeds:
        for arch in range(n):
            lost = arch in undefined and seed == seeds[-1]
            score = np.nan if lost else arch + generator.normal() * 4
            rows.append((arch, proxy, dataset, seed, score, "singular" if lost else "ok"))
    return pd.DataFrame(rows, columns=["arch", "proxy", "dataset", "seed", "score", "status"])


SPLIT = {("cifar10", "val"): ("cifar10-valid", "x-valid")}
CLASSES = subsets_of(np.arange(30), get_space("nasbench201").representatives)[CANONICAL]


def accuracies(dataset, split):
    assert (dataset, split) == ("cifar10-valid", "x-valid")
    return np.random.default_rng(0).normal(size=40) * 5 + np.arange(40)


TRUTH = accuracies("cifar10-valid", "x-valid")[:30]


def made(scores, accuracy=accuracies, splits=SPLIT, costs=None, **options):
    inputs = fed(accuracy, splits=splits, costs=costs, scores=scores)
    return correlation_table(inputs, RESAMPLED | options)


def of(table, subset):
    (row,) = table[table["subset"] == subset].to_dict("records")
    return row


def test_a_control_that_is_scored_is_the_score():
    scores = pd.concat([score_rows("naswot"), score_rows("flops")])
    both, alone = made(scores, costs={"flops": np.arange(40.0)[::-1]}), made(scores)
    pd.testing.assert_frame_equal(both, alone)
    assert (both["seeds"] > 0).all()


def test_the_table_has_a_row_per_target_subset_and_proxy():
    scores = pd.concat([score_rows("naswot"), score_rows("naswot-released")])
    table = made(scores, costs={"flops": np.arange(40.0)[::-1]})
    assert tuple(table.columns) == COLUMNS
    assert list(table["proxy"]) == ["naswot", "naswot-released", "flops"] * 4
    assert list(table["subset"].unique()) == [ALL_SAMPLED, CANONICAL, FINITE_ONLY, TOP_TENTH]
    assert list(table["n"][::3]) == [30, len(CLASSES), 30, 3]
    control = table[table["proxy"] == "flops"].iloc[0]
    assert control["seeds"] == 0
    assert np.isnan(control["tau_seed_std"])
    assert control["tau"] == pytest.approx(slow_tau_b(-np.arange(30), TRUTH))


def test_a_control_may_be_known_for_some_images_only():
    scores = pd.concat([score_rows(), score_rows(dataset="cifar100")])
    inputs = fed(lambda *_: np.arange(30.0), scores=scores)
    inputs.benchmark.measures["cifar100", "x-valid", 12, "777"] = {"accuracy": np.arange(30.0)}
    table = correlation_table(inputs, RESAMPLED)
    short = table["proxy"] == "accuracy after 12 epochs"
    assert set(table.loc[short, "images"]) == {"cifar100"}
    assert set(table.loc[table["proxy"] == "naswot", "images"]) == {"cifar10", "cifar100"}


def test_a_score_is_the_mean_over_seeds_and_an_undefined_seed_undoes_it():
    lost = (3, 17)
    scores = score_rows(undefined=lost)
    by_subset = made(scores, seed=2).set_index("subset").drop(TOP_TENTH)
    mean = scores.groupby("arch")["score"].mean().to_numpy().copy()
    mean[list(lost)] = -1e9
    kept = np.setdiff1d(np.arange(30), lost)
    assert by_subset.loc[ALL_SAMPLED, "tau"] == pytest.approx(slow_tau_b(mean, TRUTH))
    assert by_subset.loc[ALL_SAMPLED, "rho"] == pytest.approx(slow_rho(mean, TRUTH))
    assert by_subset.loc[FINITE_ONLY, "tau"] == pytest.approx(slow_tau_b(mean[kept], TRUTH[kept]))
    tau = slow_tau_b(mean[CLASSES], TRUTH[CLASSES])
    assert by_subset.loc[CANONICAL, "tau"] == pytest.approx(tau)
    assert by_subset["n"].tolist() == [30, len(CLASSES), 28]
    assert by_subset["excluded"].tolist() == [2, np.isin(lost, CLASSES).sum(), 2]
    assert (by_subset["seeds"] == 2).all()


def test_where_lower_is_better_the_undefined_are_last_all_the_same():
    scores = score_rows(undefined=(3, 17))
    known = made(scores)
    found = made(scores.assign(score=-scores["score"], proxy="ntk_condition_number"))
    for name in ("tau", "rho"):
        assert found[name].tolist() == pytest.approx((-known[name]).tolist(), nan_ok=True)
        assert found[f"{name}_low"].tolist() == pytest.approx(
            (-known[f"{name}_high"]).tolist(), nan_ok=True
        )
    assert found["tau_seed_std"].tolist() == pytest.approx(
        known["tau_seed_std"].tolist(), nan_ok=True
    )


def test_the_spread_over_seeds_is_that_of_each_seed_alone():
    scores = score_rows(seeds=(0, 1, 2), undefined=(4,))
    row = of(made(scores), ALL_SAMPLED)
    taus = [
        slow_tau_b(own["score"].fillna(-1e9).to_numpy(), TRUTH) for _, own in scores.groupby("seed")
    ]
    assert row["tau_seed_std"] == pytest.approx(np.std(taus, ddof=1))


def test_a_finite_score_with_a_bad_status_and_an_infinite_one_are_undefined():
    scores = score_rows(seeds=(0,))
    scores.loc[2, "status"] = "disconnected"
    scores.loc[5, "score"] = np.inf
    row = of(made(scores), FINITE_ONLY)
    assert (row["n"], row["excluded"], row["seeds"]) == (28, 2, 1)
    assert np.isnan(row["tau_seed_std"])


def test_architectures_without_accuracy_are_left_out():
    def partial(dataset, split):
        answers = accuracies(dataset, split)
        answers[:4] = np.nan
        return answers

    assert of(made(score_rows(), partial), ALL_SAMPLED)["n"] == 26


@pytest.mark.parametrize("n", [30, 31, 40])
def test_the_top_tenth_are_those_that_fewer_than_a_tenth_surpass(n):
    splits = {pair: column for pair, column in SPLITS.items() if pair[0] == "cifar10"}

    def tied(dataset, split):
        shift = 1 if split == "ori-test" else 0  # the two columns have other bests
        answers = np.round(np.random.default_rng(shift).normal(size=n) * 3, 0)
        answers[4] = np.nan
        return answers

    scores, flops = score_rows(n=n, undefined=(2, 8, 9, 20)), pd.Series(np.arange(float(n)))
    table = made(scores, tied, splits, {"flops": flops.to_numpy()})
    table = table[table["subset"] == TOP_TENTH]
    mean = scores.groupby("arch")["score"].agg(lambda values: values.mean(skipna=False))
    tops = []
    for row in table.itertuples():
        truth = tied(row.dataset, row.split)
        known = [arch for arch in range(n) if not np.isnan(truth[arch])]
        top = [
            arch for arch in known if sum(truth[arch] < truth[a] for a in known) < len(known) / 10
        ]
        ranked = (flops if row.proxy == "flops" else mean.fillna(-1e9))[top].to_numpy()
        assert row.n == len(top)
        assert row.excluded == (0 if row.proxy == "flops" else mean[top].isna().sum())
        if len(top) > 2 and len(set(truth[top])) > 1:
            assert row.tau == pytest.approx(slow_tau_b(ranked, truth[top]))
        else:
            assert np.isnan(row.tau)
        tops.append(top)
    assert tops[0] == tops[1] != tops[2]


def test_without_ties_the_top_tenth_is_a_tenth():
    scores = score_rows(n=40, undefined=(39,))
    row = of(made(scores, lambda *_: np.arange(40.0)), TOP_TENTH)
    assert (row["n"], row["excluded"]) == (4, 1)
    assert row["tau"] < 0, "the undefined one is ranked last"


def test_the_order_of_the_scores_does_not_matter():
    scores = pd.concat([score_rows("synflow"), score_rows("naswot", undefined=(1,))])
    shuffled = scores.sample(frac=1, random_state=4)
    pd.testing.assert_frame_equal(made(scores), made(shuffled))


def test_faults_of_the_scores_are_named():
    with pytest.raises(MissingDataError, match=r"1 architectures lack naswot .* seeds 0, 1:"):
        made(score_rows().iloc[1:])
    twice = pd.concat([score_rows(), score_rows().iloc[7:8]])
    with pytest.raises(ParameterError, match="two scores of naswot for architecture 7 and seed 0"):
        made(twice)
    with pytest.raises(ParameterError, match=r"architecture 49 has no accuracy.* ends at 39"):
        made(score_rows(n=50))

"""What was found for devices, held to the best possible: against slow, obvious forms."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau

from untrained import benchmark, cached_scores, devices, get_space, search
from untrained.errors import UntrainedError
from untrained.files import write_parquet
from untrained.proxies.ensembles import combined
from untrained.report import section
from untrained.report.device_results import Device, device_table, runs_of
from untrained.report.inputs import Inputs
from untrained.report.statistics import mean_interval
from untrained.scoring.columns import FRONT_TYPES
from untrained.search.device_fronts import costs_of, device_fronts

SCORE = "log(jacobian_covariance,parameters-live)"
COSTS = ["latency[raspi4]", "latency[edgetpu]", "energy[fpga]"]
OPTIONS = {"resamples": 200, "seed": 0}
CHANCE = 10.0
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


@pytest.fixture(scope="module")
def fronts():
    return device_fronts(
        "nasbench201",
        SCORE,
        costs=COSTS,
        controls=["flops-live"],
        predictor="flops-live",
        evaluations=60,
        runs=2,
        scores=get_space("nasbench201").scores,
    )


@pytest.fixture(scope="module")
def inputs(fronts, tmp_path_factory):
    """All tables of the section, made from the fronts."""
    folder = tmp_path_factory.mktemp("devices")
    write_parquet(fronts, folder / "cifar10.parquet")
    found = Inputs("nasbench201", files={"devices": [folder / "cifar10.parquet"]}, folder=folder)
    for table in section("devices").tables:
        write_parquet(table.make(found, OPTIONS), folder / f"{table.name}.parquet")
    return found


@pytest.fixture(scope="module")
def accuracy():
    return benchmark("nasbench201").accuracies("cifar10", "ori-test")


def values_of(cost):
    metric, _, device = cost.removesuffix("]").partition("[")
    return devices("nasbench201").values(metric, device, "cifar10")


def slow_front(cost, accuracy):
    """The best possible front: every cell that no cheaper or equal one beats."""
    best, found = -1.0, []
    known = [cell for cell in range(len(accuracy)) if not np.isnan(cost[cell])]
    for cell in sorted(known, key=lambda cell: (cost[cell], -accuracy[cell])):
        if accuracy[cell] > best:
            best = accuracy[cell]
            found.append(cell)
    return found


def slow_answer(front, cost, accuracy, limit):
    """The member with the highest score within the limit: scores ascend."""
    within = [cell for cell in front if cost[cell] <= limit]
    return accuracy[within[-1]] if within else CHANCE


def slow_limits(cost, accuracy):
    costs = [cost[cell] for cell in slow_front(cost, accuracy)]
    return [costs[int(np.ceil(level * len(costs))) - 1] for level in LEVELS]


def ends(fronts, score, by, algorithm="nsga2"):
    """The final front of each run."""
    own = fronts[(fronts["score"] == score) & (fronts["by"] == by)]
    own = own[(own["algorithm"] == algorithm) & (own["evaluations"] == 60)]
    return [one["arch"].tolist() for _, one in own.groupby("run")]


def test_a_cost_is_that_of_the_networks_of_the_file_s_data_set(fronts, tmp_path):
    write_parquet(fronts, tmp_path / "cifar100.parquet")
    given = Inputs(
        "nasbench201", files={"devices": [tmp_path / "cifar100.parquet"]}, folder=tmp_path
    )
    (run,) = runs_of(given)
    own = devices("nasbench201").values("latency", "raspi4", "cifar100")
    np.testing.assert_array_equal(run.devices["latency[raspi4]"].values, own)
    assert not np.array_equal(own, values_of("latency[raspi4]"))


def test_fronts_are_by_the_ranks_of_what_each_run_evaluated(fronts):
    assert {name: str(kind) for name, kind in fronts.dtypes.items()} == FRONT_TYPES
    table = cached_scores("nasbench201").query("dataset == 'cifar10'")
    members = [
        table[table["proxy"] == name].set_index("arch")["score"].reindex(range(15625)).to_numpy()
        for name in ("jacobian_covariance", "parameters-live")
    ]
    cost, ranked = values_of(COSTS[0]), combined("log", np.stack(members))
    for front in ends(fronts, SCORE, COSTS[0]):
        assert (np.diff(cost[front]) > 0).all()
        assert (np.diff(ranked[front]) > 0).mean() > 0.8  # ranks in the run are others
    assert sorted(fronts["evaluations"].unique()) == [4, 8, 15, 30, 60]
    kinds = fronts.drop_duplicates(["score", "by", "algorithm"])
    assert len(kinds) == 4 * len(COSTS) + 1
    means = table.groupby("proxy")["seconds"].mean()
    spent = fronts.loc[(fronts["score"] == SCORE) & (fronts["evaluations"] == 60), "seconds"]
    both = means["jacobian_covariance"] + means["parameters-live"]
    assert spent.tolist() == pytest.approx([60 * both] * len(spent))


def test_each_run_has_the_scores_of_its_seed_and_lots_of_its_own(tmp_path, monkeypatch):
    """With the second seed the order of all cells is the other way."""
    drawn = []
    generator = search.device_fronts.numpy_generator
    monkeypatch.setattr(
        search.device_fronts, "numpy_generator", lambda *key: drawn.append(key) or generator(*key)
    )
    table = cached_scores("nasbench201").query("proxy == 'naswot'")  # of two sets of images
    other = table.assign(seed=1, score=-table["score"])
    write_parquet(pd.concat([table, other], ignore_index=True), tmp_path / "scores.parquet")
    asked = {"costs": COSTS[:1], "evaluations": 60, "runs": 2, "seed": 7}
    found = device_fronts("nasbench201", "naswot", scores=tmp_path / "scores.parquet", **asked)
    table = table[table["dataset"] == "cifar10"]
    spent = found.loc[found["score"] == "naswot", ["seconds", "evaluations"]]
    assert np.allclose(spent["seconds"], table["seconds"].mean() * spent["evaluations"])
    score = table.set_index("arch")["score"]
    first, second = ends(found, "naswot", COSTS[0])
    assert (np.diff(score[first]) >= 0).all()
    assert (np.diff(score[second]) <= 0).all()
    assert {(7, "random score", run) for run in (0, 1)} < set(drawn)
    assert min(len(first), len(second)) > 2


def test_of_a_score_that_is_better_lower_less_is_wanted(tmp_path):
    table = cached_scores("nasbench201").query("proxy == 'naswot' and dataset == 'cifar10'")
    turned = table.assign(proxy="ntk_condition_number", score=-table["score"])
    write_parquet(pd.concat([table, turned], ignore_index=True), tmp_path / "scores.parquet")
    asked = {"costs": COSTS[:1], "evaluations": 60, "runs": 1}
    asked |= {"scores": tmp_path / "scores.parquet", "controls": ["ntk_condition_number"]}
    found = device_fronts("nasbench201", "naswot", **asked)
    assert ends(found, "naswot", COSTS[0]) == ends(found, "ntk_condition_number", COSTS[0])


def test_a_run_that_ends_early_has_a_front_at_the_end(tmp_path):
    table = cached_scores("nasbench201").query("proxy == 'naswot' and arch < 30")
    write_parquet(table, tmp_path / "scores.parquet")
    asked = {"costs": COSTS[:1], "evaluations": 64, "scores": tmp_path / "scores.parquet"}
    found = device_fronts("nasbench201", "naswot", runs=2, **asked)
    assert sorted(found["evaluations"].unique()) == [4, 8, 16, 32, 64]
    last = found[(found["evaluations"] == 64) & (found["score"] == "naswot")]
    seconds = table.query("dataset == 'cifar10'")["seconds"].mean()
    assert last["seconds"].max() <= 30 * seconds * 1.0001


@pytest.fixture(scope="module")
def of_few(tmp_path_factory):
    """A table of a device on which the latency of 25 cells is known."""
    path = tmp_path_factory.mktemp("few") / "few.parquet"
    cells = np.random.default_rng(0).choice(15625, 25, replace=False)
    table = pd.DataFrame({"arch": cells, "value": np.arange(1.0, 26.0), "metric": "latency"})
    write_parquet(table.assign(dataset="cifar10", device="few"), path)
    return path


def test_a_search_evaluates_what_has_a_known_cost_alone(of_few):
    """With as many evaluations as such cells all searches end with the front of them all."""
    asked = {"costs": COSTS[:1], "evaluations": 25, "runs": 2, "predictor": "flops-live"}
    alone = device_fronts("nasbench201", "naswot", **asked)
    asked |= {"costs": [COSTS[0], "latency[few]"], "devices": of_few}
    both = device_fronts("nasbench201", "naswot", **asked)
    others = both[both["by"] != "latency[few]"].reset_index(drop=True)
    pd.testing.assert_frame_equal(others, alone)
    table = pd.read_parquet(of_few)
    score = cached_scores("nasbench201").query("proxy == 'naswot' and dataset == 'cifar10'")
    known = score.set_index("arch")["score"].reindex(table["arch"]).to_numpy()
    right = table["arch"].to_numpy()[slow_front(table["value"].to_numpy(), known)]
    own = both[(both["by"] == "latency[few]") & (both["score"] == "naswot")]
    own = own[own["evaluations"] == 25]
    found = [one["arch"].tolist() for _, one in own.groupby(["algorithm", "run"])]
    assert found == [right.tolist()] * 4


def test_runs_without_a_front_count_as_guesses(of_few, tmp_path, accuracy):
    """All cells of which the latency is known have an undefined score."""
    cells, times = pd.read_parquet(of_few)[["arch", "value"]].to_numpy(dtype=int).T
    table = cached_scores("nasbench201").query("proxy == 'naswot' and dataset == 'cifar10'")
    undefined = table.assign(score=table["score"].mask(table["arch"].isin(cells)))
    write_parquet(undefined, tmp_path / "scores.parquet")
    asked = {"costs": [COSTS[0], "latency[few]"], "evaluations": 25, "runs": 2}
    asked |= {"scores": tmp_path / "scores.parquet", "devices": of_few}
    found = device_fronts("nasbench201", "naswot", **asked)
    own = found[(found["by"] == "latency[few]") & (found["score"] == "naswot")]
    assert own["arch"].tolist() == [-1] * (2 * 2 * 5)  # algorithms, runs, steps
    write_parquet(found, tmp_path / "cifar10.parquet")
    files = {"devices": [tmp_path / "cifar10.parquet"]}
    given = Inputs("nasbench201", files=files, devices_file=of_few, folder=tmp_path)
    table = device_table(given, OPTIONS)
    row = table.query("cost == 'latency[few]' and by == cost and score == 'naswot'").iloc[-1]
    best, cost = slow_front(times, accuracy[cells]), times
    limits = slow_limits(cost, accuracy[cells])
    right = [slow_answer(best, cost, accuracy[cells], limit) for limit in limits]
    assert (row["runs"], row["hypervolume"]) == (2, 0)
    assert row["lost"] == pytest.approx(np.mean(right) - CHANCE)


def test_a_file_with_missing_runs_is_read_by_their_numbers(fronts, tmp_path):
    last = (fronts["by"] == COSTS[0]) & (fronts["score"] == SCORE) & (fronts["evaluations"] == 60)
    write_parquet(fronts[~(last & (fronts["run"] == 0))], tmp_path / "cifar10.parquet")
    files = {"devices": [tmp_path / "cifar10.parquet"]}
    (run,) = runs_of(Inputs("nasbench201", files=files, folder=tmp_path))
    first, second = run.last((SCORE, "nsga2", COSTS[0]))
    assert first.tolist() == []
    assert second.tolist() == ends(fronts, SCORE, COSTS[0])[1]
    write_parquet(fronts[:0], tmp_path / "cifar10.parquet")
    with pytest.raises(UntrainedError, match=r"cifar10\.parquet has no fronts: make it again"):
        runs_of(Inputs("nasbench201", files=files, folder=tmp_path))


def test_a_device_on_which_all_is_alike_has_no_hypervolume():
    device = Device("latency[one]", np.ones(3), np.array([50.0, 60.0, 70.0]), CHANCE)
    assert np.isnan(device.share(device.front))


def test_of_what_stands_in_for_the_cost_less_is_wanted(fronts):
    """So from member to member of a front the score rises, and FLOPs with it."""
    table = cached_scores("nasbench201").query("proxy == 'flops-live'").set_index("arch")["score"]
    found = ends(fronts, SCORE, "flops-live")
    assert all((np.diff(table[front]) > 0).all() for front in found)
    assert max(map(len, found)) > 2


def test_equal_scores_are_in_random_order(fronts):
    """Else a front had the cheapest one of them only, and the cost chose, not the score."""
    table = cached_scores("nasbench201").query("proxy == 'flops-live'").set_index("arch")["score"]
    for cost in COSTS[0], COSTS[2]:
        counts = [table[front].tolist() for front in ends(fronts, "flops-live", cost)]
        assert all(one == sorted(one) for one in counts)
        assert any(len(set(one)) < len(one) for one in counts)


def test_what_is_lost_is_that_of_the_slow_form(inputs, fronts, accuracy):
    table, levels = inputs.table("devices"), inputs.table("device_levels")
    final = table[table["evaluations"] == 60]
    for by in (COSTS[1], "flops-live"):
        cost = values_of(COSTS[1])
        best, limits = slow_front(cost, accuracy), slow_limits(cost, accuracy)
        right = np.array([slow_answer(best, cost, accuracy, limit) for limit in limits])
        found = np.array(
            [
                [slow_answer(front, cost, accuracy, limit) for limit in limits]
                for front in ends(fronts, SCORE, by)
            ]
        )
        key = f"cost == '{COSTS[1]}' and score == '{SCORE}' and by == '{by}' "
        row = final.query(key + "and algorithm == 'nsga2'").iloc[0]
        assert row["lost"] == pytest.approx((right - found).mean())
        assert (row["front"], row["runs"]) == (len(best), 2)
        own = levels.query(key + "and algorithm == 'nsga2'")
        assert own["limit"].tolist() == limits
        assert own["best"].tolist() == pytest.approx(right.tolist())
        assert own["accuracy"].tolist() == pytest.approx(found.mean(axis=0).tolist())
    mean = levels[levels["cost"].str.startswith("latency") & (levels["by"] == levels["cost"])]
    mean = mean.groupby(["score", "algorithm", "level"])["accuracy"].mean()
    every = levels[(levels["cost"] == "every latency") & (levels["by"] == "")]
    every = every.set_index(["score", "algorithm", "level"])["accuracy"]
    pd.testing.assert_series_equal(every.sort_index(), mean.sort_index())
    every = final[final["cost"] == "every latency"].query(f"score == '{SCORE}'")
    for by, algorithm in (("", "nsga2"), ("", "random"), ("flops-live", "nsga2")):
        own = final.query(f"score == '{SCORE}' and algorithm == '{algorithm}'")
        seen = own["by"] == (by or own["cost"])
        mean = own[own["cost"].str.startswith("latency") & seen]["lost"].mean()
        row = every[(every["by"] == by) & (every["algorithm"] == algorithm)]
        assert row["lost"].tolist() == pytest.approx([mean])


def test_points_are_the_median_and_95_percent_of_the_runs(inputs, fronts, accuracy):
    cost = values_of(COSTS[0])
    limits = [cost[cell] for cell in slow_front(cost, accuracy)]
    method = f"cost == '{COSTS[0]}' and score == '{SCORE}' and algorithm == 'nsga2'"
    own = inputs.table("device_points").query(method)
    assert own["limit"].tolist() == limits
    answers = [
        sorted(slow_answer(front, cost, accuracy, limit) for front in ends(fronts, SCORE, COSTS[0]))
        for limit in limits
    ]
    for name, part in (("accuracy_low", 0.025), ("accuracy", 0.5), ("accuracy_high", 0.975)):
        slow = [low + part * (high - low) for low, high in answers]
        assert own[name].tolist() == pytest.approx(slow)
    assert any(low < high for low, high in answers)


def test_hypervolumes_are_those_of_rectangles(inputs, fronts, accuracy):
    cost = values_of(COSTS[0])

    def area(cells):
        kept = slow_front(np.array([cost[cell] for cell in cells]), accuracy[list(cells)])
        points = [(cost[cells[place]], accuracy[cells[place]]) for place in kept]
        ends = [x for x, _ in points[1:]] + [np.nanmax(cost)]
        return sum((end - x) * (y - CHANCE) for (x, y), end in zip(points, ends, strict=True))

    whole = area(list(range(len(accuracy))))
    shares = [area(front) / whole for front in ends(fronts, "flops-live", COSTS[0])]
    table = inputs.table("device_hypervolumes")
    row = table.query(f"cost == '{COSTS[0]}' and score == 'flops-live'")
    assert row["hypervolume"].tolist() == pytest.approx([np.mean(shares)])


def test_a_front_that_was_found_for_another_device(inputs, fronts, accuracy):
    table = inputs.table("device_transfer")
    cost, other = values_of(COSTS[0]), values_of(COSTS[1])
    limits = slow_limits(cost, accuracy)

    def answers(by):
        return [
            np.mean([slow_answer(front, cost, accuracy, limit) for limit in limits])
            for front in ends(fronts, SCORE, by)
        ]

    row = table.query(f"cost == '{COSTS[0]}' and by == '{COSTS[1]}'").iloc[0]
    assert row["more"] == pytest.approx(np.mean(answers(COSTS[0])) - np.mean(answers(COSTS[1])))
    middle = [
        np.mean(
            [slow_answer(front, cost, accuracy, limits[2]) for front in ends(fronts, SCORE, by)]
        )
        for by in COSTS[:2]
    ]
    assert row["middle"] == pytest.approx(middle[0] - middle[1])
    pairs = np.array(answers(COSTS[0])) - answers(COSTS[1])  # of runs of one number
    assert pairs[0] != pairs[1]
    assert row[["more_low", "more_high"]].tolist() == pytest.approx(
        list(map(float, mean_interval(pairs, **OPTIONS)))
    )
    assert row["lost"] - row["own"] == pytest.approx(row["more"])
    assert row["tau"] == pytest.approx(kendalltau(cost, other, nan_policy="omit")[0])
    assert len(table) == len(COSTS) * len(COSTS)  # the other costs, and FLOPs


def test_the_page_says_what_was_found(inputs):
    made = section("devices")
    first, second = made.sentences(inputs)
    assert re.search(r"the label-free search found, in \d+ s of scoring 60 cells, one with", first)
    assert "the best possible at that" in first
    assert "mean over 2 devices: log(" in second
    metrics = made.metrics(inputs)
    assert len(metrics) == 5
    for table in made.tables:
        if table.layout is not None:
            frame = inputs.table(table.name)
            layout = table.layout(frame, "nasbench201")
            assert layout.notna().all(axis=None)
            assert len(layout) > 0
    for figure in made.figures:
        drawn = figure.draw(inputs, {})
        assert len(drawn.axes) >= 2


def test_without_costs_or_scores_a_space_has_no_such_section():
    class Measured:
        devices, scores = "there", "there"

    applies = section("devices").applies
    assert applies(Measured, {"devices": {"costs": "all"}})
    assert not applies(Measured, {"devices": {"costs": []}})
    Measured.scores = None
    assert not applies(Measured, {"devices": {"costs": "all"}})


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        (["naswot"], "no cost on a device"),
        (["parameters"], "no cost on a device"),
        (["max(latency[raspi4])"], "no cost on a device"),
        (["latency[raspi4]", "latency[raspi4]"], "name it once"),
        (["energy[raspi4]"], "latency"),
    ],
)
def test_wrong_costs_are_one_line(costs, said):
    with pytest.raises(UntrainedError, match=r"^[^\n]+$") as caught:
        costs_of(get_space("nasbench201"), "cifar10", costs)
    assert said in str(caught.value)


def test_all_costs_are_latencies_then_energies():
    found = pd.Series(costs_of(get_space("nasbench201"), "cifar10"))
    assert found.str.startswith("latency").sum() == 29
    assert found.tolist()[-1] == "energy[fpga]"


def test_all_costs_are_those_of_networks_of_the_data_set(tmp_path):
    """A published table has devices without values of CIFAR-10's networks."""
    rows = [("here", one) for one in ("cifar100", "ninapro")]
    rows += [("there", one) for one in ("cifar10", "cifar100")] + [("anywhere", "cifar")]
    table = pd.DataFrame(rows, columns=["device", "dataset"]).assign(arch=5, metric="latency")
    write_parquet(table.assign(value=2.0), tmp_path / "own.parquet")
    space = get_space("nasbench201")
    own = {
        dataset: set(costs_of(space, dataset, (), tmp_path / "own.parquet"))
        for dataset in ("cifar10", "cifar100")
    }
    assert own["cifar10"] - set(costs_of(space, "cifar10")) == {
        "latency[there]",
        "latency[anywhere]",
    }
    assert own["cifar100"] - own["cifar10"] == {"latency[here]"}
    write_parquet(table.assign(value=2.0)[:2], tmp_path / "few.parquet")
    with pytest.raises(UntrainedError, match="no cost on a device is known of networks of cifar10"):
        costs_of(get_space("natsbench_size"), "cifar10", (), tmp_path / "few.parquet")

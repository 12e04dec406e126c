import re

import numpy as np
import pytest
from tests.report import SPLITS

from untrained.errors import ParameterError, PluginError, UnknownNameError, UntrainedError
from untrained.report.published import PAPER, published
from untrained.search import ALGORITHMS, Search, parse_algorithm
from untrained.search.pool import Pool, draw
from untrained.search.spelling import Guidance
from untrained.seeds import numpy_generator

from . import third_party

SIZE = 15_625


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((1, SIZE))
    scores[rng.random(scores.shape) < 0.3] = np.nan
    accuracies = {name: 100 * rng.random(SIZE) for name in ("b/test", "a/test")}
    return Pool(rng.permutation(SIZE), scores, accuracies, 0.25)


def final(trace):
    return trace[trace["is_final"]].reset_index(drop=True)


@pytest.mark.parametrize("samples", [1, 10, 1000])
def test_naswot_picks_the_best_scored_of_each_sample(pool, samples):
    trace = final(ALGORITHMS.load("naswot")()(pool, samples, 500, 7))
    drawn = draw(SIZE, samples, 500, numpy_generator(7, "naswot search"))
    assert trace["run"].tolist() == list(range(500))
    for run, arch in trace[["run", "arch"]].itertuples(index=False):
        scores = pool.scores[0, drawn[run]]
        best = 0 if np.isnan(scores).all() else np.nanargmax(scores)
        assert arch == pool.architectures[drawn[run, best]]
    assert (trace["simulated_seconds"] == 0.25 * samples).all()
    assert (trace["step"] == samples).all()
    assert (trace["target"] == "").all()


def test_runs_take_the_seeds_in_turn(pool):
    # each seed scores in another magnitude, so the fitness tells which one a run saw
    scores = np.stack([seed * 100 + np.linspace(0, 1, SIZE) for seed in range(3)])
    trace = final(ALGORITHMS.load("naswot")()(Pool(pool.architectures, scores, {}, 0.0), 5, 7, 0))
    assert (trace["fitness"] // 100).tolist() == [0, 1, 2, 0, 1, 2, 0]


def test_optimal_picks_the_most_accurate_per_column(pool):
    trace = final(ALGORITHMS.load("optimal")()(pool, 20, 100, 7))
    drawn = draw(SIZE, 20, 100, numpy_generator(7, "optimal"))
    assert trace.groupby("target").size().to_dict() == {"a/test": 100, "b/test": 100}
    for run, target, arch in trace[["run", "target", "arch"]].itertuples(index=False):
        best = drawn[run, pool.accuracies[target][drawn[run]].argmax()]
        assert arch == pool.architectures[best]
    assert (trace["simulated_seconds"] == 0).all()


def test_random_keeps_the_first_and_pays_nothing(pool):
    trace = final(ALGORITHMS.load("random")()(pool, 10, 300, 7))
    drawn = draw(SIZE, 10, 300, numpy_generator(7, "random choice"))
    assert trace["arch"].tolist() == pool.architectures[drawn[:, 0]].tolist()
    assert (trace["simulated_seconds"] == 0).all()


@pytest.mark.parametrize("name", ["naswot", "optimal", "random"])
def test_a_search_depends_on_its_seed_alone(pool, name):
    search = ALGORITHMS.load(name)()
    first = search(pool, 10, 20, 0)
    np.random.seed(5)  # noqa: NPY002 - the global state must not matter
    assert search(pool, 10, 20, 0).equals(first)
    assert not search(pool, 10, 20, 1).equals(first)


@pytest.mark.parametrize("samples", [10, 100])
def test_optimal_reaches_the_published_accuracies(benchmark_table, samples):
    accuracies = {
        "/".join(column): benchmark_table.accuracies(*column) for column in SPLITS.values()
    }
    pool = Pool(np.arange(SIZE), np.zeros((1, SIZE)), accuracies, 0.0)
    trace = final(ALGORITHMS.load("optimal")()(pool, samples, 500, 0))
    known = published("searches")
    known = known[(known["method"] == f"Optimal N={samples}") & (known["source"] == PAPER)]
    known = known[known["space"] == "nasbench201"].set_index(["dataset", "split"])
    assert len(known) == 6
    for cell, column in SPLITS.items():
        own = trace[trace["target"] == "/".join(column)]
        reached = accuracies["/".join(column)][own["arch"]]
        printed = known.loc[cell]
        error = np.sqrt((reached.var(ddof=1) + printed["std"] ** 2) / 500)
        assert abs(reached.mean() - printed["mean"]) < 3 * error, (cell, reached.mean())


def test_random_architectures_are_as_accurate_as_published(benchmark_table):
    pool = Pool(np.arange(SIZE), np.zeros((1, SIZE)), {}, 0.0)
    chosen = final(ALGORITHMS.load("random")()(pool, 1, 500, 0))["arch"]
    known = published("searches")
    known = known[(known["method"] == "Random") & (known["source"] == PAPER)]
    known = known[known["space"] == "nasbench201"].set_index(["dataset", "split"])
    for cell, column in SPLITS.items():
        reached = benchmark_table.accuracies(*column)[chosen]
        printed = known.loc[cell]
        error = np.sqrt((reached.var(ddof=1) + printed["std"] ** 2) / 500)
        assert abs(reached.mean() - printed["mean"]) < 3 * error, cell


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("random", ("random", 1)),
        ("naswot-1000", ("naswot", 1000)),
        ("optimal-1", ("optimal", 1)),
    ],
)
def test_algorithms_are_spelled_with_their_samples(spelling, expected):
    name, samples = expected
    assert parse_algorithm(spelling) == Search(ALGORITHMS.load(name)(), samples)


def test_settings_follow_the_name():
    rea, area, rs = (ALGORITHMS.load(name) for name in ("rea", "area", "rs"))
    assert parse_algorithm("rs") == Search(rs())
    assert parse_algorithm("rea+sample=5+init=naswot-released+replacement=false+kept=2") == (
        Search(rea(sample=5, replacement=False), guidance=Guidance("naswot-released", kept=2))
    )
    assert parse_algorithm("area+scored=50+mutants=4") == Search(
        area(), guidance=Guidance(scored=50, mutants=4)
    )


@pytest.mark.parametrize(
    ("spelling", "drawn", "proxy"),
    [
        ("rs", 0, None),
        ("rs+init=naswot-released", 20, "naswot-released"),
        ("rs+init=random", 0, None),
        ("area", 20, "own"),
        ("area+scored=40", 40, "own"),
        ("area+init=random", 0, None),
        ("area+init=naswot", 20, "naswot"),
        ("rea+mutants=4", 0, "own"),
        ("naswot-10", 10, "own"),
        ("optimal-10", 10, None),
    ],
)
def test_what_is_read_and_drawn(spelling, drawn, proxy):
    asked = parse_algorithm(spelling)
    assert (asked.drawn, asked.proxy_of("own")) == (drawn, proxy)


@pytest.mark.parametrize(
    ("spelling", "reads", "guides", "among_scored"),
    [
        ("rs", [], None, False),
        ("rs+fitness=lga@1", ["lga@1"], None, True),
        ("rea+pool=lga@1", ["lga@1"], None, True),
        ("bohb+fitness=naswot+pool=lga@1", ["naswot", "lga@1"], None, True),
        ("area+fitness=lga@1", ["lga@1", "own"], "own", True),
        ("area+pool=lga@1+init=naswot", ["lga@1", "naswot"], "naswot", True),
        ("rea+fitness=naswot+init=naswot", ["naswot"], "naswot", True),
        ("area", ["own"], "own", False),
    ],
)
def test_what_fitness_and_pool_read(spelling, reads, guides, among_scored):
    asked = parse_algorithm(spelling)
    assert (asked.reads("own"), asked.proxy_of("own")) == (reads, guides)
    assert asked.moves_among_scored == among_scored
    assert parse_algorithm("naswot-3").reads("own") == ["own"]
    assert parse_algorithm("random").reads("own") == []


@pytest.mark.parametrize(
    ("spelling", "said"),
    [
        ("rea+sample=0", "sample=0: 1 to 100000"),
        ("rea+population=99999999999", "population=99999999999: 1 to 1000000"),
        ("bohb+good_fraction=1", "good_fraction=1.0: 0 to below 0.99"),
        ("bohb+min_share=1e-12", "min_share=1e-12: 0.000001 to 1"),
        ("bohb+min_bandwidth=inf", "min_bandwidth=inf: above 0, finite"),
        ("reinforce+learning_rate=inf", "learning_rate=inf: above 0, to 1e6"),
        ("reinforce+initial_spread=inf", "initial_spread=inf: 0 to 1e6"),
        ("rea+", "setting '' of RegularisedEvolution: known: population=..., sample=..."),
        (
            "rea+smple=3",
            "replacement=..., fitness=..., init=..., kept=..., mutants=..., pool=..., scored=...$",
        ),
        ("rea+init=nawsot", "did you mean 'naswot'"),
        ("rea+init", "setting 'init' of Guidance"),
        ("rea+init=", "setting 'init=' of Guidance"),
        ("rea+kept=5", "no proxy picks the start, as in rea.init=naswot"),
        ("area+init=random+scored=30", "no proxy picks the start"),
        ("area+scored=4+kept=5", "kept=5 of scored=4: 1 to scored"),
        ("area+scored=0", "kept=10 of scored=0"),
        ("rea+fitness=lgaa@1", "did you mean 'lga'"),
        ("rea+fitness=lga@x", "'x' is no number of epochs"),
        ("rea+fitness=", "setting 'fitness=' of Guidance"),
        ("rea+pool=scored", "unknown proxy 'scored'"),
        ("bohb+charge=proportional+fitness=lga@1", "a score has no shorter trainings"),
        ("naswot-4+fitness=lga@1", "setting 'fitness=lga@1' of Naswot: known: it has none"),
        ("rea+mutants=0", "mutants=0: 1 to 10000"),
        ("rea+population=5+population=6", "setting population of RegularisedEvolution is there tw"),
        ("rea+kept=5+init=lga+kept=5", "setting kept of Guidance is there twice: keep one"),
        ("rea+mutants=x", "mutants=x: an integer"),
        ("rs+mutants=2", r"'rs\+mutants=2': rs never mutates an architecture"),
        ("reinforce+mutants=2", "reinforce never mutates an architecture"),
        ("bohb+mutants=2", "bohb never mutates an architecture"),
        ("naswot+mutants=2", "setting 'mutants=2' of Naswot: known: it has none"),
    ],
)
def test_settings_that_there_are_not(spelling, said):
    with pytest.raises(UntrainedError, match=said):
        parse_algorithm(spelling)


def test_a_start_at_random_is_the_same_search_where_it_is_the_default():
    assert parse_algorithm("local+init=random") == parse_algorithm("local")
    assert parse_algorithm("area+init=random") != parse_algorithm("area")


@pytest.mark.parametrize("spelling", ["naswot-", "naswot-0", "naswot--5", "naswot-1.5", "naswot-x"])
def test_samples_are_a_positive_integer(spelling):
    message = f"^'{spelling}': samples are a positive integer up to 1000000, as in naswot-100$"
    with pytest.raises(ParameterError, match=message):
        parse_algorithm(spelling)


def test_what_spends_a_budget_takes_no_samples():
    with pytest.raises(
        ParameterError, match=r"^'rea-10': rea spends a budget, it takes no samples$"
    ):
        parse_algorithm("rea-10")


@pytest.mark.parametrize("spelling", ["naswott-10", "", "Random"])
def test_an_unknown_algorithm_is_named(spelling):
    with pytest.raises(UnknownNameError, match=r"^unknown search algorithm "):
        parse_algorithm(spelling)


@pytest.mark.parametrize("name", ALGORITHMS.names())
def test_an_algorithm_describes_itself(name):
    kind = ALGORITHMS.load(name)
    assert kind.name == name
    assert kind.label[0].isupper()
    assert 20 < len(kind.summary) < 80
    # what reads scores by itself picks from a sample, what asks for mutants spends a budget
    assert not (kind.reads_scores and kind.spends_budget)
    assert not (kind.mutates and not kind.spends_budget)


HERE = "tests.search.third_party"


def test_an_address_is_spelled_like_a_name():
    asked = parse_algorithm(f"{HERE}:WorstScored-100+offset=2")
    assert (asked.drawn, asked.spends_budget, asked.algorithm.offset) == (100, False, 2)
    assert asked.reads("own") == ["own"]
    asked = parse_algorithm(f"{HERE}:FirstCells+first=7+init=naswot")
    assert (asked.drawn, asked.spends_budget, asked.algorithm.first) == (20, True, 7)
    assert asked.reads("own") == ["naswot"]


@pytest.mark.parametrize(
    ("spelling", "said"),
    [
        (
            f"{HERE}:WorstScored-0",
            "samples are a positive integer up to 1000000, as in tests.search.third_",
        ),
        (f"{HERE}:FirstCells-5", "spends a budget, it takes no samples"),
        (f"{HERE}:FirstCells+mutants=2", "never mutates an architecture"),
        (f"{HERE}:Nameless", "is no search algorithm: it lacks name, label, summary; add"),
        (f"{HERE}:Foreign", "is no search algorithm: make it a class derived from SampledSearch"),
        (f"{HERE}:WorstScore", "did you mean 'WorstScored'"),
        ("tests.search.none:It", "there is no module tests.search.none"),
    ],
)
def test_what_is_no_algorithm_of_a_package_is_named(spelling, said):
    with pytest.raises(UntrainedError, match=re.escape(said)):
        parse_algorithm(spelling)


def test_a_pool_without_scores_gives_none(pool):
    unscored = Pool(pool.architectures, None, pool.accuracies, 0.0)
    with pytest.raises(PluginError, match="declares `reads_scores = False`: declare it True"):
        third_party.Secretive()(unscored, 5, 5, 0)
    assert unscored.within(pool.architectures[:9]).cached_scores is None

"""What can be imported from `untrained` itself, and the spaces of one's own that it takes."""

import ast
import doctest
import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest
from torch import nn

import untrained
from untrained import (
    Live,
    SearchSpace,
    benchmark,
    get_space,
    list_algorithms,
    list_proxies,
    rank,
    run_search,
    score,
    score_seeds,
    score_space,
    spaces,
    training_curves,
)
from untrained.errors import ArchitectureError, MissingDataError, ParameterError, PluginError

SOURCE = Path(untrained.__file__).read_text()


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch):
    """Spaces that a test gives are unknown to the next one."""
    monkeypatch.setattr(spaces, "_GIVEN", {})


class Widths(SearchSpace):
    """Networks of one convolution."""

    name = "widths"
    summary = "one convolution of 1 to 4 channels (4 networks)"

    def __len__(self):
        return 4

    def spelling(self, index):
        return f"w{index + 1}"

    def mutate(self, architecture, rng):
        return self[(architecture.index + int(rng.integers(1, 4))) % 4]

    def network(self, architecture, num_classes, skeleton=None):
        self.refuse_skeleton(skeleton)
        width = architecture.index + 1
        return nn.Sequential(
            nn.Conv2d(3, width, 3, stride=8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(width, num_classes),
        )


@pytest.mark.parametrize("name", untrained.__all__)
def test_every_name_is_documented(name):
    found = getattr(untrained, name)
    assert found.__name__ == name
    first = inspect.getdoc(found).splitlines()[0]
    assert first.endswith(".")
    assert len(first.split()) > 3


def test_no_name_is_that_of_a_module():
    """The import of a module would put the module in the place of the function."""
    modules = {one.name for one in pkgutil.iter_modules(untrained.__path__)}
    assert not modules & set(untrained.__all__)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(SOURCE)
    (block,) = [one for one in tree.body if isinstance(one, ast.If)]
    seen = {name.asname: one.module for one in block.body for name in one.names}
    assert seen == untrained._MODULES
    assert dir(untrained) == sorted([*untrained.__all__, "__version__"])
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        untrained.nothing  # noqa: B018


@pytest.mark.parametrize(
    "module",
    [
        *("benchmarks.benchmark", "benchmarks.devices", "catalogue", "scoring.constraints"),
        *("scoring.measuring", "scoring.quantities", "search.run"),
    ],
)
def test_the_examples_run(module):
    found = doctest.testmod(import_module(f"untrained.{module}"), raise_on_error=False)
    assert found.attempted
    assert not found.failed


def test_a_table_has_a_row_for_what_cannot_be_loaded(monkeypatch):
    from untrained.proxies import PROXIES

    monkeypatch.setitem(PROXIES.builtin, "broken", "untrained.proxies.naswot:Nothing")
    table = list_proxies("[bn]*").set_index("name")
    assert table.loc["naswot", "variants"][:2] == ("corrected", "released")
    assert table.loc["broken", "measures"].startswith("can't be used: proxy 'untrained.proxies.")
    assert table.loc["broken", "origin"] == "built in"
    assert table.loc["broken"].drop(["measures", "origin"]).isna().all()
    assert list(list_proxies("nothing*")) == [*table.reset_index()]


def test_tables_say_what_is_needed_and_what_can_be_set():
    needs = list_proxies().set_index("name")["needs"]
    assert needs["grad_norm"] == ("gradients", "labels", "loss")
    assert needs["naswot"] == ()
    settings = list_algorithms().set_index("name")["settings"]
    assert settings["rea"] == {"population": 10, "sample": 3, "replacement": True}
    assert settings["rs"] == {}


@pytest.mark.parametrize("algorithm", ["rs+fitness=parameters", "rea+fitness=parameters"])
def test_a_space_of_ones_own_is_searched_as_it_is(algorithm):
    live = Live(batch_size=2)
    found = run_search(algorithm, Widths(), budget="30evaluations", live=live)
    assert found.architecture.spelling == "w4"
    assert found.fitness == 4 * 27 + 4 + 4 * 10 + 10
    assert found.accuracies == {}


def test_a_space_that_was_given_is_known_by_its_name():
    space = Widths()
    table = score_space(space, ["parameters"], batch_size=2)
    assert list(table["score"]) == [28.0 * width + 10 + 10 * width for width in range(1, 5)]
    assert get_space("widths") is space
    other = Widths()
    assert get_space(other) is get_space("widths") is other
    curves = training_curves(space, ["w2"], epochs=[0], proxies=["parameters"], batch_size=2,
                             kernel="weights_train")  # fmt: skip
    assert curves["value"].iloc[-1] == 28 * 2 + 10 + 10 * 2


def test_what_a_space_was_made_with_is_a_part_of_a_ledgers_key(tmp_path):
    class Sized(Widths):
        name = "sized"

        def __init__(self, factor):
            self.factor = factor

        def network(self, architecture, num_classes, skeleton=None):
            return nn.Linear(self.factor, architecture.index + 1)  # never run

    ledger = tmp_path / "ledger.sqlite"

    def scored(factor):
        space = Sized(factor)
        len(space), space.representatives  # what is cached makes no difference
        table = score_space(space, ["parameters"], batch_size=2, ledger=ledger)
        return table["score"].tolist()

    thin = scored(2)
    assert scored(3) != thin
    assert scored(2) == thin


def test_what_is_no_space_or_has_a_taken_name_is_refused():
    class Taken(Widths):
        name = "darts"

    class Half(SearchSpace):
        name = "half"
        __len__, spelling, network = Widths.__len__, Widths.spelling, Widths.network

    with pytest.raises(PluginError, match=r"Taken calls itself 'darts', a space that is built in"):
        get_space(Taken())
    with pytest.raises(PluginError, match=r"Half is no space: it lacks summary; add"):
        get_space(Half())
    with pytest.raises(PluginError, match=r"^Widths is a class: give a space, as Widths\(\) makes"):
        get_space(Widths)
    for name in ("darts", "nds_darts"):  # of which one is too large to list, one was not fetched
        given = get_space(name)
        assert get_space(given) is get_space(name) is given


@pytest.mark.parametrize("algorithm", ["random", "rs", "rs+fitness=naswot", "naswot-2"])
def test_without_a_benchmark_a_search_says_how_it_is_searched(algorithm):
    said = "^widths has no benchmark to look trainings up in: search it live, by a proxy: .*Live"
    with pytest.raises(ParameterError, match=said):
        run_search(algorithm, Widths())
    with pytest.raises(MissingDataError, match=r"^widths has no benchmark: the accuracies"):
        benchmark(Widths())


def test_accuracies_are_a_table_of_architectures_and_data_sets(benchmark_table):
    whole = benchmark_table.accuracy()
    assert whole.shape == (15625, 6)
    assert list(whole) == ["/".join(pair) for pair in benchmark_table.finals]
    for column in whole:
        assert (whole[column] == benchmark_table.accuracies(*column.split("/"))).all()
    spelling = get_space("nasbench201")[5].spelling
    few = benchmark_table.accuracy([1462, spelling], dataset="cifar10-valid", epochs=12, seed="777")
    assert (few.index.name, list(few.index), list(few)) == (
        *("arch", [1462, 5], ["cifar10-valid/x-valid"]),
    )
    short = benchmark_table.accuracies("cifar10-valid", "x-valid", 12, "777")
    assert list(few.iloc[:, 0]) == [short[1462], short[5]]
    assert list(benchmark_table.accuracy(7, split="ori-test")) == ["cifar10/ori-test"]
    assert benchmark_table.accuracy(7).shape == (1, 6)


def test_accuracies_that_are_not_there_are_refused(benchmark_table):
    with pytest.raises(
        MissingDataError, match=r"no accuracy for \*/test/200/mean in nasbench201: th"
    ):
        benchmark_table.accuracy(split="test")
    with pytest.raises(ArchitectureError, match="index 15625 is not in nasbench201"):
        benchmark_table.accuracy(15625)


@pytest.mark.parametrize(("name", "least"), [("python", 20), ("devices", 3)])
def test_the_examples_of_the_page_run(name, least):
    page = Path(untrained.__file__).parents[2] / "docs" / f"{name}.md"
    examples = doctest.DocTestParser().get_doctest(page.read_text(), {}, page.name, str(page), 0)
    assert len(examples.examples) > least
    told = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(examples, out=told.append)
    assert not runner.failures, "".join(told)


def test_a_space_of_ones_own_is_scored_and_ranked_as_it_is():
    how = {"batch_size": 2}
    assert score(Widths(), "w2", proxy="parameters", **how).score == 86
    (seeds,) = score_seeds(Widths(), ["w2"], proxies=["parameters"], seeds=[0, 1], **how)
    assert (seeds.mean, seeds.std) == (86, 0)
    ranked = rank([(Widths(), "w2"), (Widths(), 3)], "parameters", seeds=1, **how)
    assert dict(zip(ranked["candidate"], ranked["score"], strict=True)) == {
        "widths/3": 162, "widths/w2": 86
    }  # fmt: skip
    with pytest.raises(ParameterError, match=r"which architecture of widths\?"):
        score(Widths())

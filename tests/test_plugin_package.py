"""A package of one's own adds an entry of each kind, and everything works with them.

`tests/plugin_package` is such a package: it is installed here as a user would install it, and no
file of the project knows its names.
"""

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from cli.conftest import command
from test_pipeline import with_changes, workflow
from untrained.benchmarks import Benchmark
from untrained.errors import ParameterError
from untrained.images.minibatches import minibatch
from untrained.images.sets import image_set
from untrained.parameters import parse_parameters
from untrained.plugins import is_address
from untrained.spaces import get_space, load_space

PACKAGE = Path(__file__).with_name("plugin_package")
#: kind of `untrained list` to the names that the package adds
NAMES = {
    "proxies": ["logit_spread"],
    "algorithms": ["second", "sweep"],
    "spaces": ["triples"],
    "datasets": ["stripes", "waves"],
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which the package is installed, that may be changed."""
    source = shutil.copytree(PACKAGE, tmp_path_factory.mktemp("source") / "package")
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    done = subprocess.run([*pip, *alone, str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def installed(site):
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(site)
        yield site
    # other tests know nothing of it
    for name in [name for name in sys.modules if name.startswith("untrained_example")]:
        del sys.modules[name]
    load_space.cache_clear()


@pytest.fixture(scope="module")
def folder(installed, tmp_path_factory):
    """A working folder with the fetched table and all scores of a proxy."""
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(tmp_path_factory.mktemp("folder"))
        assert command("fetch", "triples") == (
            0,
            "",
            "data/benchmarks/triples.parquet\ntriples: the table is invented\n",
        )
        out = Path("results/scores/triples/part.parquet")
        assert command("fetch", "stripes")[0] == 0
        images = ["--dataset", "stripes", "--split", "train", "--batch-size", "8"]
        settings = [*images, "--seed", "0", "--out", out]
        code, _, err = command("shard", "triples", "--proxy", "logit_spread", *settings)
        assert code == 0, err
        code, _, err = command("merge", out, "--out", "results/scores/triples.parquet")
        assert code == 0, err
        yield Path.cwd()


@pytest.mark.parametrize("kind", NAMES)
def test_it_is_listed(installed, kind):
    _, *listed = command("list", kind)[1].partition("\n\n")[0].splitlines()
    lines = [line for line in listed if "built in" not in line and not line.startswith(" ")]
    assert [line.split()[0] for line in lines] == NAMES[kind]
    assert all(line.endswith("  untrained-example") for line in lines)
    assert all(len(line.split()) > 3 for line in lines)


def test_what_it_says_of_itself_is_listed(installed):
    head, line, *facts = command("list", "proxies", "logit*", "--long")[1].splitlines()
    assert re.split(" {2,}", head) == ["name", "measures", "direction", "needs", "cost", "origin"]
    assert re.split(" {2,}", line)[2:] == ["higher", "none", "forward", "untrained-example"]
    assert [re.split(" {2,}", fact.strip()) for fact in facts] == [
        ["variants", "default"],
        ["applies to", "any network"],
        ["source", "none"],
        ["unit", "logits"],
        ["label", "Spread of logits"],
        ["published", "logit_spread"],
    ]
    assert "Triples of layers" in command("list", "spaces", "triples", "--long")[1]


def test_networks_are_scored(folder):
    """By the command line and by the API, with each part from the package or from the project."""
    from untrained import score

    code, out, err = command(
        *("score", "triples", "conv1:skip:conv3", "--proxy", "logit_spread"),
        *("--dataset", "waves", "--batch-size", "8"),
    )
    assert code == 0, err
    assert out.startswith("7  conv1:skip:conv3\n")
    assert "stripes/ori-test, 20 epochs" in out
    assert score("triples", 7, proxy="naswot", batch_size=8).status == "ok"
    found = score("nasbench201", 1462, proxy="logit_spread", batch_size=8)
    assert found.status == "ok"
    assert found.score > 0


def test_scores_are_read_of_the_whole_space(folder):
    scores = pd.read_parquet("results/scores/triples.parquet")
    assert sorted(scores["arch"]) == list(range(27))
    assert set(scores["proxy"]) == {"logit_spread"}
    assert scores["score"].notna().all()


@pytest.mark.parametrize(
    "arguments",
    [
        ("second-5", "--proxy", "logit_spread"),
        ("sweep+stride=2", "--budget", "60s"),
        ("sweep+init=logit_spread+scored=8+kept=2", "--budget", "5evaluations"),
        ("rea+population=4+sample=2", "--budget", "60s"),
        ("reinforce", "--budget", "20s"),
        ("rea+mutants=2+population=4+sample=2", "--budget", "60s", "--proxy", "logit_spread"),
        ("naswot-5", "--proxy", "logit_spread"),
        ("random",),
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_the_space_is_searched(folder, tmp_path, arguments):
    out = tmp_path / "trace.parquet"
    code, said, err = command(
        *("search", arguments[0], "triples", "--dataset", "stripes", *arguments[1:]),
        *("--runs", "6", "--out", out),
    )
    assert code == 0, err
    trace = pd.read_parquet(out)
    final = trace[trace["is_final"]]
    assert final["run"].nunique() == 6
    assert final["arch"].between(0, 26).all()
    assert said


def test_searches_see_the_short_training(folder):
    from untrained.search.clock import seen_in_searches

    assert seen_in_searches(Benchmark.load("triples"), "stripes") == (
        *("stripes", "x-valid", 5, "777"),
    )


def test_a_search_without_its_scores_is_refused(folder):
    """It neither picks from zeros nor from the scores of another proxy."""
    search = ("search", "second-5", "triples", "--dataset", "stripes")
    code, out, err = command(*search, "--proxy", "parameters")
    assert (code, out) == (2, "")
    assert err.startswith("untrained: no cached scores of parameters on stripes: add them")
    assert err.count("\n") == 1
    missing = command(*search, "--scores", "none.parquet")
    assert missing[0] == 2
    assert missing[2].startswith("untrained: none.parquet does not exist")


def test_its_images_are_drawn_as_others_are(installed):
    first, second = (minibatch("waves", "sample", 3, size) for size in (4, 4))
    assert first.images.shape == (4, 3, 12, 12)
    assert first.images.equal(second.images)
    assert not first.images.equal(minibatch("waves", "sample", 4, 4).images)
    assert command("fetch", "waves", "--split", "sample")[0] == 0


def test_entries_are_found_by_address(installed, tmp_path, monkeypatch):
    """Files have the name of an entry that has one, however it is spelled."""
    from untrained.report.inputs import TABLES, Inputs
    from untrained.search import parse_algorithm

    address = "untrained_example.space:Triples"
    assert is_address(address)
    assert get_space(address).name == "triples"
    assert Inputs(address).tables == TABLES / "triples"
    assert parse_algorithm("untrained_example.searches:SecondBest-7").samples == 7
    monkeypatch.chdir(tmp_path)
    assert command("fetch", "untrained_example.images:STRIPES")[2].endswith(": 64 train images\n")
    assert command("fetch", address)[2].endswith("triples: the table is invented\n")


def test_a_space_by_address_has_the_same_files_everywhere(installed, tmp_path, monkeypatch):
    """What the workflow makes of a space without a registered name is what commands look for."""
    source = "import untrained_example.space as example\nclass Own(example.Triples): name = 'own'\n"
    (tmp_path / "beside.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    address, images = "beside:Own", ("--dataset", "stripes", "--split", "train")
    table, scores = f"data/benchmarks/{address}.parquet", f"results/scores/{address}.parquet"
    changes = {"spaces": [address], "datasets": ["stripes"], "scores.proxies": ["logit_spread"]}
    changes |= {"searches.proxy": "logit_spread", "searches.algorithms": ["random"]}
    changes |= {"scores.architectures": "all", "training_curves.seeds": []}
    changes |= {"scores.split": "train", "scores.batch_size": 8}
    Path("params.yaml").write_text(yaml.safe_dump(with_changes(changes)))
    with workflow(tmp_path, {}, targets=("benchmarks", "scores")) as built:
        made = {str(path) for job in built.dag.jobs for path in job.output}
    assert {table, scores} <= made

    assert command("fetch", address)[2].startswith(f"{table}\n")
    assert command("fetch", "stripes")[0] == 0
    settings = [*images, "--proxy", "logit_spread", "--batch-size", "8"]
    assert command("shard", address, *settings, "--seed", "0", "--out", "part.parquet")[0] == 0
    assert command("merge", "part.parquet", "--out", scores)[0] == 0
    code, _, err = command("search", "naswot-3", address, *settings[:2], *settings[4:6])
    assert code == 0, err
    code, out, err = command("score", address, "1", *settings)
    assert code == 0, err
    assert "percentile" in out
    assert "20 epochs" in out


FAULTY = """
from dataclasses import dataclass
from typing import ClassVar

from untrained.proxies.base import BaseProxy, UndefinedScore
from untrained.search.base import BudgetedSearch
from untrained_example.space import Triples


class Base(BaseProxy):
    direction: ClassVar = "higher"
    summary: ClassVar = "fails"


class Words(Base):
    name: ClassVar = "words"

    def __call__(self, network, minibatch, generator):
        return "hello"


class Crash(Base):
    name: ClassVar = "crash"

    def __call__(self, network, minibatch, generator):
        raise ZeroDivisionError("boom\\nbang")


class Weird(Base):
    name: ClassVar = "weird"

    def __call__(self, network, minibatch, generator):
        raise UndefinedScore("weird", "why")


class Unbuilt(Triples):
    name = "unbuilt"

    def network(self, architecture, num_classes, skeleton=None):
        return 1 / 0


class Numbers(Triples):
    name = "numbers"

    def mutate(self, architecture, rng):
        return 3


class Short(Triples):
    name = "short"

    def spelling(self, index):
        return ["a:a:a"][index]


class Elsewhere(Triples):
    name = "elsewhere"
    datasets = ("stripes", "cifar01")


@dataclass(frozen=True)
class Lost(BudgetedSearch):
    name: ClassVar = "lost"
    label: ClassVar = "Lost"
    summary: ClassVar = "fails"

    def __call__(self, space, evaluate, rng, start=()):
        raise KeyError("where")
"""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("score", "nasbench201", "12", "--proxy", "faulty:Words"),
         "proxy faulty:Words failed: TypeError: it returned 'hello', which is no number"),
        (("score", "nasbench201", "12", "--proxy", "faulty:Crash"),
         "proxy faulty:Crash failed: ZeroDivisionError: boom"),
        (("shard", "triples", "--dataset", "waves", "--proxy", "faulty:Weird", "--out", "o.x"),
         "proxy faulty:Weird failed: ValueError: 'weird' is no status of an undefined score: take"),
        (("score", "faulty:Unbuilt", "1", "--dataset", "waves"),
         "space faulty:Unbuilt failed: ZeroDivisionError: division by zero"),
        (("search", "faulty:Lost", "triples", "--dataset", "stripes", "--budget", "60s"),
         "search algorithm faulty:Lost failed: KeyError: 'where'"),
        (("search", "rea+population=2", "faulty:Numbers", "--dataset", "stripes",
          "--budget", "9evaluations", "--benchmark", "data/benchmarks/triples.parquet"),
         "space faulty:Numbers failed: AttributeError: 'int' object has no attribute"),
        (("score", "faulty:Short", "1", "--dataset", "waves"),
         "space faulty:Short failed: IndexError: list index out of range"),
    ],
    ids=["words", "crash", "weird", "unbuilt", "lost", "numbers", "short"],
)  # fmt: skip
def test_what_fails_is_named_on_one_line(installed, tmp_path, monkeypatch, arguments, said):
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert command("fetch", "triples")[0] == 0
    images = [] if arguments[0] == "search" else ["--batch-size", "8", "--seed", "0"]
    code, _, err = command(*arguments, *images)
    assert code == 2, err
    last = err.splitlines()[-1]
    assert last.startswith(f"untrained: the {said}")
    assert last.endswith("(--debug shows where)")
    assert "Traceback" not in err
    monkeypatch.delitem(sys.modules, "faulty")


def test_data_sets_that_do_not_exist_are_named(installed, tmp_path, monkeypatch):
    (tmp_path / "faulty.py").write_text(FAULTY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code, _, err = command("score", "faulty:Elsewhere", "1")
    assert (code, err.count("\n")) == (2, 1)
    said = "the datasets of the space elsewhere: unknown data set 'cifar01': did you mean 'cifar10'"
    assert said in err
    monkeypatch.delitem(sys.modules, "faulty")
    parameters = with_changes({"spaces": ["triples"], "datasets": ["stripes"]})
    stands = replace(image_set("stripes"), stands_for="cifar01")
    monkeypatch.setattr("untrained.parameters.image_set", lambda name: stands)
    with pytest.raises(ParameterError, match="stripes stands for 'cifar01', on which no search sp"):
        parse_parameters(parameters)


def test_what_the_guide_shows_runs(tmp_path, monkeypatch):
    """The modules of docs/extending.md, saved as it says, and its commands."""
    guide = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
    saved = re.findall(r"Save this as `(\w+\.py)`:\n\n```python\n(.*?)```", guide, re.DOTALL)
    assert len(saved) == 3
    for name, text in saved:
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    commands = re.findall(r"^\$ untrained (.*)$", guide, re.MULTILINE)
    assert len(commands) == 4
    for line in commands:
        code, out, err = command(*shlex.split(line))
        assert code == 0, err
        assert out
    (shown,) = re.findall(r"```python\n(from my_space import .*?)```", guide, re.DOTALL)
    exec(compile(shown, "docs/extending.md", "exec"), {})

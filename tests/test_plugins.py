import re
import sys
from dataclasses import make_dataclass, replace
from types import SimpleNamespace
from typing import get_args

import pytest

from untrained.errors import PluginError, UnknownNameError
from untrained.plugins import BUILT_IN, Registry, is_address
from untrained.spaces.base import BenchmarkFacts

GROUP = "untrained.test_joins"
REGISTRY = Registry("join", GROUP, {"unix": "posixpath:join", "windows": "ntpath:join"})


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package that adds entry points; returns its folder."""

    def add(package, *entries, group=GROUP):
        info = tmp_path / f"{package.replace('-', '_')}-1.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *entries]))
        # a new path, since entry points are read once for each
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path), f"{tmp_path}/{package}"])
        return tmp_path

    return add


def test_an_entry_is_the_attribute_at_its_address():
    assert REGISTRY.load("windows")("a", "b") == "a\\b"
    assert REGISTRY.address("windows") == "ntpath:join"
    assert REGISTRY.module_of("windows") == "ntpath"


def test_names_are_sorted_and_match_a_pattern():
    assert Registry("join", GROUP, {"b": "x:y", "a": "x:y"}).names() == ["a", "b"]
    assert REGISTRY.names("*x") == ["unix"]
    assert REGISTRY.names("UNIX") == []


def test_an_unknown_name_is_named_with_its_kind():
    with pytest.raises(UnknownNameError, match=r"^unknown join 'unx': did you mean 'unix'\?"):
        REGISTRY.load("unx")


def test_an_address_is_imported_only_when_its_entry_is_asked_for():
    broken = Registry("join", GROUP, {"broken": "no_such_module:join", "unix": "posixpath:join"})
    assert broken.names() == ["broken", "unix"]
    assert broken.load("unix")("a", "b") == "a/b"
    with pytest.raises(PluginError):
        broken.load("broken")


def test_an_address_is_a_name():
    assert REGISTRY.load("posixpath:basename")("a/b") == "b"
    assert REGISTRY.module_of("posixpath:basename") == "posixpath"
    assert REGISTRY.names() == ["unix", "windows"]


@pytest.mark.parametrize("name", ["a:b", "a.b:C", "a_1.b2:_c"])
def test_addresses(name):
    assert is_address(name)


@pytest.mark.parametrize(
    "name", ["a", "lga:64", "a.b", ":b", "a:", "a..b:c", "1:b", "a:b:c", "a-b:c"]
)
def test_what_is_no_address(name):
    assert not is_address(name)


def test_files_have_one_name_however_an_entry_is_spelled(monkeypatch):
    module = SimpleNamespace(thing=SimpleNamespace(name="thing"))
    monkeypatch.setitem(sys.modules, "things", module)
    registry = Registry("join", GROUP, {"unix": "posixpath:join"})
    registry.load("things:thing")
    assert {registry.file_name(name) for name in ("unix", "posixpath:join")} == {"unix"}
    assert {registry.file_name(name) for name in ("thing", "things:thing")} == {"things:thing"}
    with pytest.raises(UnknownNameError):
        registry.file_name("other")


def test_packages_add_entries(install):
    install("more-joins", "mac = posixpath:normpath")
    assert REGISTRY.names() == ["mac", "unix", "windows"]
    assert REGISTRY.load("mac")("a//b") == "a/b"
    assert REGISTRY.origin("mac") == "more-joins"
    assert REGISTRY.origin("unix") == BUILT_IN
    assert REGISTRY.origin("posixpath:split") == "posixpath:split"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_module:x", "^join 'no_module:x': there is no module no_module: install its package"),
        ("os.no.module:x", "^join 'os.no.module:x': there is no module os.no"),
        ("posixpath:jion", r"unknown attribute of posixpath 'jion': did you mean 'join'\?"),
    ],
)
def test_what_is_not_at_an_address_is_named(name, message):
    with pytest.raises(PluginError, match=message):
        REGISTRY.load(name)


def test_a_module_that_needs_another_is_not_called_absent(tmp_path, monkeypatch):
    (tmp_path / "needy.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match="module needy needs no_such_dependency, which is not"):
        REGISTRY.load("needy:x")


def test_an_entry_that_lacks_attributes_is_refused_with_their_names():
    strict = Registry("join", GROUP, {}, ("__name__", "summary", "label"))
    with pytest.raises(PluginError, match=r"^posixpath:join is no join: it lacks summary, label;"):
        strict.load("posixpath:join")


@pytest.fixture
def things(monkeypatch):
    """The module `things` with a right entry of each kind, and what looks each kind up."""
    from untrained.images.sets import ImageSet, image_set
    from untrained.proxies import get_proxy
    from untrained.proxies.base import BaseProxy
    from untrained.search.base import BudgetedSearch
    from untrained.search.spelling import parse_algorithm
    from untrained.spaces import SearchSpace, get_space, load_space

    class Search(BudgetedSearch):
        name, label, summary = "odd", "Odd", "nothing"

        def __call__(self, space, evaluate, rng, start=()):
            evaluate(space[0])

    class Space(SearchSpace):
        name, summary = "odd", "nothing"
        network = None

        def spelling(self, index):
            return str(index)

        def __len__(self):
            return 2

    look = {"Proxy": get_proxy, "Search": parse_algorithm, "Space": get_space, "IMAGES": image_set}
    images = {"num_classes": 2, "shape": (1, 2, 3), "mean": (0.0,), "std": (1,), "splits": ("a",)}
    found = SimpleNamespace(
        Proxy=type("Proxy", (BaseProxy,), {"name": "odd", "direction": "higher", "summary": ""}),
        Search=Search,
        Space=Space,
        IMAGES=ImageSet(name="od-d", **images),
    )
    for entry in (found.Proxy, Search, Space):
        entry.__module__, entry.__qualname__ = "things", entry.__name__

    def look_up(which):
        load_space.cache_clear()
        return look[which](f"things:{which}")

    found.look_up = look_up
    monkeypatch.setitem(sys.modules, "things", found)
    yield found
    load_space.cache_clear()


KINDS = {"Proxy": "proxy", "Search": "search algorithm", "Space": "space", "IMAGES": "data set"}


@pytest.mark.parametrize(
    ("which", "attribute", "value", "right"),
    [
        ("Proxy", "direction", "sideways", "it should be 'higher' or 'lower'"),
        ("Proxy", "direction", None, "it should be 'higher' or 'lower'"),
        ("Proxy", "cost", "cheap", "it should be 'arithmetic', 'forward', 'backward' or 'per"),
        ("Proxy", "needs", "labels", "it should be a valid frozenset"),
        ("Proxy", "variants", "abc", "it should be a valid tuple"),
        ("Proxy", "label", 5, "it should be a valid string"),
        ("Search", "reads_scores", "no", "it should be a valid boolean"),
        ("Search", "label", None, "it should be a valid string"),
        ("Space", "datasets", "cifar100", "it should be a valid tuple"),
        ("Space", "ablations", "noise", "it should be a valid tuple"),
        ("Space", "benchmark", "x.parquet", "it should be an instance of BenchmarkFacts"),
        ("Space", "words", ("a", "b"), "it should be an instance of Words"),
        ("IMAGES", "splits", "sample", "it should be a valid tuple"),
        ("IMAGES", "num_classes", 0, "take 1 or more"),
        ("IMAGES", "shape", (1, 0, 3), "take three numbers of 1 or more"),
        ("IMAGES", "mean", (), "take a number for each of the 1 channels"),
        ("IMAGES", "std", (0.0,), "take a number above 0 for each of the 1 channels"),
        ("IMAGES", "splits", (), "take one or more"),
    ],
)
def test_an_attribute_with_a_wrong_value_is_refused(things, which, attribute, value, right):
    things.look_up(which)
    entry = getattr(things, which)
    if which == "IMAGES":
        things.IMAGES = replace(entry, **{attribute: value})
    else:
        setattr(entry, attribute, value)
    said = f"the {attribute} of the {KINDS[which]} things:{which} is {value!r}: {right}"
    with pytest.raises(PluginError, match=f"^{re.escape(said)}"):
        things.look_up(which)


@pytest.mark.parametrize(
    ("which", "attribute", "value", "said"),
    [
        ("Proxy", "needs", frozenset({"train"}), "the needs of the proxy things:Proxy is 'train'"),
        ("Space", "ablations", ("seeds",), "the ablations of the space things:Space is 'seeds'"),
        ("Space", "benchmark", BenchmarkFacts(bundled="x"), "the benchmark.bundled of the space"),
        ("IMAGES", "shape", (3, 3), "the shape of the data set things:IMAGES is (3, 3)"),
    ],
)
def test_a_wrong_part_of_an_attribute_is_named(things, which, attribute, value, said):
    entry = getattr(things, which)
    if which == "IMAGES":
        things.IMAGES = replace(entry, **{attribute: value})
    else:
        setattr(entry, attribute, value)
    with pytest.raises(PluginError, match=f"^{re.escape(said)}"):
        things.look_up(which)


@pytest.mark.parametrize("which", KINDS)
@pytest.mark.parametrize("name", ["", "5", "a b/c", "../../x", "a@3", "n+1", "p:q", "log-spread"])
def test_what_is_no_name_is_refused(things, install, which, name):
    entry = getattr(things, which)
    if which == "IMAGES":
        things.IMAGES = replace(entry, name=name)
        if name == "log-spread":
            assert things.look_up(which).name == name
            return
    else:
        entry.name = name
    said = f"things:{which} calls a {KINDS[which]} {name!r}: take letters, digits, underscores"
    with pytest.raises(PluginError, match=f"^{re.escape(said)}"):
        things.look_up(which)


def test_an_entry_point_that_is_no_name_is_refused(install):
    install("odd", "a-b = posixpath:join")
    with pytest.raises(PluginError, match=r"^odd calls a join 'a-b': take letters, digits, und"):
        REGISTRY.names()


@pytest.mark.parametrize(
    ("which", "entry", "said"),
    [
        ("Proxy", lambda things: things.Proxy(), "things:Proxy is Proxy(variant='default'): name"),
        ("IMAGES", lambda things: type(things.IMAGES), "things:IMAGES is no data set: it lacks"),
        ("Space", lambda things: things.Space(), "things:Space is <things.Space object at "),
    ],
)
def test_an_object_in_the_place_of_a_class_is_refused(things, which, entry, said):
    setattr(things, which, entry(things))
    with pytest.raises(PluginError, match=f"^{re.escape(said)}"):
        things.look_up(which)


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("__len__", lambda self: 4.0, "things:Space failed: TypeError: 'float' object cannot be "),
        ("__len__", lambda self: "4", "things:Space failed: TypeError: 'str' object cannot be "),
        ("__len__", lambda self: -3, "things:Space failed: ValueError: __len__() should return"),
        ("__len__", lambda self: 0, "odd has no architectures: give it one or more"),
        ("__init__", lambda self, k: None, "things:Space failed: TypeError: "),
        ("spelling", lambda self, i: 1 / 0, "things:Space failed: ZeroDivisionError: division by"),
        ("spelling", lambda self, i: i, "things:Space failed: TypeError: spelling(0) is 0, which"),
    ],
)
def test_a_space_without_architectures_is_refused(things, attribute, value, said):
    setattr(things.Space, attribute, value)
    with pytest.raises(PluginError, match=f"^the space {re.escape(said)}"):
        things.look_up("Space")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def x(:", "SyntaxError: invalid syntax (unfit.py, line 1)"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("from os import no_such", "ImportError: cannot import name 'no_such' from 'os'"),
    ],
)
def test_a_module_that_fails_is_named_on_one_line(tmp_path, monkeypatch, source, said):
    (tmp_path / "unfit.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=f"^join 'unfit:x' can't be imported: {re.escape(said)}"):
        REGISTRY.load("unfit:x")


def test_entries_of_this_package_are_as_others_must_be(monkeypatch):
    from untrained.images.sets import IMAGE_SETS
    from untrained.proxies import PROXIES
    from untrained.scoring.ablations import EXPERIMENTS
    from untrained.search.spelling import ALGORITHMS
    from untrained.spaces import SPACES
    from untrained.spaces.base import Experiment

    monkeypatch.setattr("untrained.plugins.is_foreign", lambda address: True)
    for registry in (IMAGE_SETS, PROXIES, ALGORITHMS, SPACES):
        for name in registry.builtin:
            registry.load(name)
    assert set(EXPERIMENTS) == set(get_args(Experiment))


def test_a_class_that_lacks_methods_is_refused_with_their_names(monkeypatch):
    from untrained.spaces import SPACES, SearchSpace, get_space

    class Half(SearchSpace):
        name = "half"
        summary = "no networks"

        def __len__(self):
            return 1

    monkeypatch.setitem(sys.modules, "things", SimpleNamespace(Half=Half, Other=dict))
    with pytest.raises(PluginError, match=r"^things:Half is no space: it lacks network, spelling;"):
        get_space("things:Half")
    with pytest.raises(PluginError, match=r"^things:Other is no space: it lacks name, summary, "):
        SPACES.load("things:Other")
    said = "^os:path is no space: it lacks name, summary, __len__, network, spelling; add"
    with pytest.raises(PluginError, match=said):
        SPACES.load("os:path")


def test_names_that_are_taken_are_refused(install):
    install("more-joins", "unix = ntpath:join")
    said = "^more-joins adds the join 'unix', which is built in: give it another name"
    with pytest.raises(PluginError, match=said):
        REGISTRY.names()


def test_names_that_tables_give_to_something_else_are_refused(install):
    from untrained.proxies import PROXIES

    install("te-nas", "tenas = posixpath:join", group=PROXIES.group)
    with pytest.raises(PluginError, match=r"^te-nas adds the proxy 'tenas', a name that tables "):
        PROXIES.names()


def test_a_broken_package_that_nothing_names_stops_no_report(install):
    from untrained.search import ALGORITHMS, reference_search

    install("broken", "aaa = nowhere:Search", group=ALGORITHMS.group)
    assert ALGORITHMS.names()[0] == "aaa"
    assert reference_search() == "rea"


def test_names_that_two_packages_add_are_refused(install):
    install("joins-a", "mac = posixpath:join")
    install("joins-b", "mac = ntpath:join")
    with pytest.raises(PluginError, match=r"^joins-a and joins-b both add the join 'mac': uninst"):
        REGISTRY.load("unix")


def test_an_entry_point_that_is_no_address_is_refused(install):
    install("odd", "mac = posixpath")
    with pytest.raises(PluginError, match=r"^odd adds the join 'mac' at 'posixpath': an address"):
        REGISTRY.names()


def test_an_entry_has_one_name(monkeypatch):
    module = SimpleNamespace(thing=SimpleNamespace(name="thing"), unix=SimpleNamespace(name="unix"))
    monkeypatch.setitem(sys.modules, "things", module)
    with pytest.raises(PluginError, match=r"^the join registered as 'other' calls itself 'thing'"):
        Registry("join", GROUP, {"other": "things:thing"}).load("other")
    with pytest.raises(
        PluginError, match=r"^things:unix calls itself 'unix', a join that is built"
    ):
        REGISTRY.load("things:unix")


def test_an_entry_loaded_by_its_address_is_known_by_its_name(monkeypatch):
    module = SimpleNamespace(thing=SimpleNamespace(name="thing"))
    monkeypatch.setitem(sys.modules, "things", module)
    registry = Registry("join", GROUP, {})
    assert registry.load("things:thing") is registry.load("thing")
    assert registry.names() == []


def test_a_space_that_is_given_is_checked(things):
    from untrained.spaces import get_space

    things.Space.datasets = "cifar10"
    with pytest.raises(PluginError, match=r"^the datasets of the space things:Space is 'cifar10'"):
        get_space(things.Space())


def test_values_of_a_wrong_type_are_named(things):
    from untrained.proxies import UndefinedScore, setting_of
    from untrained.search.base import configured

    things.Proxy.setting = "small"
    with pytest.raises(PluginError, match=r"^the setting of the proxy odd is 'small': take a "):
        setting_of(things.look_up("Proxy"))
    with pytest.raises(ValueError, match=r"^5 is no reason: take a text$"):
        UndefinedScore("disconnected", 5)
    with pytest.raises(PluginError, match=r"^xs=3: no text sets it, as its default is a NoneType"):
        configured(make_dataclass("Odd", [("xs", list, None)]), ["xs=3"])

import re
import sys
from types import SimpleNamespace

import pytest

from untrained.errors import PluginError, UnknownNameError
from untrained.plugins import BUILT_IN, Registry, is_address

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


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("direction", "sideways", "higher, lower"),
        ("direction", "Lower", "higher, lower"),
        ("direction", None, "higher, lower"),
        ("cost", "cheap", "arithmetic, backward, forward, per-image gradients"),
        ("needs", frozenset({"labels", "train"}), "a set of some of gradients, labels, training"),
        ("needs", "labels", "a set of some of gradients, labels, training"),
    ],
)
def test_an_attribute_that_is_none_of_its_choices_is_refused(monkeypatch, attribute, value, words):
    from untrained.proxies import get_proxy
    from untrained.proxies.base import BaseProxy

    class Odd(BaseProxy):
        name = "odd"
        direction = "higher"
        summary = "nothing"

    monkeypatch.setitem(sys.modules, "things", SimpleNamespace(Odd=Odd))
    assert get_proxy("things:Odd").name == "odd"
    setattr(Odd, attribute, value)
    said = f"the {attribute} of the proxy things:Odd is {value!r}: take {words}"
    with pytest.raises(PluginError, match=f"^{re.escape(said)}$"):
        get_proxy("things:Odd")


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

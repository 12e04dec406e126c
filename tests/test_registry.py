import pytest

from untrained.errors import UnknownNameError
from untrained.registry import Registry

REGISTRY = Registry("join", {"unix": "posixpath:join", "windows": "ntpath:join"})


def test_an_entry_is_the_attribute_at_its_address():
    assert REGISTRY.load("windows")("a", "b") == "a\\b"


def test_names_are_sorted_and_match_a_pattern():
    assert Registry("join", {"b": "x:y", "a": "x:y"}).names() == ["a", "b"]
    assert REGISTRY.names("*x") == ["unix"]
    assert REGISTRY.names("UNIX") == []


def test_an_unknown_name_is_named_with_its_kind():
    with pytest.raises(UnknownNameError, match=r"^unknown join 'unx': did you mean 'unix'\?"):
        REGISTRY.load("unx")


def test_an_address_is_imported_only_when_its_entry_is_asked_for():
    broken = Registry("join", {"broken": "no_such_module:join", "unix": "posixpath:join"})
    assert broken.names() == ["broken", "unix"]
    assert broken.load("unix")("a", "b") == "a/b"
    with pytest.raises(ModuleNotFoundError):
        broken.load("broken")

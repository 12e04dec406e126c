"""The dependency graph that is read off import statements."""

import shutil
import sys
from pathlib import Path

import PIL
import pytest
import torch

from untrained import closure as graph
from untrained.closure import closure, code_digest, code_digests, rule_digests
from untrained.errors import MissingDataError

ENGINE, SPACE = "untrained.scoring.engine", "untrained.spaces.nasbench201"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A plug-in's package that is found on the path and imported by nobody."""
    folder = tmp_path / "pluginpackage"
    files = {
        "pluginpackage/__init__.py": "from pluginpackage import unrelated\n",
        "pluginpackage/proxy.py": "from . import helper\nfrom untrained.seeds import stream\n",
        "pluginpackage/helper.py": "import torch\n\ndef f():\n    import neighbour.inside\n",
        "pluginpackage/unrelated.py": "raise RuntimeError\n",
        "neighbour/__init__.py": "",
        "neighbour/inside.py": "import os\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for cached in (graph._file, graph._folders, graph._origin, graph._is_installed):
        cached.cache_clear()
    return folder


def test_a_family_is_made_of_its_helpers_and_of_no_other_family():
    naswot, ntk = (set(closure(ENGINE, f"untrained.proxies.{name}")) for name in ("naswot", "ntk"))
    assert {"untrained.proxies.naswot", "untrained.proxies.agreements"} <= naswot - ntk
    assert "untrained.proxies.tangent_kernels" in ntk - naswot
    for one in (naswot, ntk):
        assert not any(".cli" in name or ".search" in name for name in one)


def test_a_space_brings_its_networks_and_no_others():
    found = closure(SPACE)
    assert "untrained.networks.nasbench201" in found  # imported inside a method
    assert "untrained.networks.nasbench101" not in found


def test_an_address_stands_for_its_module():
    assert closure(f"{SPACE}:NasBench201") == closure(SPACE)


def test_what_a_notebook_defines_has_no_file(monkeypatch):
    monkeypatch.setattr(graph, "_file", lambda _module: None)  # as of __main__ in a notebook
    with pytest.raises(MissingDataError, match=r"'__main__': define it in a file$"):
        closure("__main__")


def test_modules_of_a_plug_in_are_followed_and_nothing_is_imported(package):
    found = closure("pluginpackage.proxy:MyProxy")
    assert {"pluginpackage.proxy", "pluginpackage.helper", "neighbour.inside"} <= set(found)
    assert "untrained.seeds" in found
    # the package above it is imported for nothing; what is installed has a version instead
    assert not {"pluginpackage", "pluginpackage.unrelated", "torch"} & set(found)
    assert not {"pluginpackage", "pluginpackage.proxy"} & set(sys.modules)


@pytest.mark.parametrize(
    "text",
    [
        "from pluginpackage.deep.inner import beside",
        "from . import beside",
        "from .beside import f",
        "from .. import inner, above",
        "from ..above import f",
        "from ...helper import f",
        "from ...deep.above import *",
        "from ... import helper as other",
    ],
)
def test_relative_imports_are_resolved(package, text):
    folder = package / "deep" / "inner"
    folder.mkdir(parents=True)
    files = ("deep/__init__", "deep/above", "deep/inner/__init__", "deep/inner/beside")
    for name in files:
        (package / f"{name}.py").write_text("")
    (package / "helper.py").write_text("")
    (folder / "proxy.py").write_text(text)
    wanted = {"beside": "deep.inner.beside", "above": "deep.above", "helper": "helper"}
    (expected,) = [module for word, module in wanted.items() if word in text]
    found = set(closure("pluginpackage.deep.inner.proxy")) - {"pluginpackage.deep.inner"}
    assert found == {"pluginpackage.deep.inner.proxy", f"pluginpackage.{expected}"}


@pytest.mark.parametrize(
    "text",
    [
        "if x:\n    pass\nelif y:\n    pass\nelse:\n    {}",
        "if TYPE_CHECKING:\n    pass\nelse:\n    {}",
        "for x in y:\n    pass\nelse:\n    {}",
        "while x:\n    with y:\n        {}",
        "try:\n    {}\nexcept ImportError:\n    pass",
        "try:\n    pass\nexcept ImportError:\n    {}",
        "try:\n    pass\nexcept ImportError:\n    pass\nelse:\n    {}",
        "try:\n    pass\nfinally:\n    {}",
        "try:\n    pass\nexcept* ImportError:\n    {}",
        "match x:\n    case 1:\n        pass\n    case _:\n        {}",
        "class C:\n    async def f(self):\n        async with x:\n            {}",
    ],
)
def test_imports_are_found_in_every_block(package, text):
    (package / "proxy.py").write_text(text.format("import neighbour.inside"))
    assert "neighbour.inside" in closure("pluginpackage.proxy")


def test_an_unknown_module_is_one_line():
    with pytest.raises(MissingDataError, match=r"no Python module 'untrained.proxies.naswott'"):
        closure("untrained.proxies.naswott:Naswot")


CODE = '''"""A module."""
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from untrained.spaces import SearchSpace

ALL: Registry[type] = Registry("kind", {"name": "module:Attribute"})


def half(x):
    """Half of a number."""
    # the quotient
    return x / 2
'''


@pytest.mark.parametrize(
    ("old", "new", "counts"),
    [
        ("A module.", "Another.", False),
        ("Half of", "One half of", False),
        ("the quotient", "a # quotient", False),
        ("    # the quotient\n", "\n\n", False),
        ("x / 2", "(\n        x / 2\n    )", False),
        ("SearchSpace", "Space", False),
        ('"module:Attribute"}', '"module:Attribute", "other": "module:Other"}', False),
        ("x / 2", "x / 3", True),
        ("x / 2", "x / 2.0", True),
        ("import os", "import sys", True),
        ("half(x)", "half(x, y=1)", True),
        ("    return", "    1\n    return", True),
    ],
)
def test_prose_layout_and_tables_of_registries_are_no_code(package, old, new, counts):
    path = package / "proxy.py"
    path.write_text(CODE)
    before = code_digest("pluginpackage.proxy")
    assert CODE.count(old) == 1
    path.write_text(CODE.replace(old, new) + "\n# written to\n")
    assert (code_digest("pluginpackage.proxy") != before) == counts


def test_rules_depend_on_the_files_whose_names_they_use_and_on_what_those_use(tmp_path):
    files = {
        "scores": "rule score:\n    params: option(1)  # a comment\n",
        "common": "def option(value):\n    return PATHS + value\n",
        "paths": "PATHS = 1\n",
        "others": "rule other:\n    params: 2\n",
    }
    for name, text in files.items():
        (tmp_path / f"{name}.smk").write_text(text)
    before = rule_digests(tmp_path)
    used = {name: set(digests) for name, digests in before.items()}
    assert used == {
        "scores": {"scores.smk", "common.smk", "paths.smk"},
        "common": {"common.smk", "paths.smk"},
        "paths": {"paths.smk"},
        "others": {"others.smk"},
    }
    (tmp_path / "paths.smk").write_text("PATHS = 2\n")
    (tmp_path / "others.smk").write_text("# prose\n" + files["others"])
    after = rule_digests(tmp_path)
    assert {name for name in before if before[name] != after[name]} == {"scores", "common", "paths"}


def test_source_that_is_not_python_has_a_digest_too(package):
    path = package / "proxy.py"
    path.write_text("def")
    before = code_digests("pluginpackage.proxy")
    path.write_text("define")
    assert list(before) == ["pluginpackage.proxy"]
    assert code_digests("pluginpackage.proxy") != before


def test_a_digest_does_not_depend_on_where_the_package_lies(tmp_path, monkeypatch):
    expected = code_digest(ENGINE, SPACE)
    copied = tmp_path / "untrained"
    shutil.copytree(Path(graph.__file__).parent, copied)
    monkeypatch.setattr(graph, "__file__", str(copied / "closure.py"))
    for cached in (graph._file, graph._folders):
        cached.cache_clear()
    try:
        assert graph._file(ENGINE).is_relative_to(copied)
        assert code_digest(ENGINE, SPACE) == expected
    finally:
        monkeypatch.undo()
        for cached in (graph._file, graph._folders):
            cached.cache_clear()


def test_versions_of_what_computes_belong_to_the_code(monkeypatch):
    installed = graph.version
    before = code_digests(ENGINE, SPACE)
    assert {"torch", "numpy", "numba"} <= before.keys()
    assert not {"pandas", "pydantic", "scipy", "matplotlib"} & before.keys()
    assert before["torch"] == torch.__version__.partition("+")[0]
    assert "matplotlib" in code_digests("untrained.report.plotting")
    known = code_digest(ENGINE, SPACE)
    monkeypatch.setattr(graph, "version", lambda name: "99" if name == "torch" else installed(name))
    changed = code_digests(ENGINE, SPACE)
    assert {name for name in before if before[name] != changed[name]} == {"torch"}
    assert code_digest(ENGINE, SPACE) != known  # so that no ledger holds scores of two versions


def test_a_plug_in_is_computed_with_all_that_it_imports(package):
    helper = package / "helper.py"
    helper.write_text("import PIL\nimport os\nimport torch\nimport not_there\n")
    found = code_digests("pluginpackage.proxy")
    assert {"PIL", "torch"} <= found.keys()
    assert found["PIL"] == PIL.__version__
    assert not {"os", "neighbour", "not_there", "pluginpackage"} & found.keys()

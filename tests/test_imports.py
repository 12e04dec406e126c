"""Imports go one way, and none of them is heavier than what it is for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: module to a line that one may not find in it
WRONG = {
    "spaces/base.py": "from untrained.scoring import shards",
    "images/sets.py": "import untrained.proxies.base",
    "benchmarks/table.py": "from untrained.proxies import base",
    "search/pool.py": "from untrained.report import published",
    "training/loop.py": "from untrained.images import sets",
    "networks/costs.py": "from untrained.proxies import base",
    "files.py": "from untrained.spaces.base import Architecture",
}


def lint(source):
    pytest.importorskip("importlinter", reason="needs import-linter")
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config"]
    return subprocess.run(
        [*command, str(ROOT / "pyproject.toml")],
        env=os.environ | {"PYTHONPATH": str(source), "NO_COLOR": "1"},
        cwd=source, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_imports_go_down_the_layers():
    done = lint(ROOT / "src")
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_that_go_up_are_found(tmp_path):
    source = shutil.copytree(ROOT / "src", tmp_path / "src")
    for name, line in WRONG.items():
        path = source / "untrained" / name
        path.write_text(path.read_text() + f"\n{line}\n")
    (source / "untrained" / "homeless.py").write_text("")
    done = lint(source)
    assert done.returncode != 0
    for name, line in WRONG.items():
        module = "untrained." + name.removesuffix(".py").replace("/", ".")
        target = line.split()[1]
        assert f"{module} -> {target}" in done.stdout, done.stdout
    assert "homeless" in done.stdout


@pytest.mark.parametrize(
    "module",
    [
        *("untrained", "untrained.spaces", "untrained.networks", "untrained.proxies"),
        *("untrained.scoring", "untrained.search", "untrained.benchmarks", "untrained.report"),
        *("untrained.parameters", "untrained.cli", "untrained.cli.app", "untrained.training"),
    ],
)
def test_what_is_imported_first_is_light(module):
    code = (
        f"import sys, {module}\n"
        "print(*{'torch', 'pandas', 'matplotlib', 'pyarrow', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_networks_of_a_space_are_imported_when_one_is_built():
    code = (
        "import sys; from untrained.spaces import get_space; space = get_space('nasbench201')\n"
        "space.parse('1462'); print('torch' in sys.modules)\n"
        "space.network(space[0], 10); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_what_proxies_and_searches_are_is_known_without_pytorch():
    """Planning a run, cached searches and tables read it, and PyTorch takes seconds to import."""
    code = (
        "import sys; from untrained.parameters import parse_parameters, read_parameters\n"
        "from untrained.plan import Plan; from untrained.proxies import PROXIES, get_proxy\n"
        "from untrained.report import SECTIONS; import untrained.search.run\n"
        "from untrained.search.supernets import pruned_space\n"
        "list(map(pruned_space, ('nasbench201', 'darts')))\n"
        "list(map(get_proxy, PROXIES.names()))\n"
        "list(Plan(parse_parameters(read_parameters())).code())\n"
        "print(*{'torch', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []


def test_measurements_can_be_imported():
    """Types and tests leave `benchmarks/` alone, whose imports a renamed function would break."""
    names = sorted(one.stem for one in (ROOT / "benchmarks").glob("[a-z]*.py"))
    code = "import importlib\n" + "\n".join(
        f"importlib.import_module('benchmarks.{one}')" for one in names
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (len(names) > 5, done.returncode, done.stderr) == (True, 0, "")

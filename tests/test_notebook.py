"""The notebook runs; its networks of torchvision are left out where that is not installed."""

import json
from importlib.util import find_spec
from pathlib import Path

import matplotlib as mpl
import pytest

NOTEBOOK = Path(__file__).parent.parent / "docs/rank-your-networks.ipynb"


@pytest.mark.usefixtures("short_networks")
def test_the_cells_run_in_their_order(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    shown = []
    names = {"display": shown.append}
    with mpl.rc_context({"backend": "agg"}):
        for cell in json.loads(NOTEBOOK.read_text())["cells"]:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), names)
    said = capsys.readouterr().out
    if find_spec("torchvision"):
        (ranks,) = shown
        assert sorted(ranks["parameters"]) == [1, 2, 3, 4, 5]
    else:
        assert said.startswith("torchvision is not installed, so its networks are left out")
    assert [line.split()[0] for line in said.splitlines()[-4:-1]] == ["random", "naswot-15", "rea"]

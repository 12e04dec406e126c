"""The page of all proxies names what the registry knows."""

import json
import re
import subprocess
import sys
from pathlib import Path

from untrained.proxies import PROXIES, get_proxy

PAGE = Path(__file__).parents[1] / "docs" / "proxies.md"


def rows():
    """The cells of the first table by the name of the proxy."""
    table = PAGE.read_text().partition("| proxy |")[2].partition("\n\n")[0]
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()[2:]]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_the_page_has_a_row_for_each_proxy():
    assert sorted(rows()) == sorted(PROXIES.names())


def test_the_page_says_what_proxies_say_of_themselves():
    for name, (_formula, variants, needs, _cost, better, *_taus, source) in rows().items():
        proxy = get_proxy(name)
        assert better == proxy.direction, name
        assert ("labels" in needs) == ("labels" in proxy.needs), name
        assert ("training" in needs) == ("training" in proxy.needs), name
        assert source.split()[:1] == proxy.source.split()[:1], name
        for spelled in re.findall(r"`(\w+-\w+)`", variants):
            assert get_proxy(spelled).name == name


#: Draws all points at one place, so that no name fits beside its own, and prints what is seen.
DRAWS = """
import json
from benchmarks import proxy_taus

drawn, names = [], list(proxy_taus.seconds())
proxy_taus.plotting.save = lambda figure, _: drawn.append(figure)
proxy_taus.seconds = lambda: dict.fromkeys(names, 0.1)
sizes = [295, 9445, *[2000] * (len(names) - 2)]
proxy_taus.draw({name: (0.6, size) for name, size in zip(names, sizes, strict=True)})
(axes,) = drawn[0].axes
marked = {line.get_label(): len(line.get_xdata()) for line in axes.lines}
print(json.dumps([names, [text.get_text() for text in axes.texts], marked]))
"""


def test_the_figure_names_each_point_and_the_cells_behind_it():
    # in a process of its own, as `benchmarks` is a folder of tests here
    asked = [sys.executable, "-c", DRAWS]
    done = subprocess.run(asked, cwd=PAGE.parents[1], check=True, capture_output=True)
    names, texts, marked = json.loads(done.stdout)
    assert sorted(filter(None, texts)) == sorted(names)
    assert marked == {
        "n = 9,445 distinct cells": 1,
        "n = 2,000 of them": len(names) - 2,
        "n = 295 of them": 1,
    }

"""The page of all proxies names what the registry knows."""

import re
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
    for name, (_formula, variants, needs, _cost, better, _tau, source) in rows().items():
        proxy = get_proxy(name)
        assert better == proxy.direction, name
        assert ("labels" in needs) == ("labels" in proxy.needs), name
        assert ("training" in needs) == ("training" in proxy.needs), name
        assert source.split()[:1] == proxy.source.split()[:1], name
        for spelled in re.findall(r"`(\w+-\w+)`", variants):
            assert get_proxy(spelled).name == name

"""The pages of the documentation: short sentences, and links that lead out by https."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("data/*/README.md")),
]

#: Words of a sentence, above which it is split.
MOST = 40


def sentences(page):
    """Yield the sentences of a page's paragraphs and lists, but for what it quotes."""
    text = re.sub(r"^\s*```.*?^\s*```", "\n", page, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^(#|>|\||!\[|<!--).*$", "\n", text, flags=re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)", text):
        # a sentence may begin with a name in lower case, which is code
        yield from re.split(r"(?<=[.?!])[)*\"]*\s+(?=[(*\"`\[]*[A-Z0-9`])", block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_sentences_are_short(page):
    long = [one for one in sentences(page.read_text()) if len(one.split()) > MOST]
    assert long == []


def test_a_long_sentence_is_found():
    words = " ".join(["word"] * MOST)
    left_out = f"```\n{words}\n```\n| {words} |\n"
    page = f"It ends. `name` {words} x.y (see [it](a.md)). Two.\n- Three\n\n{left_out}"
    assert [len(one.split()) for one in sentences(page)] == [2, 44, 1, 2, 0]


def test_links_lead_out_by_https():
    """Whether servers know them, `make links` asks."""
    found = [link for page in PAGES for link in re.findall(r"\]\((\w+:[^)]*)\)", page.read_text())]
    assert found
    for link in found:
        parts = urlsplit(link)
        assert (parts.scheme, parts.path != "") == ("https", True), link
        assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), link

"""Pages of the site that are made from other files; a hook of MkDocs, see `mkdocs.yml`.

The home page is the README, the page on data is that of the bundled data, and the API reference
has a heading for each public name, whose text comes from its docstring.
"""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

#: Page to the file that it is made from.
MADE = {
    "index.md": "README.md",
    "data.md": "data/bundled/README.md",
    "published.md": "data/published/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "CITATION.cff": "CITATION.cff",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    pages = {name: (ROOT / source).read_text() for name, source in MADE.items()}
    for name, text in (pages | {"api.md": reference()}).items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:  # noqa: ANN401 - of MkDocs
    """Let links lead to the pages of the site."""
    if page.file.src_uri in MADE:
        markdown = markdown.replace("](docs/results)", "](results/nasbench201-whole-space.md)")
        markdown = markdown.replace("](docs/", "](").replace(
            "](CONTRIBUTING.md", "](contributing.md"
        )
    for name, source in (("data", "bundled"), ("published", "published")):
        markdown = re.sub(rf"\]\((?:\.\./)*data/{source}/README\.md", f"]({name}.md", markdown)
    return markdown


def reference() -> str:
    """Return the API reference: a heading for each public name, functions first."""
    import untrained

    names = sorted(untrained.__all__, key=lambda name: (name[0].isupper(), name))
    entries = [f"::: {untrained._MODULES[name]}.{name}\n" for name in names]
    head = "All of this is imported from `untrained` itself, as in `from untrained import rank`."
    return "\n".join(["# API reference", head, *entries])

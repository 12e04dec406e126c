"""Training-free neural architecture search: rank architectures before training them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from untrained.scoring.api import Score, score
    from untrained.search.pruning import Pruning, prune
    from untrained.search.run import SearchResult, run_search
    from untrained.search.task import Live

__all__ = ["Live", "Pruning", "Score", "SearchResult", "prune", "run_search", "score"]
__version__ = "0.1.0"

_MODULES = {
    "Live": "untrained.search.task",
    "Pruning": "untrained.search.pruning",
    "Score": "untrained.scoring.api",
    "SearchResult": "untrained.search.run",
    "prune": "untrained.search.pruning",
    "run_search": "untrained.search.run",
    "score": "untrained.scoring.api",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a module's attribute is
    # PyTorch takes seconds to import, so it waits until somebody scores
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

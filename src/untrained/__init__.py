"""Training-free neural architecture search: rank architectures before training them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from untrained.api import Score, Scores, score, score_seeds
    from untrained.scoring.ablations import ablate
    from untrained.scoring.shards import score_space
    from untrained.scoring.training_curves import training_curves
    from untrained.search.live import Live
    from untrained.search.pruning import Pruning, prune
    from untrained.search.run import SearchResult, run_search
    from untrained.search.training import Training, TrainingImages, train
    from untrained.training.recipe import Recipe

_MODULES = {
    "Live": "untrained.search.live",
    "Pruning": "untrained.search.pruning",
    "Recipe": "untrained.training.recipe",
    "Score": "untrained.api",
    "Scores": "untrained.api",
    "SearchResult": "untrained.search.run",
    "Training": "untrained.search.training",
    "TrainingImages": "untrained.search.training",
    "ablate": "untrained.scoring.ablations",
    "prune": "untrained.search.pruning",
    "run_search": "untrained.search.run",
    "score": "untrained.api",
    "score_seeds": "untrained.api",
    "score_space": "untrained.scoring.shards",
    "train": "untrained.search.training",
    "training_curves": "untrained.scoring.training_curves",
}

__all__ = [
    "Live",
    "Pruning",
    "Recipe",
    "Score",
    "Scores",
    "SearchResult",
    "Training",
    "TrainingImages",
    "ablate",
    "prune",
    "run_search",
    "score",
    "score_seeds",
    "score_space",
    "train",
    "training_curves",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a module's attribute is
    # PyTorch takes seconds to import, so it waits until somebody scores
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

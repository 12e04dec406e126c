"""Training-free neural architecture search: rank architectures before training them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from untrained.api import Score as Score
    from untrained.api import Scores as Scores
    from untrained.api import score as score
    from untrained.api import score_seeds as score_seeds
    from untrained.scoring.ablations import ablate as ablate
    from untrained.scoring.shards import score_space as score_space
    from untrained.scoring.training_curves import training_curves as training_curves
    from untrained.search.live import Live as Live
    from untrained.search.pruning import Pruning as Pruning
    from untrained.search.pruning import prune as prune
    from untrained.search.run import SearchResult as SearchResult
    from untrained.search.run import run_search as run_search
    from untrained.search.training import Training as Training
    from untrained.search.training import TrainingImages as TrainingImages
    from untrained.search.training import train as train
    from untrained.training.recipe import Recipe as Recipe

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

__all__ = list(_MODULES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any attribute of a module
    # modules are imported when they are used, since PyTorch takes seconds to import
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

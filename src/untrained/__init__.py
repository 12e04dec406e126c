"""Training-free neural architecture search: rank architectures before training them."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from untrained.api import (
        Score,
        Scores,
        ablate,
        score,
        score_seeds,
        score_space,
        training_curves,
    )

__all__ = ["Score", "Scores", "ablate", "score", "score_seeds", "score_space", "training_curves"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:  # noqa: ANN401 - what a module's attribute is
    # PyTorch takes seconds to import, so it waits until somebody scores
    if name in __all__:
        from untrained import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

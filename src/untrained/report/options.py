"""The keys of `params.yaml` from which sections take their options."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from untrained.errors import ParameterError

#: Option to its key in `params.yaml`; options that are missing here keep their default in a run.
KEYS: Mapping[str, str] = {
    "resamples": "report.resamples",
    "seed": "report.seed",
    "best": "report.best",
    "kernels": "report.kernels",
    "split": "scores.split",
    "batch_size": "scores.batch_size",
    "augmentation": "scores.augmentation",
    "sampling": "scores.sampling",
    "architectures": "scores.architectures",
    "searched": "searches.scores",
    "search_proxy": "searches.proxy",
}


def check_best(best: float) -> float:
    """Return a fraction of the architectures that count as the best.

    Raises:
        ParameterError: the fraction is not above 0 and at most 1.
    """
    if not 0 < best <= 1:
        raise ParameterError(f"fraction {best} of the best: give more than 0 and at most 1")
    return best


def spelled(names: Iterable[str], parameters: Mapping[str, Any]) -> str:
    """Write options as command-line arguments with the values from a run's parameters."""
    words = []
    for name in (one for one in names if one in KEYS):
        section, _, entry = KEYS[name].partition(".")
        value = shlex.quote(str(parameters[section][entry]))
        words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(words)

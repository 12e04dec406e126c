"""The keys of `params.yaml` from which sections take their options."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

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
}


def spelled(names: Iterable[str], parameters: Mapping[str, Any]) -> str:
    """Write options as command-line arguments with the values from a run's parameters."""
    words = []
    for name in (one for one in names if one in KEYS):
        section, _, entry = KEYS[name].partition(".")
        value = shlex.quote(str(parameters[section][entry]))
        words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(words)

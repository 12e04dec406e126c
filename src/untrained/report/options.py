"""Where the parameters of a run hold the options of sections."""

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

#: Option to its key of `params.yaml`, with a dot; a run chooses no others.
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
    """Spell options as the parameters of a run choose them, for a command line."""
    words = []
    for name in (one for one in names if one in KEYS):
        section, _, entry = KEYS[name].partition(".")
        value = shlex.quote(str(parameters[section][entry]))
        words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(words)

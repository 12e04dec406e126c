"""The options of sections: their types, defaults and help, and where parameters hold them."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """Something that may be chosen when a table is made or a figure is drawn.

    Attributes:
        kind: its type.
        default: without a choice.
        help: for the command line.
        key: of `params.yaml`, with dots; empty for what a run does not choose.
        least: the smallest value; None for any.
    """

    kind: Any
    default: Any
    help: str
    key: str = ""
    least: int | None = None


OPTIONS: Mapping[str, Option] = {
    "resamples": Option(int, 1000, "Bootstrap resamples of every interval.", "report.resamples", 1),
    "seed": Option(int, 0, "Seed of the resampling.", "report.seed", 0),
    "best": Option(float, 0.1, "Fraction that counts as the best.", "report.best"),
    "proxy": Option(str | None, None, "Whose scores are drawn; default: the best known one."),
    "kernels": Option(int, 4, "Good and bad architectures, of each.", "report.kernels", 1),
    "split": Option(str, "sample", "Split of the images.", "scores.split"),
    "batch_size": Option(int, 128, "Images per minibatch.", "scores.batch_size"),
    "augmentation": Option(str, "none", "none or crop-flip.", "scores.augmentation"),
    "sampling": Option(
        str, "uniform", "Of images: uniform, or balanced by class.", "scores.sampling"
    ),
}


def spelled(names: Iterable[str], parameters: Mapping[str, Any]) -> str:
    """Spell options as the parameters of a run choose them, for a command line."""
    words = []
    for name in names:
        if OPTIONS[name].key:
            section, _, entry = OPTIONS[name].key.partition(".")
            value = shlex.quote(str(parameters[section][entry]))
            words.append(f"--{name.replace('_', '-')} {value}")
    return " ".join(words)

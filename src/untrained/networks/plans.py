"""What a network offers that can run for its rectifiers alone."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


class Reading(NamedTuple):
    """One tensor that rectifiers read.

    Attributes:
        pre_activation: (N, C, H, W).
        rectifiers: how many read it.
        modules: how many modules named after ReLU read it: a rectifier's wrapper is one more.
    """

    pre_activation: Tensor
    rectifiers: int
    modules: int


@runtime_checkable
class Planned(Protocol):
    """A network that can run for its rectifiers alone, faster than as a module."""

    def rectifier_inputs(self, images: Tensor, *, dead_branches: bool) -> Iterator[Reading]:
        """What the rectifiers of a forward pass read."""
        ...

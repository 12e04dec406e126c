"""What a network offers that can run for its rectifiers alone."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


class Reading(NamedTuple):
    """One tensor that rectifiers read.

    Attributes:
        codes: one bit per unit and image, 1 iff the unit is positive: (N, f) int8 with a bit in
            each number, or (N, f / 8) uint8 with eight. Units are in the same order for all images.
        rectifiers: how many on a path from the input to the output read it.
        modules: how many modules named after ReLU read it: a rectifier's wrapper is one more.
        finite: whether the units are, as far as the plan knows.
    """

    codes: Tensor
    rectifiers: int
    modules: int
    finite: bool = True


@runtime_checkable
class Planned(Protocol):
    """A network that can run for its rectifiers alone, faster than as a module."""

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """What the rectifiers of a forward pass read.

        Args:
            images: (N, C, H, W).
            dead_branches: whether what leads nowhere is executed too, as the module does.
            pieces: into how many the batch is cut, to save memory; it changes no value.
        """
        ...

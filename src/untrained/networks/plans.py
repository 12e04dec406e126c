"""The interface of networks that can run only as far as their rectifiers need."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


class Reading(NamedTuple):
    """A tensor that rectifiers read, as codes.

    Attributes:
        codes: one bit per unit and image, 1 iff the unit is positive: (N, f) int8 with a bit in
            each number, or (N, f / 8) uint8 with eight. Units are in the same order for all images.
        rectifiers: number of rectifiers on a path from input to output that read it.
        modules: number of modules named after ReLU that read it, wrappers of rectifiers included.
        finite: whether the units are finite, as far as the plan knows.
    """

    codes: Tensor
    rectifiers: int
    modules: int
    finite: bool = True


@runtime_checkable
class Planned(Protocol):
    """A network that can run only as far as its rectifiers need, faster than as a module."""

    def rectifier_inputs(
        self, images: Tensor, *, dead_branches: bool, pieces: int = 1
    ) -> Iterator[Reading]:
        """Yield what the rectifiers of a forward pass read.

        Args:
            images: (N, C, H, W).
            dead_branches: whether to execute also what leads nowhere, as the module does.
            pieces: number of pieces that the batch is cut into to save memory; no value changes.
        """
        ...

"""How networks are run: device, engine, precision."""

import ctypes
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch

from untrained.errors import unknown_name
from untrained.networks.plans import Reading

ENGINES = ("auto", "plain", "fast")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class Execution:
    """How networks are run; it moves a score by rounding only.

    Attributes:
        device: where.
        engine: `plain` runs the module under the proxy's hooks, `fast` runs the network's plan,
            `auto` is fast where the network offers a plan and the proxy reads one.
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 where the device has instructions
            for its matrix products and the plan is run, float32 elsewhere.
    """

    device: torch.device = torch.device("cpu")  # noqa: RUF009 - immutable
    engine: str = "auto"
    precision: str = "auto"

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise unknown_name("engine", self.engine, ENGINES)
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)

    def dtype(self, *, planned: bool) -> torch.dtype:
        """The type of weights and activations."""
        if self.precision == "bfloat16":
            return torch.bfloat16
        if self.precision == "auto" and planned and has_bfloat16_products(self.device):
            return torch.bfloat16
        return torch.float32


@runtime_checkable
class ReadsRectifiers(Protocol):
    """A proxy whose score follows from what rectifiers read."""

    name: ClassVar[str]

    @property
    def dead_branches(self) -> bool:
        """Whether branches that lead nowhere count."""
        ...

    def score_readings(self, readings: Iterable[Reading]) -> float:
        """The score, equal to that of the module up to rounding."""
        ...


def has_bfloat16_products(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 matrices faster than float32 ones."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def keep_freed_memory() -> None:
    """Ask glibc to reuse large blocks instead of returning them to the kernel.

    Activations come and go by the hundred; getting zeroed pages for each takes a fifth of the
    time of a score. For processes that do nothing else; elsewhere than on Linux it does nothing.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        m_trim_threshold, m_mmap_threshold = -1, -3
        mallopt(m_mmap_threshold, 1 << 30)
        mallopt(m_trim_threshold, (1 << 31) - 1)

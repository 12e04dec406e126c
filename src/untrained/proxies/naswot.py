"""NASWOT: the log-determinant of the kernel of rectifier codes.

Mellor, Turner, Storkey, Crowley: Neural Architecture Search without Training, ICML 2021
(arXiv 2006.04647), equations 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from untrained.errors import ParameterError
from untrained.proxies.base import BaseProxy, Direction, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from untrained.images.minibatches import Minibatch
    from untrained.networks.plans import Reading


@dataclass(frozen=True)
class Naswot(BaseProxy):
    """s = log |K_H|, where K_H[i, j] = N_A - Hamming distance of the codes of images i and j.

    Each of the N_A rectified units gives one bit per image: 1 iff its pre-activation is positive.

    Attributes:
        variant: `corrected` counts each rectifier once and only if it lies on a path from the
            input to the output. `released` counts, as the authors' code does, every module whose
            type name contains "ReLU", so wrappers such as ReLUConvBN count their rectifier twice,
            and branches that lead nowhere count too.
    """

    name: ClassVar[str] = "naswot"
    variants: ClassVar[tuple[str, ...]] = ("corrected", "released")
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "log-determinant of the kernel of activation codes (Mellor et al.)"
    source: ClassVar[str] = "Mellor et al., ICML 2021 (arXiv 2006.04647)"
    applies_to: ClassVar[str] = "networks with rectifiers (ReLU and its relatives)"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by one forward pass in the network's current mode; nothing is drawn.

        Raises:
            UndefinedScore: `disconnected`, `singular` or `non_finite`.
            ParameterError: the network applies no rectifier.
        """
        del generator
        return log_determinant(activation_kernel(network, minibatch.images, self.variant))

    @property
    def dead_branches(self) -> bool:
        """Whether rectifiers on branches that don't reach the output count."""
        return self.variant == "released"

    def score_readings(self, readings: Iterable[Reading]) -> float:
        """Return the same score from a plan of the network; see `untrained.scoring.engine`.

        Raises:
            UndefinedScore: `disconnected`, `singular` or `non_finite`.
        """
        import torch

        from untrained.proxies.agreements import add_agreements

        kernel, finite = None, True
        for reading in readings:
            count = reading.modules if self.dead_branches else reading.rectifiers
            if count:
                if kernel is None:
                    images, where = len(reading.codes), reading.codes.device
                    kernel = torch.zeros(images, images, dtype=torch.int64, device=where)
                add_agreements(reading.codes, count, kernel)
            finite = reading.finite
        if kernel is None:
            raise UndefinedScore("disconnected", "no rectifier connects input and output")
        if not finite:
            raise UndefinedScore("non_finite", "the network's output is not finite")
        return log_determinant(kernel.cpu().numpy().astype(np.float64))


def log_determinant(kernel: np.ndarray) -> float:
    """Return the log-determinant of an (N, N) kernel of codes.

    K_H is positive semi-definite (a Gram matrix of the codes as -1 and 1, plus a constant), so at
    full rank the determinant is positive.

    Raises:
        UndefinedScore: `singular`.
    """
    eigenvalues = np.linalg.eigvalsh(kernel)
    rounding = eigenvalues[-1] * len(kernel) * np.finfo(np.float64).eps
    if eigenvalues[0] <= rounding:
        raise UndefinedScore("singular", "the kernel of activation codes is singular")
    return float(np.log(eigenvalues).sum())


def activation_kernel(network: nn.Module, images: Tensor, variant: str = "corrected") -> np.ndarray:
    """Return K_H of `images` (N, C, H, W) as an (N, N) float64 array of exact integers.

    Raises:
        UndefinedScore: `disconnected` (no rectifier between input and output; corrected variant
            only) or `non_finite` (some outputs are not finite).
        ParameterError: the network applies no rectifier.
    """
    import torch
    from torch.utils._pytree import tree_leaves

    from untrained.networks.modes import buffers_restored
    from untrained.proxies.rectifiers import RectifierMode, rectifier_modules, rectifiers_on_path

    with buffers_restored(network):
        if variant == "released":
            counter = KernelCounter(len(images))
            with torch.no_grad(), rectifier_modules(network, counter.add):
                outputs = network(images)
        else:
            with torch.random.fork_rng(devices=[]):  # both passes draw the same numbers
                on_path = rectifiers_on_path(network, images[:2])
            if on_path and not any(on_path):
                raise UndefinedScore("disconnected", "no rectifier connects input and output")
            counter = KernelCounter(len(images), on_path)
            with torch.no_grad(), RectifierMode(counter.add):
                outputs = network(images)
    if not counter.calls:
        raise ParameterError(
            f"{type(network).__name__} applies no rectifier: naswot scores networks with ReLU "
            "or its relatives (leaky, parametric, clamped at 0)"
        )
    if not all(torch.isfinite(leaf).all() for leaf in tree_leaves(outputs)):
        raise UndefinedScore("non_finite", "the network's output is not finite")
    return counter.kernel()


class KernelCounter:
    """Sums the agreements of the codes of N images over the rectifiers of a forward pass.

    Args:
        images: N, the number of images.
        wanted: whether each rectifier call counts, in order; None to count all.
    """

    def __init__(self, images: int, wanted: list[bool] | None = None) -> None:
        import torch
        from torch.utils.weak import WeakTensorKeyDictionary

        self.calls = 0
        self._wanted = wanted
        self._agreements = torch.zeros(images, images, dtype=torch.int64)
        # several edges may rectify the same tensor: its codes are compared once
        self._seen = WeakTensorKeyDictionary()

    def add(self, pre_activation: Tensor) -> None:
        """Count the codes of one rectifier's input (N, ...)."""
        from untrained.proxies.agreements import agreements_of, bits_of

        position = self.calls
        self.calls += 1
        if self._wanted is not None:
            if position >= len(self._wanted):
                raise ParameterError(
                    "the network applies other rectifiers each time it is run: make its forward "
                    "pass the same for the same images"
                )
            if not self._wanted[position]:
                return
        version = pre_activation._version
        seen_version, agreements = self._seen.get(pre_activation, (None, None))  # type: ignore[no-untyped-call]
        if version != seen_version:
            agreements = agreements_of(bits_of(pre_activation)).cpu()
            self._seen[pre_activation] = (version, agreements)
        self._agreements += agreements

    def kernel(self) -> np.ndarray:
        """Return K_H of the codes counted so far, (N, N) float64."""
        return self._agreements.numpy().astype(np.float64)

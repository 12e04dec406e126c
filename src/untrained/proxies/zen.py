"""Zen-NAS: how far a network of normal weights moves its features for a small change of an image.

Lin et al.: Zen-NAS: A Zero-Shot NAS for High-Performance Image Recognition, ICCV 2021
(arXiv 2102.01063).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from untrained.proxies.base import BaseProxy, Direction, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from untrained.images.minibatches import Minibatch

#: How much of another image is added to an image.
_STEP = 0.01


@dataclass(frozen=True)
class Zen(BaseProxy):
    """log mean_n |f(x_n) - f(x_n + 0.01 x'_n)|_1 + sum over batch normalisations of log sqrt(v).

    x and x' are N(0, 1) images of the shape and number of the minibatch. The network is a copy with
    weights from N(0, 1), biases of 0, scales of 1 and shifts of 0. f is the map that it pools or
    flattens last into one vector for each image. v is the mean over channels of the variance of
    what the normalisation reads; one that reads a constant, as on a branch that is cut off, is left
    out.

    Attributes:
        variant: `corrected` takes the variance of the minibatch x, also of normalisations in
            evaluation mode. `released` takes, as the released code does, the running variance
            after the passes of x and of x + 0.01 x', which a momentum blends with its initial 1.
    """

    name: ClassVar[str] = "zen"
    variants: ClassVar[tuple[str, ...]] = ("corrected", "released")
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "change of the features of a normal network (Zen-NAS)"
    source: ClassVar[str] = "Lin et al., ICCV 2021 (arXiv 2102.01063)"
    unit: ClassVar[str] = "nats"
    applies_to: ClassVar[str] = "networks that pool or flatten a map (N, C, H, W)"

    @property
    def measurement(self) -> str:
        """A key: both variants are read off the same passes."""
        return "changes of the features"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by two forward passes of a redrawn copy in the network's mode.

        Raises:
            UndefinedScore: `disconnected` where no feature changes; `non_finite`; `not_applicable`
                where no map is pooled or flattened, or for `released` where a normalisation keeps
                no statistics.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> Changes:
        """Return what both passes show; weights and images come from the generator."""
        from untrained.proxies.redraws import copy_to_redraw, forward_only, noise_like, redraw

        made = copy_to_redraw(network)
        with forward_only(minibatch):
            redraw(made, generator)
            images = noise_like(minibatch.images, generator)
            other = images + _STEP * noise_like(minibatch.images, generator)
            first, second = (_features(made, one) for one in (images, other))
        change = (first.map.double() - second.map.double()).abs().flatten(1).sum(1).mean()
        running = [None if one is None else float(one.double().mean()) for one in second.running]
        return Changes(float(change), first.variances, running)

    def read(self, measured: Changes) -> float:
        """Return the score of a measurement; it raises what `__call__` raises."""
        found = [measured.change]
        for own, running in zip(measured.variances, measured.running, strict=True):
            variance = own if self.variant == "corrected" else running
            if variance is None:
                raise UndefinedScore(
                    "not_applicable", "a normalisation keeps no running statistics: take zen"
                )
            if variance:
                found.append(math.sqrt(variance))
        if not all(map(math.isfinite, found)):
            raise UndefinedScore("non_finite", "the features or a variance are not finite")
        if not measured.change:
            raise UndefinedScore("disconnected", "no feature changes")
        return math.fsum(map(math.log, found))


@dataclass(frozen=True)
class Changes:
    """What two passes show.

    Attributes:
        change: mean over images of the sum of absolute changes of features.
        variances: for each call of a batch normalisation in the first pass, the mean over channels
            of the variance of what it reads.
        running: the mean of its running variances after both passes; None if it keeps none.
    """

    change: float
    variances: list[float]
    running: list[float | None]


@dataclass(frozen=True, eq=False)
class _Pass:
    map: Tensor
    variances: list[float]
    running: list[Tensor | None]


def _features(network: nn.Module, images: Tensor) -> _Pass:
    """Return the map that is pooled or flattened last, and what normalisations read.

    Raises:
        UndefinedScore: `not_applicable`: no map is.
    """
    import torch
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    from untrained.errors import theirs

    maps: list[Tensor] = []
    variances: list[float] = []
    running: list[Tensor | None] = []

    class Watch(TorchFunctionMode):
        def __torch_function__(
            self,
            func: Callable[..., Any],
            types: object,
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> object:
            kwargs = kwargs or {}
            given = args[0] if args else kwargs.get("input")
            if func is functional.batch_norm and isinstance(given, torch.Tensor):
                axes = [axis for axis in range(given.ndim) if axis != 1]
                variances.append(float(given.var(axes, correction=0).mean()))
                buffer: Tensor | None = args[2] if len(args) > 2 else kwargs.get("running_var")
                running.append(buffer)
            output = theirs(func, *args, **kwargs)
            if isinstance(given, torch.Tensor) and _ends_map(given, output, len(images)):
                maps.append(given)
            return output

    with Watch():
        network(images.clone())
    if not maps:
        raise UndefinedScore(
            "not_applicable",
            f"{type(network).__name__} turns no map (N, C, H, W) into one vector for each image",
        )
    return _Pass(maps[-1], variances, running)


def _ends_map(given: Tensor, output: object, images: int) -> bool:
    """Return whether a function turns a map of images into one vector for each of them."""
    import torch

    if given.ndim != 4 or len(given) != images or max(given.shape[2:]) == 1:
        return False
    if not isinstance(output, torch.Tensor) or output.ndim not in {2, 4} or len(output) != images:
        return False
    return output.ndim == 2 or output.shape[2:] == (1, 1)

"""A proxy of one's own; it imports PyTorch when it scores, since tables of scores need none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import BaseProxy, Direction, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch


@dataclass(frozen=True)
class LogitSpread(BaseProxy):
    """How much the logits of an untrained network differ from image to image."""

    name: ClassVar[str] = "logit_spread"
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "spread of the logits over the images of a minibatch"
    label: ClassVar[str] = "Spread of logits"
    unit: ClassVar[str] = "logits"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """One forward pass, nothing drawn."""
        import torch

        from untrained_example.measures import spread

        with torch.no_grad():
            found = spread(network(minibatch.images))
        if found == 0:
            raise UndefinedScore("disconnected", "all images have the same logits")
        return found

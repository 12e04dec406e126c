"""The norm of the weights as they are drawn.

Abdelfattah, Mehrotra, Dudziak, Lane: Zero-Cost Proxies for Lightweight NAS, ICLR 2021
(arXiv 2101.08134) list it as `l2_norm` in their code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from untrained.proxies.base import BaseProxy, Cost, Direction, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch


@dataclass(frozen=True)
class L2Norm(BaseProxy):
    """The sum of the Euclidean norms of the weights of convolutions and linear layers.

    Frozen weights count too, and a weight that several layers share counts once. No image is read.
    """

    name: ClassVar[str] = "l2_norm"
    variants: ClassVar[tuple[str, ...]] = ("zero_cost",)
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "sum of the norms of layers' weights (Abdelfattah et al.)"
    source: ClassVar[str] = "Abdelfattah et al., ICLR 2021 (arXiv 2101.08134)"
    cost: ClassVar[Cost] = "arithmetic"
    applies_to: ClassVar[str] = "networks with a convolution or linear layer"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score without running the network; nothing is drawn.

        Raises:
            UndefinedScore: `no_parameters` or `non_finite`.
        """
        from untrained.networks.prepared import with_effective_weights
        from untrained.proxies.gradients import LAYERS

        del minibatch, generator
        layers = [
            one for one in with_effective_weights(network).modules() if isinstance(one, LAYERS)
        ]
        # a layer of one's own may compute its weight when it is run
        weights = {id(one.weight): one.weight for one in layers if one.weight is not None}
        if not weights:
            raise UndefinedScore("no_parameters", "the network has no convolution or linear layer")
        total = sum(float(one.detach().double().norm()) for one in weights.values())
        if not math.isfinite(total):
            raise UndefinedScore("non_finite", f"the norms add up to {total}")
        return total

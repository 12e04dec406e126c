"""MeCo: how little the channels of each layer repeat each other.

Jiang, Wang, Bie: MeCo: Zero-Shot NAS with One Data and Single Forward Pass via Minimum Eigenvalue
of Correlation, NeurIPS 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from untrained.errors import text_of
from untrained.proxies.base import BaseProxy, Direction, Noted, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from untrained.images.minibatches import Minibatch

#: Height and width of the image.
_SIDE = 64
#: What PyTorch says where a batch normalisation in training mode sees one vector.
_ONE_VALUE = "Expected more than 1 value per channel"


@dataclass(frozen=True)
class Meco(BaseProxy):
    """The sum over layers of the least eigenvalue of the correlation matrix of output channels.

    The network sees one N(0, 1) image of 64x64 pixels with the minibatch's number of channels, in
    its current mode; if it takes no such image, one of the minibatch's shape, as a remark beside
    the score says. Correlations are over the pixels of a map (1, C, H, W).

    Attributes:
        variant: `corrected` takes the layers to be convolutions on a path to the output, and a
            channel that is constant to have no correlation with others and no variance, so that
            the layer adds 0. `released` takes, as the released code does, every module that returns
            a map, containers included, so that layers count several times, and 0 for a layer with
            a constant channel.
    """

    name: ClassVar[str] = "meco"
    variants: ClassVar[tuple[str, ...]] = ("corrected", "released")
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "least eigenvalues of channel correlations (MeCo)"
    source: ClassVar[str] = "Jiang et al., NeurIPS 2023"
    applies_to: ClassVar[str] = (
        "networks with convolutions, where no batch normalisation sees one vector of an image"
    )

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by one forward pass; the image comes from the generator.

        Raises:
            UndefinedScore: `no_parameters` where no layer returns a map; `disconnected` where no
                layer is on a path from the image to the output; `non_finite` where a map is not
                finite; `not_applicable` where a batch normalisation in training mode sees one
                vector.
        """
        import torch

        images = minibatch.images
        channels, *sides = images.shape[1:]
        large = torch.randn(
            (1, channels, _SIDE, _SIDE),
            generator=generator,
            dtype=images.dtype,
            device=images.device,
        )
        try:
            return self._score(network, large)
        except (RuntimeError, ValueError):  # of PyTorch, about shapes
            small = large.new_empty((1, channels, *sides))
            small.normal_(generator=generator)
            try:
                score = self._score(network, small)
            except ValueError as error:
                if _ONE_VALUE not in text_of(error):
                    raise
                raise UndefinedScore(
                    "not_applicable",
                    "a batch normalisation in training mode reads one vector of one image, and has "
                    "no variance",
                ) from error
        size = "x".join(map(str, (channels, *sides)))
        return Noted(score, f"an image of {size}, as the network takes none of {_SIDE}x{_SIDE}")

    def _score(self, network: nn.Module, image: Tensor) -> float:
        """Return the score for an image (1, C, H, W)."""
        import torch

        from untrained.images.minibatches import Minibatch
        from untrained.proxies.autograd import nodes_behind
        from untrained.proxies.gradients import differentiable
        from untrained.proxies.maps import CONVOLUTIONS

        found: list[tuple[object, float]] = []

        def see(_layer: nn.Module, _inputs: object, output: object) -> None:
            # hooks run where a network may have turned autograd off, too
            if isinstance(output, torch.Tensor) and output.ndim == 4 and len(output) == 1:
                found.append((output.grad_fn, least_eigenvalue(output.detach()[0])))

        every = self.variant == "released"
        handles = [
            one.register_forward_hook(see)
            for one in network.modules()
            if every or isinstance(one, CONVOLUTIONS)
        ]
        try:
            with differentiable(network, Minibatch(image, image.new_zeros(1), 1)) as shown:
                outputs = network(shown.requires_grad_() * 1)
        finally:
            for handle in handles:
                handle.remove()
        if not found:
            raise UndefinedScore("no_parameters", "no layer returns a map (1, C, H, W)")
        nodes = nodes_behind(outputs)
        values = [value for node, value in found if every or node in nodes]
        if not values:
            raise UndefinedScore("disconnected", "no convolution connects input and output")
        if not np.isfinite(values).all():
            raise UndefinedScore("non_finite", "some maps are not finite")
        return float(sum(values))


def least_eigenvalue(channels: Tensor) -> float:
    """Return the least eigenvalue of the correlation matrix of a map (C, H, W); NaN if infinite."""
    rows = channels.double().flatten(1)
    count, pixels = rows.shape
    if not bool(rows.isfinite().all()):
        return float("nan")
    if count >= pixels:  # centred rows of so few pixels depend on each other
        return 0.0
    # a constant channel less its mean leaves rounding errors
    errors = pixels * np.finfo(np.float64).eps * rows.abs().amax(1, keepdim=True)
    rows = rows - rows.mean(1, keepdim=True)
    norms = rows.norm(dim=1, keepdim=True)
    if bool((norms <= errors).any()):
        return 0.0
    unit = rows / norms
    return float(np.linalg.eigvalsh((unit @ unit.T).cpu().numpy())[0].clip(0))

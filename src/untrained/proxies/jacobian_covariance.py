"""How differently the images of a minibatch move the output: NASWOT's first form.

Mellor, Turner, Storkey, Crowley: Neural Architecture Search without Training, arXiv 2006.04647v1,
section 3; `jacob_cov` of Abdelfattah et al., ICLR 2021 (arXiv 2101.08134).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from untrained.proxies.base import BaseProxy, Cost, Direction, Need, UndefinedScore

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch
    from untrained.networks.batched_gradients import Networks

#: Is added to eigenvalues, so that the terms of an eigenvalue of zero are finite.
_OFFSET = 1e-5
#: Why a network has no such score.
UNMOVED = "no image moves the output"


@dataclass(frozen=True, eq=False)
class InputGradients:
    """The gradients of a minibatch by its pixels.

    Attributes:
        rows: J (N, C H W), one row for each image.
        labels: (N,).
        num_classes: the number of classes of the data set.
    """

    rows: NDArray[np.float64]
    labels: NDArray[np.int64]
    num_classes: int


@dataclass(frozen=True)
class OfInputGradients(BaseProxy):
    """A proxy that is read off the gradients of the sum of all logits by the pixels."""

    needs: ClassVar[frozenset[Need]] = frozenset({"gradients"})
    cost: ClassVar[Cost] = "backward"

    @property
    def measurement(self) -> str:
        """A key: these proxies are computed from the same backward pass."""
        return "input gradients"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """Score by one backward pass in the network's current mode; nothing is drawn.

        Raises:
            UndefinedScore: `disconnected` where no image moves the output, `not_applicable` where
                the output is no tensor of logits, or see `read`.
        """
        return self.read(self.measure(network, minibatch, generator))

    def measure(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> InputGradients:
        """Return the gradients and the labels; see `jacobian`."""
        del generator
        labels = minibatch.labels.cpu().numpy()
        return InputGradients(jacobian(network, minibatch), labels, minibatch.num_classes)

    def measure_many(
        self, networks: Networks, minibatch: Minibatch
    ) -> list[InputGradients | UndefinedScore]:
        """Return the gradients of many networks, and the labels, by one backward pass."""
        labels = minibatch.labels.cpu().numpy()
        return [
            InputGradients(rows, labels, minibatch.num_classes)
            if rows.any()
            else UndefinedScore("disconnected", UNMOVED)
            for rows in jacobians(networks, minibatch)
        ]

    @abstractmethod
    def read(self, measured: InputGradients) -> float:
        """Return the score of gradients; raise `UndefinedScore` where there is none."""


@dataclass(frozen=True)
class JacobianCovariance(OfInputGradients):
    """s = -sum_i [log(v_i + k) + 1 / (v_i + k)] over the eigenvalues v of a correlation, k = 1e-5.

    Row J_i is the gradient of the sum of all logits of the minibatch by the pixels of image i.
    Where a normalisation couples the images, it includes the logits of the other images. The
    paper uses 256 images; here the number is that of the run's minibatch, and
    `jacobian_covariance:256` sets another. Scores from different numbers are not comparable.
    """

    name: ClassVar[str] = "jacobian_covariance"
    variants: ClassVar[tuple[str, ...]] = ("version1",)
    aliases: ClassVar[tuple[str, ...]] = ("jacov", "jacob_cov")
    direction: ClassVar[Direction] = "higher"
    summary: ClassVar[str] = "spectrum of the correlation of input gradients (Mellor et al., 2020)"
    source: ClassVar[str] = "Mellor et al., 2020 (arXiv 2006.04647v1)"

    def read(self, measured: InputGradients) -> float:
        """Return the score of a Jacobian; see `correlation_score`."""
        return correlation_score(measured.rows)


def jacobian(network: nn.Module, minibatch: Minibatch) -> NDArray[np.float64]:
    """Return J (N, C H W), one row for each image of the minibatch.

    Raises:
        UndefinedScore: `disconnected`, or `not_applicable` where the output is no tensor of logits.
    """
    import torch

    from untrained.proxies.gradients import differentiable, disconnected, logits_of

    with differentiable(network, minibatch) as images:
        shown = images.requires_grad_()
        # a product, since a network that rectifies its input in place can't take a leaf
        logits = logits_of(network, network(shown * 1), len(shown))
        gradient = None
        if logits.requires_grad:
            (gradient,) = torch.autograd.grad(logits.sum(), shown, allow_unused=True)
    if gradient is None or not gradient.any():
        raise disconnected(network, UNMOVED, minibatch.images)
    found: NDArray[np.float64] = gradient.flatten(1).double().cpu().numpy()
    return found


def jacobians(networks: Networks, minibatch: Minibatch) -> list[NDArray[np.float64]]:
    """Return J (N, C H W) of each of many networks; it is zero where no image moves the output."""
    import torch

    from untrained.networks.batched_gradients import gradients_of

    with torch.inference_mode(mode=False), torch.enable_grad():
        shown = minibatch.images.detach().unsqueeze(1).repeat(1, networks.count, 1, 1, 1)
        parameters = networks.parameters(shown.dtype)
        logits = networks.logits(parameters, shown.requires_grad_())
        (gradient,) = gradients_of(logits.sum(), [shown])
    rows = gradient.transpose(0, 1).flatten(2).cpu()
    return [one.double().numpy() for one in rows]


def correlation_score(rows: NDArray[np.float64]) -> float:
    """Return the score of a Jacobian (N, pixels).

    Raises:
        UndefinedScore: see `unit_rows`.
    """
    unit = unit_rows(rows)
    # negative eigenvalues of a Gram matrix are rounding errors
    eigenvalues = np.linalg.eigvalsh(unit @ unit.T).clip(0)
    return float(-(np.log(eigenvalues + _OFFSET) + 1 / (eigenvalues + _OFFSET)).sum())


def unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows (N, pixels) less their means, of norm 1: their products are correlations.

    Raises:
        UndefinedScore: `non_finite`, or `singular` where some rows are constant.
    """
    if bad := np.count_nonzero(~np.isfinite(rows)):
        raise UndefinedScore("non_finite", f"{bad} of {rows.size} gradients are not finite")
    largest = np.abs(rows).max(axis=1, keepdims=True)
    # scaled, since squares of the entries of a large or a tiny row would overflow or vanish
    centred = rows / np.where(largest, largest, 1)
    centred = centred - centred.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    # a constant row less its mean leaves rounding errors
    constant = np.count_nonzero(norms <= rows.shape[1] * np.finfo(np.float64).eps)
    if constant:
        raise UndefinedScore(
            "singular", f"the gradient by {constant} of {len(rows)} images is constant"
        )
    return np.asarray(centred / norms)

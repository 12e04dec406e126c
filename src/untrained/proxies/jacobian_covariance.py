"""How differently the images move the output: NASWOT's first form.

Mellor, Turner, Storkey, Crowley: Neural Architecture Search without Training, arXiv 2006.04647v1,
section 3; `jacob_cov` of Abdelfattah et al., ICLR 2021 (arXiv 2101.08134).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from untrained.images.minibatches import Minibatch
from untrained.proxies.base import BaseProxy, Cost, Direction, UndefinedScore
from untrained.proxies.gradients import checked_logits, differentiable

#: Keeps the terms of an eigenvalue of zero finite.
_OFFSET = 1e-5


@dataclass(frozen=True)
class JacobianCovariance(BaseProxy):
    """s = -sum_i [log(v_i + k) + 1 / (v_i + k)] over the eigenvalues v of a correlation, k = 1e-5.

    The correlation is that of the rows J_i, the gradient of the sum of all logits of the minibatch
    by the pixels of image i: where a normalisation couples the images, those of the others are in
    it too. The paper shows 256 images; here they are those of the run's minibatch, and
    `jacobian_covariance:256` says another number. Scores of different numbers don't compare.
    """

    name: ClassVar[str] = "jacobian_covariance"
    variants: ClassVar[tuple[str, ...]] = ("version1",)
    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[frozenset[str]] = frozenset({"gradients"})
    summary: ClassVar[str] = "spectrum of the correlation of input gradients (Mellor et al., 2020)"
    cost: ClassVar[Cost] = "backward"

    def __call__(
        self, network: nn.Module, minibatch: Minibatch, generator: torch.Generator
    ) -> float:
        """See `Proxy.__call__`; one backward pass in the network's current mode, nothing drawn.

        Raises:
            UndefinedScore: `disconnected` where no image moves the output, `singular` where some
                rows of the Jacobian have no correlation, or `non_finite`.
            ParameterError: an output that is no tensor of logits.
        """
        del generator
        return correlation_score(jacobian(network, minibatch))


def jacobian(network: nn.Module, minibatch: Minibatch) -> NDArray[np.float64]:
    """J (N, C H W): a row per image of the minibatch.

    Raises:
        UndefinedScore: `disconnected`.
        ParameterError: an output that is no tensor of logits.
    """
    with differentiable(network, minibatch) as images:
        shown = images.requires_grad_()
        # a product, because a network that rectifies its input in place must not meet a leaf
        logits = checked_logits(network, network(shown * 1), len(shown))
        gradient = None
        if logits.requires_grad:
            (gradient,) = torch.autograd.grad(logits.sum(), shown, allow_unused=True)
    if gradient is None or not gradient.any():
        raise UndefinedScore("disconnected", "no image moves the output")
    found: NDArray[np.float64] = gradient.flatten(1).double().cpu().numpy()
    return found


def correlation_score(rows: NDArray[np.float64]) -> float:
    """The score of a Jacobian (N, pixels).

    Raises:
        UndefinedScore: `non_finite` or `singular`.
    """
    if bad := np.count_nonzero(~np.isfinite(rows)):
        raise UndefinedScore("non_finite", f"{bad} of {rows.size} gradients are not finite")
    largest = np.abs(rows).max(axis=1, keepdims=True)
    # squares of the entries of a large or a tiny row would overflow or vanish
    centred = rows / np.where(largest, largest, 1)
    centred = centred - centred.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    # what is left of a constant row is the rounding of its mean
    constant = np.count_nonzero(norms <= rows.shape[1] * np.finfo(np.float64).eps)
    if constant:
        raise UndefinedScore(
            "singular", f"the gradient by {constant} of {len(rows)} images is constant"
        )
    unit = centred / norms
    # a Gram matrix has no negative eigenvalues but for rounding
    eigenvalues = np.linalg.eigvalsh(unit @ unit.T).clip(0)
    return float(-(np.log(eigenvalues + _OFFSET) + 1 / (eigenvalues + _OFFSET)).sum())

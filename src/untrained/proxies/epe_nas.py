"""EPE-NAS: how alike the images of each class move the output.

Lopes, Alirezazadeh, Alexandre: EPE-NAS: Efficient Performance Estimation Without Training for
Neural Architecture Search, ICANN 2021 (arXiv 2102.08099).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from untrained.proxies.base import Direction, Need, UndefinedScore
from untrained.proxies.jacobian_covariance import InputGradients, OfInputGradients, unit_rows

#: Is added to correlations, so that the logarithm of a correlation of zero is finite.
_OFFSET = 1e-5
#: The largest number of classes whose scores are added up.
_ADDED = 100


@dataclass(frozen=True)
class EpeNas(OfInputGradients):
    """sum_c |s_c| with s_c = sum_ab log(|R_ab| + 1e-5), R the correlations within class c.

    R is the correlation matrix of the rows J_i of the images i of a class c; row J_i is the
    gradient of the sum of all logits of the minibatch by the pixels of image i. If the data set has
    more than 100 classes, the score is the mean of |s_c / count_c - s_d / count_d| over the ordered
    pairs of classes c and d, times the number of classes in the minibatch; count_c is the number of
    images of class c.

    A class of one image adds log(1 + 1e-5), which is nearly 0, so a minibatch must have a class of
    several images.
    """

    name: ClassVar[str] = "epe_nas"
    variants: ClassVar[tuple[str, ...]] = ("default",)
    direction: ClassVar[Direction] = "higher"
    needs: ClassVar[frozenset[Need]] = frozenset({"gradients", "labels"})
    summary: ClassVar[str] = "correlation of input gradients within classes (Lopes et al.)"
    source: ClassVar[str] = "Lopes et al., ICANN 2021 (arXiv 2102.08099)"

    def read(self, measured: InputGradients) -> float:
        """Return the score of a Jacobian and labels.

        Raises:
            UndefinedScore: `non_finite`; `singular` where a row is constant; `not_applicable`
                where no class has two images.
        """
        unit = unit_rows(measured.rows)
        return class_score(unit, measured.labels, measured.num_classes)


def class_score(unit: NDArray[np.float64], labels: NDArray[np.int64], num_classes: int) -> float:
    """Return the score of centred rows of norm 1 (N, pixels) with labels (N,).

    Raises:
        UndefinedScore: `not_applicable`: no class has two images.
    """
    present, counts = np.unique(labels, return_counts=True)
    if counts.max() < 2:
        raise UndefinedScore(
            "not_applicable",
            f"none of {len(present)} classes has two images in the minibatch: take a larger one or "
            "balanced sampling",
        )
    scores = []
    for label in present:
        own = unit[labels == label]
        scores.append(float(np.log(np.abs(own @ own.T) + _OFFSET).sum()))
    if num_classes <= _ADDED:
        return math.fsum(map(abs, scores))
    each = np.array(scores) / counts
    return float(np.abs(each[:, None] - each[None, :]).sum() / len(present))

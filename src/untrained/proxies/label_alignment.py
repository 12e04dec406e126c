"""How well a kernel agrees with the labels of its images.

The label matrix L (n, n) has +1 where two images have the same label and -1 elsewhere.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from untrained.proxies.base import UndefinedScore

Matrix = NDArray[np.float64]


def label_matrix(labels: NDArray[np.int64]) -> Matrix:
    """Return L (n, n) of the labels (n,)."""
    return np.where(labels[:, None] == labels[None], 1.0, -1.0)


def entry_correlation(kernel: Matrix, labels: NDArray[np.int64]) -> float:
    """Return the Pearson correlation of all n^2 entries of a kernel and of the label matrix.

    The mean of all its entries is subtracted from each matrix (Mok et al., CVPR 2022; Deshpande et
    al., arXiv 2102.00084).

    Raises:
        UndefinedScore: `constant_labels` or `constant_kernel`.
    """
    return _correlation(kernel, labels, centred)


def centred_alignment(kernel: Matrix, labels: NDArray[np.int64]) -> float:
    """Return the centred alignment of a kernel with the label matrix.

    The means of rows and columns are subtracted from both matrices (Cortes, Mohri and
    Rostamizadeh, JMLR 13, 2012, equation 2), so 0 in place of -1 in L would give the same number.

    Raises:
        UndefinedScore: `constant_labels` or `constant_kernel`.
    """
    return _correlation(kernel, labels, _double_centred)


def centred(matrix: Matrix) -> Matrix:
    """Return a matrix less the mean of its entries."""
    found: Matrix = matrix - matrix.mean()
    return found


def _double_centred(matrix: Matrix) -> Matrix:
    rows, columns = matrix.mean(1, keepdims=True), matrix.mean(0, keepdims=True)
    found: Matrix = matrix - rows - columns + matrix.mean()
    return found


def of_unit_norm(kernel: Matrix, centre: Callable[[Matrix], Matrix]) -> Matrix:
    """Return a centred kernel (n, n) divided by its Frobenius norm.

    Raises:
        UndefinedScore: `constant_kernel`.
    """
    largest = np.abs(kernel).max()
    # scaled, since squares of the entries of a large or a tiny kernel would overflow or vanish
    left = centre(kernel / largest) if largest > 0 else kernel
    spread = np.linalg.norm(left)
    # a constant kernel less its mean leaves rounding errors
    if spread <= len(kernel) * np.finfo(np.float64).eps:
        raise UndefinedScore(
            "constant_kernel", f"the kernel's {kernel.size} entries don't differ once centred"
        )
    found: Matrix = left / spread
    return found


def _correlation(
    kernel: Matrix, labels: NDArray[np.int64], centre: Callable[[Matrix], Matrix]
) -> float:
    if (labels == labels[0]).all():
        raise UndefinedScore(
            "constant_labels", f"all {len(labels)} images of the minibatch have label {labels[0]}"
        )
    right = centre(label_matrix(labels))
    return float(np.vdot(of_unit_norm(kernel, centre), right) / np.linalg.norm(right))

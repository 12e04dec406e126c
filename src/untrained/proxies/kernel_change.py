"""How far a kernel is from another kernel of the same images, such as that before training.

Mok et al., CVPR 2022 (arXiv 2203.14577) follow both numbers during a training; so did Fort et al.,
NeurIPS 2020 (arXiv 2010.15110).
"""

import numpy as np

from untrained.proxies.base import UndefinedScore
from untrained.proxies.label_alignment import Matrix, centred, of_unit_norm


def relative_change(kernel: Matrix, initial: Matrix) -> float:
    """Return the Frobenius norm of the difference of two kernels (n, n), over the initial norm.

    Raises:
        UndefinedScore: `constant_kernel`: all entries of the initial one are 0.
    """
    smaller, larger = np.abs(initial).max(), max(np.abs(kernel).max(), np.abs(initial).max())
    if not smaller:
        raise UndefinedScore(
            "constant_kernel", f"the initial kernel's {initial.size} entries are all 0"
        )
    # scaled, since squares of the entries of a large or a tiny kernel would overflow or vanish
    difference = np.linalg.norm(kernel / larger - initial / larger)
    return float(difference / np.linalg.norm(initial / smaller) * (larger / smaller))


def kernel_correlation(kernel: Matrix, initial: Matrix) -> float:
    """Return the Pearson correlation of all n^2 entries of two kernels (n, n).

    Raises:
        UndefinedScore: `constant_kernel`: all entries of one of the kernels are equal.
    """
    return float(np.vdot(of_unit_norm(kernel, centred), of_unit_norm(initial, centred)))

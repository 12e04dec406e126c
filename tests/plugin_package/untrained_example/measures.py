"""A helper module of the proxy: what changes here makes its scores stale."""

from torch import Tensor


def spread(values: Tensor) -> float:
    """The mean standard deviation of the columns (n, classes)."""
    return float(values.double().std(dim=0).mean())

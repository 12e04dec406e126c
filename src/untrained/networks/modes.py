"""Training and evaluation mode, which each module of a network has for itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def modes_restored(network: nn.Module) -> Iterator[None]:
    """Give every module of `network` its mode back when the block ends, however it ends.

    `network.train(mode)` would not do: a network may hold some of its parts in the other mode.
    """
    saved = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, training in saved:
            module.training = training

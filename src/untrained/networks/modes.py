"""Context managers that restore what running a network changes: modes and buffers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def modes_restored(network: nn.Module) -> Iterator[None]:
    """Restore the mode of every module of `network` when the block ends, however it ends.

    `network.train(mode)` would not do, since some modules may be in the other mode.
    """
    saved = [(module, module.training) for module in network.modules()]
    try:
        yield
    finally:
        for module, training in saved:
            module.training = training


@contextmanager
def buffers_restored(network: nn.Module) -> Iterator[None]:
    """Restore the buffers of `network`, such as running statistics, when the block ends."""
    saved = [
        (module, name, buffer, buffer.clone())
        for module in network.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        yield
    finally:
        for module, name, buffer, value in saved:
            with torch.no_grad():
                buffer.copy_(value)
            setattr(module, name, buffer)  # a forward pass may have replaced the buffer

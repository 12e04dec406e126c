"""What running a network changes in it: modes and buffers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
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


@contextmanager
def buffers_restored(network: nn.Module) -> Iterator[None]:
    """Undo what forward passes do to buffers: scoring leaves batch statistics as they were."""
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
            setattr(module, name, buffer)  # a forward pass may have put another in its place

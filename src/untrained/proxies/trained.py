"""Proxies that are read after a few epochs of training, spelled `name@epochs`."""

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from untrained.errors import ParameterError
from untrained.proxies.base import Direction, Proxy, Setting, setting_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from untrained.images.minibatches import Minibatch


@dataclass(frozen=True)
class Trained:
    """A proxy with the number of epochs after which it is read; otherwise as the proxy.

    Attributes:
        proxy: what is read.
        epochs: above 0.
    """

    proxy: Proxy
    epochs: float

    @property
    def name(self) -> str:
        """The registered name, without the epochs."""
        return self.proxy.name

    @property
    def variants(self) -> tuple[str, ...]:
        """See `Proxy`."""
        return self.proxy.variants

    @property
    def direction(self) -> Direction:
        """See `Proxy`."""
        return self.proxy.direction

    @property
    def needs(self) -> frozenset[str]:
        """See `Proxy`."""
        return self.proxy.needs | {"training"}

    @property
    def variant(self) -> str:
        """See `Proxy`."""
        return self.proxy.variant

    @property
    def details(self) -> str:
        """Those of the proxy."""
        found: str = getattr(self.proxy, "details", "")
        return found

    @property
    def setting(self) -> Setting:
        """That of the proxy, with the epochs."""
        return replace(setting_of(self.proxy), epochs=self.epochs)

    def __call__(
        self, network: "nn.Module", minibatch: "Minibatch", generator: "torch.Generator"
    ) -> float:
        """Score a network that has been trained so; see `Proxy.__call__`."""
        return self.proxy(network, minibatch, generator)


def after_training(proxy: Proxy, epochs: float) -> Proxy:
    """The proxy that is read after so many epochs; after none, the proxy itself.

    Raises:
        ParameterError: it is read off crops, by a network that takes nothing else.
    """
    if not epochs:
        return proxy
    if (crop := setting_of(proxy).crop) is not None:
        size = "x".join(map(str, crop))
        raise ParameterError(
            f"{proxy.name} is read off crops of {size}, and no network is trained on those: "
            f"drop @{spell_epochs(epochs)}"
        )
    # what a proxy has as variables of its class are properties here
    return cast("Proxy", Trained(proxy, epochs))


def read_at_stop(proxy: Proxy) -> Proxy:
    """What is read off the trained network: the proxy without its epochs."""
    return proxy.proxy if isinstance(proxy, Trained) else proxy


def parse_epochs(text: str, spelling: str) -> float:
    """The number of epochs behind the @ of a spelling.

    Raises:
        ParameterError: not a number, negative or infinite.
    """
    epochs = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else math.nan
    if not math.isfinite(epochs):
        raise ParameterError(
            f"{spelling!r}: {text!r} is no number of epochs, 0 or more, as in lga@1 or lga@0.5"
        )
    return epochs


def spell_epochs(epochs: float) -> str:
    """The inverse of `parse_epochs`: 1 or 0.5."""
    return np.format_float_positional(epochs, trim="-")

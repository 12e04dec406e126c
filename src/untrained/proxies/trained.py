"""Proxies that are read off another number of images, or after a few epochs of training.

They are spelled `name:images`, `name@epochs` or `name:images@epochs`.
"""

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


#: Of a training before a score; what takes longer is no short one.
MOST_EPOCHS = 1000


@dataclass(frozen=True)
class Reset:
    """A proxy with another setting; otherwise as the proxy.

    Attributes:
        proxy: what is read.
        setting: what it is read off.
    """

    proxy: Proxy
    setting: Setting

    @property
    def name(self) -> str:
        """The registered name, without images and epochs."""
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
        return self.proxy.needs | ({"training"} if self.setting.epochs else set())

    @property
    def variant(self) -> str:
        """See `Proxy`."""
        return self.proxy.variant

    @property
    def details(self) -> str:
        """Those of the proxy."""
        found: str = getattr(self.proxy, "details", "")
        return found

    def __call__(
        self, network: "nn.Module", minibatch: "Minibatch", generator: "torch.Generator"
    ) -> float:
        """Score a network that has been trained so, on such images; see `Proxy.__call__`."""
        return self.proxy(network, minibatch, generator)


def with_setting(proxy: Proxy, images: int | None, epochs: float) -> Proxy:
    """The proxy that is read off so many images after so many epochs.

    Args:
        proxy: as it is registered.
        images: in the minibatch; None for as many as without this.
        epochs: 0 for none.

    Raises:
        ParameterError: it is read off crops, by a network that takes nothing else, or off all that
            a training leaves out, whatever their number.
    """
    setting = setting_of(proxy)
    if setting.held_out and images is not None:
        raise ParameterError(f"{proxy.name} is read off all held-out images: drop :{images}")
    if images is None and not epochs:
        return proxy
    if epochs and (crop := setting.crop) is not None:
        size = "x".join(map(str, crop))
        raise ParameterError(
            f"{proxy.name} is read off crops of {size}, and no network is trained on those: "
            f"drop @{spell_epochs(epochs)}"
        )
    changed = replace(setting, images=images or setting.images, epochs=epochs)
    # what a proxy has as variables of its class are properties here
    return cast("Proxy", Reset(proxy, changed))


def check_readable(proxy: Proxy) -> None:
    """Check that there is something to read a proxy off.

    Raises:
        ParameterError: it is read off what a training leaves out, and nothing is trained.
    """
    setting = setting_of(proxy)
    if setting.held_out and not setting.epochs:
        raise ParameterError(f"{proxy.name} is read after training: write {proxy.name}@1")


def registered(proxy: Proxy) -> Proxy:
    """The proxy without images and epochs of a spelling: what is read when both are there."""
    return proxy.proxy if isinstance(proxy, Reset) else proxy


def parse_images(text: str, spelling: str) -> int:
    """The number of images behind the : of a spelling.

    Raises:
        ParameterError: not an integer, or below 2.
    """
    images = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if images < 2:
        raise ParameterError(
            f"{spelling!r}: {text!r} is no number of images, 2 or more, as in lga:64 or lga:64@1"
        )
    return images


def parse_epochs(text: str, spelling: str) -> float:
    """The number of epochs behind the @ of a spelling.

    Raises:
        ParameterError: not a number, negative or above `MOST_EPOCHS`.
    """
    epochs = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else math.nan
    if not epochs <= MOST_EPOCHS:
        raise ParameterError(
            f"{spelling!r}: {text!r} is no number of epochs, 0 to {MOST_EPOCHS}, as in lga@1 or "
            "lga@0.5"
        )
    return epochs


def spell_epochs(epochs: float) -> str:
    """The inverse of `parse_epochs`: 1 or 0.5."""
    return np.format_float_positional(epochs, trim="-")

"""Networks that belong to no space: modules with the weights they have, and what factories make."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from untrained.errors import (
    NetworkError,
    ParameterError,
    UntrainedError,
    first_line,
    quoted,
    stops,
    theirs,
)
from untrained.networks.modes import parameters_registered, settings_restored, unchanged
from untrained.networks.prepared import copied, unwrapped
from untrained.plugins import imported
from untrained.scoring.images import Shape, spell_shape
from untrained.scoring.request import OwnNetwork
from untrained.seeds import ALONE
from untrained.training.logits import logits_among


@dataclass(frozen=True)
class Calling:
    """How a network of one's own is run on images, and what of its outputs is scored.

    Attributes:
        forward: called with the network and images (N, C, H, W), it returns the outputs; None for
            `network(images)`.
        output: returns of the outputs what is scored, for most proxies logits (N, classes); None
            for `logits_among`.
    """

    forward: Callable[[nn.Module, Tensor], Any] | None = None
    output: Callable[[Any], Any] | None = None

    def prepare(self, network: nn.Module) -> nn.Module:
        """Return what is scored in the place of a network, which gets a hook."""
        called = network
        if self.forward is not None:
            called = type(type(network).__name__, (_Called,), {})(network, self.forward)
        called.register_forward_hook(self._pick)
        return called

    def _pick(self, _network: nn.Module, _images: object, outputs: object) -> object:
        if self.output is None:
            return logits_among(outputs)
        picked = theirs(self.output, outputs)
        if picked is None:  # a hook that returns None changes nothing
            raise NetworkError("the function that picks the output returned None: return a tensor")
        return picked


class _Called(nn.Module):
    """A network that a function calls; it is named as the network is, for messages."""

    def __init__(self, network: nn.Module, function: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.network = network
        self._function = function

    def forward(self, images: Tensor) -> object:
        """Return what the function makes of images (N, C, H, W)."""
        return theirs(self._function, self.network, images)


def kept(
    network: nn.Module, *, trained: bool, calling: Calling = Calling()
) -> AbstractContextManager[OwnNetwork]:
    """Yield a network to score with the weights it has; it is left as it was.

    Args:
        network: the network.
        trained: whether it is trained before it is scored; then a copy of it is.
        calling: how it is run.
    """
    inner = unwrapped(network)
    make = (lambda: copied(inner)) if trained else (lambda: inner)
    return made_by(type(network).__name__, make, calling)


def load_factory(address: str) -> Callable[..., Any]:
    """Return the callable at `package.module:name`, also from the working directory.

    Raises:
        PluginError: no such module or attribute, or the module can't be imported.
        ParameterError: the attribute can't be called.
    """
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    factory = imported("network", address)
    if not callable(factory):
        raise ParameterError(f"{address} is no function or class: name one that can be called")
    found: Callable[..., Any] = factory
    return found


@contextmanager
def made_by(
    name: str, factory: Callable[[], object], calling: Calling = Calling()
) -> Iterator[OwnNetwork]:
    """Yield the network that a factory makes anew for each score, for any number of classes.

    A factory may return a network that exists, or has parts that do, which are then left as they
    were: each network is put back as it was made when the next one is made, or when the context
    ends. Only weights that the factory has just given to modules keep the values that they get.
    Other threads wait until the context ends.

    Args:
        name: the name of the network in messages.
        factory: returns the network.
        calling: how it is run.
    """
    with ALONE, ExitStack() as made:

        def build(_classes: int) -> nn.Module:
            made.close()
            with settings_restored(), parameters_registered() as fresh:
                network = theirs(factory)
            if not isinstance(network, nn.Module):
                raise NetworkError(
                    f"{name} returned a {type(network).__name__}: it must return a torch.nn.Module"
                )
            network = unwrapped(network)
            if isinstance(network, torch.jit.ScriptModule):
                return network  # it takes no hooks, and no score is read off it
            # fresh weights are drawn anew for the next score, and a copy may need much memory
            made.enter_context(unchanged(network, fresh=fresh))
            return calling.prepare(network)

        yield OwnNetwork(name, build)


@contextmanager
def blamed(name: str, shape: Shape) -> Iterator[None]:
    """Turn any failure of a network that a factory makes into one line.

    Raises:
        NetworkError: the network failed on images of `shape`, or ended the process; the message
            names the error.
    """
    try:
        yield
    except UntrainedError:
        raise
    except BaseException as error:
        if stops(error):
            raise
        raise NetworkError(
            f"{name} failed on images of {spell_shape(shape)}: {first_line(error)}"
        ) from error


def parse_shape(text: str) -> Shape:
    """Return (C, H, W) of a shape such as "3x32x32".

    Raises:
        ParameterError: not three positive integers.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8}){2}", text.lower()):
        raise ParameterError(f"input {quoted(text)}: channels x height x width, as in 3x32x32")
    channels, height, width = map(int, text.lower().split("x"))
    return channels, height, width

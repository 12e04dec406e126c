"""Networks that belong to no space: modules with the weights they have, and what factories make."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from untrained.errors import ParameterError, UntrainedError, first_line
from untrained.networks.modes import modes_restored
from untrained.networks.prepared import copied
from untrained.plugins import imported
from untrained.scoring.request import OwnNetwork

Shape = tuple[int, int, int]


@contextmanager
def kept(network: nn.Module, *, trained: bool) -> Iterator[OwnNetwork]:
    """Yield a network to score with the weights it has; it is left as it was.

    Args:
        network: the network.
        trained: whether it is trained before it is scored; then a copy of it is.
    """
    home = next((parameter.device for parameter in network.parameters()), None)

    def build(_classes: int) -> nn.Module:
        return copied(network) if trained else network

    try:
        with modes_restored(network):
            yield OwnNetwork(type(network).__name__, build)
    finally:
        if home is not None:
            network.to(home)


def load_factory(address: str) -> Callable[..., object]:
    """Return the callable at `package.module:name`, also from the working directory.

    Raises:
        PluginError: no such module or attribute.
        ParameterError: the module can't be imported, or the attribute can't be called.
    """
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        factory = imported("network", address)
    except UntrainedError:
        raise
    except Exception as error:
        raise ParameterError(f"{address} can't be imported: {first_line(error)}") from error
    if not callable(factory):
        raise ParameterError(f"{address} is no function or class: name one that makes a network")
    found: Callable[..., object] = factory
    return found


def made_by(address: str, shape: Shape) -> OwnNetwork:
    """Return the network that a factory makes, for any number of classes.

    Args:
        address: `package.module:name` of the factory.
        shape: (C, H, W) of the images that the network takes.

    Raises:
        UntrainedError: see `load_factory`.
    """
    factory = load_factory(address)

    def build(_classes: int) -> nn.Module:
        network = factory()
        if not isinstance(network, nn.Module):
            raise ParameterError(
                f"the factory returned a {type(network).__name__}: it must return a torch.nn.Module"
            )
        return network

    return OwnNetwork(address, build, shape)


@contextmanager
def blamed(network: OwnNetwork) -> Iterator[None]:
    """Turn any failure of a network that a factory makes into one line.

    Raises:
        ParameterError: the network failed; the message names the error.
    """
    try:
        yield
    except UntrainedError:
        raise
    except Exception as error:
        shape = "x".join(map(str, network.shape or ()))
        raise ParameterError(
            f"{network.name} failed on images of {shape}: {first_line(error)}"
        ) from error


def parse_shape(text: str) -> Shape:
    """Return (C, H, W) of a shape such as "3x32x32".

    Raises:
        ParameterError: not three positive integers.
    """
    if not re.fullmatch(r"[1-9][0-9]*(x[1-9][0-9]*){2}", text.lower()):
        raise ParameterError(f"--input {text!r}: channels x height x width, as in 3x32x32")
    channels, height, width = map(int, text.lower().split("x"))
    return channels, height, width

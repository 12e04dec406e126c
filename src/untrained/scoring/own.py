"""Scores networks of one's own: a module with the weights it has, or what a function makes."""

import copy
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from torch import nn

from untrained.errors import ParameterError, UntrainedError
from untrained.images.minibatches import Minibatch
from untrained.networks.modes import modes_restored
from untrained.plugins import imported
from untrained.proxies.base import Setting
from untrained.scoring.engine import Build, Score, Subject
from untrained.scoring.request import ScoreRequest
from untrained.training.short import WatchSteps, unwatched

Shape = tuple[int, int, int]


def score_own(
    request: ScoreRequest,
    build: Build,
    seed: int,
    shape: Shape | None = None,
    watch: WatchSteps = unwatched,
) -> list[Score]:
    """Score what a function makes by the proxies of a request, each on a network of its own.

    Args:
        request: of the scores; its seeds are not looked at.
        build: makes the network for a number of classes.
        seed: of minibatch and weights.
        shape: (C, H, W) of the images that the network takes; None for those of the data set.
        watch: wraps the steps of each training.

    Raises:
        ParameterError: the images can't have this shape, or after training have another one.
    """
    scores, images, execution = [], request.images, request.execution

    def shown(setting: Setting) -> Minibatch:
        return images.sized_for(setting).draw_shaped(shape, seed, execution.device)

    for reading in request.proxies:
        setting, training = reading.setting, None
        if setting.epochs:
            whole = setting.test_after_training
            training = images.training_images(seed, request.training, watch, whole=whole)
            if shape is not None and training.known.shape != shape:
                raise ParameterError(
                    f"--input {_spelled(shape)}: training shows images as they are, "
                    f"{_spelled(training.known.shape)}"
                )
        subject = Subject(build, execution, seed, shown, training=training)
        scores += subject.scores([reading])
    return scores


def score_module(request: ScoreRequest, network: nn.Module) -> list[Score]:
    """Score a network with the weights it has, or a copy trained from there; it is left as it was.

    A plan is run only where `execution` asks for it: it takes normalisations of zeros to be zero,
    which holds for fresh weights and need not hold for these.
    """
    if request.execution.engine == "auto":
        request = replace(request, execution=replace(request.execution, engine="plain"))
    trains = any(reading.epochs for reading in request.proxies)
    home = next((parameter.device for parameter in network.parameters()), None)

    def build(_classes: int) -> nn.Module:
        return copy.deepcopy(network) if trains else network

    try:
        with modes_restored(network):
            return score_own(request, build, request.seeds[0])
    finally:
        if home is not None:
            network.to(home)


def load_factory(address: str) -> Callable[..., object]:
    """The callable at `package.module:name`, looked for in the working directory too.

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
        raise ParameterError(f"{address} can't be imported: {_first_line(error)}") from error
    if not callable(factory):
        raise ParameterError(f"{address} is no function or class: name one that makes a network")
    found: Callable[..., object] = factory
    return found


def builder(factory: Callable[..., object]) -> Build:
    """Make a builder that calls a factory, whatever the number of classes is."""

    def build(_classes: int) -> nn.Module:
        network = factory()
        if not isinstance(network, nn.Module):
            raise ParameterError(
                f"the factory returned a {type(network).__name__}: it must return a torch.nn.Module"
            )
        return network

    return build


@contextmanager
def blamed(address: str, shape: Shape) -> Iterator[None]:
    """Turn any failure of a network of one's own into one line.

    Raises:
        ParameterError: with the error and where it comes from.
    """
    try:
        yield
    except UntrainedError:
        raise
    except Exception as error:
        raise ParameterError(
            f"{address} failed on images of {_spelled(shape)}: {_first_line(error)}"
        ) from error


def parse_shape(text: str) -> Shape:
    """(C, H, W) of "3x32x32".

    Raises:
        ParameterError: not three positive integers.
    """
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){2}", text.lower()):
        raise ParameterError(f"--input {text!r}: channels x height x width, as in 3x32x32")
    channels, height, width = map(int, text.lower().split("x"))
    return channels, height, width


def _spelled(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _first_line(error: Exception) -> str:
    line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {line} (--debug shows where)"

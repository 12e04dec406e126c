"""Requests of scores: the proxies that are read off networks, images and seeds.

A proxy is spelled `name`, or `name-variant` where it has variants: `naswot`, `naswot-released`.
`lga:64` is read off 64 images of any minibatch; `lga@1`, `lga-weights_train:64@0.5` are
read after so many epochs of training. The name may be an address: `my.module:MyProxy-variant:64@1`.
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from untrained.closure import code_digest
from untrained.errors import ParameterError, quoted
from untrained.images.sets import image_set, modules_of
from untrained.proxies import ENSEMBLES, PROXIES, get_proxy, setting_of
from untrained.proxies.base import Direction, Proxy, Setting
from untrained.training.recipe import MOST_EPOCHS, ShortRecipe

if TYPE_CHECKING:
    from torch import nn

    from untrained.images.minibatches import Loss
    from untrained.scoring.execution import Execution
    from untrained.scoring.images import MinibatchSettings, Shape
    from untrained.spaces import SearchSpace

#: The types of numbers that networks are run with.
PRECISIONS = ("auto", "float32", "bfloat16")

#: Packages that compute the scores.
_LIBRARIES = ("numba", "numpy", "torch")

_SPELLING = re.compile(
    r"(?P<name>[\w.]+:[^\W\d]\w*|[^-:@]*)(?:-(?P<variant>[^:@]*))?"
    r"(?::(?P<images>[^@]*))?(?:@(?P<epochs>.*))?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Reading:
    """A proxy, with the number of images and the epochs of training before it is read.

    Attributes:
        proxy: the proxy that is read.
        images: number of images; None for that of the proxy's definition or of the request.
        epochs: epochs of training before the proxy is read.

    Raises:
        ParameterError: images are given to a proxy that is read off all held-out images, or epochs
            to one that is read off crops, on which no network is trained.
    """

    proxy: Proxy
    images: int | None = None
    epochs: float = 0

    def __post_init__(self) -> None:
        own = setting_of(self.proxy)
        if own.held_out and self.images is not None:
            raise ParameterError(
                f"{self.name} is read off all held-out images: drop :{self.images}"
            )
        if self.epochs and own.crop is not None:
            size = "x".join(map(str, own.crop))
            raise ParameterError(
                f"{self.name} is read off crops of {size}, and no network is trained on those: "
                f"drop @{spell_epochs(self.epochs)}"
            )
        if self.images == own.images:  # equal readings have one spelling
            object.__setattr__(self, "images", None)

    @property
    def name(self) -> str:
        """Return the name of the proxy."""
        return self.proxy.name

    @property
    def direction(self) -> Direction:
        """Return whether the better network scores higher or lower."""
        return self.proxy.direction

    @property
    def needs(self) -> frozenset[str]:
        """Return what the proxy needs beyond a forward pass, such as "training"."""
        return self.proxy.needs | ({"training"} if self.epochs else set())

    @cached_property
    def setting(self) -> Setting:
        """Return the network, the images and the training that it is read off."""
        own = setting_of(self.proxy)
        return replace(own, images=self.images or own.images, epochs=self.epochs)

    @cached_property
    def spelling(self) -> str:
        """Spell it so that `parse_reading` returns it; defaults are left out."""
        kind, variant = type(self.proxy), self.proxy.variant
        name = self.name
        if name not in PROXIES.names():
            name = f"{kind.__module__}:{kind.__qualname__}"
        name += "" if variant == self.proxy.variants[0] else f"-{variant}"
        name += f":{self.images}" if self.images else ""
        return f"{name}@{spell_epochs(self.epochs)}" if self.epochs else name

    def __str__(self) -> str:
        return self.spelling

    @property
    def description(self) -> str:
        """Describe the proxy's details, if it has any, and its setting in words."""
        details: str = getattr(self.proxy, "details", "")
        return f"{details}; {self.setting}" if details else str(self.setting)

    def check_readable(self) -> None:
        """Raise ParameterError for a proxy of held-out images that is read without a training."""
        if self.setting.held_out and not self.epochs:
            raise ParameterError(f"{self.name} is read after training: write {self.name}@1")


class RankSettings(TypedDict, total=False):
    """The images that candidates of a ranking are shown, and the way in which they are run.

    Attributes:
        split: `sample` (bundled, default), or a split of the official files.
        batch_size: images in the minibatch; default 128.
        augmentation: `none` (default) or `crop-flip`.
        sampling: `uniform` (default), or `balanced`: as many images of each class as can be.
        root: folder of the official files.
        precision: `auto` (default), `float32` or `bfloat16`.
    """

    split: str
    batch_size: int
    augmentation: str
    sampling: str
    root: Path
    precision: str


class Settings(RankSettings, total=False):
    """The settings of scores: those of rankings, and these.

    Attributes:
        dataset: the data set of the images; default cifar10.
        device: `auto` (default), a GPU that is free or else the CPU, or a device in PyTorch's
            notation.
        engine: `auto` (default), `plain` or `fast`; see `untrained.scoring.execution`.
    """

    dataset: str
    device: str
    engine: str


@dataclass(frozen=True, eq=False)
class OwnNetwork:
    """A network that belongs to no space.

    Attributes:
        name: its address, or its type.
        build: makes the network; it is given the number of classes.
    """

    name: str
    build: "Callable[[int], nn.Module]"


@dataclass(frozen=True)
class ScoreRequest:
    """All that scores depend on, except which architectures of the target are scored.

    Attributes:
        target: the space, or a network that belongs to none.
        proxies: the proxies that are read off each network.
        images: the settings of the minibatch, without its seed.
        seeds: the seeds of minibatch and weights.
        execution: how networks are run.
        training: how networks are trained before proxies with epochs are read.
        minibatch_seed: the seed of the minibatch; None for that of the weights.
        loss: the loss of a network's outputs and labels, in the place of the cross-entropy.
        tolerant: whether a network or a proxy that fails is a score with a status instead of an
            error; see `untrained.scoring.engine.tolerated`.
    """

    target: "SearchSpace | OwnNetwork"
    proxies: tuple[Reading, ...]
    images: "MinibatchSettings"
    seeds: tuple[int, ...]
    execution: "Execution"
    training: ShortRecipe = ShortRecipe()  # noqa: RUF009 - immutable
    minibatch_seed: int | None = None
    loss: "Loss | None" = None
    tolerant: bool = False

    @property
    def space(self) -> "SearchSpace":
        """Return the target, or raise TypeError where it belongs to no space."""
        if isinstance(self.target, OwnNetwork):
            raise TypeError(f"{self.target.name} is no space of architectures")
        return self.target

    def key(self, *modules: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Return what identifies work on a space in a ledger.

        This is the request with the digest of the code that it uses, the versions of libraries
        and the digest of the images.

        Args:
            modules: further modules whose code the work uses, besides engine, proxies and space.
            more: everything else that the work depends on, as JSON.
        """
        shown = asdict(self.images)
        del shown["root"], shown["given"]  # the digest of the files counts, not where they lie
        request = {
            "target": self.space.name,
            "space": state_of(self.space),
            "proxies": [one.spelling for one in self.proxies],
            "images": shown,
            "seeds": list(self.seeds),
            "engine": self.execution.engine,
            "precision": self.execution.precision,
            "device": self.execution.device.type,
            "type": str(self.execution.dtype(planned=True)),
            "training": asdict(self.training),
            "minibatch_seed": self.minibatch_seed,
        }
        used = {type(reading.proxy).__module__ for reading in self.proxies}
        used |= {type(self.space).__module__, *modules_of(self.images.dataset)}
        return {
            "request": request,
            "versions": {name: version(name) for name in _LIBRARIES},
            "code": code_digest("untrained.scoring.engine", *sorted(used), *modules),
            "files": self.images.digest(),
            **more,
        }


def state_of(space: "SearchSpace") -> str:
    """Describe what a space was made with; two spaces of one class may have other architectures."""
    return repr(
        sorted(
            (name, _described(value))
            for name, value in vars(space).items()
            if not isinstance(getattr(type(space), name, None), cached_property)
        )
    )


def _described(value: object) -> object:
    """Return a value, of an array what tells it from others: its text leaves numbers out."""
    if not hasattr(value, "__array__"):
        return value
    array = np.asarray(value)
    return array.shape, array.dtype.str, hashlib.sha256(array.tobytes()).hexdigest()


@contextmanager
def requested(
    target: "SearchSpace | OwnNetwork",
    readings: Iterable[Reading],
    seeds: Iterable[int],
    settings: Settings,
    shape: "Shape | None" = None,
) -> Iterator[ScoreRequest]:
    """Yield the request of some settings; its device is leased until the context ends.

    A data set that has only one split is shown in that split, its images in `shape` (C, H, W).

    Raises:
        UntrainedError: a setting that does not exist, or a value that it can't have.
    """
    from untrained.scoring.arguments import settings_of
    from untrained.scoring.devices import leased_device
    from untrained.scoring.execution import Execution
    from untrained.scoring.images import MinibatchSettings

    given = settings_of(settings, Settings)
    device = given.pop("device", "auto")
    run = {name: given.pop(name) for name in ("engine", "precision") if name in given}
    images = MinibatchSettings(**given, shape=shape)
    images = replace(images, split=image_set(images.dataset).split(images.split))
    with leased_device(device) as leased:
        yield ScoreRequest(target, tuple(readings), images, tuple(seeds), Execution(leased, **run))


def parse_reading(spelling: str, variant: str | None = None) -> Reading:
    """Parse `name[-variant][:images][@epochs]`.

    Args:
        spelling: for example `naswot`, `naswot-released` or `lga:64@1`.
        variant: the variant, where the spelling has none.

    Raises:
        UnknownNameError: there is no such proxy, or it has no such variant.
        ParameterError: the number of images or epochs is no number, or does not suit the proxy; or
            it is an ensemble, see `untrained.scoring.ensembles.parse_proxy`.
    """
    if is_ensemble(spelling):
        raise ParameterError(
            f"{quoted(spelling)} is an ensemble, which ranks a pool of architectures: name a "
            "proxy here"
        )
    parts = _parts(spelling)
    name = "-".join(filter(None, [parts["name"], parts["variant"]]))
    proxy = get_proxy(name, variant)
    images, epochs = parts["images"], parts["epochs"]
    return Reading(
        proxy,
        None if images is None else _parse_images(images, spelling),
        0 if epochs is None else _parse_epochs(epochs, spelling),
    )


def name_of(spelling: str) -> str:
    """Return the name or address of the proxy in a spelling, known or not."""
    return _parts(spelling)["name"] or ""


def is_ensemble(spelling: str) -> bool:
    """Return whether a spelling is that of an ensemble, right or wrong."""
    return "(" in spelling or spelling in ENSEMBLES


def shows_test(spelling: str) -> bool:
    """Return whether a proxy is read on test images and their labels, as released code does.

    An ensemble is, if one of its members is.
    """
    if is_ensemble(spelling):
        from untrained.scoring.ensembles import readings_of

        return any(shows_test(str(one)) for one in readings_of([spelling]))
    # this is so only after training, which saves the import of other proxies
    return "@" in spelling and parse_reading(spelling).setting.shows_test


def spell_epochs(epochs: float) -> str:
    """Spell a number of epochs: 1 or 0.5."""
    return np.format_float_positional(epochs, trim="-")


def _parts(spelling: str) -> dict[str, Any]:
    found = _SPELLING.fullmatch(spelling)
    parts = found.groupdict() if found else dict.fromkeys(_SPELLING.groupindex) | {"name": spelling}
    name, _, rest = str(parts["name"]).partition(":")
    if rest and name in PROXIES.names():  # a word in the place of a number of images
        parts |= {"name": name, "variant": None, "images": rest}
    return parts


def _parse_images(text: str, spelling: str) -> int:
    images = int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0
    if images < 2:
        raise ParameterError(
            f"{quoted(spelling)}: {quoted(text)} is no number of images, 2 or more, as in lga:64 "
            "or lga:64@1"
        )
    return images


def _parse_epochs(text: str, spelling: str) -> float:
    epochs = float(text) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else math.nan
    if not epochs <= MOST_EPOCHS:
        raise ParameterError(
            f"{quoted(spelling)}: {quoted(text)} is no number of epochs, 0 to {MOST_EPOCHS}, as in "
            "lga@1 or lga@0.5"
        )
    return epochs

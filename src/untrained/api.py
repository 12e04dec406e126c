"""Score architectures of a space and networks of one's own, one by one, by name."""

import warnings
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import numpy as np
from torch import nn

from untrained.errors import ParameterError
from untrained.proxies import Proxy
from untrained.scoring import own
from untrained.scoring.engine import Score, score_work
from untrained.scoring.progress import Track, untracked
from untrained.scoring.request import Reading, Settings, parse_reading, requested
from untrained.spaces import SPACES, Architecture, SearchSpace, get_space

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Score", "Scores", "Settings", "score", "score_seeds"]


def score(
    target: str | nn.Module,
    architecture: int | str | None = None,
    *,
    proxy: str | Proxy = "naswot",
    variant: str | None = None,
    seed: int = 0,
    **settings: Unpack[Settings],
) -> Score:
    """Score an architecture of a space, or a network of your own.

    >>> from untrained import score
    >>> score("nasbench201", 1462, proxy="naswot", batch_size=8).status
    'ok'

    Args:
        target: the name of a space, or a module that takes (N, C, H, W) images of the data set. A
            module is scored with the weights it has, and left as it was.
        architecture: index or spelling in the space.
        proxy: its name, `name-variant` or `name@epochs`, or a `Proxy`.
        variant: variant of the proxy; by default that of the spelling, or the first.
        seed: seed of minibatch and weights.
        settings: see `untrained.scoring.request.Settings`.

    Raises:
        UntrainedError: a name, an architecture or a setting that does not exist.
    """
    reading = parse_reading(proxy, variant) if isinstance(proxy, str) else Reading(proxy)
    if reading.setting.shows_test:
        warnings.warn(f"{reading.name} reads the labels of test images", stacklevel=2)
    if isinstance(target, nn.Module):
        if settings.get("engine", "auto") == "auto":
            # a plan takes normalisations of zeros to be zero, which need not hold for these weights
            settings["engine"] = "plain"
        with (
            own.kept(target, trained=reading.epochs > 0) as network,
            requested(network, [reading], [seed], settings) as request,
        ):
            return next(score_work(request, [(0, seed, [reading])]))[0]
    space = get_space(target)
    if architecture is None:
        raise TypeError(f"which architecture of {target}? Give its index or spelling")
    index = space.parse(architecture).index
    with requested(space, [reading], [seed], settings) as request:
        return next(score_work(request, [(index, seed, [reading])]))[0]


@dataclass(frozen=True)
class Scores:
    """The scores of one network by one proxy with several seeds.

    Attributes:
        architecture: the architecture; None for a network of one's own.
        reading: the proxy.
        seeds: seeds of minibatch and weights.
        scores: the score with each seed.
    """

    architecture: Architecture | None
    reading: Reading
    seeds: tuple[int, ...]
    scores: tuple[Score, ...]

    @property
    def mean(self) -> float | None:
        """The mean over the seeds; None if any score is undefined."""
        values = self._values
        return None if np.isnan(values).any() else float(values.mean())

    @property
    def std(self) -> float | None:
        """The standard deviation over the seeds (ddof 1); None if it is undefined."""
        values = self._values
        return None if np.isnan(values).any() or len(values) < 2 else float(values.std(ddof=1))

    @property
    def _values(self) -> "NDArray[np.float64]":
        return np.array([np.nan if one.score is None else one.score for one in self.scores])


def score_seeds(
    target: str,
    architectures: Sequence[str | int] = (),
    *,
    proxies: Sequence[str] = ("naswot",),
    variant: str | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    shape: str = "3x32x32",
    track: Track = untracked,
    **settings: Unpack[Settings],
) -> list[Scores]:
    """Score architectures of a space, or a network of your own, by several proxies and seeds.

    Args:
        target: the name of a space, or `package.module:factory` of a network of your own.
        architectures: indices or spellings in the space.
        proxies: the spellings of the proxies.
        variant: variant of the proxies; by default that of their spelling.
        seeds: seeds of minibatch and weights.
        shape: the shape CxHxW of the images that a network of your own takes.
        track: reports the progress of trainings.
        settings: see `untrained.scoring.request.Settings`.

    Returns:
        The scores of each architecture by the first proxy, then by the second, and so on.

    Raises:
        UntrainedError: a name, an architecture or a setting that does not exist, or a network of
            your own failed.
    """
    readings = [parse_reading(one, variant) for one in proxies]
    space = _space_of(target)
    if space is None:
        if architectures:
            raise ParameterError(f"{target} is one network: drop {architectures[0]!r}")
        network = own.made_by(target, own.parse_shape(shape))
        chosen: list[Architecture | None] = [None]
    else:
        if not architectures:
            raise ParameterError(f"which architecture of {target}? give an index or a spelling")
        chosen = [space.parse(text) for text in architectures]

    def watch(steps: Iterable[int], count: int) -> Iterable[int]:
        return track(steps, count, "training", "steps")

    found = []
    with requested(network if space is None else space, readings, seeds, settings) as request:
        for reading in readings:
            indices = [one.index if one else 0 for one in chosen]
            work = [(index, seed, [reading]) for seed in seeds for index in indices]
            with nullcontext() if space is not None else own.blamed(network):
                made = [score for (score,) in score_work(request, work, watch)]
            for place, architecture in enumerate(chosen):
                scores = tuple(made[place :: len(chosen)])
                found.append(Scores(architecture, reading, tuple(seeds), scores))
    return found


def _space_of(target: str) -> SearchSpace | None:
    """Return the space of a name or an address; None for the address of something else."""
    address = ":" in target and target not in SPACES.names()
    if address and not hasattr(own.load_factory(target), "parse"):
        return None
    return get_space(target)

"""Which architectures a shard scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError
from untrained.proxies import Proxy
from untrained.spaces import SearchSpace
from untrained.spaces.base import LISTED, draw_without_replacement


@dataclass(frozen=True)
class ShardSettings:
    """A piece of a sample of a space.

    Attributes:
        architectures: how many are drawn without replacement, in digits, or "all".
        sample_seed: of the draw.
        shard: which piece, from 0.
        shards: number of pieces.
        share: whether one architecture of each class that computes the same function is scored,
            for all of its members.
    """

    architectures: str
    sample_seed: int
    shard: int
    shards: int
    share: bool = False


def sample_of(
    space: SearchSpace,
    architectures: str | int,
    sample_seed: int,
    among: NDArray[np.int64] | None = None,
) -> list[int]:
    """The sorted indices that are scored: all, or a number drawn with `sample_seed`.

    Args:
        space: of the architectures.
        architectures: a number or "all".
        sample_seed: of the draw.
        among: (m,) sorted indices that are drawn from; None for the whole space, whose draw is
            that among all of its indices.

    Raises:
        ParameterError: neither "all" nor a number within the space, or the space is too large for
            tables of its indices.
    """
    if len(space) > LISTED:
        raise ParameterError(
            f"{space.name} has {len(space):.2e} architectures, too many for tables by index: "
            f"`untrained score {space.name}` takes them one by one"
        )
    text = str(architectures)
    if text == "all":
        return list(range(len(space))) if among is None else among.tolist()
    if not text.isdecimal():
        raise ParameterError(f"architectures is {text!r}: a number, or 'all'")
    return draw_without_replacement(space, int(text), sample_seed, among)


def shard_indices(
    space: SearchSpace, settings: ShardSettings, among: NDArray[np.int64] | None = None
) -> list[int]:
    """The sorted architectures of one shard; a stride, so that shards take equally long.

    Where scores are shared, a class is in one shard.

    Args:
        space: of the architectures.
        settings: of sample and shard.
        among: see `sample_of`.

    Raises:
        ParameterError: no such shard, or nothing to draw.
    """
    if settings.shards < 1:
        raise ParameterError(f"{settings.shards} shards: 1 or more")
    if not 0 <= settings.shard < settings.shards:
        raise ParameterError(
            f"shard {settings.shard} of {settings.shards}: shards are numbered from 0 to "
            f"{settings.shards - 1}"
        )
    sample = np.array(sample_of(space, settings.architectures, settings.sample_seed, among))
    classes = space.representatives[sample] if settings.share else sample
    _, position = np.unique(classes, return_inverse=True)
    mine: list[int] = sample[position % settings.shards == settings.shard].tolist()
    return mine


def scored_for(space: SearchSpace, proxy: Proxy, *, share: bool) -> NDArray[np.int64]:
    """(len(space),): whose score each architecture gets; its own where scores are not shared.

    A proxy that sees dead branches needs finer classes.
    """
    if not share:
        return np.arange(len(space))
    if getattr(proxy, "dead_branches", True):
        return space.executed_representatives
    return space.representatives


def work_of(
    space: SearchSpace, indices: Sequence[int], proxies: Sequence[Proxy], *, share: bool
) -> dict[int, list[Proxy]]:
    """The architectures to score for `indices`, each with the proxies that need it."""
    work: dict[int, list[Proxy]] = {}
    for proxy in proxies:
        for index in np.unique(scored_for(space, proxy, share=share)[list(indices)]):
            work.setdefault(int(index), []).append(proxy)
    return dict(sorted(work.items()))

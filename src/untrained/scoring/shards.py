"""Which architectures a shard scores."""

from dataclasses import dataclass

from untrained.errors import ParameterError
from untrained.spaces import SearchSpace
from untrained.spaces.base import draw_without_replacement


@dataclass(frozen=True)
class ShardSettings:
    """A piece of a sample of a space.

    Attributes:
        architectures: how many are drawn without replacement, in digits, or "all".
        sample_seed: of the draw.
        shard: which piece, from 0.
        shards: number of pieces.
    """

    architectures: str
    sample_seed: int
    shard: int
    shards: int


def sample_of(space: SearchSpace, architectures: str | int, sample_seed: int) -> list[int]:
    """The sorted indices that are scored: all, or a number drawn with `sample_seed`.

    Raises:
        ParameterError: neither "all" nor a number within the space.
    """
    text = str(architectures)
    if text == "all":
        return list(range(len(space)))
    if not text.isdecimal():
        raise ParameterError(f"architectures is {text!r}: a number, or 'all'")
    return draw_without_replacement(space, int(text), sample_seed)


def shard_indices(space: SearchSpace, settings: ShardSettings) -> list[int]:
    """The architectures of one shard; a stride, so that shards take equally long.

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
    sample = sample_of(space, settings.architectures, settings.sample_seed)
    return sample[settings.shard :: settings.shards]

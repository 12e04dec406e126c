"""Scores of a sample of a space, piece by piece."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from untrained.errors import ParameterError
from untrained.proxies import Proxy
from untrained.scoring.columns import SCORE_COLUMNS, SCORE_TYPES, SECONDS
from untrained.scoring.request import Reading
from untrained.spaces import SearchSpace
from untrained.spaces.base import LISTED, draw_without_replacement

if TYPE_CHECKING:
    import pandas as pd

    from untrained.scoring.engine import Score
    from untrained.scoring.ledger import Ledger
    from untrained.scoring.request import ScoreRequest

#: Wraps work to report its progress; the number of its items is the last argument.
Watch = Callable[[Iterable["list[Score]"], int], Iterable["list[Score]"]]


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
    space: SearchSpace, indices: Sequence[int], readings: Sequence[Reading], *, share: bool
) -> dict[int, list[Reading]]:
    """The architectures to score for `indices`, each with the proxies that need it."""
    work: dict[int, list[Reading]] = {}
    for reading in readings:
        for index in np.unique(scored_for(space, reading.proxy, share=share)[list(indices)]):
            work.setdefault(int(index), []).append(reading)
    return dict(sorted(work.items()))


@dataclass(frozen=True)
class Shard:
    """The scores of some architectures of a space with the first seed of a request.

    Attributes:
        request: of the scores.
        indices: the sorted architectures.
        share: see `ShardSettings`.
    """

    request: "ScoreRequest"
    indices: Sequence[int]
    share: bool = False

    @property
    def space(self) -> SearchSpace:
        """The space of the request."""
        if isinstance(self.request.target, str):
            raise TypeError(f"{self.request.target} is no space of architectures")
        return self.request.target

    @property
    def work(self) -> dict[int, list[Reading]]:
        """What has to be scored; see `work_of`."""
        return work_of(self.space, self.indices, self.request.proxies, share=self.share)

    @property
    def key(self) -> dict[str, object]:
        """What identifies the work in a ledger."""
        chosen = hashlib.sha256(",".join(map(str, self.indices)).encode()).hexdigest()
        return self.request.key(architectures=chosen, share=self.share)

    def scores(self, ledger: "Ledger", watch: Watch) -> "pd.DataFrame":
        """Score what the ledger has not, and return the whole.

        Args:
            ledger: opened for `key`.
            watch: wraps the scores that are made.

        Returns:
            `SCORE_COLUMNS` and `SECONDS`, sorted by the order of the proxies, then architecture.

        Raises:
            DamagedFileError: the ledger holds something else than scores.
            UntrainedError: the ledger can't be written, or the images can't be drawn.
        """
        from untrained.scoring.engine import score_work

        work, seed = self.work, self.request.seeds[0]
        found = {index: _kept(ledger, index, work[index]) for index in _done(ledger, work)}
        left = {index: readings for index, readings in work.items() if index not in found}
        made = score_work(self.request, left.items(), seed)
        for index, scores in zip(left, watch(made, len(left)), strict=True):
            found[index] = dict(zip(map(str, left[index]), scores, strict=True))
            ledger.add(str(index), {name: one.to_json() for name, one in found[index].items()})
        return self._table(found)

    def _table(self, found: "Mapping[int, Mapping[str, Score]]") -> "pd.DataFrame":
        import pandas as pd

        dataset, seed = self.request.images.dataset, self.request.seeds[0]
        rows = [
            (index, str(reading), dataset, seed, one.score, one.status, one.seconds)
            for reading in self.request.proxies
            for owners in [scored_for(self.space, reading.proxy, share=self.share)]
            for index in self.indices
            for one in [found[int(owners[index])][str(reading)]]
        ]
        return pd.DataFrame(rows, columns=[*SCORE_COLUMNS, SECONDS]).astype(SCORE_TYPES)


def _done(ledger: "Ledger", work: Mapping[int, object]) -> list[int]:
    return [index for index in work if str(index) in ledger.done]


def _kept(ledger: "Ledger", index: int, readings: Sequence[Reading]) -> "dict[str, Score]":
    """The scores of an architecture in a ledger."""
    from untrained.scoring.engine import Score
    from untrained.scoring.ledger import damaged

    value = ledger.done[str(index)]
    held = value if isinstance(value, dict) else {}
    found = {name: Score.from_json(one) for name, one in held.items()}
    known = {name: one for name, one in found.items() if one is not None}
    if known.keys() != set(map(str, readings)):
        raise damaged(ledger.path)
    return known

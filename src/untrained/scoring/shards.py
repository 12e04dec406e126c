"""Scores of a sample of a space, piece by piece."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import NDArray

from untrained.errors import DamagedFileError, ParameterError
from untrained.proxies import Proxy
from untrained.scoring.columns import SCORE_COLUMNS, SCORE_TYPES, SECONDS
from untrained.scoring.progress import Track, quiet, untracked
from untrained.scoring.request import Reading, ScoreRequest, Settings, parse_reading, requested
from untrained.spaces import SearchSpace, get_space
from untrained.spaces.base import LISTED, draw_without_replacement

if TYPE_CHECKING:
    import pandas as pd

    from untrained.benchmarks.benchmark import Benchmark
    from untrained.scoring.engine import Score
    from untrained.scoring.ledger import Ledger

#: Architecture to the proxies that it has to be scored by.
Work = dict[int, list[Reading]]


def score_space(
    space: str,
    proxies: Sequence[str],
    *,
    seed: int = 0,
    architectures: str | int = "all",
    sample_seed: int = 0,
    shard: int = 0,
    shards: int = 1,
    among: "Benchmark | None" = None,
    share: bool = False,
    ledger: Path | None = None,
    save: "Callable[[pd.DataFrame], None] | None" = None,
    track: Track = untracked,
    tell: Callable[[str], None] = quiet,
    **settings: Unpack[Settings],
) -> "pd.DataFrame":
    """Score a sample of a space by several proxies with one seed, or a piece of it.

    Args:
        space: its name.
        proxies: how they are spelled.
        seed: of minibatch and weights.
        architectures: how many are drawn at random, or "all".
        sample_seed: of the draw.
        shard: which piece, from 0.
        shards: into how many pieces the sample is cut.
        among: draws from the architectures that this table knows; None for the whole space.
        share: whether one of each class that computes the same function is scored for all.
        ledger: file from which an interrupted call resumes; None for none.
        save: takes the table to where it stays; then the ledger forgets the scores.
        track: reports progress.
        tell: takes messages for people.
        settings: see `untrained.scoring.request.Settings`.

    Returns:
        A row per proxy and architecture: `arch, proxy, dataset, seed, score, status, seconds`.

    Raises:
        UntrainedError: a name or a setting that does not exist, or an unusable ledger.
    """
    from untrained.scoring.ledger import opened

    searched = get_space(space)
    # naswot and naswot@0 are one
    readings = list({str(one): one for one in map(parse_reading, proxies)}.values())
    sample = sample_of(searched, architectures, sample_seed, known_of(searched, among))
    indices = shard_of(searched, sample, shard, shards, share=share)
    with (
        requested(searched, readings, [seed], settings) as request,
        opened(ledger, _key(request, indices, share) if ledger else {}, tell) as kept,
    ):
        work = work_of(searched, indices, readings, share=share)
        table = _table(request, indices, _scores(request, work, kept, track, tell), share=share)
        if save is not None:
            save(table)
            kept.finish()
    return table


def merge_shards(tables: "Iterable[pd.DataFrame]") -> "pd.DataFrame":
    """Join the tables of shards, sorted by proxy, data set, seed and architecture.

    Raises:
        ParameterError: there are none.
        DamagedFileError: two of them have a score of the same.
    """
    import pandas as pd

    key, shards = ["proxy", "dataset", "seed", "arch"], list(tables)
    if not shards:
        raise ParameterError("no shards to merge: name their files, or a --list of them")
    table = pd.concat(shards, ignore_index=True)
    if (twice := table.duplicated(key)).any():
        first = table.loc[twice, key].iloc[0].to_dict()
        raise DamagedFileError(f"the shards score {first} twice: remove stale shards")
    columns = [*SCORE_COLUMNS, *([SECONDS] if SECONDS in table else [])]
    return table.sort_values(key, ignore_index=True)[columns]


def known_of(space: SearchSpace, table: "Benchmark | None") -> NDArray[np.int64] | None:
    """Return the sorted indices whose accuracies a table knows; None without a table."""
    if table is None:
        return None
    table.check_within(len(space))
    return table.known


def sample_of(
    space: SearchSpace,
    architectures: str | int,
    sample_seed: int,
    among: NDArray[np.int64] | None = None,
) -> list[int]:
    """Return the sorted indices that are scored: all, or a number drawn with `sample_seed`.

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


def shard_of(
    space: SearchSpace, sample: Sequence[int], shard: int, shards: int, *, share: bool = False
) -> list[int]:
    """Return the sorted architectures of one shard.

    Shards take turns, so that they take equally long. Where scores are shared, all members of a
    class are in one shard.

    Raises:
        ParameterError: no such shard.
    """
    if shards < 1:
        raise ParameterError(f"{shards} shards: 1 or more")
    if not 0 <= shard < shards:
        raise ParameterError(
            f"shard {shard} of {shards}: shards are numbered from 0 to {shards - 1}"
        )
    indices = np.array(sample)
    classes = space.representatives[indices] if share else indices
    _, position = np.unique(classes, return_inverse=True)
    mine: list[int] = indices[position % shards == shard].tolist()
    return mine


def scored_for(space: SearchSpace, proxy: Proxy, *, share: bool) -> NDArray[np.int64]:
    """Return (len(space),) the index whose score each architecture gets: its own without sharing.

    A proxy that sees dead branches needs finer classes.
    """
    if not share:
        return np.arange(len(space))
    if getattr(proxy, "dead_branches", True):
        return space.executed_representatives
    return space.representatives


def work_of(
    space: SearchSpace, indices: Sequence[int], readings: Sequence[Reading], *, share: bool
) -> Work:
    """Return the architectures to score for `indices`, each with the proxies that need it."""
    work: Work = {}
    for reading in readings:
        for index in np.unique(scored_for(space, reading.proxy, share=share)[list(indices)]):
            work.setdefault(int(index), []).append(reading)
    return dict(sorted(work.items()))


def _key(request: ScoreRequest, indices: Sequence[int], share: bool) -> dict[str, object]:
    """Return what identifies the work in a ledger."""
    chosen = hashlib.sha256(",".join(map(str, indices)).encode()).hexdigest()
    return request.key(__name__, architectures=chosen, share=share)


def _scores(
    request: ScoreRequest, work: Work, kept: "Ledger", track: Track, tell: Callable[[str], None]
) -> "dict[int, dict[str, Score]]":
    """Return the scores of each architecture by proxy; those that the ledger lacks are made."""
    from untrained.scoring.engine import Score, score_work

    seed, proxies = request.seeds[0], "+".join(map(str, request.proxies))
    title = (
        f"{request.space.name}/{request.images.dataset}/{proxies}/seed{seed} on "
        f"{request.execution.device}"
    )
    found = {
        index: kept.read(str(index), dict[str, Score]) for index in work if str(index) in kept.done
    }
    if found:
        tell(f"{title}: {len(found)} of {len(work)} architectures were scored before")
    left = {index: readings for index, readings in work.items() if index not in found}
    made = track(score_work(request, left.items(), seed), len(left), title)
    for (index, readings), scores in zip(left.items(), made, strict=True):
        found[index] = dict(zip(map(str, readings), scores, strict=True))
        kept.add(str(index), found[index])
    return found


def _table(
    request: ScoreRequest,
    indices: Sequence[int],
    found: "Mapping[int, Mapping[str, Score]]",
    *,
    share: bool,
) -> "pd.DataFrame":
    """Make a row per proxy and architecture, in the order of both."""
    import pandas as pd

    dataset, seed = request.images.dataset, request.seeds[0]
    rows = [
        (index, str(reading), dataset, seed, one.score, one.status, one.seconds)
        for reading in request.proxies
        for owners in [scored_for(request.space, reading.proxy, share=share)]
        for index in indices
        for one in [found[int(owners[index])][str(reading)]]
    ]
    return pd.DataFrame(rows, columns=[*SCORE_COLUMNS, SECONDS]).astype(SCORE_TYPES)

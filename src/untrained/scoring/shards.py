"""Score a sample of a space, shard by shard, with a ledger from which a shard resumes."""

import hashlib
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from untrained.errors import DamagedFileError, ParameterError, quoted, short
from untrained.limits import COUNT, at_most
from untrained.proxies import Proxy
from untrained.scoring.columns import SCORE_COLUMNS, SCORE_TYPES, SECONDS
from untrained.scoring.ensembles import ensembles_of, readings_of, with_ensembles
from untrained.scoring.progress import Track, quiet, untracked
from untrained.scoring.request import Reading, ScoreRequest, Settings, requested
from untrained.spaces import SearchSpace, get_space
from untrained.spaces.base import LISTED, draw_without_replacement

if TYPE_CHECKING:
    import pandas as pd

    from untrained.benchmarks.benchmark import Benchmark
    from untrained.scoring.engine import Score, Work
    from untrained.scoring.ledger import Ledger


def score_space(
    space: str | SearchSpace,
    proxies: Sequence[str],
    *,
    seed: int = 0,
    architectures: str | int | Sequence[int] = "all",
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
    """Score a sample of a space, or one shard of it, by several proxies with one seed.

    Args:
        space: the name of the space, or the space.
        proxies: the spellings of the proxies, and of ensembles, whose members are scored, too.
        seed: the seed of minibatch and weights.
        architectures: the number of architectures drawn at random, "all", or their indices.
        sample_seed: the seed of the draw.
        shard: the number of the shard, from 0.
        shards: the number of shards of the sample.
        among: a benchmark table, to draw from the architectures that it has; None for all.
        share: whether one architecture of each class that computes the same function is scored
            for all of its members.
        ledger: file from which an interrupted call resumes; None for none.
        save: writes the table; after that the ledger forgets the scores.
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
    # two spellings may be of one proxy, such as naswot and naswot@0
    readings, ensembles = readings_of(proxies), ensembles_of(proxies)
    if ensembles and shards > 1:
        raise ParameterError(
            f"{ensembles[0]} ranks all that is scored, and a shard has a part of it: score "
            f"{' and '.join(ensembles[0].members)} and name it to `untrained merge --ensemble`"
        )
    if among is not None:
        among.check_within(len(searched))
    known = None if among is None else among.known
    sample = sample_of(searched, architectures, sample_seed, known)
    indices = shard_of(searched, sample, shard, shards, share=share)
    chosen = hashlib.sha256(",".join(map(str, indices)).encode()).hexdigest()
    with requested(searched, readings, [seed], settings) as request, ExitStack() as stack:
        key = request.key(__name__, architectures=chosen, share=share) if ledger else {}
        kept = stack.enter_context(opened(ledger, key, tell))
        needed = work_of(searched, indices, readings, share=share)
        work = [(index, seed, mine) for index, mine in needed.items()]
        named = space if isinstance(space, str) else searched.name
        title = f"{named}/{request.images.dataset}/{'+'.join(map(str, readings))}/seed{seed}"
        title += f" on {request.execution.device}"
        if kept.done:
            tell(f"{title}: {len(kept.done)} of {len(work)} architectures were scored before")
        made = scores_of(request, work, kept, title, track)
        scores = {
            (index, reading): score
            for (index, mine), found in zip(needed.items(), made, strict=True)
            for reading, score in zip(mine, found, strict=True)
        }
        table = with_ensembles(_table(request, indices, scores, share=share), ensembles)
        if save is not None:
            save(table)
            kept.finish()
    return table


def merge_shards(tables: "Iterable[pd.DataFrame]", ensembles: Iterable[str] = ()) -> "pd.DataFrame":
    """Join the tables of shards, sorted by proxy, data set, seed and architecture.

    Args:
        tables: those of the shards.
        ensembles: the spellings of ensembles whose scores are added, with all that was scored as
            their pool; see `untrained.scoring.ensembles`.

    Raises:
        MissingDataError: a member of an ensemble is not scored.
        ParameterError: there are none.
        DamagedFileError: two of them have the score of one architecture.
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
    table = with_ensembles(table[columns], ensembles_of(ensembles))
    return table.sort_values(key, ignore_index=True)[columns]


def sample_of(
    space: SearchSpace,
    architectures: str | int | Sequence[int],
    sample_seed: int,
    among: NDArray[np.int64] | None = None,
) -> list[int]:
    """Return the sorted indices of a sample: all architectures, given ones, or some at random.

    Args:
        space: the space of the architectures.
        architectures: a number, "all", or indices.
        sample_seed: the seed of the draw.
        among: (m,) sorted indices to draw from; None for all indices, which draws the same.

    Raises:
        ParameterError: neither "all" nor a number within the space, an index that the space lacks,
            or the space is too large for tables of its indices.
    """
    if len(space) > LISTED:
        raise ParameterError(
            f"{space.name} has {len(space):.2e} architectures, too many for tables by index: "
            f"`untrained score {space.name}` takes them one by one"
        )
    if not isinstance(architectures, str | int | np.integer):
        try:
            given = sorted({operator.index(one) for one in architectures})
        except TypeError as error:
            raise ParameterError(
                f"architectures {short(str(architectures))}: whole numbers, or 'all'"
            ) from error
        if not given or given[0] < 0 or given[-1] >= len(space):
            raise ParameterError(
                f"architectures {short(str(given))}: {space.name} has 0 to {len(space) - 1}"
            )
        return given
    text = str(architectures)
    if text == "all":
        return list(range(len(space))) if among is None else among.tolist()
    if not re.fullmatch("[0-9]+", text):
        raise ParameterError(f"architectures is {quoted(text)}: a number, or 'all'")
    return draw_without_replacement(space, int(text), sample_seed, among)


def shard_of(
    space: SearchSpace, sample: Sequence[int], shard: int, shards: int, *, share: bool = False
) -> list[int]:
    """Return the sorted architectures of one shard.

    Shards get architectures in turn, so that they take equally long. Where scores are shared, all
    members of a class are in one shard.

    Raises:
        ParameterError: no such shard.
    """
    if shards < 1:
        raise ParameterError(f"{shards} shards: 1 or more")
    at_most(COUNT, shards=shards)
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
    """Return (len(space),) the index of the architecture whose score each architecture gets.

    Without sharing it is its own, and so it is by proxies to which the order of operations matters.
    Proxies for which dead branches count need finer classes.
    """
    if not (share and getattr(proxy, "shared", True)):
        return np.arange(len(space))
    if getattr(proxy, "dead_branches", True):
        return space.executed_representatives
    return space.representatives


def work_of(
    space: SearchSpace, indices: Sequence[int], readings: Sequence[Reading], *, share: bool
) -> dict[int, list[Reading]]:
    """Return the architectures that have to be scored for all `indices`, with their proxies."""
    work: dict[int, list[Reading]] = {}
    for reading in readings:
        for index in np.unique(scored_for(space, reading.proxy, share=share)[list(indices)]):
            work.setdefault(int(index), []).append(reading)
    return dict(sorted(work.items()))


def scores_of(
    request: ScoreRequest,
    work: "Sequence[Work]",
    kept: "Ledger",
    title: str = "",
    track: Track = untracked,
    **watches: Any,  # noqa: ANN401 - see `score_work`
) -> "list[list[Score]]":
    """Return the scores of some work in its order, and compute those that the ledger lacks.

    Args:
        request: the request.
        work: the networks and proxies; see `untrained.scoring.engine.score_work`.
        kept: the ledger of the finished scores.
        title: the title of the progress.
        track: reports the progress, architecture by architecture.
        watches: further arguments of `score_work`.

    Raises:
        DamagedFileError: the ledger holds something else.
    """
    from untrained.scoring.engine import Score, score_work
    from untrained.scoring.ledger import damaged

    items = [f"{index} {seed}" for index, seed, _ in work]
    found = {item: kept.read(item, list[Score]) for item in items if item in kept.done}
    left = [(item, one) for item, one in zip(items, work, strict=True) if item not in found]
    made = score_work(request, [one for _, one in left], **watches)
    for (item, _), scores in zip(left, track(made, len(left), title), strict=True):
        found[item] = scores
        kept.add(item, scores)
    for item, (_, _, readings) in zip(items, work, strict=True):
        if len(found[item]) != len(readings):
            raise damaged(kept.path)
    return [found[item] for item in items]


def _table(
    request: ScoreRequest,
    indices: Sequence[int],
    scores: "Mapping[tuple[int, Reading], Score]",
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
        for one in [scores[int(owners[index]), reading]]
    ]
    return pd.DataFrame(rows, columns=[*SCORE_COLUMNS, SECONDS]).astype(SCORE_TYPES)

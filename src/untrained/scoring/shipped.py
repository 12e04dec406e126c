"""Scores that come with the project, so that whole spaces can be searched at once."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from untrained.errors import MissingDataError
from untrained.files import SCORES, absent, read_parquet
from untrained.scoring.columns import SCORE_TYPES
from untrained.spaces import SearchSpace, get_space, table_of

if TYPE_CHECKING:
    import pandas as pd


def cached_scores(space: str | SearchSpace) -> "pd.DataFrame":
    """Return the scores of a space that come with the project.

    >>> from untrained import cached_scores
    >>> table = cached_scores("nasbench201")
    >>> int((table["proxy"] == "parameters").sum())
    15625

    They are at initialisation with one seed. `data/bundled/README.md` has images, settings and the
    command for each proxy.

    Args:
        space: the name of the space, or the space.

    Returns:
        One row per proxy and architecture, as in tables of merged scores: `arch` (index), `proxy`
        (spelling), `dataset` and `batch_size` (of the images), `seed`, `score` (rounded to 32
        bits), `status`, and `seconds` (of one score on one thread, NaN where a GPU made it; members
        of a class that share a score share it).

    Raises:
        MissingDataError: no scores come with the space.
    """
    searched = get_space(space)
    path = searched.scores
    if path is None:
        raise MissingDataError(
            f"no scores come with {searched.name}: score it by `untrained shard {searched.name}`"
        )
    return read_parquet(path).astype(SCORE_TYPES)


def shipped_proxies(space: SearchSpace) -> dict[str, list[str]]:
    """Return which proxies have scores of a whole space that come along, by the data set.

    Args:
        space: the space; without scores there are none.
    """
    if space.scores is None:
        return {}
    table = read_parquet(space.scores, ["dataset", "proxy", "arch"])
    cells = table.groupby(["dataset", "proxy"])["arch"].nunique()
    whole = cells[cells == len(space)].reset_index()  # of slow proxies a sample is scored
    return {str(name): own["proxy"].tolist() for name, own in whole.groupby("dataset")}


def scores_at_hand(
    space: SearchSpace, path: Path | None = None, proxies: Collection[str] = (), dataset: str = ""
) -> "pd.DataFrame":
    """Return the scores in a file, else those of the workflow, else those that come with a space.

    Args:
        space: the space.
        path: the file, if one is named.
        proxies: the spellings of the proxies that are read. Where the workflow's scores lack one,
            and those that come along have all, these are returned.
        dataset: the data set of the images of their scores.

    Raises:
        MissingDataError: there are none.
    """
    made = path or table_of(SCORES, space.name)
    if path is None and shipped_stand_in(space, made, proxies, dataset):
        return cached_scores(space)
    if not made.is_file():
        raise MissingDataError(f"{absent(made)}: `make run` or `snakemake scores` makes it")
    return read_parquet(made, SCORE_TYPES)


def shipped_stand_in(
    space: SearchSpace, made: Path, proxies: Collection[str], dataset: str
) -> bool:
    """Return whether the scores that come along are to be read in the place of the workflow's.

    That is where there are none of the workflow, or where these lack a proxy on a data set and
    those that come along have all. The two are not mixed: they have other cells and seeds.
    """
    if space.scores is None:
        return False
    if not made.is_file():
        return True
    wanted = set(proxies)
    for path in (made, space.scores):
        table = read_parquet(path, ["proxy", "dataset"])
        if wanted <= set(table.loc[table["dataset"] == dataset, "proxy"]):
            return path == space.scores
    return False

"""Other people's scores beside ours: tables of theirs, and how far the two agree."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from untrained.errors import (
    ArchitectureError,
    DamagedFileError,
    MissingDataError,
    ParameterError,
    quoted,
)
from untrained.proxies import PROXIES
from untrained.scoring.ensembles import parse_proxy

if TYPE_CHECKING:
    import pandas as pd

    from untrained.spaces import SearchSpace

#: The largest file that is read, in bytes: three times NAS-Bench-Suite-Zero's largest.
LARGEST = 512 * 2**20

#: What the column with the architectures of a CSV table may be called; else it is the first.
_ARCHITECTURE = ("arch", "architecture", "arch_str", "arch_index", "spelling", "cell", "index")

#: Scores that differ by less than this share of their size are equal but for rounding to float32.
_ROUNDING = 1e-6

#: The columns of `agreement`, in order.
COLUMNS = (
    *("dataset", "theirs", "ours", "n", "undefined_theirs", "undefined_ours"),
    *("tau", "tau_low", "tau_high", "rho", "rho_low", "rho_high", "equal"),
)


def read_others(text: str, name: str, space: "SearchSpace", dataset: str) -> "pd.DataFrame":
    """Read a table of scores that others made.

    JSON has NAS-Bench-Suite-Zero's layout, {data set: {architecture: {proxy: {"score": number}}}},
    in which the data set may be left out and a number may stand for {"score": number}. CSV has a
    row per architecture and a column per proxy, or the columns `proxy` and `score`; a column
    `dataset` tells data sets apart. Architectures are what `SearchSpace.parse` takes. What is no
    number is no score.

    Args:
        text: the content of the file.
        name: its name, which says by its ending whether it is JSON; for messages too.
        space: the space of the architectures.
        dataset: the data set of scores that name none.

    Returns:
        One row per score: `arch` (index), `proxy` (their name), `dataset`, `score`. `attrs` has the
        number of architectures that are `unknown`, an `example` of them, and whether all scores
        have the data set that is `named` beside them.

    Raises:
        DamagedFileError: the file has another layout, or a key or a score twice.
        MissingDataError: no architecture is one of the space.
    """
    import pandas as pd

    rows = _json_rows(text, name, space) if name.endswith(".json") else _csv_rows(text, name)
    known: dict[str, int | None] = {}
    example, found, named = "", [], True
    datasets = {_plain(one): one for one in space.datasets}
    for stated, spelled, proxy, value in rows:
        # one that the space does not know keeps its name: nothing of ours is compared with it
        where = datasets.get(_plain(stated), stated)
        if spelled not in known:
            try:
                known[spelled] = space.parse(spelled).index
            except ArchitectureError as error:
                known[spelled], example = None, example or str(error)
        index = known[spelled]
        if index is not None:
            found.append((index, proxy, where or dataset, value))
            named = named and bool(where)
    if not found:
        raise MissingDataError(
            f"{name} has no score of an architecture of {space.name}: "
            f"{example or 'it has none at all'}"
        )
    table = pd.DataFrame(found, columns=["arch", "proxy", "dataset", "score"])
    if (twice := table.duplicated(["arch", "proxy", "dataset"])).any():
        first = table[twice].iloc[0]
        raise DamagedFileError(
            f"{name} has two scores of {first['proxy']} on {first['dataset']} for "
            f"{space[int(first['arch'])].spelling}: keep one"
        )
    unknown = sum(one is None for one in known.values())
    table.attrs = {"unknown": unknown, "example": example, "named": named}
    return table


def _json_rows(text: str, name: str, space: "SearchSpace") -> Iterator[tuple[str, str, str, float]]:

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object whose keys differ; `json` would keep the last of two."""
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise DamagedFileError(f"{name} has the key {quoted(key)} twice: keep one")
            found[key] = value
        return found

    try:
        content = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{name} is no JSON ({error}): name another file") from error
    if not isinstance(content, dict) or not content:
        raise DamagedFileError(f"{name} is no mapping of architectures: {_LAYOUT}")
    by_dataset = {_plain(one) for one in space.datasets} & set(map(_plain, content))
    for dataset, own in content.items() if by_dataset else [("", content)]:
        for spelled, scores in _mapping(own, name):
            for proxy, value in _mapping(scores, name):
                number = value.get("score") if isinstance(value, dict) else value
                if isinstance(number, int | float) and not isinstance(number, bool):
                    yield dataset, spelled, proxy, _float(number)


_LAYOUT = 'it should be {"cifar10": {architecture: {proxy: {"score": number}}}}'


def _mapping(value: object, name: str) -> "Iterator[tuple[str, Any]]":
    if not isinstance(value, dict):
        raise DamagedFileError(f"{name} has {str(value)[:40]!r} in the place of scores: {_LAYOUT}")
    yield from value.items()


def _csv_rows(text: str, name: str) -> Iterator[tuple[str, str, str, float]]:
    try:
        rows = csv.reader(io.StringIO(text), strict=True)
        head = [one.strip() for one in next(rows, [])]
        if len(head) < 2 or len(set(head)) < len(head):
            raise DamagedFileError(
                f"{name} is no table of scores: its first line should name the architecture and "
                "one or more proxies, each once"
            )
        place = next((head.index(one) for one in _ARCHITECTURE if one in head), 0)
        tidy = {"proxy", "score"} <= set(head)
        for row in rows:
            if not any(row):
                continue
            if len(row) != len(head):
                raise DamagedFileError(
                    f"{name} has {len(row)} values in line {rows.line_num}, and {len(head)} "
                    "columns: make it again"
                )
            cells = dict(zip(head, row, strict=True))
            spelled, dataset = row[place].strip(), cells.get("dataset", "").strip()
            pairs: Mapping[str, str] = {cells["proxy"].strip(): cells["score"]} if tidy else cells
            for proxy, cell in pairs.items():
                number = _number(cell)
                if proxy not in (head[place], "dataset") and number is not None:
                    yield dataset, spelled, proxy, number
    except csv.Error as error:
        raise DamagedFileError(f"{name} is no CSV ({error}): name another file") from error


def _number(cell: str) -> float | None:
    """Return the number in a cell, NaN where it is empty, None where there is a text."""
    try:
        return float(cell) if cell.strip() else float("nan")
    except ValueError:
        return None


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def paired(
    theirs: "list[str]", ours: "list[str]", pairs: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return which of our proxies each of their names is compared with.

    By default it is ours of the same spelling, or of which theirs is an alias (`BaseProxy`).

    Args:
        theirs: their names.
        ours: spellings of the proxies with scores of ours.
        pairs: their names to ours, in the place of the defaults.

    Raises:
        ParameterError: a name is in neither table, or none is in both.
    """
    if pairs:
        for their, our in pairs.items():
            if their not in theirs:
                raise ParameterError(f"they have no {their}: they have {', '.join(theirs)}")
            if str(parse_proxy(our)) not in ours:
                raise ParameterError(f"{our} is not scored here: {', '.join(ours)} are")
        return {their: str(parse_proxy(our)) for their, our in pairs.items()}
    aliases = {
        alias: name
        for name in PROXIES.names()
        if name in ours
        for alias in getattr(PROXIES.load(name), "aliases", ())
    }
    found = {name: name if name in ours else aliases.get(name, "") for name in theirs}
    found = {their: our for their, our in found.items() if our}
    if not found:
        raise ParameterError(
            f"no score is in both: they have {', '.join(theirs)}, scored here are "
            f"{', '.join(ours)}; name a pair, as in nwot=naswot"
        )
    return found


def agreement(
    theirs: "pd.DataFrame",
    ours: "pd.DataFrame",
    pairs: Mapping[str, str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> "pd.DataFrame":
    """Return how far other people's scores agree with ours on each data set.

    Args:
        theirs: the table of `read_others`.
        ours: merged scores; a score is the mean over the seeds.
        pairs: their name to our spelling; see `paired`.
        resamples: bootstrap resamples of the intervals.
        seed: their seed.

    Returns:
        One row per data set and pair with `COLUMNS`: `n` architectures have a finite score of both,
        over which tau and rho with 95 % bootstrap intervals, and the share of `equal` scores (but
        for rounding to 32 bits) are computed; of those that both tables have, `undefined_theirs`
        and `undefined_ours` lack one. Tau is that of unchanged scores.
    """
    import pandas as pd

    from untrained.report.scores import mean_scores
    from untrained.report.statistics import correlation

    rows = []
    for dataset, own in theirs.groupby("dataset", sort=False):
        for their, our in pairs.items():
            mine = ours[(ours["proxy"] == our) & (ours["dataset"] == dataset)]
            yours = own[own["proxy"] == their].set_index("arch")["score"]
            if mine.empty or yours.empty:
                continue
            known = mean_scores(mine, our, str(dataset))
            both = pd.concat([yours, known], axis=1, join="inner", keys=["theirs", "ours"])
            finite = np.isfinite(both.to_numpy(dtype=np.float64))
            values = both.to_numpy(dtype=np.float64)[finite.all(axis=1)]
            near = np.isclose(values[:, 0], values[:, 1], rtol=_ROUNDING, atol=0)
            figures = correlation(*values.T, resamples=resamples, seed=seed)._asdict()
            head = {"dataset": dataset, "theirs": their, "ours": our}
            of_theirs, of_ours = (~finite).sum(axis=0).tolist()
            lacking = {"undefined_theirs": of_theirs, "undefined_ours": of_ours}
            equal = float(near.mean()) if len(near) else float("nan")
            rows.append(head | figures | lacking | {"equal": equal})
    if not rows:
        raise MissingDataError(
            f"they have scores on {', '.join(map(str, theirs['dataset'].unique()))}, and ours are "
            f"on {', '.join(map(str, ours['dataset'].unique()))}"
        )
    return pd.DataFrame(rows)[list(COLUMNS)]

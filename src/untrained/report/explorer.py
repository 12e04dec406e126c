"""An interactive page in one file: scores against accuracies, searches and correlations.

The page needs no network: it holds Plotly and the data, both compressed with gzip. What it does
with them is in `explorer.js`, how it looks in `explorer.css`, its controls are in `explorer.html`.
"""

import base64
import gzip
import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from untrained.benchmarks.devices import UNITS
from untrained.errors import ParameterError, UntrainedError
from untrained.files import read_parquet
from untrained.images.sets import image_set
from untrained.report import EXPLORER_FILES, plotting
from untrained.report.inputs import Inputs
from untrained.report.scores import (
    Indices,
    accuracy_label,
    controls,
    image_label,
    image_sets,
    lower_is_better,
    mean_scores,
    proxy_label,
    short_accuracies,
    standing_in,
)
from untrained.scoring.request import is_ensemble
from untrained.spaces import SPACES, get_space

if TYPE_CHECKING:
    from untrained.spaces import SearchSpace

#: What of the table of correlations a heat map shows.
_CORRELATIONS = (
    *("proxy", "images", "dataset", "split", "subset", "n", "tau", "tau_low", "tau_high"),
)
#: What of the table of regrets a curve shows at each cost, and what it is of.
_CURVE = ("spent", "regret", "regret_low", "regret_high")
_SEARCH = ("method", "searched_on", "dataset", "unit", "runs", "trains")


def run_page(spaces: Sequence[Inputs], settings: Sequence[str] = ()) -> str:
    """Return the page of the spaces of a run.

    Args:
        spaces: what is read of each.
        settings: the options of `untrained score` that the run was made with, but for defaults.

    Raises:
        UntrainedError: a file of a space is missing or damaged, has no scores, or has those of
            architectures that are not there; or a space is named twice.
    """
    names = [one.name for one in spaces]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ParameterError(f"{', '.join(sorted(twice))} is named twice: name each space once")
    return explorer("Scores and accuracies", (space_data(one, settings) for one in spaces))


def ranking_page(table: pd.DataFrame, settings: Sequence[str] = ()) -> str:
    """Return the page of a ranking, as `untrained.rank` returns it.

    Args:
        table: the ranking.
        settings: the options of `untrained rank` that it was made with, but for defaults.
    """
    return explorer("Scores of networks", [rank_data(table, settings)])


def explorer(title: str, spaces: Iterable[Mapping[str, Any]]) -> str:
    """Return the page of some spaces, as of `space_data`; equal data give equal pages."""
    from plotly.offline import get_plotlyjs

    found = [*spaces]
    data = json.dumps(
        {"colours": plotting.COLOURS, "spaces": found},
        allow_nan=False,
        ensure_ascii=False,
        separators=(",", ":"),
    )
    html, css, script = (path.read_text() for path in EXPLORER_FILES)
    parts = {
        "title": title,
        "style": css,
        "script": script,
        "plotly": _packed(get_plotlyjs()),
        "data": _packed(data),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], html)


def _packed(text: str) -> str:
    """Compress a text, with no time and no name in the header, and spell it in letters."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def space_data(inputs: Inputs, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the page shows of a space of a run; for `settings` see `run_page`.

    Returns:
        What JSON can hold. The scored architectures have one place each in `index`, `names`,
        `drawings` and the `values` of each of the `columns`, None where undefined. A column is a
        score, a cost, one on a device, or an accuracy; `dataset` is that of its images, empty for
        all. The `correlations` and `searches` are those of the tables, where these were made.
    """
    space, truth = inputs.space, inputs.benchmark
    scores = inputs.scores
    sampled = np.unique(scores["arch"].to_numpy(dtype=np.int64))
    if not len(sampled):
        raise ParameterError(f"the scores of {inputs.name} have no rows: score some architectures")
    there = min(len(space), len(truth))
    if sampled[0] < 0 or sampled[-1] >= there:
        wrong = sampled[0] if sampled[0] < 0 else sampled[-1]
        raise ParameterError(
            f"the scores of {inputs.name} have architecture {wrong}: its benchmark ends at "
            f"{there - 1}"
        )
    proxies = [str(name) for name in scores["proxy"].unique()]
    lower, short = lower_is_better(proxies), short_accuracies(inputs, sampled)
    seeds = sorted(int(seed) for seed in scores["seed"].unique())
    columns, datasets = [], []
    for images in image_sets(scores):
        measured = image_set(images).measured_as
        datasets.append({"name": images, "label": standing_in(images)})
        own = set(scores.loc[scores["dataset"] == images, "proxy"])
        for proxy in filter(own.__contains__, proxies):
            scored = mean_scores(scores, proxy, images)
            values, lacking = scored.reindex(sampled), ~np.isin(sampled, scored.index)
            column = _column(proxy_label(proxy), "score", values, images, lower=proxy in lower)
            if lacking.any():
                column["unscored"] = np.flatnonzero(lacking).tolist()
            # an ensemble ranks a pool: no command scores it in one architecture
            if not is_ensemble(proxy):
                words = ["untrained", "score", inputs.name, "{index}", "--dataset", images]
                words += ["--proxy", proxy, *settings]
                column |= {"command": _command(words, seeds)}
            columns.append(column)
        if images in short:
            label = f"accuracy after {truth.short_epochs} epochs"
            columns.append(_column(label, "score", short[images], images))
        for split in ("val", "test"):
            if (measured, split) in inputs.splits:
                accuracy = truth.accuracies(*inputs.splits[measured, split])[sampled]
                label = accuracy_label(inputs, images, split)
                columns.append(_column(label, "accuracy", accuracy, images, split=split))
    costs = controls(inputs, sampled)
    # proxies have the same names
    columns += [_column(f"{name} (benchmark)", "cost", own) for name, own in costs.items()]
    columns += _of_devices(inputs, sampled, [one["name"] for one in datasets])
    architectures = [space[int(index)] for index in sampled]
    return {
        "name": inputs.name,
        "label": space.label,
        "members": space.words.members,
        "datasets": datasets,
        "index": sampled.tolist(),
        "names": [one.spelling for one in architectures],
        "notes": None,
        "drawings": [_drawings(space, one) for one in architectures],
        "columns": columns,
        "correlations": _correlations(inputs, lower),
        "searches": _searches(inputs),
        "within": inputs.within("regret"),
    }


def _of_devices(inputs: Inputs, sampled: Indices, images: Sequence[str]) -> list[dict[str, Any]]:
    """Return a column per cost on a device, and per data set of the images where it has several."""
    if inputs.space.devices is None:
        return []
    known, columns = inputs.devices, []
    for metric, device in dict.fromkeys(key[:2] for key in sorted(known.columns)):
        there = known.datasets(metric, device)
        for name in images if len(there) > 1 else [""]:
            measured = image_set(name).measured_as if name else None
            if measured is None or measured in there:
                values = known.values(metric, device, measured)[sampled]
                label = f"{metric} on {device} ({UNITS[metric]})"
                columns.append(_column(label, "device", values, name, lower=True))
    return columns


def rank_data(table: pd.DataFrame, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the page shows of a ranking; see `ranking_page` and `space_data`.

    Returns:
        As `space_data`, with a text in `notes` for each candidate, which says by which proxies it
        has no score and why; no `notes` where all candidates have all scores.
    """
    table = table.drop_duplicates(["candidate", "proxy"])
    names = [str(name) for name in table["candidate"].unique()]
    columns, ranks = [], []
    for proxy, own in table.groupby("proxy", sort=False):
        ranked = own.set_index("candidate").reindex(names)
        known = ranked["score"].where(ranked["status"] == "ok")
        lower = (own["direction"] == "lower").any()
        column = _column(proxy_label(str(proxy)), "score", known, lower=bool(lower))
        # an ensemble ranks all candidates, so its scores are of all of them
        spelled = [shlex.quote(name) for name in names] if is_ensemble(str(proxy)) else ["{name}"]
        words = [*map(shlex.quote, ("--proxy", str(proxy), *settings))]
        command = {"command": " ".join(["untrained", "rank", *spelled, *words])}
        columns.append(column | command)
        ranks.append(_column(f"rank by {proxy}", "cost", ranked["rank"], lower=True) | command)
    notes = [_note(own) for _, own in table.groupby("candidate", sort=False)]
    return {
        "name": "candidates",
        "label": "candidates",
        "members": "candidates",
        "datasets": [{"name": "", "label": str(table.attrs.get("images", ""))}],
        "index": None,
        "names": names,
        "notes": notes if any(notes) else None,
        "drawings": [*map(_drawings_of, names)],
        "columns": columns + ranks,
        "correlations": [],
        "searches": [],
        "within": [],
    }


def _note(own: pd.DataFrame) -> str:
    """Return why a candidate lacks scores, with the proxies unless they all say the same."""
    lacking = own[own["status"] != "ok"]
    said: dict[str, list[str]] = {}
    for row in lacking.to_dict("records"):
        said.setdefault(f"{row['status']}: {row['reason']}", []).append(str(row["proxy"]))
    if len(said) == 1 and len(lacking) == len(own):
        return next(iter(said))
    return "; ".join(f"{', '.join(proxies)}: {why}" for why, proxies in said.items())


def _column(
    label: str,
    kind: str,
    values: "Iterable[float]",
    dataset: str = "",
    *,
    split: str = "",
    lower: bool = False,
) -> dict[str, Any]:
    return {
        "label": label,
        "kind": kind,
        "dataset": dataset,
        "split": split,
        "lower": lower,
        "values": [*map(_number, values)],
    }


def _number(value: float) -> float | None:
    """Return a number as JSON has it: whole ones without a fraction, undefined ones as None."""
    if pd.isna(value) or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else float(value)


def _command(head: Sequence[str], seeds: Sequence[int]) -> str:
    """Return the commands that score an architecture, `{index}`, a line for consecutive seeds."""
    starts = [seed for seed in seeds if seed - 1 not in seeds]
    lines = []
    for start in starts:
        end = next(seed for seed in seeds if seed >= start and seed + 1 not in seeds)
        words = [*head, "--seed", str(start), "--seeds", str(end + 1 - start)]
        lines.append(" ".join(one if one == "{index}" else shlex.quote(one) for one in words))
    return "\n".join(lines)


def _drawings(space: "SearchSpace", architecture: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return [vars(one) for one in space.drawings(architecture)]


def _drawings_of(candidate: str) -> list[dict[str, Any]]:
    """Return the drawings of a candidate that is spelled `space/architecture`."""
    name, _, spelling = candidate.partition("/")
    if not spelling or name not in SPACES.names():
        return []
    space = get_space(name)
    try:
        return _drawings(space, space.parse(spelling))
    except UntrainedError:  # a name that was made to differ from another one
        return []


def _correlations(inputs: Inputs, lower: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows of the table of correlations, with the sign turned where lower is better."""
    if not inputs.has("correlations"):
        return []
    table = read_parquet(inputs.tables / "correlations.parquet", _CORRELATIONS)
    turned = table["proxy"].isin([*lower])
    better = table.assign(
        tau=table["tau"].where(~turned, -table["tau"]),
        tau_low=table["tau_low"].where(~turned, -table["tau_high"]),
        tau_high=table["tau_high"].where(~turned, -table["tau_low"]),
        proxy=[*map(proxy_label, table["proxy"])],
        test=table["split"].str.endswith("test"),
    )
    return [
        {str(name): _number(one) if isinstance(one, float) else one for name, one in row.items()}
        for row in better.to_dict("records")
    ]


def _searches(inputs: Inputs) -> list[dict[str, Any]]:
    """Return a curve of regret for each search and data set, a point where nothing is trained."""
    if not inputs.has("regret"):
        return []
    table = read_parquet(inputs.tables / "regret.parquet", [*_SEARCH, *_CURVE])
    table = table[table["regret"].notna()]
    found = []
    for key, own in table.groupby([*_SEARCH], sort=False):
        curve = {name: [*map(_number, own[name].round(6))] for name in _CURVE}
        named: dict[str, Any] = dict(zip(_SEARCH, key, strict=True))
        named["runs"], named["trains"] = int(named["runs"]), bool(named["trains"])
        found.append(named | curve | {"label": image_label(str(named["dataset"]))})
    return found
